//! What one connection has subscribed to, and which topics that makes.
//!
//! An exact name needs nothing beyond its membership, whose topic holds all options. Globs, and
//! names that no feed has mentioned yet, are kept apart, by those few that have any.

use crate::topics::Place;
use thin_vec::ThinVec;
use tickcast_market::Since;
use tickcast_publisher::{Tier, TopicKey};
use tickcast_wire::{Depth, Encoding, FieldSet, Glob, View};

/// A stream of an instrument without the options that can be changed in place: all depths of a
/// book are one.
pub(crate) fn stream_of(view: View) -> View {
    match view {
        View::Book(_) => View::Book(Depth::TEN),
        view => view,
    }
}

/// The options of a subscription as they were granted: with the instrument they make a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) view: View,
    pub(crate) tier: Tier,
    pub(crate) fields: FieldSet,
    pub(crate) encoding: Encoding,
}

impl Options {
    /// The topic of these options on an instrument.
    pub(crate) fn topic(self, instrument: tickcast_market::InstrumentIndex) -> TopicKey {
        let Options { view, tier, fields, encoding } = self;
        TopicKey { instrument, view, tier, fields, encoding }
    }
}

/// A connection's place in the subscriber list of one topic, and whether an exact name asked for
/// it (else a glob did). Eight bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Membership {
    slot_and_exact: u32,
    at: u32,
}

const EXACT: u32 = 1 << 31;

impl Membership {
    /// What is left of a membership that was taken out, until the request that did so is finished.
    pub(crate) const GONE: Membership = Membership { slot_and_exact: !EXACT, at: u32::MAX };

    pub(crate) fn new(place: Place, exact: bool) -> Membership {
        Membership { slot_and_exact: place.slot | if exact { EXACT } else { 0 }, at: place.at }
    }

    pub(crate) fn place(self) -> Place {
        Place { slot: self.slot_and_exact & !EXACT, at: self.at }
    }

    pub(crate) fn is_exact(self) -> bool {
        self.slot_and_exact & EXACT != 0
    }

    pub(crate) fn set_exact(&mut self, exact: bool) {
        *self = Membership::new(self.place(), exact);
    }

    /// The topic has moved the subscriber within its list.
    pub(crate) fn set_at(&mut self, at: u32) {
        self.at = at;
    }

    pub(crate) fn is_gone(self) -> bool {
        self == Membership::GONE
    }
}

/// A glob that stays alive: instruments that appear later are matched against it.
#[derive(Clone, Debug)]
pub(crate) struct GlobSubscription {
    pub(crate) glob: Glob,
    pub(crate) options: Options,
    pub(crate) bare: bool,
}

/// A name that no feed has mentioned yet.
#[derive(Clone, Debug)]
pub(crate) struct WaitingName {
    pub(crate) name: Box<str>,
    pub(crate) options: Options,
    pub(crate) since: Option<Since>,
    pub(crate) bare: bool,
}

/// What only few connections have.
#[derive(Debug, Default)]
pub(crate) struct Wishes {
    /// In the order in which they were first subscribed to: a later one wins.
    pub(crate) globs: Vec<GlobSubscription>,
    pub(crate) waiting: Vec<WaitingName>,
}

impl Wishes {
    fn is_empty(&self) -> bool {
        self.globs.is_empty() && self.waiting.is_empty()
    }

    /// The last glob that matches a stream of an instrument of that name.
    pub(crate) fn winner(&self, name: &str, stream: View) -> Option<&GlobSubscription> {
        let fits = |held: &&GlobSubscription| {
            stream_of(held.options.view) == stream && held.glob.matches(name)
        };
        self.globs.iter().rev().find(fits)
    }

    /// Where the glob of that text stands.
    pub(crate) fn find(&self, glob: &Glob, stream: View) -> Option<usize> {
        let same =
            |held: &GlobSubscription| stream_of(held.options.view) == stream && held.glob == *glob;
        self.globs.iter().position(same)
    }

    /// Where the waiting name stands.
    pub(crate) fn find_waiting(&self, name: &str, stream: View) -> Option<usize> {
        let same =
            |held: &WaitingName| stream_of(held.options.view) == stream && &*held.name == name;
        self.waiting.iter().position(same)
    }
}

/// Everything that one connection has subscribed to.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    /// Thin: most of the many connections have a few, and some have none.
    pub(crate) memberships: ThinVec<Membership>,
    wishes: Option<Box<Wishes>>,
}

impl Subscriptions {
    /// How many streams it gets.
    pub(crate) fn instruments(&self) -> usize {
        self.memberships.len()
    }

    /// How many subscriptions it has: names and globs.
    pub(crate) fn count(&self) -> usize {
        let exact = self.memberships.iter().filter(|membership| membership.is_exact()).count();
        exact + self.wishes().map_or(0, |wishes| wishes.globs.len() + wishes.waiting.len())
    }

    pub(crate) fn wishes(&self) -> Option<&Wishes> {
        self.wishes.as_deref()
    }

    /// Whether names wait to be known.
    pub(crate) fn is_waiting(&self) -> bool {
        self.wishes().is_some_and(|wishes| !wishes.waiting.is_empty())
    }

    pub(crate) fn wishes_mut(&mut self) -> &mut Wishes {
        self.wishes.get_or_insert_default()
    }

    /// Gives memory back that is no longer needed.
    pub(crate) fn tidy(&mut self) {
        if self.wishes().is_some_and(Wishes::is_empty) {
            self.wishes = None;
        }
        // Requests are rare and ten thousand connections are many. Copied, since an allocator that
        // is asked to shrink leaves things where they are.
        if self.memberships.len() < self.memberships.capacity() {
            let mut exact = ThinVec::with_capacity(self.memberships.len());
            exact.extend_from_slice(&self.memberships);
            self.memberships = exact;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tickcast_wire::Pattern;

    fn glob(text: &str) -> Glob {
        match Pattern::new(text) {
            Pattern::Glob(glob) => glob,
            Pattern::Exact(name) => panic!("{name} is no glob"),
        }
    }

    fn options(view: View) -> Options {
        Options { view, tier: Tier(0), fields: FieldSet::ALL, encoding: Encoding::Json }
    }

    #[test]
    fn the_later_glob_wins_within_its_stream() {
        let mut wishes = Wishes::default();
        for (text, view) in [
            ("*", View::Ticker),
            ("sim:*", View::Ticker),
            ("*", View::Trades),
            ("k*", View::Ticker),
        ] {
            let options = options(view);
            wishes.globs.push(GlobSubscription { glob: glob(text), options, bare: false });
        }
        let winner = |name: &str, view| wishes.winner(name, view).map(|held| held.glob.as_str());
        assert_eq!(winner("sim:A", View::Ticker), Some("sim:*"));
        assert_eq!(winner("x:A", View::Ticker), Some("*"));
        assert_eq!(winner("sim:A", View::Trades), Some("*"));
        assert_eq!(winner("sim:A", View::Book(Depth::TEN)), None);
        assert_eq!(wishes.find(&glob("*"), View::Trades), Some(2));
    }

    #[test]
    fn a_membership_is_eight_bytes_and_holds_place_and_kind() {
        assert_eq!(size_of::<Membership>(), 8);
        let mut membership = Membership::new(Place { slot: 5, at: 6 }, true);
        membership.set_at(7);
        assert_eq!((membership.place(), membership.is_exact()), (Place { slot: 5, at: 7 }, true));
        membership.set_exact(false);
        assert_eq!((membership.place(), membership.is_exact()), (Place { slot: 5, at: 7 }, false));
        assert!(!membership.is_gone() && Membership::GONE.is_gone());
        assert!(!Membership::GONE.is_exact(), "what is gone is not counted");
    }
}
