//! Where a feed's events leave it: one batch per publisher partition, sent over bounded channels,
//! in buffers that come back to be used again.
//!
//! Nothing is ever dropped here. A partition whose inbox is full keeps its batch in this outlet,
//! and whoever feeds it must stop reading until [`Outlet::flush`] succeeds.

use crate::delay::DelayCounts;
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use std::sync::Arc;
use tickcast_market::{
    Directory, Event, EventBatch, EventBody, InstrumentIndex, InstrumentSpec, Nanos, Sink,
    SourceIndex, TradingState,
};

/// An outlet is to be flushed when a batch holds so many events.
pub const BATCH_EVENTS_MAX: usize = 1024;

/// A partition that has got nothing for so long gets an empty batch with the clock, so that bars
/// close on a silent line.
pub const CLOCK_SPAN: Nanos = Nanos::from_millis(250);

/// The kinds of events, as they are labelled in metrics; [`EventCounts::by_kind`] has their order.
pub const EVENT_KINDS: [&str; 7] =
    ["quote", "trades", "book_snapshot", "book_update", "day", "bars", "state"];

/// Why a batch could not be handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlushError {
    /// A partition's inbox is full; the batch is kept. Try again and read nothing meanwhile.
    #[error("a publisher's inbox is full")]
    Full,
    /// A publisher has gone; nothing will ever be taken again. Stop.
    #[error("a publisher has gone")]
    Closed,
}

/// Events that passed since somebody last asked.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct EventCounts {
    /// In the order of [`EVENT_KINDS`].
    pub by_kind: [u64; EVENT_KINDS.len()],
    /// How long quotes, trades and changes of books were on their way from the venue, as far as it
    /// says when they happened.
    pub delays: DelayCounts,
}

/// How many instruments are in which state, by the number of [`TradingState`].
pub type StateCounts = [u64; 5];

#[derive(Debug)]
struct Lane {
    batch: EventBatch,
    sent_at: Nanos,
    sender: Sender<EventBatch>,
    recycled: Receiver<EventBatch>,
}

/// The sink of one source: a live venue, the simulator or a replay.
#[derive(Debug)]
pub struct Outlet {
    directory: Arc<Directory>,
    source: SourceIndex,
    lanes: Vec<Lane>,
    counts: EventCounts,
    states: Vec<Option<TradingState>>,
    state_counts: StateCounts,
}

/// The feeds' end of one partition's inbox; every outlet gets a clone.
#[derive(Clone, Debug)]
pub struct InboxSender {
    /// Takes batches.
    pub batches: Sender<EventBatch>,
    /// Gives emptied ones back.
    pub recycled: Receiver<EventBatch>,
}

impl InboxSender {
    /// The inbox of one partition with room for `batches_max` batches, and what the publisher
    /// needs of it: the batches of every source in the order of each, and the way back for
    /// emptied ones (use `try_send` and forget one that does not fit).
    pub fn bounded(batches_max: usize) -> (Self, Receiver<EventBatch>, Sender<EventBatch>) {
        let (batches, batches_out) = bounded(batches_max);
        // Twice the room, so that what is under way in both directions always fits.
        let (recycled, recycled_out) = bounded(batches_max.saturating_mul(2).max(1));
        (InboxSender { batches, recycled: recycled_out }, batches_out, recycled)
    }
}

impl Outlet {
    /// An outlet for `source` into the partitions whose inboxes these are, in order.
    ///
    /// *Panics* when there is no partition.
    pub fn new(
        source: SourceIndex,
        directory: Arc<Directory>,
        senders: Vec<Sender<EventBatch>>,
        recycled: Vec<Receiver<EventBatch>>,
    ) -> Outlet {
        assert!(!senders.is_empty(), "an outlet needs a partition to feed");
        assert_eq!(senders.len(), recycled.len(), "one way back for each partition");
        let lanes = senders
            .into_iter()
            .zip(recycled)
            .map(|(sender, recycled)| Lane {
                batch: empty(source),
                sent_at: Nanos::ZERO,
                sender,
                recycled,
            })
            .collect();
        Outlet {
            directory,
            source,
            lanes,
            counts: EventCounts::default(),
            states: Vec::new(),
            state_counts: StateCounts::default(),
        }
    }

    /// An outlet for `source` into these inboxes.
    pub fn to_inboxes(
        source: SourceIndex,
        directory: Arc<Directory>,
        inboxes: &[InboxSender],
    ) -> Outlet {
        let senders = inboxes.iter().map(|inbox| inbox.batches.clone()).collect();
        let recycled = inboxes.iter().map(|inbox| inbox.recycled.clone()).collect();
        Outlet::new(source, directory, senders, recycled)
    }

    /// Whether a batch has reached its maximum: flush before feeding more.
    pub fn is_due(&self) -> bool {
        self.lanes.iter().any(|lane| lane.batch.len() >= BATCH_EVENTS_MAX)
    }

    /// Hands every batch over that holds events; `clock` is the source's market clock.
    ///
    /// *Errors:* [`FlushError::Full`] when a partition could not take its batch (the others have
    /// got theirs), [`FlushError::Closed`] when its publisher has gone. *Cost:* never blocks,
    /// allocates nothing while recycled batches come back.
    pub fn flush(&mut self, clock: Nanos) -> Result<(), FlushError> {
        let mut outcome = Ok(());
        for lane in self.lanes.iter_mut().filter(|lane| !lane.batch.is_empty()) {
            if let Err(error) = lane.send(self.source, clock) {
                outcome = Err(error);
            }
        }
        outcome
    }

    /// As [`Outlet::flush`], for threads: waits until every partition has taken its batch.
    ///
    /// *Errors:* [`FlushError::Closed`]. *Cost:* blocks.
    pub fn flush_blocking(&mut self, clock: Nanos) -> Result<(), FlushError> {
        for lane in self.lanes.iter_mut().filter(|lane| !lane.batch.is_empty()) {
            let batch = lane.take(self.source, clock);
            lane.sender.send(batch).map_err(|_| FlushError::Closed)?;
        }
        Ok(())
    }

    /// Sends an empty batch with the clock to every partition that got nothing for
    /// [`CLOCK_SPAN`]. One that has no room needs no clock: it has work.
    ///
    /// *Errors:* [`FlushError::Closed`].
    pub fn beat(&mut self, clock: Nanos) -> Result<(), FlushError> {
        for lane in &mut self.lanes {
            let quiet = clock.since(lane.sent_at);
            if quiet >= CLOCK_SPAN || quiet < Nanos::ZERO {
                match lane.send(self.source, clock) {
                    Ok(()) | Err(FlushError::Full) => {}
                    Err(FlushError::Closed) => return Err(FlushError::Closed),
                }
            }
        }
        Ok(())
    }

    /// The events that passed since this was last called.
    pub fn take_counts(&mut self) -> EventCounts {
        std::mem::take(&mut self.counts)
    }

    /// How many of this source's instruments are in which state.
    pub fn state_counts(&self) -> StateCounts {
        self.state_counts
    }

    /// The instruments' directory.
    pub fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    fn note_state(&mut self, instrument: InstrumentIndex, state: TradingState) {
        let at = instrument.index();
        if self.states.len() <= at {
            self.states.resize(at + 1, None);
        }
        if let Some(before) = self.states[at].replace(state) {
            self.state_counts[before as usize] -= 1;
        }
        self.state_counts[state as usize] += 1;
    }
}

fn empty(source: SourceIndex) -> EventBatch {
    let mut batch = EventBatch::default();
    batch.source = source;
    batch
}

impl Lane {
    fn take(&mut self, source: SourceIndex, clock: Nanos) -> EventBatch {
        let mut next = self.recycled.try_recv().unwrap_or_default();
        next.clear();
        next.source = source;
        self.batch.clock = clock;
        self.sent_at = clock;
        std::mem::replace(&mut self.batch, next)
    }

    fn send(&mut self, source: SourceIndex, clock: Nanos) -> Result<(), FlushError> {
        if self.sender.is_full() {
            return Err(FlushError::Full);
        }
        let batch = self.take(source, clock);
        match self.sender.try_send(batch) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(batch)) => {
                // Another source was faster: the batch stays, the spare buffer is given up.
                self.batch = batch;
                Err(FlushError::Full)
            }
            Err(TrySendError::Disconnected(_)) => Err(FlushError::Closed),
        }
    }
}

impl Sink for Outlet {
    fn instrument(&mut self, spec: &InstrumentSpec) -> InstrumentIndex {
        let index = self.directory.add(spec);
        if self.states.get(index.index()).copied().flatten().is_none() {
            self.note_state(index, TradingState::default());
        }
        index
    }

    fn event(&mut self, event: &Event<'_>) {
        let kind = match event.body {
            EventBody::Quote(_) => 0,
            EventBody::Trades(_) => 1,
            EventBody::BookSnapshot(_) => 2,
            EventBody::BookUpdate(_) => 3,
            EventBody::Day(_) => 4,
            EventBody::Bars(..) => 5,
            EventBody::State(state) => {
                self.note_state(event.instrument, state);
                6
            }
        };
        self.counts.by_kind[kind] += 1;
        // Where the venue does not say when it happened, the time of receipt stands for it.
        if matches!(kind, 0 | 1 | 3) && event.ts_event != event.ts_recv {
            self.counts.delays.observe(event.ts_recv.since(event.ts_event));
        }
        let lane = event.instrument.partition(self.lanes.len());
        self.lanes[lane].batch.push(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tickcast_market::{Scales, Venue};

    fn spec(symbol: &str) -> InstrumentSpec {
        InstrumentSpec {
            venue: Venue::Sim,
            symbol: symbol.into(),
            venue_symbol: symbol.into(),
            tick_size: None,
            lot_size: None,
            scales: Scales::default(),
        }
    }

    fn state(instrument: InstrumentIndex, state: TradingState) -> Event<'static> {
        Event {
            instrument,
            ts_event: Nanos(1),
            ts_recv: Nanos(2),
            scales: Scales::default(),
            body: EventBody::State(state),
        }
    }

    struct Inbox {
        batches: Receiver<EventBatch>,
        recycled: Sender<EventBatch>,
    }

    fn outlet(partitions: usize, room: usize) -> (Outlet, Vec<Inbox>) {
        let inbox = |_| {
            let (sender, batches, recycled) = InboxSender::bounded(room);
            (sender, Inbox { batches, recycled })
        };
        let (senders, inboxes): (Vec<_>, Vec<_>) = (0..partitions).map(inbox).unzip();
        (Outlet::to_inboxes(SourceIndex(3), Arc::default(), &senders), inboxes)
    }

    #[test]
    fn each_instrument_goes_to_its_partition_with_source_and_clock() {
        let (mut outlet, inboxes) = outlet(2, 4);
        let a = outlet.instrument(&spec("A-USD"));
        let b = outlet.instrument(&spec("B-USD"));
        outlet.event(&state(a, TradingState::Live));
        outlet.event(&state(b, TradingState::Live));
        outlet.event(&state(a, TradingState::Stale));
        outlet.flush(Nanos(77)).unwrap();
        for (inbox, expected) in inboxes.iter().zip([2, 1]) {
            let batch = inbox.batches.try_recv().unwrap();
            assert_eq!(
                (batch.len(), batch.source, batch.clock),
                (expected, SourceIndex(3), Nanos(77))
            );
        }
        assert_eq!(outlet.state_counts(), [1, 0, 0, 1, 0]);
        assert_eq!(outlet.take_counts().by_kind[6], 3);
        assert_eq!(outlet.take_counts(), EventCounts::default());
    }

    #[test]
    fn a_full_inbox_keeps_the_batch_and_loses_nothing() {
        let (mut outlet, inboxes) = outlet(1, 1);
        let a = outlet.instrument(&spec("A-USD"));
        outlet.event(&state(a, TradingState::Live));
        outlet.flush(Nanos(1)).unwrap();
        outlet.event(&state(a, TradingState::Stale));
        assert_eq!(outlet.flush(Nanos(2)), Err(FlushError::Full));
        outlet.event(&state(a, TradingState::Resync));
        assert_eq!(outlet.flush(Nanos(3)), Err(FlushError::Full));
        assert_eq!(outlet.beat(Nanos::from_secs(9)), Ok(()), "no room is no error for a beat");
        assert_eq!(inboxes[0].batches.try_recv().unwrap().len(), 1);
        outlet.flush(Nanos(4)).unwrap();
        let batch = inboxes[0].batches.try_recv().unwrap();
        let states: Vec<_> = batch.iter().map(|event| event.body).collect();
        assert_eq!(
            states,
            [EventBody::State(TradingState::Stale), EventBody::State(TradingState::Resync)]
        );
    }

    #[test]
    fn buffers_come_back_and_are_used_again() {
        let (mut outlet, inboxes) = outlet(1, 2);
        let a = outlet.instrument(&spec("A-USD"));
        for round in 0..10 {
            outlet.event(&state(a, TradingState::Live));
            outlet.flush(Nanos(round)).unwrap();
            let batch = inboxes[0].batches.try_recv().unwrap();
            assert_eq!(batch.len(), 1, "a recycled batch starts empty");
            inboxes[0].recycled.try_send(batch).unwrap();
        }
    }

    #[test]
    fn a_silent_line_still_sends_the_clock() {
        let (mut outlet, inboxes) = outlet(1, 4);
        outlet.beat(Nanos::from_secs(10)).unwrap();
        outlet.beat(Nanos::from_secs(10).plus(Nanos::from_millis(249))).unwrap();
        outlet.beat(Nanos::from_secs(10).plus(Nanos::from_millis(250))).unwrap();
        let clocks: Vec<_> = inboxes[0].batches.try_iter().map(|b| (b.len(), b.clock)).collect();
        assert_eq!(clocks, [(0, Nanos::from_secs(10)), (0, Nanos::from_millis(10_250))]);
    }

    #[test]
    fn a_publisher_that_has_gone_is_told_apart_from_a_full_one() {
        let (mut outlet, inboxes) = outlet(1, 1);
        drop(inboxes);
        let a = outlet.instrument(&spec("A-USD"));
        outlet.event(&state(a, TradingState::Live));
        assert_eq!(outlet.flush(Nanos(1)), Err(FlushError::Closed));
        outlet.event(&state(a, TradingState::Live));
        assert_eq!(outlet.flush_blocking(Nanos(1)), Err(FlushError::Closed));
    }
}
