//! The third step of a turn: batches are walked, and who wants a frame is marked.
//!
//! Nothing is sent here. A frame goes to every connection that is current on its topic; a
//! connection that cannot take it now owes the topic from here on. A topic of which this shard has
//! missed something is served by diff from its mark, once for all, before it goes on.

use crate::owing::Owed;
use crate::sent_kind::SentKind;
use crate::shard::Shard;
use crate::shard_pass::NONE;
use crate::socket::Socket;
use crate::topics::Verdict;
use std::sync::Arc;
use tickcast_market::{InstrumentIndex, Nanos, Seq, Since};
use tickcast_publisher::{Ask, Batch, Frame, Served, StateChange, Status};
use tickcast_wire::{Channel, Encoding};

/// Batches that one pass takes at most; more wait in the channel, which has a bound of its own.
const BATCHES_MAX: usize = 64;

/// Bytes of frames that a shard encodes itself in one pass, beyond which it takes nothing more in.
const OWN_BYTES_MAX: usize = 16 << 20;

/// Topics that one turn of an overrun shard checks.
const SWEEP_TOPICS_MAX: usize = 256;

/// A batch that is being walked: a pass may be full before its end.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    batch: Option<Arc<Batch>>,
    states: usize,
    frames: usize,
}

/// What is left to be checked after batches were lost.
#[derive(Debug, Default)]
pub(crate) struct Sweep {
    next: usize,
    left: usize,
    /// How large the table was when `left` was counted.
    slots: usize,
}

impl Sweep {
    pub(crate) fn is_under_way(&self) -> bool {
        self.left > 0
    }
}

impl<S: Socket> Shard<S> {
    /// Takes whatever batches have arrived, unless a pass is under way.
    pub(crate) fn take_batches(&mut self) {
        self.notice_instruments();
        if self.pass.is_done() {
            self.pass.clear();
        }
        self.batches_wait = !self.pass.is_fresh();
        // What is checked after a loss does not wait for more to gather.
        let gathers = self.pace.now() < self.gather_until && !self.sweep.is_under_way();
        if self.batches_wait || gathers {
            return;
        }
        if self.feed.take_overrun() {
            self.tally.overruns += 1;
            self.sweep.slots = self.topics.slot_count();
            self.sweep.left = self.sweep.slots;
        }
        for taken in 0.. {
            self.batches_wait = taken == BATCHES_MAX || !self.has_room();
            if self.batches_wait || !self.walk_batch() {
                break;
            }
            self.gather_until = self.pace.now().plus(self.settings.flush_interval);
        }
        if self.batches_wait {
            self.gather_until = Nanos::ZERO; // What was left behind has gathered long enough.
        }
        self.sweep_some();
        self.pass.rotate();
    }

    fn has_room(&self) -> bool {
        self.pass.len() < self.settings.pass_frames_max && self.pass.own_len() < OWN_BYTES_MAX
    }

    /// Walks the batch that was begun, or the next one, as far as the pass has room; whether there
    /// was one.
    fn walk_batch(&mut self) -> bool {
        let mut walk = std::mem::take(&mut self.walk);
        let Some(batch) = walk.batch.take().or_else(|| self.feed.try_next()) else { return false };
        // An instrument's status goes before its data.
        while walk.states < batch.states.len() && self.has_room() {
            let StateChange { instrument, epoch, seq, state, ts_state } = batch.states[walk.states];
            self.tell_status(instrument, &Status { epoch, seq, state, ts_state });
            walk.states += 1;
        }
        if walk.frames < batch.frames.len() {
            let number = self.pass.hold(batch.clone());
            while walk.frames < batch.frames.len() && self.has_room() {
                self.walk_frame(number, &batch.frames[walk.frames]);
                walk.frames += 1;
            }
        }
        if walk.states < batch.states.len() || walk.frames < batch.frames.len() {
            self.walk = Walk { batch: Some(batch), ..walk };
        }
        true
    }

    fn walk_frame(&mut self, batch: u32, frame: &Frame) {
        let Some(topic) = self.topics.of_frame(frame) else { return };
        let verdict = topic.judge(frame.epoch, frame.prev, frame.seq);
        let (kind, instrument) = (SentKind::of(&topic.key), topic.key.instrument);
        match verdict {
            Verdict::Old => {}
            // It would show a state that has been left since.
            Verdict::Next
                if frame.prev == Seq(0) && frame.status < self.topics.told_status(instrument) =>
            {
                self.catch_up(frame.topic.slot);
            }
            Verdict::Next => {
                self.tell_status_before(instrument, frame.status);
                let since = Since { epoch: frame.epoch, seq: frame.seq };
                let number = self.pass.frame_of_batch(batch, frame, kind, instrument);
                self.deliver(frame.topic.slot, number, since);
            }
            Verdict::Gap => self.catch_up(frame.topic.slot),
        }
    }

    /// Serves a topic by diff from its mark to all who are current on it.
    fn catch_up(&mut self, slot: u32) {
        let Some(topic) = self.topics.get(slot) else { return };
        let ask = Ask { key: topic.key, since: topic.mark, always: false, bare: false };
        let start = self.pass.own_mut().len();
        let served = self.hub.serve(&ask, self.now, &mut self.scratch, self.pass.own_mut());
        if let Served::Frame { epoch, prev, seq, status, head_len } = served {
            let (kind, instrument) = (SentKind::of(&ask.key), ask.key.instrument);
            let number =
                self.pass.frame_of_own(start, head_len, kind, instrument, (epoch, prev, seq));
            self.tell_status_before(instrument, status);
            self.deliver(slot, number, Since { epoch, seq });
        }
    }

    /// Puts a frame into the chain of every connection that is current on the topic, and sets the
    /// mark to what they hold then.
    fn deliver(&mut self, slot: u32, number: u32, mark: Since) {
        let Shard { topics, pass, lanes, connections, tally, serving, .. } = self;
        let Some(topic) = topics.get_mut(slot) else { return };
        topic.mark = mark;
        for subscriber in &mut topic.subscribers {
            let lane = &mut lanes[subscriber.connection as usize];
            if !lane.shut && subscriber.is_current() {
                pass.append(lane, subscriber.connection, number, subscriber.membership());
                continue;
            }
            let connection = &mut connections[subscriber.connection as usize];
            if subscriber.is_owing() {
                connection.account.merged += 1;
                tally.merged += 1;
                continue;
            }
            let frame = &pass.frames[number as usize];
            let bare = subscriber.take_bare() && frame.prev == Seq(0);
            subscriber.set_owing(true);
            connection.owing.get_or_insert_default().push(Owed {
                membership: subscriber.membership(),
                since: Since { epoch: frame.epoch, seq: frame.prev },
                first: bare,
                bare,
            });
            tally.note_lag(connection);
            if !lane.shut && !std::mem::replace(&mut connection.queued, true) {
                serving.push_back(subscriber.connection);
            }
        }
    }

    /// Tells an instrument's status to all its subscribers here, unless they know a newer one.
    pub(crate) fn tell_status(&mut self, instrument: InstrumentIndex, status: &Status) {
        let since = Since { epoch: status.epoch, seq: status.seq };
        let Some(local) = self.topics.instrument_mut(instrument) else { return };
        if (since.epoch, since.seq) <= (local.status.epoch, local.status.seq) {
            return;
        }
        local.status = since;
        self.snapshots.clear(); // They carry the state.
        let slots = std::mem::take(&mut local.slots);
        let stamp = self.tally.next_stamp();
        let mut frames = [NONE; Encoding::ALL.len()];
        for slot in &slots {
            for at in 0..self.topics.at(*slot).subscribers.len() {
                let token = self.topics.at(*slot).subscribers[at].connection;
                let lane = &mut self.lanes[token as usize];
                if std::mem::replace(&mut lane.stamp, stamp) == stamp {
                    continue;
                }
                if lane.shut {
                    self.owe_status(token, instrument);
                    continue;
                }
                let encoding = self.connections[token as usize].encoding;
                let frame = &mut frames[encoding as usize];
                if *frame == NONE {
                    *frame = self.encode_status(instrument, status, encoding);
                }
                self.pass.append(&mut self.lanes[token as usize], token, *frame, 0);
            }
        }
        if let Some(local) = self.topics.instrument_mut(instrument) {
            local.slots = slots;
        }
    }

    /// Data that belongs to this status is about to be told: the status has to be told before, and
    /// it may not have been. A diff can be ahead of the batches, and a batch can have been lost.
    /// Whether it was news.
    pub(crate) fn tell_status_before(&mut self, instrument: InstrumentIndex, status: Seq) -> bool {
        if status <= self.topics.told_status(instrument) {
            return false;
        }
        let Some(status) = self.hub.status(instrument) else { return false };
        self.tell_status(instrument, &status);
        true
    }

    fn encode_status(
        &mut self,
        instrument: InstrumentIndex,
        status: &Status,
        encoding: Encoding,
    ) -> u32 {
        let own = self.pass.own_mut();
        let start = own.len();
        // The directory named the instrument before anything could be said of it.
        let name = self.instruments.get(instrument.index()).map_or("", |known| &known.name);
        let (hub, scratch) = (&self.hub, &mut self.scratch);
        let head_len = hub.status_frame(name, status, encoding, self.now, scratch, own);
        let run = (status.epoch, Seq(0), status.seq);
        self.pass.frame_of_own(
            start,
            head_len,
            SentKind::new(Channel::Status, encoding),
            instrument,
            run,
        )
    }

    /// The connection has to be told the instrument's status before any further data.
    pub(crate) fn owe_status(&mut self, token: u32, instrument: InstrumentIndex) {
        let Some(connection) = self.connections.get_mut(token as usize) else { return };
        connection.owing.get_or_insert_default().statuses.insert(instrument);
        self.lanes[token as usize].shut = true;
    }

    /// Batches were lost: looks at the next topics, also at those that have no further frames, and
    /// at their instruments' status.
    fn sweep_some(&mut self) {
        // The table may have grown: the sweep comes through the new slots before it is round.
        let slots = self.topics.slot_count();
        if self.sweep.left > 0 {
            self.sweep.left += slots - self.sweep.slots;
            self.sweep.slots = slots;
        }
        let mut checked = 0;
        while self.sweep.left > 0 && checked < SWEEP_TOPICS_MAX && self.has_room() {
            if self.sweep.next >= slots {
                self.sweep.next = 0;
            }
            let slot = self.sweep.next as u32;
            self.sweep.next += 1;
            self.sweep.left -= 1;
            let Some(topic) = self.topics.get(slot) else { continue };
            let instrument = topic.key.instrument;
            checked += 1;
            if let Some(status) = self.hub.status(instrument) {
                self.tell_status(instrument, &status);
            }
            self.catch_up(slot);
        }
    }
}
