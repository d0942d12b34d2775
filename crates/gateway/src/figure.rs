//! A figure with one writer: what a shard counts without asking anybody, and what a scrape reads.
//!
//! *Invariant:* only the thread that owns a figure changes it. So it is a plain load and a plain
//! store, no locked instruction, and the line of cache that it lies in belongs to that thread until
//! somebody scrapes.

use crate::metrics::SECONDS_BUCKETS;
use prometheus::proto;
use std::sync::atomic::{AtomicU64, Ordering};
use tickcast_market::Nanos;

/// The buckets, and one for what is above all of them.
const BUCKETS: usize = SECONDS_BUCKETS.len() + 1;

/// A count, or a level that rises and falls.
#[derive(Debug, Default)]
pub(crate) struct Figure(AtomicU64);

impl Figure {
    /// Adds to a count. To be called by its one writer.
    pub(crate) fn add(&self, count: u64) {
        // Relaxed here and below: a figure of its own, that orders nothing.
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
    }

    /// Adds what was counted elsewhere, and empties that.
    pub(crate) fn take(&self, count: &mut u64) {
        if *count > 0 {
            self.add(std::mem::take(count));
        }
    }

    /// Raises or lowers a level. To be called by its one writer.
    pub(crate) fn shift(&self, change: i64) {
        self.add(change as u64); // It wraps where the level falls, and comes out right.
    }

    /// Makes it this. To be called by its one writer.
    pub(crate) fn set(&self, level: u64) {
        self.0.store(level, Ordering::Relaxed);
    }

    /// What it is now.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A histogram over [`SECONDS_BUCKETS`] that takes a frame's thousand deliveries in one go.
#[derive(Debug, Default)]
pub(crate) struct Durations {
    buckets: [Figure; BUCKETS],
    sum_ns: Figure,
}

impl Durations {
    /// Counts a duration so many `times`. A clock that went back makes it zero.
    pub(crate) fn observe(&self, duration: Nanos, times: u32) {
        let nanos = duration.0.max(0) as u64;
        let seconds = nanos as f64 / 1e9;
        let bucket = SECONDS_BUCKETS.iter().position(|bound| seconds <= *bound);
        self.buckets[bucket.unwrap_or(BUCKETS - 1)].add(times.into());
        self.sum_ns.add(nanos.saturating_mul(times.into()));
    }

    /// Several shards' together, as Prometheus wants them.
    pub(crate) fn sum<'a>(all: impl Iterator<Item = &'a Durations> + Clone) -> proto::Histogram {
        let mut count = 0;
        let mut buckets = Vec::with_capacity(BUCKETS);
        for at in 0..BUCKETS {
            count += all.clone().map(|durations| durations.buckets[at].get()).sum::<u64>();
            // The last one, `+Inf`, is the encoder's own affair.
            let Some(upper) = SECONDS_BUCKETS.get(at) else { break };
            let mut bound = proto::Bucket::default();
            bound.set_upper_bound(*upper);
            bound.set_cumulative_count(count);
            buckets.push(bound);
        }
        let mut histogram = proto::Histogram::default();
        histogram.set_bucket(buckets);
        histogram.set_sample_count(count);
        histogram.set_sample_sum(all.map(|each| each.sum_ns.get()).sum::<u64>() as f64 / 1e9);
        histogram
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_that_one_shard_lowers_below_zero_comes_out_right_in_the_sum() {
        let (one, other) = (Figure::default(), Figure::default());
        one.shift(5);
        other.shift(-3);
        assert_eq!(one.get().wrapping_add(other.get()) as i64, 2);
    }

    #[test]
    fn a_thousand_deliveries_are_counted_at_once_and_several_shards_are_added_up() {
        let shards = [Durations::default(), Durations::default()];
        shards[0].observe(Nanos::from_micros(60), 1000);
        shards[1].observe(Nanos::from_secs(100), 1);
        shards[1].observe(Nanos(-5), 2);
        let sum = Durations::sum(shards.iter());
        let counts: Vec<u64> = sum.get_bucket().iter().map(|b| b.cumulative_count()).collect();
        assert_eq!((counts[0], counts[1], counts[BUCKETS - 2]), (2, 1002, 1002));
        assert_eq!(sum.get_sample_count(), 1003);
        assert!((sum.get_sample_sum() - 100.06).abs() < 1e-9, "{}", sum.get_sample_sum());
    }
}
