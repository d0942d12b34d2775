//! When one instrument's snapshot may be asked for again: at once the first time, then ever more
//! seldom; so that an instrument which fails again and again is a slow, counted state and not an
//! endless loop.

use tickcast_market::Nanos;

/// How long a snapshot may take after it was asked for.
const SNAPSHOT_WAIT: Nanos = Nanos::from_secs(15);
/// The longest wait between two requests.
const DELAY_MAX: Nanos = Nanos::from_secs(60);
/// A book that was good for so long begins anew with no wait. Longer than [`DELAY_MAX`], or an
/// instrument that fails after every snapshot would be forgiven while it waits.
const FORGIVEN_AFTER: Nanos = Nanos::from_secs(90);

/// One instrument's requests for a snapshot.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Retry {
    failures: u32,
    due: Option<Nanos>,
    asked: Option<Nanos>,
    arrived: Option<Nanos>,
}

impl Retry {
    /// A snapshot is needed: asks for one now or later, unless that is already so. Answers after
    /// how long it will be asked for, or `None` when it already was to be.
    pub(crate) fn want(&mut self, now: Nanos) -> Option<Nanos> {
        if self.due.is_some() || self.asked.is_some() {
            return None;
        }
        if self.arrived.take().is_some_and(|arrived| now.since(arrived) >= FORGIVEN_AFTER) {
            self.failures = 0;
        }
        let delay = match self.failures {
            0 => Nanos::ZERO,
            n => Nanos::from_secs(1 << (n - 1).min(6)).min(DELAY_MAX),
        };
        self.failures = self.failures.saturating_add(1);
        self.due = Some(now.plus(delay));
        Some(delay)
    }

    /// Whether the moment to ask has come.
    pub(crate) fn is_due(&self, now: Nanos) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    /// Whether the moment to ask has come; if so it counts as asked.
    pub(crate) fn take(&mut self, now: Nanos) -> bool {
        let is_due = self.is_due(now);
        if is_due {
            self.asked(now);
        }
        is_due
    }

    /// A snapshot was asked for.
    pub(crate) fn asked(&mut self, now: Nanos) {
        self.due = None;
        self.asked = Some(now);
    }

    /// Whether a snapshot that was asked for has not come in time; it may then be wanted again.
    pub(crate) fn overdue(&mut self, now: Nanos) -> bool {
        let is_overdue = self.asked.is_some_and(|asked| now.since(asked) >= SNAPSHOT_WAIT);
        if is_overdue {
            self.asked = None;
        }
        is_overdue
    }

    /// The snapshot has come.
    pub(crate) fn arrived(&mut self, now: Nanos) {
        (self.due, self.asked, self.arrived) = (None, None, Some(now));
    }

    /// The line has ended: nothing is awaited; how often it failed is remembered.
    pub(crate) fn forget(&mut self) {
        (self.due, self.asked) = (None, None);
    }

    /// How many requests were needed in a row.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Wants a snapshot that fails as soon as it arrives, `times` times; the waits in seconds.
    fn waits(retry: &mut Retry, now: &mut Nanos, times: usize, good_for: i64) -> Vec<i64> {
        (0..times)
            .map(|_| {
                let delay = retry.want(*now).unwrap();
                *now = now.plus(delay);
                assert!(retry.take(*now));
                retry.arrived(*now);
                *now = now.plus(Nanos::from_secs(good_for));
                delay.0 / 1_000_000_000
            })
            .collect()
    }

    #[test]
    fn an_instrument_that_fails_again_and_again_is_asked_for_once_a_minute() {
        let (mut retry, mut now) = (Retry::default(), Nanos::from_secs(1000));
        assert_eq!(waits(&mut retry, &mut now, 10, 0), [0, 1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(retry.failures(), 10);
    }

    #[test]
    fn a_book_that_held_for_a_while_begins_with_no_wait() {
        let (mut retry, mut now) = (Retry::default(), Nanos::from_secs(1000));
        assert_eq!(waits(&mut retry, &mut now, 4, 100), [0, 0, 0, 0]);
        assert_eq!(waits(&mut retry, &mut now, 4, 50), [0, 1, 2, 4]);
    }

    #[test]
    fn one_request_is_under_way_at_a_time_and_is_given_up_when_overdue() {
        let (mut retry, now) = (Retry::default(), Nanos::from_secs(1000));
        assert_eq!(retry.want(now), Some(Nanos::ZERO));
        assert_eq!(retry.want(now), None, "already due");
        assert!(retry.take(now));
        assert!(!retry.take(now));
        assert_eq!(retry.want(now), None, "already asked");
        assert!(!retry.overdue(now.plus(Nanos::from_secs(14))));
        assert!(retry.overdue(now.plus(Nanos::from_secs(15))));
        assert_eq!(retry.want(now.plus(Nanos::from_secs(15))), Some(Nanos::from_secs(1)));
    }
}
