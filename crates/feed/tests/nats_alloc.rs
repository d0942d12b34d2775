//! Once its lists have grown, the handler of events from NATS allocates nothing for an event, in either
//! form.

#![allow(unsafe_code, reason = "a counting allocator is a GlobalAlloc")]

#[path = "nats/messages.rs"]
mod messages;

use messages::{Body, Book, Event, Instrument, Level, Message, Quote, Trade, Trades, levels, line};
use prost::Message as _;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use tickcast_feed::{ConnectionIndex, Handler, Io, NatsConfig, NatsHandler, Tally};
use tickcast_market::{Event as MarketEvent, InstrumentIndex, InstrumentSpec, Nanos, Sink};

struct Counting;

thread_local! {
    /// Allocations of this thread; the test harness has threads of its own.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call is passed on to the system's allocator unchanged; counting touches only a
// thread-local cell without a destructor, which neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps GlobalAlloc's contract, which is the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[derive(Default)]
struct Count {
    events: u64,
}

impl Sink for Count {
    fn instrument(&mut self, _: &InstrumentSpec) -> InstrumentIndex {
        InstrumentIndex(0)
    }

    fn event(&mut self, _: &MarketEvent<'_>) {
        self.events += 1;
    }
}

fn events() -> Vec<Event> {
    let of = |body| Event { venue: "xetra".into(), symbol: "SAP".into(), body, ..Event::default() };
    let book = Book { bids: levels(&[(1000, 5), (999, 4)]), asks: levels(&[(1001, 7)]) };
    let trade = Trade { id: 7, price: 1001, size: 2, side: 1, ts_event: 0 };
    let quote = Quote { bid: Some(Level { price: 1000, size: 5 }), ask: None };
    let instrument = Some(Instrument { price_scale: 2, ..Instrument::default() });
    vec![
        Event { instrument, ..of(Some(Body::BookSnapshot(book.clone()))) },
        of(Some(Body::BookChanges(book))),
        of(Some(Body::Trades(Trades { trades: vec![trade] }))),
        of(Some(Body::Quote(quote))),
        of(Some(Body::Status(1))),
    ]
}

#[test]
fn an_event_in_either_form_allocates_nothing() {
    let lines: Vec<String> = events().iter().map(|event| line(event, (2, 0))).collect();
    for payload in [Message { events: events() }.encode_to_vec(), lines.join("\n").into_bytes()] {
        let mut message = [b"prices.x ", payload.as_slice()].concat();
        let mut handler = NatsHandler::new(NatsConfig::default());
        let (mut sink, mut tally, mut commands) = (Count::default(), Tally::default(), Vec::new());
        let connection = ConnectionIndex { line: 0, generation: 0 };
        let now = Nanos::from_secs(1_770_000_000);
        let mut io = Io { sink: &mut sink, commands: &mut commands, tally: &mut tally, now };
        handler.opened(connection, "nats://x", &mut io);
        handler.message(connection, &mut message, &mut io);
        let before = ALLOCATIONS.get();
        for _ in 0..1000 {
            handler.message(connection, &mut message, &mut io);
        }
        assert_eq!(ALLOCATIONS.get() - before, 0);
        // A state besides, with the first message.
        assert_eq!((sink.events, tally.decode_errors.len()), (1001 * 4 + 1, 0));
    }
}
