//! The numbers that stand for streams in protobuf: small, and never two things in one process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tickcast_market::Interval;
use tickcast_wire::{DEPTHS, StreamNumber, View};

/// Ticker, trades, the depths of the book, the intervals of bars.
const VIEWS: u32 = 2 + DEPTHS.len() as u32 + Interval::ALL.len() as u32;

/// The numbers of one instrument's streams in one epoch: a run of [`VIEWS`] from `first` on.
#[derive(Clone, Debug)]
pub(crate) struct StreamNumbers {
    first: u32,
    /// The next run that nobody has.
    free: Arc<AtomicU32>,
}

impl Default for StreamNumbers {
    /// The first of a process; 0 stands for no stream.
    fn default() -> StreamNumbers {
        StreamNumbers { first: 1, free: Arc::new(AtomicU32::new(1 + VIEWS)) }
    }
}

impl StreamNumbers {
    /// A run of numbers of its own.
    pub(crate) fn next(&self) -> StreamNumbers {
        let mut next = self.clone();
        next.begin_epoch();
        next
    }

    /// Another epoch: what stood for the streams of the last one never stands for these.
    pub(crate) fn begin_epoch(&mut self) {
        // Relaxed: each number is handed out once, and the instrument's lock publishes it.
        self.first = self.free.fetch_add(VIEWS, Ordering::Relaxed);
    }

    /// What stands for a view's stream.
    pub(crate) fn of(&self, view: View) -> StreamNumber {
        let place = match view {
            View::Status => return StreamNumber::default(),
            View::Ticker => 0,
            View::Trades => 1,
            View::Book(depth) => 2 + depth.index() as u32,
            View::Bars(interval) => 2 + DEPTHS.len() as u32 + interval as u32,
        };
        StreamNumber(self.first.wrapping_add(place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use tickcast_wire::Depth;

    #[test]
    fn no_number_stands_for_two_streams() {
        let process = StreamNumbers::default();
        let views = [View::Ticker, View::Trades]
            .into_iter()
            .chain(DEPTHS.map(|depth| View::Book(Depth::new(depth).unwrap())))
            .chain(Interval::ALL.map(View::Bars));
        let views: Vec<View> = views.collect();
        assert_eq!(views.len(), VIEWS as usize);
        let mut seen = HashSet::from([process.of(View::Status)]);
        for _ in 0..3 {
            let mut instrument = process.next();
            for _ in 0..3 {
                views
                    .iter()
                    .for_each(|view| assert!(seen.insert(instrument.of(*view)), "{view:?}"));
                instrument.begin_epoch();
            }
        }
    }
}
