//! A batch of events on its way from a feed to a publisher, in buffers that are used again.

use crate::event::{
    Bar, BookChange, DayStats, Event, EventBody, Interval, Quote, Trade, TradingState,
};
use crate::instrument::InstrumentIndex;
use crate::number::Scales;
use crate::time::Nanos;
use std::ops::Range;

/// The number of a feed line within this process: one venue, or one replay. Each has its own
/// market clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SourceIndex(pub u16);

#[derive(Clone, Debug, PartialEq)]
enum StoredBody {
    Quote(Quote),
    Trades(Range<u32>),
    BookSnapshot(Range<u32>),
    BookUpdate(Range<u32>),
    Day(DayStats),
    Bars(Interval, Range<u32>),
    State(TradingState),
}

/// An event whose lists lie in the batch that holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredEvent {
    /// Of which instrument.
    pub instrument: InstrumentIndex,
    ts_event: Nanos,
    ts_recv: Nanos,
    scales: Scales,
    body: StoredBody,
}

/// Events of one source in order of receipt. Copying an event in allocates nothing once the
/// buffers have grown to their usual size.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EventBatch {
    /// Whose events these are.
    pub source: SourceIndex,
    /// The source's market clock when the batch was closed: wall time on a live line, the
    /// recording's time in a replay. Bars are closed by it.
    pub clock: Nanos,
    events: Vec<StoredEvent>,
    changes: Vec<BookChange>,
    trades: Vec<Trade>,
    bars: Vec<Bar>,
}

fn append<T: Copy>(buffer: &mut Vec<T>, items: &[T]) -> Range<u32> {
    let start = buffer.len() as u32;
    buffer.extend_from_slice(items);
    start..buffer.len() as u32
}

fn slice<'a, T>(buffer: &'a [T], range: &Range<u32>) -> &'a [T] {
    &buffer[range.start as usize..range.end as usize]
}

impl EventBatch {
    /// Copies an event in.
    pub fn push(&mut self, event: &Event<'_>) {
        let body = match event.body {
            EventBody::Quote(quote) => StoredBody::Quote(quote),
            EventBody::Trades(trades) => StoredBody::Trades(append(&mut self.trades, trades)),
            EventBody::BookSnapshot(levels) => {
                StoredBody::BookSnapshot(append(&mut self.changes, levels))
            }
            EventBody::BookUpdate(levels) => {
                StoredBody::BookUpdate(append(&mut self.changes, levels))
            }
            EventBody::Day(day) => StoredBody::Day(day),
            EventBody::Bars(interval, bars) => {
                StoredBody::Bars(interval, append(&mut self.bars, bars))
            }
            EventBody::State(state) => StoredBody::State(state),
        };
        self.events.push(StoredEvent {
            instrument: event.instrument,
            ts_event: event.ts_event,
            ts_recv: event.ts_recv,
            scales: event.scales,
            body,
        });
    }

    /// The event at `index`, borrowed from the batch. *Panics* when there is none.
    pub fn get(&self, index: usize) -> Event<'_> {
        let stored = &self.events[index];
        let body = match &stored.body {
            StoredBody::Quote(quote) => EventBody::Quote(*quote),
            StoredBody::Trades(range) => EventBody::Trades(slice(&self.trades, range)),
            StoredBody::BookSnapshot(range) => EventBody::BookSnapshot(slice(&self.changes, range)),
            StoredBody::BookUpdate(range) => EventBody::BookUpdate(slice(&self.changes, range)),
            StoredBody::Day(day) => EventBody::Day(*day),
            StoredBody::Bars(interval, range) => {
                EventBody::Bars(*interval, slice(&self.bars, range))
            }
            StoredBody::State(state) => EventBody::State(*state),
        };
        Event {
            instrument: stored.instrument,
            ts_event: stored.ts_event,
            ts_recv: stored.ts_recv,
            scales: stored.scales,
            body,
        }
    }

    /// The events in order.
    pub fn iter(&self) -> impl Iterator<Item = Event<'_>> {
        (0..self.events.len()).map(|index| self.get(index))
    }

    /// How many events it holds.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Empties it and keeps the buffers.
    pub fn clear(&mut self) {
        self.events.clear();
        self.changes.clear();
        self.trades.clear();
        self.bars.clear();
    }
}
