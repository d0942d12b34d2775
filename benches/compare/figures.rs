//! What one run has measured: the load tester's report, as far as it is compared.

use crate::failure::{Result, while_doing};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Report {
    pub(crate) deliveries: Option<f64>,
    pub(crate) deliveries_per_second: Option<f64>,
    pub(crate) bytes: Option<f64>,
    pub(crate) frames_per_read: Option<f64>,
    pub(crate) age_us: Option<Age>,
    pub(crate) connect: Option<Connect>,
    pub(crate) server: Option<ServerSide>,
    pub(crate) own: Option<Own>,
    pub(crate) correctness: Option<Correctness>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Age {
    pub(crate) p50: Option<f64>,
    pub(crate) p99: Option<f64>,
    pub(crate) p999: Option<f64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Connect {
    pub(crate) per_second: Option<f64>,
    pub(crate) failed: Option<f64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct ServerSide {
    pub(crate) cpu_us_per_delivery: Option<f64>,
    pub(crate) cpu_cores: Option<f64>,
    pub(crate) rss_per_connection_bytes: Option<f64>,
    pub(crate) cpu_us_per_connect: Option<f64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Own {
    pub(crate) cpu_cores: Option<f64>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Correctness {
    pub(crate) gaps: Option<f64>,
    pub(crate) violations: Option<f64>,
    pub(crate) closed: BTreeMap<String, f64>,
}

/// The figures of one run; what was not measured is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Figures {
    /// CPU of the server's process, in microseconds for each delivered message.
    pub(crate) cpu_us: Option<f64>,
    pub(crate) cores: Option<f64>,
    /// Of the delivery age.
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
    pub(crate) p999_ms: Option<f64>,
    pub(crate) per_second: Option<f64>,
    /// Messages in each send of the server, or in each read of the clients where the server
    /// does not say.
    pub(crate) frames_per_send: Option<f64>,
    /// Mean size of what was delivered.
    pub(crate) message_bytes: Option<f64>,
    pub(crate) rss_bytes: Option<f64>,
    pub(crate) connect_us: Option<f64>,
    pub(crate) connects_per_second: Option<f64>,
    /// Cores that the load tester itself used; near those that it has, it is what was measured.
    pub(crate) load_cores: Option<f64>,
    /// Gaps, breaches of the protocol and connections that were closed or failed.
    pub(crate) wrong: f64,
}

impl Report {
    /// Reads a report.
    ///
    /// # Errors
    /// The text is not the load tester's.
    pub(crate) fn read(text: &str) -> Result<Report> {
        serde_json::from_str(text).map_err(while_doing("the load tester's report"))
    }

    pub(crate) fn figures(&self) -> Figures {
        let deliveries = self.deliveries.filter(|deliveries| *deliveries > 0.0);
        let any = deliveries.is_some();
        let age = self.age_us.filter(|_| any).unwrap_or_default();
        let ms = |us: f64| us / 1e3;
        let server = self.server.unwrap_or_default();
        let connect = self.connect.unwrap_or_default();
        let correctness = self.correctness.clone().unwrap_or_default();
        let closed: f64 = correctness.closed.values().sum();
        let wrong = [correctness.gaps, correctness.violations, connect.failed];
        Figures {
            cpu_us: server.cpu_us_per_delivery.filter(|_| any),
            cores: server.cpu_cores,
            p50_ms: age.p50.map(ms),
            p99_ms: age.p99.map(ms),
            p999_ms: age.p999.map(ms),
            per_second: self.deliveries_per_second.filter(|_| any),
            frames_per_send: self.frames_per_read.filter(|_| any),
            message_bytes: deliveries.and_then(|deliveries| Some(self.bytes? / deliveries)),
            rss_bytes: server.rss_per_connection_bytes,
            connect_us: server.cpu_us_per_connect,
            connects_per_second: connect.per_second,
            load_cores: self.own.and_then(|own| own.cpu_cores),
            wrong: wrong.into_iter().flatten().sum::<f64>() + closed,
        }
    }
}

/// The middle value; of an even number of values the mean of the middle two.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(sorted[half]),
        _ => Some((sorted[half - 1] + sorted[half]) / 2.0),
    }
}

/// A median of several rounds and what lies around it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    pub(crate) fn of(values: &[f64]) -> Option<Spread> {
        let fold = |start: f64, pick: fn(f64, f64) -> f64| values.iter().copied().fold(start, pick);
        Some(Spread {
            median: median(values)?,
            min: fold(f64::INFINITY, f64::min),
            max: fold(f64::NEG_INFINITY, f64::max),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_of_the_load_tester_is_read_whatever_it_did_not_measure() {
        let text = r#"{"scenario":"W1a","target":"ws://x","connections":1000,"subscriptions":1000,
            "seconds":4.0,"deliveries":400000,"deliveries_per_second":100000.0,"bytes":80000000,
            "reads":200000,"frames_per_read":2.0,
            "age_us":{"p50":1000,"p90":2000,"p99":4700,"p999":6000,"p9999":7000,"max":8000,"mean":1},
            "connect":{"per_second":20000.0,"failed":0,"us":{"p50":1,"p99":2,"max":3}},
            "all_snapshots_ms":null,
            "server":{"cpu_us_per_delivery":3.7,"cpu_cores":0.37,"rss_per_connection_bytes":null},
            "own":{"cpu_us_per_delivery":2.0,"cpu_cores":0.2,"cpu_us_per_read":2.0},
            "correctness":{"gaps":1,"violations":2,"closed":{"1006":3}},"series":[],"new":1}"#;
        let figures = Report::read(text).unwrap().figures();
        assert_eq!((figures.cpu_us, figures.p99_ms), (Some(3.7), Some(4.7)));
        assert_eq!((figures.rss_bytes, figures.message_bytes), (None, Some(200.0)));
        assert_eq!(figures.wrong, 6.0);
        let idle = r#"{"deliveries":0,"age_us":{"p50":null,"p99":null},"server":{"cpu_us_per_delivery":1e9}}"#;
        let idle = Report::read(idle).unwrap();
        assert_eq!(idle.figures().cpu_us, None, "nothing was delivered");
        assert!(Report::read("listening").is_err());
    }

    #[test]
    fn medians_are_in_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        let spread = Spread::of(&[3.0, 1.0, 2.0]).unwrap();
        assert_eq!((spread.min, spread.median, spread.max), (1.0, 2.0, 3.0));
    }
}
