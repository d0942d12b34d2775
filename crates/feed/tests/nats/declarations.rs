//! What a declaration may say, what prices are held against it, and what follows one that is refused.

use crate::messages::{Body, Event, Instrument, Trade, Trades};
use crate::stage::Stage;
use crate::{changes, event, kinds, quote, snapshot};

fn declared(price_scale: u32, tick_size: &str) -> Instrument {
    Instrument { price_scale, tick_size: tick_size.into(), ..Instrument::default() }
}

/// The snapshot of bid 10.00 and ask 10.01, with this declaration.
fn with(seq: u64, instrument: Instrument) -> Event {
    Event { instrument: Some(instrument), ..snapshot(seq) }
}

#[test]
fn an_increment_that_cannot_be_is_refused_by_name() {
    for (fields, reason, field, value) in [
        (r#""price_scale":19"#, "wrong scale", "price_scale", "19 is above 18"),
        (r#""size_scale":300"#, "wrong scale", "size_scale", "300 is above 18"),
        (r#""price_scale":2,"tick_size":"0""#, "unexpected value", "tick_size", "\"0\""),
        (r#""price_scale":2,"tick_size":"0.00""#, "unexpected value", "tick_size", "0.00"),
        (r#""price_scale":2,"tick_size":"-0.01""#, "negative", "tick_size", "-0.01"),
        (r#""price_scale":2,"tick_size":"x""#, "unexpected value", "tick_size", "x"),
        (
            r#""price_scale":2,"tick_size":"0.005""#,
            "wrong scale",
            "tick_size",
            "0.005 has more than 2 decimals",
        ),
        (r#""price_scale":18,"tick_size":"10""#, "number does not fit", "tick_size", "\"10\""),
        (r#""lot_size":"0""#, "unexpected value", "lot_size", "\"0\""),
        (r#""lot_size":"-1""#, "negative", "lot_size", "-1"),
        (r#""lot_size":"0.5""#, "wrong scale", "lot_size", "0.5 has more than 0 decimals"),
    ] {
        let mut stage = Stage::open();
        stage.payload(format!(r#"{{"symbol":"A","instrument":{{{fields}}}}}"#).as_bytes());
        assert_eq!(stage.refused(), [reason], "{fields}");
        let report = stage.reports.pop().unwrap();
        assert!(report.contains(&format!("nats:A: instrument.{field}: ")), "{report}");
        assert!(report.contains(value), "{value:?} in {report:?}");
        // It is not known, so nothing is taken of it.
        stage.payload(br#"{"symbol":"A","quote":{"bid":["1","1"]}}"#);
        assert_eq!((stage.refused(), stage.take().len()), (vec!["unknown instrument"], 0));
    }
    for tick_size in ["0.010", "0.01", "1E-2", "5", ""] {
        let mut stage = Stage::open();
        stage.publish(&[Event { instrument: Some(declared(2, tick_size)), ..event(1, None) }]);
        assert_eq!(stage.refused(), [""; 0], "{tick_size}");
    }
}

#[test]
fn prices_of_quotes_and_books_are_multiples_of_the_tick_size_and_trades_may_lie_between() {
    let mut stage = Stage::open();
    stage.publish(&[with(1, declared(2, "0.01")), quote(2, 1000, 1005)]);
    assert_eq!(kinds(&stage.take()), ["BookSnapshot", "live", "Quote"]);
    // Declared anew: from now on prices are multiples of 0.05, at one more digit.
    let mut half = quote(3, 10_000, 10_050);
    half.instrument = Some(declared(3, "0.05"));
    stage.publish(&[half]);
    assert_eq!((stage.refused(), kinds(&stage.take())), (vec![], vec!["Quote"]));
    for (refused, field, price) in [
        (quote(4, 10_010, 10_050), "quote.bid", "10.010"),
        (quote(5, 10_000, 10_051), "quote.ask", "10.051"),
        (changes(6, &[(9_950, 1), (9_949, 1)]), "book_changes.price", "9.949"),
        (changes(7, &[(9_999, 0)]), "book_changes.price", "9.999"),
    ] {
        stage.publish(&[refused]);
        assert_eq!(stage.refused(), ["off the tick size"]);
        let expected = format!(
            "refused: off the tick size: subject prices.x: nats:xetra.SAP: {field}: \
             \"{price} is no multiple of 0.050\""
        );
        assert_eq!(stage.reports.pop(), Some(expected));
    }
    assert_eq!(stage.take(), ["xetra.SAP resync"], "it is in doubt, and nothing of it is shown");
    let trade = Trade { id: 1, price: 10_025, size: 1, side: 1, ts_event: 0 };
    stage.publish(&[event(8, Some(Body::Trades(Trades { trades: vec![trade] })))]);
    assert_eq!((stage.refused(), kinds(&stage.take())), (vec![], vec!["Trades"]));
    // Without a tick size any price is one.
    stage.publish(&[
        Event { instrument: Some(declared(3, "")), ..quote(9, 10_001, 10_003) },
        snapshot_at_three(10),
    ]);
    assert_eq!(
        (stage.refused(), kinds(&stage.take())),
        (vec![], vec!["Quote", "BookSnapshot", "live"])
    );
}

/// A snapshot that says its scale and no tick size.
fn snapshot_at_three(seq: u64) -> Event {
    with(seq, declared(3, ""))
}

#[test]
fn after_a_refused_declaration_numbers_are_not_read_at_the_old_scales() {
    let mut stage = Stage::open();
    stage.publish(&[with(1, declared(2, "")), quote(2, 1000, 1001)]);
    assert_eq!(kinds(&stage.take()), ["BookSnapshot", "live", "Quote"]);
    // The publisher has begun to count in tenths; 100 is 10.0 now, and not 1.00.
    stage.publish(&[Event { instrument: Some(declared(1, "")), ..event(3, None) }]);
    assert_eq!(
        (stage.refused(), stage.take()),
        (vec!["wrong scale"], vec!["xetra.SAP resync".to_owned()])
    );
    stage.publish(&[quote(4, 100, 101), changes(5, &[(99, 1)])]);
    assert_eq!(stage.refused(), ["unknown instrument"; 2]);
    assert!(stage.reports.pop().unwrap().contains("symbol: \"its last declaration was refused"));
    assert_eq!(stage.take(), [""; 0]);
    stage.publish(&[with(6, declared(2, "")), quote(7, 1000, 1001)]);
    assert_eq!(kinds(&stage.take()), ["BookSnapshot", "Quote", "live"]);
}

#[test]
fn a_declaration_inside_a_refused_event_is_not_taken_and_not_forgotten() {
    let mut stage = Stage::open();
    stage.publish(&[with(1, declared(2, "0.01"))]);
    stage.take();
    // The scale grows together with a quote that cannot be: what follows is at a scale not taken.
    let refused = Event { instrument: Some(declared(3, "")), ..quote(2, 10_001, 10_000) };
    stage.publish(&[refused, quote(3, 10_000, 10_001)]);
    assert_eq!(stage.refused(), ["crossed", "unknown instrument"]);
    assert_eq!(stage.take(), ["xetra.SAP resync"]);
    // The same declaration as before inside a refused event changes nothing about it.
    stage.publish(&[with(4, declared(3, "")), quote(5, 10_000, 10_001)]);
    assert_eq!(stage.refused(), [""; 0]);
    let refused = Event { instrument: Some(declared(3, "")), ..quote(6, 10_001, 10_000) };
    stage.publish(&[refused, quote(7, 10_000, 10_001)]);
    assert_eq!(stage.refused(), ["crossed"]);
}
