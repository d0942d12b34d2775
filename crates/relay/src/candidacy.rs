//! Who asks for the lease when: a publisher that has prices at once, one that has none only where
//! nobody else wants it. One that has just been started, or whose venues cannot be reached, would
//! else be as quick as the standby whose books are built, and gateways would have nothing to show.

use std::time::Duration;
use tokio::time::Instant;

/// A lease that nobody has held for so long is wanted by nobody who has prices; those ask every 200 ms.
const UNWANTED_AFTER: Duration = Duration::from_secs(5);

/// What one publisher has seen of the lease while it did not hold it.
#[derive(Debug, Default)]
pub(crate) struct Candidacy {
    free_since: Option<Instant>,
}

impl Candidacy {
    /// Takes note of whether anybody holds it now; gives whether to ask for it without prices.
    pub(crate) fn sees(&mut self, is_held: bool, now: Instant) -> bool {
        if is_held {
            self.free_since = None;
            return false;
        }
        let since = *self.free_since.get_or_insert(now);
        now.saturating_duration_since(since) >= UNWANTED_AFTER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_prices_a_lease_is_asked_for_that_nobody_has_wanted_for_long() {
        let start = Instant::now();
        let mut candidacy = Candidacy::default();
        for (milliseconds, is_held, asks) in [
            (0, true, false),
            (60_000, true, false),
            (60_200, false, false),
            (65_000, false, false),
            // Somebody else was quicker, and has gone.
            (65_200, true, false),
            (65_400, false, false),
            (70_399, false, false),
            (70_400, false, true),
            (70_600, false, true),
        ] {
            let now = start + Duration::from_millis(milliseconds);
            assert_eq!(candidacy.sees(is_held, now), asks, "at {milliseconds} ms");
        }
    }
}
