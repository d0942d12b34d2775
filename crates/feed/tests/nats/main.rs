//! Events from NATS: what is taken in both forms, what is refused and how it is named, and what a
//! gap, a refusal and a lost connection leave in doubt.

mod declarations;
mod forms;
mod messages;
mod slips;
mod stage;
mod status;

use messages::{
    Body, Book, Event, Heartbeat, Instrument, Level, Quote, Side, Status, Trade, Trades, levels,
};
use stage::{NOW, Stage};
use tickcast_feed::{Handler, NatsConfig};

const DECLARED: &str = r#""instrument":{"price_scale":2,"size_scale":0}"#;
const SNAPSHOT: &str = r#""book_snapshot":{"bids":[["10.00","5"]],"asks":[["10.01","7"]]}"#;

fn event(seq: u64, body: Option<Body>) -> Event {
    Event { venue: "xetra".into(), symbol: "SAP".into(), seq, body, ..Event::default() }
}

fn snapshot(seq: u64) -> Event {
    let book = Book { bids: levels(&[(1000, 5)]), asks: levels(&[(1001, 7)]) };
    let instrument = Some(Instrument { price_scale: 2, ..Instrument::default() });
    Event { instrument, ..event(seq, Some(Body::BookSnapshot(book))) }
}

fn changes(seq: u64, bids: &[(i64, i64)]) -> Event {
    event(seq, Some(Body::BookChanges(Book { bids: levels(bids), asks: Vec::new() })))
}

fn quote(seq: u64, bid: i64, ask: i64) -> Event {
    let level = |price| Some(Level { price, size: 1 });
    event(seq, Some(Body::Quote(Quote { bid: level(bid), ask: level(ask) })))
}

/// The last word of what was said, for each event.
fn kinds(said: &[String]) -> Vec<&str> {
    let kind = |text: &'static str, said: &str| said.contains(text).then_some(text);
    let all = ["BookSnapshot", "BookUpdate", "Quote", "Trades"];
    let of = |said: &'_ str| all.into_iter().find_map(|text| kind(text, said));
    said.iter().map(|said| of(said).unwrap_or_else(|| said.split(' ').nth(1).unwrap())).collect()
}

#[test]
fn an_instrument_is_declared_and_told_of_in_either_form() {
    let mut stage = Stage::open();
    let trade = Trade { id: 9, price: 1001, size: 2, side: Side::Sell as i32, ts_event: 7 };
    stage.publish(&[snapshot(1), changes(2, &[(1000, 0), (999, 4)])]);
    stage.publish(&[event(3, Some(Body::Trades(Trades { trades: vec![trade] })))]);
    stage.publish(&[event(4, Some(Body::Status(Status::Halted as i32)))]);
    let said = stage.take();
    assert_eq!(kinds(&said), ["BookSnapshot", "live", "BookUpdate", "Trades", "halted"]);
    assert!(said[0].starts_with(&format!("xetra.SAP {} Scales {{ price: 2, size: 0", NOW.0)));
    assert!(said[3].contains("id: 9, price: Price(1001), size: Size(2), side: Sell"), "{said:?}");
    let lines = [
        format!(r#"{{"symbol":"B","seq":1,{DECLARED},{SNAPSHOT}}}"#),
        r#" {"symbol":"B","seq":2,"quote":{"bid":["10.00","5"],"ask":null}}"#.into(),
        String::new(),
        r#"{"symbol":"B","seq":3,"status":"closed","unknown":[{"a":"}"}]}"#.into(),
        r#"{"heartbeat":{}}"#.into(),
    ];
    stage.payload(lines.join("\r\n").as_bytes());
    assert_eq!(kinds(&stage.take()), ["BookSnapshot", "live", "Quote", "closed"]);
    assert_eq!(stage.refused(), [""; 0]);
    assert_eq!((stage.tally.gaps, stage.reports.len()), (0, 0));
}

#[test]
fn what_cannot_be_used_is_counted_under_its_reason_and_named() {
    let say = |rest: &str| format!(r#"{{"symbol":"A",{rest}}}"#);
    for (line, reason, field, value) in [
        ("{\"symbol\":\"A\",".to_owned(), "not json", "event", "cut off"),
        (say(r#""quote":{"bid":["x","1"]}"#), "unexpected value", "quote.bid", "x"),
        (say(r#""quote":{"bid":["-1","1"]}"#), "negative", "quote.bid", "-1"),
        (say(r#""quote":{"bid":["1","0"]}"#), "unexpected value", "quote.bid", "0"),
        (say(r#""quote":{"bid":["1"]}"#), "field missing", "quote.bid", "a level is"),
        (
            say(r#""quote":{"bid":["2","1"],"ask":["1.5","1"]}"#),
            "crossed",
            "quote",
            "bid 2.00 is above ask 1.50",
        ),
        (say(r#""quote":{"bid":["1.005","1"]}"#), "wrong scale", "quote.bid", "1.005 has more"),
        (
            say(r#""quote":{"bid":["99999999999999999999","1"]}"#),
            "number does not fit",
            "quote.bid",
            "99999999999999999999",
        ),
        (
            say(r#""quote":{"bid":["92233720368547758.08","1"]}"#),
            "number does not fit",
            "quote.bid",
            "92233720368547758.08",
        ),
        (
            say(r#""book_snapshot":{"bids":[["2","1"],["3","1"]],"asks":[["2.5","1"]]}"#),
            "crossed",
            "book_snapshot",
            "bid 3.00 is above ask 2.50",
        ),
        (say(r#""book_changes":{"bids":[["2","-1"]]}"#), "negative", "book_changes.size", "-1"),
        (say(r#""trades":[{"price":"1","size":"1"}]"#), "field missing", "trades.side", ""),
        (
            say(r#""trades":[{"price":"1","size":"1","side":"up"}]"#),
            "unexpected value",
            "trades.side",
            "up",
        ),
        (say(r#""trades":[]"#), "field missing", "trades", "none"),
        (say(r#""status":"open""#), "unexpected value", "status", "open"),
        (say(r#""status":"live","heartbeat":{}"#), "unexpected value", "heartbeat", "second"),
        (
            say(r#""ts_event":99999999999999999,"status":"live""#),
            "number does not fit",
            "ts_event",
            "999",
        ),
        (
            say(r#""ts_event":1870000000000000,"status":"live""#),
            "unexpected value",
            "ts_event",
            "ahead",
        ),
        (say(r#""instrument":{"price_scale":19}"#), "wrong scale", "instrument.price_scale", "19"),
        (say(r#""instrument":{"price_scale":1}"#), "wrong scale", "instrument.price_scale", "1 is"),
        (say(r#""seq":5"#), "field missing", "body", "neither"),
        (
            r#"{"symbol":"B","status":"live"}"#.into(),
            "unknown instrument",
            "symbol",
            "not declared",
        ),
        (r#"{"status":"live"}"#.into(), "field missing", "symbol", ""),
        (r#"{"symbol":"A B","status":"live"}"#.into(), "not a symbol", "symbol", "A B"),
        (r#"{"symbol":"A","venue":"X","status":"live"}"#.into(), "not a symbol", "venue", "X"),
        (format!(r#"{{"symbol":"{}"}}"#, "A".repeat(65)), "not a symbol", "symbol", "AAA"),
    ] {
        let mut stage = Stage::open();
        stage.payload(say(DECLARED).as_bytes());
        assert_eq!(stage.refused(), [""; 0]);
        stage.payload(line.as_bytes());
        assert_eq!(stage.refused(), [reason], "{line}");
        assert_eq!(stage.take(), [""; 0], "{line}");
        let report = &stage.reports[0];
        for part in [reason, "subject prices.x: nats:", &format!(": {field}: "), value] {
            assert!(report.contains(part), "{part:?} in {report:?} of {line}");
        }
    }
}

#[test]
fn a_broken_message_is_refused_whole_and_a_broken_event_alone() {
    let mut stage = Stage::open();
    let whole = prost::Message::encode_to_vec(&messages::Message {
        events: vec![snapshot(1), quote(2, -5, 1001), changes(3, &[(998, 1)])],
    });
    stage.payload(&whole[..whole.len() - 1]);
    assert_eq!((stage.refused(), stage.take().len()), (vec!["not protobuf"], 0));
    stage.payload(b"no such thing");
    assert_eq!(stage.refused(), ["not protobuf"]);
    stage.payload(&whole);
    assert_eq!(stage.refused(), ["negative"]);
    assert_eq!(kinds(&stage.take()), ["BookSnapshot", "live", "BookUpdate"]);
    let lines = format!(r#"{{"symbol":"B",{DECLARED},{SNAPSHOT}}}"#);
    stage.payload(format!("{lines}\n{{oops\n{lines}").as_bytes());
    assert_eq!(stage.refused(), ["not json"]);
    assert_eq!(kinds(&stage.take()), ["BookSnapshot", "live", "BookSnapshot"]);
}

#[test]
fn a_gap_leaves_the_book_in_doubt_until_the_next_snapshot() {
    let mut stage = Stage::open();
    stage.publish(&[snapshot(1), changes(2, &[(999, 1)])]);
    stage.take();
    stage.publish(&[changes(4, &[(998, 1)]), changes(5, &[(997, 1)])]);
    assert_eq!(stage.take(), ["xetra.SAP resync"]);
    assert_eq!(stage.tally.gaps, 1);
    stage.publish(&[snapshot(6), changes(7, &[(996, 1)])]);
    assert_eq!(kinds(&stage.take()), ["BookSnapshot", "live", "BookUpdate"]);
    // A source that begins again says so with a snapshot.
    stage.publish(&[snapshot(1), changes(2, &[(996, 0)])]);
    assert_eq!(kinds(&stage.take()), ["BookSnapshot", "BookUpdate"]);
    assert_eq!(stage.tally.gaps, 1);
    stage.publish(&[event(4, Some(Body::Heartbeat(Heartbeat {})))]);
    assert_eq!((stage.take(), stage.tally.gaps), (vec!["xetra.SAP resync".to_owned()], 2));
}

#[test]
fn quotes_come_back_with_the_next_quote_and_trades_with_the_next_trade() {
    let mut stage = Stage::open();
    let declared = Event { instrument: snapshot(0).instrument, ..quote(1, 5, 6) };
    stage.publish(&[declared, quote(3, 5, 7)]);
    assert_eq!(kinds(&stage.take()), ["Quote", "live", "Quote"]);
    assert_eq!(stage.tally.gaps, 1);
    stage.publish(&[quote(4, 8, 7)]);
    assert_eq!(stage.take(), ["xetra.SAP resync"], "what is refused is in doubt");
    stage.publish(&[quote(5, 7, 8)]);
    assert_eq!(kinds(&stage.take()), ["Quote", "live"]);
    // With a book beside them both have to come again.
    stage.publish(&[snapshot(6), quote(8, 7, 8)]);
    assert_eq!(kinds(&stage.take()), ["BookSnapshot", "resync", "Quote"]);
    stage.publish(&[snapshot(9)]);
    assert_eq!(kinds(&stage.take()), ["BookSnapshot", "live"]);
}

#[test]
fn a_lost_connection_is_stale_and_then_resync_until_everything_was_said_again() {
    let mut stage = Stage::open();
    stage.publish(&[snapshot(1)]);
    stage.take();
    stage.reconnect();
    assert_eq!(stage.take(), ["xetra.SAP stale", "xetra.SAP resync"]);
    stage.publish(&[changes(7, &[(999, 1)]), snapshot(8)]);
    assert_eq!(kinds(&stage.take()), ["BookSnapshot", "live"]);
    assert_eq!(stage.tally.gaps, 0, "what was missed meanwhile is no gap");
    stage.call(|handler, connection, io| handler.silent(connection, io));
    assert_eq!(stage.take(), ["xetra.SAP stale"]);
}

#[test]
fn a_venue_without_a_publisher_is_stale_beside_others_and_refused_events_are_no_life() {
    let mut stage = Stage::open();
    let other = |seq| Event { venue: "lse".into(), ..snapshot(seq) };
    stage.publish(&[snapshot(1), other(1)]);
    stage.take();
    stage.after(20);
    stage.publish(&[other(2)]);
    // One that cannot be used says nothing of the venue, nor does what is no event.
    stage.publish(&[quote(2, -5, 1)]);
    stage.payload(b"{oops");
    assert_eq!(kinds(&stage.take()), ["BookSnapshot"]);
    stage.after(20);
    assert_eq!(stage.take(), ["xetra.SAP stale"]);
    stage.publish(&[other(3)]);
    assert_eq!(kinds(&stage.take()), ["BookSnapshot"]);
    // Back again, its prices are old until it has said them.
    let heartbeat = |venue: &str| Event {
        venue: venue.into(),
        body: Some(Body::Heartbeat(Heartbeat {})),
        ..Event::default()
    };
    stage.publish(&[heartbeat("xetra")]);
    assert_eq!(stage.take(), ["xetra.SAP resync"]);
    stage.publish(&[snapshot(3)]);
    assert_eq!(kinds(&stage.take()), ["BookSnapshot", "live"]);
    // A heartbeat of nobody is everybody's.
    stage.after(20);
    stage.publish(&[heartbeat("")]);
    stage.after(20);
    assert_eq!(stage.take(), [""; 0]);
    stage.after(20);
    let mut said = stage.take();
    said.sort();
    assert_eq!(said, ["lse.SAP stale", "xetra.SAP stale"]);
}

#[test]
fn scales_may_grow_and_unwanted_symbols_are_passed_over() {
    let symbols = vec!["xetra.SAP".to_owned()];
    let mut stage = Stage::with(NatsConfig { symbols, ..NatsConfig::default() });
    let mut finer = quote(2, 10_050, 10_060);
    finer.instrument = Some(Instrument { price_scale: 3, ..Instrument::default() });
    let other = Event { symbol: "BMW".into(), ..snapshot(1) };
    stage.publish(&[snapshot(1), other, finer]);
    let said = stage.take();
    assert_eq!(kinds(&said), ["BookSnapshot", "live", "Quote"]);
    assert!(said[2].contains("Scales { price: 3, size: 0, volume: 0 }"), "{said:?}");
    assert!(stage.tally.messages.contains(&("other", 1)), "{:?}", stage.tally.messages);
    assert_eq!(stage.refused(), [""; 0]);
}

#[test]
fn there_is_a_maximum_of_everything_and_of_what_is_told_too() {
    let mut stage = Stage::open();
    let line = format!("{{\"symbol\":\"A\",{DECLARED}}}\n");
    stage.payload(line.repeat(4097).as_bytes());
    assert_eq!((stage.refused(), stage.take().len()), (vec!["too many"], 0));
    stage.publish(&vec![quote(0, 1, 2); 4097]);
    assert_eq!(stage.refused(), ["too many"]);
    stage.payload(line.as_bytes());
    let many = Book { bids: vec![Level { price: 1, size: 1 }; 20_001], asks: Vec::new() };
    stage.publish(&[Event { symbol: "A".into(), ..event(0, Some(Body::BookSnapshot(many))) }]);
    stage.payload(&vec![b'{'; tickcast_feed::NATS_MESSAGE_BYTES_MAX + 1]);
    assert_eq!(stage.refused(), ["too many", "too large"]);
    let declared = |at: usize| Event { symbol: format!("S{at}"), ..snapshot(0) };
    for part in 0..3 {
        stage.publish(&(0..4096).map(|at| declared(part * 4096 + at)).collect::<Vec<_>>());
    }
    assert_eq!(stage.refused().len(), 3 * 4096 - 8192 + 1, "the first instrument is one of them");
    assert_eq!(stage.reports.len(), 20, "the log is not filled");
    stage.call(|handler, _, io| handler.timer(io));
    assert!(stage.reports[20].contains("more in the last second"), "{}", stage.reports[20]);
}
