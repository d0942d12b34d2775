//! What the log says of a feed as a whole: how its lines stand and how many instruments are stale,
//! when that changes, and no more than once a second.

use crate::driver::config::FeedState;
use crate::outlet::StateCounts;
use tickcast_market::{Nanos, TradingState, Venue};

/// A feed that goes up and down all the time is told of so often at most.
const TELL_SPAN: Nanos = Nanos::from_secs(1);

/// What was told last.
#[derive(Debug)]
pub(crate) struct Told {
    venue: Venue,
    state: FeedState,
    has_stale: bool,
    at: Option<Nanos>,
}

impl Told {
    pub(crate) fn new(venue: Venue) -> Told {
        Told { venue, state: FeedState::Starting, has_stale: false, at: None }
    }

    /// Looks at how it stands now. Whether that was told.
    pub(crate) fn look(&mut self, state: FeedState, counts: &StateCounts, now: Nanos) -> bool {
        let of = |state: TradingState| counts[state as usize];
        let (stale, resync) = (of(TradingState::Stale), of(TradingState::Resync));
        let has_stale = stale > 0;
        let is_early = self.at.is_some_and(|at| now.since(at) < TELL_SPAN);
        if (state, has_stale) == (self.state, self.has_stale) || is_early {
            return false;
        }
        let (venue, name) = (self.venue, state.name());
        let live = of(TradingState::Live);
        match state {
            FeedState::Live if !has_stale => {
                tracing::info!(%venue, state = name, live, stale, resync, "feed");
            }
            FeedState::Starting | FeedState::Stopped => {
                tracing::info!(%venue, state = name, live, stale, resync, "feed");
            }
            _ => tracing::warn!(%venue, state = name, live, stale, resync, "feed"),
        }
        (self.state, self.has_stale, self.at) = (state, has_stale, Some(now));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_once_and_one_that_comes_too_soon_a_moment_later() {
        let mut told = Told::new(Venue::Kraken);
        let at = |millis| Nanos::from_secs(100).plus(Nanos::from_millis(millis));
        let (fine, stale) = ([5, 0, 0, 0, 0], [2, 0, 0, 3, 0]);
        assert!(!told.look(FeedState::Starting, &[0; 5], at(0)));
        assert!(told.look(FeedState::Live, &fine, at(1)));
        assert!(!told.look(FeedState::Live, &fine, at(5_000)));
        assert!(told.look(FeedState::Down, &stale, at(5_001)));
        assert!(!told.look(FeedState::Live, &fine, at(5_500)), "too soon");
        assert!(told.look(FeedState::Live, &fine, at(6_001)));
    }
}
