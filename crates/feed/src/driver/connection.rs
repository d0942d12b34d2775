//! The life of one connection: one enum, and one function that owns its transitions.
//!
//! No sockets and no handler here: [`Connection::step`] says what has to be done, `core`
//! does it.

use crate::handler::{ConnectionIndex, Limits};
use tickcast_market::Nanos;

/// A replaced connection is closed after so long even if the newer one is not served yet.
pub(crate) const REPLACED_SPAN_MAX: Nanos = Nanos::from_secs(60);

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// To be dialled when its time has come: back-off or pacing.
    Waiting { until: Nanos },
    /// Being dialled; the dialler has a time-out of its own.
    Dialling,
    /// Carries messages.
    Open { since: Nanos, heard_at: Nanos },
    /// Still carries messages while a newer generation of the line is opened beside it.
    Replaced { since: Nanos, heard_at: Nanos },
    /// Over.
    Ended,
}

/// What can happen to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// Time has passed.
    Tick,
    /// The handshake succeeded.
    Opened,
    /// Something was received: a message or a ping.
    Heard,
    /// The newer generation carries everything.
    Superseded,
    /// It is to be replaced with overlap (the venue announced a shutdown).
    Replace,
    /// The dialler failed, or the socket ended.
    Lost,
    /// We end it: the handler wants a new one, or the process stops.
    Cut,
}

/// What has to be done after a transition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Nothing.
    Nothing,
    /// Dial.
    Dial,
    /// Tell the handler that it is open.
    Subscribe,
    /// Open the next generation beside it.
    OpenNext,
    /// Tell the handler that it was silent, then as [`Act::Close`].
    CloseSilent,
    /// Close the socket if there is one and tell the handler that it is over; open the next.
    Close,
    /// As [`Act::Close`], but a newer generation already serves the line.
    CloseOld,
    /// It never opened: open the next, the handler need not know.
    Retry,
}

/// One connection of a line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connection {
    pub(crate) index: ConnectionIndex,
    pub(crate) state: State,
}

impl Connection {
    pub(crate) fn new(index: ConnectionIndex, until: Nanos) -> Connection {
        Connection { index, state: State::Waiting { until } }
    }

    /// Takes what happened, moves on, and says what has to be done.
    pub(crate) fn step(&mut self, input: Input, now: Nanos, limits: &Limits) -> Act {
        use State::{Dialling, Ended, Open, Replaced, Waiting};
        let (state, act) = match (self.state, input) {
            (Waiting { until }, Input::Tick) if now >= until => (Dialling, Act::Dial),
            (Dialling, Input::Opened) => (Open { since: now, heard_at: now }, Act::Subscribe),
            (Dialling | Waiting { .. }, Input::Lost) => (Ended, Act::Retry),
            (Dialling | Waiting { .. }, Input::Cut) => (Ended, Act::Retry),

            (Open { heard_at, .. }, Input::Tick) if now.since(heard_at) >= limits.silence_max => {
                (Ended, Act::CloseSilent)
            }
            (Open { since, heard_at }, Input::Tick) if is_old(since, now, limits) => {
                (Replaced { since: now, heard_at }, Act::OpenNext)
            }
            (Open { heard_at, .. }, Input::Replace) => {
                (Replaced { since: now, heard_at }, Act::OpenNext)
            }
            (Open { since, .. }, Input::Heard) => (Open { since, heard_at: now }, Act::Nothing),
            (Open { .. }, Input::Lost | Input::Cut) => (Ended, Act::Close),

            (Replaced { since, .. }, Input::Heard) => {
                (Replaced { since, heard_at: now }, Act::Nothing)
            }
            (Replaced { since, heard_at }, Input::Tick)
                if now.since(heard_at) >= limits.silence_max
                    || now.since(since) >= REPLACED_SPAN_MAX =>
            {
                (Ended, Act::CloseOld)
            }
            (Replaced { .. }, Input::Superseded | Input::Lost | Input::Cut) => {
                (Ended, Act::CloseOld)
            }
            (state, _) => (state, Act::Nothing),
        };
        self.state = state;
        act
    }

    /// When [`Input::Tick`] will next change something.
    pub(crate) fn deadline(&self, limits: &Limits) -> Nanos {
        match self.state {
            State::Waiting { until } => until,
            State::Dialling | State::Ended => Nanos::MAX,
            State::Open { since, heard_at } => heard_at
                .plus(limits.silence_max)
                .min(limits.lifetime_max.map_or(Nanos::MAX, |span| since.plus(span))),
            State::Replaced { since, heard_at } => {
                heard_at.plus(limits.silence_max).min(since.plus(REPLACED_SPAN_MAX))
            }
        }
    }

    /// Whether messages may come on it.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. } | State::Replaced { .. })
    }
}

fn is_old(since: Nanos, now: Nanos, limits: &Limits) -> bool {
    limits.lifetime_max.is_some_and(|span| now.since(since) >= span)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        send_gap: Nanos(0),
        get_gap: Nanos(0),
        connect_gap: Nanos(0),
        silence_max: Nanos(100),
        lifetime_max: Some(Nanos(1000)),
        message_bytes_max: 1 << 20,
    };

    fn check(steps: &[(i64, Input, Act)]) -> State {
        let index = ConnectionIndex { line: 0, generation: 0 };
        let mut connection = Connection::new(index, Nanos(10));
        for (at, input, act) in steps {
            let got = connection.step(*input, Nanos(*at), &LIMITS);
            assert_eq!(got, *act, "{input:?} at {at}");
        }
        connection.state
    }

    #[test]
    fn a_connection_waits_dials_opens_and_is_closed_when_lost() {
        let end = check(&[
            (9, Input::Tick, Act::Nothing),
            (10, Input::Tick, Act::Dial),
            (11, Input::Tick, Act::Nothing),
            (12, Input::Opened, Act::Subscribe),
            (13, Input::Heard, Act::Nothing),
            (14, Input::Lost, Act::Close),
            (15, Input::Lost, Act::Nothing),
            (16, Input::Heard, Act::Nothing),
        ]);
        assert_eq!(end, State::Ended);
    }

    #[test]
    fn a_failed_dial_is_tried_again_without_a_word_to_the_handler() {
        check(&[(10, Input::Tick, Act::Dial), (20, Input::Lost, Act::Retry)]);
    }

    #[test]
    fn silence_ends_a_connection_and_any_message_puts_it_off() {
        check(&[
            (10, Input::Tick, Act::Dial),
            (20, Input::Opened, Act::Subscribe),
            (119, Input::Tick, Act::Nothing),
            (119, Input::Heard, Act::Nothing),
            (218, Input::Tick, Act::Nothing),
            (219, Input::Tick, Act::CloseSilent),
        ]);
    }

    #[test]
    fn an_old_connection_stays_until_the_newer_one_serves() {
        let old = [
            (10, Input::Tick, Act::Dial),
            (20, Input::Opened, Act::Subscribe),
            (1019, Input::Heard, Act::Nothing),
            (1020, Input::Tick, Act::OpenNext),
            (1021, Input::Tick, Act::Nothing),
            (1022, Input::Replace, Act::Nothing),
            (1023, Input::Heard, Act::Nothing),
        ];
        for (input, act) in [
            (Input::Superseded, Act::CloseOld),
            (Input::Lost, Act::CloseOld),
            (Input::Cut, Act::CloseOld),
        ] {
            let steps: Vec<_> = old.iter().copied().chain([(1030, input, act)]).collect();
            check(&steps);
        }
        let silent: Vec<_> =
            old.iter().copied().chain([(1123, Input::Tick, Act::CloseOld)]).collect();
        check(&silent);
    }

    #[test]
    fn the_deadline_is_when_a_tick_next_does_something() {
        let index = ConnectionIndex { line: 0, generation: 0 };
        let mut connection = Connection::new(index, Nanos(10));
        for _ in 0..3 {
            let due = connection.deadline(&LIMITS);
            let before = connection;
            assert_eq!(connection.step(Input::Tick, Nanos(due.0 - 1), &LIMITS), Act::Nothing);
            assert_eq!(connection.state, before.state);
            assert_ne!(connection.step(Input::Tick, due, &LIMITS), Act::Nothing);
            if connection.state == State::Dialling {
                assert_eq!(connection.deadline(&LIMITS), Nanos::MAX);
                connection.step(Input::Opened, due, &LIMITS);
            }
            if connection.state == State::Ended {
                return;
            }
        }
        panic!("it never ended");
    }
}
