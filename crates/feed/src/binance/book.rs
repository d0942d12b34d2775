//! How one Binance symbol's depth stream and its REST snapshot come together.
//!
//! A state machine over update ids: it says what to do with an event or a snapshot and keeps the
//! events that have to wait. It knows no JSON, asks nobody and emits nothing.
//! Rules: binance-spot-api-docs, `web-socket-streams.md`, "How to manage a local order book
//! correctly".

use crate::roster::retry::Retry;
use tickcast_market::{BookChange, Nanos, NumberError, Scales};

/// How many events may wait for a snapshot; with one every 100 ms, seven minutes.
pub(crate) const KEPT_EVENTS_MAX: usize = 4_096;
/// How many levels may wait for a snapshot.
pub(crate) const KEPT_LEVELS_MAX: usize = 32_768;

/// One `depthUpdate` without its levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DepthIds {
    /// First update id, `U`.
    pub(crate) first: u64,
    /// Last update id, `u`.
    pub(crate) last: u64,
}

/// What to do with a depth event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is next: apply it.
    Apply,
    /// It is old, or a duplicate.
    Ignore,
    /// It waits for a snapshot: give it to [`BookSync::keep`].
    Keep,
    /// Ids are missing. The book is void from here on; the event is the first to be kept.
    Gap,
}

/// What to do with a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Joining {
    /// Emit it, then the kept events from this one on.
    Joined {
        /// How many kept events it already contains.
        skip: usize,
    },
    /// It ends before the first event that was seen: ask again.
    TooOld,
    /// Nobody waits for it.
    NotWanted,
}

/// An event that waits, at the scales of its time.
#[derive(Clone, Copy, Debug)]
struct Kept {
    ids: DepthIds,
    ts_event: Nanos,
    scales: Scales,
    levels_end: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// No depth stream so far.
    #[default]
    Idle,
    /// The stream is there, the snapshot is not.
    Waiting,
    /// Both are one; the last update id that was applied.
    Joined { last: u64 },
}

/// One symbol's synchronisation.
#[derive(Debug, Default)]
pub(crate) struct BookSync {
    state: State,
    /// A contiguous run of events.
    kept: Vec<Kept>,
    kept_levels: Vec<BookChange>,
    /// The requests for a snapshot.
    retry: Retry,
}

impl BookSync {
    /// Whether no depth stream is known.
    pub(crate) fn is_idle(&self) -> bool {
        self.state == State::Idle
    }

    /// The last update id that was applied, if the book is joined.
    pub(crate) fn last(&self) -> Option<u64> {
        match self.state {
            State::Joined { last } => Some(last),
            _ => None,
        }
    }

    /// The stream is lost: everything is void.
    pub(crate) fn reset(&mut self) {
        self.drop_kept();
        self.state = State::Idle;
        self.retry.forget();
    }

    /// The book is void, the stream is not: wait for a new snapshot.
    pub(crate) fn restart(&mut self) {
        self.drop_kept();
        self.state = State::Waiting;
    }

    /// Judges an event by its ids.
    pub(crate) fn event(&mut self, ids: DepthIds) -> Verdict {
        match self.state {
            State::Idle => {
                self.state = State::Waiting;
                Verdict::Keep
            }
            State::Waiting => match self.kept.last() {
                Some(newest) if ids.last <= newest.ids.last => Verdict::Ignore,
                Some(newest) if ids.first > newest.ids.last.saturating_add(1) => {
                    // A snapshot can no longer be joined to what is older than the hole.
                    self.drop_kept();
                    Verdict::Keep
                }
                _ => Verdict::Keep,
            },
            State::Joined { last } if ids.last <= last => Verdict::Ignore,
            State::Joined { last } if ids.first > last.saturating_add(1) => {
                self.restart();
                Verdict::Gap
            }
            State::Joined { .. } => {
                self.state = State::Joined { last: ids.last };
                Verdict::Apply
            }
        }
    }

    /// Keeps an event for the snapshot. When there are too many, the older ones go: the snapshot
    /// then has to be newer, which it is when it is asked for later.
    pub(crate) fn keep(
        &mut self,
        ids: DepthIds,
        ts_event: Nanos,
        scales: Scales,
        levels: &[BookChange],
    ) {
        if self.kept.len() >= KEPT_EVENTS_MAX
            || self.kept_levels.len() + levels.len() > KEPT_LEVELS_MAX
        {
            self.drop_kept();
        }
        self.kept_levels.extend_from_slice(levels);
        self.kept.push(Kept { ids, ts_event, scales, levels_end: self.kept_levels.len() });
    }

    /// Whether a snapshot should be asked for now; from then on one is under way. Says how long
    /// to wait first: not at all, or longer with every attempt that failed.
    pub(crate) fn ask(&mut self, now: Nanos) -> Option<Nanos> {
        if self.last().is_some() {
            return None;
        }
        self.retry.want(now)
    }

    /// The request for a snapshot came to nothing.
    pub(crate) fn ask_failed(&mut self) {
        self.retry.forget();
    }

    /// Judges a snapshot by its `lastUpdateId`.
    ///
    /// The documentation calls it too old when it ends before the first event's `U`. One that
    /// ends exactly at `U - 1` misses nothing either and is taken.
    pub(crate) fn snapshot(&mut self, id: u64, now: Nanos) -> Joining {
        if self.last().is_some() {
            return Joining::NotWanted;
        }
        self.retry.forget();
        if self.kept.first().is_some_and(|first| first.ids.first > id.saturating_add(1)) {
            return Joining::TooOld;
        }
        // The kept events are contiguous, so the first one that ends above `id` begins at or
        // below `id + 1`: the join rule `U <= L + 1 <= u`.
        let skip = self.kept.iter().take_while(|kept| kept.ids.last <= id).count();
        let last = self.kept.last().map_or(id, |kept| kept.ids.last.max(id));
        self.state = State::Joined { last };
        self.retry.arrived(now);
        Joining::Joined { skip }
    }

    /// Hands out the kept events from number `skip` on, brought to `scales` (never coarser than
    /// theirs), and forgets them.
    ///
    /// *Errors:* a number does not fit at `scales`; the events are gone then, too.
    pub(crate) fn replay_kept(
        &mut self,
        skip: usize,
        scales: Scales,
        mut emit: impl FnMut(Nanos, &[BookChange]),
    ) -> Result<(), NumberError> {
        let mut start = 0;
        let mut outcome = Ok(());
        for (number, kept) in self.kept.iter().enumerate() {
            let levels = &mut self.kept_levels[start..kept.levels_end];
            start = kept.levels_end;
            if number < skip || outcome.is_err() {
                continue;
            }
            outcome = levels.iter_mut().try_for_each(|level| {
                level.price = level.price.rescaled(kept.scales.price, scales.price)?;
                level.size = level.size.rescaled(kept.scales.size, scales.size)?;
                Ok(())
            });
            if outcome.is_ok() {
                emit(kept.ts_event, levels);
            }
        }
        self.drop_kept();
        outcome
    }

    fn drop_kept(&mut self) {
        // The memory goes, too: a joined book keeps nothing.
        self.kept = Vec::new();
        self.kept_levels = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tickcast_market::{BookSide, Price, Size};

    const NOW: Nanos = Nanos::from_secs(1_000_000);

    fn ids(first: u64, last: u64) -> DepthIds {
        DepthIds { first, last }
    }

    fn level(price: i64) -> BookChange {
        BookChange { side: BookSide::Bid, price: Price(price), size: Size(1) }
    }

    /// Feeds events, each with its last id as its price, and keeps those that have to wait.
    fn feed(sync: &mut BookSync, events: &[(u64, u64)]) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        for (first, last) in events {
            let verdict = sync.event(ids(*first, *last));
            if matches!(verdict, Verdict::Keep | Verdict::Gap) {
                let level = level(*last as i64);
                sync.keep(ids(*first, *last), NOW, Scales::default(), &[level]);
            }
            verdicts.push(verdict);
        }
        verdicts
    }

    fn replayed(sync: &mut BookSync, skip: usize) -> Vec<i64> {
        let mut prices = Vec::new();
        let emit = |_, levels: &[BookChange]| prices.extend(levels.iter().map(|l| l.price.0));
        sync.replay_kept(skip, Scales::default(), emit).unwrap();
        prices
    }

    #[test]
    fn a_snapshot_joins_where_the_rule_says_and_nowhere_else() {
        use Joining::{Joined, TooOld};
        // Kept events, the snapshot's id, the judgement, what is applied after it, the last id.
        type Case<'a> = (&'a [(u64, u64)], u64, Joining, &'a [i64], Option<u64>);
        let cases: &[Case<'_>] = &[
            (&[(10, 12), (13, 15), (16, 19)], 14, Joined { skip: 1 }, &[15, 19], Some(19)),
            // An event ends exactly at L: the next one begins at L + 1.
            (&[(10, 12), (13, 15), (16, 19)], 15, Joined { skip: 2 }, &[19], Some(19)),
            (&[(10, 12)], 12, Joined { skip: 1 }, &[], Some(12)),
            // The snapshot is newer than everything kept.
            (&[(10, 12)], 40, Joined { skip: 1 }, &[], Some(40)),
            // L < U0: too old; L = U0 - 1 misses nothing.
            (&[(10, 12)], 8, TooOld, &[], None),
            (&[(10, 12)], 9, Joined { skip: 0 }, &[12], Some(12)),
            (&[(10, 12)], 10, Joined { skip: 0 }, &[12], Some(12)),
            // No event so far.
            (&[], 7, Joined { skip: 0 }, &[], Some(7)),
            // A hole among the kept events: only what follows it can be joined.
            (&[(10, 12), (14, 15)], 12, TooOld, &[], None),
            (&[(10, 12), (14, 15)], 13, Joined { skip: 0 }, &[15], Some(15)),
            // Duplicates, overlaps and reordering among them.
            (
                &[(10, 12), (10, 12), (12, 14), (11, 13)],
                11,
                Joined { skip: 0 },
                &[12, 14],
                Some(14),
            ),
        ];
        for (events, id, joining, applied, last) in cases {
            let mut sync = BookSync::default();
            feed(&mut sync, events);
            assert_eq!(sync.snapshot(*id, NOW), *joining, "{events:?} {id}");
            if let Joined { skip } = joining {
                assert_eq!(replayed(&mut sync, *skip), *applied, "{events:?} {id}");
            }
            assert_eq!(sync.last(), *last, "{events:?} {id}");
        }
    }

    #[test]
    fn a_joined_book_takes_what_is_next_and_notices_what_is_missing() {
        use Verdict::{Apply, Gap, Ignore, Keep};
        let mut sync = BookSync::default();
        sync.restart();
        sync.snapshot(100, NOW);
        let events =
            [(90, 99), (90, 100), (101, 105), (101, 105), (104, 107), (108, 108), (110, 111)];
        let verdicts = feed(&mut sync, &events);
        assert_eq!(verdicts, [Ignore, Ignore, Apply, Ignore, Apply, Apply, Gap]);
        assert_eq!(feed(&mut sync, &[(112, 113)]), [Keep]);
        assert_eq!(sync.snapshot(108, NOW), Joining::TooOld);
        assert_eq!(sync.snapshot(111, NOW), Joining::Joined { skip: 1 });
        assert_eq!(replayed(&mut sync, 1), [113]);
        assert_eq!(sync.snapshot(120, NOW), Joining::NotWanted);
        assert_eq!(feed(&mut sync, &[(114, 114)]), [Apply]);
    }

    #[test]
    fn ids_at_the_end_of_their_range_do_not_wrap() {
        let mut sync = BookSync::default();
        sync.snapshot(u64::MAX, NOW);
        assert_eq!(feed(&mut sync, &[(0, u64::MAX)]), [Verdict::Ignore]);
        let mut sync = BookSync::default();
        feed(&mut sync, &[(u64::MAX, u64::MAX)]);
        assert_eq!(sync.snapshot(u64::MAX, NOW), Joining::Joined { skip: 1 });
    }

    #[test]
    fn what_waits_is_bounded_and_the_newest_stays() {
        let mut sync = BookSync::default();
        for id in 0..3 * KEPT_EVENTS_MAX as u64 {
            feed(&mut sync, &[(id, id)]);
            assert!(sync.kept.len() <= KEPT_EVENTS_MAX);
        }
        let last = 3 * KEPT_EVENTS_MAX as u64 - 1;
        assert_eq!(sync.kept.last().unwrap().ids, ids(last, last));
        let mut sync = BookSync::default();
        let levels = vec![level(1); KEPT_LEVELS_MAX / 2 + 1];
        for id in 0..9 {
            assert_eq!(sync.event(ids(id, id)), Verdict::Keep);
            sync.keep(ids(id, id), NOW, Scales::default(), &levels);
            assert!(sync.kept_levels.len() <= KEPT_LEVELS_MAX);
        }
        assert!(matches!(sync.snapshot(8, NOW), Joining::Joined { .. }));
    }

    #[test]
    fn one_snapshot_is_asked_for_at_a_time_and_later_each_time() {
        let mut sync = BookSync::default();
        sync.restart();
        let mut waits = Vec::new();
        for _ in 0..9 {
            waits.push(sync.ask(NOW).unwrap().0 / 1_000_000_000);
            assert_eq!(sync.ask(NOW), None, "one is under way");
            sync.ask_failed();
        }
        assert_eq!(waits, [0, 1, 2, 4, 8, 16, 32, 60, 60]);
        sync.snapshot(5, NOW);
        assert_eq!(sync.ask(NOW), None, "the book is joined");
        sync.restart();
        assert_eq!(sync.ask(NOW), Some(Nanos::from_secs(60)), "a book that fails again at once");
        sync.snapshot(6, NOW);
        sync.restart();
        assert_eq!(sync.ask(NOW.plus(Nanos::from_secs(91))), Some(Nanos::ZERO));
    }

    #[test]
    fn kept_levels_are_brought_to_a_finer_scale() {
        let mut sync = BookSync::default();
        feed(&mut sync, &[(1, 7)]);
        sync.snapshot(3, NOW);
        let scales = Scales { price: 2, size: 1, volume: 1 };
        let mut seen = Vec::new();
        sync.replay_kept(0, scales, |_, levels| seen.extend_from_slice(levels)).unwrap();
        assert_eq!((seen[0].price, seen[0].size), (Price(700), Size(10)));
    }
}
