//! What an engine is given to do, and what the two sides tell each other while it does it.

use crate::scenario::Scenario;
use crate::tally::{Flow, Tally, Times};
use crate::target::Target;
use serde::{Deserialize, Serialize};

/// From which moment the age of a delivery counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AgeFrom {
    /// When the frame was encoded.
    #[default]
    Publish,
    /// When it happened, by the venue's clock; bars have no such time.
    Event,
}

/// An engine's part of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) target: Target,
    /// Where sampled clients ask for what they are compared with.
    pub(crate) snapshots: Target,
    pub(crate) scenario: Scenario,
    /// The instruments, most active first.
    pub(crate) symbols: Vec<String>,
    /// The number of its first connection, how many it has, and how many there are in all.
    pub(crate) first: usize,
    pub(crate) count: usize,
    pub(crate) total: usize,
    /// How many of its clients hold everything.
    pub(crate) sample: usize,
    pub(crate) seed: u64,
    pub(crate) is_lenient: bool,
    pub(crate) age_from: AgeFrom,
    pub(crate) trust: Trust,
}

/// Whom TLS believes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Trust {
    /// A file of PEM certificates, instead of the usual authorities.
    pub(crate) ca: Option<String>,
    pub(crate) is_insecure: bool,
}

/// What the coordinator tells an engine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    /// The measured seconds begin.
    Measure,
    /// Everybody takes all symbols in real time, or goes back to the quiet ones.
    Bell { is_open: bool },
    /// Everybody is cut and comes back.
    Cut { since: bool },
    /// The measured seconds are over.
    Freeze,
    /// The sampled clients compare what they hold with the service, for at most so long.
    Compare { seconds: u64 },
    /// Report and end.
    Stop,
}

/// What an engine tells the coordinator.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum News {
    /// Several times a second.
    State(State),
    /// Once for each measured second.
    Second { second: u64, flow: Flow, age: Times, connected: usize },
    /// The comparison is over.
    Compared,
    /// The last one.
    Final(Box<Tally>),
    /// It cannot go on.
    Failed(String),
}

/// How far an engine is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) connected: usize,
    pub(crate) failed: usize,
    /// First messages of subscriptions that have not come.
    pub(crate) missing: u64,
    pub(crate) deliveries: u64,
    pub(crate) snapshots: u64,
    pub(crate) faults: u64,
    /// Whether nothing is being opened any more.
    pub(crate) is_settled: bool,
    /// How many times it has cut everybody.
    pub(crate) cuts: u64,
}
