//! Kraken's rules for a book: cut to the subscribed depth after every message, then check.
//!
//! The venue never deletes levels that were pushed out of the depth, and counts on everybody
//! cutting them off; its checksum is over the top ten as the venue's digits are padded.

use tickcast_market::{Book, BookChange, BookSide, Scales, Size};

/// The depths that can be subscribed to.
const DEPTHS: [usize; 5] = [10, 25, 100, 500, 1000];
/// How many levels of each side the checksum covers.
const CHECKSUM_LEVELS: usize = 10;
/// Two mantissas of at most 19 digits a level, both sides.
const CHECKSUM_BYTES_MAX: usize = CHECKSUM_LEVELS * 2 * 2 * 19;

/// One pair's book as it is checked against the venue.
#[derive(Debug, Default)]
pub(crate) struct KrakenBook {
    book: Book,
    /// The depth that was subscribed to; 0 while unknown.
    depth: usize,
}

impl KrakenBook {
    /// The venue has said the depth.
    pub(crate) fn set_depth(&mut self, depth: usize) {
        self.depth = depth;
    }

    /// Takes a snapshot. Where no answer told the depth, or the snapshot is deeper, it is the
    /// smallest depth that has room for the snapshot.
    pub(crate) fn replace(&mut self, levels: &[BookChange]) {
        self.book.replace(levels);
        let longest = [BookSide::Bid, BookSide::Ask].map(|side| self.book.side(side).len());
        let longest = longest[0].max(longest[1]);
        if self.depth < longest || self.depth == 0 {
            self.depth = *DEPTHS.iter().find(|depth| **depth >= longest).unwrap_or(&longest);
        }
    }

    /// Applies changes in their order, then cuts each side to the depth and appends a removal for
    /// every level that was cut.
    pub(crate) fn apply(&mut self, changes: &mut Vec<BookChange>) {
        for change in changes.iter() {
            self.book.apply(change);
        }
        for side in [BookSide::Bid, BookSide::Ask] {
            self.book.truncate(side, self.depth, |left| {
                changes.push(BookChange { side, price: left.price, size: Size(0) });
            });
        }
    }

    /// Brings every level to finer scales; false when one does not fit.
    pub(crate) fn rescale(&mut self, from: Scales, to: Scales) -> bool {
        for level in self.book.levels_mut() {
            let price = level.price.rescaled(from.price, to.price);
            let size = level.size.rescaled(from.size, to.size);
            let (Ok(price), Ok(size)) = (price, size) else { return false };
            (level.price, level.size) = (price, size);
        }
        true
    }

    /// Empties it; the depth is remembered.
    pub(crate) fn clear(&mut self) {
        self.book.clear();
    }

    /// CRC-32 over the top ten: asks from the lowest, then bids from the highest, each as the
    /// digits of its price and of its size without point and leading zeros. The mantissas must be
    /// at the scales that the venue pads to. *Source:* docs.kraken.com, "Spot book checksum v2".
    ///
    /// *Cost:* no allocation; some 400 digits.
    pub(crate) fn checksum(&self) -> u32 {
        let mut digits = [0u8; CHECKSUM_BYTES_MAX];
        let mut len = 0;
        let mut push = |mantissa: i64| {
            // Zero has no digit that is not a leading zero; what is negative is never in a book.
            if mantissa > 0 {
                let mut buffer = itoa::Buffer::new();
                let text = buffer.format(mantissa).as_bytes();
                digits[len..len + text.len()].copy_from_slice(text);
                len += text.len();
            }
        };
        for side in [BookSide::Ask, BookSide::Bid] {
            for level in self.book.side(side).take(CHECKSUM_LEVELS) {
                push(level.price.0);
                push(level.size.0);
            }
        }
        crc32fast::hash(&digits[..len])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grid::{Grid, RawLevel};
    use tickcast_market::{Decimal, Price};

    /// Kraken's own example: asks lowest first, bids highest first.
    const EXAMPLE: [[&str; 4]; 10] = [
        ["45285.2", "0.00100000", "45283.5", "0.10000000"],
        ["45286.4", "1.54571953", "45283.4", "1.54582015"],
        ["45286.6", "1.54571109", "45282.1", "0.10000000"],
        ["45289.6", "1.54560911", "45281.0", "0.10000000"],
        ["45290.2", "0.15890660", "45280.3", "1.54592586"],
        ["45291.8", "1.54553491", "45279.0", "0.07990000"],
        ["45294.7", "0.04454749", "45277.6", "0.03310103"],
        ["45296.1", "0.35380000", "45277.5", "0.30000000"],
        ["45297.5", "0.09945542", "45277.3", "1.54602737"],
        ["45299.5", "0.18772827", "45276.6", "0.15445238"],
    ];

    fn example() -> Vec<BookChange> {
        let decimal = |text: &str| Decimal::parse(text.as_bytes()).unwrap();
        let level =
            |side, price, size| RawLevel { side, price: decimal(price), size: decimal(size) };
        let levels: Vec<_> = EXAMPLE
            .iter()
            .flat_map(|[ap, aq, bp, bq]| {
                [level(BookSide::Ask, ap, aq), level(BookSide::Bid, bp, bq)]
            })
            .collect();
        let mut changes = Vec::new();
        assert_eq!(Grid::new(Scales::default()).changes(&levels, true, &mut changes), 0);
        changes
    }

    #[test]
    fn the_checksum_of_the_documented_example_is_the_documented_one() {
        let mut book = KrakenBook::default();
        book.replace(&example());
        assert_eq!(book.checksum(), 3_310_070_434);
        assert_eq!(KrakenBook::default().checksum(), 0, "of an empty book");
        let (from, to) =
            (Scales { price: 1, size: 8, volume: 8 }, Scales { price: 2, size: 8, volume: 8 });
        assert!(book.rescale(from, to));
        assert_ne!(book.checksum(), 3_310_070_434, "padding is part of it");
    }

    #[test]
    fn levels_beyond_the_depth_are_cut_and_named() {
        let mut book = KrakenBook::default();
        book.replace(&example());
        let ask =
            |price, size| BookChange { side: BookSide::Ask, price: Price(price), size: Size(size) };
        let mut changes = vec![ask(452_851, 5), ask(460_000, 5)];
        book.apply(&mut changes);
        assert_eq!(
            changes[2..],
            [ask(460_000, 0), ask(452_995, 0)],
            "the eleventh level and the one that came in at once, worst first"
        );
        book.set_depth(25);
        let mut changes = vec![ask(460_000, 5)];
        book.apply(&mut changes);
        assert_eq!(changes.len(), 1);
    }

    #[test]
    fn the_depth_is_the_answer_s_or_else_the_smallest_that_holds_the_snapshot() {
        for (said, levels, depth) in
            [(0, 3, 10), (0, 11, 25), (25, 3, 25), (10, 30, 100), (0, 0, 10)]
        {
            let mut book = KrakenBook::default();
            book.set_depth(said);
            let bid = |n: i64| BookChange { side: BookSide::Bid, price: Price(n), size: Size(1) };
            book.replace(&(1..=levels).map(bid).collect::<Vec<_>>());
            assert_eq!(book.depth, depth, "said {said}, snapshot of {levels}");
        }
    }
}
