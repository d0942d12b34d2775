//! What gives a shard its turns: the poller's part, with its wakes, edges and rests, and turns that
//! are withheld.

use crate::line::{ClientEnd, ServerEnd, SharedPoll};
use fastrand::Rng;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tickcast_gateway::{Arrival, Metrics, Rest, Shard, ShardSettings, Token, Transport};
use tickcast_market::Nanos;
use tickcast_publisher::{Hub, ShardFeed, ShardIndex};
use tickcast_wire::Encoding;

/// A longer jump of the clock does not count as time for a client.
const JUMP_MAX: Nanos = Nanos::from_secs(1);

/// Turns that follow each other while there is work left over.
const TURNS_MAX: u32 = 200;

pub(crate) struct Driver {
    shard: Shard<ServerEnd>,
    poll: SharedPoll,
    woken: Arc<AtomicBool>,
    open: Arc<AtomicUsize>,
    wall: Nanos,
    rest: Rest,
    rested_from: Nanos,
    withheld_until: Nanos,
    random: Rng,
}

impl Driver {
    pub(crate) fn new(
        hub: Arc<Hub>,
        index: ShardIndex,
        feed: ShardFeed,
        settings: ShardSettings,
        metrics: &Metrics,
        woken: Arc<AtomicBool>,
        mut random: Rng,
    ) -> Driver {
        let open = Arc::new(AtomicUsize::new(0));
        let seed = random.u64(..);
        Driver {
            shard: Shard::new(hub, index, feed, settings, metrics, open.clone(), seed),
            poll: SharedPoll::default(),
            woken,
            open,
            wall: Nanos::ZERO,
            rest: Rest::UntilWoken,
            rested_from: Nanos::ZERO,
            withheld_until: Nanos::ZERO,
            random,
        }
    }

    pub(crate) fn poll(&self) -> &SharedPoll {
        &self.poll
    }

    pub(crate) fn connections(&self) -> usize {
        self.shard.connections()
    }

    /// Connections by the count that the door looks at.
    pub(crate) fn counted(&self) -> usize {
        self.open.load(Ordering::Relaxed) // One thread.
    }

    /// Bytes that the shard keeps for a connection.
    pub(crate) fn kept_bytes(&self, client: &ClientEnd) -> usize {
        client.token().map_or(0, |token| self.shard.kept_bytes(token))
    }

    /// Whether its thread gets no time now.
    pub(crate) fn is_withheld(&self, now: Nanos) -> bool {
        now < self.withheld_until
    }

    pub(crate) fn withhold_until(&mut self, until: Nanos) {
        self.withheld_until = until;
    }

    /// The shard's clock, as a client may count on it.
    fn set_time(&mut self, now: Nanos) {
        let step = now.since(self.wall).clamp(Nanos::ZERO, JUMP_MAX);
        self.wall = now;
        let mut poll = self.poll.borrow_mut();
        poll.now = poll.now.plus(step);
    }

    /// Hands a line over, with some of the bytes that have come already.
    pub(crate) fn connect(
        &mut self,
        now: Nanos,
        server: ServerEnd,
        client: &ClientEnd,
        compress: bool,
    ) {
        self.set_time(now);
        self.open.fetch_add(1, Ordering::Relaxed); // One thread.
        let ahead = if self.random.bool() { self.random.usize(..600) } else { 0 };
        let read_ahead = client.read_ahead(ahead);
        let transport = Transport::WebSocket { encoding: Encoding::Json, compress };
        let peer = ([127, 0, 0, 1], 1).into();
        let arrival = Arrival { read_ahead, ..Arrival::new(peer, transport) };
        let token = self.shard.connect(now, server, arrival);
        client.register(token);
        // The thread has been interrupted for this.
        self.rest = Rest::No;
    }

    pub(crate) fn drain(&mut self, now: Nanos, window_ms: u32) {
        self.set_time(now);
        self.shard.drain(now, window_ms);
        self.rest = Rest::No;
    }

    fn is_due(&self, now: Nanos) -> bool {
        match self.rest {
            Rest::No => true,
            Rest::For(span) => now.since(self.rested_from) >= span,
            Rest::UntilWoken | Rest::Ended => false,
        }
    }

    /// Gives the shard the turns that it would get now. Whether it is behind.
    pub(crate) fn turn(&mut self, now: Nanos, quiet: bool) -> bool {
        if self.is_withheld(now) {
            return true;
        }
        // Sometimes the others get on while it is still at it.
        let turns = match self.random.u32(..10) {
            few @ 1..4 if !quiet => few,
            _ => TURNS_MAX,
        };
        for _ in 0..turns {
            let (mut readable, mut writable) = {
                let mut poll = self.poll.borrow_mut();
                (std::mem::take(&mut poll.readable), std::mem::take(&mut poll.writable))
            };
            let woken = self.woken.swap(false, Ordering::Relaxed); // One thread.
            if readable.is_empty() && writable.is_empty() && !woken && !self.is_due(now) {
                return false;
            }
            // One that is reported in vain does no harm.
            if self.random.u8(..10) == 0 {
                readable.push(Token(self.random.u32(..500)));
                writable.push(Token(self.random.u32(..500)));
            }
            self.set_time(now);
            self.rest = self.shard.turn(now, &readable, &writable);
            self.shard.turned(now);
            self.rested_from = now;
        }
        true
    }
}
