//! The edge's metrics, by the names that dashboards and alerts rely on.
//!
//! Counters on the sending path are resolved once per label here; a shard adds up a turn's sends
//! in plain integers and histograms of its own ([`prometheus::Histogram::local`]) and gives them
//! up once per turn.

use crate::shard_ages::Ages;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, core::Collector,
};
use tickcast_wire::{Channel, Encoding};

/// From 50 µs to 10 s, for ages and durations.
pub const SECONDS_BUCKETS: [f64; 17] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
    1.0, 2.5, 5.0, 10.0,
];

/// The metrics `tickcast_gateway_*` and the ages of what is written.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Connections by `transport` (`websocket`, `sse`).
    pub connections: IntGaugeVec,
    /// Connections opened by `transport`.
    pub connections_opened: IntCounterVec,
    /// Connections closed by close `code`.
    pub connections_closed: IntCounterVec,
    /// Requests and connections refused at the door by `reason`.
    pub refused: IntCounterVec,
    /// Subscribed streams by `channel`.
    pub subscriptions: IntGaugeVec,
    /// Messages handed to the kernel by `channel` and `encoding`; see [`Metrics::sent`].
    pub messages_sent: IntCounterVec,
    /// Their bytes, framing included.
    pub bytes_sent: IntCounterVec,
    /// Messages that were sent or came compressed, by `direction` (`out`, `in`).
    pub compressed_messages: IntCounterVec,
    /// Their bytes by `direction` and `form` (`plain`, `compressed`); those sent with their heads.
    pub compressed_bytes: IntCounterVec,
    /// Messages that were compressed, each once for however many it was sent to.
    pub compressions: IntCounter,
    /// Calls that hand bytes to the kernel by `mode` (`send`, `io_uring`).
    pub sends: IntCounterVec,
    /// 1 for the `mode` in use.
    pub flush_mode: IntGaugeVec,
    /// Connections that owe something older than their subscription.
    pub lagging_connections: IntGauge,
    /// How often a connection began to lag.
    pub lagging: IntCounter,
    /// Updates that a client got merged into a later one.
    pub merged_updates: IntCounter,
    /// How long a turn takes, by `shard`.
    pub shard_turn: HistogramVec,
    /// How often a shard lost batches and caught up by diff, by `shard`.
    pub shard_overruns: IntCounterVec,
    /// From accepting a connection to its handshake being answered.
    pub handshake: Histogram,
    /// Requests by `method` and `code`: HTTP's (`GET`, `200`) and the client protocol's
    /// (`subscribe`, `ok` or the number of the error).
    pub requests: IntCounterVec,
    /// From `ts_recv` to the handing over to the kernel, by `venue`.
    pub age_at_write: Ages,
    /// From `ts_publish` to the handing over to the kernel, by `venue`.
    pub publish_to_write: Ages,
    /// When the certificate in use ends, in seconds since 1970; 0 without TLS.
    pub certificate_expiry: IntGauge,
    /// Certificates read again, by `result` (`ok`, `failed`: the old one stays).
    pub certificate_reloads: IntCounterVec,
    /// Keys for tokens read again, by `result` (`ok`, `failed`: the old ones stay).
    pub key_reloads: IntCounterVec,
    /// Connections that were closed because handling them failed; 0 unless there is a bug.
    pub panics: IntCounter,
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
        Ok(Metrics {
            connections: gauges("connections", "Open connections", "transport")?,
            connections_opened: counters(
                "connections_opened_total",
                "Connections opened",
                &["transport"],
            )?,
            connections_closed: counters("connections_closed_total", CLOSED, &["code"])?,
            refused: counters("refused_total", REFUSED, &["reason"])?,
            subscriptions: gauges("subscriptions", "Subscribed streams", "channel")?,
            messages_sent: counters("messages_sent_total", SENT, &["channel", "encoding"])?,
            bytes_sent: counters("bytes_sent_total", SENT_BYTES, &["channel", "encoding"])?,
            compressed_messages: counters("compressed_messages_total", COMPRESSED, &["direction"])?,
            compressed_bytes: counters(
                "compressed_bytes_total",
                COMPRESSED_BYTES,
                &["direction", "form"],
            )?,
            compressions: IntCounter::with_opts(opts("compressions_total", COMPRESSIONS))?,
            sends: counters(
                "sends_total",
                "Sends to a connection, by how the kernel is called",
                &["mode"],
            )?,
            flush_mode: gauges("flush_mode", "1 for the mode of sending in use", "mode")?,
            lagging_connections: IntGauge::with_opts(opts("lagging_connections", LAGGING))?,
            lagging: IntCounter::with_opts(opts("lagging_total", LAGGED))?,
            merged_updates: IntCounter::with_opts(opts("merged_updates_total", MERGED))?,
            shard_turn: durations("tickcast_gateway_shard_turn_seconds", TURN, "shard")?,
            shard_overruns: counters("shard_overruns_total", OVERRUNS, &["shard"])?,
            handshake: Histogram::with_opts(
                HistogramOpts::new("tickcast_gateway_handshake_seconds", HANDSHAKE)
                    .buckets(SECONDS_BUCKETS.to_vec()),
            )?,
            requests: counters("requests_total", REQUESTS, &["method", "code"])?,
            age_at_write: Ages::new("tickcast_age_at_write_seconds", AGE)?,
            publish_to_write: Ages::new("tickcast_publish_to_write_seconds", PUBLISHED)?,
            certificate_expiry: IntGauge::with_opts(opts(
                "certificate_expiry_timestamp_seconds",
                EXPIRY,
            ))?,
            certificate_reloads: counters("certificate_reloads_total", RELOADS, &["result"])?,
            key_reloads: counters("key_reloads_total", KEY_RELOADS, &["result"])?,
            panics: IntCounter::with_opts(opts("panics_total", PANICS))?,
        })
    }

    fn collectors(&self) -> Vec<Box<dyn Collector>> {
        vec![
            Box::new(self.connections.clone()),
            Box::new(self.connections_opened.clone()),
            Box::new(self.connections_closed.clone()),
            Box::new(self.refused.clone()),
            Box::new(self.subscriptions.clone()),
            Box::new(self.messages_sent.clone()),
            Box::new(self.bytes_sent.clone()),
            Box::new(self.compressed_messages.clone()),
            Box::new(self.compressed_bytes.clone()),
            Box::new(self.compressions.clone()),
            Box::new(self.sends.clone()),
            Box::new(self.flush_mode.clone()),
            Box::new(self.lagging_connections.clone()),
            Box::new(self.lagging.clone()),
            Box::new(self.merged_updates.clone()),
            Box::new(self.shard_turn.clone()),
            Box::new(self.shard_overruns.clone()),
            Box::new(self.handshake.clone()),
            Box::new(self.requests.clone()),
            Box::new(self.age_at_write.clone()),
            Box::new(self.publish_to_write.clone()),
            Box::new(self.certificate_expiry.clone()),
            Box::new(self.certificate_reloads.clone()),
            Box::new(self.key_reloads.clone()),
            Box::new(self.panics.clone()),
        ]
    }

    /// The counters of messages and of bytes of one channel and encoding, to be kept: finding them
    /// hashes their labels.
    pub fn sent(&self, channel: Channel, encoding: Encoding) -> (IntCounter, IntCounter) {
        let labels = [channel.name(), encoding.name()];
        (self.messages_sent.with_label_values(&labels), self.bytes_sent.with_label_values(&labels))
    }

    /// Whether anybody has ever subscribed to anything; cheap enough to be asked now and then.
    pub fn has_had_subscribers(&self) -> bool {
        self.requests.with_label_values(&["subscribe", "ok"]).get() > 0
            || self.connections_opened.with_label_values(&["sse"]).get() > 0
    }

    /// Counts a refusal.
    pub fn refuse(&self, reason: &str) {
        self.refused.with_label_values(&[reason]).inc();
    }
}

const CLOSED: &str = "Connections closed, by close code";
const REFUSED: &str = "Requests and connections refused at the door";
const SENT: &str = "Messages handed to the kernel";
const SENT_BYTES: &str = "Bytes of these messages, framing included";
const COMPRESSED: &str = "Messages that were sent or came compressed";
const COMPRESSED_BYTES: &str = "Bytes of these messages, with and without compression";
const COMPRESSIONS: &str = "Messages compressed, each once for however many it was sent to";
const LAGGING: &str = "Connections that owe something older than their subscription";
const LAGGED: &str = "How often a connection began to lag";
const MERGED: &str = "Updates that were merged into later ones for a lagging client";
const TURN: &str = "How long a turn of a shard takes";
const OVERRUNS: &str = "How often a shard lost batches and caught up by diff";
const HANDSHAKE: &str = "From accepting a connection to its handshake being answered";
const REQUESTS: &str = "Requests over HTTP and in the client protocol";
const AGE: &str = "From receiving the venue's message to handing its frame to the kernel";
const EXPIRY: &str = "When the certificate in use ends, in seconds since 1970; 0 without TLS";
const RELOADS: &str = "Certificates read again; after a failure the old one stays";
const KEY_RELOADS: &str = "Keys for tokens read again; after a failure the old ones stay";
const PANICS: &str = "Connections closed because handling them failed";
const PUBLISHED: &str = "From encoding a frame to handing it to the kernel";

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(format!("tickcast_gateway_{name}"), help)
}

fn counters(name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, prometheus::Error> {
    IntCounterVec::new(opts(name, help), labels)
}

fn gauges(name: &str, help: &str, label: &str) -> Result<IntGaugeVec, prometheus::Error> {
    IntGaugeVec::new(opts(name, help), &[label])
}

fn durations(name: &str, help: &str, label: &str) -> Result<HistogramVec, prometheus::Error> {
    HistogramVec::new(HistogramOpts::new(name, help).buckets(SECONDS_BUCKETS.to_vec()), &[label])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_can_be_registered_once() {
        let registry = Registry::new();
        let metrics = Metrics::new(&registry).unwrap();
        let (messages, bytes) = metrics.sent(Channel::Ticker, Encoding::Json);
        messages.inc();
        bytes.inc_by(190);
        metrics.refuse("origin");
        let gathered = registry.gather();
        let sent = gathered.iter().find(|m| m.name() == "tickcast_gateway_messages_sent_total");
        assert_eq!(sent.unwrap().get_metric()[0].get_label().len(), 2);
        assert!(Metrics::new(&registry).is_err(), "the names are taken");
    }
}
