//! Who is next: instruments by rank, drawn in constant time from Zipf's distribution.
//!
//! The table is Walker's alias method as Vose builds it (1991), in integers throughout.

use super::random::{exp2_negative, log2};

#[derive(Clone, Copy, Debug)]
struct Cell {
    /// Below it the cell's own rank is meant, else the alias; in 2^-32.
    threshold: u32,
    alias: u32,
}

#[derive(Clone, Debug)]
pub(super) struct Activity {
    cells: Box<[Cell]>,
    weights: Box<[u64]>,
    total: u64,
}

/// The first rank's weight.
const WEIGHT_MAX: f64 = (1u64 << 40) as f64;

impl Activity {
    /// `count` ranks, the `r`-th (from 1) with weight `r^-zipf`.
    pub(super) fn new(count: u32, zipf: f64) -> Activity {
        let weights: Box<[u64]> = (1..=count)
            .map(|rank| (WEIGHT_MAX * exp2_negative(zipf * log2(f64::from(rank)))) as u64)
            .collect();
        let total: u64 = weights.iter().sum();
        let mut cells = vec![Cell { threshold: u32::MAX, alias: 0 }; count as usize];
        // Each cell holds `total`; a rank brings `weight × count`.
        let mut held: Vec<u64> = weights.iter().map(|weight| weight * u64::from(count)).collect();
        let (mut small, mut large) = (Vec::new(), Vec::new());
        for (rank, amount) in held.iter().enumerate() {
            cells[rank].alias = rank as u32;
            if *amount < total { small.push(rank) } else { large.push(rank) }
        }
        while let (Some(poor), Some(rich)) = (small.pop(), large.last().copied()) {
            cells[poor] = Cell {
                threshold: ((u128::from(held[poor]) << 32) / u128::from(total)) as u32,
                alias: rich as u32,
            };
            held[rich] -= total - held[poor];
            if held[rich] < total {
                large.pop();
                small.push(rich);
            }
        }
        Activity { cells: cells.into_boxed_slice(), weights, total }
    }

    /// The share of all updates that the rank (from 0) gets.
    pub(super) fn share(&self, rank: usize) -> f64 {
        self.weights[rank] as f64 / self.total as f64
    }

    /// The rank that these random bits stand for.
    pub(super) fn pick(&self, bits: u64) -> usize {
        let at = (((bits >> 32) * self.cells.len() as u64) >> 32) as usize;
        let cell = self.cells[at];
        if (bits as u32) < cell.threshold { at } else { cell.alias as usize }
    }
}

#[cfg(test)]
mod tests {
    use super::super::random::{Purpose, Random};
    use super::*;

    #[test]
    fn every_rank_is_picked_as_often_as_its_share_says() {
        for (count, zipf) in [(1, 1.0), (2, 0.0), (10, 1.0), (100, 0.5), (1000, 2.0)] {
            let activity = Activity::new(count, zipf);
            let mut random = Random::new(3, Purpose::Flow);
            let draws = 200_000;
            let mut counts = vec![0u32; count as usize];
            for _ in 0..draws {
                counts[activity.pick(random.next())] += 1;
            }
            for (rank, seen) in counts.iter().enumerate() {
                let expected = activity.share(rank) * f64::from(draws);
                // Five standard deviations.
                let slack = 5.0 * expected.sqrt() + 1.0;
                assert!((f64::from(*seen) - expected).abs() < slack, "{count} {zipf} {rank}");
            }
        }
    }

    #[test]
    fn shares_fall_with_the_rank_to_the_power_of_zipf() {
        let activity = Activity::new(20_000, 1.0);
        assert!((activity.share(0) / activity.share(9) - 10.0).abs() < 1e-6);
        let flat = Activity::new(20_000, 0.0);
        assert_eq!(flat.share(0), flat.share(19_999));
    }
}
