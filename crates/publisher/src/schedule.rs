//! What a partition has to do at a later moment: topics that a tier holds back, bars to close.

use crate::bars::CLOSE_DELAY;
use rustc_hash::FxHashMap;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use tickcast_market::{InstrumentIndex, Interval, Nanos, SourceIndex};

/// A bar that is not closed yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct OpenBar {
    pub(crate) start: Nanos,
    pub(crate) instrument: InstrumentIndex,
    pub(crate) interval: Interval,
}

/// Deadlines of one partition. Bounded: a topic is queued at most once, and an instrument has few
/// open bars.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    topics: BinaryHeap<Reverse<(Nanos, InstrumentIndex)>>,
    sources: FxHashMap<SourceIndex, Source>,
}

/// Bars go by their source's market clock, which in a replay is the recording's.
#[derive(Debug, Default)]
struct Source {
    clock: Nanos,
    bars: BinaryHeap<Reverse<(Nanos, OpenBar)>>,
}

impl Schedule {
    /// A topic of the instrument may be sent at `due`.
    pub(crate) fn queue_topic(&mut self, due: Nanos, instrument: InstrumentIndex) {
        self.topics.push(Reverse((due, instrument)));
    }

    /// Names the instruments that have topics due by `now`.
    pub(crate) fn take_due_topics(&mut self, now: Nanos, mut each: impl FnMut(InstrumentIndex)) {
        while let Some(Reverse((due, instrument))) = self.topics.peek().copied() {
            if due > now {
                return;
            }
            self.topics.pop();
            each(instrument);
        }
    }

    /// The earliest moment at which a topic is due.
    pub(crate) fn next_topic_due(&self) -> Nanos {
        self.topics.peek().map_or(Nanos::MAX, |Reverse((due, _))| *due)
    }

    /// A source's market clock has come to `clock`; it never goes back.
    pub(crate) fn advance(&mut self, source: SourceIndex, clock: Nanos) {
        let source = self.sources.entry(source).or_default();
        source.clock = source.clock.max(clock);
    }

    /// A bar was opened and is to be closed two seconds after its end.
    pub(crate) fn open_bar(&mut self, source: SourceIndex, bar: OpenBar) {
        let close_at = bar.start.plus(bar.interval.span()).plus(CLOSE_DELAY);
        self.sources.entry(source).or_default().bars.push(Reverse((close_at, bar)));
    }

    /// Closes bars whose time has come. One that `close` cannot close now (`false`) stays, and
    /// with it, for this time, its source's later ones.
    pub(crate) fn close_bars(&mut self, mut close: impl FnMut(&OpenBar) -> bool) {
        for source in self.sources.values_mut() {
            while let Some(Reverse((close_at, bar))) = source.bars.peek() {
                if *close_at > source.clock || !close(bar) {
                    break;
                }
                source.bars.pop();
            }
        }
    }
}
