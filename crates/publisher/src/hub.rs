//! The read side: what shards and REST ask of the publisher.

use crate::cell::{Cell, Cells, Topic};
use crate::streams::Status;
use crate::topic::{ShardIndex, Tiers, TopicId, TopicKey};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tickcast_market::{Directory, Epoch, InstrumentIndex, Nanos, Seq, Since};
use tickcast_wire::{Encoding, FieldSet, Head, Kind, Pieces, StreamNumber, View};

/// Ticker field sets that a process encodes for, the full one included.
pub const FIELD_SETS_MAX: usize = 8;

/// Everything that shards share with the partitions.
#[derive(Debug)]
pub struct Hub {
    pub(crate) cells: Arc<Cells>,
    tiers: Arc<Tiers>,
    /// The sets that are encoded, and of how many topics each.
    field_sets: Mutex<Vec<(FieldSet, usize)>>,
    slots: Mutex<Slots>,
    /// How many topics each partition has.
    topics: Box<[AtomicUsize]>,
}

/// The topics' places: those that were given back are given out again, a generation later.
#[derive(Debug, Default)]
struct Slots {
    generations: Vec<u32>,
    free: Vec<u32>,
}

/// What is asked of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Which topic's view, fields and encoding.
    pub key: TopicKey,
    /// What the asker holds; [`Since::NOTHING`] or another epoch: a snapshot is the answer.
    pub since: Since,
    /// Answer even if nothing is new: the first message of a subscription always comes.
    pub always: bool,
    /// `trades` with `snapshot: false`: a snapshot without trades.
    pub bare: bool,
}

/// What an ask was answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// The asker holds everything already; nothing was written.
    Nothing,
    /// A complete WebSocket frame was appended.
    Frame {
        /// The epoch of `prev` and `seq`.
        epoch: Epoch,
        /// 0: a snapshot.
        prev: Seq,
        /// What the asker holds after it.
        seq: Seq,
        /// The instrument's status then: whoever gets the frame is told that one or a later one
        /// before.
        status: Seq,
        /// How many of the bytes are the WebSocket header.
        head_len: u8,
    },
}

/// Buffers that asking needs, kept and used again by each asker.
#[derive(Debug, Default)]
pub struct Scratch {
    pieces: Pieces,
}

impl Hub {
    pub(crate) fn new(cells: Arc<Cells>, tiers: Arc<Tiers>, partitions: usize) -> Hub {
        let field_sets = Mutex::new(vec![(FieldSet::ALL, 0)]);
        let topics = (0..partitions).map(|_| AtomicUsize::new(0)).collect();
        Hub { cells, tiers, field_sets, slots: Mutex::default(), topics }
    }

    /// The instruments of this process.
    pub fn directory(&self) -> &Arc<Directory> {
        self.cells.directory()
    }

    /// The tiers on offer.
    pub fn tiers(&self) -> &Tiers {
        &self.tiers
    }

    /// How many topics somebody listens to.
    pub fn topics(&self) -> usize {
        self.topics_by_partition().sum()
    }

    /// The same for each partition.
    pub fn topics_by_partition(&self) -> impl Iterator<Item = usize> {
        self.topics.iter().map(|topics| topics.load(Ordering::Relaxed)) // Only counts.
    }

    fn count_topic(&self, instrument: InstrumentIndex) -> &AtomicUsize {
        &self.topics[instrument.partition(self.topics.len())]
    }

    /// The field set that is granted for the wanted one: itself while the process has room for
    /// one more of its [`FIELD_SETS_MAX`], else [`FieldSet::ALL`].
    pub fn grant_fields(&self, wanted: FieldSet) -> FieldSet {
        let mut sets = self.field_sets.lock();
        if sets.iter().any(|(set, _)| *set == wanted) {
            return wanted;
        }
        if sets.len() == FIELD_SETS_MAX {
            // One that nobody listens to any more makes room.
            let idle = |(set, topics): &(FieldSet, usize)| *topics == 0 && *set != FieldSet::ALL;
            let Some(at) = sets.iter().position(idle) else { return FieldSet::ALL };
            sets.swap_remove(at);
        }
        sets.push((wanted, 0));
        wanted
    }

    /// Counts a topic of a field set more or less.
    fn count_fields(&self, key: &TopicKey, change: isize) {
        let mut sets = self.field_sets.lock();
        match sets.iter_mut().find(|(set, _)| *set == key.fields) {
            Some((_, topics)) => *topics = topics.saturating_add_signed(change),
            // It had to make room between being granted and being used.
            None if change > 0 => sets.push((key.fields, 1)),
            None => {}
        }
    }

    /// Registers a shard's interest in a topic (once per shard and topic) under the instrument's
    /// lock, and says from where on its frames will come: the topic's next frame has `prev` equal
    /// to the returned seq (or is of another epoch). The shard's mark for the topic starts there;
    /// read the snapshot afterwards. `None` when there is no such instrument.
    ///
    /// *Cost:* the instrument's write lock for a moment; allocates where the topic or its view is
    /// new.
    pub fn acquire(&self, shard: ShardIndex, key: &TopicKey) -> Option<(TopicId, Since)> {
        let cell = self.cells.get_or_make(key.instrument)?;
        let mut guarded = cell.guarded.write();
        if let Some(topic) = guarded.topics.iter_mut().find(|topic| topic.key == *key) {
            topic.shards |= shard.bit();
            return Some((topic.id, topic.sent));
        }
        if let View::Book(depth) = key.view {
            guarded.streams.book.keep(depth);
        }
        let sent = guarded.streams.now(key.view);
        if let Some(interest) = self.cells.interest() {
            interest.note(key.instrument);
        }
        let id = self.slots.lock().take();
        self.count_fields(key, 1);
        self.count_topic(key.instrument).fetch_add(1, Ordering::Relaxed); // Only a count.
        guarded.topics.push(Topic {
            id,
            key: *key,
            shards: shard.bit(),
            sent,
            due: Nanos::ZERO,
            queued: false,
        });
        Some((id, sent))
    }

    /// Takes a shard's interest back. Frames of the topic may still be under way.
    pub fn release(&self, shard: ShardIndex, key: &TopicKey, id: TopicId) {
        let Some(cell) = self.cells.get(key.instrument) else { return };
        let mut guarded = cell.guarded.write();
        let Some(at) = guarded.topics.iter().position(|topic| topic.id == id) else { return };
        let topic = &mut guarded.topics[at];
        topic.shards &= !shard.bit();
        if topic.shards == 0 {
            guarded.topics.swap_remove(at);
            guarded.release_view(key.view);
            if let Some(interest) = self.cells.interest() {
                interest.note(key.instrument);
            }
            self.slots.lock().give_back(id);
            self.count_fields(key, -1);
            self.count_topic(key.instrument).fetch_sub(1, Ordering::Relaxed); // Only a count.
        }
    }

    /// `diff(since)`, encoded: appends one WebSocket frame to `out` or nothing.
    ///
    /// *Cost:* holds the instrument's read lock while copying the pieces, encodes outside it;
    /// grows with the answer. An unknown instrument answers [`Served::Nothing`].
    pub fn serve(&self, ask: &Ask, now: Nanos, scratch: &mut Scratch, out: &mut Vec<u8>) -> Served {
        let Some(cell) = self.cells.get_or_make(ask.key.instrument) else { return Served::Nothing };
        let Some(status) = copy_out(cell, ask, &mut scratch.pieces) else {
            return Served::Nothing;
        };
        let head = scratch.pieces.head;
        let span =
            tickcast_wire::write_frame(out, ask.key.encoding, &cell.name, &scratch.pieces, now);
        Served::Frame {
            epoch: head.epoch,
            prev: match head.kind {
                Kind::Snapshot => Seq(0),
                Kind::Update { prev } => prev,
            },
            seq: head.seq,
            status,
            head_len: span.header_bytes,
        }
    }

    /// `diff(since)` alone, for who encodes otherwise: the pieces, lent from `scratch`; `None`
    /// where [`Hub::serve`] would answer [`Served::Nothing`].
    ///
    /// *Cost:* holds the instrument's read lock while copying; grows with the answer.
    pub fn pieces<'a>(&self, ask: &Ask, scratch: &'a mut Scratch) -> Option<&'a Pieces> {
        let cell = self.cells.get_or_make(ask.key.instrument)?;
        copy_out(cell, ask, &mut scratch.pieces).map(|_| &scratch.pieces)
    }

    /// The data element (`{...}`) of a snapshot alone, for REST. `false` when there is no such
    /// instrument.
    pub fn item(
        &self,
        key: &TopicKey,
        now: Nanos,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) -> bool {
        let Some(cell) = self.cells.get_or_make(key.instrument) else { return false };
        let ask = Ask { key: *key, since: Since::NOTHING, always: true, bare: false };
        if copy_out(cell, &ask, &mut scratch.pieces).is_none() {
            return false; // A replica that has not been told of it yet.
        }
        tickcast_wire::write_item(out, &cell.name, &scratch.pieces, now);
        true
    }

    /// A snapshot with everything that is kept, encoded as a message without a WebSocket's header:
    /// what a replica begins with. Returns where the stream then is; `None` when there is no such
    /// instrument.
    pub fn whole(
        &self,
        key: &TopicKey,
        now: Nanos,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) -> Option<(Since, Nanos)> {
        let cell = self.cells.get_or_make(key.instrument)?;
        let ts_recv = {
            let guarded = cell.guarded.read();
            guarded.streams.whole(key.view, &mut scratch.pieces);
            guarded.streams.ts_recv
        };
        let start = out.len();
        let pieces = &scratch.pieces;
        let span = tickcast_wire::write_frame(out, key.encoding, &cell.name, pieces, now);
        out.drain(start..start + usize::from(span.header_bytes));
        Some((Since { epoch: pieces.head.epoch, seq: pieces.head.seq }, ts_recv))
    }

    /// Whether there is something to read of a stream: always beside a publisher; of a replica once
    /// it has been told of.
    pub fn is_told(&self, instrument: InstrumentIndex, view: View) -> bool {
        match self.cells.get(instrument) {
            Some(cell) => !cell.guarded.read().streams.awaited.has(view),
            None => !self.cells.is_replica(),
        }
    }

    /// The views of a replica's instrument that somebody wants, the deepest book for any depth;
    /// in no order.
    pub fn wanted(&self, instrument: InstrumentIndex) -> Vec<View> {
        let Some(cell) = self.cells.get(instrument) else { return Vec::new() };
        let guarded = cell.guarded.read();
        let mut views: Vec<View> = Vec::new();
        for topic in &guarded.topics {
            let view = topic.key.view.carried_as();
            if !views.contains(&view) {
                views.push(view);
            }
        }
        views
    }

    /// Begins a run: every stream of data gets its first epoch. For a publisher that has just
    /// become the one that counts, and for one that starts within a second.
    ///
    /// *Cost:* each instrument's write lock for a moment.
    pub fn begin_run(&self, first: Epoch) {
        self.cells.begin_run(first);
    }

    /// Where a stream stands now; `None` for an instrument that nobody has asked for and nothing was
    /// heard of.
    ///
    /// *Cost:* the instrument's read lock for a moment.
    pub fn now(&self, instrument: InstrumentIndex, view: View) -> Option<Since> {
        Some(self.cells.get(instrument)?.guarded.read().streams.now(view))
    }

    /// The instrument's present status; `None` for one that this process does not know.
    pub fn status(&self, instrument: InstrumentIndex) -> Option<Status> {
        let cell = self.cells.get_or_make(instrument)?;
        Some(cell.guarded.read().streams.status)
    }

    /// Appends the WebSocket frame of a status snapshot under the instrument's `name`; returns its
    /// header's length.
    pub fn status_frame(
        &self,
        name: &str,
        status: &Status,
        encoding: Encoding,
        now: Nanos,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) -> u8 {
        scratch.pieces.head = Head {
            view: View::Status,
            kind: Kind::Snapshot,
            epoch: status.epoch,
            seq: status.seq,
            state: status.state,
            scales: tickcast_market::Scales::default(),
            ts_event: status.ts_state,
            stream: StreamNumber::default(),
            opens: true,
        };
        tickcast_wire::write_frame(out, encoding, name, &scratch.pieces, now).header_bytes
    }

    /// The epoch that this run's streams began with.
    pub fn run(&self) -> Epoch {
        self.cells.run()
    }
}

/// Copies the answer out, and says at which status; `None` when nothing is new.
fn copy_out(cell: &Cell, ask: &Ask, pieces: &mut Pieces) -> Option<Seq> {
    let guarded = cell.guarded.read();
    let status = guarded.streams.status.seq;
    if ask.bare && ask.key.view == View::Trades && ask.since.seq == Seq(0) {
        return guarded.streams.bare(pieces).then_some(status);
    }
    let any = guarded.streams.diff(ask.key.view, ask.key.fields, ask.since, ask.always, pieces);
    any.then_some(status)
}

impl Slots {
    fn take(&mut self) -> TopicId {
        if let Some(slot) = self.free.pop() {
            return TopicId { slot, generation: self.generations[slot as usize] };
        }
        self.generations.push(0);
        TopicId { slot: self.generations.len() as u32 - 1, generation: 0 }
    }

    fn give_back(&mut self, id: TopicId) {
        let generation = &mut self.generations[id.slot as usize];
        *generation = generation.wrapping_add(1);
        self.free.push(id.slot);
    }
}
