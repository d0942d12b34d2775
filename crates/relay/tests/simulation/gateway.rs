//! A simulated gateway process: the real follower and replicas, clients that come and go, and a line
//! to the bus on which subjects overtake each other.

use crate::market::INSTRUMENTS;
use crate::oracle::{Oracle, VIEWS, state, topic};
use crate::publisher::{config, metrics};
use bytes::Bytes;
use fastrand::Rng;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use tickcast_market::{Directory, Epoch, InstrumentIndex, Nanos, Since, TradingState};
use tickcast_publisher::{Hub, Interest, Publisher, ShardFeed, ShardIndex, TopicId, TopicKey};
use tickcast_relay::{BusHealth, Command, Follower, LineState, StreamKey, Told};
use tickcast_wire::{Depth, View};

const SHARD: ShardIndex = ShardIndex(0);

/// As in `intake.rs` of the crate.
const LEASE_EVERY: Nanos = Nanos::from_millis(300);

/// What a message is to the follower.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Stream(StreamKey),
    Status,
    Beat,
}

/// A message that is under way from a publisher.
#[derive(Clone, Debug)]
pub(crate) struct UnderWay {
    pub(crate) at: Nanos,
    pub(crate) kind: Kind,
    pub(crate) subject: String,
    pub(crate) payload: Bytes,
}

/// Whoever is connected to the gateway: one topic, and what it holds.
struct Client {
    key: TopicKey,
    id: TopicId,
    mark: Since,
}

pub(crate) struct Gateway {
    pub(crate) number: usize,
    follower: Follower,
    pub(crate) hub: Arc<Hub>,
    feed: ShardFeed,
    pub(crate) random: Rng,
    /// Since when it is connected, or is not.
    pub(crate) is_connected: bool,
    pub(crate) line_since: Nanos,
    pub(crate) losses: u64,
    /// Its clock is ahead by so much.
    pub(crate) clock_ahead: Nanos,
    pub(crate) frozen_until: Nanos,
    /// The subjects, and from when on the server that the publisher is at knows of them.
    pub(crate) subscribed: BTreeMap<String, (StreamKey, Nanos)>,
    /// By who sent it and the subject: in order.
    pub(crate) lines: BTreeMap<(usize, String), VecDeque<UnderWay>>,
    pub(crate) answers: Vec<(Nanos, Told)>,
    lease_at: Nanos,
    lease: VecDeque<(Nanos, u64)>,
    clients: Vec<Client>,
    held: BTreeMap<(usize, usize), Since>,
    /// What publishers had told when messages may have been lost here last, by instrument, view and run.
    pub(crate) floors: BTreeMap<(usize, usize, u64), Since>,
    /// Messages of streams are held up on their way until then, and in between its line breaks.
    pub(crate) held_until: Nanos,
    pub(crate) cut_at: Option<Nanos>,
    /// The newest run that it has read in the lease.
    pub(crate) leader: u64,
    newest_run: u64,
    pub(crate) compared: u64,
    /// How often an instrument was seen stale and live.
    pub(crate) shown: (u64, u64),
}

pub(crate) fn run_of(epoch: Epoch) -> u64 {
    epoch.0 / Epoch::PER_RUN
}

impl Gateway {
    pub(crate) fn new(number: usize, mut random: Rng, now: Nanos) -> Gateway {
        let interest = Arc::new(Interest::new(Arc::new(|| {})));
        let (hub, replica, mut feeds) =
            Publisher::replica(config(1), Arc::new(Directory::default()), interest.clone());
        let health = Arc::new(BusHealth::default());
        Gateway {
            number,
            follower: Follower::new(replica, hub.clone(), interest, metrics(), health),
            hub,
            feed: feeds.remove(0),
            is_connected: true,
            line_since: now,
            losses: 1,
            clock_ahead: Nanos::from_millis(random.i64(-300..300)),
            random,
            frozen_until: Nanos::ZERO,
            subscribed: BTreeMap::new(),
            lines: BTreeMap::new(),
            answers: Vec::new(),
            lease_at: now,
            lease: VecDeque::new(),
            clients: Vec::new(),
            held: BTreeMap::new(),
            floors: BTreeMap::new(),
            held_until: Nanos::ZERO,
            cut_at: None,
            leader: 0,
            newest_run: 0,
            compared: 0,
            shown: (0, 0),
        }
    }

    /// A client comes or goes.
    pub(crate) fn change_demand(&mut self) {
        if self.clients.len() > 8 || !self.clients.is_empty() && self.random.u8(..3) == 0 {
            let client = self.clients.swap_remove(self.random.usize(..self.clients.len()));
            self.hub.release(SHARD, &client.key, client.id);
            return;
        }
        let views = [Depth::DEEPEST, Depth::new(10).expect("it is offered")].map(View::Book);
        let views = [VIEWS[0], VIEWS[1], VIEWS[3], views[0], views[1]];
        let key = topic(self.random.usize(..INSTRUMENTS), views[self.random.usize(..views.len())]);
        if self.clients.iter().any(|client| client.key == key) {
            return;
        }
        if let Some((id, mark)) = self.hub.acquire(SHARD, &key) {
            self.clients.push(Client { key, id, mark });
        }
    }

    /// Asks who holds the lease.
    pub(crate) fn read_lease(&mut self, run: Option<u64>, late: Nanos, now: Nanos) {
        if now < self.lease_at || !self.is_connected {
            return;
        }
        self.lease_at = now.plus(LEASE_EVERY);
        if let Some(run) = run {
            let last = self.lease.back().map_or(now, |(at, _)| *at);
            self.lease.push_back((last.max(now.plus(late)), run));
        }
    }

    /// Its turn, as its thread has it.
    pub(crate) fn step(&mut self, now: Nanos, out: &mut Vec<Command>) {
        let clock = now.plus(self.clock_ahead);
        let line = LineState { is_connected: self.is_connected, losses: self.losses };
        self.follower.begin_turn(line, clock);
        while let Some((_, run)) = self.lease.pop_front_if(|(at, _)| *at <= now) {
            self.leader = self.leader.max(run);
            self.follower.take(Told::Leader(run), clock);
        }
        let mut keys: Vec<_> = self.lines.keys().cloned().collect();
        self.random.shuffle(&mut keys);
        for key in keys {
            let line = self.lines.get_mut(&key).expect("its key was just there");
            while let Some(message) = line.pop_front_if(|message| message.at <= now) {
                let told = match message.kind {
                    Kind::Stream(key) => Told::Stream(key, message.payload),
                    Kind::Status => Told::Status(message.subject, message.payload),
                    Kind::Beat => Told::Beat(message.payload),
                };
                self.follower.take(told, clock);
            }
        }
        let (due, later) = std::mem::take(&mut self.answers).into_iter().partition(|a| a.0 <= now);
        self.answers = later;
        let due: Vec<_> = due;
        due.into_iter().for_each(|(_, told)| self.follower.take(told, clock));
        self.follower.tick(clock);
        self.follower.turn(clock);
        self.follower.take_commands(out);
        self.serve_clients();
    }

    /// No client is given anything of a run that is older than one that any of them was given, or
    /// than one that was read in the lease.
    fn serve_clients(&mut self) {
        self.newest_run = self.newest_run.max(self.leader);
        while let Some(batch) = self.feed.try_next() {
            for frame in &batch.frames {
                let run = run_of(frame.epoch);
                assert!(run >= self.newest_run, "run {run} after {}", self.newest_run);
                self.newest_run = run;
                let client = self.clients.iter_mut().find(|client| client.id == frame.topic);
                let Some(client) = client else { continue };
                let view = client.key.view;
                assert!(frame.epoch >= client.mark.epoch, "{view:?}: an epoch that has ended");
                client.mark = Since { epoch: frame.epoch, seq: frame.seq };
            }
        }
    }

    /// What is shown as live was asked for since messages may have been lost.
    fn judge_floor(&self, instrument: usize, at: usize, now: Since) {
        let floor = self.floors.get(&(instrument, at, run_of(now.epoch)));
        assert!(
            floor.is_none_or(|floor| (now.epoch, now.seq) >= (floor.epoch, floor.seq)),
            "gateway {}: S{instrument} {:?} is live at {now:?}, which was over at {floor:?}",
            self.number,
            VIEWS[at]
        );
    }

    /// Whatever is shown was said by a publisher, at this very (epoch, seq), and nothing goes back.
    pub(crate) fn judge(&mut self, oracle: &Oracle) {
        for instrument in 0..INSTRUMENTS {
            let index = InstrumentIndex(instrument as u32);
            let state_shown = self.hub.status(index).map(|status| status.state);
            match state_shown {
                Some(TradingState::Live) => self.shown.1 += 1,
                Some(TradingState::Stale) => self.shown.0 += 1,
                _ => {}
            }
            let mut epochs = Vec::new();
            for (at, view) in VIEWS.into_iter().enumerate() {
                let told = self.hub.is_told(index, view).then(|| self.hub.now(index, view));
                let Some(now) = told.flatten() else {
                    self.held.remove(&(instrument, at));
                    continue;
                };
                epochs.push(now.epoch);
                if state_shown == Some(TradingState::Live) {
                    self.judge_floor(instrument, at, now);
                }
                let before = self.held.insert((instrument, at), now);
                if before == Some(now) {
                    continue;
                }
                let before = before.unwrap_or(Since::NOTHING);
                assert!(
                    (now.epoch, now.seq) >= (before.epoch, before.seq),
                    "gateway {}: S{instrument} {view:?} goes back from {before:?} to {now:?}",
                    self.number
                );
                let (since, text) = state(&self.hub, instrument, view).expect("it is told");
                assert_eq!(since, now, "an item says where its stream is");
                let agrees = oracle.agrees(instrument, view, since, &text);
                assert!(
                    agrees == Some(true),
                    "gateway {}: S{instrument} {view:?} at {since:?} is {text}, which {}",
                    self.number,
                    if agrees.is_none() { "nobody ever said" } else { "was another then" }
                );
                self.compared += 1;
            }
            epochs.dedup();
            assert!(epochs.len() < 2, "S{instrument} shows two epochs: {epochs:?}");
        }
    }

    pub(crate) fn is_live(&self) -> bool {
        let mut states = (0..INSTRUMENTS).map(|at| self.hub.status(InstrumentIndex(at as u32)));
        states.any(|status| status.is_some_and(|status| status.state == TradingState::Live))
    }

    /// At the end it is where the leader is.
    pub(crate) fn judge_end(&self, leader: &Hub, listed: usize) {
        for client in &self.clients {
            let index = client.key.instrument;
            let shown = self.hub.status(index).expect("an instrument that is wanted").state;
            let wanted = match leader.status(index).filter(|_| index.index() < listed) {
                Some(status) => status.state,
                None => TradingState::Stale,
            };
            assert_eq!(shown, wanted, "gateway {}: S{}", self.number, index.0);
            let view = match client.key.view {
                View::Book(_) => View::Book(Depth::DEEPEST),
                view => view,
            };
            if index.index() < listed {
                let told = state(&self.hub, index.index(), view);
                assert_eq!(told, state(leader, index.index(), view), "{view:?} of S{}", index.0);
            }
        }
    }
}
