//! One side of a simulated book: up to 64 neighbouring prices from the best one on, as a ring of
//! sizes and a bit mask, so that every change costs a few instructions and no level ever moves.
//!
//! Prices are **keys** here, in tick sizes, mirrored for bids: the best level has the lowest key
//! and a worse one a higher, on both sides. Key + key of the two best is the spread.

use tickcast_market::{BookChange, BookSide, Price, Size};

/// How many prices a side can see.
pub(super) const SLOTS: u32 = 64;
/// The fewest levels of a side once a market has been built.
pub(super) const LEVELS_MIN: u32 = 25;
/// The most levels of a side.
pub(super) const LEVELS_MAX: u32 = 60;

/// Writes changed levels down for one side of one instrument.
#[derive(Debug)]
pub(super) struct Pen<'a> {
    pub(super) changes: &'a mut Vec<BookChange>,
    pub(super) side: BookSide,
    /// The tick size's mantissa, negative for bids: price = key × this.
    pub(super) price_per_key: i64,
}

impl Pen<'_> {
    pub(super) fn price(&self, key: i32) -> Price {
        Price(i64::from(key) * self.price_per_key)
    }

    fn write(&mut self, key: i32, size: u32) {
        let price = self.price(key);
        self.changes.push(BookChange { side: self.side, price, size: Size(i64::from(size)) });
    }
}

#[derive(Clone, Debug)]
pub(super) struct Ladder {
    best: i32,
    /// Bit `key mod 64` is set where there is a level.
    mask: u64,
    sizes: [u32; SLOTS as usize],
}

impl Ladder {
    pub(super) fn new(best: i32, size: u32) -> Ladder {
        let mut ladder = Ladder { best, mask: 0, sizes: [0; SLOTS as usize] };
        ladder.set(0, size);
        ladder
    }

    pub(super) fn best(&self) -> i32 {
        self.best
    }

    pub(super) fn best_size(&self) -> u32 {
        self.sizes[self.slot(0)]
    }

    /// How many levels there are.
    pub(super) fn len(&self) -> u32 {
        self.mask.count_ones()
    }

    /// The levels as seen from the best one: bit `n` is the price `n` tick sizes away.
    fn seen(&self) -> u64 {
        self.mask.rotate_right(self.best as u32 % SLOTS)
    }

    pub(super) fn has(&self, offset: u32) -> bool {
        self.mask >> self.slot(offset) & 1 == 1
    }

    fn slot(&self, offset: u32) -> usize {
        ((self.best as u32).wrapping_add(offset) % SLOTS) as usize
    }

    fn set(&mut self, offset: u32, size: u32) {
        debug_assert!(size > 0 && offset < SLOTS);
        let slot = self.slot(offset);
        self.mask |= 1 << slot;
        self.sizes[slot] = size;
    }

    /// Sets the total size at `offset` tick sizes from the best; `size` above zero.
    pub(super) fn put(&mut self, offset: u32, size: u32, pen: &mut Pen<'_>) {
        self.set(offset, size);
        pen.write(self.best + offset as i32, size);
    }

    /// Removes a level that is there and is not the best.
    pub(super) fn remove(&mut self, offset: u32, pen: &mut Pen<'_>) {
        debug_assert!(offset > 0 && self.has(offset));
        self.mask &= !(1 << self.slot(offset));
        pen.write(self.best + offset as i32, 0);
    }

    /// A new best level, `by` tick sizes better, `by` from 1 to 63; what is then too far away is
    /// removed.
    pub(super) fn improve(&mut self, by: u32, size: u32, pen: &mut Pen<'_>) {
        debug_assert!((1..SLOTS).contains(&by));
        let mut lost = self.seen() >> (SLOTS - by);
        while lost != 0 {
            self.remove(SLOTS - by + lost.trailing_zeros(), pen);
            lost &= lost - 1;
        }
        self.best -= by as i32;
        self.put(0, size, pen);
        if self.len() > LEVELS_MAX {
            self.remove(SLOTS - 1 - self.seen().leading_zeros(), pen);
        }
    }

    /// Removes the best level; the next one is the best from then on. There must be one.
    pub(super) fn retreat(&mut self, pen: &mut Pen<'_>) {
        debug_assert!(self.len() > 1);
        self.mask &= !(1 << self.slot(0));
        pen.write(self.best, 0);
        self.best += self.seen().trailing_zeros() as i32;
    }

    /// A price without a level, at or behind `from` if there is one, else before it. There always
    /// is: a side has fewer levels than slots.
    pub(super) fn vacancy(&self, from: u32) -> u32 {
        let free = !self.seen();
        let behind = free >> from;
        if behind != 0 { from + behind.trailing_zeros() } else { free.trailing_zeros() }
    }

    /// Every level, best first.
    pub(super) fn write_all(&self, pen: &mut Pen<'_>) {
        let mut seen = self.seen();
        while seen != 0 {
            let offset = seen.trailing_zeros();
            pen.write(self.best + offset as i32, self.sizes[self.slot(offset)]);
            seen &= seen - 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(ladder: &Ladder) -> Vec<(i64, i64)> {
        let mut changes = Vec::new();
        let side = BookSide::Ask;
        ladder.write_all(&mut Pen { changes: &mut changes, side, price_per_key: 1 });
        changes.iter().map(|change| (change.price.0, change.size.0)).collect()
    }

    #[test]
    fn a_side_moves_both_ways_and_names_every_level_that_changed() {
        for best in [100, -100, 0, 63, -64] {
            let mut changes = Vec::new();
            let mut pen = Pen { changes: &mut changes, side: BookSide::Ask, price_per_key: 1 };
            let mut ladder = Ladder::new(best, 10);
            ladder.put(2, 20, &mut pen);
            ladder.put(63, 30, &mut pen);
            let at = i64::from(best);
            assert_eq!(keys(&ladder), [(at, 10), (at + 2, 20), (at + 63, 30)]);
            assert_eq!(ladder.vacancy(2), 3);
            assert_eq!(ladder.vacancy(63), 1);
            pen.changes.clear();
            ladder.improve(1, 5, &mut pen);
            let said: Vec<_> = pen.changes.iter().map(|c| (c.price.0, c.size.0)).collect();
            assert_eq!(said, [(at + 63, 0), (at - 1, 5)]);
            ladder.retreat(&mut pen);
            ladder.retreat(&mut pen);
            assert_eq!(keys(&ladder), [(at + 2, 20)]);
            assert_eq!((ladder.best(), ladder.best_size(), ladder.len()), (best + 2, 20, 1));
        }
    }
}
