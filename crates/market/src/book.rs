//! One instrument's book: both sides, fast at the top, deep enough for a whole venue.

use crate::event::{BookChange, BookSide};
use crate::number::{Price, Size};

/// Price and total size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Level {
    /// The price.
    pub price: Price,
    /// The total size there; never zero inside a book.
    pub size: Size,
}

/// Both sides of an instrument, each sorted with the best level at the end of its vector: changes
/// happen near the top, so they move few levels; 46,000 levels a side have been seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Book {
    bids: Vec<Level>,
    asks: Vec<Level>,
}

/// How many levels from the best one are tried one by one before a binary search.
const LINEAR_LEVELS: usize = 8;

impl Book {
    /// Sets one level to a new total; size zero (or less) removes it. Removing a level that is
    /// not held is normal and does nothing. Says whether the book is now another.
    ///
    /// *Cost:* a few compares near the top; a binary search and a move of the better levels below.
    pub fn apply(&mut self, change: &BookChange) -> bool {
        // Sorted by rank: worst first, best last; rank is the price, mirrored for asks.
        let (levels, sign) = match change.side {
            BookSide::Bid => (&mut self.bids, 1),
            BookSide::Ask => (&mut self.asks, -1),
        };
        let rank = |level: &Level| level.price.0.wrapping_mul(sign);
        let wanted = change.price.0.wrapping_mul(sign);
        let near = levels.len().saturating_sub(LINEAR_LEVELS);
        let at = match levels[near..].iter().rposition(|level| rank(level) <= wanted) {
            Some(offset) => near + offset + usize::from(rank(&levels[near + offset]) < wanted),
            None => levels[..near].partition_point(|level| rank(level) < wanted),
        };
        let held = levels.get(at).is_some_and(|level| level.price == change.price);
        match (held, change.size.0 > 0) {
            (true, true) if levels[at].size == change.size => return false,
            (true, true) => levels[at].size = change.size,
            (true, false) => {
                levels.remove(at);
            }
            (false, true) => levels.insert(at, Level { price: change.price, size: change.size }),
            (false, false) => return false,
        }
        true
    }

    /// Replaces everything by a snapshot in any order; of several entries at one price the last
    /// counts.
    ///
    /// *Cost:* a sort that is linear for snapshots that come sorted.
    pub fn replace(&mut self, levels: &[BookChange]) {
        self.clear();
        for change in levels.iter().filter(|change| change.size.0 > 0) {
            let side = match change.side {
                BookSide::Bid => &mut self.bids,
                BookSide::Ask => &mut self.asks,
            };
            side.push(Level { price: change.price, size: change.size });
        }
        // Stable sorts keep the given order within a price; the later entry wins.
        self.bids.sort_by_key(|level| level.price);
        self.asks.sort_by_key(|level| std::cmp::Reverse(level.price));
        for side in [&mut self.bids, &mut self.asks] {
            side.dedup_by(|later, kept| {
                let same = later.price == kept.price;
                if same {
                    kept.size = later.size;
                }
                same
            });
        }
    }

    /// Empties both sides and keeps their memory.
    pub fn clear(&mut self) {
        self.bids.clear();
        self.asks.clear();
    }

    /// The levels of a side, best first.
    pub fn side(&self, side: BookSide) -> impl ExactSizeIterator<Item = &Level> {
        self.worst_first(side).iter().rev()
    }

    /// The levels of a side as they lie: worst first, best last.
    pub fn worst_first(&self, side: BookSide) -> &[Level] {
        match side {
            BookSide::Bid => &self.bids,
            BookSide::Ask => &self.asks,
        }
    }

    /// The best level of a side.
    pub fn best(&self, side: BookSide) -> Option<Level> {
        self.worst_first(side).last().copied()
    }

    /// Whether the best bid is above the best ask. A locked book (equal) is not crossed.
    pub fn is_crossed(&self) -> bool {
        match (self.best(BookSide::Bid), self.best(BookSide::Ask)) {
            (Some(bid), Some(ask)) => bid.price > ask.price,
            _ => false,
        }
    }

    /// Cuts a side to its best `depth` levels and hands each level that leaves to `left`, worst
    /// first. Kraken: levels pushed out of range are never deleted for you.
    pub fn truncate(&mut self, side: BookSide, depth: usize, mut left: impl FnMut(Level)) {
        let levels = match side {
            BookSide::Bid => &mut self.bids,
            BookSide::Ask => &mut self.asks,
        };
        let excess = levels.len().saturating_sub(depth);
        levels.drain(..excess).for_each(&mut left);
    }

    /// Every level, mutably, for a change of scale.
    pub fn levels_mut(&mut self) -> impl Iterator<Item = &mut Level> {
        self.bids.iter_mut().chain(self.asks.iter_mut())
    }

    /// Whether both sides are empty.
    pub fn is_empty(&self) -> bool {
        self.bids.is_empty() && self.asks.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn change(side: BookSide, price: i64, size: i64) -> BookChange {
        BookChange { side, price: Price(price), size: Size(size) }
    }

    #[test]
    fn a_book_equals_a_sorted_map_after_any_changes() {
        let mut random = 12345u64;
        let mut next = |below: u64| {
            random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (random >> 33) % below
        };
        let mut book = Book::default();
        let mut map: BTreeMap<(BookSide, i64), i64> = BTreeMap::new();
        for _ in 0..20_000 {
            let side = if next(2) == 0 { BookSide::Bid } else { BookSide::Ask };
            let (price, size) = (next(300) as i64, next(4) as i64);
            book.apply(&change(side, price, size));
            if size == 0 {
                map.remove(&(side, price));
            } else {
                map.insert((side, price), size);
            }
        }
        for side in [BookSide::Bid, BookSide::Ask] {
            let held: Vec<_> = book.side(side).map(|l| (l.price.0, l.size.0)).collect();
            let mut expected: Vec<_> =
                map.iter().filter(|((s, _), _)| *s == side).map(|((_, p), s)| (*p, *s)).collect();
            if side == BookSide::Bid {
                expected.reverse();
            }
            assert_eq!(held, expected);
        }
    }

    #[test]
    fn a_snapshot_replaces_and_the_last_entry_of_a_price_counts() {
        let mut book = Book::default();
        book.apply(&change(BookSide::Bid, 1, 1));
        book.replace(&[
            change(BookSide::Bid, 10, 1),
            change(BookSide::Bid, 12, 2),
            change(BookSide::Bid, 10, 3),
            change(BookSide::Ask, 11, 0),
        ]);
        let bids: Vec<_> = book.side(BookSide::Bid).map(|l| (l.price.0, l.size.0)).collect();
        assert_eq!(bids, [(12, 2), (10, 3)]);
        assert_eq!(book.best(BookSide::Ask), None);
        assert!(!book.is_crossed());
        book.apply(&change(BookSide::Ask, 12, 1));
        assert!(!book.is_crossed(), "locked is not crossed");
        book.apply(&change(BookSide::Ask, 11, 1));
        assert!(book.is_crossed());
    }

    #[test]
    fn truncation_names_the_levels_that_leave() {
        let mut book = Book::default();
        for price in 1..=5 {
            book.apply(&change(BookSide::Ask, price, 1));
        }
        let mut left = Vec::new();
        book.truncate(BookSide::Ask, 3, |level| left.push(level.price.0));
        assert_eq!(left, [5, 4]);
        assert_eq!(book.side(BookSide::Ask).len(), 3);
    }
}
