//! How long to wait: before trying again, and between two requests.
//!
//! Time is an argument; nothing here sleeps.

use parking_lot::Mutex;
use std::sync::{Arc, OnceLock};
use tickcast_market::{Nanos, Venue};

/// Growing, jittered delays of one line. The first retry is almost at once, because a lone cut is
/// usually followed by a connection that holds; every further one waits about twice as long.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    min: Nanos,
    max: Nanos,
    failures: u32,
    random: fastrand::Rng,
}

impl Backoff {
    /// Delays from about `min` to at most `max`; `seed` moves the jitter.
    pub(crate) fn new(min: Nanos, max: Nanos, seed: u64) -> Backoff {
        Backoff { min, max, failures: 0, random: fastrand::Rng::with_seed(seed) }
    }

    /// The delay after one more failure: between half of and the whole of `min × 2^(n-1)`, at most
    /// `max`; the first one between zero and `min`.
    pub(crate) fn next_delay(&mut self) -> Nanos {
        let full = self.min.0.saturating_mul(1i64 << self.failures.saturating_sub(1).min(30));
        let full = full.clamp(0, self.max.0.max(0));
        let floor = if self.failures == 0 { 0 } else { full / 2 };
        self.failures = self.failures.saturating_add(1);
        Nanos(self.random.i64(floor..=full))
    }

    /// Forgets the failures: the connection has been healthy for long enough.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}

/// Keeps a gap between requests.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pacer {
    free_at: Nanos,
}

impl Pacer {
    /// The moment from which the next request may go out.
    pub(crate) fn free_at(&self) -> Nanos {
        self.free_at
    }

    /// Whether a request may go out at `now`; if so the next may not before `gap` has passed.
    pub(crate) fn take(&mut self, now: Nanos, gap: Nanos) -> bool {
        let free = now >= self.free_at;
        if free {
            self.free_at = now.plus(gap);
        }
        free
    }

    /// No request before `until` (the venue said so).
    pub(crate) fn hold(&mut self, until: Nanos) {
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

    /// Takes a turn at `now`.
    ///
    /// *Errors:* the moment to try again, when somebody else's attempt was less than `gap` ago.
    pub(crate) fn take(&self, now: Nanos, gap: Nanos) -> Result<(), Nanos> {
        let mut pacer = self.0.lock();
        if pacer.take(now, gap) { Ok(()) } else { Err(pacer.free_at()) }
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
        assert!(pacer.take(Nanos(100), gap));
        assert!(!pacer.take(Nanos(109), gap));
        assert!(pacer.take(Nanos(110), gap));
        pacer.hold(Nanos(500));
        assert!(!pacer.take(Nanos(499), gap));
        assert_eq!(pacer.free_at(), Nanos(500));
    }

    #[test]
    fn everybody_who_connects_to_a_venue_shares_its_pace() {
        let (mine, yours) = (ConnectPacer::default(), ConnectPacer::of(Venue::Sim));
        let (gap, late) = (Nanos(10), Nanos::from_secs(1 << 30));
        assert_eq!(mine.take(Nanos(1), gap), Ok(()));
        let same = mine.clone();
        assert_eq!(same.take(Nanos(2), gap), Err(Nanos(11)));
        assert_eq!(mine.take(Nanos(11), gap), Ok(()));
        assert_eq!(yours.take(late, gap), Ok(()));
        assert_eq!(ConnectPacer::of(Venue::Sim).take(late, gap), Err(late.plus(gap)));
    }
}
