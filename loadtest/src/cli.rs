//! The command line: a scenario, a target, and what differs from the scenario's file.

use crate::error::{Error, Result};
use crate::job::AgeFrom;
use crate::scenario::{Choice, Rate, Scenario};
use std::path::PathBuf;

/// Load tester and witness of tickcast.
///
/// `loadtest scenarios` lists the ready scenarios, `loadtest show NAME` prints one.
/// Exit codes: 0 all thresholds held, 1 some did not or the run failed, 2 wrong usage.
#[derive(Debug, clap::Parser)]
#[command(name = "loadtest", version, max_term_width = 100)]
pub(crate) struct Cli {
    /// A ready scenario, a TOML file, `scenarios` or `show`
    pub(crate) scenario: String,
    /// The service, such as ws://127.0.0.1:8080 (of `show`: a scenario)
    pub(crate) url: Option<String>,

    /// How many clients
    #[arg(long, help_heading = "Scenario")]
    pub(crate) connections: Option<usize>,
    /// Measured seconds
    #[arg(long, help_heading = "Scenario")]
    pub(crate) seconds: Option<u64>,
    /// Seconds between connecting and measuring
    #[arg(long, help_heading = "Scenario")]
    pub(crate) warmup: Option<u64>,
    /// Connections a second while connecting; 0 is as fast as it goes
    #[arg(long, help_heading = "Scenario")]
    pub(crate) ramp: Option<f64>,
    /// ticker, trades, book, bars
    #[arg(long, value_delimiter = ',', help_heading = "Scenario")]
    pub(crate) channels: Option<Vec<String>>,
    /// Levels of a book: 10, 25, 100 or 500
    #[arg(long, help_heading = "Scenario")]
    pub(crate) depth: Option<u16>,
    /// Length of bars: 1s, 1m, 5m or 1h
    #[arg(long, help_heading = "Scenario")]
    pub(crate) interval: Option<String>,
    /// Symbols of each client; 0 subscribes to nothing
    #[arg(long, help_heading = "Scenario")]
    pub(crate) symbols_per_connection: Option<usize>,
    /// How symbols are dealt
    #[arg(long, value_parser = choice, help_heading = "Scenario")]
    pub(crate) choice: Option<Choice>,
    /// Deal by rank with this exponent
    #[arg(long, help_heading = "Scenario", conflicts_with = "choice")]
    pub(crate) zipf: Option<f64>,
    /// Deal the most active so many only
    #[arg(long, help_heading = "Scenario")]
    pub(crate) symbols_max: Option<usize>,
    /// Subscribe by a pattern such as 'sim:*'
    #[arg(long, help_heading = "Scenario")]
    pub(crate) pattern: Option<String>,
    /// Everybody at this many updates a second and symbol
    #[arg(long, help_heading = "Scenario")]
    pub(crate) max_rate: Option<f64>,
    /// Clients that hold everything and compare it with the service at the end
    #[arg(long, help_heading = "Scenario")]
    pub(crate) sample: Option<usize>,
    /// Another seed deals other symbols
    #[arg(long, default_value_t = 1, help_heading = "Scenario")]
    pub(crate) seed: u64,
    /// A threshold, such as age_p99_ms=50; repeatable
    #[arg(long, value_name = "NAME=LIMIT", help_heading = "Scenario")]
    pub(crate) threshold: Vec<String>,

    /// These instruments instead of the service's list
    #[arg(long, value_delimiter = ',', help_heading = "Target")]
    pub(crate) symbols: Option<Vec<String>>,
    /// Instruments by a pattern with {} for the number
    #[arg(long, conflicts_with = "symbols", help_heading = "Target")]
    pub(crate) symbols_generated: Option<String>,
    /// How many of them
    #[arg(long, default_value_t = 100, help_heading = "Target")]
    pub(crate) symbols_count: usize,
    /// Compare with the snapshots of this service, such as another gateway on the same bus
    #[arg(long, value_name = "URL", help_heading = "Target")]
    pub(crate) snapshots: Option<String>,
    /// Demand neither welcome nor status, as of a minimal server
    #[arg(long, help_heading = "Target")]
    pub(crate) lenient: bool,
    /// Believe this file's certificates
    #[arg(long, help_heading = "Target")]
    pub(crate) ca: Option<String>,
    /// Believe any certificate
    #[arg(long, help_heading = "Target")]
    pub(crate) insecure: bool,

    /// Processes to share the connections; 0 is as many as descriptors demand
    #[arg(long, help_heading = "Measuring")]
    pub(crate) processes: Option<usize>,
    /// Take the service's usage from this process; repeatable
    #[arg(long, help_heading = "Measuring")]
    pub(crate) pid: Vec<u32>,
    /// Take it from its metrics; with neither, on loopback, from who listens on the port
    #[arg(long, conflicts_with = "pid", help_heading = "Measuring")]
    pub(crate) metrics: Option<String>,
    /// Since when the age of a delivery counts
    #[arg(long, value_enum, default_value_t, help_heading = "Measuring")]
    pub(crate) age: AgeFrom,

    /// Write the report as JSON; - is standard output
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    pub(crate) json: Option<PathBuf>,
    /// Write the report as one HTML file
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    pub(crate) html: Option<PathBuf>,
    /// Put an earlier run's JSON beside it
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    pub(crate) compare: Option<PathBuf>,
    /// No progress and no table
    #[arg(long, short, help_heading = "Report")]
    pub(crate) quiet: bool,
}

fn choice(text: &str) -> std::result::Result<Choice, String> {
    match text {
        "all" => Ok(Choice::All),
        "uniform" => Ok(Choice::Uniform),
        "zipf" => Ok(Choice::Zipf),
        _ => Err("one of all, uniform, zipf".into()),
    }
}

impl Cli {
    /// The scenario with the flags over it, checked.
    ///
    /// # Errors
    /// What cannot be read or makes no sense.
    pub(crate) fn scenario(&self) -> Result<Scenario> {
        let mut scenario = Scenario::load(&self.scenario)?;
        let s = &mut scenario;
        macro_rules! over {
            ($($field:ident),*) => { $(
                if let Some(value) = &self.$field {
                    s.$field = value.clone();
                }
            )* };
        }
        over!(connections, seconds, warmup, ramp, channels, depth, interval, choice, zipf);
        over!(symbols_per_connection, symbols_max, sample, processes);
        if self.zipf.is_some() {
            s.choice = Choice::Zipf;
        }
        if self.pattern.is_some() {
            s.pattern.clone_from(&self.pattern);
        }
        if self.max_rate.is_some() {
            s.rates = vec![Rate { share: 1.0, max_rate: self.max_rate }];
        }
        if !self.threshold.is_empty() {
            self.set_thresholds(s)?;
        }
        // A shorter run than the file's has its events earlier, or not at all.
        if self.seconds.is_some() {
            scenario.fit();
        }
        scenario.check()?;
        Ok(scenario)
    }

    fn set_thresholds(&self, scenario: &mut Scenario) -> Result<()> {
        let mut table = toml::Table::try_from(&scenario.thresholds)
            .map_err(|error| Error::usage(error.to_string()))?;
        for text in &self.threshold {
            let bad = || Error::usage(format!("--threshold: {text:?} is not NAME=LIMIT"));
            let (name, limit) = text.split_once('=').ok_or_else(bad)?;
            let value = match (limit.parse::<i64>(), limit.parse::<f64>()) {
                (Ok(integer), _) => toml::Value::Integer(integer),
                (_, Ok(float)) => toml::Value::Float(float),
                _ => return Err(bad()),
            };
            table.insert(name.to_owned(), value);
        }
        scenario.thresholds = table
            .try_into()
            .map_err(|error| Error::usage(format!("--threshold: {error}").trim_end()))?;
        Ok(())
    }
}
