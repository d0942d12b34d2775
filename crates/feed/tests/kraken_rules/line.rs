//! A line: what it subscribes to, answers, states, pings and silence.

use crate::stage::{LIST, live, snapshot, synced, update};
use crate::witness::{Bench, FIRST, check};
use tickcast_feed::{ConnectionIndex, Handler, KrakenHandler};

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
