//! A plain book: decimal text in sorted maps.

use std::collections::BTreeMap;

/// A side of the book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Bid,
    Ask,
}

/// Price and size as the venue wrote them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rung {
    pub(super) price: String,
    pub(super) size: String,
}

/// A change of one level; a size of zero removes it.
pub(super) type Change = (Side, Rung);

/// Both sides of one symbol.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ladder {
    bids: BTreeMap<i128, Rung>,
    asks: BTreeMap<i128, Rung>,
}

/// Prices are sorted as integers at this many decimals.
const KEY_DECIMALS: usize = 18;

/// The place of a decimal text among others; nothing for what is no plain decimal.
fn key(text: &str) -> Option<i128> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > KEY_DECIMALS || whole.len() > 18 || whole.is_empty() {
        return None;
    }
    let digits = format!("{whole}{fraction:0<KEY_DECIMALS$}");
    digits.parse().ok()
}

/// Whether a size is zero, however it is spelt.
pub(super) fn is_zero(size: &str) -> bool {
    size.bytes().all(|byte| matches!(byte, b'0' | b'.'))
}

impl Ladder {
    pub(super) fn set(&mut self, side: Side, price: &str, size: &str) {
        let Some(key) = key(price) else { return };
        let rungs = match side {
            Side::Bid => &mut self.bids,
            Side::Ask => &mut self.asks,
        };
        if is_zero(size) {
            rungs.remove(&key);
        } else {
            rungs.insert(key, Rung { price: price.into(), size: size.into() });
        }
    }

    pub(super) fn apply(&mut self, changes: &[Change]) {
        for (side, rung) in changes {
            self.set(*side, &rung.price, &rung.size);
        }
    }

    /// The levels of a side, best first.
    pub(super) fn side(&self, side: Side) -> Box<dyn Iterator<Item = &Rung> + '_> {
        match side {
            Side::Bid => Box::new(self.bids.values().rev()),
            Side::Ask => Box::new(self.asks.values()),
        }
    }

    pub(super) fn best(&self, side: Side) -> Option<&Rung> {
        self.side(side).next()
    }

    /// The best `depth` levels of each side, as a book of its own.
    pub(super) fn top(&self, depth: usize) -> Ladder {
        let bids = self.bids.iter().rev().take(depth).map(|(k, r)| (*k, r.clone())).collect();
        let asks = self.asks.iter().take(depth).map(|(k, r)| (*k, r.clone())).collect();
        Ladder { bids, asks }
    }

    /// Every level as a change, best first: a snapshot.
    pub(super) fn levels(&self) -> Vec<Change> {
        let bids = self.side(Side::Bid).map(|rung| (Side::Bid, rung.clone()));
        bids.chain(self.side(Side::Ask).map(|rung| (Side::Ask, rung.clone()))).collect()
    }

    /// What turns `self` into `after`.
    pub(super) fn changes_to(&self, after: &Ladder) -> Vec<Change> {
        let mut changes = Vec::new();
        for (side, before, after) in
            [(Side::Bid, &self.bids, &after.bids), (Side::Ask, &self.asks, &after.asks)]
        {
            for (key, rung) in before {
                if !after.contains_key(key) {
                    let size = zero_like(&rung.size);
                    changes.push((side, Rung { price: rung.price.clone(), size }));
                }
            }
            for (key, rung) in after {
                if before.get(key) != Some(rung) {
                    changes.push((side, rung.clone()));
                }
            }
        }
        changes
    }

    /// A bid far above the best ask, which no venue means.
    pub(super) fn crossing_bid(&self) -> Option<Change> {
        let (ask, bid) = (self.best(Side::Ask)?, self.best(Side::Bid)?);
        // One more digit in front keeps the number of decimals.
        let price = format!("1{}", ask.price);
        Some((Side::Bid, Rung { price, size: bid.size.clone() }))
    }
}

/// Zero with as many decimals as `size` has.
fn zero_like(size: &str) -> String {
    size.chars().map(|c| if c == '.' { '.' } else { '0' }).collect()
}

/// The most decimals that are used, trailing zeros aside, as an increment: `0.01`.
pub(super) fn increment<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    let decimals = |text: &str| {
        text.split_once('.').map_or(0, |(_, fraction)| fraction.trim_end_matches('0').len())
    };
    match texts.map(decimals).max().unwrap_or(0) {
        0 => "1".into(),
        digits => format!("0.{}1", "0".repeat(digits - 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ladder(levels: &[(Side, &str, &str)]) -> Ladder {
        let mut ladder = Ladder::default();
        levels.iter().for_each(|(side, price, size)| ladder.set(*side, price, size));
        ladder
    }

    #[test]
    fn levels_are_sorted_as_numbers_and_removed_by_any_zero() {
        let mut book = ladder(&[
            (Side::Bid, "9.5", "1"),
            (Side::Bid, "10.25", "2"),
            (Side::Bid, "10.3", "3"),
            (Side::Ask, "100", "1"),
            (Side::Ask, "20.000001", "1"),
        ]);
        let prices = |book: &Ladder, side| {
            book.side(side).map(|rung| rung.price.clone()).collect::<Vec<_>>()
        };
        assert_eq!(prices(&book, Side::Bid), ["10.3", "10.25", "9.5"]);
        assert_eq!(prices(&book, Side::Ask), ["20.000001", "100"]);
        book.set(Side::Bid, "10.300", "0.000");
        assert_eq!(prices(&book, Side::Bid), ["10.25", "9.5"]);
        assert_eq!(prices(&book.top(1), Side::Bid), ["10.25"]);
    }

    #[test]
    fn the_changes_between_two_books_turn_one_into_the_other() {
        let before = ladder(&[(Side::Bid, "1.0", "5.0"), (Side::Ask, "2.0", "5.0")]);
        let after = ladder(&[(Side::Bid, "1.1", "5.0"), (Side::Ask, "2.0", "6.0")]);
        let mut book = before.clone();
        book.apply(&before.changes_to(&after));
        assert_eq!(book, after);
        assert_eq!(after.changes_to(&after), []);
    }

    #[test]
    fn an_increment_comes_from_the_digits_that_are_used() {
        assert_eq!(increment(["1.50000000", "2.25000000"].into_iter()), "0.01");
        assert_eq!(increment(["1.0", "3"].into_iter()), "1");
    }
}
