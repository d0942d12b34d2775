//! Publisher: events applied a second by one partition on one core, and the parts of it alone.
//!
//! `cargo bench -p tickcast-benches --bench publisher` prints `ratio` lines from interleaved
//! rounds; the seconds hold on one machine only, the ratios are the result. Goals: two million
//! events a second without a subscriber, one million with one topic for each instrument.
//!
//! For instruction counts, which repeat: `publisher turns quotes 1 2000` only plays turns, so that
//! `valgrind --tool=callgrind --collect-atstart=no --toggle-collect='*Partition*turn*'` may count
//! what they cost.

mod workload;

use std::sync::Arc;
use tickcast_benches::{Contender, ratio};
use tickcast_market::{
    Bar, Directory, Event, EventBatch, EventBody, InstrumentIndex, InstrumentSpec, Interval, Nanos,
    Price, Since, Venue, Volume,
};
use tickcast_publisher::{
    Ask, Config, Hub, Partition, Publisher, Resync, Scratch, ShardFeed, ShardIndex, Tier, Tiers,
    TopicKey,
};
use tickcast_wire::{Depth, Encoding, FieldSet, Pieces, TickerField, View};
use workload::{BATCH_EVENTS, INSTRUMENTS, Kind, NOW, SCALES};

/// Turns of one round.
const TURNS: usize = 2_000;

/// How often a part alone is done in one round.
const TIMES: usize = 100_000;

/// What time passes from one turn to the next: a million events a second.
const STEP: Nanos = Nanos::from_micros(BATCH_EVENTS as i64);

/// One partition, one shard, and the events that they are given.
struct World {
    hub: Arc<Hub>,
    partition: Partition,
    feed: ShardFeed,
    batches: Vec<EventBatch>,
    now: Nanos,
    turns: usize,
}

impl World {
    fn new(kind: Kind, topics: usize) -> World {
        let directory = Arc::new(Directory::default());
        for instrument in 0..INSTRUMENTS {
            directory.add(&InstrumentSpec {
                venue: Venue::Sim,
                symbol: format!("S{instrument}-USD"),
                venue_symbol: format!("S{instrument}"),
                tick_size: None,
                lot_size: None,
                scales: SCALES,
            });
        }
        let config = Config {
            run: 1_780_000_000,
            tiers: Tiers::default(),
            partitions: 1,
            wakes: vec![Arc::new(|| {})],
            resync: Resync(Arc::new(|_| panic!("these events need no resync"))),
        };
        let mut publisher = Publisher::new(config, directory);
        let mut world = World {
            hub: publisher.hub,
            partition: publisher.partitions.remove(0),
            feed: publisher.feeds.remove(0),
            batches: workload::batches(kind),
            now: NOW,
            turns: 0,
        };
        world.turn(&workload::opening(kind));
        for instrument in 0..INSTRUMENTS {
            for (view, tier, fields) in topic_list(kind).into_iter().take(topics) {
                let instrument = InstrumentIndex(instrument);
                let key = TopicKey { instrument, view, tier, fields, encoding: Encoding::Json };
                world.hub.acquire(ShardIndex(0), &key).expect("a known instrument");
            }
        }
        // Every batch once, so that all buffers have their size.
        world.play(world.batches.len());
        world
    }

    fn turn(&mut self, batch: &EventBatch) {
        let turn = self.partition.turn(self.now, std::slice::from_ref(batch));
        assert_eq!((turn.faults, turn.overruns), (0, 0));
        while self.feed.try_next().is_some() {}
        self.now = self.now.plus(STEP);
    }

    fn play(&mut self, turns: usize) {
        for _ in 0..turns {
            let at = self.turns % self.batches.len();
            let batch = std::mem::take(&mut self.batches[at]);
            self.turn(&batch);
            self.batches[at] = batch;
            self.turns += 1;
        }
    }
}

/// Topics that somebody may well have at once, the first being the one that the events are for.
fn topic_list(kind: Kind) -> Vec<(View, Tier, FieldSet)> {
    let some = FieldSet::NONE
        .with(TickerField::Last)
        .with(TickerField::Bid)
        .with(TickerField::Ask)
        .with(TickerField::Volume);
    let mut list = vec![
        (View::Ticker, Tier(0), FieldSet::ALL),
        (View::Book(Depth::TEN), Tier(0), FieldSet::ALL),
        (View::Trades, Tier(0), FieldSet::ALL),
        (View::Ticker, Tier(0), some),
        (View::Ticker, Tier(1), FieldSet::ALL),
        (View::Ticker, Tier(2), FieldSet::ALL),
        (View::Ticker, Tier(3), some),
        (View::Book(Depth::new(25).expect("an offered depth")), Tier(0), FieldSet::ALL),
        (View::Book(Depth::TEN), Tier(2), FieldSet::ALL),
        (View::Bars(Interval::M1), Tier(0), FieldSet::ALL),
    ];
    list.swap(0, kind as usize);
    list
}

fn whole_turns() {
    for kind in Kind::ALL {
        let mut worlds = [0, 1, 10].map(|topics| World::new(kind, topics));
        let names = ["no topic", "1 topic each", "10 topics each"];
        let mut contenders: Vec<Contender<'_>> = worlds
            .iter_mut()
            .zip(names)
            .map(|(world, name)| Contender { name, run: Box::new(|| world.play(TURNS)) })
            .collect();
        ratio(kind.name(), TURNS * BATCH_EVENTS, &mut contenders);
    }
}

/// One instrument with everything, to ask of.
fn ask_of(view: View, behind: Option<u64>, world: &World) -> Ask {
    let instrument = InstrumentIndex(0);
    let fields = FieldSet::ALL;
    let key = TopicKey { instrument, view, tier: Tier(0), fields, encoding: Encoding::Json };
    let mut scratch = Scratch::default();
    let whole = Ask { key, since: Since::NOTHING, always: true, bare: false };
    let head = world.hub.pieces(&whole, &mut scratch).expect("a snapshot").head;
    let since = behind.map_or(Since::NOTHING, |behind| Since {
        epoch: head.epoch,
        seq: tickcast_market::Seq(head.seq.0 - behind),
    });
    Ask { since, ..whole }
}

/// Full rings of trades and bars, and books with views of every depth.
fn grown(kind: Kind) -> World {
    let mut world = World::new(kind, 10);
    let depths = [100, 500].map(|depth| View::Book(Depth::new(depth).expect("an offered depth")));
    for view in depths.into_iter().chain([View::Ticker]) {
        let key = ask_of(view, None, &world).key;
        world.hub.acquire(ShardIndex(0), &key).expect("a known instrument");
    }
    let bar = |age: i64| Bar {
        start: Interval::M1.start_of(NOW).plus(Nanos::from_secs(-60 * age)),
        open: Price(6_890_000),
        high: Price(6_890_010),
        low: Price(6_889_990),
        close: Price(6_890_001),
        volume: Volume(123_456_789),
        trades: 9,
        closed: true,
    };
    let bars: Vec<_> = (1..500).rev().map(bar).collect();
    let mut batch = workload::empty();
    batch.push(&Event {
        instrument: InstrumentIndex(0),
        ts_event: NOW,
        ts_recv: NOW,
        scales: SCALES,
        body: EventBody::Bars(Interval::M1, &bars),
    });
    world.turn(&batch);
    world.play(world.batches.len());
    world
}

fn parts_alone() {
    let (quotes, books, trades) = (grown(Kind::Quotes), grown(Kind::Books), grown(Kind::Trades));
    let deep = View::Book(Depth::new(500).expect("an offered depth"));
    let hundred = View::Book(Depth::new(100).expect("an offered depth"));
    let minutes = View::Bars(Interval::M1);
    let cases = [
        ("ticker update", View::Ticker, Some(1), &quotes),
        ("ticker snapshot", View::Ticker, None, &trades),
        ("book 10 update", View::Book(Depth::TEN), Some(1), &books),
        ("book 10 snapshot", View::Book(Depth::TEN), None, &books),
        ("book 100 update", hundred, Some(1), &books),
        ("book 500 update", deep, Some(1), &books),
        ("book 500 snapshot", deep, None, &books),
        ("trades update, 3", View::Trades, Some(3), &trades),
        ("trades snapshot, 50", View::Trades, None, &trades),
        ("bars update, 1", minutes, Some(1), &trades),
        ("bars snapshot, 500", minutes, None, &trades),
    ];
    for (title, view, behind, world) in cases {
        let ask = ask_of(view, behind, world);
        let times = if behind.is_some() { TIMES } else { TIMES / 20 };
        let (mut scratch, mut to_encode) = (Scratch::default(), Scratch::default());
        let pieces = world.hub.pieces(&ask, &mut to_encode).expect("something new");
        let (mut out, mut binary) = (Vec::new(), Vec::new());
        let diff = || {
            for _ in 0..times {
                divan::black_box(world.hub.pieces(divan::black_box(&ask), &mut scratch));
            }
        };
        let encoding = || {
            for _ in 0..times {
                encode(Encoding::Json, divan::black_box(pieces), &mut out);
            }
        };
        let encoding_protobuf = || {
            for _ in 0..times {
                encode(Encoding::Protobuf, divan::black_box(pieces), &mut binary);
            }
        };
        ratio(
            title,
            times,
            &mut [
                Contender { name: "diff alone", run: Box::new(diff) },
                Contender { name: "JSON alone", run: Box::new(encoding) },
                Contender { name: "protobuf alone", run: Box::new(encoding_protobuf) },
            ],
        );
    }
}

fn encode(encoding: Encoding, pieces: &Pieces, out: &mut Vec<u8>) {
    out.clear();
    tickcast_wire::write_frame(out, encoding, "sim:S0-USD", pieces, NOW);
    divan::black_box(out);
}

/// Plays turns of one kind and nothing else, to be counted from outside.
fn only_turns(arguments: &[String]) {
    let kind = Kind::ALL.into_iter().find(|kind| kind.name() == arguments[0]).expect("a kind");
    let topics = arguments[1].parse().expect("how many topics");
    let turns: usize = arguments[2].parse().expect("how many turns");
    World::new(kind, topics).play(turns);
    println!("{} events", (turns + workload::BATCHES) * BATCH_EVENTS);
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "turns") {
        return only_turns(&arguments[at + 1..]);
    }
    whole_turns();
    parts_alone();
}
