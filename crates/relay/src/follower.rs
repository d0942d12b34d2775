//! The gateway's end, without NATS: which streams are followed, what is asked again, what is stale.
//!
//! Bytes and time come in, commands go out; the state lies in the [`Replica`]. A stream is *sure*
//! while nothing says that its publisher may have gone on without us: one that counts is known, it
//! has been heard lately, and since the last doubt it has answered a `diff(since)`. Whatever is not
//! sure is stale to clients.

use crate::follower_states::{BusHealth, LOWER_RUN};
use crate::messages::{Beat, Relayed, StatusChange};
use crate::metrics::Metrics;
use crate::stream::{StreamKey, VIEWS};
use prost::Message;
use rustc_hash::{FxHashMap, FxHashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tickcast_market::{Epoch, InstrumentIndex, Nanos, Since, TradingState};
use tickcast_publisher::{Adopted, Hub, Interest, Replica};
use tickcast_wire::ProtobufReader;

/// A new stream is asked once more after this: another server of NATS may have come to know of the
/// subscription later than the publisher answered.
const FIRST_AUDIT: Nanos = Nanos::from_secs(2);

/// A lower run that is read so often in a row, over some seconds, is not a server that is behind.
const LOWER_READS_MAX: u32 = 20;

/// What the follower wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// To a stream, under this subject.
    Subscribe(StreamKey, String),
    /// From it.
    Unsubscribe(StreamKey),
    /// `diff(since)` of each, of the publisher of this run.
    Ask(u64, Vec<Question>),
    /// The list of instruments from this one on.
    List(u64, u64),
}

/// One stream that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    pub(crate) key: StreamKey,
    pub(crate) symbol: Arc<str>,
    pub(crate) since: Since,
    /// How often everything had been doubted when it was asked.
    pub(crate) doubts: u64,
}

/// What has come from NATS.
#[derive(Debug)]
pub enum Told {
    /// Who holds the lease.
    Leader(u64),
    /// A message of a stream.
    Stream(StreamKey, bytes::Bytes),
    /// The server refuses the subscription of a stream, or (false) does not any more.
    Refused(StreamKey, bool),
    /// A status, and its subject.
    Status(String, bytes::Bytes),
    /// A sign of life.
    Beat(bytes::Bytes),
    /// The answer to [`Command::Ask`]; `None` where none came.
    Answers(u64, Vec<Question>, Option<bytes::Bytes>),
    /// The answer to [`Command::List`].
    List(u64, Option<bytes::Bytes>),
}

#[derive(Debug)]
pub(crate) struct Followed {
    /// Its updates cannot come: no answer makes it sure.
    pub(crate) is_refused: bool,
    pub(crate) is_sure: bool,
    pub(crate) asked: Option<Nanos>,
    pub(crate) audit_at: Nanos,
    pub(crate) unwanted_since: Option<Nanos>,
}

/// The gateway's end of the bus.
pub struct Follower {
    pub(crate) replica: Replica,
    pub(crate) hub: Arc<Hub>,
    interest: Arc<Interest>,
    pub(crate) metrics: Metrics,
    pub(crate) health: Arc<BusHealth>,
    reader: ProtobufReader,
    pub(crate) run: Option<u64>,
    pub(crate) heard: Option<Nanos>,
    /// Whether the line to NATS stands, as far as is known.
    pub(crate) is_connected: bool,
    /// Since the last doubt it has been read who holds the lease.
    pub(crate) is_lease_read: bool,
    /// How often in a row a lower run was read than is followed.
    lower_reads: u32,
    /// Where messages may have been lost, how often: here, and at the publisher.
    pub(crate) losses: (u64, u64),
    /// How often everything was doubted: what was asked before does not lift the doubt.
    pub(crate) doubts: u64,
    pub(crate) streams: FxHashMap<StreamKey, Followed>,
    pub(crate) to_ask: FxHashSet<StreamKey>,
    /// What the publisher says of each instrument.
    pub(crate) states: Vec<TradingState>,
    pub(crate) listed: u64,
    pub(crate) is_listing: bool,
    pub(crate) status_changes: Option<u64>,
    pub(crate) checked: Nanos,
    /// When it had its latest turn.
    pub(crate) turned: Nanos,
    /// What is taken in this turn has come since then.
    pub(crate) waits_since: Nanos,
    changed: Vec<InstrumentIndex>,
    pub(crate) commands: Vec<Command>,
}

impl std::fmt::Debug for Follower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follower").field("run", &self.run).finish_non_exhaustive()
    }
}

impl Follower {
    /// Follows nothing yet. `interest` is the one that the replicas were made with.
    pub fn new(
        replica: Replica,
        hub: Arc<Hub>,
        interest: Arc<Interest>,
        metrics: Metrics,
        health: Arc<BusHealth>,
    ) -> Follower {
        Follower {
            replica,
            hub,
            interest,
            metrics,
            health,
            reader: ProtobufReader::new(),
            run: None,
            heard: None,
            is_connected: false,
            is_lease_read: false,
            lower_reads: 0,
            losses: (0, 0),
            doubts: 0,
            streams: FxHashMap::default(),
            to_ask: FxHashSet::default(),
            states: Vec::new(),
            listed: 0,
            is_listing: false,
            status_changes: None,
            checked: Nanos::ZERO,
            turned: Nanos::ZERO,
            waits_since: Nanos::ZERO,
            changed: Vec::new(),
            commands: Vec::new(),
        }
    }

    /// Takes what has come; after [`Follower::begin_turn`].
    pub fn take(&mut self, told: Told, now: Nanos) {
        match told {
            Told::Leader(run) => self.follow_run(run, now),
            Told::Stream(key, payload) => {
                self.metrics.received(payload.len());
                if let Some(relayed) = self.decoded(Relayed::decode(payload)) {
                    self.relayed(key, &relayed, false, now);
                }
            }
            Told::Refused(key, is_refused) => self.refused(key, is_refused, now),
            Told::Status(subject, payload) => {
                self.metrics.received(payload.len());
                if let Some(change) = self.decoded(StatusChange::decode(payload)) {
                    self.status_change(&subject, change, now);
                }
            }
            Told::Beat(payload) => {
                self.metrics.received(payload.len());
                if let Some(beat) = self.decoded(Beat::decode(payload)) {
                    self.beat(beat, now);
                }
            }
            Told::Answers(run, questions, payload) => self.answers(run, &questions, payload, now),
            Told::List(run, payload) => self.list(run, payload, now),
        }
    }

    /// What is due; call it some ten times a second, and after anything was taken.
    pub fn tick(&mut self, now: Nanos) {
        self.interest.take(&mut self.changed);
        while let Some(instrument) = self.changed.pop() {
            self.want(instrument, now);
        }
        if now.since(self.checked) >= Nanos::from_millis(100) {
            self.checked = now;
            self.check(now);
        }
        self.ask(now);
    }

    /// Moves what is to be done into `out`, in this order.
    pub fn take_commands(&mut self, out: &mut Vec<Command>) {
        out.append(&mut self.commands);
    }

    /// Encodes what is due and hands it to the shards.
    pub fn turn(&mut self, now: Nanos) {
        self.replica.turn(now);
    }

    /// When it wants its next turn.
    pub fn next_due(&self, now: Nanos) -> Nanos {
        self.replica.next_due(now)
    }

    pub(crate) fn decoded<T>(&self, decoded: Result<T, prost::DecodeError>) -> Option<T> {
        match decoded {
            Ok(message) => Some(message),
            Err(error) => {
                self.metrics.decode_errors.inc();
                tracing::debug!(%error, "bus: a message that cannot be read");
                None
            }
        }
    }

    /// Subscribes to what is wanted of an instrument, and takes note of what is not any more.
    fn want(&mut self, instrument: InstrumentIndex, now: Nanos) {
        let wanted = self.hub.wanted(instrument);
        for view in VIEWS {
            let key = StreamKey { instrument, view };
            let is_wanted = wanted.contains(&view);
            match self.streams.get_mut(&key) {
                Some(followed) if is_wanted => followed.unwanted_since = None,
                Some(followed) => {
                    followed.unwanted_since.get_or_insert(now);
                }
                None if is_wanted => self.follow(key, now),
                None => {}
            }
        }
    }

    fn follow(&mut self, key: StreamKey, now: Nanos) {
        let Some(instrument) = self.hub.directory().get(key.instrument) else { return };
        let subject = crate::stream::stream_subject(&instrument.name, key.view);
        self.commands.push(Command::Subscribe(key, subject));
        let audit_at = now.plus(FIRST_AUDIT);
        let is_sure = self.run.is_some() && self.heard.is_some();
        let followed =
            Followed { is_refused: false, is_sure, asked: None, audit_at, unwanted_since: None };
        self.streams.insert(key, followed);
        self.to_ask.insert(key);
        self.metrics.streams.set(self.streams.len() as i64);
    }

    pub(crate) fn unfollow(&mut self, key: StreamKey, now: Nanos) {
        self.streams.remove(&key);
        self.to_ask.remove(&key);
        self.replica.forget(key.instrument, key.view);
        self.commands.push(Command::Unsubscribe(key));
        self.metrics.streams.set(self.streams.len() as i64);
        self.show_state(key.instrument, now);
    }

    /// Who counts may have changed: everything held is of a run that has ended then.
    fn follow_run(&mut self, run: u64, now: Nanos) {
        if self.run.is_some_and(|followed| run < followed) {
            // A server of NATS that is behind the others tells of the last one for a moment.
            self.lower_reads += 1;
            if self.lower_reads == LOWER_READS_MAX {
                tracing::error!(run, followed = self.run, "bus: {LOWER_RUN}");
                self.health.is_run_lower.store(true, Ordering::Relaxed);
            }
            return;
        }
        self.lower_reads = 0;
        self.health.is_run_lower.store(false, Ordering::Relaxed);
        self.is_lease_read |= self.is_connected && !self.is_late(now);
        if self.run == Some(run) {
            return;
        }
        tracing::info!(last = self.run, run, "bus: following a publisher");
        self.run = Some(run);
        self.health.run.store(run, Ordering::Relaxed);
        // What the last one said of instruments that this one does not have is not said any more.
        self.states.fill(TradingState::Stale);
        self.reader = ProtobufReader::new();
        self.heard = None;
        self.listed = 0;
        self.is_listing = false;
        self.status_changes = None;
        self.doubt_all(now);
    }

    /// Nothing is sure any more; every stream is asked for as soon as there is somebody to ask.
    pub(crate) fn doubt_all(&mut self, now: Nanos) {
        self.health.is_live.store(false, Ordering::Relaxed);
        self.doubts += 1;
        for (key, followed) in &mut self.streams {
            followed.is_sure = false;
            followed.asked = None;
            self.to_ask.insert(*key);
        }
        self.show_states(now);
    }

    /// An update or snapshot of a stream has come; `answered`: because it was asked for.
    pub(crate) fn relayed(
        &mut self,
        key: StreamKey,
        relayed: &Relayed,
        answered: bool,
        now: Nanos,
    ) {
        if !self.streams.contains_key(&key) || self.run != Some(run_of(Epoch(relayed.epoch))) {
            return;
        }
        let told = match self.reader.read_pieces(&relayed.message) {
            Ok(told) => told.filter(|(told, _)| told.head.view == key.view),
            Err(error) => {
                self.metrics.decode_errors.inc();
                tracing::debug!(%error, "bus: an update that cannot be read");
                return;
            }
        };
        let Some((told, ts_publish)) = told else {
            // Of an epoch whose snapshot was lost.
            return self.miss(key);
        };
        let ts_recv = Nanos::from_micros(relayed.ts_recv);
        let adopted = self.replica.adopt(key.instrument, told, ts_recv);
        match adopted {
            Some(Adopted::Gap(_)) => self.miss(key),
            // Only an answer says that it is not old: NATS hands on late what has waited somewhere.
            Some(Adopted::Applied | Adopted::Known) if answered => {
                if self.replica.held(key.instrument, key.view).epoch == Epoch(relayed.epoch) {
                    self.be_sure(key, now);
                }
            }
            Some(Adopted::Applied) => {
                self.metrics.age.observe(now.since(ts_publish).as_secs_f64().max(0.0));
            }
            Some(Adopted::Known) | None => {}
        }
    }

    pub(crate) fn be_sure(&mut self, key: StreamKey, now: Nanos) {
        let Some(followed) = self.streams.get_mut(&key) else { return };
        if !followed.is_refused && !std::mem::replace(&mut followed.is_sure, true) {
            self.show_state(key.instrument, now);
        }
    }
}

pub(crate) const fn run_of(epoch: Epoch) -> u64 {
    epoch.0 / Epoch::PER_RUN
}
