//! The edge's metrics, by the names that dashboards and alerts rely on.
//!
//! What shards count lies in sheets of their own and is added up when somebody scrapes
//! (`shard_families`). What is here belongs to the door and to whoever reloads keys: handles that
//! are looked up once, and then one atomic addition.

use crate::http::METHODS;
use crate::refusal_reason::Reason;
use crate::shard_families::ShardFamilies;
use crate::shard_sheet::Sheet;
use crate::shard_table::REQUESTS;
use prometheus::core::Collector;
use prometheus::proto::{MetricFamily, MetricType};
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};
use std::sync::Arc;
use tickcast_market::Venue;
use tickcast_publisher::ShardIndex;

/// From 50 µs to 10 s, for ages and durations.
pub const SECONDS_BUCKETS: [f64; 17] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
    1.0, 2.5, 5.0, 10.0,
];

/// What happens when something is read again.
const RESULTS: [&str; 2] = ["ok", "failed"];

/// The statuses that requests over HTTP are answered with.
const STATUSES: [&str; 12] =
    ["200", "304", "400", "401", "403", "404", "405", "413", "426", "429", "500", "503"];

/// The methods that may be answered with any of them.
const SERVED: [&str; 3] = ["GET", "HEAD", "OPTIONS"];

/// The metrics `tickcast_gateway_*` and the ages of what is written.
#[derive(Clone, Debug)]
pub struct Metrics {
    shards: ShardFamilies,
    /// Requests and connections refused at the door by `reason`, and by its number.
    refused: IntCounterVec,
    by_reason: [IntCounter; Reason::COUNT],
    /// From accepting a connection to its handshake being answered.
    pub(crate) handshake: Histogram,
    /// Connections at the door, which no shard has yet.
    pub(crate) door_connections: IntGauge,
    /// How many connections there may be.
    pub(crate) connections_max: IntGauge,
    /// 1 while this process sends its clients away.
    pub(crate) draining: IntGauge,
    /// Requests over HTTP by `method` and `code`.
    pub(crate) http_requests: IntCounterVec,
    /// When the certificate in use ends, in seconds since 1970; 0 without TLS.
    pub(crate) certificate_expiry: IntGauge,
    /// Certificates read again, by `result` (`ok`, `failed`: the old one stays).
    pub certificate_reloads: IntCounterVec,
    /// Keys for tokens read again, by `result` (`ok`, `failed`: the old ones stay).
    pub(crate) key_reloads: IntCounterVec,
}

impl Metrics {
    /// Registers all of them.
    ///
    /// *Errors* when one of the names is registered already.
    pub fn new(registry: &Registry) -> Result<Metrics, prometheus::Error> {
        let metrics = Metrics::unregistered()?;
        for collector in metrics.collectors() {
            registry.register(collector)?;
        }
        Ok(metrics)
    }

    fn unregistered() -> Result<Metrics, prometheus::Error> {
        let http_requests =
            IntCounterVec::new(Opts::new(REQUESTS, "Over HTTP"), &["method", "code"])?;
        for method in METHODS {
            // What is not understood anywhere is answered with 405, or not even looked at.
            let codes = if SERVED.contains(&method) { &STATUSES[..] } else { &["405"] };
            codes.iter().for_each(|code| drop(http_requests.with_label_values(&[method, code])));
        }
        http_requests.with_label_values(&["GET", "101"]);
        let refused = IntCounterVec::new(opts("refused_total", REFUSED), &["reason"])?;
        Ok(Metrics {
            shards: ShardFamilies::new(http_requests.clone())?,
            by_reason: Reason::ALL.map(|reason| refused.with_label_values(&[reason.name()])),
            refused,
            handshake: Histogram::with_opts(
                HistogramOpts::new("tickcast_gateway_handshake_seconds", HANDSHAKE)
                    .buckets(SECONDS_BUCKETS.to_vec()),
            )?,
            door_connections: gauge("door_connections", AT_THE_DOOR)?,
            connections_max: gauge("connections_max", CONNECTIONS_MAX)?,
            draining: gauge("draining", DRAINING)?,
            http_requests,
            certificate_expiry: gauge("certificate_expiry_timestamp_seconds", EXPIRY)?,
            certificate_reloads: reloads("certificate_reloads_total", RELOADS)?,
            key_reloads: reloads("key_reloads_total", KEY_RELOADS)?,
        })
    }

    fn collectors(&self) -> Vec<Box<dyn Collector>> {
        vec![
            Box::new(self.shards.clone()),
            Box::new(self.refused.clone()),
            Box::new(self.handshake.clone()),
            Box::new(self.door_connections.clone()),
            Box::new(self.connections_max.clone()),
            Box::new(self.draining.clone()),
            Box::new(self.certificate_expiry.clone()),
            Box::new(self.certificate_reloads.clone()),
            Box::new(self.key_reloads.clone()),
        ]
    }

    /// The sheet of a shard, which is added to all others from now on.
    pub(crate) fn sheet_of(&self, shard: ShardIndex) -> Arc<Sheet> {
        let sheet = Arc::new(Sheet::new(shard));
        self.shards.put(sheet.clone());
        sheet
    }

    /// A feed of this venue is configured: its ages have series from the start. Others get theirs
    /// with their first instrument.
    pub fn expect(&self, venue: Venue) {
        self.shards.expect(venue);
    }

    /// Counts a refusal.
    pub fn refuse(&self, reason: Reason) {
        self.by_reason[reason as usize].inc();
    }

    /// Whether anybody has ever subscribed to anything; to be asked now and then.
    pub fn has_had_subscribers(&self) -> bool {
        self.value(REQUESTS, &["subscribe", "ok"]) > 0
            || self.value("tickcast_gateway_connections_opened_total", &["sse"]) > 0
    }

    /// What one of these metrics says now: the sum of its series that have all these label values;
    /// of a histogram, how often it was observed. 0 for a name that there is not.
    ///
    /// *Cost:* that of a scrape; for tests and for what is asked now and then.
    pub fn value(&self, name: &str, labels: &[&str]) -> i64 {
        let families = self.collectors().into_iter().flat_map(|collector| collector.collect());
        families.filter(|family| family.name() == name).map(|family| sum(&family, labels)).sum()
    }
}

fn sum(family: &MetricFamily, labels: &[&str]) -> i64 {
    let has = |metric: &&prometheus::proto::Metric| {
        let values = metric.get_label();
        labels.iter().all(|label| values.iter().any(|other| other.value() == *label))
    };
    let value = |metric: &prometheus::proto::Metric| match family.get_field_type() {
        MetricType::COUNTER => metric.get_counter().get_value(),
        MetricType::HISTOGRAM => metric.get_histogram().get_sample_count() as f64,
        _ => metric.get_gauge().get_value(),
    };
    let sum: f64 = family.get_metric().iter().filter(has).map(value).sum();
    sum as i64 // Counts: whole, and far below 2^53.
}

const REFUSED: &str = "Requests and connections refused at the door, by reason. address_rate and \
    address_connections: somebody floods. connections, shards: too small. descriptors: each try to \
    accept while there are none.";
const HANDSHAKE: &str = "From accepting a connection to its handshake being answered, TLS and the \
    client's own slowness included. Mostly the client; a rise for all is a processor that is full.";
const AT_THE_DOOR: &str = "Connections at the door: they agree on keys, have not said yet what \
    they want, or use REST. Many for long: slow or hostile clients, or shards that take none.";
const CONNECTIONS_MAX: &str = "How many connections there may be: the setting connections_max, or \
    what the limit of file descriptors leaves where that is less.";
const DRAINING: &str = "1 while this process sends its clients away and accepts nobody: it stops, \
    or another one has taken over.";
const EXPIRY: &str = "When the TLS certificate in use ends, in seconds since 1970; 0 without TLS. \
    After it no client that verifies comes in.";
const RELOADS: &str = "Certificates read again, by result. After failed the old one stays in use; \
    the log says what is wrong with the new one.";
const KEY_RELOADS: &str = "Keys for tokens read again, by result. After failed the old ones stay \
    in use; the log says what is wrong with the new ones.";

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(format!("tickcast_gateway_{name}"), help)
}

fn gauge(name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
    IntGauge::with_opts(opts(name, help))
}

fn reloads(name: &str, help: &str) -> Result<IntCounterVec, prometheus::Error> {
    let counter = IntCounterVec::new(opts(name, help), &["result"])?;
    RESULTS.iter().for_each(|result| drop(counter.with_label_values(&[*result])));
    Ok(counter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_can_be_registered_once() {
        let registry = Registry::new();
        let metrics = Metrics::new(&registry).unwrap();
        assert!(Metrics::new(&registry).is_err(), "the names are taken");
        assert!(!metrics.has_had_subscribers());
        metrics.sheet_of(ShardIndex(0)).opened[1].add(1);
        assert!(metrics.has_had_subscribers());
    }

    #[test]
    fn every_reason_and_status_is_there_from_the_start_and_help_ends_with_a_stop() {
        let registry = Registry::new();
        let metrics = Metrics::new(&registry).unwrap();
        metrics.refuse(Reason::Origin);
        assert_eq!(metrics.value("tickcast_gateway_refused_total", &["origin"]), 1);
        for family in registry.gather() {
            assert!(family.help().ends_with('.'), "{}: {}", family.name(), family.help());
            let most = match family.name() {
                "tickcast_gateway_refused_total" => Reason::COUNT,
                REQUESTS => 150,
                _ => 25,
            };
            let series = family.get_metric().len();
            assert!((1..=most).contains(&series), "{}: {series} series", family.name());
        }
    }
}
