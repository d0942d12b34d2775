//! Once their lists have grown, the handlers of Coinbase and Kraken allocate nothing for a message.

#![allow(unsafe_code, reason = "a counting allocator is a GlobalAlloc")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use tickcast_feed::{
    CoinbaseConfig, CoinbaseExchangeConfig, CoinbaseExchangeHandler, CoinbaseHandler, Command,
    ConnectionIndex, Handler, Io, KrakenConfig, KrakenHandler, Tally,
};
use tickcast_market::{Directory, Event, EventBatch, InstrumentIndex, InstrumentSpec, Nanos, Sink};

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

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[derive(Default)]
struct Batching {
    directory: Directory,
    batch: EventBatch,
    events: u64,
}

impl Sink for Batching {
    fn instrument(&mut self, spec: &InstrumentSpec) -> InstrumentIndex {
        self.directory.add(spec)
    }

    fn event(&mut self, event: &Event<'_>) {
        self.events += 1;
        self.batch.push(event);
    }
}

const ROUNDS: u64 = 200;

/// Gives the handler `first`, then `ROUNDS` rounds of messages, and counts the allocations of all
/// but the first ten rounds.
fn allocations(
    handler: &mut dyn Handler,
    first: &[String],
    round: impl Fn(u64) -> Vec<String>,
) -> (u64, u64) {
    let (mut sink, mut tally) = (Batching::default(), Tally::default());
    let mut commands: Vec<Command> = Vec::new();
    let connection = ConnectionIndex { line: 0, generation: 0 };
    let mut give = |sink: &mut Batching, message: &mut [u8]| {
        let io = &mut Io {
            sink,
            commands: &mut commands,
            tally: &mut tally,
            now: Nanos::from_secs(1_800_000_000),
        };
        handler.message(connection, message, io);
    };
    for message in first {
        give(&mut sink, message.clone().into_bytes().as_mut_slice());
    }
    let mut messages: Vec<Vec<Vec<u8>>> =
        (0..ROUNDS).map(|n| round(n).into_iter().map(String::into_bytes).collect()).collect();
    assert!(ALLOCATIONS.get() > ROUNDS, "the messages themselves were counted");
    let (mut before, mut events) = (0, 0);
    for (n, round) in messages.iter_mut().enumerate() {
        if n == 10 {
            (before, events) = (ALLOCATIONS.get(), sink.events);
        }
        for message in round {
            give(&mut sink, message);
        }
        sink.batch.clear();
    }
    let counted = ALLOCATIONS.get() - before;
    assert_eq!(tally.decode_errors, []);
    assert_eq!((tally.gaps, tally.checksum_failures), (0, 0));
    (counted, sink.events - events)
}

#[test]
fn a_message_allocates_nothing() {
    let mut handler = CoinbaseHandler::new(CoinbaseConfig::default());
    let message = |channel: &str, sequence: u64, event: &str| {
        format!(
            r#"{{"channel":"{channel}","timestamp":"2026-08-09T21:05:49.5Z","sequence_num":{sequence},"events":[{event}]}}"#
        )
    };
    let book = |kind: &str, size: u64| {
        format!(
            r#"{{"type":"{kind}","product_id":"BTC-USD","updates":[{{"side":"bid","event_time":"2026-08-09T21:05:48.1Z","price_level":"99.25","new_quantity":"{size}.00000001"}},{{"side":"offer","event_time":"2026-08-09T21:05:48.1Z","price_level":"100","new_quantity":"{size}"}}]}}"#
        )
    };
    let counted = allocations(&mut handler, &[message("l2_data", 0, &book("snapshot", 1))], |n| {
        let trade = format!(
            r#"{{"type":"update","trades":[{{"product_id":"BTC-USD","trade_id":"{}","price":"99.5","size":"0.5","time":"2026-08-09T21:05:48.1Z","side":"BUY"}},{{"product_id":"BTC-USD","trade_id":"{}","price":"99.5","size":"0.5","time":"2026-08-09T21:05:48.1Z","side":"BUY"}}]}}"#,
            2 * n + 1,
            2 * n,
        );
        let ticker = format!(
            r#"{{"type":"update","tickers":[{{"product_id":"BTC-USD","price":"99.5","volume_24_h":"{n}.25","low_24_h":"90","high_24_h":"101.5"}}]}}"#
        );
        vec![
            message("l2_data", 4 * n + 1, &book("update", n)),
            message("market_trades", 4 * n + 2, &trade),
            message("ticker", 4 * n + 3, &ticker),
            message("heartbeats", 4 * n + 4, "{}"),
        ]
    });
    assert_eq!(counted, (0, 3 * (ROUNDS - 10)), "coinbase: allocations, events");

    let mut handler = CoinbaseExchangeHandler::new(CoinbaseExchangeConfig::default());
    let snapshot = r#"{"type":"snapshot","product_id":"BTC-USD","asks":[["100.00","0.25"]],"bids":[["99.50","1.50000001"]]}"#;
    let counted = allocations(&mut handler, &[snapshot.to_owned()], |n| {
        let common = r#""product_id":"BTC-USD","time":"2026-09-30T02:03:12.699555Z""#;
        vec![
            format!(
                r#"{{"type":"l2update","changes":[["buy","99.50","{n}.5"],["sell","100","0.00"]],{common}}}"#
            ),
            format!(
                r#"{{"type":"match","trade_id":{n},"side":"sell","size":"0.5","price":"99.75",{common}}}"#
            ),
            format!(
                r#"{{"type":"ticker","price":"99.25","open_24h":"98.5","volume_24h":"{n}.28",{common}}}"#
            ),
            format!(r#"{{"type":"heartbeat","last_trade_id":{n},{common}}}"#),
        ]
    });
    assert_eq!(counted, (0, 3 * (ROUNDS - 10)), "coinbase-exchange: allocations, events");

    let mut handler = KrakenHandler::new(KrakenConfig::default());
    let book = |kind: &str, size: u64| {
        // The best ask's digits, then the best bid's.
        let digits = format!("1000110000000099{size}00000000");
        let checksum = crc32fast::hash(digits.as_bytes());
        format!(
            r#"{{"channel":"book","type":"{kind}","data":[{{"symbol":"BTC/USD","bids":[{{"price":9.9,"qty":{size}.00000000}}],"asks":[{{"price":1000.1,"qty":1.00000000}}],"checksum":{checksum},"timestamp":"2026-08-02T03:35:51.660084Z"}}]}}"#
        )
    };
    let counted = allocations(&mut handler, &[book("snapshot", 1)], |n| {
        vec![
            book("update", n + 1),
            format!(
                r#"{{"channel":"ticker","type":"update","data":[{{"symbol":"BTC/USD","bid":9.9,"bid_qty":{n}.5,"ask":1000.1,"ask_qty":0.25,"last":9.8,"volume":{n}.25,"low":9.0,"high":10.1,"change":-0.3}}]}}"#
            ),
            format!(
                r#"{{"channel":"trade","type":"update","data":[{{"symbol":"BTC/USD","side":"buy","price":9.5,"qty":0.5,"ord_type":"limit","trade_id":{n},"timestamp":"2026-08-02T03:35:52.1Z"}}]}}"#
            ),
            r#"{"channel":"heartbeat"}"#.to_owned(),
        ]
    });
    assert_eq!(counted, (0, 4 * (ROUNDS - 10)), "kraken: allocations, events");
}
