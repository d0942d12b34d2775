//! How long data was on its way to us: from the venue's own timestamp to its receipt.
//!
//! An outlet counts in plain integers; the venue's figures are added to once per turn.

use prometheus::core::{Collector, Desc, Describer};
use prometheus::{Opts, proto};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tickcast_market::{Nanos, Venue};

/// Upper bounds: a venue in the same house to one that is far too late.
const BOUNDS_SECONDS: [f64; 13] =
    [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// The buckets, and one for what is above all of them.
const BUCKETS: usize = BOUNDS_SECONDS.len() + 1;

/// Delays that were observed since somebody last asked.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DelayCounts {
    buckets: [u64; BUCKETS],
    sum_seconds: f64,
}

impl DelayCounts {
    /// Counts one. A venue whose clock is ahead of ours was no time on its way.
    pub(crate) fn observe(&mut self, delay: Nanos) {
        let seconds = delay.as_secs_f64().max(0.0);
        let bucket = BOUNDS_SECONDS.iter().position(|bound| seconds <= *bound);
        self.buckets[bucket.unwrap_or(BUCKETS - 1)] += 1;
        self.sum_seconds += seconds;
    }
}

/// One venue's figures.
#[derive(Debug, Default)]
pub(crate) struct Delay {
    is_shown: AtomicU64,
    buckets: [AtomicU64; BUCKETS],
    sum_ns: AtomicU64,
}

impl Delay {
    /// Adds what an outlet has counted.
    pub(crate) fn take(&self, counts: &DelayCounts) {
        // Relaxed here and below: only counts; they order nothing.
        for (bucket, count) in self.buckets.iter().zip(counts.buckets) {
            if count > 0 {
                bucket.fetch_add(count, Ordering::Relaxed);
            }
        }
        if counts.sum_seconds > 0.0 {
            self.sum_ns.fetch_add((counts.sum_seconds * 1e9) as u64, Ordering::Relaxed);
        }
    }
}

/// All venues' delays.
#[derive(Clone, Debug)]
pub(crate) struct Delays {
    desc: Desc,
    venues: [Arc<Delay>; Venue::ALL.len()],
}

impl Delays {
    /// *Errors:* the name is none that Prometheus takes.
    pub(crate) fn new(name: &str, help: &str) -> prometheus::Result<Delays> {
        let desc = Opts::new(name, help).variable_label("venue").describe()?;
        Ok(Delays { desc, venues: Default::default() })
    }

    /// Those of one venue, which is seen from now on.
    pub(crate) fn of(&self, venue: Venue) -> Arc<Delay> {
        let delay = &self.venues[venue as usize];
        delay.is_shown.store(1, Ordering::Relaxed);
        delay.clone()
    }

    fn metric(venue: Venue, delay: &Delay) -> proto::Metric {
        let (mut histogram, mut buckets, mut count) = (proto::Histogram::default(), Vec::new(), 0);
        for (at, bucket) in delay.buckets.iter().enumerate() {
            count += bucket.load(Ordering::Relaxed);
            // The last one, `+Inf`, is the encoder's own affair.
            let Some(upper) = BOUNDS_SECONDS.get(at) else { break };
            let mut bound = proto::Bucket::default();
            bound.set_upper_bound(*upper);
            bound.set_cumulative_count(count);
            buckets.push(bound);
        }
        histogram.set_bucket(buckets);
        histogram.set_sample_count(count);
        histogram.set_sample_sum(delay.sum_ns.load(Ordering::Relaxed) as f64 / 1e9);
        let mut label = proto::LabelPair::default();
        label.set_name("venue".to_owned());
        label.set_value(venue.name().to_owned());
        let mut metric = proto::Metric::default();
        metric.set_label(vec![label]);
        metric.set_histogram(histogram);
        metric
    }
}

impl Collector for Delays {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<proto::MetricFamily> {
        let mut family = proto::MetricFamily::default();
        family.set_name(self.desc.fq_name.clone());
        family.set_help(self.desc.help.clone());
        family.set_field_type(proto::MetricType::HISTOGRAM);
        let all = Venue::ALL.into_iter().map(|venue| (venue, &*self.venues[venue as usize]));
        let shown = all.filter(|(_, delay)| delay.is_shown.load(Ordering::Relaxed) > 0);
        family.set_metric(shown.map(|(venue, delay)| Delays::metric(venue, delay)).collect());
        vec![family]
    }
}
