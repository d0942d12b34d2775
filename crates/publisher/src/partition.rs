//! The one writer of its instruments: takes events, encodes what changed once per topic.

use crate::batch::{Batch, Frame, StateChange};
use crate::cell::{Cell, Cells, Guarded, Topic};
use crate::outbox::Outbox;
use crate::schedule::{OpenBar, Schedule};
use crate::streams::{Effects, Status, Streams};
use crate::topic::Tiers;
use rustc_hash::FxHashMap;
use std::fmt;
use std::sync::Arc;
use tickcast_market::{Event, EventBatch, InstrumentIndex, Nanos, Seq, SourceIndex, TradingState};
use tickcast_wire::{Kind, Pieces, View};

/// Events that wait because a reader was inside their instrument; beyond that a partition takes
/// nothing more in until they are applied, so that the feed stops reading.
pub const DEFERRED_EVENTS_MAX: usize = 65_536;

/// A batch is handed over before a turn's end when it has grown to this.
const BATCH_BYTES_MAX: usize = 4 << 20;

/// Asks an instrument's feed for a new snapshot of it alone; `false` when it cannot be asked now.
/// Must not block.
#[derive(Clone)]
pub struct Resync(pub Arc<dyn Fn(InstrumentIndex) -> bool + Send + Sync>);

impl fmt::Debug for Resync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resync")
    }
}

/// What a turn did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// Events applied.
    pub events: u64,
    /// Events whose numbers did not fit; they were left out.
    pub faults: u64,
    /// Frames encoded.
    pub frames: u64,
    /// Shards that missed a batch.
    pub overruns: u64,
}

/// One publisher partition. Owns its instruments' state; nobody else writes to it.
#[derive(Debug)]
pub struct Partition {
    cells: Arc<Cells>,
    tiers: Arc<Tiers>,
    outbox: Outbox,
    /// Instruments that changed and have topics; each once.
    dirty: Vec<InstrumentIndex>,
    is_dirty: Vec<bool>,
    /// Events of instruments that a reader was inside of.
    deferred: FxHashMap<InstrumentIndex, EventBatch>,
    deferred_events: usize,
    schedule: Schedule,
    resync: Resync,
    pieces: Pieces,
    effects: Effects,
    turn: Turn,
}

impl Partition {
    pub(crate) fn new(
        cells: Arc<Cells>,
        tiers: Arc<Tiers>,
        outbox: Outbox,
        resync: Resync,
    ) -> Partition {
        Partition {
            cells,
            tiers,
            outbox,
            dirty: Vec::new(),
            is_dirty: Vec::new(),
            deferred: FxHashMap::default(),
            deferred_events: 0,
            schedule: Schedule::default(),
            resync,
            pieces: Pieces::default(),
            effects: Effects::default(),
            turn: Turn::default(),
        }
    }

    /// One turn: apply everything that came, close bars, encode what is due, hand it to the
    /// shards. Never waits for anybody.
    ///
    /// *Cost:* allocates nothing per event or frame once its buffers have grown.
    pub fn turn(&mut self, now: Nanos, batches: &[EventBatch]) -> Turn {
        self.turn = Turn::default();
        self.apply_deferred(now);
        for batch in batches {
            self.apply_batch(now, batch);
        }
        self.close_bars();
        self.schedule.take_due_topics(now, |instrument| {
            mark(&mut self.dirty, &mut self.is_dirty, instrument);
        });
        self.encode_dirty(now);
        self.turn.overruns += self.outbox.hand_over(now);
        self.turn
    }

    /// Whether it takes more events now; if not, give it a turn without any first.
    pub fn is_hungry(&self) -> bool {
        self.deferred_events < DEFERRED_EVENTS_MAX
    }

    /// When it wants its next turn even without events; [`Nanos::MAX`] for never.
    pub fn next_due(&self, now: Nanos) -> Nanos {
        if self.dirty.is_empty() && self.deferred.is_empty() {
            self.schedule.next_topic_due()
        } else {
            now
        }
    }

    fn apply_batch(&mut self, now: Nanos, batch: &EventBatch) {
        self.schedule.advance(batch.source, batch.clock);
        let cells = self.cells.clone();
        for event in batch.iter() {
            let has_to_wait =
                !self.deferred.is_empty() && self.deferred.contains_key(&event.instrument);
            if has_to_wait || !self.apply(&cells, now, batch.source, &event) {
                self.defer(batch.source, &event);
            }
        }
    }

    fn defer(&mut self, source: SourceIndex, event: &Event<'_>) {
        let waiting = self.deferred.entry(event.instrument).or_default();
        waiting.source = source;
        waiting.push(event);
        self.deferred_events += 1;
    }

    /// Applies what had to wait, instrument by instrument, in order.
    fn apply_deferred(&mut self, now: Nanos) {
        if self.deferred.is_empty() {
            return;
        }
        let cells = self.cells.clone();
        let instruments: Vec<InstrumentIndex> = self.deferred.keys().copied().collect();
        for instrument in instruments {
            let Some(waiting) = self.deferred.remove(&instrument) else { continue };
            self.deferred_events -= waiting.len();
            for event in waiting.iter() {
                if self.deferred.contains_key(&instrument)
                    || !self.apply(&cells, now, waiting.source, &event)
                {
                    self.defer(waiting.source, &event);
                }
            }
        }
    }

    /// Applies one event; `false` when a reader is inside and it has to wait.
    fn apply(&mut self, cells: &Cells, now: Nanos, source: SourceIndex, event: &Event<'_>) -> bool {
        let Some(cell) = cells.get_or_make(event.instrument) else { return true };
        let Some(mut guarded) = cell.guarded.try_write() else { return false };
        self.turn.events += 1;
        let before = guarded.streams.status.state;
        let fits = guarded.streams.apply(event, &mut self.effects).is_ok();
        self.turn.faults += u64::from(!fits);
        let crossed = std::mem::take(&mut self.effects.crossed) && before == TradingState::Live;
        if crossed || !fits && before != TradingState::Resync {
            self.ask_for_resync(&mut guarded, event);
        }
        if !self.effects.opened.is_empty() {
            for (interval, start) in self.effects.opened.drain(..) {
                let bar = OpenBar { start, instrument: event.instrument, interval };
                self.schedule.open_bar(source, bar);
            }
        }
        let state_changed = std::mem::take(&mut self.effects.state_changed);
        if state_changed {
            self.tell(now, event.instrument, &guarded.streams.status);
        }
        if !guarded.topics.is_empty() {
            drop(guarded);
            mark(&mut self.dirty, &mut self.is_dirty, event.instrument);
        }
        true
    }

    /// A crossed book, or a number that does not fit: the instrument alone is marked and its feed
    /// asked, once, for a new snapshot. When the feed cannot take the request now the next such
    /// event asks again.
    fn ask_for_resync(&mut self, guarded: &mut Guarded, event: &Event<'_>) {
        if (self.resync.0)(event.instrument) {
            guarded.streams.state(TradingState::Resync, event.ts_recv, &mut self.effects);
        }
    }

    /// The instruments, for a replica's writer.
    pub(crate) fn cells(&self) -> &Arc<Cells> {
        &self.cells
    }

    /// An instrument that has topics is another now: its next turn encodes it.
    pub(crate) fn touch(&mut self, instrument: InstrumentIndex) {
        mark(&mut self.dirty, &mut self.is_dirty, instrument);
    }

    /// Tells every shard of a transition with the next hand-over.
    pub(crate) fn tell(&mut self, now: Nanos, instrument: InstrumentIndex, status: &Status) {
        self.outbox.batch_mut(now).states.push(StateChange {
            instrument,
            epoch: status.epoch,
            seq: status.seq,
            state: status.state,
            ts_state: status.ts_state,
        });
    }

    fn close_bars(&mut self) {
        let cells = &self.cells;
        let (dirty, is_dirty) = (&mut self.dirty, &mut self.is_dirty);
        self.schedule.close_bars(|bar| {
            let Some(cell) = cells.get(bar.instrument) else { return true };
            let Some(mut guarded) = cell.guarded.try_write() else { return false };
            if guarded.streams.close_bar(bar.interval, bar.start) && !guarded.topics.is_empty() {
                mark(dirty, is_dirty, bar.instrument);
            }
            true
        });
    }

    /// Encodes every topic of every changed instrument that may be sent now. An instrument with a
    /// reader inside stays for the next turn.
    fn encode_dirty(&mut self, now: Nanos) {
        let mut dirty = std::mem::take(&mut self.dirty);
        let cells = self.cells.clone();
        dirty.retain(|instrument| {
            let Some(cell) = cells.get(*instrument) else { return false };
            let Some(mut guarded) = cell.guarded.try_write() else { return true };
            self.is_dirty[instrument.index()] = false;
            self.encode_instrument(now, *instrument, cell, &mut guarded);
            false
        });
        // What came to be dirty meanwhile is nothing: this is the only writer.
        self.dirty = dirty;
    }

    fn encode_instrument(
        &mut self,
        now: Nanos,
        instrument: InstrumentIndex,
        cell: &Cell,
        guarded: &mut Guarded,
    ) {
        let Guarded { streams, topics } = guarded;
        for topic in topics {
            let at = streams.now(topic.key.view);
            if topic.sent == at {
                continue;
            }
            if topic.due > now {
                if !topic.queued {
                    topic.queued = true;
                    self.schedule.queue_topic(topic.due, instrument);
                }
                continue;
            }
            topic.queued = false;
            let key = &topic.key;
            if let View::Book(_) = key.view {
                streams.book.sum_up();
            }
            if !streams.diff(key.view, key.fields, topic.sent, false, &mut self.pieces) {
                continue;
            }
            topic.sent = at;
            topic.due = match self.tiers.interval(key.tier) {
                Nanos::ZERO => Nanos::ZERO,
                interval => now.plus(interval),
            };
            self.encode_frame(now, topic, cell, streams);
        }
    }

    fn encode_frame(&mut self, now: Nanos, topic: &Topic, cell: &Cell, streams: &Streams) {
        let batch: &mut Batch = self.outbox.batch_for(now, topic.shards);
        let encoding = topic.key.encoding;
        let head = self.pieces.head;
        let start = batch.bytes.len();
        let span =
            tickcast_wire::write_frame(&mut batch.bytes, encoding, &cell.name, &self.pieces, now);
        batch.frames.push(Frame {
            topic: topic.id,
            epoch: head.epoch,
            prev: match head.kind {
                Kind::Snapshot => Seq(0),
                Kind::Update { prev } => prev,
            },
            seq: head.seq,
            status: streams.status.seq,
            start: start as u32,
            len: (batch.bytes.len() - start) as u32,
            head_len: span.header_bytes,
            venue: cell.venue,
            ts_recv: streams.ts_recv,
        });
        let is_full = batch.bytes.len() >= BATCH_BYTES_MAX;
        self.turn.frames += 1;
        if is_full {
            self.turn.overruns += self.outbox.hand_over(now);
        }
    }
}

/// Adds an instrument to the dirty ones, once.
fn mark(dirty: &mut Vec<InstrumentIndex>, is_dirty: &mut Vec<bool>, instrument: InstrumentIndex) {
    let index = instrument.index();
    if index >= is_dirty.len() {
        is_dirty.resize(index + 1, false);
    }
    if !is_dirty[index] {
        is_dirty[index] = true;
        dirty.push(instrument);
    }
}
