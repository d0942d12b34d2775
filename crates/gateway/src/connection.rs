//! One client's line as its shard keeps it: the socket, what has to go out before anything else,
//! and where its lifecycle stands.
//!
//! *Invariant:* nothing in here grows with time or with the rate of updates. What waits is the rest
//! of one frame and a bounded amount of answers; what is owed is one entry per subscription.

use crate::decoder::Decoder;
use crate::identity::{Seat, Who};
use crate::owing::Owing;
use crate::subscriptions::Subscriptions;
use std::net::{IpAddr, SocketAddr};
use tickcast_market::Nanos;
use tickcast_wire::{Encoding, ReqId};

/// A connection's number within its shard, and its token at the poller. Given again after a
/// connection has ended; a late event for the one before does no harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u32);

/// Answers, pongs and the like that may wait for a connection, in bytes: above it its input is not
/// read.
const ANSWERS_BYTES_MAX: usize = 64 << 10;

/// How a message is put on the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// WebSocket frames.
    WebSocket,
    /// Server-sent events; with ids where the request names one stream.
    Sse { ids: bool },
}

impl Framing {
    /// Its name in metric labels.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Framing::WebSocket => "websocket",
            Framing::Sse { .. } => "sse",
        }
    }
}

/// Where a connection's lifecycle stands; `connection_close` owns the transitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Served.
    Open,
    /// Our close frame waits to be written; nothing else will be.
    Closing,
    /// Our side is shut; the peer's bytes are thrown away until it closes too.
    Leaving,
}

/// One client.
#[derive(Debug)]
pub(crate) struct Connection<S> {
    pub(crate) socket: S,
    pub(crate) decoder: Decoder,
    /// The rest of the frame that was begun, then answers; they go out before anything else.
    pub(crate) waiting: Vec<u8>,
    /// How much of it is the rest of that frame.
    pub(crate) rest: u32,
    pub(crate) subscriptions: Subscriptions,
    /// There while it owes something.
    pub(crate) owing: Option<Box<Owing>>,
    /// How many pongs are among the waiting bytes.
    pub(crate) pongs_waiting: u8,
    /// There for those few that have any of it.
    pub(crate) rare: Option<Box<Rare>>,
    pub(crate) phase: Phase,
    pub(crate) framing: Framing,
    pub(crate) encoding: Encoding,
    /// It has agreed to `permessage-deflate`.
    pub(crate) compresses: bool,
    /// The socket took less than it was given; it says when there is room.
    pub(crate) blocked: bool,
    /// It stands in the shard's queue of those that are to be served what they owe.
    pub(crate) queued: bool,
    /// Bytes may be there that were not read: it stands in the shard's queue of those.
    pub(crate) unread: bool,
    /// Its input is not read until its answers have gone out.
    pub(crate) paused: bool,
    /// It counts as lagging.
    pub(crate) lagging: bool,
    /// A ping of ours has not been answered.
    pub(crate) pinged: bool,
    /// When it is told to go (draining), or given up (closing); on the shard's clock.
    pub(crate) leave_at: Nanos,
    /// When the peer was last heard.
    pub(crate) heard_at: Stamp,
    /// When the line last took bytes.
    pub(crate) moved_at: Stamp,
    /// When the message that is being received began.
    pub(crate) begun_at: Nanos,
    pub(crate) requests: RequestBudget,
    pub(crate) controls: ControlRate,
    pub(crate) account: Account,
}

/// What hardly any connection has.
#[derive(Debug, Default)]
pub(crate) struct Rare {
    /// The newest pong beyond those that wait.
    pub(crate) newest_pong: Option<Vec<u8>>,
    /// There unless it speaks for anybody.
    pub(crate) standing: Option<Standing>,
}

/// On whose behalf a connection speaks, where that matters.
#[derive(Debug)]
pub(crate) struct Standing {
    pub(crate) who: Who,
    /// Its place among the connections of its identity.
    pub(crate) seat: Option<Seat>,
    /// A token is being judged, and this is to be named in the answer.
    pub(crate) asking: Option<Option<ReqId>>,
    /// Requests that came behind that token, from somebody who is nobody yet.
    pub(crate) pending: Vec<Box<[u8]>>,
    /// When this began, on the shard's clock.
    pub(crate) begun_at: Stamp,
}

static ANYBODY: Who = Who::Anybody;

/// Who a client is and what it was given, for `stats` and `/clients`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Account {
    pub(crate) session: u64,
    pub(crate) peer: Peer,
    pub(crate) opened_at: Nanos,
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    pub(crate) merged: u64,
    pub(crate) rtt_us: u32,
}

/// Where a client comes from, in 20 bytes instead of 32.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    ip: IpAddr,
    port: u16,
}

impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Peer {
        Peer { ip: address.ip(), port: address.port() }
    }
}

impl From<Peer> for SocketAddr {
    fn from(peer: Peer) -> SocketAddr {
        SocketAddr::new(peer.ip, peer.port)
    }
}

/// A moment on the shard's clock in milliseconds, in half the room. They wrap after 49 days: for
/// what happens more often than that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp(u32);

impl Stamp {
    pub(crate) fn at(now: Nanos) -> Stamp {
        Stamp((now.0 / 1_000_000) as u32)
    }

    /// How long it has been.
    pub(crate) fn age(self, now: Nanos) -> Nanos {
        Nanos::from_millis(Stamp::at(now).0.wrapping_sub(self.0).into())
    }
}

/// How many pongs wait at most: each of the first sixteen, beyond that the newest only.
pub(crate) const PONGS_MAX: u8 = 16;

/// The token bucket of requests: the moment at which the bucket will be full again.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RequestBudget {
    full_at: Nanos,
}

impl RequestBudget {
    /// Takes one request out; `false` when there is none left.
    pub(crate) fn take(&mut self, now: Nanos, per_second: u32, burst: u32) -> bool {
        let each = Nanos(1_000_000_000 / i64::from(per_second.max(1)));
        let full_at = self.full_at.max(now).plus(each);
        let allowed = full_at.since(now).0 <= each.0.saturating_mul(i64::from(burst));
        if allowed {
            self.full_at = full_at;
        }
        allowed
    }

    /// Whether nothing is missing from it: it is as good as new.
    pub(crate) fn is_full(&self, now: Nanos) -> bool {
        self.full_at <= now
    }
}

impl RequestBudget {
    /// Takes out what a request has cost beyond itself: it was done, and later ones wait for it.
    pub(crate) fn charge(&mut self, now: Nanos, requests: usize, per_second: u32) {
        let each = 1_000_000_000 / i64::from(per_second.max(1));
        let span = Nanos(each.saturating_mul(i64::try_from(requests).unwrap_or(i64::MAX)));
        self.full_at = self.full_at.max(now).plus(span.min(CHARGE_MAX));
    }
}

/// What one request may cost at most.
const CHARGE_MAX: Nanos = Nanos::from_secs(60);

/// Control frames and refused requests a second, and for how many seconds there were too many.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ControlRate {
    second: u32,
    count: u16,
    seconds_over: u16,
}

impl ControlRate {
    /// Counts one; `false` when it has been more than `per_second` for `over_seconds` more
    /// than it has not.
    pub(crate) fn count(&mut self, now: Nanos, per_second: u16, over_seconds: u16) -> bool {
        let second = (now.0 / 1_000_000_000) as u32;
        if second != self.second {
            if self.count > per_second {
                self.seconds_over += 1;
            }
            // Each quiet second takes one away, so that pauses do not buy further floods.
            let quiet = second.wrapping_sub(self.second).saturating_sub(1);
            let quiet = quiet.saturating_add(u32::from(self.count <= per_second));
            self.seconds_over = self.seconds_over.saturating_sub(quiet.min(u16::MAX.into()) as u16);
            self.second = second;
            self.count = 0;
        }
        self.count = self.count.saturating_add(1);
        self.seconds_over < over_seconds
    }
}

impl<S> Connection<S> {
    /// A connection that was just handed over; `now` is the shard's clock.
    pub(crate) fn new(
        socket: S,
        framing: Framing,
        encoding: Encoding,
        account: Account,
        now: Nanos,
    ) -> Connection<S> {
        Connection {
            socket,
            decoder: Decoder::new(),
            waiting: Vec::new(),
            rest: 0,
            subscriptions: Subscriptions::default(),
            owing: None,
            pongs_waiting: 0,
            rare: None,
            phase: Phase::Open,
            framing,
            encoding,
            compresses: false,
            blocked: false,
            queued: false,
            unread: false,
            paused: false,
            lagging: false,
            pinged: false,
            leave_at: Nanos::MAX,
            heard_at: Stamp::at(now),
            moved_at: Stamp::at(now),
            begun_at: Nanos::MAX,
            requests: RequestBudget::default(),
            controls: ControlRate::default(),
            account,
        }
    }

    /// Whether frames of topics that it is current on may be put into the pass for it. While it
    /// waits for the line, or owes a status, they become owing instead.
    pub(crate) fn takes_frames(&self) -> bool {
        let owes_status = self.owing.as_ref().is_some_and(|owing| !owing.statuses.is_empty());
        self.phase == Phase::Open && !self.blocked && !owes_status
    }

    /// Whether more answers wait than may: its input is not read. The rest of a frame does not
    /// count, however long it is.
    pub(crate) fn is_flooded(&self) -> bool {
        self.waiting.len() - self.rest as usize > ANSWERS_BYTES_MAX
    }

    /// Who it speaks for, unless that is anybody.
    pub(crate) fn standing(&self) -> Option<&Standing> {
        self.rare.as_ref()?.standing.as_ref()
    }

    /// On whose behalf it speaks.
    pub(crate) fn who(&self) -> &Who {
        self.standing().map_or(&ANYBODY, |standing| &standing.who)
    }

    /// Whether it has to authenticate before anything else.
    pub(crate) fn is_unknown(&self) -> bool {
        matches!(self.who(), Who::Unknown)
    }

    /// Whether it is the service's own witness, which counts as nobody.
    pub(crate) fn is_canary(&self) -> bool {
        matches!(self.who(), Who::Canary)
    }

    /// How many topics it owes something older than its subscription to.
    pub(crate) fn late_topics(&self) -> usize {
        self.owing.as_ref().map_or(0, |owing| owing.late())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard_pass::Lane;

    #[test]
    fn an_idle_connection_is_small() {
        let size = size_of::<Connection<crate::line::Line>>() + size_of::<Lane>();
        // In debug builds mio remembers with each socket which poller it belongs to.
        let most = if cfg!(debug_assertions) { 232 } else { 224 };
        assert!(size <= most, "{size} bytes");
    }

    #[test]
    fn a_stamp_knows_its_age_also_where_it_wraps() {
        let wraps = Nanos::from_millis(1 << 32);
        let before = Stamp::at(wraps.since(Nanos::from_millis(300)));
        assert_eq!(before.age(wraps.plus(Nanos::from_secs(5))), Nanos::from_millis(5_300));
    }

    #[test]
    fn a_burst_of_requests_passes_and_then_ten_a_second() {
        let mut budget = RequestBudget::default();
        let now = Nanos::from_secs(100);
        assert_eq!((0..100).filter(|_| budget.take(now, 10, 50)).count(), 50);
        let later = now.plus(Nanos::from_millis(500));
        assert_eq!((0..100).filter(|_| budget.take(later, 10, 50)).count(), 5);
    }

    #[test]
    fn more_than_twenty_control_frames_a_second_pass_for_five_seconds() {
        let mut rate = ControlRate::default();
        let mut refused_at = None;
        for tenth in 0..100 {
            let now = Nanos::from_millis(1_000_000 + tenth * 100);
            let fine = (0..3).all(|_| rate.count(now, 20, 5));
            if !fine {
                refused_at.get_or_insert(tenth);
            }
        }
        assert_eq!(refused_at, Some(50));
    }

    #[test]
    fn twenty_a_second_pass_for_ever_and_so_does_a_single_burst() {
        let mut rate = ControlRate::default();
        assert!((0..1000).all(|_| rate.count(Nanos::from_secs(7), 20, 5)));
        for twentieth in 0..2000 {
            assert!(rate.count(Nanos::from_millis(10_000 + twentieth * 50), 20, 5));
        }
    }

    #[test]
    fn pauses_do_not_buy_further_floods() {
        let mut rate = ControlRate::default();
        let mut refused_at = None;
        // Four seconds of too many, two of silence, again and again.
        for second in (0..600).filter(|second| second % 6 < 4) {
            let now = Nanos::from_secs(1_000 + second);
            if !(0..30).all(|_| rate.count(now, 20, 5)) {
                refused_at.get_or_insert(second);
            }
        }
        assert!(refused_at.is_some_and(|second| second < 20), "{refused_at:?}");
    }

    #[test]
    fn a_request_that_costs_much_is_paid_by_those_after_it() {
        let mut budget = RequestBudget::default();
        let now = Nanos::from_secs(100);
        assert!(budget.take(now, 10, 50));
        budget.charge(now, 49, 10);
        assert!(!budget.take(now, 10, 50));
        assert!(budget.take(now.plus(Nanos::from_millis(100)), 10, 50));
        budget.charge(now, usize::MAX, 10);
        assert!(budget.take(now.plus(Nanos::from_secs(61)), 10, 50), "not for ever");
    }
}
