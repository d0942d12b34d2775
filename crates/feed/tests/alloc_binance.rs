//! A decoded Binance message allocates nothing once buffers have their usual size.
//!
//! A test binary of its own, because it counts every allocation of its process: with one test per
//! thread at a time, counted per thread.

mod binance_support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use tickcast_feed::{
    BinanceConfig, BinanceHandler, ConnectionIndex, Handler, Io, RecordKind, RecordingReader, Tally,
};
use tickcast_market::{Event, EventBatch, InstrumentIndex, InstrumentSpec, Nanos, Sink};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

#[allow(unsafe_code, reason = "an allocator cannot be written without it")]
// SAFETY: every call is passed on to the system's allocator unchanged; the counter is a
// thread-local cell without destructor, so that counting neither allocates nor touches freed memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

fn count() {
    // A thread that is ending has no counter any more; nobody asks for it then.
    let _ = ALLOCATIONS.try_with(|allocations| allocations.set(allocations.get() + 1));
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations() -> u64 {
    ALLOCATIONS.with(Cell::get)
}

/// Takes events the way a feed's outlet does: into a batch whose buffers are used again.
#[derive(Default)]
struct Batched {
    batch: EventBatch,
    events: u64,
}

impl Sink for Batched {
    fn instrument(&mut self, _: &InstrumentSpec) -> InstrumentIndex {
        InstrumentIndex(0)
    }

    fn event(&mut self, event: &Event<'_>) {
        self.events += 1;
        self.batch.push(event);
    }
}

struct Line {
    handler: BinanceHandler,
    sink: Batched,
    commands: Vec<tickcast_feed::Command>,
    tally: Tally,
    bytes: Vec<u8>,
}

impl Line {
    fn new(general_only: bool) -> Line {
        let handler = BinanceHandler::new(BinanceConfig::default());
        Line {
            handler: if general_only { handler.general_only() } else { handler },
            sink: Batched::default(),
            commands: Vec::new(),
            tally: Tally::default(),
            bytes: Vec::with_capacity(1 << 20),
        }
    }

    /// How many allocations the handling of one record takes.
    fn feed(&mut self, kind: RecordKind, payload: &[u8]) -> u64 {
        self.bytes.clear();
        self.bytes.extend_from_slice(payload);
        let before = allocations();
        let mut io = Io {
            sink: &mut self.sink,
            commands: &mut self.commands,
            tally: &mut self.tally,
            now: Nanos::from_secs(1_700_000_000),
        };
        let connection = ConnectionIndex { line: 0, generation: 0 };
        match kind {
            RecordKind::Open => {
                let url = String::from_utf8_lossy(payload).into_owned();
                self.handler.opened(connection, &url, &mut io);
            }
            RecordKind::Recv => self.handler.message(connection, &mut self.bytes, &mut io),
            RecordKind::Rest => {
                let space = self.bytes.iter().position(|byte| *byte == b' ').unwrap();
                let (url, body) = self.bytes.split_at_mut(space);
                let url = std::str::from_utf8(url).unwrap();
                self.handler.rest(url, &mut body[1..], &mut io);
            }
            RecordKind::Send | RecordKind::Close => {}
        }
        let taken = allocations() - before;
        self.sink.batch.clear();
        taken
    }
}

#[test]
fn a_recorded_day_of_messages_allocates_nothing_after_the_first_pass() {
    let Some(folder) = binance_support::recordings() else { return };
    for general_only in [false, true] {
        let mut line = Line::new(general_only);
        let mut reader =
            RecordingReader::open(&folder.join("binance_btcusdt_650s.rec.gz")).unwrap();
        let (mut warm_up, mut counted, mut messages) = (0, 0, 0u64);
        while let Some(record) = reader.next().unwrap() {
            let taken = line.feed(record.kind, record.payload);
            messages += u64::from(record.kind == RecordKind::Recv);
            if messages <= 20_000 {
                warm_up += taken;
            } else {
                counted += taken;
            }
        }
        assert!(warm_up > 0, "the counter counts");
        assert_eq!(counted, 0, "allocations in {} messages", messages - 20_000);
        assert!(line.sink.events > 90_000, "{} events", line.sink.events);
    }
}

#[test]
fn each_kind_of_message_allocates_nothing_the_second_time() {
    let quote = |id: u64| {
        format!(
            r#"{{"stream":"btcusdt@bookTicker","data":{{"u":{id},"s":"BTCUSDT","b":"1.25000000","B":"1.00000000","a":"2.00000000","A":"1.00000000"}}}}"#
        )
    };
    let trade = |id: u64| {
        format!(
            r#"{{"stream":"btcusdt@trade","data":{{"e":"trade","E":1,"s":"BTCUSDT","t":{id},"p":"1.50000000","q":"1.00000000","T":1,"m":true,"M":true}}}}"#
        )
    };
    let depth = |id: u64| {
        let level = r#"["1.25000000","3.00000000"]"#;
        format!(
            r#"{{"stream":"btcusdt@depth@100ms","data":{{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":{id},"u":{id},"b":[{level},{level}],"a":[{level}]}}}}"#
        )
    };
    let day = |_: u64| {
        r#"{"stream":"btcusdt@ticker","data":{"e":"24hrTicker","E":1,"s":"BTCUSDT","o":"1.0","h":"2.5","l":"0.5","c":"2","v":"12.50"}}"#
            .to_string()
    };
    for general_only in [false, true] {
        let mut line = Line::new(general_only);
        line.feed(RecordKind::Open, b"wss://h/stream?streams=btcusdt@depth@100ms");
        let snapshot =
            br#"https://h/depth?symbol=BTCUSDT {"lastUpdateId":9999,"bids":[["1.25","1"]],"asks":[]}"#;
        line.feed(RecordKind::Rest, snapshot);
        // Ids of one length: a longer message than any before it may grow a buffer.
        for id in 10_000..11_000 {
            let messages = [quote(id), trade(id), depth(id), day(id)];
            for message in &messages {
                let taken = line.feed(RecordKind::Recv, message.as_bytes());
                assert!(id < 10_004 || taken == 0, "{taken} allocations: {message}");
            }
        }
        assert_eq!(line.sink.events, 2 + 4 * 1_000, "each message was an event");
        assert_eq!((line.tally.gaps, line.tally.decode_errors.len()), (0, 0));
    }
}
