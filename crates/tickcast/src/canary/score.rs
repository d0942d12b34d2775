//! What the canary tells: metrics by venue, and what `/readyz` says.

use super::ledger::LATE;
use hdrhistogram::Histogram as Recorder;
use prometheus::{
    HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry, core::Collector,
};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tickcast_gateway::{CanaryReport, SECONDS_BUCKETS};
use tickcast_market::{Nanos, Venue};

/// A violation keeps the service from being strictly ready for so long.
const LATELY: Duration = Duration::from_secs(60);

/// The last minute's ages are kept in pieces of this length.
const PIECE: Duration = Duration::from_secs(10);
const PIECES_MAX: usize = 6;

/// A canary whose thread has not been heard of for so long is not up, whatever it said last.
const SIGN_OF_LIFE_WITHIN: Duration = Duration::from_secs(5);

/// In the bucket above all others: what is missing.
const MISSING: Nanos = Nanos(LATE.as_nanos() as i64 + 1_000_000);

/// The metrics `tickcast_canary_*`.
#[derive(Debug)]
pub(crate) struct Metrics {
    age: HistogramVec,
    violations: IntCounterVec,
    up: IntGaugeVec,
    reconnects: IntCounterVec,
}

impl Metrics {
    /// Registers all of them. *Errors* when a name is taken.
    pub(crate) fn new(registry: &Registry) -> Result<Metrics, prometheus::Error> {
        let opts = |name: &str, help: &str| Opts::new(format!("tickcast_canary_{name}"), help);
        let metrics = Metrics {
            age: HistogramVec::new(
                HistogramOpts::new("tickcast_canary_age_seconds", AGE)
                    .buckets(SECONDS_BUCKETS.to_vec()),
                &["venue"],
            )?,
            violations: IntCounterVec::new(opts("violations_total", VIOLATIONS), &["venue"])?,
            up: IntGaugeVec::new(opts("up", UP), &["venue"])?,
            reconnects: IntCounterVec::new(opts("reconnects_total", RECONNECTS), &["venue"])?,
        };
        let all: [Box<dyn Collector>; 4] = [
            Box::new(metrics.age.clone()),
            Box::new(metrics.violations.clone()),
            Box::new(metrics.up.clone()),
            Box::new(metrics.reconnects.clone()),
        ];
        all.into_iter().try_for_each(|collector| registry.register(collector))?;
        Ok(metrics)
    }
}

const AGE: &str = "From receiving the venue's message to a client over loopback having it, for each \
                   publication; what does not come within 10 s is in the bucket +Inf.";
const VIOLATIONS: &str = "Messages that broke the client's rule or had another checksum, states that \
                          differ from the publisher's, heartbeats that did not come.";
const UP: &str = "1: subscribed, and what was published arrived within 10 s.";
const RECONNECTS: &str = "How often the canary lost a connection that it had.";

/// What is known of every venue; shared with whoever answers operators.
#[derive(Debug)]
pub(crate) struct Board {
    metrics: Metrics,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    venues: BTreeMap<Venue, Score>,
    alive_at: Instant,
}

#[derive(Debug, Default)]
struct Score {
    /// By connection.
    up: Vec<bool>,
    violations: u64,
    compared: u64,
    violated_at: Option<Instant>,
    ages: VecDeque<(Instant, Recorder<u32>)>,
}

impl Board {
    pub(super) fn new(metrics: Metrics, now: Instant) -> Board {
        let inner = Mutex::new(Inner { venues: BTreeMap::new(), alive_at: now });
        Board { metrics, inner }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A venue is followed by so many connections, none of which is up yet. Its series begin.
    pub(super) fn begin(&self, venue: Venue, connections: usize) {
        let score = Score { up: vec![false; connections], ..Score::default() };
        self.lock().venues.insert(venue, score);
        let labels = [venue.name()];
        self.metrics.age.with_label_values(&labels);
        self.metrics.violations.with_label_values(&labels);
        self.metrics.reconnects.with_label_values(&labels);
        self.metrics.up.with_label_values(&labels).set(0);
    }

    /// The thread goes on.
    pub(super) fn alive(&self, now: Instant) {
        self.lock().alive_at = now;
    }

    /// The thread has ended.
    pub(super) fn ended(&self) {
        for (venue, score) in &mut self.lock().venues {
            score.up.fill(false);
            self.metrics.up.with_label_values(&[venue.name()]).set(0);
        }
    }

    /// Whether one of a venue's connections is up.
    pub(super) fn set_up(&self, venue: Venue, connection: usize, up: bool) {
        let mut inner = self.lock();
        let Some(score) = inner.venues.get_mut(&venue) else { return };
        if std::mem::replace(&mut score.up[connection], up) != up {
            let all = score.up.iter().all(|up| *up);
            self.metrics.up.with_label_values(&[venue.name()]).set(i64::from(all));
        }
    }

    /// Something was published and has come.
    pub(super) fn came(&self, venue: Venue, age: Nanos, now: Instant) {
        // A clock that went back makes it zero.
        let age = age.max(Nanos::ZERO);
        self.metrics.age.with_label_values(&[venue.name()]).observe(age.as_secs_f64());
        if let Some(score) = self.lock().venues.get_mut(&venue) {
            score.record(age, now);
        }
    }

    /// Something was published and has not come in time.
    pub(super) fn missing(&self, venue: Venue, now: Instant) {
        self.came(venue, MISSING, now);
    }

    /// A promise was broken.
    pub(super) fn violated(&self, venue: Venue, now: Instant) {
        self.metrics.violations.with_label_values(&[venue.name()]).inc();
        if let Some(score) = self.lock().venues.get_mut(&venue) {
            score.violations += 1;
            score.violated_at = Some(now);
        }
    }

    /// Something that is held was found to be what the service has.
    pub(super) fn compared(&self, venue: Venue) {
        if let Some(score) = self.lock().venues.get_mut(&venue) {
            score.compared += 1;
        }
    }

    /// A connection was lost.
    pub(super) fn reconnects(&self, venue: Venue) {
        self.metrics.reconnects.with_label_values(&[venue.name()]).inc();
    }

    /// What operators are told at this moment.
    pub(crate) fn reports(&self, now: Instant) -> Vec<CanaryReport> {
        let inner = self.lock();
        let silent = now.saturating_duration_since(inner.alive_at);
        let is_alive = silent < SIGN_OF_LIFE_WITHIN;
        let report = |(venue, score): (&Venue, &Score)| CanaryReport {
            venue: venue.name().to_owned(),
            up: is_alive && score.up.iter().all(|up| *up),
            p99_us: score.p99_us(now),
            violations: score.violations,
            compared: score.compared,
            violated_lately: score.violated_at.is_some_and(|at| now < at + LATELY),
        };
        inner.venues.iter().map(report).collect()
    }
}

impl Score {
    fn record(&mut self, age: Nanos, now: Instant) {
        let is_over = |(since, _): &(Instant, _)| now.saturating_duration_since(*since) >= PIECE;
        if self.ages.back().is_none_or(is_over) {
            if self.ages.len() == PIECES_MAX {
                self.ages.pop_front();
            }
            // Up to what is missing, in steps of a hundredth.
            let most = MISSING.micros().unsigned_abs();
            let recorder = Recorder::new_with_bounds(1, most, 2).expect("the bounds are in order");
            self.ages.push_back((now, recorder));
        }
        if let Some((_, recorder)) = self.ages.back_mut() {
            recorder.saturating_record(age.micros().unsigned_abs());
        }
    }

    /// Of the pieces that the last minute has a part in.
    fn p99_us(&self, now: Instant) -> Option<u64> {
        let mut all: Option<Recorder<u32>> = None;
        let is_late = |since: Instant| now.saturating_duration_since(since) < LATELY + PIECE;
        for (_, piece) in self.ages.iter().filter(|(since, _)| is_late(*since)) {
            match &mut all {
                None => all = Some(piece.clone()),
                // The bounds are the same.
                Some(all) => drop(all.add(piece)),
            }
        }
        Some(all?.value_at_quantile(0.99))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board() -> (Board, Registry, Instant) {
        let (registry, now) = (Registry::new(), Instant::now());
        let board = Board::new(Metrics::new(&registry).unwrap(), now);
        board.begin(Venue::Sim, 2);
        (board, registry, now)
    }

    fn text(registry: &Registry) -> String {
        prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap()
    }

    #[test]
    fn every_series_is_there_from_the_start_and_up_takes_all_connections() {
        let (board, registry, now) = board();
        for line in [
            "tickcast_canary_violations_total{venue=\"sim\"} 0",
            "tickcast_canary_reconnects_total{venue=\"sim\"} 0",
            "tickcast_canary_up{venue=\"sim\"} 0",
            "tickcast_canary_age_seconds_count{venue=\"sim\"} 0",
        ] {
            assert!(text(&registry).contains(line), "{line}");
        }
        board.set_up(Venue::Sim, 0, true);
        assert!(text(&registry).contains("tickcast_canary_up{venue=\"sim\"} 0"));
        board.set_up(Venue::Sim, 1, true);
        assert!(text(&registry).contains("tickcast_canary_up{venue=\"sim\"} 1"));
        assert!(board.reports(now)[0].up);
        assert!(!board.reports(now + SIGN_OF_LIFE_WITHIN)[0].up, "its thread is not heard of");
        board.alive(now + SIGN_OF_LIFE_WITHIN);
        assert!(board.reports(now + SIGN_OF_LIFE_WITHIN)[0].up);
        board.ended();
        assert!(text(&registry).contains("tickcast_canary_up{venue=\"sim\"} 0"));
    }

    #[test]
    fn what_is_missing_is_above_every_bucket() {
        let (board, registry, now) = board();
        board.came(Venue::Sim, Nanos::from_micros(60), now);
        board.missing(Venue::Sim, now);
        let text = text(&registry);
        for line in [
            "tickcast_canary_age_seconds_bucket{venue=\"sim\",le=\"0.0001\"} 1",
            "tickcast_canary_age_seconds_bucket{venue=\"sim\",le=\"10\"} 1",
            "tickcast_canary_age_seconds_bucket{venue=\"sim\",le=\"+Inf\"} 2",
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
    }

    #[test]
    fn the_p99_and_a_violation_are_forgotten_after_about_a_minute() {
        let (board, _, now) = board();
        assert_eq!(board.reports(now)[0].p99_us, None);
        for _ in 0..990 {
            board.came(Venue::Sim, Nanos::from_micros(200), now);
        }
        for _ in 0..20 {
            board.came(Venue::Sim, Nanos::from_millis(7), now);
        }
        board.violated(Venue::Sim, now);
        let report = &board.reports(now)[0];
        let p99 = report.p99_us.unwrap();
        assert!((7_000..7_100).contains(&p99), "{p99}");
        assert_eq!((report.violations, report.violated_lately), (1, true));
        board.came(Venue::Sim, Nanos::from_micros(200), now + LATELY + PIECE);
        let report = &board.reports(now + LATELY + PIECE)[0];
        assert!(report.p99_us.unwrap() < 210);
        assert_eq!((report.violations, report.violated_lately), (1, false));
        // However long it goes on, a minute is kept.
        for second in 0..1000 {
            board.came(Venue::Sim, Nanos::ZERO, now + Duration::from_secs(second));
        }
        assert!(board.lock().venues[&Venue::Sim].ages.len() <= PIECES_MAX);
    }
}
