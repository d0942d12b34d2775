//! The feeds' part of the metrics: what came in, what went out, and how each venue's lines stand.
//!
//! A venue's handles are looked up once; counting a message is one atomic addition.

use crate::delay::{Delay, Delays};
use crate::driver::config::FeedState;
use crate::handler::Tally;
use crate::kinds::{decode_reasons, message_kinds};
use crate::outlet::{EVENT_KINDS, EventCounts, StateCounts};
use prometheus::core::Collector;
use prometheus::{
    Counter, CounterVec, Gauge, GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};
use std::sync::Arc;
use std::time::Duration;
use tickcast_market::{Nanos, TradingState, Venue};

/// Kinds and reasons of one venue that get a series of their own; more are counted as `other`.
const KINDS_MAX: usize = 64;

/// All feed metrics of a process.
#[derive(Clone, Debug)]
pub struct Metrics {
    messages: IntCounterVec,
    events: IntCounterVec,
    bytes: IntCounterVec,
    state: IntGaugeVec,
    instruments: IntGaugeVec,
    reconnects: IntCounterVec,
    gaps: IntCounterVec,
    checksum_failures: IntCounterVec,
    decode_errors: IntCounterVec,
    silence: GaugeVec,
    blocked: CounterVec,
    delays: Delays,
}

impl Metrics {
    /// Makes them and registers them.
    ///
    /// *Errors:* when the registry already has metrics of these names.
    pub fn new(registry: &Registry) -> prometheus::Result<Metrics> {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            registered(registry, IntCounterVec::new(Opts::new(name, help), labels)?)
        };
        let gauge = |name: &str, help: &str, labels: &[&str]| {
            registered(registry, IntGaugeVec::new(Opts::new(name, help), labels)?)
        };
        Ok(Metrics {
            messages: counter(
                "tickcast_feed_messages_total",
                "Messages received from the venue, by the venue's own kind. A kind that stops while \
                 others go on: the venue has dropped a subscription.",
                &["venue", "kind"],
            )?,
            events: counter(
                "tickcast_feed_events_total",
                "Normalised events that were handed to the publisher, by kind. Fewer than messages \
                 suggest: look at decode errors.",
                &["venue", "kind"],
            )?,
            bytes: counter(
                "tickcast_feed_bytes_total",
                "Payload bytes received from the venue, by kind: websocket or rest.",
                &["venue", "kind"],
            )?,
            state: gauge(
                "tickcast_feed_state",
                "1 for the state that the venue's connections are in, 0 for every other one. live: \
                 all are open; degraded: some; down: none, users see old prices marked stale.",
                &["venue", "state"],
            )?,
            instruments: gauge(
                "tickcast_feed_instruments",
                "Instruments by the state that the feed gives them. stale and resync are shown to \
                 users as such; many for long is the venue or the way to it.",
                &["venue", "state"],
            )?,
            reconnects: counter(
                "tickcast_feed_reconnects_total",
                "Connections to the venue that ended, or failed to open, and were tried again. A \
                 few a day are usual; several an hour are the network, the venue, or its limits.",
                &["venue"],
            )?,
            gaps: counter(
                "tickcast_feed_gaps_total",
                "Gaps in the venue's sequence: messages were lost, and the instrument is fetched \
                 anew. Any that go on are the venue, or a feed that reads too slowly.",
                &["venue"],
            )?,
            checksum_failures: counter(
                "tickcast_feed_checksum_failures_total",
                "Books whose checksum was not the venue's; the instrument is fetched anew. Any that \
                 go on: the venue has changed its format, or this decoder is wrong.",
                &["venue"],
            )?,
            decode_errors: counter(
                "tickcast_feed_decode_errors_total",
                "Messages that could not be decoded, by reason; the log shows the first of each. \
                 Any: the venue has changed its format.",
                &["venue", "reason"],
            )?,
            silence: registered(
                registry,
                GaugeVec::new(
                    Opts::new(
                        "tickcast_feed_silence_seconds",
                        "How long the venue's quietest connection has said nothing, heartbeats \
                         included. Above the venue's deadline it is closed and opened again.",
                    ),
                    &["venue"],
                )?,
            )?,
            blocked: registered(
                registry,
                CounterVec::new(
                    Opts::new(
                        "tickcast_feed_blocked_seconds_total",
                        "For how long the feed did not read because the publisher had no room. Any \
                         that goes on: the publisher is too slow, not the venue.",
                    ),
                    &["venue"],
                )?,
            )?,
            delays: registered(
                registry,
                Delays::new(
                    "tickcast_feed_delay_seconds",
                    "From the venue's own timestamp of a quote, trade or change of a book to its \
                     receipt: the venue and the way to it, with the difference of the two clocks. \
                     A rise here is not ours; at the start a venue's history counts too.",
                )?,
            )?,
        })
    }

    /// The handles of one venue. Two feeds of the same venue count together.
    pub fn of(&self, venue: Venue) -> FeedMetrics {
        let name = venue.name();
        let metrics = FeedMetrics {
            messages: Kinds::new(&self.messages, name, message_kinds(venue)),
            decode_errors: Kinds::new(&self.decode_errors, name, &decode_reasons(venue)),
            events: EVENT_KINDS.map(|kind| self.events.with_label_values(&[name, kind])),
            bytes_websocket: self.bytes.with_label_values(&[name, "websocket"]),
            bytes_rest: self.bytes.with_label_values(&[name, "rest"]),
            states: FeedState::ALL
                .map(|state| (state, self.state.with_label_values(&[name, state.name()]))),
            instruments: TRADING_STATES
                .map(|state| self.instruments.with_label_values(&[name, state.name()])),
            reconnects: self.reconnects.with_label_values(&[name]),
            gaps: self.gaps.with_label_values(&[name]),
            checksum_failures: self.checksum_failures.with_label_values(&[name]),
            silence: self.silence.with_label_values(&[name]),
            blocked: self.blocked.with_label_values(&[name]),
            delay: self.delays.of(venue),
        };
        metrics.state(FeedState::Starting);
        metrics
    }
}

/// In the order of their numbers, which [`StateCounts`] is indexed by.
const TRADING_STATES: [TradingState; 5] = [
    TradingState::Live,
    TradingState::Halted,
    TradingState::Closed,
    TradingState::Stale,
    TradingState::Resync,
];

fn registered<C: Collector + Clone + 'static>(
    registry: &Registry,
    collector: C,
) -> prometheus::Result<C> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

/// One venue's handles.
#[derive(Debug)]
pub struct FeedMetrics {
    messages: Kinds,
    decode_errors: Kinds,
    events: [IntCounter; EVENT_KINDS.len()],
    bytes_websocket: IntCounter,
    bytes_rest: IntCounter,
    states: [(FeedState, IntGauge); FeedState::ALL.len()],
    instruments: [IntGauge; TRADING_STATES.len()],
    reconnects: IntCounter,
    gaps: IntCounter,
    checksum_failures: IntCounter,
    silence: Gauge,
    blocked: Counter,
    delay: Arc<Delay>,
}

impl FeedMetrics {
    /// Takes what a handler has counted and empties the tally, keeping its lists.
    pub fn tally(&mut self, tally: &mut Tally) {
        self.messages.take(&mut tally.messages);
        self.decode_errors.take(&mut tally.decode_errors);
        for (counter, count) in
            [(&self.gaps, &mut tally.gaps), (&self.checksum_failures, &mut tally.checksum_failures)]
        {
            if *count > 0 {
                counter.inc_by(std::mem::take(count));
            }
        }
    }

    /// Takes what an outlet has counted.
    pub fn events(&self, counts: &EventCounts) {
        for (counter, count) in self.events.iter().zip(counts.by_kind) {
            if count > 0 {
                counter.inc_by(count);
            }
        }
        self.delay.take(&counts.delays);
    }

    /// The feed did not read for so long because the publisher had no room.
    pub fn blocked(&self, span: Duration) {
        self.blocked.inc_by(span.as_secs_f64());
    }

    /// Shows how many instruments are in which state.
    pub fn instruments(&self, counts: &StateCounts) {
        for (gauge, count) in self.instruments.iter().zip(counts) {
            gauge.set(i64::try_from(*count).unwrap_or(i64::MAX));
        }
    }

    /// Bytes of WebSocket messages.
    pub fn bytes_websocket(&self, bytes: usize) {
        self.bytes_websocket.inc_by(bytes as u64);
    }

    /// Bytes of REST answers.
    pub fn bytes_rest(&self, bytes: usize) {
        self.bytes_rest.inc_by(bytes as u64);
    }

    /// Lines that were opened again.
    pub fn reconnects(&self, count: u64) {
        self.reconnects.inc_by(count);
    }

    /// Shows how the lines stand.
    pub fn state(&self, present: FeedState) {
        for (state, gauge) in &self.states {
            gauge.set(i64::from(*state == present));
        }
    }

    /// Shows the longest silence of any line.
    pub fn silence(&self, span: Nanos) {
        self.silence.set(span.as_secs_f64());
    }
}

/// Counters by a static kind, looked up once each.
#[derive(Debug)]
struct Kinds {
    all: IntCounterVec,
    venue: &'static str,
    known: Vec<(&'static str, IntCounter)>,
}

impl Kinds {
    /// With series for these kinds from the start; a tally has an order of its own.
    fn new(all: &IntCounterVec, venue: &'static str, kinds: &[&str]) -> Kinds {
        kinds.iter().for_each(|kind| drop(all.with_label_values(&[venue, *kind])));
        Kinds { all: all.clone(), venue, known: Vec::new() }
    }

    fn take(&mut self, counts: &mut [(&'static str, u64)]) {
        for (at, (kind, count)) in counts.iter_mut().enumerate().filter(|(_, (_, c))| *c > 0) {
            // A tally keeps its order, so the counter is usually at the same place.
            let place = match self.known.get(at) {
                Some((known, _)) if std::ptr::eq(*known, *kind) => at,
                _ => self.place_of(kind),
            };
            self.known[place].1.inc_by(std::mem::take(count));
        }
    }

    fn place_of(&mut self, kind: &'static str) -> usize {
        if let Some(place) = self.known.iter().position(|(known, _)| *known == kind) {
            return place;
        }
        let kind = if self.known.len() < KINDS_MAX { kind } else { "other" };
        self.known.push((kind, self.all.with_label_values(&[self.venue, kind])));
        self.known.len() - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::TextEncoder;

    fn text(registry: &Registry) -> String {
        TextEncoder::new().encode_to_string(&registry.gather()).unwrap()
    }

    #[test]
    fn a_tally_ends_up_under_its_venue_and_kind_and_is_emptied() {
        let registry = Registry::new();
        let metrics = Metrics::new(&registry).unwrap();
        let mut kraken = metrics.of(Venue::Kraken);
        let mut binance = metrics.of(Venue::Binance);
        let mut tally = Tally { gaps: 2, ..Tally::default() };
        for _ in 0..3 {
            tally.message("book");
            tally.message("heartbeat");
            tally.decode_error("not JSON");
            kraken.tally(&mut tally);
        }
        tally.message("depthUpdate");
        binance.tally(&mut tally);
        let text = text(&registry);
        for line in [
            "tickcast_feed_messages_total{kind=\"book\",venue=\"kraken\"} 3",
            "tickcast_feed_messages_total{kind=\"depthUpdate\",venue=\"binance\"} 1",
            "tickcast_feed_decode_errors_total{reason=\"not JSON\",venue=\"kraken\"} 3",
            "tickcast_feed_gaps_total{venue=\"kraken\"} 2",
            "tickcast_feed_gaps_total{venue=\"binance\"} 0",
        ] {
            assert!(text.contains(line), "{line} is not in:\n{text}");
        }
    }

    #[test]
    fn exactly_the_present_state_is_one() {
        let registry = Registry::new();
        let feed = Metrics::new(&registry).unwrap().of(Venue::Coinbase);
        feed.state(FeedState::Live);
        feed.state(FeedState::Degraded);
        feed.instruments(&[4, 0, 0, 1, 2]);
        let text = text(&registry);
        for line in [
            "tickcast_feed_state{state=\"live\",venue=\"coinbase\"} 0",
            "tickcast_feed_state{state=\"degraded\",venue=\"coinbase\"} 1",
            "tickcast_feed_instruments{state=\"live\",venue=\"coinbase\"} 4",
            "tickcast_feed_instruments{state=\"resync\",venue=\"coinbase\"} 2",
        ] {
            assert!(text.contains(line), "{line} is not in:\n{text}");
        }
    }

    #[test]
    fn kinds_reasons_and_delays_are_there_before_the_first_message() {
        let registry = Registry::new();
        let metrics = Metrics::new(&registry).unwrap();
        let kraken = metrics.of(Venue::Kraken);
        let mut counts = EventCounts::default();
        for delay in [Nanos::from_millis(30), Nanos::from_secs(20), Nanos(-7)] {
            counts.delays.observe(delay);
        }
        kraken.events(&counts);
        let text = text(&registry);
        for line in [
            "tickcast_feed_messages_total{kind=\"book\",venue=\"kraken\"} 0",
            "tickcast_feed_decode_errors_total{reason=\"not json\",venue=\"kraken\"} 0",
            "tickcast_feed_state{state=\"starting\",venue=\"kraken\"} 1",
            "tickcast_feed_blocked_seconds_total{venue=\"kraken\"} 0",
            "tickcast_feed_delay_seconds_bucket{venue=\"kraken\",le=\"0.0005\"} 1",
            "tickcast_feed_delay_seconds_bucket{venue=\"kraken\",le=\"10\"} 2",
            "tickcast_feed_delay_seconds_count{venue=\"kraken\"} 3",
        ] {
            assert!(text.contains(line), "{line} is not in:\n{text}");
        }
        assert!(registry.gather().iter().all(|family| family.help().ends_with('.')));
    }

    #[test]
    fn registering_twice_is_an_error_and_no_panic() {
        let registry = Registry::new();
        let _first = Metrics::new(&registry).unwrap();
        assert!(Metrics::new(&registry).is_err());
    }
}
