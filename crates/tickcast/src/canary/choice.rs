//! Which instruments of a venue the canary follows: a few that are live and busy.
//!
//! Who was chosen stays while it is not much quieter than others, so that subscriptions do not come
//! and go with every minute.

use std::cmp::Reverse;
use std::collections::HashMap;
use tickcast_market::{InstrumentIndex, TradingState, Venue};
use tickcast_publisher::Hub;
use tickcast_wire::{Depth, View};

/// Instruments of a venue that are followed at once.
pub(super) const INSTRUMENTS_MAX: usize = 4;

/// Others have to be so many times as busy to take an instrument's place.
const LOYALTY: u64 = 4;

/// An instrument that something was heard of, or that would be if it were asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) index: InstrumentIndex,
    pub(super) is_live: bool,
    /// Changes since the last look.
    pub(super) changes: u64,
}

/// What was seen of a venue's instruments at the last look.
#[derive(Debug, Default)]
pub(super) struct Scout {
    seqs: HashMap<InstrumentIndex, u64>,
}

impl Scout {
    /// Looks at all instruments of a venue.
    ///
    /// *Cost:* a few read locks per instrument, each for a moment.
    pub(super) fn look(&mut self, hub: &Hub, venue: Venue) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        for instrument in hub.directory().list_from(0) {
            let index = instrument.index;
            let seq = |view| hub.now(index, view).map_or(0, |since| since.seq.0);
            if instrument.spec.venue != venue {
                continue;
            }
            let now = seq(View::Ticker) + seq(View::Book(Depth::TEN));
            // A gateway is told only of what somebody on it wants; one without clients of nothing.
            if now == 0 && hub.is_told(index, View::Ticker) {
                continue;
            }
            let before = self.seqs.insert(index, now).unwrap_or(0);
            let is_live =
                now > 0 && hub.status(index).is_some_and(|s| s.state == TradingState::Live);
            candidates.push(Candidate { index, is_live, changes: now.saturating_sub(before) });
        }
        candidates
    }
}

/// The instruments to follow from now on, at most [`INSTRUMENTS_MAX`]. Who stays keeps its place.
pub(super) fn choose(
    current: &[InstrumentIndex],
    candidates: &[Candidate],
) -> Vec<InstrumentIndex> {
    let mut ranked: Vec<&Candidate> = candidates.iter().collect();
    ranked.sort_by_key(|candidate| {
        let is_current = current.contains(&candidate.index);
        let weight = if is_current { LOYALTY } else { 1 };
        let activity = candidate.changes.saturating_mul(weight);
        Reverse((candidate.is_live, activity, is_current, Reverse(candidate.index.0)))
    });
    ranked.truncate(INSTRUMENTS_MAX);
    let is_chosen = |index: InstrumentIndex| ranked.iter().any(|c| c.index == index);
    let mut new = ranked.iter().map(|c| c.index).filter(|index| !current.contains(index));
    // An instrument that leaves gives its place to one that comes.
    let mut chosen: Vec<InstrumentIndex> = current
        .iter()
        .filter_map(|index| if is_chosen(*index) { Some(*index) } else { new.next() })
        .collect();
    chosen.extend(new);
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(all: &[(u32, bool, u64)]) -> Vec<Candidate> {
        let candidate = |(index, is_live, changes): &(u32, bool, u64)| Candidate {
            index: InstrumentIndex(*index),
            is_live: *is_live,
            changes: *changes,
        };
        all.iter().map(candidate).collect()
    }

    fn check(current: &[u32], all: &[(u32, bool, u64)], chosen: &[u32]) {
        let indices = |all: &[u32]| all.iter().map(|i| InstrumentIndex(*i)).collect::<Vec<_>>();
        assert_eq!(choose(&indices(current), &candidates(all)), indices(chosen), "{current:?}");
    }

    #[test]
    fn the_busiest_live_ones_are_chosen_and_among_equals_the_first() {
        let all =
            [(0, true, 0), (1, true, 5), (2, false, 99), (3, true, 7), (4, true, 0), (5, true, 5)];
        check(&[], &all, &[3, 1, 5, 0]);
        check(&[], &[(9, false, 0)], &[9]);
        // Of those that nobody has asked for nothing is known: they come last.
        check(&[], &[(0, false, 0), (1, false, 0), (2, true, 3)], &[2, 0, 1]);
        check(&[], &[], &[]);
    }

    #[test]
    fn who_was_chosen_stays_until_others_are_much_busier_or_it_has_ended() {
        let all = |first, live| {
            [(0, live, first), (1, true, 30), (2, true, 30), (3, true, 30), (4, true, 30)]
        };
        check(&[0, 1, 2, 3], &all(10, true), &[0, 1, 2, 3]);
        check(&[0, 1, 2, 3], &all(7, true), &[4, 1, 2, 3]);
        check(&[0, 1, 2, 3], &all(500, false), &[4, 1, 2, 3]);
        // The whole venue is stale: nobody is better.
        check(&[1, 0], &[(0, false, 0), (1, false, 0)], &[1, 0]);
    }
}
