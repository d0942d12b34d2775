//! A publisher of one partition with two instruments and two shards, and short ways to drive it.

use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tickcast_market::{
    BookChange, BookSide, Directory, Epoch, Event, EventBatch, EventBody, InstrumentIndex,
    InstrumentSpec, Nanos, Price, Quote, Scales, Seq, Side, Since, Size, SourceIndex, Trade, Venue,
};
use tickcast_publisher::{
    Config, Frame, Hub, Partition, Publisher, Resync, Scratch, ShardFeed, ShardIndex, StateChange,
    Tier, Tiers, TopicId, TopicKey, Turn, Wake,
};
use tickcast_wire::{Encoding, FieldSet, View};

pub(crate) const RUN: u64 = 1_770_000_000;
pub(crate) const START: Nanos = Nanos::from_secs(RUN as i64);
pub(crate) const EPOCH: u64 = RUN * Epoch::PER_RUN;
pub(crate) const A: InstrumentIndex = InstrumentIndex(0);
pub(crate) const B: InstrumentIndex = InstrumentIndex(1);
pub(crate) const SHARDS: [ShardIndex; 2] = [ShardIndex(0), ShardIndex(1)];

pub(crate) struct World {
    pub(crate) hub: Arc<Hub>,
    pub(crate) partition: Partition,
    pub(crate) feeds: Vec<ShardFeed>,
    pub(crate) now: Nanos,
    /// The scales that events are at.
    pub(crate) scales: Scales,
    pub(crate) source: SourceIndex,
    /// How often a feed was asked for a new snapshot, and whether it takes such requests.
    pub(crate) resyncs: Arc<AtomicUsize>,
    pub(crate) takes_resyncs: Arc<AtomicBool>,
}

/// What a shard was given in one go.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub(crate) batches: usize,
    pub(crate) states: Vec<StateChange>,
    pub(crate) frames: Vec<(Frame, Nanos, Value)>,
}

impl World {
    pub(crate) fn new() -> World {
        let scales = Scales { price: 1, size: 0, volume: 0 };
        let directory = Arc::new(Directory::default());
        for symbol in ["A-USD", "B-USD"] {
            directory.add(&InstrumentSpec {
                venue: Venue::Sim,
                symbol: symbol.into(),
                venue_symbol: symbol.into(),
                tick_size: None,
                lot_size: None,
                scales,
            });
        }
        let resyncs = Arc::new(AtomicUsize::new(0));
        let takes_resyncs = Arc::new(AtomicBool::new(true));
        let (asked, takes) = (resyncs.clone(), takes_resyncs.clone());
        let config = Config {
            run: RUN,
            tiers: Tiers::default(),
            partitions: 1,
            wakes: SHARDS.map(|_| Arc::new(|| {}) as Wake).into(),
            // Relaxed: the partition is driven by the thread that reads these.
            resync: Resync(Arc::new(move |_| {
                asked.fetch_add(1, Ordering::Relaxed);
                takes.load(Ordering::Relaxed)
            })),
        };
        let mut publisher = Publisher::new(config, directory);
        World {
            hub: publisher.hub,
            partition: publisher.partitions.remove(0),
            feeds: publisher.feeds,
            now: START,
            scales,
            source: SourceIndex(0),
            resyncs,
            takes_resyncs,
        }
    }

    /// A turn now with these events of `A`.
    pub(crate) fn turn(&mut self, bodies: &[EventBody<'_>]) -> Turn {
        let events: Vec<_> = bodies.iter().map(|body| (A, *body)).collect();
        self.turn_of(&events)
    }

    pub(crate) fn turn_of(&mut self, events: &[(InstrumentIndex, EventBody<'_>)]) -> Turn {
        let mut batch = EventBatch::default();
        (batch.source, batch.clock) = (self.source, self.now);
        for (instrument, body) in events {
            batch.push(&Event {
                instrument: *instrument,
                ts_event: self.now,
                ts_recv: self.now,
                scales: self.scales,
                body: *body,
            });
        }
        self.partition.turn(self.now, &[batch])
    }

    pub(crate) fn pass(&mut self, millis: i64) {
        self.now = self.now.plus(Nanos::from_millis(millis));
    }

    /// Registers the first shard's interest in a view of `A`.
    pub(crate) fn acquire(&self, view: View, tier: u8) -> (TopicId, Since) {
        self.hub.acquire(SHARDS[0], &key(view, tier)).expect("a known instrument")
    }

    /// Everything that has come to a shard.
    pub(crate) fn take(&mut self, shard: ShardIndex) -> Taken {
        let mut taken = Taken::default();
        while let Some(batch) = self.feeds[usize::from(shard.0)].try_next() {
            taken.batches += 1;
            taken.states.extend(&batch.states);
            for frame in &batch.frames {
                let message: Value =
                    serde_json::from_slice(batch.message(frame)).expect("a frame is JSON");
                taken.frames.push((*frame, batch.ts_publish, message["data"][0].clone()));
            }
        }
        taken
    }

    /// The data item of a snapshot now.
    pub(crate) fn item(&self, view: View) -> Value {
        let mut item = Vec::new();
        let known = self.hub.item(&key(view, 0), self.now, &mut Scratch::default(), &mut item);
        assert!(known);
        serde_json::from_slice(&item).expect("an item is JSON")
    }
}

pub(crate) fn key(view: View, tier: u8) -> TopicKey {
    let (tier, fields) = (Tier(tier), FieldSet::ALL);
    TopicKey { instrument: A, view, tier, fields, encoding: Encoding::Json }
}

pub(crate) fn quote(bid: i64, ask: i64) -> EventBody<'static> {
    let side = |price| Some((Price(price), Size(1)));
    EventBody::Quote(Quote { bid: side(bid), ask: side(ask) })
}

pub(crate) fn trade(id: u64, price: i64, ts_event: Nanos) -> Trade {
    Trade { id, price: Price(price), size: Size(2), side: Side::Buy, ts_event }
}

pub(crate) fn bid(price: i64, size: i64) -> BookChange {
    BookChange { side: BookSide::Bid, price: Price(price), size: Size(size) }
}

pub(crate) fn ask(price: i64, size: i64) -> BookChange {
    BookChange { side: BookSide::Ask, price: Price(price), size: Size(size) }
}

pub(crate) fn seq(item: &Value) -> Seq {
    Seq(item["seq"].as_u64().expect("a seq"))
}
