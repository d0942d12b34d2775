//! When to try again: exponential, jittered, and what a `goaway` asked for.
//!
//! Reads no clock; the present is an argument.

use std::time::{Duration, Instant};

/// How long to wait between attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Before the second attempt, at most; half of it at least.
    pub base: Duration,
    /// What it grows to by doubling.
    pub max: Duration,
}

impl Default for Backoff {
    /// From half a second to half a minute.
    fn default() -> Backoff {
        Backoff { base: Duration::from_millis(500), max: Duration::from_secs(30) }
    }
}

/// A connection that lasted so long, or as long as the longest delay, was a good one: the delays
/// begin anew.
const GOOD_AFTER: Duration = Duration::from_secs(10);

/// Where a client stands between its attempts.
#[derive(Clone, Debug)]
pub(crate) struct Attempts {
    backoff: Backoff,
    failures: u32,
    /// A service that goes away has said when to come; nobody comes earlier.
    not_before: Option<Instant>,
}

impl Attempts {
    pub(crate) const fn new(backoff: Backoff) -> Attempts {
        Attempts { backoff, failures: 0, not_before: None }
    }

    /// How many attempts in a row have led to nothing.
    pub(crate) const fn failures(&self) -> u32 {
        self.failures
    }

    /// A connection is to be left, and the next made, at this time.
    pub(crate) const fn leave(&mut self, at: Instant) {
        self.not_before = Some(at);
    }

    /// A connection was good for something for so long.
    pub(crate) fn lasted(&mut self, live: Duration) {
        if live >= GOOD_AFTER.min(self.backoff.max) {
            self.failures = 0;
        }
    }

    /// When to try again after an end at `now`; `jitter` is in 0 to 1, `asked` what the service
    /// wants to be left alone for.
    pub(crate) fn next(&mut self, now: Instant, asked: Option<Duration>, jitter: f64) -> Instant {
        if let Some(at) = self.not_before.take() {
            // Each client was given its own moment, so there is nothing to spread.
            self.failures = 0;
            return at.max(now);
        }
        let doubled = self.backoff.base.saturating_mul(1 << self.failures.min(20));
        let full = doubled.min(self.backoff.max);
        self.failures = self.failures.saturating_add(1);
        let delay = full.mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0));
        now + delay.max(asked.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff =
        Backoff { base: Duration::from_millis(100), max: Duration::from_millis(500) };

    fn delays(attempts: &mut Attempts, jitter: f64, count: usize) -> Vec<u128> {
        let now = Instant::now();
        (0..count).map(|_| (attempts.next(now, None, jitter) - now).as_millis()).collect()
    }

    #[test]
    fn delays_double_up_to_the_maximum_and_half_of_each_is_jitter() {
        assert_eq!(delays(&mut Attempts::new(BACKOFF), 1.0, 5), [100, 200, 400, 500, 500]);
        assert_eq!(delays(&mut Attempts::new(BACKOFF), 0.0, 5), [50, 100, 200, 250, 250]);
        let mut long = Attempts::new(BACKOFF);
        assert_eq!(delays(&mut long, 1.0, 100).last(), Some(&500));
    }

    #[test]
    fn a_connection_that_lasted_begins_the_delays_anew_and_a_short_one_does_not() {
        let mut attempts = Attempts::new(BACKOFF);
        delays(&mut attempts, 1.0, 3);
        attempts.lasted(Duration::from_millis(499));
        assert_eq!(delays(&mut attempts, 1.0, 1), [500]);
        attempts.lasted(Duration::from_millis(500));
        assert_eq!(delays(&mut attempts, 1.0, 1), [100]);
    }

    #[test]
    fn nobody_comes_back_before_the_moment_of_the_goaway() {
        let mut attempts = Attempts::new(BACKOFF);
        let now = Instant::now();
        let at = now + Duration::from_secs(7);
        attempts.leave(at);
        assert_eq!(attempts.next(now, None, 0.0), at);
        // It holds once.
        assert_eq!(attempts.next(now, None, 1.0), now + BACKOFF.base);
        attempts.leave(now);
        let late = now + Duration::from_secs(1);
        assert_eq!(attempts.next(late, None, 1.0), late);
    }

    #[test]
    fn what_the_service_asks_for_is_the_least() {
        let mut attempts = Attempts::new(BACKOFF);
        let now = Instant::now();
        let asked = Duration::from_secs(3);
        assert_eq!(attempts.next(now, Some(asked), 0.0), now + asked);
    }
}
