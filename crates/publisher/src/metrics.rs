//! What operators see of the publisher.
//!
//! *Invariant:* a partition's turn adds to counters of its own, without a lock and without a look-up;
//! what is shared is only read when somebody scrapes.

use crate::hub::Hub;
use crate::partition::Turn;
use prometheus::core::{Collector, Desc};
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, proto,
};
use std::sync::{Arc, OnceLock};
use tickcast_market::Nanos;

/// Turns take from microseconds to, at worst, a second.
const TURN_BUCKETS: [f64; 12] =
    [5e-6, 10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 5e-3, 25e-3, 0.1, 1.0];

const TURN: &str = "How long a partition's turns take: applying events and encoding what somebody \
    listens to. Every client waits for it; above 25 ms the partition has too many instruments or \
    too little processor.";
const INBOX: &str = "Events that the latest turn found waiting. Thousands for long: the partition \
    is too slow, and feeds stop reading their sockets (tickcast_feed_blocked_seconds_total).";
const EVENTS: &str = "Events applied to instruments. None while feeds are live: the partition \
    stands still, and nobody gets prices of its instruments.";
const FAULTS: &str = "Events left out because a number did not fit its instrument's scale. Any: \
    the venue has sent something that cannot be told exactly; it is missing from the stream.";
const FRAMES: &str = "Frames encoded, each once for everybody who gets the same.";
const OVERRUNS: &str = "Batches that a shard missed because its channel was full; it catches up by \
    diff. Any: a shard has too many clients or too little processor.";
const TOPICS: &str = "Topics (stream, rate, fields and encoding) that somebody listens to. Each \
    costs an encoding for each change.";

/// The publisher's metrics in one registry.
#[derive(Clone, Debug)]
pub struct Metrics {
    turn_seconds: HistogramVec,
    inbox_events: IntGaugeVec,
    events: IntCounterVec,
    faults: IntCounterVec,
    frames: IntCounterVec,
    overruns: IntCounterVec,
    topics: Topics,
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
            HistogramOpts::new("tickcast_publisher_turn_seconds", TURN)
                .buckets(TURN_BUCKETS.to_vec()),
            partition,
        )?;
        registry.register(Box::new(turn_seconds.clone()))?;
        let inbox_events =
            IntGaugeVec::new(Opts::new("tickcast_publisher_inbox_events", INBOX), partition)?;
        registry.register(Box::new(inbox_events.clone()))?;
        let topics = Topics::new()?;
        registry.register(Box::new(topics.clone()))?;
        Ok(Metrics {
            turn_seconds,
            inbox_events,
            events: counter("tickcast_publisher_events_total", EVENTS)?,
            faults: counter("tickcast_publisher_event_faults_total", FAULTS)?,
            frames: counter("tickcast_publisher_frames_encoded_total", FRAMES)?,
            overruns: counter("tickcast_publisher_overruns_total", OVERRUNS)?,
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

    /// From now on whoever scrapes is told how many topics this hub has.
    pub fn show_topics_of(&self, hub: Arc<Hub>) {
        // A process has one; a second one would be a mistake that changes nothing.
        let _ = self.topics.hub.set(hub);
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

/// How many topics each partition has, asked for when somebody scrapes.
#[derive(Clone, Debug)]
struct Topics {
    desc: Desc,
    hub: Arc<OnceLock<Arc<Hub>>>,
}

impl Topics {
    fn new() -> Result<Topics, prometheus::Error> {
        let opts = Opts::new("tickcast_publisher_topics", TOPICS).variable_label("partition");
        Ok(Topics { desc: prometheus::core::Describer::describe(&opts)?, hub: Arc::default() })
    }
}

impl Collector for Topics {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<proto::MetricFamily> {
        let topics = self.hub.get().into_iter().flat_map(|hub| hub.topics_by_partition());
        let metric = |(number, topics): (usize, usize)| {
            let mut label = proto::LabelPair::default();
            label.set_name("partition".to_owned());
            label.set_value(number.to_string());
            let mut gauge = proto::Gauge::default();
            gauge.set_value(topics as f64);
            let mut metric = proto::Metric::default();
            metric.set_label(vec![label]);
            metric.set_gauge(gauge);
            metric
        };
        let mut family = proto::MetricFamily::default();
        family.set_name(self.desc.fq_name.clone());
        family.set_help(self.desc.help.clone());
        family.set_field_type(proto::MetricType::GAUGE);
        family.set_metric(topics.enumerate().map(metric).collect());
        vec![family]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partition::Resync;
    use crate::publisher::{Config, Publisher};
    use crate::topic::{ShardIndex, Tier, Tiers, TopicKey};
    use prometheus::TextEncoder;
    use tickcast_market::{Directory, InstrumentIndex, InstrumentSpec, Scales, Venue};
    use tickcast_wire::{Encoding, FieldSet, View};

    #[test]
    fn topics_are_told_by_partition_as_they_come_and_go() {
        let directory = Arc::new(Directory::default());
        let config = Config {
            run: 1,
            tiers: Tiers::default(),
            partitions: 2,
            wakes: vec![Arc::new(|| ())],
            resync: Resync(Arc::new(|_| true)),
        };
        let hub = Publisher::new(config, directory.clone()).hub;
        let registry = Registry::new();
        let metrics = Metrics::new(&registry).unwrap();
        (0..2).for_each(|number| drop(metrics.partition(number)));
        metrics.show_topics_of(hub.clone());
        let (mut keys, mut expected) = (Vec::new(), [0, 0]);
        for number in 0..20u32 {
            let symbol = format!("S{number}");
            let (venue_symbol, scales) = (symbol.clone(), Scales::default());
            let (tick_size, lot_size) = (None, None);
            let venue = Venue::Sim;
            directory.add(&InstrumentSpec {
                venue,
                symbol,
                venue_symbol,
                tick_size,
                lot_size,
                scales,
            });
            let instrument = InstrumentIndex(number);
            expected[instrument.partition(2)] += 1;
            let (fields, encoding) = (FieldSet::ALL, Encoding::Json);
            let key = TopicKey { instrument, view: View::Ticker, tier: Tier(0), fields, encoding };
            keys.push((key, hub.acquire(ShardIndex(0), &key).unwrap().0));
        }
        assert!(expected.iter().all(|count| *count > 0), "{expected:?}: both have some");
        let text = || TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        for (number, count) in expected.iter().enumerate() {
            let line = format!("tickcast_publisher_topics{{partition=\"{number}\"}} {count}\n");
            assert!(text().contains(&line), "{line} in\n{}", text());
        }
        keys.iter().for_each(|(key, id)| hub.release(ShardIndex(0), key, *id));
        assert!(text().contains("tickcast_publisher_topics{partition=\"1\"} 0\n"), "{}", text());
        let helps = registry.gather().iter().all(|family| family.help().ends_with('.'));
        assert!(helps, "helps are sentences");
    }
}
