//! What a partition does while a reader is inside an instrument: nothing waits, nothing is lost.
//!
//! Only from inside the crate can a test hold the very lock that readers hold.

use crate::{
    Config, DEFERRED_EVENTS_MAX, Publisher, Resync, ShardIndex, Tier, Tiers, TopicId, TopicKey,
};
use std::sync::Arc;
use tickcast_market::{
    Directory, Event, EventBatch, EventBody, InstrumentIndex, InstrumentSpec, Nanos, Price, Scales,
    Side, Size, SourceIndex, Trade, Venue,
};

use tickcast_wire::{Encoding, FieldSet, View};

const A: InstrumentIndex = InstrumentIndex(0);
const B: InstrumentIndex = InstrumentIndex(1);
const START: Nanos = Nanos::from_secs(1_770_000_000);

fn publisher() -> Publisher {
    let directory = Arc::new(Directory::default());
    for symbol in ["A", "B"] {
        directory.add(&InstrumentSpec {
            venue: Venue::Sim,
            symbol: symbol.into(),
            venue_symbol: symbol.into(),
            tick_size: None,
            lot_size: None,
            scales: Scales::default(),
        });
    }
    let config = Config {
        run: 1_770_000_000,
        tiers: Tiers::default(),
        partitions: 1,
        wakes: vec![Arc::new(|| {})],
        resync: Resync(Arc::new(|_| true)),
    };
    Publisher::new(config, directory)
}

/// One trade each, with ids that rise.
fn trades(first: u64, instruments: &[InstrumentIndex]) -> EventBatch {
    let mut batch = EventBatch::default();
    (batch.source, batch.clock) = (SourceIndex(0), START);
    for (id, instrument) in (first..).zip(instruments) {
        let (price, size) = (Price(1), Size(1));
        let trade = Trade { id, price, size, side: Side::Buy, ts_event: START };
        batch.push(&Event {
            instrument: *instrument,
            ts_event: START,
            ts_recv: START,
            scales: Scales::default(),
            body: EventBody::Trades(&[trade]),
        });
    }
    batch
}

fn acquire(publisher: &Publisher, instrument: InstrumentIndex, tier: u8) -> TopicId {
    let (view, fields) = (View::Trades, FieldSet::ALL);
    let key = TopicKey { instrument, view, tier: Tier(tier), fields, encoding: Encoding::Json };
    publisher.hub.acquire(ShardIndex(0), &key).expect("a known instrument").0
}

/// The ids of all trades of `topic` that have come, in order.
fn ids(publisher: &Publisher, topic: TopicId) -> Vec<String> {
    let mut ids = Vec::new();
    while let Some(batch) = publisher.feeds[0].try_next() {
        for frame in batch.frames.iter().filter(|frame| frame.topic == topic) {
            let text = String::from_utf8(batch.message(frame).to_vec()).expect("JSON is UTF-8");
            let after = text.split("\"id\":\"").skip(1);
            ids.extend(after.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())));
        }
    }
    ids
}

#[test]
fn events_of_an_instrument_with_a_reader_inside_wait_and_others_do_not() {
    let mut publisher = publisher();
    let [a, b] = [A, B].map(|instrument| acquire(&publisher, instrument, 0));
    let hub = publisher.hub.clone();
    let mut partition = publisher.partitions.remove(0);

    let reader = hub.cells.get(A).expect("made when it was acquired").guarded.read();
    let turn = partition.turn(START, &[trades(1, &[A, B, A, A])]);
    assert_eq!((turn.events, turn.frames), (1, 1));
    assert_eq!(partition.next_due(START), START, "it wants to try again at once");
    assert_eq!(partition.turn(START, &[trades(5, &[A])]).events, 0);
    assert_eq!(ids(&publisher, b), ["2"]);
    drop(reader);

    assert_eq!(partition.turn(START, &[trades(6, &[A])]).events, 5);
    assert_eq!(ids(&publisher, a), ["1", "3", "4", "5", "6"], "what waited goes first");
    assert_eq!(partition.next_due(START), Nanos::MAX);
}

#[test]
fn a_frame_that_is_due_while_a_reader_is_inside_goes_out_afterwards() {
    let mut publisher = publisher();
    let topic = acquire(&publisher, A, 1);
    let hub = publisher.hub.clone();
    let mut partition = publisher.partitions.remove(0);
    partition.turn(START, &[trades(1, &[A])]);
    partition.turn(START, &[trades(2, &[A])]);
    assert_eq!(ids(&publisher, topic), ["1"], "the tier holds the second back");
    let due = partition.next_due(START);

    let reader = hub.cells.get(A).expect("made when it was acquired").guarded.read();
    assert_eq!(partition.turn(due, &[]).frames, 0);
    assert_eq!(partition.next_due(due), due);
    drop(reader);

    assert_eq!(partition.turn(due, &[]).frames, 1);
    assert_eq!(ids(&publisher, topic), ["2"]);
}

#[test]
fn a_partition_takes_no_more_in_when_too_much_waits() {
    let mut publisher = publisher();
    acquire(&publisher, A, 0);
    let hub = publisher.hub.clone();
    let mut partition = publisher.partitions.remove(0);
    let reader = hub.cells.get(A).expect("made when it was acquired").guarded.read();
    partition.turn(START, &[trades(0, &vec![A; DEFERRED_EVENTS_MAX - 1])]);
    assert!(partition.is_hungry());
    partition.turn(START, &[trades(0, &[A])]);
    assert!(!partition.is_hungry());
    drop(reader);
    assert_eq!(partition.turn(START, &[]).events, DEFERRED_EVENTS_MAX as u64);
    assert!(partition.is_hungry());
}
