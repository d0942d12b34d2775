//! A shard: some thousands of connections, the topics they listen to, and one turn.
//!
//! Take what came, mark who wants it, write once each, time last:
//!
//! 1. control messages: [`Shard::connect`], [`Shard::drain`], [`Shard::stop`] (called by the driver)
//! 2. readable sockets: requests are answered at once (`session`)
//! 3. batches: topic → subscribers, a node per connection and frame (`shard_walk`)
//! 4. flush: one send per touched connection, then what is owed (`shard_flush`, `owing_serve`)
//! 5. timers: heartbeats, pings, deadlines (`timers`)
//!
//! *Invariant:* time and sockets come from outside. Nothing in here waits, reads a clock or opens
//! a socket, so that a simulation runs many shards and thousands of clients in one thread.

use crate::connection::{Connection, Token};
use crate::connection_close::Closed;
use crate::deflate::Deflater;
use crate::handoff::Arrival;
use crate::inflate::Inflater;
use crate::metrics::Metrics;
use crate::outbox::Outbox;
use crate::owing_serve::Snapshots;
use crate::shard_pass::{Lane, Pass};
use crate::shard_settings::ShardSettings;
use crate::shard_tally::Tally;
use crate::shard_walk::{Sweep, Walk};
use crate::socket::Socket;
use crate::subscriptions_edit::Edit;
use crate::subscriptions_grow::Growth;
use crate::timers::{Drain, Hand, Pace};
use crate::topics::Topics;
use slab::Slab;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use tickcast_market::{Instrument, Nanos};
use tickcast_publisher::{Hub, Scratch, ShardFeed, ShardIndex};

/// The one read buffer of a shard.
const READ_BYTES: usize = 64 << 10;

/// How long the driver may let the shard rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// Not at all: work is left over from this turn. Look at the sockets and come back.
    No,
    /// Until something comes, or this span has passed.
    For(Nanos),
    /// Until something comes.
    UntilWoken,
    /// It has been stopped and every connection is gone.
    Ended,
}

/// One shard; `S` is what its clients are connected by.
pub struct Shard<S> {
    pub(crate) hub: Arc<Hub>,
    pub(crate) index: ShardIndex,
    pub(crate) settings: ShardSettings,
    /// No batches are taken before: they gather (`ShardSettings::flush_interval`).
    pub(crate) gather_until: Nanos,
    pub(crate) feed: ShardFeed,
    pub(crate) connections: Slab<Connection<S>>,
    /// Beside `connections`, by the same number.
    pub(crate) lanes: Vec<Lane>,
    /// The count that the door looks at; one is taken off for each connection that has ended.
    pub(crate) open: Arc<AtomicUsize>,
    pub(crate) topics: Topics,
    pub(crate) instruments: Vec<Arc<Instrument>>,
    pub(crate) growth: Growth,
    pub(crate) pass: Pass,
    pub(crate) outbox: Outbox,
    pub(crate) walk: Walk,
    pub(crate) sweep: Sweep,
    /// Batches may have arrived that were not taken in this turn.
    pub(crate) batches_wait: bool,
    /// Connections with input that was not read.
    pub(crate) unread: VecDeque<u32>,
    /// Connections that owe, can be written to, and wait for their turn.
    pub(crate) serving: VecDeque<u32>,
    pub(crate) snapshots: Snapshots,
    /// There once a connection has agreed to compression.
    pub(crate) deflater: Option<Deflater>,
    pub(crate) inflater: Option<Inflater>,
    pub(crate) scratch: Scratch,
    pub(crate) edit: Edit,
    pub(crate) read_buffer: Vec<u8>,
    /// Messages that are written here before they are framed.
    pub(crate) message: Vec<u8>,
    /// Wall time of this turn.
    pub(crate) now: Nanos,
    pub(crate) pace: Pace,
    pub(crate) hand: Hand,
    pub(crate) drain: Option<Drain>,
    pub(crate) stopped: bool,
    pub(crate) closed: VecDeque<Closed>,
    pub(crate) tally: Tally,
    pub(crate) random: fastrand::Rng,
}

impl<S> std::fmt::Debug for Shard<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shard")
            .field("index", &self.index)
            .field("connections", &self.connections.len())
            .finish_non_exhaustive()
    }
}

impl<S: Socket> Shard<S> {
    /// A shard without connections. `open` is the door's count of its connections; `seed` makes
    /// session names and delays.
    pub fn new(
        hub: Arc<Hub>,
        index: ShardIndex,
        feed: ShardFeed,
        settings: ShardSettings,
        metrics: &Metrics,
        open: Arc<AtomicUsize>,
        seed: u64,
    ) -> Shard<S> {
        Shard {
            hub,
            index,
            feed,
            tally: Tally::new(metrics, index),
            hand: Hand::new(settings.heartbeat_ms),
            outbox: Outbox::new(settings.loads_max),
            connections: Slab::with_capacity(settings.connections_reserved),
            lanes: Vec::with_capacity(settings.connections_reserved),
            settings,
            gather_until: Nanos::ZERO,
            open,
            topics: Topics::default(),
            instruments: Vec::new(),
            growth: Growth::default(),
            pass: Pass::default(),
            walk: Walk::default(),
            sweep: Sweep::default(),
            batches_wait: false,
            unread: VecDeque::new(),
            serving: VecDeque::new(),
            snapshots: Snapshots::default(),
            deflater: None,
            inflater: None,
            scratch: Scratch::default(),
            edit: Edit::default(),
            read_buffer: vec![0; READ_BYTES],
            message: Vec::new(),
            now: Nanos::ZERO,
            pace: Pace::default(),
            drain: None,
            stopped: false,
            closed: VecDeque::new(),
            random: fastrand::Rng::with_seed(seed),
        }
    }

    /// Takes over a connection, answers its handshake, welcomes it, and handles what it has sent
    /// already. The driver is to report the returned token from now on.
    pub fn connect(&mut self, now: Nanos, socket: S, mut arrival: Arrival) -> Token {
        self.set_time(now);
        let read_ahead = std::mem::take(&mut arrival.read_ahead);
        let token = self.admit(socket, arrival);
        if !read_ahead.is_empty() {
            self.take_input(token, &mut { read_ahead });
        }
        self.flush(token);
        Token(token)
    }

    /// One turn: take what came, mark who wants it, write once each, time last.
    ///
    /// `readable` and `writable` are the connections whose sockets have become so since the last
    /// turn; one that is reported in vain does no harm.
    ///
    /// *Cost:* bounded: some 256 sockets read, 512 connections written, and 1 MiB of what is owed.
    pub fn turn(&mut self, now: Nanos, readable: &[Token], writable: &[Token]) -> Rest {
        self.set_time(now);
        self.snapshots.clear();
        self.read_sockets(readable, writable);
        self.take_batches();
        self.flush_pass();
        self.serve_owed();
        self.run_timers();
        self.rest()
    }

    /// Says when the writes of the last turn were done, and gives its figures to the metrics.
    pub fn turned(&mut self, now: Nanos) {
        self.tally_deflate();
        self.tally.give_up(&mut self.pass, self.now, now, self.feed.waiting());
        if self.pass.is_done() {
            self.pass.clear();
        }
    }

    /// Whether batches gather and are not taken yet: the driver need not be woken for each.
    pub fn is_gathering(&self, now: Nanos) -> bool {
        self.gathering(self.pace.at(now)) != Nanos::MAX
    }

    /// The socket of a connection, for being registered with a poller.
    pub fn socket_mut(&mut self, token: Token) -> Option<&mut S> {
        Some(&mut self.connections.get_mut(token.0 as usize)?.socket)
    }

    /// Which of the shards it is.
    pub fn number(&self) -> u8 {
        self.index.0
    }

    /// How many connections it has.
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// Bytes that are kept for a connection: those that wait to be written, and those that have come
    /// of a message that is not finished. What it owes is not kept.
    pub fn kept_bytes(&self, token: Token) -> usize {
        self.get(token.0).map_or(0, |c| c.waiting.len() + c.socket.held() + c.decoder.kept_bytes())
    }

    /// From now on those of these settings hold that are limits, also for who is there.
    pub fn set_limits(&mut self, settings: &ShardSettings) {
        self.settings.adopt_limits(settings);
    }

    /// Closes everything; the turn that finds the last connection gone says [`Rest::Ended`].
    pub fn stop(&mut self, now: Nanos) {
        self.set_time(now);
        self.stopped = true;
        for token in self.tokens() {
            self.close(token, 1001, "the service stops");
        }
    }

    fn rest(&self) -> Rest {
        let has_work = self.batches_wait
            || !self.unread.is_empty()
            || !self.serving.is_empty()
            || !self.pass.is_done()
            || self.sweep.is_under_way()
            || self.growth.is_under_way();
        let now = self.pace.now();
        match (self.connections.is_empty(), has_work) {
            (true, _) if self.stopped => Rest::Ended,
            // While batches gather nobody wakes it.
            (true, _) if self.gathering(now) < Nanos::MAX => Rest::For(self.gathering(now)),
            (true, _) => Rest::UntilWoken,
            (false, true) => Rest::No,
            (false, false) => Rest::For(self.hand.next_step(now).min(self.gathering(now))),
        }
    }

    /// How long batches gather still; without a flush interval that is no reason to wake.
    fn gathering(&self, now: Nanos) -> Nanos {
        match self.gather_until.since(now) {
            left if left > Nanos::ZERO => left,
            _ => Nanos::MAX,
        }
    }

    pub(crate) fn set_time(&mut self, now: Nanos) {
        self.now = now;
        self.pace.advance(now);
    }

    /// The numbers of all connections, for who changes them while going through.
    pub(crate) fn tokens(&self) -> Vec<u32> {
        self.connections.iter().map(|(token, _)| token as u32).collect()
    }

    pub(crate) fn get(&self, token: u32) -> Option<&Connection<S>> {
        self.connections.get(token as usize)
    }

    pub(crate) fn get_mut(&mut self, token: u32) -> Option<&mut Connection<S>> {
        self.connections.get_mut(token as usize)
    }

    /// Makes the pass know whether a connection takes frames.
    pub(crate) fn refresh_lane(&mut self, token: u32) {
        if let Some(connection) = self.connections.get(token as usize) {
            self.lanes[token as usize].shut = !connection.takes_frames();
        }
    }
}
