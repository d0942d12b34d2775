//! Trouble on request: what, and when.

use std::str::FromStr;
use std::time::Duration;

/// What goes wrong, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A message is lost; with it the next ones of the same symbol, this many in all. On a venue
    /// whose loss can only be seen by some messages, the first is one of those.
    Drop(u32),
    /// A message comes twice.
    Duplicate,
    /// A message comes after its successor.
    Reorder,
    /// Nothing comes any more on the connection, not even pings, and what happens meanwhile is
    /// lost: until the client connects anew, or for this long.
    Silence(Option<Duration>),
    /// The connection is cut without a close frame.
    Cut,
    /// Something comes that is no message at all.
    Garbage,
    /// The next request on a socket is refused, or, where there are none, the next connection.
    Refuse,
    /// The next REST request is answered with 429 and `Retry-After: 1`.
    RefuseRest,
    /// A message comes that crosses the book.
    Crossed,
}

impl Fault {
    /// One of each, as tests use them.
    pub const ALL: [Fault; 9] = [
        Fault::Drop(3),
        Fault::Duplicate,
        Fault::Reorder,
        Fault::Silence(None),
        Fault::Cut,
        Fault::Garbage,
        Fault::Refuse,
        Fault::RefuseRest,
        Fault::Crossed,
    ];

    /// The word for it in plans.
    pub const fn name(self) -> &'static str {
        match self {
            Fault::Drop(_) => "drop",
            Fault::Duplicate => "duplicate",
            Fault::Reorder => "reorder",
            Fault::Silence(_) => "silence",
            Fault::Cut => "cut",
            Fault::Garbage => "garbage",
            Fault::Refuse => "refuse",
            Fault::RefuseRest => "refuse-rest",
            Fault::Crossed => "crossed",
        }
    }
}

/// A fault and after how many recorded messages it happens, to the next message that it suits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultPlan {
    /// What.
    pub fault: Fault,
    /// After how many messages.
    pub after: u64,
}

/// Why a plan cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "fault {0:?}: not NAME[=VALUE][@AFTER] with a name of drop, duplicate, reorder, silence, cut, garbage, refuse, refuse-rest, crossed"
)]
pub struct FaultError(String);

impl FromStr for FaultPlan {
    type Err = FaultError;

    /// Reads `cut@500`, `drop=3@20`, `silence=1500@9` (milliseconds), `garbage`.
    fn from_str(text: &str) -> Result<FaultPlan, FaultError> {
        let wrong = || FaultError(text.to_owned());
        let (what, after) = text.split_once('@').unwrap_or((text, "0"));
        let (name, value) = match what.split_once('=') {
            Some((name, value)) => (name, Some(value.parse::<u32>().map_err(|_| wrong())?)),
            None => (what, None),
        };
        let fault = Fault::ALL.into_iter().find(|fault| fault.name() == name).ok_or_else(wrong)?;
        let fault = match fault {
            Fault::Drop(_) => Fault::Drop(value.unwrap_or(1).max(1)),
            Fault::Silence(_) => {
                Fault::Silence(value.map(|ms| Duration::from_millis(u64::from(ms))))
            }
            other if value.is_none() => other,
            _ => return Err(wrong()),
        };
        Ok(FaultPlan { fault, after: after.parse().map_err(|_| wrong())? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_are_read_from_words() {
        let plan = |text: &str| text.parse::<FaultPlan>().map(|p| (p.fault, p.after)).ok();
        assert_eq!(plan("cut@500"), Some((Fault::Cut, 500)));
        assert_eq!(plan("drop"), Some((Fault::Drop(1), 0)));
        assert_eq!(plan("drop=3@20"), Some((Fault::Drop(3), 20)));
        let span = Duration::from_millis(1500);
        assert_eq!(plan("silence=1500@9"), Some((Fault::Silence(Some(span)), 9)));
        for text in ["", "cutt", "cut@", "cut=1", "drop=x", "silence=-1"] {
            assert_eq!(plan(text), None, "{text}");
        }
    }
}
