//! What an engine counts and times, and how the counts of several are added up.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// An hour in microseconds: what is older is counted as an hour.
const AGE_US_MAX: u64 = 3_600_000_000;

/// How many faults are kept in words; all are counted.
pub(crate) const EXAMPLES_MAX: usize = 20;

/// A histogram of microseconds that travels as the list of its counts.
#[derive(Clone, Debug)]
pub(crate) struct Times(Histogram<u64>);

impl Default for Times {
    fn default() -> Times {
        let histogram = Histogram::new_with_bounds(1, AGE_US_MAX, 3);
        Times(histogram.expect("the bounds and the precision are in range"))
    }
}

impl Times {
    pub(crate) fn record(&mut self, micros: u64) {
        self.0.saturating_record(micros);
    }

    pub(crate) fn add(&mut self, other: &Times) {
        self.0.add(&other.0).expect("all have the same bounds");
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// The value at a quantile from 0 to 1; `None` when nothing was recorded.
    pub(crate) fn quantile(&self, quantile: f64) -> Option<u64> {
        (!self.0.is_empty()).then(|| self.0.value_at_quantile(quantile).min(self.0.max()))
    }

    pub(crate) fn len(&self) -> u64 {
        self.0.len()
    }

    pub(crate) fn max(&self) -> Option<u64> {
        (!self.0.is_empty()).then(|| self.0.max())
    }

    pub(crate) fn mean(&self) -> Option<f64> {
        (!self.0.is_empty()).then(|| self.0.mean())
    }
}

impl Serialize for Times {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(
            self.0.iter_recorded().map(|step| (step.value_iterated_to(), step.count_at_value())),
        )
    }
}

impl<'de> Deserialize<'de> for Times {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Times, D::Error> {
        let mut times = Times::default();
        for (value, count) in Vec::<(u64, u64)>::deserialize(deserializer)? {
            times.0.saturating_record_n(value, count);
        }
        Ok(times)
    }
}

/// What flows: measured between two looks at it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Flow {
    /// Data items of what is subscribed to, snapshots and updates.
    pub(crate) deliveries: u64,
    /// Off the sockets, frame headers included.
    pub(crate) bytes: u64,
    pub(crate) reads: u64,
    pub(crate) frames: u64,
    pub(crate) snapshots: u64,
}

impl Flow {
    pub(crate) fn since(self, before: Flow) -> Flow {
        Flow {
            deliveries: self.deliveries - before.deliveries,
            bytes: self.bytes - before.bytes,
            reads: self.reads - before.reads,
            frames: self.frames - before.frames,
            snapshots: self.snapshots - before.snapshots,
        }
    }

    pub(crate) fn add(&mut self, other: Flow) {
        self.deliveries += other.deliveries;
        self.bytes += other.bytes;
        self.reads += other.reads;
        self.frames += other.frames;
        self.snapshots += other.snapshots;
    }
}

/// What was seen of the service's promises over the whole run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Correctness {
    pub(crate) gaps: u64,
    pub(crate) duplicates: u64,
    /// Updates that were held already, as the protocol allows.
    pub(crate) overlaps: u64,
    /// Broken promises by kind.
    pub(crate) broken: BTreeMap<String, u64>,
    pub(crate) reconnects: u64,
    /// Attempts to come back that failed.
    pub(crate) return_failed: u64,
    /// Requests that asked again.
    pub(crate) asked_again: u64,
    /// Answers that refused, and symbols that were not served, by code.
    pub(crate) refused: BTreeMap<u16, u64>,
    /// By close code; 1006 is a connection that ended without one.
    pub(crate) closed: BTreeMap<u16, u64>,
    /// The same of those that read slowly.
    pub(crate) slow_closed: BTreeMap<u16, u64>,
    pub(crate) compared: u64,
    pub(crate) mismatched: u64,
    pub(crate) not_compared: u64,
    /// The first faults in words.
    pub(crate) examples: Vec<String>,
}

impl Correctness {
    pub(crate) fn violations(&self) -> u64 {
        self.broken.values().sum()
    }

    /// Counts a broken promise and keeps the first in words.
    pub(crate) fn broke(&mut self, promise: &str, words: impl FnOnce() -> String) {
        match self.broken.get_mut(promise) {
            Some(count) => *count += 1,
            None => {
                self.broken.insert(promise.to_owned(), 1);
            }
        }
        self.example(|| format!("{promise}: {}", words()));
    }

    pub(crate) fn example(&mut self, words: impl FnOnce() -> String) {
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(words());
        }
    }

    pub(crate) fn add(&mut self, other: &Correctness) {
        self.gaps += other.gaps;
        self.duplicates += other.duplicates;
        self.overlaps += other.overlaps;
        self.reconnects += other.reconnects;
        self.return_failed += other.return_failed;
        self.asked_again += other.asked_again;
        self.compared += other.compared;
        self.mismatched += other.mismatched;
        self.not_compared += other.not_compared;
        for (kind, count) in &other.broken {
            *self.broken.entry(kind.clone()).or_default() += count;
        }
        let add = |all: &mut BTreeMap<u16, u64>, other: &BTreeMap<u16, u64>| {
            for (code, count) in other {
                *all.entry(*code).or_default() += count;
            }
        };
        add(&mut self.refused, &other.refused);
        add(&mut self.closed, &other.closed);
        add(&mut self.slow_closed, &other.slow_closed);
        let room = EXAMPLES_MAX.saturating_sub(self.examples.len());
        self.examples.extend(other.examples.iter().take(room).cloned());
    }
}

/// What an engine knows at the end.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Tally {
    pub(crate) flow: Flow,
    pub(crate) age: Times,
    pub(crate) connect: Times,
    pub(crate) welcome: Times,
    pub(crate) first_snapshot: Times,
    pub(crate) returned: Times,
    pub(crate) correctness: Correctness,
    /// The p99 of each watched client, and its p50.
    pub(crate) clients: Vec<(u64, u64)>,
    pub(crate) own_cpu_us: u64,
    pub(crate) subscriptions: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Tally) {
        self.flow.add(other.flow);
        self.age.add(&other.age);
        self.connect.add(&other.connect);
        self.welcome.add(&other.welcome);
        self.first_snapshot.add(&other.first_snapshot);
        self.returned.add(&other.returned);
        self.correctness.add(&other.correctness);
        self.clients.extend_from_slice(&other.clients);
        self.own_cpu_us += other.own_cpu_us;
        self.subscriptions += other.subscriptions;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_arrives_with_the_same_counts() {
        let mut times = Times::default();
        for value in [0, 1, 5, 999, 123_456, AGE_US_MAX, u64::MAX] {
            times.record(value);
        }
        let text = serde_json::to_string(&times).unwrap();
        let back: Times = serde_json::from_str(&text).unwrap();
        assert_eq!(back.0.len(), 7);
        for quantile in [0.0, 0.3, 0.5, 0.9, 1.0] {
            assert_eq!(back.quantile(quantile), times.quantile(quantile));
        }
        assert_eq!(Times::default().quantile(0.5), None);
    }

    #[test]
    fn adding_up_loses_nothing() {
        let mut one = Tally::default();
        one.correctness.broke("prev", || "a".into());
        one.correctness.closed.insert(1006, 2);
        let mut sum = one.clone();
        sum.add(&one);
        assert_eq!(sum.correctness.violations(), 2);
        assert_eq!(sum.correctness.closed[&1006], 4);
        assert_eq!(sum.correctness.examples.len(), 2);
    }
}
