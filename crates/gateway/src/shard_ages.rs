//! How old data is when it is handed to the kernel, by venue: histograms that take a frame's
//! thousand deliveries in one go.
//!
//! A shard counts in plain integers and gives them up once per turn; what is shared is only added
//! to then.

use crate::metrics::SECONDS_BUCKETS;
use prometheus::core::{Collector, Desc};
use prometheus::proto;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tickcast_market::{Nanos, Venue};

/// The buckets, and one for what is above all of them.
const BUCKETS: usize = SECONDS_BUCKETS.len() + 1;

const VENUES: usize = Venue::ALL.len();

/// A histogram of ages by venue.
#[derive(Clone, Debug)]
pub struct Ages {
    desc: Desc,
    venues: Arc<[Shared; VENUES]>,
}

#[derive(Debug, Default)]
struct Shared {
    buckets: [AtomicU64; BUCKETS],
    sum_ns: AtomicU64,
}

impl Ages {
    /// An empty histogram of that name.
    ///
    /// *Errors:* the name is none that Prometheus takes.
    pub fn new(name: &str, help: &str) -> Result<Ages, prometheus::Error> {
        let labels = vec!["venue".to_owned()];
        let desc = Desc::new(name.to_owned(), help.to_owned(), labels, HashMap::new())?;
        Ok(Ages { desc, venues: Arc::default() })
    }

    /// How many ages of a venue it holds.
    pub fn count(&self, venue: Venue) -> u64 {
        // Only counts; they order nothing.
        let buckets = &self.venues[venue as usize].buckets;
        buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).sum()
    }
}

/// What one shard has counted and not given up yet.
#[derive(Debug)]
pub(crate) struct LocalAges {
    shared: Ages,
    buckets: [[u64; BUCKETS]; VENUES],
    sums_ns: [u64; VENUES],
    touched: bool,
}

impl LocalAges {
    pub(crate) fn new(shared: &Ages) -> LocalAges {
        LocalAges {
            shared: shared.clone(),
            buckets: [[0; BUCKETS]; VENUES],
            sums_ns: [0; VENUES],
            touched: false,
        }
    }

    /// Counts `times` deliveries of the same age. A clock that went back makes it zero.
    pub(crate) fn observe(&mut self, venue: Venue, age: Nanos, times: u32) {
        let nanos = age.0.max(0) as u64;
        let seconds = nanos as f64 / 1e9;
        let bucket = SECONDS_BUCKETS.iter().position(|bound| seconds <= *bound);
        self.buckets[venue as usize][bucket.unwrap_or(BUCKETS - 1)] += u64::from(times);
        self.sums_ns[venue as usize] += nanos.saturating_mul(times.into());
        self.touched = true;
    }

    /// Adds everything to what is shared.
    pub(crate) fn give_up(&mut self) {
        if !std::mem::take(&mut self.touched) {
            return;
        }
        for (venue, shared) in self.shared.venues.iter().enumerate() {
            for (local, bucket) in self.buckets[venue].iter_mut().zip(&shared.buckets) {
                if *local > 0 {
                    bucket.fetch_add(std::mem::take(local), Ordering::Relaxed); // Only a count.
                }
            }
            // As above.
            shared.sum_ns.fetch_add(std::mem::take(&mut self.sums_ns[venue]), Ordering::Relaxed);
        }
    }
}

impl Collector for Ages {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<proto::MetricFamily> {
        let mut family = proto::MetricFamily::default();
        family.set_name(self.desc.fq_name.clone());
        family.set_help(self.desc.help.clone());
        family.set_field_type(proto::MetricType::HISTOGRAM);
        let seen = Venue::ALL.into_iter().filter(|venue| self.count(*venue) > 0);
        family.set_metric(seen.map(|venue| self.metric(venue)).collect());
        vec![family]
    }
}

impl Ages {
    fn metric(&self, venue: Venue) -> proto::Metric {
        let shared = &self.venues[venue as usize];
        let mut histogram = proto::Histogram::default();
        let mut count = 0;
        let mut buckets = Vec::with_capacity(BUCKETS);
        for (at, bucket) in shared.buckets.iter().enumerate() {
            count += bucket.load(Ordering::Relaxed); // Only a count.
            let mut bound = proto::Bucket::default();
            bound.set_upper_bound(SECONDS_BUCKETS.get(at).copied().unwrap_or(f64::INFINITY));
            bound.set_cumulative_count(count);
            buckets.push(bound);
        }
        histogram.set_bucket(buckets);
        histogram.set_sample_count(count);
        histogram.set_sample_sum(shared.sum_ns.load(Ordering::Relaxed) as f64 / 1e9); // As above.
        let mut label = proto::LabelPair::default();
        label.set_name("venue".to_owned());
        label.set_value(venue.name().to_owned());
        let mut metric = proto::Metric::default();
        metric.set_label(vec![label]);
        metric.set_histogram(histogram);
        metric
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::{Registry, TextEncoder};

    #[test]
    fn a_thousand_deliveries_are_counted_at_once_and_told_by_venue() {
        let registry = Registry::new();
        let ages = Ages::new("tickcast_age_test_seconds", "Ages").unwrap();
        registry.register(Box::new(ages.clone())).unwrap();
        let mut local = LocalAges::new(&ages);
        local.observe(Venue::Sim, Nanos::from_micros(60), 1000);
        local.observe(Venue::Sim, Nanos::from_secs(100), 1);
        local.observe(Venue::Kraken, Nanos(-5), 2);
        assert_eq!(ages.count(Venue::Sim), 0, "not yet given up");
        local.give_up();
        local.give_up();
        let text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        for line in [
            "tickcast_age_test_seconds_bucket{venue=\"sim\",le=\"0.00005\"} 0",
            "tickcast_age_test_seconds_bucket{venue=\"sim\",le=\"0.0001\"} 1000",
            "tickcast_age_test_seconds_bucket{venue=\"sim\",le=\"10\"} 1000",
            "tickcast_age_test_seconds_bucket{venue=\"sim\",le=\"+Inf\"} 1001",
            "tickcast_age_test_seconds_count{venue=\"sim\"} 1001",
            "tickcast_age_test_seconds_count{venue=\"kraken\"} 2",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} in\n{text}");
        }
        assert!(!text.contains("binance"));
    }
}
