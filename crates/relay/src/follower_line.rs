//! What the gateway's end knows of its line: whether it stands, whether the publisher is heard on it,
//! and what time it is.

use crate::follower::Follower;
use tickcast_market::Nanos;

/// Without a beat for so long the publisher is not heard any more.
const SILENCE_MAX: Nanos = Nanos::from_millis(1_500);

/// A clock that is set back by more than this is not a clock for a moment.
const STEP_MAX: Nanos = Nanos::from_millis(50);

/// The line to NATS at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineState {
    /// Whether it stands.
    pub is_connected: bool,
    /// Rises whenever messages may have been lost here: with each connection, and when they were taken
    /// too slowly.
    pub losses: u64,
}

impl Follower {
    /// Looks at the line before anything is taken that has waited meanwhile: this process may have been
    /// stopped, and the line may have been cut.
    ///
    /// After a loss every stream is asked for, once the lease has been read again; what was sent before
    /// and comes now may be old. Nobody is heard on a line that is cut.
    pub fn begin_turn(&mut self, line: LineState, now: Nanos) {
        // The first turn has nothing that waited.
        self.waits_since = if self.turned == Nanos::ZERO { now } else { self.turned };
        let back = self.turned.since(now);
        if back > Nanos::ZERO {
            self.set_back(back);
            self.waits_since = now;
        }
        // Nobody knows how much time has passed besides: too much, to be safe.
        let is_stepped = back > STEP_MAX;
        if is_stepped {
            self.waits_since = now.since(SILENCE_MAX).since(Nanos(1));
        }
        self.turned = now;
        let is_cut =
            std::mem::replace(&mut self.is_connected, line.is_connected) && !line.is_connected;
        let is_lost = std::mem::replace(&mut self.losses.0, line.losses) != line.losses;
        let is_silent = self.heard.is_some_and(|heard| now.since(heard) > SILENCE_MAX);
        if is_silent {
            tracing::warn!("bus: the publisher is not heard any more");
        }
        if is_cut || is_lost || is_silent || is_stepped {
            self.heard = None;
            self.is_lease_read = false;
            self.doubt_all(now);
        }
    }

    /// Whether what is taken in this turn may have waited for longer than silence may last: this process
    /// was stopped, and it tells of another time.
    pub(crate) fn is_late(&self, now: Nanos) -> bool {
        now.since(self.waits_since) > SILENCE_MAX
    }

    /// The clock was set back by so much: what was to be in a second is to be in a second, and what was
    /// silent for one has been silent for one.
    fn set_back(&mut self, by: Nanos) {
        let earlier = |at: &mut Nanos| *at = at.since(by);
        self.heard.iter_mut().for_each(earlier);
        earlier(&mut self.checked);
        for followed in self.streams.values_mut() {
            followed.asked.iter_mut().for_each(earlier);
            followed.unwanted_since.iter_mut().for_each(earlier);
            earlier(&mut followed.audit_at);
        }
    }
}
