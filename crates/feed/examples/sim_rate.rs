//! How many ticker updates a second the simulator makes on one core, copied into batches as a
//! feed thread would: `cargo run --release -p tickcast-feed --example sim_rate`.

use std::time::Instant;
use tickcast_feed::{Pace, Sim, SimConfig};
use tickcast_market::{Event, EventBatch, InstrumentIndex, InstrumentSpec, Nanos, Sink};

#[derive(Default)]
struct Batch {
    batch: EventBatch,
    instruments: u32,
    events: u64,
}

impl Sink for Batch {
    fn instrument(&mut self, _: &InstrumentSpec) -> InstrumentIndex {
        self.instruments += 1;
        InstrumentIndex(self.instruments - 1)
    }

    fn event(&mut self, event: &Event<'_>) {
        self.batch.push(event);
        self.events += 1;
    }
}

fn main() {
    for instruments in [1, 50, 500, 20_000] {
        for pace in [Pace::Steady, Pace::Natural] {
            measure(instruments, pace);
        }
    }
}

fn measure(instruments: u32, pace: Pace) {
    let config = SimConfig { instruments, rate: 1e6, pace, ..SimConfig::default() };
    let begin = Instant::now();
    let mut sim = Sim::new(config).expect("these values are in range");
    let mut sink = Batch::default();
    sim.start(Nanos::from_secs(1_780_000_000), &mut sink);
    let start = begin.elapsed();
    let (begin, before, mut updates) = (Instant::now(), sink.events, 0u64);
    while updates < 5_000_000 {
        sink.batch.clear();
        let due = sim.next_due().expect("the market is not quiet");
        updates += u64::from(sim.advance(due.plus(Nanos::from_millis(1)), &mut sink).updates);
    }
    let seconds = begin.elapsed().as_secs_f64();
    println!(
        "{instruments:>6} instruments, {pace:?}: {:.2} M updates/s, {:.0} ns each, {:.2} events \
         each; start {start:.1?}",
        updates as f64 / seconds / 1e6,
        seconds * 1e9 / updates as f64,
        (sink.events - before) as f64 / updates as f64,
    );
}
