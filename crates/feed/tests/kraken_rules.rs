//! Kraken's rules, one by one, with small messages of our own.

#[path = "coinbase_kraken_witness/mod.rs"]
mod witness;

use tickcast_feed::{ConnectionIndex, Handler, KrakenConfig, KrakenHandler};
use witness::{Bench, FIRST, check, torture};

const ACK: &str = r#"{"method":"subscribe","result":{"channel":"book","depth":10,"snapshot":true,"symbol":"BTC/USD"},"success":true}"#;
const SNAPSHOT: &str = r#"{"channel":"book","type":"snapshot","data":[{"symbol":"BTC/USD","bids":[{"price":99.5,"qty":1.50000000},{"price":99.0,"qty":2.00000000}],"asks":[{"price":100.0,"qty":0.25000000}],"checksum":CRC,"timestamp":"2026-08-02T03:35:51.660084Z"}]}"#;
const LIST: &str = r#"{"channel":"instrument","type":"snapshot","data":{"assets":[],"pairs":[
{"symbol":"BTC/USD","status":"online","price_precision":1,"qty_precision":8,"price_increment":0.1,"qty_increment":1E-8},
{"symbol":"ETH/USD","status":"cancel_only","price_precision":2,"qty_precision":8,"price_increment":0.01,"qty_increment":1E-8},
{"symbol":"OLD/USD","status":"delisted","price_precision":2,"qty_precision":8}]}}"#;

/// The digits that a checksum is over, asks first, and their CRC-32.
fn with_checksum(message: &str, digits: &str) -> String {
    message.replace("CRC", &crc32fast::hash(digits.as_bytes()).to_string())
}

fn snapshot() -> String {
    with_checksum(SNAPSHOT, "100025000000995150000000990200000000")
}

fn replaying() -> Bench<KrakenHandler> {
    let mut bench = Bench::new(KrakenHandler::new(KrakenConfig::default()));
    bench.open(FIRST).on(FIRST, ACK);
    bench
}

fn synced() -> Bench<KrakenHandler> {
    let mut bench = replaying();
    bench.on(FIRST, &snapshot());
    bench.asked();
    bench
}

/// A live handler whose list of pairs has come.
fn live(symbols: &[&str]) -> Bench<KrakenHandler> {
    let config = KrakenConfig {
        ws_url: "ws://k/v2".into(),
        symbols: symbols.iter().map(|symbol| (*symbol).to_owned()).collect(),
        ..KrakenConfig::default()
    };
    let mut bench = Bench::new(KrakenHandler::new(config));
    assert_eq!(bench.start().asked(), ["connect 0 ws://k/v2"]);
    bench.open(FIRST);
    assert_eq!(
        bench.asked(),
        [
            r#"send 0.0 {"method":"subscribe","params":{"channel":"instrument","snapshot":true},"req_id":1}"#
        ]
    );
    bench
}

fn update(changes: &str, digits: &str) -> String {
    let message = format!(
        r#"{{"channel":"book","type":"update","data":[{{"symbol":"BTC/USD",{changes},"checksum":CRC,"timestamp":"2026-08-02T03:35:52Z"}}]}}"#
    );
    with_checksum(&message, digits)
}

#[test]
fn a_book_is_published_at_the_padded_scales_and_checked() {
    let mut bench = replaying();
    check(
        &mut bench,
        &[
            (&update(r#""bids":[{"price":1.0,"qty":1.0}],"asks":[]"#, "x"), &[]),
            (
                &snapshot(),
                &[
                    "BTC-USD snapshot bid 99.5x1.50000000 bid 99.0x2.00000000 ask 100.0x0.25000000",
                    "BTC-USD state live",
                ],
            ),
            // One price twice in a message: the later one counts.
            (
                &update(
                    r#""bids":[{"price":99.5,"qty":0.00000000},{"price":99.5,"qty":3.00000000}],"asks":[]"#,
                    "100025000000995300000000990200000000",
                ),
                &["BTC-USD update bid 99.5x0.00000000 bid 99.5x3.00000000"],
            ),
            // Fields in another order, unknown ones among them.
            (
                &with_checksum(
                    r#" {"data" : [ {"checksum":CRC,"new":{"a":[1,{"b":"}"}]},"asks":[{"extra":null,"qty":1.00000000,"price":100.1}],"symbol":"BTC/USD"} ] , "type":"update", "channel":"book"}"#,
                    "1000250000001001100000000995300000000990200000000",
                ),
                &["BTC-USD update ask 100.1x1.00000000"],
            ),
            // Removing a level that is not held is normal.
            (
                &update(
                    r#""asks":[{"price":111.0,"qty":0.00000000}],"bids":[]"#,
                    "1000250000001001100000000995300000000990200000000",
                ),
                &["BTC-USD update ask 111.0x0.00000000"],
            ),
        ],
    );
    assert_eq!(bench.tally.checksum_failures + bench.decode_errors(), 0);
    assert_eq!(bench.messages("book"), 5);
}

#[test]
fn what_is_pushed_out_of_the_depth_is_removed() {
    let mut bench = replaying();
    let side: Vec<String> =
        (0..10).map(|n| format!(r#"{{"price":1{n}.0,"qty":1.00000000}}"#)).collect();
    let digits: String = (0..10).map(|n| format!("1{n}0100000000")).collect();
    let message = format!(
        r#"{{"channel":"book","type":"snapshot","data":[{{"symbol":"BTC/USD","bids":[],"asks":[{}],"checksum":CRC}}]}}"#,
        side.join(",")
    );
    bench.on(FIRST, &with_checksum(&message, &digits));
    let nine = &digits[..9 * 12];
    check(
        &mut bench,
        &[(
            &update(
                r#""asks":[{"price":9.5,"qty":2.00000000}],"bids":[]"#,
                &format!("95200000000{nine}"),
            ),
            &["BTC-USD update ask 9.5x2.00000000 ask 19.0x0.00000000"],
        )],
    );
    assert_eq!(bench.tally.checksum_failures, 0);
}

#[test]
fn a_mismatch_resyncs_that_pair_alone_ever_more_seldom() {
    let mut bench = synced();
    bench.said();
    let wrong = update(r#""asks":[{"price":100.0,"qty":9.00000000}],"bids":[]"#, "wrong");
    bench.on(FIRST, &wrong);
    assert_eq!(bench.said(), ["BTC-USD state resync"], "what is wrong is not published");
    assert_eq!(
        bench.asked(),
        [
            "report kraken: BTC/USD: the checksum does not match; asks for a snapshot in 0 s (1 in a row)",
            r#"send 0.0 {"method":"unsubscribe","params":{"channel":"book","symbol":["BTC/USD"],"depth":500},"req_id":2}"#,
            r#"send 0.0 {"method":"subscribe","params":{"channel":"book","symbol":["BTC/USD"],"depth":500,"snapshot":true},"req_id":3}"#,
        ]
    );
    bench.on(FIRST, &wrong);
    assert_eq!(bench.said(), [""; 0], "no update before the snapshot");
    // From now on every snapshot is wrong, too: how often is it asked for in ten minutes?
    let bad = with_checksum(SNAPSHOT, "wrong");
    bench.on(FIRST, &bad);
    let mut requests = 0;
    for _ in 0..600 {
        bench.wait(1);
        if bench.asked().iter().any(|asked| asked.contains(r#""method":"subscribe","#)) {
            requests += 1;
            bench.on(FIRST, &bad);
        }
    }
    assert!((8..=18).contains(&requests), "{requests} requests in ten minutes");
    assert_eq!(bench.tally.checksum_failures, 2 + requests);
    bench.wait(60);
    assert_eq!(bench.said(), [""; 0]);
    bench.on(FIRST, &snapshot());
    assert_eq!(bench.said().last().unwrap(), "BTC-USD state live");
}

#[test]
fn a_snapshot_that_does_not_come_is_asked_for_again() {
    let mut bench = live(&["BTC-USD"]);
    bench.on(FIRST, LIST);
    bench.asked();
    bench.wait(14);
    assert_eq!(bench.asked(), [""; 0]);
    bench.wait(1);
    let asked = bench.asked();
    assert_eq!(asked[0], "report kraken: no snapshot of BTC/USD came in time");
    assert!(asked[1].contains("unsubscribe") && asked[2].contains("subscribe"), "{asked:?}");
}

#[test]
fn a_snapshot_while_subscribed_replaces_the_book() {
    let mut bench = synced();
    let other = r#"{"channel":"book","type":"snapshot","data":[{"symbol":"BTC/USD","bids":[{"price":5.0,"qty":1.00000000}],"asks":[],"checksum":CRC}]}"#;
    check(
        &mut bench,
        &[(&with_checksum(other, "50100000000"), &["BTC-USD snapshot bid 5.0x1.00000000"])],
    );
    assert_eq!(
        bench.witness.of("kraken:BTC-USD").book.side(tickcast_market::BookSide::Ask).len(),
        0
    );
}

#[test]
fn a_crossed_book_found_downstream_is_asked_for_again() {
    let mut bench = synced();
    bench.said();
    let index = bench.witness.directory.find("kraken:BTC-USD").unwrap().index;
    bench.call(|handler, io| handler.resync(index, io));
    assert_eq!(bench.said(), ["BTC-USD state resync"]);
    assert_eq!(bench.asked().len(), 3);
    bench.call(|handler, io| handler.resync(index, io));
    assert_eq!(bench.asked().len(), 0, "already under way");
}

#[test]
fn the_ticker_gives_quotes_and_day_statistics() {
    let ticker = |fields: &str| {
        format!(
            r#"{{"channel":"ticker","type":"update","data":[{{"symbol":"BTC/USD",{fields}}}]}}"#
        )
    };
    let mut bench = synced();
    check(
        &mut bench,
        &[
            (
                &ticker(
                    r#""bid":99.5,"bid_qty":1.5,"ask":100.0,"ask_qty":0.25,"last":99.8,"volume":1234567890123.12345678,"vwap":99.123456789,"low":90.0,"high":101.0,"change":-0.3,"change_pct":-0.3"#,
                ),
                &[
                    "BTC-USD quote 99.5x1.50000000 100.0x0.25000000",
                    "BTC-USD day open 100.1 high 101.0 low 90.0 last 99.8 volume 1234567890123.12345678",
                ],
            ),
            // Statistics that are the same are not said again; an empty side is null or zero.
            (
                &ticker(
                    r#""bid":99.5,"bid_qty":2.5,"ask":null,"ask_qty":0.0,"last":99.8,"volume":1234567890123.12345678,"low":90.0,"high":101.0,"change":-0.3"#,
                ),
                &["BTC-USD quote 99.5x2.50000000 -"],
            ),
            // Exponent form; a change with digits that no price has gives no opening price.
            (
                &ticker(
                    r#""bid":0,"bid_qty":0,"ask":1.001E2,"ask_qty":1E-8,"last":99.8,"volume":1.5E3,"change":0.30000000000000004"#,
                ),
                &[
                    "BTC-USD quote - 100.1x0.00000001",
                    "BTC-USD day open - high - low - last 99.8 volume 1500.00000000",
                ],
            ),
        ],
    );
}

#[test]
fn trades_are_the_taker_s_and_old_ones_only_give_the_last_price() {
    let trades = |kind: &str, trades: &[(u64, &str, &str)]| {
        let one = |(id, side, price): &(u64, &str, &str)| {
            format!(
                r#"{{"symbol":"BTC/USD","side":"{side}","price":{price},"qty":0.5,"ord_type":"market","trade_id":{id},"timestamp":"2026-08-02T03:35:52.1Z"}}"#
            )
        };
        let list: Vec<_> = trades.iter().map(one).collect();
        format!(r#"{{"channel":"trade","type":"{kind}","data":[{}]}}"#, list.join(","))
    };
    let mut bench = synced();
    check(
        &mut bench,
        &[
            (
                &trades("snapshot", &[(7, "buy", "98.0"), (9, "sell", "97.5")]),
                &["BTC-USD day open - high - low - last 97.5 volume -"],
            ),
            (
                &trades("update", &[(9, "buy", "97.5"), (12, "buy", "99.0"), (11, "sell", "98.5")]),
                &["BTC-USD trades 11 Sell 98.5x0.50000000 12 Buy 99.0x0.50000000"],
            ),
            // Finer digits than ever before: the scale follows, nothing is rounded.
            (
                &trades("update", &[(13, "buy", "99.125")]),
                &["BTC-USD trades 13 Buy 99.125x0.50000000"],
            ),
        ],
    );
    assert_eq!(bench.tally.gaps, 0, "ids are not promised to be dense");
    // The book follows the finer scale; its checksum, over the digits as padded, cannot be had.
    bench.on(FIRST, &update(r#""asks":[{"price":100.0,"qty":0.25000000}],"bids":[]"#, "x"));
    assert_eq!(bench.tally.checksum_failures, 1);
}

#[test]
fn answers_and_states_are_told_in_words() {
    for (message, report) in [
        (
            r#"{"error":"Currency pair not supported XBT/USD","method":"subscribe","req_id":4,"success":false,"symbol":"XBT/USD"}"#,
            "report kraken: subscribe  XBT/USD: Currency pair not supported XBT/USD",
        ),
        (
            r#"{"method":"subscribe","result":{"channel":"ticker","symbol":"BTC/USD","warnings":["event_trigger is new"]},"success":true}"#,
            "report kraken: subscribe ticker BTC/USD: warning: event_trigger is new",
        ),
        (r#"{"error":"Unsupported field"}"#, "report kraken:   : Unsupported field"),
        (
            r#"{"channel":"status","type":"update","data":[{"system":"maintenance","connection_id":15413894943188002760}]}"#,
            r#"report kraken: the venue's state is "maintenance""#,
        ),
    ] {
        let mut bench = synced();
        assert_eq!(bench.on(FIRST, message).asked(), [report]);
        assert_eq!(bench.on(FIRST, message).decode_errors(), 0);
    }
}

#[test]
fn the_venue_s_and_the_pair_s_states_show_while_the_book_is_live() {
    let system = |word: &str| {
        format!(r#"{{"channel":"status","type":"update","data":[{{"system":"{word}"}}]}}"#)
    };
    let pair = |word: &str| {
        format!(
            r#"{{"channel":"instrument","type":"update","data":{{"pairs":[{{"symbol":"BTC/USD","status":"{word}"}}]}}}}"#
        )
    };
    let mut bench = synced();
    check(
        &mut bench,
        &[
            (&system("maintenance"), &["BTC-USD state halted"]),
            (&system("online"), &["BTC-USD state live"]),
            (&pair("post_only"), &["BTC-USD state halted"]),
            (&system("limit_only"), &[]),
            (&pair("reduce_only"), &["BTC-USD state live"]),
        ],
    );
    bench.close(FIRST);
    assert_eq!(bench.said(), ["BTC-USD state stale"]);
    check(&mut bench, &[(&system("maintenance"), &[])]);
}

#[test]
fn a_live_line_subscribes_to_what_is_wanted_of_the_list() {
    let mut bench = live(&["BTC-USD", "eth/usd", "OLD-USD", "NOPE-USD"]);
    assert!(!bench.handler.is_complete());
    bench.on(FIRST, LIST);
    assert!(bench.handler.is_complete());
    let symbols = r#""symbol":["BTC/USD","ETH/USD"]"#;
    assert_eq!(
        bench.asked(),
        [
            r#"report kraken: symbols: "NOPE-USD" is not listed by the venue"#.to_owned(),
            "report kraken:OLD-USD is not traded any more: not subscribed".to_owned(),
            format!(
                r#"send 0.0 {{"method":"subscribe","params":{{"channel":"ticker",{symbols},"event_trigger":"bbo"}},"req_id":2}}"#
            ),
            format!(
                r#"send 0.0 {{"method":"subscribe","params":{{"channel":"trade",{symbols},"snapshot":false}},"req_id":3}}"#
            ),
            format!(
                r#"send 0.0 {{"method":"subscribe","params":{{"channel":"book",{symbols},"depth":500,"snapshot":true}},"req_id":4}}"#
            ),
        ]
    );
    assert_eq!(bench.said(), ["OLD-USD state closed"]);
    let spec = bench.witness.directory.find("kraken:ETH-USD").unwrap().spec.clone();
    assert_eq!(
        (spec.venue_symbol.as_str(), spec.scales.price, spec.scales.size),
        ("ETH/USD", 2, 8)
    );
    // A new connection of the line asks for everything again.
    bench.close(FIRST).open(ConnectionIndex { line: 0, generation: 1 });
    assert_eq!(bench.asked().len(), 4);
    assert_eq!(
        bench.said(),
        [
            "BTC-USD state stale",
            "ETH-USD state stale",
            "BTC-USD state resync",
            "ETH-USD state resync"
        ]
    );
    // What the old connection still says is not heard.
    bench.on(FIRST, &snapshot());
    assert_eq!(bench.messages("late"), 1);
    assert_eq!(bench.said(), [""; 0]);
}

#[test]
fn many_pairs_share_lines_of_a_hundred() {
    let pair = |n: u32| {
        format!(
            r#"{{"symbol":"C{n}/USD","status":"online","price_precision":1,"qty_precision":8}}"#
        )
    };
    let pairs: Vec<_> = (0..250).map(pair).collect();
    let list = format!(
        r#"{{"channel":"instrument","type":"snapshot","data":{{"pairs":[{}]}}}}"#,
        pairs.join(",")
    );
    let mut bench = live(&["*"]);
    bench.on(FIRST, &list);
    let asked = bench.asked();
    assert_eq!(asked[3..], ["connect 1 ws://k/v2", "connect 2 ws://k/v2"]);
    assert_eq!(asked[0].matches("/USD").count(), 100);
    bench.open(ConnectionIndex { line: 2, generation: 0 });
    assert_eq!(bench.asked()[0].matches("/USD").count(), 50);
    assert_eq!(bench.witness.directory.len(), 250);
}

#[test]
fn without_a_list_it_begins_with_what_is_wanted() {
    let mut bench = live(&["BTC-USD"]);
    bench.wait(9);
    assert_eq!(bench.asked(), [""; 0]);
    bench.wait(1);
    let asked = bench.asked();
    assert!(asked[0].contains("begins without the list"), "{asked:?}");
    assert!(asked[3].contains(r#""channel":"book","symbol":["BTC/USD"]"#), "{asked:?}");
    assert!(bench.handler.is_complete());
}

#[test]
fn a_connection_is_pinged_every_thirty_seconds() {
    let mut bench = synced();
    let pings = |bench: &mut Bench<KrakenHandler>| {
        bench.asked().iter().filter(|asked| asked.contains(r#""method":"ping""#)).count()
    };
    bench.wait(29);
    assert_eq!(pings(&mut bench), 0);
    bench.wait(61);
    assert_eq!(pings(&mut bench), 3);
    bench.on(FIRST, r#"{"method":"pong","req_id":2,"time_in":"","time_out":""}"#);
    assert_eq!(bench.messages("pong"), 1);
    bench.close(FIRST).wait(60);
    assert_eq!(pings(&mut bench), 0);
}

#[test]
fn a_level_that_does_not_fit_is_left_out_and_the_rest_is_published() {
    let mut bench = replaying();
    let message = SNAPSHOT.replace("\"CRC\"", "0").replace(",\"checksum\":CRC", "").replace(
        r#"{"price":99.0,"qty":2.00000000}"#,
        r#"{"price":99.0,"qty":99999999999999999999.00000000}"#,
    );
    check(
        &mut bench,
        &[(
            &message,
            &[
                "BTC-USD snapshot bid 99.5x1.50000000 bid 99.0x0.00000000 ask 100.0x0.25000000",
                "BTC-USD state live",
            ],
        )],
    );
    assert_eq!(bench.tally.decode_errors, [("number does not fit", 1)]);
    assert!(bench.asked().last().unwrap().starts_with("report kraken: {\"channel\":\"book\""));
}

#[test]
fn cut_and_broken_messages_are_counted_and_never_panic() {
    let trade = r#"{"channel":"trade","type":"update","data":[{"symbol":"BTC/USD","side":"buy","price":1.5,"qty":0.5,"trade_id":3,"timestamp":"2026-08-02T03:35:52.1Z"}]}"#;
    let ticker = r#"{"channel":"ticker","type":"update","data":[{"symbol":"BTC/USD","bid":99.5,"bid_qty":1.5,"ask":100.0,"ask_qty":0.25,"last":99.8,"volume":12.5,"change":-0.3}]}"#;
    let book = update(r#""bids":[{"price":99.5,"qty":0.00000000}],"asks":[]"#, "x");
    let status = r#"{"channel":"status","type":"update","data":[{"system":"online","connection_id":15413894943188002760}]}"#;
    for message in [&snapshot(), &book, ticker, trade, status, ACK, LIST] {
        torture(synced, message);
    }
    let mut bench = synced();
    for garbage in [
        "",
        "null",
        "[]",
        "0",
        "\"",
        "{}x",
        "{\"channel\":7}",
        "\u{0}",
        "{\"channel\":\"book\",\"data\":{}}",
    ] {
        let errors = bench.decode_errors();
        assert_eq!(bench.on(FIRST, garbage).decode_errors(), errors + 1, "{garbage:?}");
    }
    assert_eq!(bench.on(FIRST, r#"{"channel":"new","data":[1]}"#).messages("other"), 1);
}

#[test]
fn a_book_message_that_cannot_be_read_resyncs_its_pair() {
    let mut bench = synced();
    let broken = r#"{"channel":"book","type":"update","data":[{"symbol":"BTC/USD","bids":[{"price":"x","qty":1}]}]}"#;
    check(&mut bench, &[(broken, &["BTC-USD state resync"])]);
    assert_eq!(bench.tally.decode_errors, [("unexpected value", 1)]);
    assert_eq!(bench.tally.checksum_failures, 0);
    assert_eq!(bench.asked().len(), 4, "one report of the fault, one of the pair, two requests");
}

#[test]
fn silence_is_stale_until_a_new_connection_has_its_snapshot() {
    let mut bench = synced();
    bench.said();
    bench.call(|handler, io| handler.silent(FIRST, io));
    assert_eq!(bench.said(), ["BTC-USD state stale"]);
    let late = update(r#""asks":[{"price":100.0,"qty":0.5}],"bids":[]"#, "x");
    bench.on(FIRST, &late);
    bench.close(FIRST);
    assert_eq!(bench.said(), [""; 0]);
    let next = ConnectionIndex { line: 0, generation: 1 };
    bench.open(next).on(next, &snapshot());
    let said = bench.said();
    assert_eq!(
        (said[0].as_str(), said[2].as_str()),
        ("BTC-USD state resync", "BTC-USD state live")
    );
}
