//! Deliveries a second of one shard on one core: a pass from topics to subscribers and one send
//! each, with sockets that take everything and keep nothing. What is left out is the kernel.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tickcast_benches::{Timed, ratio_of_times};
use tickcast_gateway::{Arrival, Metrics, Rest, Shard, ShardSettings, Socket, Token, Transport};
use tickcast_market::{
    Directory, Event, EventBatch, EventBody, InstrumentIndex, InstrumentSpec, Nanos, Price, Quote,
    Scales, Size, SourceIndex, TradingState, Venue,
};
use tickcast_publisher::{Config, Partition, Publisher, Resync, ShardIndex, Tiers};
use tickcast_wire::Encoding;

const SCALES: Scales = Scales { price: 2, size: 3, volume: 3 };

/// Deliveries of one round, about.
const ROUND_DELIVERIES: usize = 200_000;

/// What all lines of a world have taken.
#[derive(Debug, Default)]
struct Taken {
    bytes: Cell<u64>,
    sends: Cell<u64>,
}

/// A line that has one request to give and takes whatever comes.
#[derive(Debug)]
struct Line {
    request: RefCell<Vec<u8>>,
    taken: Rc<Taken>,
}

impl Socket for Line {
    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let request = self.request.take();
        if request.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        buffer[..request.len()].copy_from_slice(&request);
        Ok(request.len())
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        divan::black_box(bytes);
        self.taken.bytes.set(self.taken.bytes.get() + bytes.len() as u64);
        self.taken.sends.set(self.taken.sends.get() + 1);
        Ok(bytes.len())
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How many clients want which of how many instruments, and how much a pass finds.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    clients: usize,
    instruments: usize,
    /// Of each client, one after the other around the instruments.
    symbols: usize,
    /// Instruments that change in a pass, one after the other.
    changes: usize,
}

const CASES: [Case; 4] = [
    Case { name: "1 frame a send", clients: 1000, instruments: 1, symbols: 1, changes: 1 },
    Case { name: "20 frames a send", clients: 1000, instruments: 20, symbols: 20, changes: 20 },
    Case {
        name: "20 of 500, 100 change",
        clients: 2000,
        instruments: 500,
        symbols: 20,
        changes: 100,
    },
    Case { name: "1 of 500, each alone", clients: 2000, instruments: 500, symbols: 1, changes: 1 },
];

struct World {
    case: Case,
    partition: Partition,
    shard: Shard<Line>,
    metrics: Metrics,
    taken: Rc<Taken>,
    now: Nanos,
    next: usize,
    bid: i64,
}

impl World {
    fn new(case: Case) -> World {
        let directory = Arc::new(Directory::default());
        for instrument in 0..case.instruments {
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
        let metrics = Metrics::new(&prometheus::Registry::new()).expect("names are good");
        let (feed, settings) = (publisher.feeds.remove(0), ShardSettings::default());
        let open = Arc::new(AtomicUsize::new(0));
        let hub = publisher.hub.clone();
        let shard = Shard::new(hub, ShardIndex(0), feed, settings, &metrics, open.clone(), 7);
        let partition = publisher.partitions.remove(0);
        let (taken, now) = (Rc::<Taken>::default(), Nanos::from_secs(1_780_000_000));
        let mut world =
            World { case, partition, shard, metrics, taken, now, next: 0, bid: 100_000 };
        for instrument in 0..case.instruments {
            world.event(instrument, EventBody::State(TradingState::Live));
        }
        for _ in 0..case.instruments {
            world.quotes(1);
        }
        for client in 0..case.clients {
            // A count of connections; it orders nothing.
            open.fetch_add(1, Ordering::Relaxed);
            world.connect(client);
        }
        world.settle();
        world.next = 0;
        world
    }

    fn connect(&mut self, client: usize) {
        let names = (0..self.case.symbols).map(|at| (client + at) % self.case.instruments);
        let names: Vec<String> = names.map(|at| format!("\"sim:S{at}-USD\"")).collect();
        let text = format!(
            "{{\"method\":\"subscribe\",\"params\":{{\"channel\":\"ticker\",\"symbol\":[{}]}}}}",
            names.join(",")
        );
        // A mask of zeros changes nothing.
        let mut request = vec![0x81, 0x80 | 126];
        request.extend((text.len() as u16).to_be_bytes());
        request.extend([0; 4]);
        request.extend(text.bytes());
        assert!(text.len() > 60, "a short request has a short head");
        if text.len() < 126 {
            request.splice(1..4, [0x80 | text.len() as u8]);
        }
        let line = Line { request: RefCell::new(request), taken: self.taken.clone() };
        let peer = SocketAddr::from(([127, 0, 0, 1], 1 + client as u16));
        let transport = Transport::WebSocket { encoding: Encoding::Json, compress: false };
        let token = self.shard.connect(self.now, line, Arrival::new(peer, transport));
        self.turn(&[token]);
    }

    fn turn(&mut self, readable: &[Token]) -> Rest {
        let rest = self.shard.turn(self.now, readable, &[]);
        self.shard.turned(self.now);
        rest
    }

    fn settle(&mut self) {
        while self.turn(&[]) == Rest::No {}
    }

    fn event(&mut self, instrument: usize, body: EventBody<'_>) {
        let mut batch = EventBatch::default();
        (batch.source, batch.clock) = (SourceIndex(0), self.now);
        batch.push(&event(instrument, self.now, body));
        self.partition.turn(self.now, &[batch]);
    }

    /// New bids of the next instruments, in one batch.
    fn quotes(&mut self, count: usize) {
        self.bid = 100_000 + (self.bid + 1) % 1000;
        let side = |price| Some((Price(price), Size(1000)));
        let quote = Quote { bid: side(self.bid), ask: side(200_000) };
        let mut batch = EventBatch::default();
        (batch.source, batch.clock) = (SourceIndex(0), self.now);
        for _ in 0..count {
            batch.push(&event(self.next, self.now, EventBody::Quote(quote)));
            self.next = (self.next + 1) % self.case.instruments;
        }
        self.partition.turn(self.now, &[batch]);
        self.now = self.now.plus(Nanos::from_micros(100));
    }

    fn delivered(&self) -> u64 {
        self.metrics.value("tickcast_gateway_messages_sent_total", &["ticker", "json"]) as u64
    }

    /// Passes in which everybody gets what it wants, and how long the shard took.
    fn play(&mut self, passes: usize) -> Duration {
        let mut time = Duration::ZERO;
        for _ in 0..passes {
            self.quotes(self.case.changes);
            let start = Instant::now();
            self.settle();
            time += start.elapsed();
        }
        time
    }
}

fn event(instrument: usize, now: Nanos, body: EventBody<'_>) -> Event<'_> {
    let instrument = InstrumentIndex(instrument as u32);
    Event { instrument, ts_event: now, ts_recv: now, scales: SCALES, body }
}

pub(crate) fn measure() {
    for case in CASES {
        let mut world = World::new(case);
        // Every change goes to `clients × symbols ÷ instruments` clients on average; whole
        // rounds of the instruments make that exact.
        let rounds = (ROUND_DELIVERIES / (case.clients * case.symbols)).max(1);
        let passes = rounds * case.instruments / case.changes;
        let deliveries = rounds * case.clients * case.symbols;
        let (before, sends) = (world.delivered(), world.taken.sends.get());
        world.play(passes);
        assert_eq!(world.delivered() - before, deliveries as u64, "{}", case.name);
        let sends = world.taken.sends.get() - sends;
        let least = (deliveries / case.changes) as u64;
        assert!((least..=deliveries as u64).contains(&sends), "{}: {sends} sends", case.name);
        assert!(world.taken.bytes.get() > 150 * world.delivered());
        let run = || world.play(passes);
        ratio_of_times(
            case.name,
            deliveries,
            &mut [Timed { name: "walk and flush", run: Box::new(run) }],
        );
    }
}
