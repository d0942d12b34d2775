//! Coinbase Advanced Trade's rules, one by one, with small messages of our own.

#[path = "coinbase_kraken_witness/mod.rs"]
mod witness;

use tickcast_feed::{CoinbaseConfig, CoinbaseHandler, ConnectionIndex, Handler};
use witness::{Bench, FIRST, check, torture};

const LIST: &str = r#"{"products":[
{"product_id":"BTC-USD","base_increment":"0.00000001","quote_increment":"0.01","status":"online","product_type":"SPOT"},
{"product_id":"ETH-USD","base_increment":"0.00000001","quote_increment":"0.01","status":"online","trading_disabled":true,"product_type":"SPOT"},
{"product_id":"OLD-USD","base_increment":"1","quote_increment":"0.1","status":"delisted","product_type":"SPOT"}]}"#;
const LIST_URL: &str = "http://rest/api/v3/brokerage/market/products";

fn envelope(channel: &str, sequence: u64, events: &str) -> String {
    format!(
        r#"{{"channel":"{channel}","timestamp":"2026-08-09T21:05:49.5Z","sequence_num":{sequence},"events":[{events}]}}"#
    )
}

/// `levels` are side, price, size.
fn book(sequence: u64, kind: &str, product: &str, levels: &[(&str, &str, &str)]) -> String {
    let one = |(side, price, size): &(&str, &str, &str)| {
        format!(
            r#"{{"side":"{side}","event_time":"2026-08-09T21:05:48.170326Z","price_level":"{price}","new_quantity":"{size}"}}"#
        )
    };
    let levels: Vec<_> = levels.iter().map(one).collect();
    let event =
        format!(r#"{{"type":"{kind}","product_id":"{product}","updates":[{}]}}"#, levels.join(","));
    envelope("l2_data", sequence, &event)
}

/// `trades` are product, id, maker's side, price.
fn trades(sequence: u64, kind: &str, trades: &[(&str, u64, &str, &str)]) -> String {
    let one = |(product, id, side, price): &(&str, u64, &str, &str)| {
        format!(
            r#"{{"product_id":"{product}","trade_id":"{id}","price":"{price}","size":"0.5","time":"2026-08-09T21:05:48.1Z","side":"{side}"}}"#
        )
    };
    let list: Vec<_> = trades.iter().map(one).collect();
    envelope(
        "market_trades",
        sequence,
        &format!(r#"{{"type":"{kind}","trades":[{}]}}"#, list.join(",")),
    )
}

fn ticker(sequence: u64, price: &str, volume: &str) -> String {
    envelope(
        "ticker",
        sequence,
        &format!(
            r#"{{"type":"update","tickers":[{{"type":"ticker","product_id":"BTC-USD","price":"{price}","volume_24_h":"{volume}","low_24_h":"90","high_24_h":"101.5","best_bid":"99.9","best_ask":"100"}}]}}"#
        ),
    )
}

fn snapshot(sequence: u64, product: &str) -> String {
    book(sequence, "snapshot", product, &[("bid", "99.5", "1.5"), ("offer", "100", "0.25")])
}

fn replaying() -> Bench<CoinbaseHandler> {
    let mut bench = Bench::new(CoinbaseHandler::new(CoinbaseConfig::default()));
    bench.rest(LIST_URL, LIST).open(FIRST);
    bench
}

/// A connection on which both products are live; the next number is 2.
fn synced() -> Bench<CoinbaseHandler> {
    let mut bench = replaying();
    bench.on(FIRST, &snapshot(0, "BTC-USD")).on(FIRST, &snapshot(1, "SOL-USD"));
    bench.said();
    bench
}

fn live(symbols: &[&str]) -> Bench<CoinbaseHandler> {
    let config = CoinbaseConfig {
        ws_url: "ws://c".into(),
        rest_url: "http://rest/".into(),
        symbols: symbols.iter().map(|symbol| (*symbol).to_owned()).collect(),
    };
    let mut bench = Bench::new(CoinbaseHandler::new(config));
    assert_eq!(bench.start().asked(), [format!("get {LIST_URL} after 0s")]);
    bench
}

#[test]
fn a_book_is_a_snapshot_and_the_new_totals_after_it() {
    let mut bench = replaying();
    check(
        &mut bench,
        &[
            (&book(0, "update", "BTC-USD", &[("bid", "1", "1")]), &[]),
            (
                &snapshot(1, "BTC-USD"),
                &[
                    "BTC-USD snapshot bid 99.50x1.50000000 ask 100.00x0.25000000",
                    "BTC-USD state live",
                ],
            ),
            (
                &book(
                    2,
                    "update",
                    "BTC-USD",
                    &[("offer", "100", "0.00000000"), ("offer", "100.01", "7")],
                ),
                &["BTC-USD update ask 100.00x0.00000000 ask 100.01x7.00000000"],
            ),
            // A product that is not listed: the scales are the digits seen, without trailing zeros.
            (
                &book(
                    3,
                    "snapshot",
                    "NEW-USD",
                    &[("bid", "1.500", "20.0"), ("offer", "1.6", "0.25")],
                ),
                &["NEW-USD snapshot bid 1.5x20.00 ask 1.6x0.25", "NEW-USD state live"],
            ),
            // Finer digits later: the event's scales are finer, nothing is rounded.
            (
                &book(4, "update", "NEW-USD", &[("bid", "1.5125", "1")]),
                &["NEW-USD update bid 1.5125x1.00"],
            ),
        ],
    );
    assert_eq!(bench.tally.gaps + bench.decode_errors(), 0);
    let eth = snapshot(5, "ETH-USD");
    check(
        &mut bench,
        &[(
            &eth,
            &[
                "ETH-USD snapshot bid 99.50x1.50000000 ask 100.00x0.25000000",
                "ETH-USD state halted",
            ],
        )],
    );
}

#[test]
fn the_time_is_the_change_s_and_the_message_s_where_that_has_none() {
    let mut bench = synced();
    assert_eq!(bench.witness.of("coinbase:BTC-USD").last_ts_event.micros(), 1_786_309_548_170_326);
    let text = book(2, "update", "BTC-USD", &[("bid", "99.5", "1")]);
    bench.on(FIRST, &text.replace("2026-08-09T21:05:48.170326Z", "1970-01-01T00:00:00Z"));
    assert_eq!(bench.witness.of("coinbase:BTC-USD").last_ts_event.micros(), 1_786_309_549_500_000);
}

#[test]
fn trades_are_published_oldest_first_with_the_aggressor_s_side() {
    let mut bench = synced();
    check(
        &mut bench,
        &[
            // Old ones only give the last price.
            (
                &trades(
                    2,
                    "snapshot",
                    &[("BTC-USD", 8, "SELL", "99.75"), ("BTC-USD", 7, "BUY", "99")],
                ),
                &["BTC-USD day open - high - low - last 99.75 volume -"],
            ),
            (
                &trades(
                    3,
                    "update",
                    &[("BTC-USD", 10, "BUY", "99.5"), ("BTC-USD", 9, "SELL", "100")],
                ),
                &["BTC-USD trades 9 Buy 100.00x0.50000000 10 Sell 99.50x0.50000000"],
            ),
            // Two products in one message, one trade already seen.
            (
                &trades(
                    4,
                    "update",
                    &[
                        ("BTC-USD", 11, "BUY", "99.5"),
                        ("BTC-USD", 10, "BUY", "99.5"),
                        ("SOL-USD", 5, "BUY", "1"),
                    ],
                ),
                &["BTC-USD trades 11 Sell 99.50x0.50000000", "SOL-USD trades 5 Sell 1.0x0.50"],
            ),
        ],
    );
    assert_eq!(bench.tally.gaps, 0);
    bench.on(FIRST, &trades(5, "update", &[("BTC-USD", 13, "BUY", "99.5")]));
    assert_eq!(bench.tally.gaps, 1, "12 is missing");
}

#[test]
fn the_ticker_gives_day_statistics_and_never_a_quote() {
    let mut bench = synced();
    check(
        &mut bench,
        &[
            (
                &ticker(2, "99.8", "20000000000.12345678"),
                &[
                    "BTC-USD day open - high 101.50 low 90.00 last 99.80 volume 20000000000.12345678",
                ],
            ),
            (&ticker(3, "99.8", "20000000000.12345678"), &[]),
            // An old trade's price is better than the ticker's, which is behind.
            (
                &trades(4, "snapshot", &[("BTC-USD", 8, "SELL", "99.75")]),
                &[
                    "BTC-USD day open - high 101.50 low 90.00 last 99.75 volume 20000000000.12345678",
                ],
            ),
            (&ticker(5, "99.9", "20000000000.12345678"), &[]),
            (
                &trades(6, "update", &[("BTC-USD", 9, "SELL", "100")]),
                &["BTC-USD trades 9 Buy 100.00x0.50000000"],
            ),
            // Once a trade was published, no last price is sent.
            (
                &ticker(7, "99.9", "5"),
                &["BTC-USD day open - high 101.50 low 90.00 last - volume 5.00000000"],
            ),
            (
                &ticker(8, "", "").replace(r#""low_24_h":"90","#, ""),
                &["BTC-USD day open - high 101.50 low - last - volume -"],
            ),
        ],
    );
}

#[test]
fn a_gap_leaves_every_book_of_the_connection_in_doubt_and_one_reconnect_is_asked_for() {
    let mut bench = synced();
    let other = ConnectionIndex { line: 1, generation: 0 };
    bench.open(other).on(other, &snapshot(0, "ADA-USD"));
    check(
        &mut bench,
        &[
            (
                &envelope("heartbeats", 3, r#"{"heartbeat_counter":1}"#),
                &["BTC-USD state resync", "SOL-USD state resync"],
            ),
            (&book(4, "update", "BTC-USD", &[("bid", "99.5", "1")]), &[]),
            (&envelope("candles", 9, ""), &[]),
            // A whole book is a whole book.
            (
                &snapshot(10, "BTC-USD"),
                &[
                    "BTC-USD snapshot bid 99.50x1.50000000 ask 100.00x0.25000000",
                    "BTC-USD state live",
                ],
            ),
        ],
    );
    assert_eq!(bench.tally.gaps, 2);
    assert_eq!(bench.asked(), ["reconnect 0.0: sequence_num: 3 came where 2 was due"]);
    bench.close(FIRST);
    assert_eq!(bench.said(), ["BTC-USD state stale", "SOL-USD state stale"]);
    // The next connection counts from its own beginning.
    let next = ConnectionIndex { line: 0, generation: 1 };
    bench.open(next).on(next, &envelope("heartbeats", 0, "{}")).on(next, &snapshot(1, "BTC-USD"));
    assert_eq!(bench.tally.gaps, 2);
    assert_eq!(bench.said().last().unwrap(), "BTC-USD state live");
}

#[test]
fn a_repeated_message_is_taken_once() {
    let mut bench = synced();
    let trade = trades(2, "update", &[("BTC-USD", 9, "SELL", "100")]);
    check(&mut bench, &[(&trade, &["BTC-USD trades 9 Buy 100.00x0.50000000"]), (&trade, &[])]);
    assert_eq!((bench.messages("repeated"), bench.tally.gaps), (1, 0));
}

#[test]
fn fields_may_come_in_any_order_and_unknown_ones_are_skipped() {
    let mut bench = synced();
    check(
        &mut bench,
        &[(
            r#"{ "events":[{"updates":[{"new":{"x":[{}]},"new_quantity":"2","price_level":"99.5","side":"bid"}],"product_id":"BTC-USD","type":"update"}],
                "sequence_num":2,"other":[[]],"channel":"l2_data"}"#,
            &["BTC-USD update bid 99.50x2.00000000"],
        )],
    );
}

#[test]
fn a_live_line_asks_for_one_channel_a_message() {
    let mut bench = live(&["BTC-USD", "ETH-USD", "OLD-USD", "NOPE-USD"]);
    assert!(!bench.handler.is_complete());
    bench.rest(LIST_URL, LIST);
    assert!(bench.handler.is_complete());
    assert_eq!(
        bench.asked(),
        [
            r#"report coinbase: symbols: "NOPE-USD" is not listed by the venue"#,
            "report coinbase:OLD-USD is not traded any more: not subscribed",
            "connect 0 ws://c",
        ]
    );
    assert_eq!(bench.said(), ["OLD-USD state closed"]);
    bench.open(FIRST);
    let expected = ["heartbeats", "market_trades", "ticker", "level2"].map(|channel| {
        format!(
            r#"send 0.0 {{"type":"subscribe","product_ids":["BTC-USD","ETH-USD"],"channel":"{channel}"}}"#
        )
    });
    assert_eq!(bench.asked(), expected);
    // A crossed book is one product's affair.
    bench.on(FIRST, &snapshot(0, "BTC-USD"));
    let index = bench.witness.directory.find("coinbase:BTC-USD").unwrap().index;
    bench.call(|handler, io| handler.resync(index, io));
    let alone = |kind| {
        format!(r#"send 0.0 {{"type":"{kind}","product_ids":["BTC-USD"],"channel":"level2"}}"#)
    };
    assert_eq!(bench.asked(), [alone("unsubscribe"), alone("subscribe")]);
    assert_eq!(bench.said().last().unwrap(), "BTC-USD state resync");
}

#[test]
fn with_nothing_wanted_the_most_active_listed_ones_are_taken_and_with_a_star_all() {
    for (symbols, expected) in
        [(&[][..], vec!["BTC-USD", "ETH-USD"]), (&["*"], vec!["BTC-USD", "ETH-USD"])]
    {
        let mut bench = live(symbols);
        bench.rest(LIST_URL, LIST);
        let known: Vec<_> =
            bench.witness.directory.list_from(0).iter().map(|i| i.spec.symbol.clone()).collect();
        assert_eq!(known, expected);
    }
}

#[test]
fn without_a_list_it_asks_again_and_then_begins_without() {
    let mut bench = live(&["BTC-USD"]);
    for after in [1, 2, 4] {
        bench.call(|handler, io| handler.rest_failed(LIST_URL, 503, io));
        let asked = bench.asked();
        assert_eq!(asked[1], format!("get {LIST_URL} after {after}s"), "{asked:?}");
    }
    bench.rest(LIST_URL, r#"{"error":"NOT_FOUND"}"#);
    let asked = bench.asked();
    assert!(asked[1].contains("begins without the list"), "{asked:?}");
    assert_eq!(asked[2], "connect 0 ws://c");
    assert!(bench.handler.is_complete());
}

#[test]
fn errors_of_the_venue_are_told_in_words() {
    let mut bench = synced();
    bench.on(FIRST, r#"{"type":"error","message":"failure to subscribe, \"FOO\" is unknown"}"#);
    assert_eq!(
        bench.asked(),
        [r#"report coinbase: error: failure to subscribe, "FOO" is unknown"#]
    );
}

#[test]
fn one_level_that_does_not_fit_does_not_cost_the_snapshot() {
    let mut bench = replaying();
    let levels = [
        ("bid", "99.5", "1.5"),
        ("bid", "99999999999999999999", "1"),
        ("bid", "98", "0.0000000000000000001"),
        ("bid", "97", "9999999999999"),
        ("offer", "0.000000000000000001", "1"),
        ("offer", "100", "0.25"),
    ];
    bench.on(FIRST, &book(0, "snapshot", "BTC-USD", &levels));
    assert_eq!(
        bench.said(),
        [
            "BTC-USD snapshot bid 99.50x1.50000000 bid 98.00x0.00000000 bid 97.00x0.00000000 ask 100.00x0.25000000",
            "BTC-USD state live",
        ]
    );
    assert_eq!(bench.tally.decode_errors, [("number does not fit", 4)]);
    assert_eq!(bench.asked().len(), 1, "told once");
}

#[test]
fn cut_and_broken_messages_are_counted_and_never_panic() {
    for message in [
        &book(2, "update", "BTC-USD", &[("offer", "100", "0"), ("bid", "99.25", "7")]),
        &snapshot(2, "BTC-USD"),
        &trades(2, "update", &[("BTC-USD", 10, "BUY", "99.5"), ("SOL-USD", 9, "SELL", "100")]),
        &ticker(2, "99.8", "2867.54532609"),
        r#"{"type":"error","message":"failure to subscribe"}"#,
    ] {
        torture(synced, message);
    }
    let mut bench = live(&["BTC-USD"]);
    for len in 0..LIST.len() {
        bench.rest(LIST_URL, &LIST[..len]);
    }
    bench.rest(LIST_URL, LIST);
    for garbage in [
        "",
        "null",
        "[]",
        "\"",
        "{}",
        "{}x",
        r#"{"channel":7}"#,
        r#"{"channel":"l2_data","events":{}}"#,
    ] {
        let errors = bench.decode_errors();
        assert_eq!(bench.on(FIRST, garbage).decode_errors(), errors + 1, "{garbage:?}");
    }
}

#[test]
fn a_message_that_cannot_be_read_leaves_the_connection_s_books_in_doubt() {
    let mut bench = synced();
    let broken = book(2, "update", "BTC-USD", &[("bid", "99.5", "many")]);
    check(&mut bench, &[(&broken, &["BTC-USD state resync", "SOL-USD state resync"])]);
    assert_eq!(bench.tally.decode_errors, [("unexpected value", 1)]);
    let asked = bench.asked();
    assert_eq!(asked[1], "reconnect 0.0: a message could not be read");
}
