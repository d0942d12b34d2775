//! What operators see of the bus, on both of its ends.

use prometheus::core::Collector;
use prometheus::{Histogram, HistogramOpts, IntCounter, IntGauge, Registry};

/// From 50 µs to 10 s, as for all ages.
const AGE_BUCKETS: [f64; 17] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
    1.0, 2.5, 5.0, 10.0,
];

/// The metrics `tickcast_bus_*`.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub(crate) connected: IntGauge,
    pub(crate) leader: IntGauge,
    pub(crate) reconnects: IntCounter,
    pub(crate) messages_sent: IntCounter,
    pub(crate) messages_received: IntCounter,
    pub(crate) bytes_sent: IntCounter,
    pub(crate) bytes_received: IntCounter,
    pub(crate) gaps: IntCounter,
    pub(crate) requests: IntCounter,
    pub(crate) request_failures: IntCounter,
    pub(crate) decode_errors: IntCounter,
    pub(crate) streams: IntGauge,
    pub(crate) age: Histogram,
}

impl Metrics {
    /// Registers them. *Errors:* a name is registered already.
    pub fn new(registry: &Registry) -> Result<Metrics, prometheus::Error> {
        let gauge = |name, help| registered(registry, IntGauge::new(name, help)?);
        let counter = |name, help| registered(registry, IntCounter::new(name, help)?);
        let age = HistogramOpts::new("tickcast_bus_age_seconds", AGE).buckets(AGE_BUCKETS.to_vec());
        Ok(Metrics {
            connected: gauge("tickcast_bus_connected", CONNECTED)?,
            leader: gauge("tickcast_bus_leader", LEADER)?,
            reconnects: counter("tickcast_bus_reconnects_total", RECONNECTS)?,
            messages_sent: counter("tickcast_bus_messages_sent_total", SENT)?,
            messages_received: counter("tickcast_bus_messages_received_total", RECEIVED)?,
            bytes_sent: counter("tickcast_bus_bytes_sent_total", SENT_BYTES)?,
            bytes_received: counter("tickcast_bus_bytes_received_total", RECEIVED_BYTES)?,
            gaps: counter("tickcast_bus_gaps_total", GAPS)?,
            requests: counter("tickcast_bus_requests_total", REQUESTS)?,
            request_failures: counter("tickcast_bus_request_failures_total", FAILURES)?,
            decode_errors: counter("tickcast_bus_decode_errors_total", DECODE_ERRORS)?,
            streams: gauge("tickcast_bus_streams", STREAMS)?,
            age: registered(registry, Histogram::with_opts(age)?)?,
        })
    }

    pub(crate) fn sent(&self, bytes: usize) {
        self.messages_sent.inc();
        self.bytes_sent.inc_by(bytes as u64);
    }

    pub(crate) fn received(&self, bytes: usize) {
        self.messages_received.inc();
        self.bytes_received.inc_by(bytes as u64);
    }
}

fn registered<C: Collector + Clone + 'static>(
    registry: &Registry,
    collector: C,
) -> Result<C, prometheus::Error> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

const CONNECTED: &str = "1 while the connection to NATS stands.";
const LEADER: &str = "1 while this publisher holds the lease and is the one that gateways follow.";
const RECONNECTS: &str = "How often the connection to NATS was made again.";
const SENT: &str = "Messages given to NATS: updates of streams, statuses, beats, answers.";
const SENT_BYTES: &str = "Payload bytes given to NATS.";
const RECEIVED: &str = "Messages taken from NATS.";
const RECEIVED_BYTES: &str = "Payload bytes taken from NATS.";
const GAPS: &str = "Updates of a stream that were missing on the bus and were asked for again.";
const REQUESTS: &str = "Requests on the bus: sent by a gateway, answered by a publisher.";
const FAILURES: &str = "Requests that nobody answered in time; they are repeated.";
const DECODE_ERRORS: &str = "Messages of the bus that could not be read; they are left out.";
const STREAMS: &str = "Streams that travel: published here, or followed by this gateway.";
const AGE: &str =
    "From the publisher's encoding an update to a gateway's holding it; two hosts' clocks.";
