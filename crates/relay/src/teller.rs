//! The publisher's end, without NATS: which streams travel, and what is told of them.
//!
//! To the publisher it is one more shard: it listens to topics (real time, protobuf) and gets their
//! frames in batches; the message of a frame is the bus's payload. A stream travels while some gateway
//! has asked for it lately. When what is told is taken too slowly the batches' channel fills, this
//! shard is overrun like any other, and each stream goes on with one `diff`.
//!
//! Time comes in, messages go out: nothing here waits.

use crate::messages::{Beat, Relayed, StatusChange};
use crate::metrics::Metrics;
use crate::stream::{BEATS, StreamKey, status_subject, stream_subject};
use async_nats::Subject;
use bytes::Bytes;
use prost::Message;
use rustc_hash::FxHashMap;
use std::collections::VecDeque;
use std::sync::Arc;
use tickcast_market::{Epoch, Instrument, InstrumentIndex, Nanos, Seq, Since, TradingState};
use tickcast_publisher::{
    Ask, Batch, Hub, Scratch, Served, ShardFeed, ShardIndex, Tier, TopicId, TopicKey,
};
use tickcast_wire::{Encoding, FieldSet};

/// A stream travels for so long after a gateway has last asked for it; gateways ask every minute.
const WANTED_FOR: Nanos = Nanos::from_secs(180);

/// Streams and statuses that are caught up in one turn.
const CAUGHT_UP_MAX: usize = 256;

/// What is to be put on the bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Where.
    pub subject: Subject,
    /// What.
    pub payload: Bytes,
}

/// A stream that travels.
#[derive(Debug)]
pub(crate) struct Carried {
    pub(crate) key: TopicKey,
    id: TopicId,
    subject: Subject,
    /// What was published last, or where the topic's frames began.
    since: Since,
    wanted_until: Nanos,
}

/// What is told again after batches were lost.
#[derive(Clone, Copy, Debug)]
enum Owed {
    Status(InstrumentIndex),
    Stream(StreamKey),
}

/// The publisher's end of the bus, as far as it needs no NATS.
pub struct Teller {
    pub(crate) hub: Arc<Hub>,
    pub(crate) metrics: Metrics,
    shard: ShardIndex,
    feed: ShardFeed,
    /// The run while this publisher counts.
    run: Option<u64>,
    pub(crate) carried: FxHashMap<StreamKey, Carried>,
    by_topic: FxHashMap<TopicId, StreamKey>,
    owed: VecDeque<Owed>,
    pub(crate) status_changes: u64,
    told: FxHashMap<InstrumentIndex, Seq>,
    pub(crate) scratch: Scratch,
    pub(crate) message: Vec<u8>,
    out: Vec<Outgoing>,
}

impl std::fmt::Debug for Teller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Teller").field("run", &self.run).finish_non_exhaustive()
    }
}

impl Teller {
    /// The publisher's shard of this number; it counts for nothing yet.
    pub fn new(hub: Arc<Hub>, (shard, feed): (ShardIndex, ShardFeed), metrics: Metrics) -> Teller {
        Teller {
            hub,
            metrics,
            shard,
            feed,
            run: None,
            carried: FxHashMap::default(),
            by_topic: FxHashMap::default(),
            owed: VecDeque::new(),
            status_changes: 0,
            told: FxHashMap::default(),
            scratch: Scratch::default(),
            message: Vec::new(),
            out: Vec::new(),
        }
    }

    /// Becomes the publisher that counts, or ceases to be it.
    pub fn begin(&mut self, run: Option<u64>) {
        self.run = run;
        self.owed.clear();
        let carried: Vec<StreamKey> = self.carried.keys().copied().collect();
        carried.iter().for_each(|key| self.release(*key));
        if let Some(run) = run {
            self.hub.begin_run(Epoch::first_of_run(run));
            self.status_changes = 0;
        }
    }

    /// Takes a batch that has arrived, or tells some of what is owed. `false` when there was nothing.
    pub fn turn(&mut self, now: Nanos) -> bool {
        if self.feed.take_overrun() && self.run.is_some() {
            self.owe_all();
        }
        if !self.owed.is_empty() {
            for _ in 0..CAUGHT_UP_MAX {
                let Some(owed) = self.owed.pop_front() else { break };
                self.catch_up(owed, now);
            }
            return true;
        }
        let Some(batch) = self.feed.try_next() else { return false };
        if self.run.is_some() {
            self.tell(&batch);
        }
        true
    }

    /// Moves what is to be put on the bus into `out`, in this order.
    pub fn take(&mut self, out: &mut Vec<Outgoing>) {
        out.append(&mut self.out);
    }

    fn tell(&mut self, batch: &Batch) {
        for change in &batch.states {
            self.tell_status(change.instrument, change.seq, change.state);
        }
        for frame in &batch.frames {
            let Some(key) = self.by_topic.get(&frame.topic) else { continue };
            let Some(carried) = self.carried.get_mut(key) else { continue };
            if frame.epoch == carried.since.epoch && frame.seq <= carried.since.seq {
                continue;
            }
            carried.since = Since { epoch: frame.epoch, seq: frame.seq };
            let message = batch.message(frame);
            self.message.clear();
            Relayed::write(&mut self.message, frame.epoch.0, frame.ts_recv.micros(), message);
            let subject = carried.subject.clone();
            self.out.push(Outgoing { subject, payload: Bytes::copy_from_slice(&self.message) });
        }
    }

    /// After batches were lost: each stream goes on with one diff, each status with the present one.
    fn owe_all(&mut self) {
        self.owed.clear();
        let instruments = 0..self.hub.directory().len() as u32;
        self.owed.extend(instruments.map(|index| Owed::Status(InstrumentIndex(index))));
        self.owed.extend(self.carried.keys().map(|key| Owed::Stream(*key)));
    }

    fn catch_up(&mut self, owed: Owed, now: Nanos) {
        match owed {
            Owed::Status(instrument) => {
                if let Some(status) = self.hub.status(instrument) {
                    self.tell_status(instrument, status.seq, status.state);
                }
            }
            Owed::Stream(key) => {
                let Some(carried) = self.carried.get(&key) else { return };
                let (subject, ask) = (carried.subject.clone(), carried.ask(carried.since, false));
                let Some((since, payload)) = self.diff(&ask, now) else { return };
                if let Some(carried) = self.carried.get_mut(&key) {
                    carried.since = since;
                }
                self.out.push(Outgoing { subject, payload });
            }
        }
    }

    /// `diff(since)` as the bus carries it; `None` where nothing is new.
    fn diff(&mut self, ask: &Ask, now: Nanos) -> Option<(Since, Bytes)> {
        let mut frame = Vec::new();
        let served = self.hub.serve(ask, now, &mut self.scratch, &mut frame);
        let Served::Frame { epoch, seq, head_len, .. } = served else { return None };
        self.message.clear();
        Relayed::write(&mut self.message, epoch.0, now.micros(), &frame[usize::from(head_len)..]);
        Some((Since { epoch, seq }, Bytes::copy_from_slice(&self.message)))
    }

    fn tell_status(&mut self, instrument: InstrumentIndex, seq: Seq, state: TradingState) {
        // A batch that had waited while this caught up has older ones.
        let known = self.told.entry(instrument).or_default();
        if *known >= seq {
            return;
        }
        *known = seq;
        let (Some(run), Some(instrument)) = (self.run, self.hub.directory().get(instrument)) else {
            return;
        };
        self.status_changes += 1;
        let state = tickcast_wire::state_number(state);
        let change = StatusChange { run, number: self.status_changes, state };
        let subject = Subject::from(status_subject(&instrument.name));
        self.out.push(Outgoing { subject, payload: change.encode_to_vec().into() });
    }

    /// A sign of life; call it several times a second. `losses` counts how often messages may have
    /// been lost on their way to NATS.
    pub fn beat(&mut self, losses: u64) {
        let Some(run) = self.run else { return };
        let directory = self.hub.directory();
        let beat = Beat {
            run,
            instruments: directory.len() as u64,
            complete: directory.is_complete(),
            status_changes: self.status_changes,
            losses,
        };
        let subject = Subject::from_static(BEATS);
        self.out.push(Outgoing { subject, payload: beat.encode_to_vec().into() });
    }

    /// Begins to carry a stream, or goes on with it.
    pub(crate) fn carry(&mut self, key: StreamKey, instrument: &Instrument, now: Nanos) -> bool {
        let wanted_until = now.plus(WANTED_FOR);
        if let Some(carried) = self.carried.get_mut(&key) {
            carried.wanted_until = wanted_until;
            return true;
        }
        let topic = TopicKey {
            instrument: key.instrument,
            view: key.view,
            tier: Tier::default(),
            fields: FieldSet::ALL,
            encoding: Encoding::Protobuf,
        };
        let Some((id, since)) = self.hub.acquire(self.shard, &topic) else { return false };
        let subject = Subject::from(stream_subject(&instrument.name, key.view));
        self.by_topic.insert(id, key);
        self.carried.insert(key, Carried { key: topic, id, subject, since, wanted_until });
        self.metrics.streams.set(self.carried.len() as i64);
        true
    }

    /// Lets go of the streams that nobody has asked for lately; call it now and then.
    pub fn let_go(&mut self, now: Nanos) {
        let unwanted = self.carried.iter().filter(|(_, carried)| carried.wanted_until < now);
        let unwanted: Vec<StreamKey> = unwanted.map(|(key, _)| *key).collect();
        unwanted.iter().for_each(|key| self.release(*key));
    }

    fn release(&mut self, key: StreamKey) {
        if let Some(carried) = self.carried.remove(&key) {
            self.by_topic.remove(&carried.id);
            self.hub.release(self.shard, &carried.key, carried.id);
        }
        self.metrics.streams.set(self.carried.len() as i64);
    }
}

impl Carried {
    /// What is asked of the stream by who holds `since`.
    pub(crate) const fn ask(&self, since: Since, always: bool) -> Ask {
        Ask { key: self.key, since, always, bare: false }
    }
}
