//! A view: the best levels of a book that somebody subscribes to, each stamped, and what left it.

use std::collections::VecDeque;
use tickcast_market::{Book, BookChange, BookSide, Level, Price, Seq, Size};
use tickcast_wire::LevelPiece;

/// How many levels that left a view are remembered, per level of its depth.
const LEFT_PER_LEVEL: usize = 8;

/// And at least so many: a shallow view of a busy book changes often within a slow tier's interval.
const LEFT_MIN: usize = 512;

const fn left_max(depth: usize) -> usize {
    let most = depth * LEFT_PER_LEVEL;
    if most > LEFT_MIN { most } else { LEFT_MIN }
}

#[derive(Clone, Copy, Debug)]
struct Stamped {
    price: Price,
    size: Size,
    /// When it entered the view or changed.
    seq: Seq,
}

#[derive(Clone, Copy, Debug)]
struct Left {
    side: BookSide,
    price: Price,
    seq: Seq,
}

/// The best `depth` levels of both sides.
#[derive(Debug)]
pub(crate) struct BookView {
    depth: usize,
    bids: Vec<Stamped>,
    asks: Vec<Stamped>,
    left: VecDeque<Left>,
    /// What changed up to here cannot be told any more.
    floor: Seq,
    spare: Vec<Stamped>,
}

impl BookView {
    /// An empty view that was born at `seq`.
    pub(crate) fn new(depth: usize, seq: Seq) -> BookView {
        BookView {
            depth,
            bids: Vec::new(),
            asks: Vec::new(),
            // Room for all that is remembered and what leaves at once, so that it never grows.
            left: VecDeque::with_capacity(left_max(depth) + 2 * depth),
            floor: seq,
            spare: Vec::new(),
        }
    }

    /// Follows the book after `changes`. A change behind the last level of a full side, which is
    /// most of them, costs one compare; another one a binary search and a move of levels.
    pub(crate) fn update(&mut self, book: &Book, seq: Seq, changes: &[BookChange]) {
        self.update_side(book, BookSide::Bid, seq, changes);
        self.update_side(book, BookSide::Ask, seq, changes);
    }

    fn update_side(&mut self, book: &Book, side: BookSide, seq: Seq, changes: &[BookChange]) {
        // Best first is by rising rank.
        let (levels, sign) = match side {
            BookSide::Bid => (&mut self.bids, -1),
            BookSide::Ask => (&mut self.asks, 1),
        };
        let rank = |price: Price| price.0.wrapping_mul(sign);
        // Down to here the changes tell everything; what is behind comes from the book at the end.
        let last = levels.last().filter(|_| levels.len() == self.depth);
        let last = last.map_or(i64::MAX, |level| rank(level.price));
        for change in changes.iter().filter(|change| change.side == side) {
            let (price, size, wanted) = (change.price, change.size, rank(change.price));
            if wanted > last {
                continue;
            }
            let at = levels.partition_point(|level| rank(level.price) < wanted);
            let held = levels.get_mut(at).filter(|level| level.price == price);
            match (held, size.0 > 0) {
                (Some(level), true) if level.size == size => {}
                (Some(level), true) => (level.size, level.seq) = (size, seq),
                (Some(_), false) => {
                    levels.remove(at);
                    self.left.push_back(Left { side, price, seq });
                }
                (None, true) => levels.insert(at, Stamped { price, size, seq }),
                (None, false) => {}
            }
        }
        if levels.len() > self.depth {
            let pushed_out = levels.drain(self.depth..);
            self.left.extend(pushed_out.map(|gone| Left { side, price: gone.price, seq }));
        } else if levels.len() < self.depth {
            let behind = book.side(side).take(self.depth).skip(levels.len());
            levels.extend(behind.map(|&Level { price, size }| Stamped { price, size, seq }));
        }
        self.forget_old();
    }

    /// Follows the book after anything.
    pub(crate) fn refresh(&mut self, book: &Book, seq: Seq) {
        self.refresh_side(book, BookSide::Bid, seq);
        self.refresh_side(book, BookSide::Ask, seq);
    }

    fn side(&self, side: BookSide) -> &[Stamped] {
        match side {
            BookSide::Bid => &self.bids,
            BookSide::Ask => &self.asks,
        }
    }

    /// Merges the book's best levels with what was held: both are sorted best first, so one walk
    /// tells what entered, changed and left.
    fn refresh_side(&mut self, book: &Book, side: BookSide, seq: Seq) {
        let mut next = std::mem::take(&mut self.spare);
        next.clear();
        let held = match side {
            BookSide::Bid => &mut self.bids,
            BookSide::Ask => &mut self.asks,
        };
        let better = |a: Price, b: Price| match side {
            BookSide::Bid => a > b,
            BookSide::Ask => a < b,
        };
        let mut old = held.iter().peekable();
        for &Level { price, size } in book.side(side).take(self.depth) {
            while let Some(gone) = old.next_if(|old| better(old.price, price)) {
                self.left.push_back(Left { side, price: gone.price, seq });
            }
            let kept = old.next_if(|old| old.price == price).filter(|old| old.size == size);
            next.push(Stamped { price, size, seq: kept.map_or(seq, |old| old.seq) });
        }
        self.left.extend(old.map(|gone| Left { side, price: gone.price, seq }));
        self.spare = std::mem::replace(held, next);
        self.forget_old();
    }

    /// Keeps the ring of what left within its bound.
    fn forget_old(&mut self) {
        while self.left.len() > left_max(self.depth) {
            let Some(forgotten) = self.left.pop_front() else { break };
            self.floor = self.floor.max(forgotten.seq);
        }
    }

    /// Whether `since` can be answered by an update.
    pub(crate) fn reaches(&self, since: Seq) -> bool {
        since >= self.floor
    }

    /// Copies out levels that entered or changed after `since`, and with size zero those that
    /// left and are not back; bids first, removals after changes within a side.
    pub(crate) fn diff(&self, since: Seq, out: &mut Vec<LevelPiece>) {
        // What left, newest first: stamps rise along the ring.
        let fresh = self.left.iter().rev().take_while(|left| left.seq > since).count();
        for side in [BookSide::Bid, BookSide::Ask] {
            let levels = self.side(side);
            out.extend(levels.iter().filter(|level| level.seq > since).map(|level| LevelPiece {
                side,
                price: level.price,
                size: level.size,
            }));
            let removed = out.len();
            for left in self.left.range(self.left.len() - fresh..).filter(|l| l.side == side) {
                let is_back = levels.binary_search_by(|level| match side {
                    BookSide::Bid => left.price.cmp(&level.price),
                    BookSide::Ask => level.price.cmp(&left.price),
                });
                let told = out[removed..].iter().any(|piece| piece.price == left.price);
                if is_back.is_err() && !told {
                    out.push(LevelPiece { side, price: left.price, size: Size(0) });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(side: BookSide, price: i64, size: i64) -> BookChange {
        BookChange { side, price: Price(price), size: Size(size) }
    }

    fn told(view: &BookView, since: u64) -> Vec<(i64, i64)> {
        let mut out = Vec::new();
        view.diff(Seq(since), &mut out);
        out.iter().map(|piece| (piece.price.0, piece.size.0)).collect()
    }

    #[test]
    fn what_leaves_a_view_is_told_and_what_it_does_not_show_is_not() {
        let mut book = Book::default();
        let mut view = BookView::new(2, Seq(0));
        let mut seq = 0;
        let mut step = |changes: &[BookChange], view: &mut BookView| {
            seq += 1;
            for change in changes {
                book.apply(change);
            }
            view.update(&book, Seq(seq), changes);
        };
        step(&[change(BookSide::Bid, 10, 1), change(BookSide::Bid, 9, 1)], &mut view);
        assert_eq!(told(&view, 0), [(10, 1), (9, 1)]);
        step(&[change(BookSide::Bid, 8, 1)], &mut view);
        assert_eq!(told(&view, 1), [], "behind the last level");
        step(&[change(BookSide::Bid, 11, 5)], &mut view);
        assert_eq!(told(&view, 2), [(11, 5), (9, 0)], "pushed out");
        step(&[change(BookSide::Bid, 11, 0)], &mut view);
        assert_eq!(told(&view, 3), [(9, 1), (11, 0)]);
        assert_eq!(told(&view, 2), [(9, 1), (11, 0)], "one that is back is not told as gone");
        assert_eq!(told(&view, 4), []);
    }

    #[test]
    fn a_view_answers_no_further_back_than_it_remembers() {
        let mut book = Book::default();
        let mut view = BookView::new(1, Seq(7));
        assert!(!view.reaches(Seq(6)) && view.reaches(Seq(7)));
        for step in 0..1000 {
            let changes = [change(BookSide::Ask, 10_000 - step, 1)];
            book.apply(&changes[0]);
            view.update(&book, Seq(8 + step as u64), &changes);
        }
        assert!(!view.reaches(Seq(400)) && view.reaches(Seq(1007)));
        assert!(view.left.len() <= LEFT_MIN);
    }

    #[test]
    fn a_view_shows_the_best_levels_after_any_messages() {
        let mut random = 12345u64;
        let mut next = |below: u64| {
            random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            ((random >> 33) % below) as i64
        };
        for depth in [1, 2, 5] {
            let mut book = Book::default();
            let mut view = BookView::new(depth, Seq(0));
            for seq in 1..5_000 {
                let one = || {
                    let side = if next(2) == 0 { BookSide::Bid } else { BookSide::Ask };
                    change(side, next(12), next(3))
                };
                let changes: Vec<_> = std::iter::repeat_with(one).take(1 + seq % 6).collect();
                for change in &changes {
                    book.apply(change);
                }
                let before = view.bids.clone();
                view.update(&book, Seq(seq as u64), &changes);
                for side in [BookSide::Bid, BookSide::Ask] {
                    let shown: Vec<_> = view.side(side).iter().map(|l| (l.price, l.size)).collect();
                    let best = book.side(side).take(depth).map(|l| (l.price, l.size));
                    assert_eq!(shown, best.collect::<Vec<_>>(), "{side:?} after {changes:?}");
                }
                for held in &before {
                    let now = view.bids.iter().find(|level| level.price == held.price);
                    let told =
                        now.is_some_and(|now| now.size == held.size || now.seq.0 == seq as u64);
                    let gone =
                        view.left.iter().any(|l| (l.price, l.seq.0) == (held.price, seq as u64));
                    assert!(told || gone || view.floor.0 == seq as u64, "{held:?}");
                }
            }
        }
    }
}
