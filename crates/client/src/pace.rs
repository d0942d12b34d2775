//! How often a client asks: again for what is missing, and at all.
//!
//! Reads no clock; the present is an argument.

use std::time::{Duration, Instant};

/// What is missing is gathered for so long before it is asked for.
const GATHER: Duration = Duration::from_millis(20);

/// The longest pause between two askings.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// When nothing was missing for so long, pauses are short again.
const CALM: Duration = Duration::from_secs(10);

/// The pace of asking again: at once after a calm, then with pauses that double, so that a service
/// that answers wrongly each time is not asked in a tight loop.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AskPace {
    last: Option<Instant>,
    pause: Duration,
    noticed: Option<Instant>,
}

impl AskPace {
    /// When to ask, given that something is missing now.
    pub(crate) fn due(&mut self, now: Instant) -> Instant {
        let noticed = *self.noticed.get_or_insert(now);
        let gathered = noticed + GATHER;
        self.last.map_or(gathered, |last| gathered.max(last + self.pause))
    }

    /// It was asked.
    pub(crate) fn asked(&mut self, now: Instant) {
        let is_calm = self.last.is_none_or(|last| now.saturating_duration_since(last) >= CALM);
        self.pause = if is_calm { GATHER * 5 } else { self.pause.saturating_mul(2).min(PAUSE_MAX) };
        self.last = Some(now);
        self.noticed = None;
    }
}

/// A service takes ten requests a second and fifty at once; a client stays below.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestPace {
    /// How many may be sent at once, as of `at`.
    left: f64,
    at: Instant,
}

/// Requests that may be sent at once.
const BURST_MAX: f64 = 40.0;

/// Requests a second beyond them.
const PER_SECOND: f64 = 8.0;

impl RequestPace {
    pub(crate) const fn new(now: Instant) -> RequestPace {
        RequestPace { left: BURST_MAX, at: now }
    }

    /// Takes the place of one request; `Err` says how long to wait for one.
    pub(crate) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let gained = now.saturating_duration_since(self.at).as_secs_f64() * PER_SECOND;
        self.left = (self.left + gained).min(BURST_MAX);
        self.at = now;
        if self.left >= 1.0 {
            self.left -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - self.left) / PER_SECOND))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_that_is_always_wrong_is_asked_ever_more_rarely() {
        let start = Instant::now();
        let mut pace = AskPace::default();
        let mut now = start;
        let mut gaps = Vec::new();
        for _ in 0..10 {
            let at = pace.due(now);
            gaps.push((at - now).as_millis());
            now = at;
            pace.asked(now);
        }
        assert_eq!(gaps, [20, 100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000, 5_000]);
        // After a calm the next is asked for at once.
        now += CALM;
        assert_eq!(pace.due(now), now + GATHER);
        pace.asked(now);
        assert_eq!(pace.due(now), now + GATHER * 5);
    }

    #[test]
    fn more_that_is_missing_does_not_put_the_question_off() {
        let now = Instant::now();
        let mut pace = AskPace::default();
        let at = pace.due(now);
        assert_eq!(pace.due(now + GATHER / 2), at);
    }

    #[test]
    fn requests_come_in_a_burst_and_then_evenly() {
        let start = Instant::now();
        let mut pace = RequestPace::new(start);
        let burst = (0..100).take_while(|_| pace.take(start).is_ok()).count();
        assert_eq!(burst, BURST_MAX as usize);
        let wait = pace.take(start).unwrap_err();
        assert_eq!(wait, Duration::from_millis(125));
        assert_eq!(pace.take(start + wait), Ok(()));
        assert!(pace.take(start + wait).is_err());
    }
}
