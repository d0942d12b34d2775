//! An update on its way from a venue's event to the kernel allocates nothing, also where it is
//! compressed: counted by an allocator of this test's own, over real sockets, one by one and through
//! a ring. What a bomb allocates is counted in bytes.
// Replacing the allocator is the only way to count, and its trait is unsafe.
#![allow(unsafe_code)]

use flate2::{Compression, write::DeflateEncoder};
use prometheus::Registry;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};
use tickcast_gateway::{Arrival, FlushMode, Line, Metrics, Shard, ShardSettings, Token, Transport};
use tickcast_market::{
    BookChange, BookSide, Directory, Event, EventBatch, EventBody, InstrumentIndex, InstrumentSpec,
    Nanos, Price, Quote, Scales, Size, SourceIndex, TradingState, Venue,
};
use tickcast_publisher::{Config, Partition, Publisher, Resync, ShardIndex, Tiers};
use tickcast_wire::{Encoding, Request, write_request};

thread_local! {
    // Constant, and without a destructor: reading it never allocates. By thread, because the test
    // harness has threads of its own.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static BYTES: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator unchanged; counting does not allocate.
// `realloc` is left to the trait, which makes it of these two, and so it is counted too.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        BYTES.set(BYTES.get() + layout.size());
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

/// Longer than anything here should take; only a failure waits for so long.
const PATIENCE: Duration = Duration::from_secs(60);

const INSTRUMENTS: usize = 20;
const CLIENTS: usize = 50;
const SCALES: Scales = Scales { price: 2, size: 0, volume: 0 };

struct World {
    now: Nanos,
    partition: Partition,
    shard: Shard<Line>,
    clients: Vec<TcpStream>,
    tokens: Vec<Token>,
    batch: EventBatch,
    drained: Vec<u8>,
    received: usize,
    metrics: Metrics,
}

impl World {
    fn new(flush_mode: FlushMode) -> World {
        let directory = Arc::new(Directory::default());
        let config = Config {
            run: 1_770_000_000,
            tiers: Tiers::default(),
            partitions: 1,
            wakes: vec![Arc::new(|| ())],
            resync: Resync(Arc::new(|_| true)),
        };
        let mut publisher = Publisher::new(config, directory.clone());
        for number in 0..INSTRUMENTS {
            directory.add(&InstrumentSpec {
                venue: Venue::Sim,
                symbol: format!("S{number}"),
                venue_symbol: format!("S{number}"),
                tick_size: None,
                lot_size: None,
                scales: SCALES,
            });
        }
        let metrics = Metrics::new(&Registry::new()).unwrap();
        let mut shard = Shard::new(
            publisher.hub.clone(),
            ShardIndex(0),
            publisher.feeds.remove(0),
            ShardSettings { flush_mode, ..ShardSettings::default() },
            &metrics,
            Arc::new(AtomicUsize::new(0)),
            7,
        );
        assert_eq!(shard.choose_flush_mode().unwrap(), flush_mode);
        World {
            now: Nanos::from_secs(1_770_000_000),
            partition: publisher.partitions.remove(0),
            shard,
            clients: Vec::new(),
            tokens: Vec::new(),
            batch: EventBatch::default(),
            drained: vec![0; 1 << 20],
            received: 0,
            metrics,
        }
    }

    fn connect(&mut self, request: &str, encoding: Encoding, compress: bool) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (socket, peer) = listener.accept().unwrap();
        socket.set_nonblocking(true).unwrap();
        let line = Line::new(mio::net::TcpStream::from_std(socket), None);
        let transport = Transport::WebSocket { encoding, compress };
        let token = self.shard.connect(self.now, line, Arrival::new(peer, transport));
        let mut message = Vec::new();
        let request = Request::parse(request.as_bytes()).expect("a good request");
        write_request(&mut message, encoding, &request);
        client.write_all(&masked(0x80 | encoding.opcode(), &message)).unwrap();
        client.set_nonblocking(true).unwrap();
        self.clients.push(client);
        self.tokens.push(token);
    }

    /// Turns until so many requests have been read: they may take a while through the kernel.
    fn take_requests(&mut self, count: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.metrics.value("tickcast_gateway_requests_total", &["subscribe", "ok"])
            < count as i64
        {
            assert!(Instant::now() < deadline, "{count} requests come");
            self.shard.turn(self.now, &self.tokens, &[]);
        }
    }

    fn events(&mut self, body: impl Fn(usize) -> EventBody<'static>) {
        self.events_of(0..INSTRUMENTS, body);
    }

    fn events_of<'a>(&mut self, of: Range<usize>, body: impl Fn(usize) -> EventBody<'a>) {
        self.batch.clear();
        (self.batch.source, self.batch.clock) = (SourceIndex(0), self.now);
        for number in of {
            self.batch.push(&Event {
                instrument: InstrumentIndex(number as u32),
                ts_event: self.now,
                ts_recv: self.now,
                scales: SCALES,
                body: body(number),
            });
        }
        self.partition.turn(self.now, std::slice::from_ref(&self.batch));
    }

    /// One venue message for each instrument, a turn of everybody, and clients that read it all.
    fn round(&mut self, round: i64) {
        self.now = self.now.plus(Nanos::from_millis(20));
        self.events(|number| {
            let side = |price| Some((Price(price), Size(1 + round % 7)));
            let bid = 10_000 + number as i64 + round % 100;
            EventBody::Quote(Quote { bid: side(bid), ask: side(bid + 1) })
        });
        // Long enough to be compressed.
        let levels: [BookChange; 200] = std::array::from_fn(|at| {
            let at = at as i64;
            let side = if at < 100 { BookSide::Bid } else { BookSide::Ask };
            let price = if at < 100 { 9_000 - at } else { 20_000 + at };
            BookChange { side, price: Price(price), size: Size(1 + (at + round) % 9) }
        });
        self.events_of(0..1, |_| match round {
            0 => EventBody::BookSnapshot(&levels),
            _ => EventBody::BookUpdate(&levels),
        });
        self.shard.turn(self.now, &[], &[]);
        self.shard.turned(self.now);
        for client in &mut self.clients {
            while let Ok(some) = client.read(&mut self.drained) {
                assert!(some > 0, "the shard has closed a connection");
                self.received += some;
            }
        }
    }
}

/// A frame as a client sends it, its mask all zeros.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..=125 => frame.push(0x80 | length as u8),
        length => {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(length).expect("no longer than that").to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

/// Every client has all instruments in real time; half of them others at a tier and with fields. A
/// third get a book as well, compressed; another third speak protobuf.
fn check(mode: FlushMode) {
    let mut world = World::new(mode);
    world.events(|_| EventBody::State(TradingState::Live));
    for client in 0..CLIENTS {
        let options = if client % 2 == 0 { "" } else { r#","max_rate":10,"fields":["bid"]"# };
        let params = format!(r#"{{"channel":"ticker","symbol":["sim:*"]{options}}}"#);
        let subscribe = |params: &str| format!(r#"{{"method":"subscribe","params":{params}}}"#);
        let encoding = Encoding::ALL[usize::from(client % 3 == 1)];
        world.connect(&subscribe(&params), encoding, client % 3 == 0);
        if client % 3 == 0 {
            let book = subscribe(r#"{"channel":"book","symbol":["sim:S0"],"depth":100}"#);
            world.clients[client].write_all(&masked(0x81, book.as_bytes())).unwrap();
        }
    }
    world.take_requests(CLIENTS + CLIENTS.div_ceil(3));
    // Everything grows to its size; the timers go round several times.
    (0..200).for_each(|round| world.round(round));
    let name = "tickcast_gateway_compressed_messages_total";
    let sent_compressed = world.metrics.value(name, &["out"]);
    let (before, received) = (ALLOCATIONS.get(), world.received);
    (200..400).for_each(|round| world.round(round));
    let allocated = ALLOCATIONS.get() - before;
    let updates = 200 * INSTRUMENTS * CLIENTS / 2;
    assert!(world.received - received > 60 * updates, "{} bytes", world.received - received);
    let sent_compressed = world.metrics.value(name, &["out"]) - sent_compressed;
    assert_eq!(sent_compressed, 200 * CLIENTS.div_ceil(3) as i64);
    assert_eq!(allocated, 0, "in 200 rounds to {CLIENTS} clients, {mode}");
}

#[test]
fn an_update_allocates_nothing_on_its_way_one_send_each() {
    check(FlushMode::Send);
}

#[test]
fn an_update_allocates_nothing_on_its_way_through_a_ring() {
    match FlushMode::Uring.check() {
        Ok(()) => check(FlushMode::Uring),
        Err(error) => println!("SKIPPED: no io_uring here: {error}"),
    }
}

#[test]
fn a_bomb_is_closed_with_1009_and_allocates_less_than_64_kib() {
    // 60 KiB that say 60 MiB, and the shortest that say more than a message may.
    for inflated in [60 << 20, 65_537] {
        let mut out = DeflateEncoder::new(Vec::new(), Compression::best());
        out.write_all(&vec![b' '; inflated]).and_then(|()| out.flush()).unwrap();
        let bomb = &out.get_ref()[..out.get_ref().len() - 4];
        let mut world = World::new(FlushMode::Send);
        world.connect(r#"{"method":"ping"}"#, Encoding::Json, true);
        let tokens = world.tokens.clone();
        world.shard.turn(world.now, &tokens, &[]);
        for piece in bomb.chunks(8_000).enumerate() {
            let (first, last) = (piece.0 == 0, (piece.0 + 1) * 8_000 >= bomb.len());
            let opcode = if first { 0x41 } else { 0 };
            let fin = if last { 0x80 } else { 0 };
            world.clients[0].write_all(&masked(fin | opcode, piece.1)).unwrap();
        }
        let before = BYTES.get();
        let mut answer = Vec::with_capacity(4 << 10);
        let mut ended = false;
        // What was written may take a while to come through the kernel.
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            world.shard.turn(world.now, &tokens, &[]);
            ended = match world.clients[0].read(&mut world.drained) {
                Ok(some) => {
                    answer.extend_from_slice(&world.drained[..some]);
                    some == 0
                }
                Err(_) => false,
            };
            if ended {
                break;
            }
        }
        let allocated = BYTES.get() - before;
        assert!(ended, "it is closed");
        let most = (64 << 10) + bomb.len().next_power_of_two() * 2;
        assert!(allocated < most, "{allocated} bytes for a bomb of {}", bomb.len());
        let close = answer.windows(4).find(|four| four[0] == 0x88).expect("a close frame");
        assert_eq!(close[2..], 1009u16.to_be_bytes());
    }
}
