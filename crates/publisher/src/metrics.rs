//! What operators see of the publisher; names as in the README's table.

use crate::partition::Turn;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};
use tickcast_market::Nanos;

/// Turns take from microseconds to, at worst, a second.
const TURN_BUCKETS: [f64; 12] =
    [5e-6, 10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 5e-3, 25e-3, 0.1, 1.0];

/// The publisher's metrics in one registry.
#[derive(Clone, Debug)]
pub struct Metrics {
    turn_seconds: HistogramVec,
    inbox_events: IntGaugeVec,
    events: IntCounterVec,
    faults: IntCounterVec,
    frames: IntCounterVec,
    overruns: IntCounterVec,
    topics: IntGauge,
}

/// The same for one partition: handles that cost no look-up.
#[derive(Clone, Debug)]
pub struct PartitionMetrics {
    turn_seconds: Histogram,
    inbox_events: IntGauge,
    events: IntCounter,
    faults: IntCounter,
    frames: IntCounter,
    overruns: IntCounter,
}

impl Metrics {
    /// Registers them. *Errors:* a name is registered already.
    pub fn new(registry: &Registry) -> Result<Metrics, prometheus::Error> {
        let partition = &["partition"];
        let counter = |name: &str, help: &str| -> Result<IntCounterVec, prometheus::Error> {
            let counter = IntCounterVec::new(Opts::new(name, help), partition)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let turn_seconds = HistogramVec::new(
            HistogramOpts::new(
                "tickcast_publisher_turn_seconds",
                "How long a partition's turns take.",
            )
            .buckets(TURN_BUCKETS.to_vec()),
            partition,
        )?;
        registry.register(Box::new(turn_seconds.clone()))?;
        let inbox_events = IntGaugeVec::new(
            Opts::new(
                "tickcast_publisher_inbox_events",
                "Events that were waiting when the latest turn began.",
            ),
            partition,
        )?;
        registry.register(Box::new(inbox_events.clone()))?;
        let topics = IntGauge::new(
            "tickcast_publisher_topics",
            "Topics that somebody listens to, of all partitions.",
        )?;
        registry.register(Box::new(topics.clone()))?;
        Ok(Metrics {
            turn_seconds,
            inbox_events,
            events: counter("tickcast_publisher_events_total", "Events applied.")?,
            faults: counter(
                "tickcast_publisher_event_faults_total",
                "Events left out because a number did not fit its instrument's scale.",
            )?,
            frames: counter("tickcast_publisher_frames_encoded_total", "Frames encoded.")?,
            overruns: counter(
                "tickcast_publisher_overruns_total",
                "Batches that a shard missed because its channel was full.",
            )?,
            topics,
        })
    }

    /// The handles of one partition.
    pub fn partition(&self, number: usize) -> PartitionMetrics {
        let label = number.to_string();
        let labels = &[label.as_str()];
        PartitionMetrics {
            turn_seconds: self.turn_seconds.with_label_values(labels),
            inbox_events: self.inbox_events.with_label_values(labels),
            events: self.events.with_label_values(labels),
            faults: self.faults.with_label_values(labels),
            frames: self.frames.with_label_values(labels),
            overruns: self.overruns.with_label_values(labels),
        }
    }

    /// Says how many topics there are; called when metrics are read.
    pub fn set_topics(&self, topics: usize) {
        self.topics.set(topics as i64);
    }
}

impl PartitionMetrics {
    pub(crate) fn turn(&self, turn: &Turn, waiting: usize, took: Nanos) {
        self.turn_seconds.observe(took.as_secs_f64());
        self.inbox_events.set(waiting as i64);
        self.events.inc_by(turn.events);
        self.faults.inc_by(turn.faults);
        self.frames.inc_by(turn.frames);
        self.overruns.inc_by(turn.overruns);
    }
}
