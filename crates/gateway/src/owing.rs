//! What a connection owes: statuses, and topics since a seq.
//!
//! There is one entry per topic, first in, first out, and none while a connection is current on
//! everything. What was missed is not kept: it is made by `diff(since)` when the line has room.

use std::collections::{BTreeSet, VecDeque};
use tickcast_market::{InstrumentIndex, Since};

/// A topic that a connection is to be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owed {
    /// The connection's membership in the topic.
    pub(crate) membership: u32,
    /// What the client holds.
    pub(crate) since: Since,
    /// It begins a subscription (or answers a client that asks again): it is always answered, and
    /// the connection is not lagging for it.
    pub(crate) first: bool,
    /// `trades` with `snapshot: false`.
    pub(crate) bare: bool,
}

/// Everything that one connection owes.
#[derive(Debug, Default)]
pub(crate) struct Owing {
    /// Instruments whose status has to be told, before any data.
    pub(crate) statuses: BTreeSet<InstrumentIndex>,
    topics: VecDeque<Owed>,
    late: usize,
}

impl Owing {
    /// Whether nothing is owed.
    pub(crate) fn is_empty(&self) -> bool {
        self.statuses.is_empty() && self.topics.is_empty()
    }

    /// How many topics are owed.
    pub(crate) fn topics(&self) -> usize {
        self.topics.len()
    }

    /// Every topic that is owed.
    pub(crate) fn owed(&self) -> impl Iterator<Item = &Owed> {
        self.topics.iter()
    }

    /// How many of them are owed something older than their subscription.
    pub(crate) fn late(&self) -> usize {
        self.late
    }

    /// Adds a topic at the end.
    pub(crate) fn push(&mut self, owed: Owed) {
        self.late += usize::from(!owed.first);
        self.topics.push_back(owed);
    }

    /// Takes the topic that has waited longest.
    pub(crate) fn pop(&mut self) -> Option<Owed> {
        let owed = self.topics.pop_front()?;
        self.late -= usize::from(!owed.first);
        Some(owed)
    }

    /// Puts back what was taken but could not be sent.
    pub(crate) fn put_back(&mut self, owed: Owed) {
        self.late += usize::from(!owed.first);
        self.topics.push_front(owed);
    }

    /// Renames memberships after a request has changed them: `place` gives the new number, or
    /// `None` where nothing is owed any more.
    pub(crate) fn rename(&mut self, place: impl Fn(u32) -> Option<u32>) {
        self.topics.retain_mut(|owed| match place(owed.membership) {
            Some(membership) => {
                owed.membership = membership;
                true
            }
            None => false,
        });
        self.late = self.topics.iter().filter(|owed| !owed.first).count();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owed(membership: u32, first: bool) -> Owed {
        Owed { membership, since: Since::NOTHING, first, bare: false }
    }

    #[test]
    fn what_was_put_back_is_first_again_and_lateness_is_counted() {
        let mut owing = Owing::default();
        owing.push(owed(1, true));
        owing.push(owed(2, false));
        owing.push(owed(3, false));
        assert_eq!((owing.topics(), owing.late()), (3, 2));
        let (one, two) = (owing.pop().unwrap(), owing.pop().unwrap());
        owing.put_back(two);
        owing.put_back(one);
        owing.rename(|membership| (membership != 2).then_some(membership + 10));
        assert_eq!((owing.topics(), owing.late()), (2, 1));
        assert_eq!(owing.pop(), Some(owed(11, true)));
        assert_eq!(owing.pop(), Some(owed(13, false)));
        assert!(owing.is_empty());
    }
}
