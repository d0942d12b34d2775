//! The book stream: the venue's whole book, and the views of it that somebody subscribes to.

use crate::view::BookView;
use tickcast_market::{Book, BookChange, BookSide, Level, Nanos, Quote, Scales, Seq};
use tickcast_wire::{BookPieces, DEPTHS, Depth, Head, Kind, LevelPiece};

/// The state of one book stream. All depths share its seq.
#[derive(Debug, Default)]
pub(crate) struct BookStream {
    book: Book,
    views: [Option<Box<BookView>>; DEPTHS.len()],
    /// A checksum and the seq that it is of: views of all depths have the same.
    summed: (Seq, u32),
    pub(crate) seq: Seq,
    pub(crate) ts_event: Nanos,
}

impl BookStream {
    /// Applies one venue message. Says whether the book is another now.
    pub(crate) fn update(&mut self, changes: &[BookChange], ts_event: Nanos) -> bool {
        let mut changed = false;
        for change in changes {
            changed |= self.book.apply(change);
        }
        if changed {
            self.step(ts_event);
            for view in self.views.iter_mut().flatten() {
                view.update(&self.book, self.seq, changes);
            }
        }
        changed
    }

    /// Replaces the whole book.
    pub(crate) fn replace(&mut self, levels: &[BookChange], ts_event: Nanos) {
        self.book.replace(levels);
        self.step(ts_event);
        for view in self.views.iter_mut().flatten() {
            view.refresh(&self.book, self.seq);
        }
    }

    /// Takes over what was told of the deepest view of another book: all of it, or what changed.
    pub(crate) fn adopt(&mut self, told: &[BookChange], head: &Head) {
        (self.seq, self.ts_event) = (head.seq, head.ts_event);
        if head.kind == Kind::Snapshot {
            // Another epoch may have the same seq.
            self.summed = (Seq(0), 0);
            self.book.replace(told);
            self.begin_views();
            return;
        }
        for change in told {
            self.book.apply(change);
        }
        for view in self.views.iter_mut().flatten() {
            view.update(&self.book, self.seq, told);
        }
    }

    fn step(&mut self, ts_event: Nanos) {
        self.seq = Seq(self.seq.0 + 1);
        if ts_event != Nanos::ZERO {
            self.ts_event = ts_event;
        }
    }

    /// Best bid and ask.
    pub(crate) fn quote(&self) -> Quote {
        let best = |side| self.book.best(side).map(|level: Level| (level.price, level.size));
        Quote { bid: best(BookSide::Bid), ask: best(BookSide::Ask) }
    }

    /// Whether the best bid is above the best ask.
    pub(crate) fn is_crossed(&self) -> bool {
        self.book.is_crossed()
    }

    /// Begins to keep a view of that depth; one that is kept already stays.
    pub(crate) fn keep(&mut self, depth: Depth) {
        let (book, seq) = (&self.book, self.seq);
        self.views[depth.index()].get_or_insert_with(|| {
            let mut view = Box::new(BookView::new(depth.levels(), seq));
            view.refresh(book, seq);
            view
        });
    }

    /// Stops keeping a view.
    pub(crate) fn forget(&mut self, depth: Depth) {
        self.views[depth.index()] = None;
    }

    /// Whether `since` can be answered by an update.
    pub(crate) fn reaches(&self, depth: Depth, since: Seq) -> bool {
        self.views[depth.index()].as_ref().is_some_and(|view| view.reaches(since))
    }

    /// Copies out what changed in the view after `since` (seq 0: the whole view, which then need
    /// not be kept). Says whether there is anything.
    pub(crate) fn diff(&self, depth: Depth, since: Seq, out: &mut BookPieces) -> bool {
        if since == Seq(0) {
            for side in [BookSide::Bid, BookSide::Ask] {
                let levels = self.book.side(side).take(depth.levels());
                out.levels.extend(levels.map(|level| LevelPiece {
                    side,
                    price: level.price,
                    size: level.size,
                }));
            }
        } else if let Some(view) = &self.views[depth.index()] {
            view.diff(since, &mut out.levels);
        }
        if out.levels.is_empty() && since != Seq(0) {
            return false;
        }
        out.checksum = self.checksum();
        true
    }

    /// Reckons the checksum once for all diffs of this seq.
    pub(crate) fn sum_up(&mut self) {
        if self.summed.0 != self.seq {
            self.summed = (self.seq, self.checksum());
        }
    }

    /// Kraken's CRC-32 over the top ten.
    pub(crate) fn checksum(&self) -> u32 {
        // Seq 0 has the empty book's, which is 0.
        if self.summed.0 == self.seq {
            return self.summed.1;
        }
        let side = |side| self.book.side(side).map(|level| (level.price, level.size));
        tickcast_wire::book_checksum(side(BookSide::Bid), side(BookSide::Ask))
    }

    /// The whole book at finer scales; `None` when a number does not fit.
    pub(crate) fn rescaled(&self, from: Scales, to: Scales) -> Option<Book> {
        let mut book = self.book.clone();
        for level in book.levels_mut() {
            level.price = level.price.rescaled(from.price, to.price).ok()?;
            level.size = level.size.rescaled(from.size, to.size).ok()?;
        }
        Some(book)
    }

    /// Puts a rescaled book in place, as the first change of a new epoch.
    pub(crate) fn begin_epoch(&mut self, book: Book) {
        self.book = book;
        self.seq = Seq(self.seq.0 + 1);
        self.begin_views();
    }

    /// Gives every view its birth at the present seq.
    fn begin_views(&mut self) {
        for (view, levels) in self.views.iter_mut().zip(DEPTHS) {
            if let Some(view) = view {
                **view = BookView::new(levels as usize, self.seq);
                view.refresh(&self.book, self.seq);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tickcast_market::{Price, Size};
    use tickcast_wire::Pieces;

    #[test]
    fn another_publishers_book_at_the_same_seq_has_its_own_checksum() {
        let mut book = BookStream::default();
        let head = Head { seq: Seq(5), ..Pieces::default().head };
        let bid = |size| BookChange { side: BookSide::Bid, price: Price(1), size: Size(size) };
        book.adopt(&[bid(1)], &head);
        book.sum_up();
        let first = book.checksum();
        book.adopt(&[bid(2)], &head);
        assert_ne!(book.checksum(), first);
    }
}
