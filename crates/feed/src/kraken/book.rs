//! Kraken's rules for a book: cut to the subscribed depth after every message, then check.
//!
//! The venue never deletes levels that were pushed out of the depth, and counts on everybody
//! cutting them off; its checksum is over the top ten as the venue's digits are padded.

use tickcast_market::{Book, BookChange, BookSide, Scales, Size};

/// The depths that can be subscribed to.
const DEPTHS: [usize; 5] = [10, 25, 100, 500, 1000];
/// How many levels of each side the checksum covers.
const CHECKSUM_LEVELS: usize = 10;
/// Two mantissas of at most 19 digits a level, both sides, and room for the zeros before the first.
const CHECKSUM_BYTES_MAX: usize = CHECKSUM_LEVELS * 2 * 2 * 19 + 16;

/// One pair's book as it is checked against the venue.
#[derive(Debug, Default)]
pub(crate) struct KrakenBook {
    book: Book,
    /// The depth that was subscribed to; 0 while unknown.
    depth: usize,
    /// The checksum of the top ten as they are; `None` when they may have changed since.
    checksum: Option<u32>,
}

impl KrakenBook {
    /// The venue has said the depth.
    pub(crate) fn set_depth(&mut self, depth: usize) {
        self.depth = depth;
    }

    /// Takes a snapshot. Where no answer told the depth, or the snapshot is deeper, it is the
    /// smallest depth that has room for the snapshot.
    pub(crate) fn replace(&mut self, levels: &[BookChange]) {
        self.checksum = None;
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
            if !self.is_below_top(change) {
                self.checksum = None;
            }
            self.book.apply(change);
        }
        for side in [BookSide::Bid, BookSide::Ask] {
            self.book.truncate(side, self.depth, |left| {
                changes.push(BookChange { side, price: left.price, size: Size(0) });
            });
        }
    }

    /// Whether a change is worse than the top ten, which it then leaves as they are.
    #[inline]
    fn is_below_top(&self, change: &BookChange) -> bool {
        let levels = self.book.worst_first(change.side);
        let tenth = levels.len().checked_sub(CHECKSUM_LEVELS).map(|at| levels[at].price);
        let is_worse = |tenth| match change.side {
            BookSide::Bid => change.price < tenth,
            BookSide::Ask => change.price > tenth,
        };
        self.depth >= CHECKSUM_LEVELS && tenth.is_some_and(is_worse)
    }

    /// Brings every level to finer scales; false when one does not fit.
    pub(crate) fn rescale(&mut self, from: Scales, to: Scales) -> bool {
        self.checksum = None;
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
        self.checksum = None;
        self.book.clear();
    }

    /// CRC-32 over the top ten: asks from the lowest, then bids from the highest, each as the
    /// digits of its price and of its size without point and leading zeros. The mantissas must be
    /// at the scales that the venue pads to. *Source:* docs.kraken.com, "Spot book checksum v2".
    ///
    /// *Cost:* no allocation; some 400 digits, unless the top ten are as they were.
    pub(crate) fn checksum(&mut self) -> u32 {
        *self.checksum.get_or_insert_with(|| checksum_of(&self.book))
    }
}

fn checksum_of(book: &Book) -> u32 {
    // Written from the end, so that how long a number is need not be known before.
    let mut digits = [0; CHECKSUM_BYTES_MAX];
    let mut start = CHECKSUM_BYTES_MAX;
    for side in [BookSide::Bid, BookSide::Ask] {
        let levels = book.worst_first(side);
        for level in &levels[levels.len().saturating_sub(CHECKSUM_LEVELS)..] {
            start = write_before(&mut digits, start, level.size.0);
            start = write_before(&mut digits, start, level.price.0);
        }
    }
    crc32fast::hash(&digits[start..])
}

/// Writes the digits of a number so that they end before `end`; where they begin. Zero has no
/// digit that is not a leading zero, and what is negative is never in a book.
#[inline]
fn write_before(digits: &mut [u8; CHECKSUM_BYTES_MAX], end: usize, number: i64) -> usize {
    // Always sixteen digits, so that there is no branch to mispredict; leading zeros are written
    // too, and then written over.
    const GROUP: u64 = 100_000_000;
    let mut rest = u64::try_from(number).unwrap_or(0);
    let mut at = end;
    loop {
        let (high, low) = (eight_values(rest / GROUP % GROUP), eight_values(rest % GROUP));
        let values = u128::from(high) | (u128::from(low) << 64);
        let text = values | 0x3030_3030_3030_3030_3030_3030_3030_3030;
        digits[at - 16..at].copy_from_slice(&text.to_le_bytes());
        rest /= GROUP * GROUP;
        if rest == 0 {
            return at - 16 + values.trailing_zeros() as usize / 8;
        }
        at -= 16;
    }
}

/// The eight digits of a number below 10^8, the first in the lowest byte: fours, then pairs, then
/// single ones, each in one multiplication for the quotients.
#[inline]
fn eight_values(number: u64) -> u64 {
    let fours = (number / 10_000) | ((number % 10_000) << 32);
    // Exact for what is below 10,000 and 100.
    let hundreds = ((fours * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let pairs = hundreds | ((fours - hundreds * 100) << 16);
    let tens = ((pairs * 103) >> 10) & 0x000f_000f_000f_000f;
    tens | ((pairs - tens * 10) << 8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::grid::{Grid, RawLevel};
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
        // The eleventh ask leaves the checksum as it is, a better one does not.
        book.set_depth(25);
        let ask = |price| BookChange { side: BookSide::Ask, price: Price(price), size: Size(5) };
        book.apply(&mut vec![ask(452_996)]);
        assert_eq!(book.checksum(), 3_310_070_434);
        book.apply(&mut vec![ask(452_994)]);
        assert_ne!(book.checksum(), 3_310_070_434);
        book.replace(&example());
        let (from, to) =
            (Scales { price: 1, size: 8, volume: 8 }, Scales { price: 2, size: 8, volume: 8 });
        assert!(book.rescale(from, to));
        assert_ne!(book.checksum(), 3_310_070_434, "padding is part of it");
    }

    #[test]
    fn digits_are_written_as_everywhere_else() {
        let mut numbers: Vec<i64> =
            (0..20).flat_map(|n| [n, 10i64.saturating_pow(n as u32)]).collect();
        let mut random = fastrand::Rng::with_seed(7);
        numbers.extend((0..10_000).map(|n| random.i64(0..) >> (n % 63)));
        numbers.extend([99, 9_999, 99_999_999, 100_000_001, i64::MAX, i64::MAX - 1]);
        for number in numbers {
            let mut digits = [0; CHECKSUM_BYTES_MAX];
            let start = write_before(&mut digits, CHECKSUM_BYTES_MAX, number);
            let expected = if number == 0 { String::new() } else { number.to_string() };
            assert_eq!(digits[start..], *expected.as_bytes(), "{number}");
        }
        let mut digits = [0; CHECKSUM_BYTES_MAX];
        assert_eq!(write_before(&mut digits, 700, -5), 700);
        let full =
            (0..40).fold(CHECKSUM_BYTES_MAX, |end, _| write_before(&mut digits, end, i64::MAX));
        assert_eq!(full, 16, "the longest fit");
    }

    #[test]
    fn a_checksum_that_was_kept_is_that_of_the_book_at_any_moment() {
        let mut random = fastrand::Rng::with_seed(11);
        for depth in [5, 10, 25] {
            let mut book = KrakenBook::default();
            book.set_depth(depth);
            for _ in 0..5_000 {
                let side = if random.bool() { BookSide::Bid } else { BookSide::Ask };
                let (price, size) = (Price(random.i64(1..60)), Size(random.i64(0..3)));
                book.apply(&mut vec![BookChange { side, price, size }]);
                assert_eq!(book.checksum(), checksum_of(&book.book), "depth {depth}");
            }
        }
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
