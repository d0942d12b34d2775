//! The last step of a turn: time.
//!
//! A hand goes round all connections several times a second, a few at each step, and looks at what
//! is due on each. So a deadline costs no entry in any queue, ten thousand connections cost some
//! microseconds a step, and what begins at once on all of them is spread by itself.

use crate::connection::{Framing, Phase};
use crate::frame::{Opcode, write_frame};
use crate::identity::Who;
use crate::shard::Shard;
use crate::socket::Socket;
use tickcast_market::Nanos;
use tickcast_wire::{Answer, ErrorCode, Goaway};

/// Multiples of it, modulo one, never fall together.
const GOLDEN: f64 = 0.618_033_988_749_894_9;

/// The hand goes round so often.
const ROUND: Nanos = Nanos::from_millis(250);

/// In so many steps.
const STEPS: i64 = 10;

/// In so many steps a blocked line is tried again before it is given up. The kernel says that there
/// is room only when a good part of its buffer is free; less counts as progress, too, and should
/// not be found at the very end.
const TRIES: i64 = 10;

/// A longer jump of the clock is not time in which a client could have done anything: the clock
/// was set, or the machine stood still.
const JUMP_MAX: Nanos = Nanos::from_secs(1);

/// The shard's own clock: it goes on with the wall clock, never jumps and never goes back.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    wall: Nanos,
    now: Nanos,
}

impl Pace {
    /// The wall clock shows this now.
    pub(crate) fn advance(&mut self, wall: Nanos) {
        self.now = self.at(wall);
        self.wall = wall;
    }

    /// What this clock shows when the wall clock shows that.
    pub(crate) fn at(&self, wall: Nanos) -> Nanos {
        self.now.plus(wall.since(self.wall).clamp(Nanos::ZERO, JUMP_MAX))
    }

    pub(crate) fn now(&self) -> Nanos {
        self.now
    }
}

/// Where the hand stands.
#[derive(Debug)]
pub(crate) struct Hand {
    round: Nanos,
    stepped_at: Nanos,
    next: usize,
}

impl Hand {
    /// A hand that is quick enough for such heartbeats.
    pub(crate) fn new(heartbeat_ms: u32) -> Hand {
        let round = ROUND.min(Nanos::from_millis(i64::from(heartbeat_ms) / 4)).max(Nanos(STEPS));
        Hand { round, stepped_at: Nanos::ZERO, next: 0 }
    }

    fn step(&self) -> Nanos {
        Nanos(self.round.0 / STEPS)
    }

    /// How long it rests before its next step.
    pub(crate) fn next_step(&self, now: Nanos) -> Nanos {
        self.stepped_at.plus(self.step()).since(now).max(Nanos::ZERO)
    }

    /// How many of `all` connections are to be looked at now.
    fn visits(&mut self, now: Nanos, all: usize) -> usize {
        let elapsed = now.since(self.stepped_at);
        if elapsed < self.step() {
            return 0;
        }
        self.stepped_at = now;
        let share =
            (elapsed.0.min(self.round.0) as u128 * all as u128).div_ceil(self.round.0 as u128);
        share as usize
    }

    fn next(&mut self, all: usize) -> u32 {
        self.next = if self.next + 1 < all { self.next + 1 } else { 0 };
        self.next as u32
    }
}

/// The end of service, spread over a window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Drain {
    until: Nanos,
}

/// A part of a span that is always the same for a connection and different for most: what began at
/// once does not end at once.
fn spread(token: u32, span: Nanos) -> Nanos {
    let hash = u64::from(token.wrapping_mul(0x9E37_79B1));
    Nanos(((u128::from(hash) * span.0.max(0) as u128) >> 32) as i64)
}

impl<S: Socket> Shard<S> {
    /// Moves the hand on.
    pub(crate) fn run_timers(&mut self) {
        let all = self.lanes.len();
        for _ in 0..self.hand.visits(self.pace.now(), all) {
            let token = self.hand.next(all);
            self.check(token);
        }
    }

    /// Does what is due on one connection.
    fn check(&mut self, token: u32) {
        let now = self.pace.now();
        let Some(connection) = self.get(token) else { return };
        if now >= connection.leave_at {
            return match connection.phase {
                Phase::Open => self.close(token, 1001, "drain"),
                Phase::Closing | Phase::Leaving => self.drop_connection(token, 1006, "gave up"),
            };
        }
        if connection.phase != Phase::Open {
            return;
        }
        if let Some(standing) = connection.standing() {
            let waited = standing.begun_at.age(now);
            let is_late = waited >= Nanos::from_millis(self.settings.auth_within_ms.into());
            match &standing.who {
                Who::Unknown if is_late => return self.end_rights(token, "no token came in time"),
                Who::Known(identity) if identity.expires_at <= self.now => {
                    return self.end_rights(token, "the token has expired");
                }
                _ => {}
            }
        }
        let past = |since: Nanos, ms: u32| now.since(since) >= Nanos::from_millis(ms.into());
        let no_progress = Nanos::from_millis(self.settings.no_progress_ms.into());
        let stuck = connection.moved_at.age(now);
        if connection.blocked && stuck >= no_progress {
            self.try_once_more(token);
        } else if connection.blocked && self.is_time_to_try(stuck, no_progress) {
            self.resume(token);
        } else if past(connection.begun_at, self.settings.message_within_ms) {
            self.close(token, 1008, "a message took too long to arrive");
        } else {
            self.check_silence(token);
        }
    }

    /// Whether this look at a line that is stuck is the first in its step.
    fn is_time_to_try(&self, stuck: Nanos, no_progress: Nanos) -> bool {
        let step = Nanos(no_progress.0 / TRIES);
        stuck >= step && stuck.0 % step.0.max(1) < self.hand.round.0
    }

    /// Nothing moved for long: unless the line takes something now the connection is closed.
    fn try_once_more(&mut self, token: u32) {
        let Some(connection) = self.get_mut(token) else { return };
        let before = connection.moved_at;
        self.resume(token);
        if self.get(token).is_some_and(|c| c.blocked && c.moved_at == before) {
            let code = ErrorCode::NoProgress;
            self.close(token, code.number(), code.reason());
        }
    }

    /// Looks for dead peers, and tells the living that we are.
    fn check_silence(&mut self, token: u32) {
        let now = self.pace.now();
        let sent_at = self.now;
        let millis = |ms: u32| Nanos::from_millis(ms.into());
        let ping_after = millis(self.settings.ping_after_ms);
        let ping_after = ping_after.since(spread(token, Nanos(ping_after.0 / 5)));
        let heartbeat = millis(self.settings.heartbeat_ms);
        let heartbeat = heartbeat.since(spread(token, Nanos(heartbeat.0 / 10)));
        let pong_within = millis(self.settings.pong_within_ms);
        let Some(connection) = self.get_mut(token) else { return };
        if connection.framing == Framing::WebSocket {
            let silence = connection.heard_at.age(now);
            if connection.pinged && silence >= ping_after.plus(pong_within) {
                let code = ErrorCode::NoProgress;
                return self.close(token, code.number(), "no sign of life");
            }
            if !connection.pinged && silence >= ping_after {
                connection.pinged = true;
                write_frame(&mut connection.waiting, Opcode::Ping, &sent_at.0.to_be_bytes());
                return self.flush(token);
            }
        }
        if !connection.blocked && connection.moved_at.age(now) >= heartbeat {
            self.say(token, "heartbeat", &Answer::Heartbeat { ts_publish: sent_at });
            self.flush(token);
        }
    }

    /// Tells every client its own delay within the window, serves it until then, and closes it
    /// (1001). The canary stays to the end, to see what those get who are still there.
    pub fn drain(&mut self, now: Nanos, window_ms: u32) {
        self.set_time(now);
        if self.drain.is_some() {
            return;
        }
        let window = Nanos::from_millis(window_ms.into());
        self.drain = Some(Drain { until: self.pace.now().plus(window) });
        let mut tokens = self.tokens();
        tokens.retain(|token| !self.is_canary(*token));
        let all = tokens.len() as i64;
        // Each client has a slot of its own, and each shard another place within the slots.
        let place = (f64::from(self.index.0) + 1.0) * GOLDEN % 1.0;
        for (rank, token) in tokens.into_iter().enumerate() {
            let slot = window.0 as f64 / all as f64;
            self.send_away(token, Nanos((slot * (rank as f64 + place)) as i64));
        }
    }

    /// A connection that comes while the shard drains gets a delay, too.
    pub(crate) fn join_drain(&mut self, token: u32) {
        if let Some(Drain { until }) = self.drain {
            let left = until.since(self.pace.now()).0.max(1);
            let delay = Nanos(self.random.i64(0..left));
            self.send_away(token, delay);
        }
    }

    fn send_away(&mut self, token: u32, delay: Nanos) {
        let leave_at = self.pace.now().plus(delay);
        match self.get_mut(token) {
            Some(connection) if connection.phase == Phase::Open => connection.leave_at = leave_at,
            _ => return,
        }
        let reconnect_after_ms = (delay.0 / 1_000_000) as u64;
        let goaway = Goaway { reconnect_after_ms, reason: "drain".to_owned() };
        self.say(token, "system", &Answer::Goaway(&goaway));
        self.flush(token);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_goes_on_with_the_wall_and_does_not_jump() {
        let mut pace = Pace::default();
        pace.advance(Nanos::from_secs(1_000_000));
        let start = pace.now();
        pace.advance(Nanos::from_secs(1_000_000).plus(Nanos::from_millis(300)));
        assert_eq!(pace.now().since(start), Nanos::from_millis(300));
        pace.advance(Nanos::from_secs(2_000_000));
        assert_eq!(pace.now().since(start), Nanos::from_millis(1_300));
        pace.advance(Nanos::from_secs(1_000));
        assert_eq!(pace.now().since(start), Nanos::from_millis(1_300));
    }

    #[test]
    fn the_hand_visits_everybody_in_a_round_whatever_the_steps() {
        for (all, step_ms) in [(1, 25), (7, 25), (1000, 30), (1000, 250), (3, 1000)] {
            let mut hand = Hand::new(5_000);
            let mut seen = vec![0; all];
            let mut now = Nanos::from_secs(1);
            hand.stepped_at = now;
            while now < Nanos::from_millis(1_000 + 250 + step_ms) {
                now = now.plus(Nanos::from_millis(step_ms));
                for _ in 0..hand.visits(now, all) {
                    seen[hand.next(all) as usize] += 1;
                }
            }
            assert!(seen.iter().all(|visits| *visits > 0), "{all} by {step_ms} ms");
        }
    }

    #[test]
    fn spans_are_spread_over_their_whole_width() {
        let span = Nanos::from_secs(4);
        let mut seconds = [0; 4];
        for token in 0..10_000 {
            seconds[(spread(token, span).0 / 1_000_000_000) as usize] += 1;
        }
        assert!(seconds.iter().all(|count| (2_000..3_000).contains(count)), "{seconds:?}");
    }
}
