//! A running market allocates nothing: counted by an allocator of this test's own.
// Replacing the allocator is the only way to count, and its trait is unsafe.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use tickcast_feed::{Pace, Sim, SimConfig};
use tickcast_market::{Event, InstrumentIndex, InstrumentSpec, Nanos, Sink};

thread_local! {
    // Constant, and without a destructor: reading it never allocates. By thread, because the test
    // harness has threads of its own.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static BYTES: Cell<i64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator unchanged; counting does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        BYTES.set(BYTES.get() + layout.size() as i64);
        // SAFETY: the caller keeps the contract of `alloc`, which is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        BYTES.set(BYTES.get() - layout.size() as i64);
        // SAFETY: `pointer` came from `alloc` above with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[derive(Default)]
struct Count {
    instruments: u32,
    events: u64,
}

impl Sink for Count {
    fn instrument(&mut self, _: &InstrumentSpec) -> InstrumentIndex {
        self.instruments += 1;
        InstrumentIndex(self.instruments - 1)
    }

    fn event(&mut self, _: &Event<'_>) {
        self.events += 1;
    }
}

#[test]
fn a_running_market_allocates_nothing_and_is_small() {
    for (pace, instruments) in [(Pace::Natural, 20_000), (Pace::Steady, 20_000), (Pace::Steady, 50)]
    {
        let before = BYTES.get();
        let config = SimConfig { instruments, rate: 1e6, pace, ..SimConfig::default() };
        let mut sim = Sim::new(config).unwrap();
        let mut sink = Count::default();
        sim.start(Nanos::from_secs(1_780_000_000), &mut sink);
        let bytes = BYTES.get() - before;
        assert!(bytes < 100_000_000, "{bytes} bytes for {instruments} instruments");

        let (allocations, events) = (ALLOCATIONS.get(), sink.events);
        let mut updates = 0;
        while updates < 500_000 {
            let due = sim.next_due().expect("never quiet");
            updates += sim.advance(due.plus(Nanos::from_millis(1)), &mut sink).updates;
        }
        assert!(sink.events - events >= 500_000);
        assert_eq!(ALLOCATIONS.get(), allocations, "{pace:?} {instruments}");
    }
}
