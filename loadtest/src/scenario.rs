//! A scenario: what the clients do, for how long, and what must hold of it. Read from TOML.
//!
//! Unknown keys and values that make no sense are errors that name the field and the value.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use tickcast_wire::{Channel, Depth, Interval, View};

/// More connections than any machine has descriptors for.
const CONNECTIONS_MAX: usize = 1_000_000;

/// How symbols are dealt to connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Choice {
    /// Every connection has the most active ones.
    All,
    /// Each symbol is as likely as any other.
    Uniform,
    /// By rank: the most active are chosen most.
    #[default]
    Zipf,
}

/// A share of the connections with a maximum rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rate {
    pub(crate) share: f64,
    /// Updates a second and symbol; absent is real time.
    #[serde(default)]
    pub(crate) max_rate: Option<f64>,
}

/// A share of the connections that reads slowly.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Slow {
    pub(crate) share: f64,
    /// 0 reads nothing at all.
    #[serde(default)]
    pub(crate) bytes_per_second: u64,
}

/// Subscriptions that come and go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Churn {
    /// Requests a second and connection: unsubscribe, subscribe, unsubscribe …
    #[serde(default)]
    pub(crate) requests_per_second: f64,
    /// Connections that are cut and return with `since`, a second, over all.
    #[serde(default)]
    pub(crate) reconnects_per_second: f64,
}

/// The opening of a market.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bell {
    /// Second of the measurement.
    pub(crate) at: u64,
    pub(crate) seconds: u64,
    /// How many symbols each connection has before and after.
    pub(crate) quiet_symbols: usize,
    /// At which rate.
    pub(crate) quiet_rate: f64,
}

/// All connections are cut at once and come back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cut {
    /// Second of the measurement.
    pub(crate) at: u64,
    /// Whether they claim what they hold.
    pub(crate) since: bool,
}

/// What must hold: the run fails where it does not. Absent is not asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Thresholds {
    pub(crate) age_p50_ms: Option<f64>,
    pub(crate) age_p99_ms: Option<f64>,
    pub(crate) age_p999_ms: Option<f64>,
    pub(crate) clients_age_p99_max_ms: Option<f64>,
    pub(crate) violations: Option<u64>,
    pub(crate) gaps: Option<u64>,
    pub(crate) duplicates: Option<u64>,
    pub(crate) mismatched: Option<u64>,
    pub(crate) not_compared: Option<u64>,
    pub(crate) compared_min: Option<u64>,
    pub(crate) connect_failed: Option<u64>,
    pub(crate) closed: Option<u64>,
    pub(crate) deliveries_per_second_min: Option<f64>,
    pub(crate) connects_per_second_min: Option<f64>,
    pub(crate) all_snapshots_ms: Option<f64>,
    pub(crate) herd_current_ms: Option<f64>,
    pub(crate) return_max_ms: Option<f64>,
    pub(crate) return_failed: Option<u64>,
    pub(crate) returned_min: Option<u64>,
    pub(crate) server_cpu_us_per_delivery: Option<f64>,
    pub(crate) server_cpu_us_per_connect: Option<f64>,
    pub(crate) server_cpu_cores: Option<f64>,
    pub(crate) rss_per_connection_bytes: Option<f64>,
    pub(crate) rss_growth_ratio: Option<f64>,
    pub(crate) own_cpu_us_per_delivery: Option<f64>,
}

/// Everything about a run but its target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Scenario {
    pub(crate) name: String,
    pub(crate) about: String,
    pub(crate) connections: usize,
    /// 0: as many as descriptors demand.
    pub(crate) processes: usize,
    /// Connections a second; 0: as fast as it goes.
    pub(crate) ramp: f64,
    pub(crate) seconds: u64,
    pub(crate) warmup: u64,
    pub(crate) channels: Vec<String>,
    pub(crate) depth: u16,
    pub(crate) interval: String,
    /// 0: no subscription at all.
    pub(crate) symbols_per_connection: usize,
    pub(crate) choice: Choice,
    /// The exponent of `choice = "zipf"`.
    pub(crate) zipf: f64,
    /// Of how many of the service's instruments, most active first; 0: of all.
    pub(crate) symbols_max: usize,
    /// Subscribe by this pattern instead of by names; `choice` then says nothing.
    pub(crate) pattern: Option<String>,
    /// How many clients hold everything and are compared with the service at the end.
    pub(crate) sample: usize,
    pub(crate) rates: Vec<Rate>,
    pub(crate) slow: Option<Slow>,
    pub(crate) churn: Option<Churn>,
    pub(crate) bell: Option<Bell>,
    pub(crate) herd: Vec<Cut>,
    pub(crate) thresholds: Thresholds,
}

impl Default for Scenario {
    fn default() -> Scenario {
        Scenario {
            name: "own".into(),
            about: String::new(),
            connections: 1_000,
            processes: 0,
            ramp: 0.0,
            seconds: 10,
            warmup: 2,
            channels: vec!["ticker".into()],
            depth: 10,
            interval: "1m".into(),
            symbols_per_connection: 20,
            choice: Choice::Zipf,
            zipf: 1.0,
            symbols_max: 0,
            pattern: None,
            sample: 16,
            rates: Vec::new(),
            slow: None,
            churn: None,
            bell: None,
            herd: Vec::new(),
            thresholds: Thresholds::default(),
        }
    }
}

/// The scenarios that come along.
const READY: &[(&str, &str)] = &[
    ("steady", include_str!("../scenarios/steady.toml")),
    ("open-bell", include_str!("../scenarios/open-bell.toml")),
    ("herd", include_str!("../scenarios/herd.toml")),
    ("restart", include_str!("../scenarios/restart.toml")),
    ("churn", include_str!("../scenarios/churn.toml")),
    ("slow", include_str!("../scenarios/slow.toml")),
    ("mixed-tiers", include_str!("../scenarios/mixed-tiers.toml")),
    ("idle", include_str!("../scenarios/idle.toml")),
    ("soak", include_str!("../scenarios/soak.toml")),
];

/// The text of a ready scenario.
pub(crate) fn ready(name: &str) -> Option<&'static str> {
    READY.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

/// The names and first words of the ready scenarios.
pub(crate) fn list() -> impl Iterator<Item = (&'static str, String)> {
    READY.iter().map(|(name, text)| {
        let about = Scenario::parse(text).map(|scenario| scenario.about).unwrap_or_default();
        (*name, about)
    })
}

impl Scenario {
    /// Reads a ready scenario or a file.
    ///
    /// # Errors
    /// A name that is neither, and what [`Scenario::parse`] says.
    pub(crate) fn load(name: &str) -> Result<Scenario> {
        if let Some(text) = ready(name) {
            return Scenario::parse(text);
        }
        if !std::path::Path::new(name).is_file() {
            let names: Vec<&str> = READY.iter().map(|(name, _)| *name).collect();
            let names = names.join(", ");
            return Err(Error::usage(format!(
                "scenario: {name:?} is neither a file nor one of {names}"
            )));
        }
        let text = std::fs::read_to_string(name).map_err(Error::io(name))?;
        Scenario::parse(&text).map_err(|error| Error::usage(format!("{name}: {error}")))
    }

    /// Reads a scenario's text; it is not checked yet, since flags may still change it.
    ///
    /// # Errors
    /// What is no TOML, or has keys or types that are not known here.
    pub(crate) fn parse(text: &str) -> Result<Scenario> {
        toml::from_str(text).map_err(|error| Error::usage(error.to_string().trim_end()))
    }

    /// What the connections subscribe to, one view for each channel.
    ///
    /// # Errors
    /// An unknown channel, depth or interval.
    pub(crate) fn views(&self) -> Result<Vec<View>> {
        let depth = Depth::new(self.depth)
            .ok_or_else(|| bad("depth", self.depth, "one of 10, 25, 100, 500"))?;
        let interval = Interval::from_name(&self.interval)
            .ok_or_else(|| bad("interval", &self.interval, "one of 1s, 1m, 5m, 1h"))?;
        let view = |name: &String| match Channel::from_name(name) {
            Some(Channel::Ticker) => Ok(View::Ticker),
            Some(Channel::Trades) => Ok(View::Trades),
            Some(Channel::Book) => Ok(View::Book(depth)),
            Some(Channel::Bars) => Ok(View::Bars(interval)),
            Some(Channel::Status) | None => {
                Err(bad("channels", name, "one of ticker, trades, book, bars"))
            }
        };
        self.channels.iter().map(view).collect()
    }

    /// Checks what can be checked without the service.
    ///
    /// # Errors
    /// The first field whose value makes no sense.
    pub(crate) fn check(&self) -> Result<()> {
        let views = self.views()?;
        let distinct: std::collections::BTreeSet<_> = views.iter().map(|v| v.channel()).collect();
        if views.is_empty() || distinct.len() != views.len() {
            return Err(bad("channels", self.channels.join(","), "one or more, each once"));
        }
        if self.connections == 0 || self.connections > CONNECTIONS_MAX {
            return Err(bad("connections", self.connections, "from 1 to 1000000"));
        }
        if self.seconds == 0 {
            return Err(bad("seconds", self.seconds, "at least 1"));
        }
        for (field, value) in [("ramp", self.ramp), ("zipf", self.zipf)] {
            if !(0.0..1e9).contains(&value) {
                return Err(bad(field, value, "0 or more"));
            }
        }
        self.check_shares()?;
        self.check_events()
    }

    /// Moves what happens in the measured seconds along when there are fewer of them.
    pub(crate) fn fit(&mut self) {
        let seconds = self.seconds;
        if let Some(bell) = &mut self.bell
            && bell.at + bell.seconds > seconds
        {
            bell.at = seconds / 5;
            bell.seconds = (seconds * 3 / 5).max(1);
        }
        let last = self.herd.iter().map(|cut| cut.at).max().unwrap_or_default();
        if last >= seconds {
            let count = self.herd.len() as u64;
            for (number, cut) in self.herd.iter_mut().enumerate() {
                cut.at = (number as u64 * 2 + 1) * seconds / (2 * count);
            }
        }
    }

    fn check_shares(&self) -> Result<()> {
        let share_ok = |share: f64| (0.0..=1.0).contains(&share);
        for rate in &self.rates {
            if !share_ok(rate.share) {
                return Err(bad("rates.share", rate.share, "from 0 to 1"));
            }
            if let Some(rate) = rate.max_rate.filter(|rate| !(*rate > 0.0 && rate.is_finite())) {
                return Err(bad("rates.max_rate", rate, "above 0"));
            }
        }
        let sum: f64 = self.rates.iter().map(|rate| rate.share).sum();
        if !self.rates.is_empty() && (sum - 1.0).abs() > 0.001 {
            return Err(bad("rates.share", sum, "1 in all"));
        }
        if let Some(slow) = self.slow.as_ref().filter(|slow| !share_ok(slow.share)) {
            return Err(bad("slow.share", slow.share, "from 0 to 1"));
        }
        if let Some(churn) = &self.churn {
            // Beyond the service's own limit it would measure refusals.
            if !(0.0..=8.0).contains(&churn.requests_per_second) {
                let value = churn.requests_per_second;
                return Err(bad("churn.requests_per_second", value, "from 0 to 8"));
            }
            if !(0.0..1e6).contains(&churn.reconnects_per_second) {
                let value = churn.reconnects_per_second;
                return Err(bad("churn.reconnects_per_second", value, "0 or more"));
            }
        }
        Ok(())
    }

    fn check_events(&self) -> Result<()> {
        if let Some(bell) = &self.bell {
            if bell.at + bell.seconds > self.seconds || bell.seconds == 0 {
                let value = format!("{} + {}", bell.at, bell.seconds);
                return Err(bad("bell.at + bell.seconds", value, "at most `seconds`"));
            }
            if bell.quiet_symbols > self.symbols_per_connection {
                let value = bell.quiet_symbols;
                return Err(bad("bell.quiet_symbols", value, "at most symbols_per_connection"));
            }
            if !(bell.quiet_rate > 0.0 && bell.quiet_rate.is_finite()) {
                return Err(bad("bell.quiet_rate", bell.quiet_rate, "above 0"));
            }
            if self.pattern.is_some() {
                return Err(bad("pattern", "set", "absent where there is a bell"));
            }
        }
        for cut in &self.herd {
            if cut.at >= self.seconds {
                return Err(bad("herd.at", cut.at, "below `seconds`"));
            }
        }
        if self.pattern.is_some()
            && self.churn.as_ref().is_some_and(|churn| churn.requests_per_second > 0.0)
        {
            return Err(bad("pattern", "set", "absent where subscriptions churn"));
        }
        Ok(())
    }
}

fn bad(field: &str, value: impl std::fmt::Display, wanted: &str) -> Error {
    Error::usage(format!("{field}: {value:?} is not {wanted}", value = value.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ready_scenario_makes_sense_and_says_what_it_is_about() {
        for (name, text) in READY {
            let scenario = Scenario::parse(text).unwrap_or_else(|error| panic!("{name}: {error}"));
            scenario.check().unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(scenario.name, *name);
            assert!(!scenario.about.is_empty(), "{name}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_named_with_its_field_and_value() {
        for (text, field, value) in [
            ("channels = [\"tikcer\"]", "channels", "tikcer"),
            ("depth = 11", "depth", "11"),
            ("interval = \"2m\"", "interval", "2m"),
            ("connections = 0", "connections", "0"),
            ("seconds = 0", "seconds", "0"),
            ("rates = [{share = 0.5}]", "rates.share", "0.5"),
            ("rates = [{share = 1.0, max_rate = -1.0}]", "rates.max_rate", "-1"),
            ("[slow]\nshare = 2.0", "slow.share", "2"),
            ("[churn]\nrequests_per_second = 99.0", "churn.requests_per_second", "99"),
            ("herd = [{at = 10, since = true}]", "herd.at", "10"),
        ] {
            let scenario = Scenario::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            let error = scenario.check().expect_err(text).to_string();
            assert!(error.starts_with(field) && error.contains(value), "{text}: {error}");
        }
        for (text, part) in [
            ("conections = 5", "conections"),
            ("[thresholds]\nage_p98_ms = 5", "age_p98_ms"),
            ("choice = \"zipff\"", "zipff"),
            ("connections = \"many\"", "many"),
        ] {
            let error = Scenario::parse(text).expect_err(text).to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
