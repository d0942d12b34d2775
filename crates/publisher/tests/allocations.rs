//! A running publisher allocates nothing for events and frames: counted by an allocator of this
//! test's own.
// Replacing the allocator is the only way to count, and its trait is unsafe.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use tickcast_market::{
    BookChange, BookSide, Directory, Event, EventBatch, EventBody, InstrumentIndex, InstrumentSpec,
    Interval, Nanos, Price, Quote, Scales, Seq, Side, Since, Size, SourceIndex, Trade,
    TradingState, Venue,
};
use tickcast_publisher::{
    Ask, Config, Hub, Partition, Publisher, Resync, Scratch, Served, ShardFeed, ShardIndex, Tier,
    Tiers, TopicKey, Wake,
};
use tickcast_wire::{Depth, Encoding, FieldSet, TickerField, View};

thread_local! {
    // Constant, and without a destructor: reading it never allocates. By thread, because the test
    // harness has threads of its own.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator unchanged; counting does not allocate.
// `realloc` is left to the trait, which makes it of these two, and so it is counted too.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the contract of `alloc`, which is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `alloc` above with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const INSTRUMENTS: u32 = 20;
const START: Nanos = Nanos::from_secs(1_780_000_000);
const SCALES: Scales = Scales { price: 2, size: 8, volume: 8 };
const SHARDS: usize = 2;

struct World {
    hub: Arc<Hub>,
    partition: Partition,
    feeds: Vec<ShardFeed>,
    batch: EventBatch,
    random: u64,
    now: Nanos,
}

/// Real time and tiers, whole and chosen fields, two depths, trades, bars; in both encodings.
fn keys(instrument: u32) -> Vec<TopicKey> {
    let instrument = InstrumentIndex(instrument);
    let sides = FieldSet::NONE.with(TickerField::Bid).with(TickerField::Ask);
    let deep = Depth::new(100).expect("an offered depth");
    let topics = [
        (View::Ticker, 0, FieldSet::ALL),
        (View::Ticker, 0, sides),
        (View::Ticker, 1, FieldSet::ALL),
        (View::Ticker, 3, sides),
        (View::Book(Depth::TEN), 0, FieldSet::ALL),
        (View::Book(deep), 2, FieldSet::ALL),
        (View::Trades, 0, FieldSet::ALL),
        (View::Trades, 2, FieldSet::ALL),
        (View::Bars(Interval::S1), 0, FieldSet::ALL),
        (View::Bars(Interval::M1), 1, FieldSet::ALL),
    ];
    let mut keys = Vec::with_capacity(topics.len() * Encoding::ALL.len());
    for (view, tier, fields) in topics {
        let tier = Tier(tier);
        keys.extend(Encoding::ALL.map(|encoding| TopicKey {
            instrument,
            view,
            tier,
            fields,
            encoding,
        }));
    }
    keys
}

impl World {
    fn new() -> World {
        let directory = Arc::new(Directory::default());
        for number in 0..INSTRUMENTS {
            directory.add(&InstrumentSpec {
                venue: Venue::Sim,
                symbol: format!("S{number}-USD"),
                venue_symbol: format!("S{number}"),
                tick_size: None,
                lot_size: None,
                scales: SCALES,
            });
        }
        let config = Config {
            run: 1_780_000_000,
            tiers: Tiers::default(),
            partitions: 1,
            wakes: (0..SHARDS).map(|_| Arc::new(|| {}) as Wake).collect(),
            resync: Resync(Arc::new(|_| true)),
        };
        let mut publisher = Publisher::new(config, directory);
        let mut batch = EventBatch::default();
        batch.source = SourceIndex(1);
        let mut world = World {
            hub: publisher.hub,
            partition: publisher.partitions.remove(0),
            feeds: publisher.feeds,
            batch,
            random: 1,
            now: START,
        };
        for number in 0..INSTRUMENTS {
            world.push(number, EventBody::State(TradingState::Live));
            for (shard, key) in keys(number).iter().enumerate() {
                let shard = ShardIndex((shard % SHARDS) as u8);
                world.hub.acquire(shard, key).expect("a known instrument");
            }
        }
        world.turn();
        world
    }

    fn below(&mut self, below: u64) -> i64 {
        self.random =
            self.random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((self.random >> 33) % below) as i64
    }

    fn push(&mut self, instrument: u32, body: EventBody<'_>) {
        let instrument = InstrumentIndex(instrument);
        let (ts_event, ts_recv, scales) = (self.now, self.now, SCALES);
        self.batch.push(&Event { instrument, ts_event, ts_recv, scales, body });
    }

    /// Any event of an instrument; the first half of them have quotes, the others take their
    /// ticker from the book.
    fn any_event(&mut self) {
        let instrument = self.below(u64::from(INSTRUMENTS)) as u32;
        match self.below(3) {
            0 if instrument < INSTRUMENTS / 2 => {
                let bid = Price(6_890_000 + self.below(100));
                let size = Size(self.below(1 << 30) + 1);
                let quote = Quote { bid: Some((bid, size)), ask: Some((Price(bid.0 + 1), size)) };
                self.push(instrument, EventBody::Quote(quote));
            }
            0 | 1 => {
                let changes: [BookChange; 3] = std::array::from_fn(|_| {
                    let bid = self.below(2) == 0;
                    let offset = self.below(200) + 1;
                    BookChange {
                        side: if bid { BookSide::Bid } else { BookSide::Ask },
                        price: Price(6_890_000 + if bid { -offset } else { offset }),
                        size: Size(self.below(3) * 100_000_000),
                    }
                });
                self.push(instrument, EventBody::BookUpdate(&changes));
            }
            _ => {
                let price = Price(6_890_000 + self.below(100));
                let trade = Trade {
                    id: self.random,
                    price,
                    size: Size(self.below(1 << 30) + 1),
                    side: Side::Buy,
                    ts_event: self.now,
                };
                self.push(instrument, EventBody::Trades(&[trade]));
            }
        }
    }

    /// A turn with all events that were pushed; the shards take what came and let go of it.
    fn turn(&mut self) -> (u64, u64) {
        self.batch.clock = self.now;
        let turn = self.partition.turn(self.now, std::slice::from_ref(&self.batch));
        assert_eq!((turn.faults, turn.overruns), (0, 0));
        self.batch.clear();
        for feed in &self.feeds {
            while feed.try_next().is_some() {}
        }
        (turn.events, turn.frames)
    }

    /// Turns of one to forty events, and of none.
    fn play(&mut self, turns: usize, pass: Nanos) -> (u64, u64) {
        let (mut events, mut frames) = (0, 0);
        for _ in 0..turns {
            for _ in 0..self.below(41) {
                self.any_event();
            }
            self.now = self.now.plus(pass);
            let turn = self.turn();
            (events, frames) = (events + turn.0, frames + turn.1);
        }
        (events, frames)
    }
}

#[test]
fn a_turn_allocates_nothing_for_events_and_frames() {
    let mut world = World::new();
    // All rings get full, those of hours too; then time goes on so that most trades find their bar
    // and some open one.
    world.play(5_000, Interval::H1.span());
    let pass = Nanos::from_millis(250);
    world.play(5_000, pass);
    let before = ALLOCATIONS.get();
    let (events, frames) = world.play(20_000, pass);
    let allocations = ALLOCATIONS.get() - before;
    assert!(events > 300_000 && frames > 300_000, "{events} events, {frames} frames");
    assert_eq!(allocations, 0, "in {events} events and {frames} frames");
}

#[test]
fn an_answer_allocates_nothing() {
    let mut world = World::new();
    world.play(2_000, Nanos::from_millis(250));
    let (mut scratch, mut out) = (Scratch::default(), Vec::new());
    let mut answer = |key: &TopicKey, since: Since| {
        out.clear();
        let ask = Ask { key: *key, since, always: true, bare: false };
        world.hub.serve(&ask, world.now, &mut scratch, &mut out)
    };
    let mut served = 0;
    let mut before = 0;
    for round in 0..100 {
        // The first round lets the buffers grow.
        if round == 1 {
            before = ALLOCATIONS.get();
        }
        for key in (0..INSTRUMENTS).flat_map(keys) {
            let Served::Frame { epoch, seq, .. } = answer(&key, Since::NOTHING) else {
                panic!("a snapshot is always answered")
            };
            let since = Since { epoch, seq: Seq(seq.0.saturating_sub(3)) };
            served += u64::from(answer(&key, since) != Served::Nothing);
        }
    }
    assert_eq!(served, 100 * 10 * 2 * u64::from(INSTRUMENTS));
    // `keys` itself is one list for each instrument.
    assert_eq!(ALLOCATIONS.get() - before, 99 * u64::from(INSTRUMENTS));
}
