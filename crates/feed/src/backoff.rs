//! How long to wait: before trying again, and between two requests.
//!
//! Time is an argument; nothing here sleeps.

use parking_lot::Mutex;
use std::sync::{Arc, OnceLock};
use tickcast_market::{Nanos, Venue};

/// Growing, jittered delays of one line. The first retry is almost at once, because a lone cut is
/// usually followed by a connection that holds; every further one waits about twice as long.
#[derive(Clone, Debug)]
pub struct Backoff {
    min: Nanos,
    max: Nanos,
    failures: u32,
    random: fastrand::Rng,
}

impl Backoff {
    /// Delays from about `min` to at most `max`; `seed` moves the jitter.
    pub fn new(min: Nanos, max: Nanos, seed: u64) -> Backoff {
        Backoff { min, max, failures: 0, random: fastrand::Rng::with_seed(seed) }
    }

    /// The delay after one more failure: between half of and the whole of `min × 2^(n-1)`, at most
    /// `max`; the first one between zero and `min`.
    pub fn next_delay(&mut self) -> Nanos {
        let full = self.min.0.saturating_mul(1i64 << self.failures.saturating_sub(1).min(30));
        let full = full.clamp(0, self.max.0.max(0));
        let floor = if self.failures == 0 { 0 } else { full / 2 };
        self.failures = self.failures.saturating_add(1);
        Nanos(self.random.i64(floor..=full))
    }

    /// Forgets the failures: the connection has been healthy for long enough.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

/// Keeps a gap between requests.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pacer {
    free_at: Nanos,
}

impl Pacer {
    /// The moment from which the next request may go out.
    pub fn free_at(&self) -> Nanos {
        self.free_at
    }

    /// Whether a request may go out at `now`; if so the next may not before `gap` has passed.
    pub fn take(&mut self, now: Nanos, gap: Nanos) -> bool {
        let free = now >= self.free_at;
        if free {
            self.free_at = now.plus(gap);
        }
        free
    }

    /// Reserves the next turn and says when it is.
    pub fn reserve(&mut self, now: Nanos, gap: Nanos) -> Nanos {
        let turn = now.max(self.free_at);
        self.free_at = turn.plus(gap);
        turn
    }

    /// No request before `until` (the venue said so).
    pub fn hold(&mut self, until: Nanos) {
        self.free_at = self.free_at.max(until);
    }
}

/// The attempts to connect to one venue, paced over all lines and drivers that share it.
#[derive(Clone, Debug, Default)]
pub struct ConnectPacer(Arc<Mutex<Pacer>>);

impl ConnectPacer {
    /// The one that everything in this process shares for `venue`: limits count per address.
    pub fn of(venue: Venue) -> ConnectPacer {
        static SHARED: OnceLock<[ConnectPacer; Venue::ALL.len()]> = OnceLock::new();
        let all = SHARED.get_or_init(Default::default);
        let at = Venue::ALL.iter().position(|v| *v == venue).unwrap_or_default();
        all[at].clone()
    }

    /// Reserves the next attempt and says when it is.
    pub fn reserve(&self, now: Nanos, gap: Nanos) -> Nanos {
        self.0.lock().reserve(now, gap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_with_jitter_up_to_a_maximum_and_start_again_after_health() {
        let (min, max) = (Nanos::from_millis(100), Nanos::from_secs(2));
        for seed in 0..50 {
            let mut backoff = Backoff::new(min, max, seed);
            for full in [100, 100, 200, 400, 800, 1600, 2000, 2000] {
                let delay = backoff.next_delay();
                assert!(delay <= Nanos::from_millis(full), "{delay:?} of {full} ms");
                assert!(full == 100 || delay >= Nanos::from_millis(full / 2), "{delay:?}");
            }
            backoff.reset();
            assert!(backoff.next_delay() <= min);
        }
    }

    #[test]
    fn many_failures_do_not_overflow() {
        let mut backoff = Backoff::new(Nanos::from_secs(1), Nanos::MAX, 1);
        (0..200).for_each(|_| assert!(backoff.next_delay() >= Nanos::ZERO));
    }

    #[test]
    fn turns_are_a_gap_apart_and_the_venue_may_hold_them() {
        let mut pacer = Pacer::default();
        let gap = Nanos(10);
        assert_eq!(pacer.reserve(Nanos(100), gap), Nanos(100));
        assert_eq!(pacer.reserve(Nanos(101), gap), Nanos(110));
        assert!(!pacer.take(Nanos(119), gap));
        assert!(pacer.take(Nanos(120), gap));
        pacer.hold(Nanos(500));
        assert_eq!(pacer.reserve(Nanos(130), gap), Nanos(500));
    }
}
