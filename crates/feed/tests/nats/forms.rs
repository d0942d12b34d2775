//! Whatever a publisher says, it means the same as protobuf and as lines of JSON.

use crate::messages::{
    Body, Book, Event, Heartbeat, Instrument, Level, Quote, Scales, Side, Trade, Trades, line,
};
use crate::stage::Stage;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

const SCALES: Scales = (3, 5);

fn level() -> impl Strategy<Value = Level> {
    // Mostly what fits together, now and then what is refused.
    let number = || {
        // On the tick size of 0.005, or beside it.
        prop_oneof![8 => (0..200_000i64).prop_map(|n| n * 5), 1 => 0..1_000_000i64, 1 => any::<i64>()]
    };
    (number(), number()).prop_map(|(price, size)| Level { price, size })
}

fn trade() -> impl Strategy<Value = Trade> {
    let times = prop_oneof![Just(0), 1..1_770_000_000_000_000i64];
    (any::<u64>(), level(), any::<bool>(), times).prop_map(|(id, level, buys, ts_event)| {
        let side = if buys { Side::Buy } else { Side::Sell } as i32;
        Trade { id, price: level.price, size: level.size, side, ts_event }
    })
}

fn body() -> impl Strategy<Value = Option<Body>> {
    let book =
        || (vec(level(), 0..6), vec(level(), 0..6)).prop_map(|(bids, asks)| Book { bids, asks });
    let quote =
        (option::of(level()), option::of(level())).prop_map(|(bid, ask)| Quote { bid, ask });
    prop_oneof![
        vec(trade(), 0..4).prop_map(|trades| Some(Body::Trades(Trades { trades }))),
        quote.prop_map(|quote| Some(Body::Quote(quote))),
        book().prop_map(|book| Some(Body::BookSnapshot(book))),
        book().prop_map(|book| Some(Body::BookChanges(book))),
        (1..=3).prop_map(|status| Some(Body::Status(status))),
        Just(Some(Body::Heartbeat(Heartbeat {}))),
        Just(None),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let symbol = prop_oneof!["[A-C]", "[!#-&(-)+./0-9;-Z\\[^-~]{1,8}"];
    let venue = prop_oneof![Just(String::new()), "[a-z0-9_-]{1,4}"];
    let seq = prop_oneof![3 => 0..4u64, 1 => any::<u64>()];
    let times = prop_oneof![Just(0), 1..1_770_000_000_000_000i64];
    let instrument = option::weighted(
        0.7,
        Just(Instrument {
            price_scale: SCALES.0,
            size_scale: SCALES.1,
            tick_size: "0.005".into(),
            lot_size: String::new(),
        }),
    );
    (venue, symbol, seq, times, instrument, body()).prop_map(
        |(venue, symbol, seq, ts_event, instrument, body)| Event {
            venue,
            symbol,
            seq,
            ts_event,
            instrument,
            body,
        },
    )
}

proptest! {
    #[test]
    fn both_forms_say_the_same(events in vec(event(), 1..20)) {
        let (mut binary, mut text) = (Stage::open(), Stage::open());
        binary.publish(&events);
        let lines: Vec<String> = events.iter().map(|event| line(event, SCALES)).collect();
        text.payload(lines.join("\n").as_bytes());
        prop_assert_eq!(binary.take(), text.take());
        prop_assert_eq!(&binary.tally, &text.tally);
        prop_assert_eq!(binary.reports, text.reports);
    }
}
