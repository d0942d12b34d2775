//! What one connection holds of one stream, in 24 bytes, and the client's rule on it.
//!
//! It says the same as `tickcast_client::Rule` (a test compares them) and more: which of the
//! service's promises was broken. Values are not held here; the sampled sessions hold them.

use crate::scan::Item;
use tickcast_wire::{Epoch, Seq, Since};

/// What became of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judged {
    /// Taken over.
    Applied,
    /// Held already, from a snapshot or a diff: the protocol allows it.
    Overlap,
    /// The very frame that was applied last, once more.
    Duplicate,
    /// Something is missing, and it has to be asked for.
    Gap,
    /// Something is missing that was asked for already.
    Waiting,
    /// A promise was broken. It has to be asked for again.
    Broken(Promise),
    /// Not subscribed to at present, as after an unsubscribe.
    Unexpected,
}

/// A promise of the protocol that a place can see broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Promise {
    /// The first message is a snapshot, or with `since` an update with `prev` = that seq.
    SnapshotFirst,
    /// The answer comes before the data.
    AnswerFirst,
    /// The status comes before the data.
    StatusFirst,
    /// An update has a `prev` that is not above its `seq`.
    Prev,
    /// A snapshot says the state.
    State,
    /// No data after the answer to an unsubscribe.
    Unsubscribed,
    /// Epochs are below 2^53.
    Epoch,
}

impl Promise {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Promise::SnapshotFirst => "update_before_snapshot",
            Promise::AnswerFirst => "data_before_answer",
            Promise::StatusFirst => "data_before_status",
            Promise::Prev => "prev",
            Promise::State => "state_missing",
            Promise::Unsubscribed => "data_after_unsubscribe",
            Promise::Epoch => "epoch",
        }
    }
}

/// With which words something is subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subscribing {
    /// With nothing held.
    Anew,
    /// With this `since`.
    Claiming(Since),
    /// Perhaps it is subscribed to, with other options.
    Changing,
}

/// Epochs are below 2^53; what is above it belongs to the flags.
const EPOCH_BITS: u32 = 53;
const EPOCH_MASK: u64 = (1 << EPOCH_BITS) - 1;

/// Something is held.
const HOLDS: u64 = 1 << EPOCH_BITS;
/// The epoch was received on this connection.
const SEEN: u64 = HOLDS << 1;
/// The first message of the subscription has not come.
const FIRST: u64 = HOLDS << 2;
/// `since` claimed what is held.
const CLAIMED: u64 = HOLDS << 3;
/// The answer to the subscribe has not come.
const UNANSWERED: u64 = HOLDS << 4;
/// Asked for again, and nothing has come yet.
const ASKED: u64 = HOLDS << 5;
/// Not subscribed to.
const OFF: u64 = HOLDS << 6;
/// The answer to an unsubscribe has not come.
const ENDING: u64 = HOLDS << 7;

/// What is held of one stream.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Place {
    epoch_and_flags: u64,
    seq: u64,
    /// `ts_publish` of what was applied last: the same frame sent twice is known by it.
    stamp: i64,
}

impl Place {
    /// Not subscribed to.
    pub(crate) const fn off() -> Place {
        Place { epoch_and_flags: OFF, seq: 0, stamp: 0 }
    }

    fn has(&self, flag: u64) -> bool {
        self.epoch_and_flags & flag != 0
    }

    fn set(&mut self, flag: u64) {
        self.epoch_and_flags |= flag;
    }

    fn clear(&mut self, flag: u64) {
        self.epoch_and_flags &= !flag;
    }

    fn epoch(&self) -> u64 {
        self.epoch_and_flags & EPOCH_MASK
    }

    /// What can be claimed.
    pub(crate) fn held(&self) -> Option<Since> {
        self.has(HOLDS).then(|| Since { epoch: Epoch(self.epoch()), seq: Seq(self.seq) })
    }

    pub(crate) fn is_off(&self) -> bool {
        self.has(OFF)
    }

    pub(crate) fn awaits_first(&self) -> bool {
        self.has(FIRST)
    }

    /// A subscribe was sent for it. What goes on, as with another rate, keeps its place.
    pub(crate) fn subscribed(&mut self, how: Subscribing) {
        match how {
            Subscribing::Claiming(since) => {
                let flags = HOLDS | FIRST | CLAIMED | UNANSWERED;
                let epoch = since.epoch.0 & EPOCH_MASK;
                *self = Place { epoch_and_flags: flags | epoch, seq: since.seq.0, stamp: 0 };
            }
            Subscribing::Changing if !self.has(OFF | ENDING) && self.has(HOLDS | FIRST) => {}
            Subscribing::Anew | Subscribing::Changing => {
                *self = Place { epoch_and_flags: FIRST | UNANSWERED, seq: 0, stamp: 0 };
            }
        }
    }

    /// An unsubscribe was sent.
    pub(crate) fn ending(&mut self) {
        self.set(ENDING);
    }

    /// The subscribe was answered.
    pub(crate) fn answered(&mut self) {
        self.clear(UNANSWERED);
    }

    /// The unsubscribe was answered.
    pub(crate) fn ended(&mut self) {
        if self.has(ENDING) {
            *self = Place::off();
        }
    }

    /// It has to be asked for again; whether it was not already.
    pub(crate) fn must_ask(&mut self) -> bool {
        let first = !self.has(ASKED);
        self.set(ASKED);
        first
    }

    /// Judges an item and takes its place over where it is applied.
    pub(crate) fn judge(&mut self, item: &Item<'_>, is_lenient: bool) -> Judged {
        if self.has(OFF) {
            return Judged::Broken(Promise::Unsubscribed);
        }
        if self.has(ENDING) {
            return Judged::Unexpected;
        }
        if let Some(broken) = self.broken(item, is_lenient) {
            self.clear(UNANSWERED | FIRST | CLAIMED);
            if broken != Promise::AnswerFirst {
                self.clear(HOLDS);
                return Judged::Broken(broken);
            }
            self.judge_rule(item);
            return Judged::Broken(broken);
        }
        self.clear(FIRST | CLAIMED);
        self.judge_rule(item)
    }

    fn broken(&self, item: &Item<'_>, is_lenient: bool) -> Option<Promise> {
        if item.epoch > EPOCH_MASK {
            return Some(Promise::Epoch);
        }
        if item.is_snapshot {
            if !item.has_state && !is_lenient {
                return Some(Promise::State);
            }
        } else {
            match item.prev {
                Some(prev) if prev <= item.seq => {}
                _ => return Some(Promise::Prev),
            }
            let resumes = self.has(CLAIMED)
                && self.has(HOLDS)
                && item.epoch == self.epoch()
                && item.prev == Some(self.seq);
            if self.has(FIRST) && !resumes {
                return Some(Promise::SnapshotFirst);
            }
        }
        self.has(UNANSWERED).then_some(Promise::AnswerFirst)
    }

    /// The rule of `PROTOCOL.md`.
    fn judge_rule(&mut self, item: &Item<'_>) -> Judged {
        if self.has(SEEN) && item.epoch < self.epoch() {
            return Judged::Overlap;
        }
        let same_epoch = self.has(HOLDS) && item.epoch == self.epoch();
        self.epoch_and_flags = self.epoch_and_flags & !EPOCH_MASK | item.epoch | SEEN;
        if item.is_snapshot {
            self.set(HOLDS);
            return self.applied(item);
        }
        if !same_epoch {
            self.clear(HOLDS);
            return self.gap();
        }
        if item.seq <= self.seq {
            // Up to date, is what an update without any change says.
            if item.prev == Some(item.seq) {
                self.clear(ASKED);
                return Judged::Applied;
            }
            let again = item.seq == self.seq && item.ts_publish == self.stamp;
            return if again { Judged::Duplicate } else { Judged::Overlap };
        }
        if item.prev.is_some_and(|prev| prev > self.seq) {
            return self.gap();
        }
        self.applied(item)
    }

    fn applied(&mut self, item: &Item<'_>) -> Judged {
        self.seq = item.seq;
        self.stamp = if item.is_snapshot { 0 } else { item.ts_publish };
        self.clear(ASKED);
        Judged::Applied
    }

    fn gap(&mut self) -> Judged {
        if self.must_ask() { Judged::Gap } else { Judged::Waiting }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tickcast_client::{Rule, Verdict};
    use tickcast_wire::{Channel, Mark};

    fn item(is_snapshot: bool, epoch: u64, prev: u64, seq: u64) -> Item<'static> {
        Item {
            channel: Channel::Ticker,
            is_snapshot,
            symbol: b"a:B",
            variant: 0,
            epoch,
            prev: (!is_snapshot).then_some(prev),
            seq,
            has_state: is_snapshot,
            ts_event: None,
            ts_publish: (epoch << 40 | prev << 20 | seq) as i64,
        }
    }

    fn subscribed(how: Subscribing) -> Place {
        let mut place = Place::off();
        place.subscribed(how);
        place.answered();
        place
    }

    #[test]
    fn each_broken_promise_has_its_name() {
        let mut place = subscribed(Subscribing::Anew);
        let update = item(false, 1, 5, 6);
        assert_eq!(place.judge(&update, false), Judged::Broken(Promise::SnapshotFirst));

        let mut place = Place::off();
        assert_eq!(place.judge(&update, false), Judged::Broken(Promise::Unsubscribed));
        place.subscribed(Subscribing::Anew);
        let snapshot = item(true, 1, 0, 5);
        assert_eq!(place.judge(&snapshot, false), Judged::Broken(Promise::AnswerFirst));
        assert_eq!(place.judge(&update, false), Judged::Applied, "it was taken all the same");
        assert_eq!(place.judge(&update, false), Judged::Duplicate);
        assert_eq!(place.judge(&item(false, 1, 3, 4), false), Judged::Overlap);
        assert_eq!(place.judge(&item(false, 1, 7, 8), false), Judged::Gap);
        assert_eq!(place.judge(&item(false, 1, 8, 9), false), Judged::Waiting);
        assert_eq!(place.judge(&item(false, 1, 9, 8), false), Judged::Broken(Promise::Prev));

        let mut stateless = item(true, 1, 0, 5);
        stateless.has_state = false;
        let mut place = subscribed(Subscribing::Anew);
        assert_eq!(place.judge(&stateless, true), Judged::Applied, "leniently");
        assert_eq!(place.judge(&stateless, false), Judged::Broken(Promise::State));
        assert_eq!(place.judge(&item(true, 1 << 53, 0, 5), false), Judged::Broken(Promise::Epoch));

        place.ending();
        assert_eq!(place.judge(&update, false), Judged::Unexpected, "on its way when it ended");
        place.ended();
        assert_eq!(place.judge(&update, false), Judged::Broken(Promise::Unsubscribed));
    }

    #[test]
    fn a_claim_is_answered_by_a_snapshot_or_an_update_from_just_there() {
        let since = Since { epoch: Epoch(3), seq: Seq(7) };
        for (answer, expected) in [
            (item(false, 3, 7, 9), Judged::Applied),
            (item(false, 3, 7, 7), Judged::Applied),
            (item(true, 4, 0, 1), Judged::Applied),
            (item(true, 2, 0, 1), Judged::Applied),
            (item(false, 3, 6, 9), Judged::Broken(Promise::SnapshotFirst)),
            (item(false, 3, 8, 9), Judged::Broken(Promise::SnapshotFirst)),
            (item(false, 4, 7, 9), Judged::Broken(Promise::SnapshotFirst)),
        ] {
            let mut place = subscribed(Subscribing::Claiming(since));
            assert_eq!(place.judge(&answer, false), expected, "{answer:?}");
        }
    }

    #[test]
    fn changing_a_rate_goes_on_and_what_was_off_begins_anew() {
        let mut place = subscribed(Subscribing::Anew);
        place.judge(&item(true, 1, 0, 5), false);
        place.subscribed(Subscribing::Changing);
        assert!(!place.awaits_first());
        assert_eq!(place.judge(&item(false, 1, 5, 6), false), Judged::Applied);
        let mut off = Place::off();
        off.subscribed(Subscribing::Changing);
        assert!(off.awaits_first());
    }

    #[test]
    fn a_place_is_small() {
        assert_eq!(size_of::<Place>(), 24);
    }

    proptest! {
        /// After the first snapshot both say the same of every sequence of items.
        #[test]
        fn the_rule_is_the_clients(
            items in prop::collection::vec((any::<bool>(), 1..4u64, 0..8u64, 0..8u64), 1..40),
        ) {
            let mut place = subscribed(Subscribing::Anew);
            let mut rule = Rule::default();
            let first = item(true, 1, 0, 3);
            let mark = |item: &Item<'_>| Mark {
                epoch: Epoch(item.epoch),
                prev: item.prev.map(Seq),
                seq: Seq(item.seq),
            };
            rule.snapshot(mark(&first));
            place.judge(&first, false);
            for (is_snapshot, epoch, prev, ahead) in items {
                let item = item(is_snapshot, epoch, prev, prev + ahead);
                let verdict = match is_snapshot {
                    true => rule.snapshot(mark(&item)),
                    false => rule.update(mark(&item), true),
                };
                let judged = place.judge(&item, false);
                let same = match verdict {
                    Verdict::Applied => judged == Judged::Applied,
                    // "Up to date" changes nothing and is no fault either way.
                    Verdict::Ignored => matches!(
                        judged,
                        Judged::Overlap | Judged::Duplicate | Judged::Applied
                    ),
                    Verdict::AskAgain => matches!(judged, Judged::Gap | Judged::Waiting),
                };
                prop_assert!(same, "{:?}: {:?} {:?}", item, verdict, judged);
                // After a gap the rule may still name an older epoch; nobody can use it.
                if verdict == Verdict::Applied {
                    prop_assert_eq!(place.held(), rule.held());
                }
            }
        }
    }
}
