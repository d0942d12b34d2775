//! What a run has shown: one JSON object, the same for scripts, tables and later comparison.

use crate::scenario::Thresholds;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A run's figures. What was not measured is null.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Report {
    pub(crate) scenario: String,
    pub(crate) target: String,
    pub(crate) connections: u64,
    pub(crate) connected: u64,
    pub(crate) subscriptions: u64,
    pub(crate) processes: u64,
    /// Unix seconds at which the measured seconds began.
    pub(crate) started: u64,
    pub(crate) seconds: f64,
    pub(crate) age_from: String,
    pub(crate) deliveries: u64,
    pub(crate) deliveries_per_second: f64,
    pub(crate) bytes: u64,
    pub(crate) bytes_per_second: f64,
    pub(crate) reads: u64,
    pub(crate) frames: u64,
    pub(crate) frames_per_read: Option<f64>,
    pub(crate) age_us: Age,
    pub(crate) connect: Connect,
    pub(crate) welcome_us: Spread,
    pub(crate) first_snapshot_us: Spread,
    pub(crate) all_snapshots_ms: Option<f64>,
    pub(crate) clients: Clients,
    pub(crate) server: Server,
    pub(crate) own: Own,
    pub(crate) correctness: Seen,
    pub(crate) herd: Vec<Herd>,
    pub(crate) returns: Returns,
    pub(crate) thresholds: Vec<Judgement>,
    pub(crate) series: Vec<Row>,
}

/// Microseconds between the stamp of a delivery and its arrival.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Age {
    pub(crate) p50: Option<u64>,
    pub(crate) p90: Option<u64>,
    pub(crate) p99: Option<u64>,
    pub(crate) p999: Option<u64>,
    pub(crate) p9999: Option<u64>,
    pub(crate) max: Option<u64>,
    pub(crate) mean: Option<f64>,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Spread {
    pub(crate) p50: Option<u64>,
    pub(crate) p90: Option<u64>,
    pub(crate) p99: Option<u64>,
    pub(crate) max: Option<u64>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Connect {
    pub(crate) per_second: Option<f64>,
    pub(crate) failed: u64,
    /// From the first packet to the answer to the upgrade.
    pub(crate) us: Spread,
}

/// Over the watched clients, each one's own percentiles.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Clients {
    pub(crate) watched: u64,
    pub(crate) age_p50_us: Spread,
    pub(crate) age_p99_us: Spread,
    /// Each watched client's p99, in order.
    pub(crate) p99_us: Vec<u64>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Server {
    /// Where the figures come from.
    pub(crate) source: Option<String>,
    pub(crate) cpu_us_per_delivery: Option<f64>,
    pub(crate) cpu_cores: Option<f64>,
    pub(crate) rss_before_bytes: Option<f64>,
    pub(crate) rss_connected_bytes: Option<f64>,
    pub(crate) rss_after_bytes: Option<f64>,
    pub(crate) rss_per_connection_bytes: Option<f64>,
    pub(crate) cpu_us_per_connect: Option<f64>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Own {
    pub(crate) cpu_us_per_delivery: Option<f64>,
    pub(crate) cpu_cores: Option<f64>,
    pub(crate) cpu_us_per_read: Option<f64>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Seen {
    pub(crate) gaps: u64,
    pub(crate) duplicates: u64,
    pub(crate) overlaps: u64,
    pub(crate) violations: u64,
    pub(crate) broken: BTreeMap<String, u64>,
    pub(crate) reconnects: u64,
    pub(crate) asked_again: u64,
    pub(crate) refused: BTreeMap<u16, u64>,
    pub(crate) compared: u64,
    pub(crate) mismatched: u64,
    pub(crate) not_compared: u64,
    pub(crate) closed: BTreeMap<u16, u64>,
    pub(crate) slow_closed: BTreeMap<u16, u64>,
    pub(crate) examples: Vec<String>,
}

/// One cut of all connections.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Herd {
    pub(crate) second: f64,
    pub(crate) since: bool,
    /// Until all were connected again.
    pub(crate) connected_ms: Option<f64>,
    /// Until every subscription had its first message.
    pub(crate) current_ms: Option<f64>,
    /// How many snapshots that took.
    pub(crate) snapshots: u64,
    pub(crate) server_cpu_us_per_connect: Option<f64>,
}

/// Those that the service lost or sent away, and that came back.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Returns {
    /// How many had all their first messages again.
    pub(crate) count: u64,
    /// Attempts that failed, each counted.
    pub(crate) failed: u64,
    /// From the moment that they were told, or from the loss, to the last first message.
    pub(crate) us: Spread,
}

/// What became of a threshold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Judgement {
    pub(crate) name: String,
    pub(crate) limit: f64,
    pub(crate) value: Option<f64>,
    pub(crate) ok: bool,
}

/// One measured second.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Row {
    pub(crate) second: u64,
    pub(crate) deliveries: u64,
    pub(crate) bytes: u64,
    pub(crate) age_p50_us: Option<u64>,
    pub(crate) age_p99_us: Option<u64>,
    pub(crate) server_cpu_cores: Option<f64>,
    pub(crate) server_rss_bytes: Option<f64>,
    pub(crate) connected: u64,
}

/// Whether a value must stay at or below its limit, or at or above it.
enum Bound {
    Most,
    Least,
}

/// A threshold beside its value.
type Bounded = (&'static str, Option<f64>, Option<f64>, Bound);

impl Report {
    /// Judges the thresholds that are set. What was not measured does not hold.
    pub(crate) fn judge(&mut self, thresholds: &Thresholds) {
        let judged = self.rows(thresholds).into_iter().filter_map(|(name, limit, value, bound)| {
            let limit = limit?;
            let ok = value.is_some_and(|value| match bound {
                Bound::Most => value <= limit,
                Bound::Least => value >= limit,
            });
            Some(Judgement { name: name.into(), limit, value, ok })
        });
        self.thresholds = judged.collect();
    }

    /// Every threshold there is: its name, its limit if it is set, the value, which way it bounds.
    fn rows(&self, t: &Thresholds) -> Vec<Bounded> {
        use Bound::{Least, Most};
        let ms = |us: Option<u64>| us.map(|us| us as f64 / 1e3);
        let whole = |limit: Option<u64>| limit.map(|limit| limit as f64);
        let seen = &self.correctness;
        let closed: u64 = seen.closed.values().sum();
        let herd = self.herd.iter().map(|cut| cut.current_ms);
        let herd = herd.reduce(|one, other| Some(one?.max(other?))).flatten();
        let server = &self.server;
        let growth = server.rss_after_bytes.zip(server.rss_connected_bytes);
        vec![
            ("age_p50_ms", t.age_p50_ms, ms(self.age_us.p50), Most),
            ("age_p99_ms", t.age_p99_ms, ms(self.age_us.p99), Most),
            ("age_p999_ms", t.age_p999_ms, ms(self.age_us.p999), Most),
            (
                "clients_age_p99_max_ms",
                t.clients_age_p99_max_ms,
                ms(self.clients.age_p99_us.max),
                Most,
            ),
            ("violations", whole(t.violations), Some(seen.violations as f64), Most),
            ("gaps", whole(t.gaps), Some(seen.gaps as f64), Most),
            ("duplicates", whole(t.duplicates), Some(seen.duplicates as f64), Most),
            ("mismatched", whole(t.mismatched), Some(seen.mismatched as f64), Most),
            ("not_compared", whole(t.not_compared), Some(seen.not_compared as f64), Most),
            ("compared_min", whole(t.compared_min), Some(seen.compared as f64), Least),
            ("connect_failed", whole(t.connect_failed), Some(self.connect.failed as f64), Most),
            ("closed", whole(t.closed), Some(closed as f64), Most),
            (
                "deliveries_per_second_min",
                t.deliveries_per_second_min,
                Some(self.deliveries_per_second),
                Least,
            ),
            ("connects_per_second_min", t.connects_per_second_min, self.connect.per_second, Least),
            ("all_snapshots_ms", t.all_snapshots_ms, self.all_snapshots_ms, Most),
            ("herd_current_ms", t.herd_current_ms, herd, Most),
            ("return_max_ms", t.return_max_ms, ms(self.returns.us.max), Most),
            ("return_failed", whole(t.return_failed), Some(self.returns.failed as f64), Most),
            ("returned_min", whole(t.returned_min), Some(self.returns.count as f64), Least),
            (
                "server_cpu_us_per_delivery",
                t.server_cpu_us_per_delivery,
                server.cpu_us_per_delivery,
                Most,
            ),
            (
                "server_cpu_us_per_connect",
                t.server_cpu_us_per_connect,
                server.cpu_us_per_connect,
                Most,
            ),
            ("server_cpu_cores", t.server_cpu_cores, server.cpu_cores, Most),
            (
                "rss_per_connection_bytes",
                t.rss_per_connection_bytes,
                server.rss_per_connection_bytes,
                Most,
            ),
            (
                "rss_growth_ratio",
                t.rss_growth_ratio,
                growth.map(|(after, connected)| after / connected),
                Most,
            ),
            (
                "own_cpu_us_per_delivery",
                t.own_cpu_us_per_delivery,
                self.own.cpu_us_per_delivery,
                Most,
            ),
        ]
    }

    /// Whether everything holds that was asked for.
    pub(crate) fn is_ok(&self) -> bool {
        self.thresholds.iter().all(|judgement| judgement.ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_asked_for_is_judged_and_what_was_not_measured_does_not_hold() {
        let mut report = Report { deliveries_per_second: 10.0, ..Report::default() };
        report.judge(&Thresholds::default());
        assert!(report.is_ok() && report.thresholds.is_empty());
        report.judge(&Thresholds {
            violations: Some(0),
            deliveries_per_second_min: Some(11.0),
            age_p99_ms: Some(1e9),
            ..Thresholds::default()
        });
        let failed: Vec<&str> =
            report.thresholds.iter().filter(|j| !j.ok).map(|j| j.name.as_str()).collect();
        assert_eq!(failed, ["age_p99_ms", "deliveries_per_second_min"]);
    }

    #[test]
    fn a_report_is_read_back_also_when_it_was_written_by_another_version() {
        let text = serde_json::to_string(&Report::default()).unwrap();
        let _: Report = serde_json::from_str(&text).unwrap();
        let older: Report = serde_json::from_str("{\"scenario\":\"steady\",\"x\":1}").unwrap();
        assert_eq!(older.scenario, "steady");
    }
}
