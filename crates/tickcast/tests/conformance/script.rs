//! The script that all SDKs pass: `clients/conformance/script.toml`, data that any harness can play.

use serde::Deserialize;
use serde_json::{Map, Value};
use std::path::Path;

/// The whole script.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Script {
    pub(crate) service: ServiceRules,
    pub(crate) tokens: TokenRules,
    /// The `params` of subscribe requests.
    pub(crate) subscriptions: Vec<Map<String, Value>>,
    pub(crate) steps: Vec<Step>,
    pub(crate) least: Least,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServiceRules {
    pub(crate) recording: String,
    pub(crate) replay_speed: f64,
    pub(crate) drain_window: String,
}

/// What tokens are at first.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenRules {
    pub(crate) life_s: i64,
    /// So many have ended when a driver gets them.
    pub(crate) bad: u64,
}

/// What a driver's own counts come to, at least.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Least {
    pub(crate) reconnects: u64,
    pub(crate) resyncs: u64,
    pub(crate) checksum_failures: u64,
}

/// What happens to every line, or to the service behind all of them.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Step {
    /// So many data messages pass.
    Flow { messages: u64 },
    /// So many messages are held up, one by one.
    Delay { milliseconds: u64, times: u64 },
    /// One of so many updates comes again, behind so many others.
    Repeat { one_of: u64, times: u64, back: usize },
    /// Of each channel so many updates are lost, one of so many.
    Lose { one_of: u64, ticker: u64, book: u64, trades: u64, bars: u64 },
    /// So many books come with a wrong checksum, one of so many; as many again until one is noticed.
    Falsify { one_of: u64, times: u64 },
    /// All connections are cut, and so many attempts to come back refused.
    Cut { how: How, refuse: u64 },
    /// All connections are closed with this code.
    Close { code: u16 },
    /// All connections fall silent, and stay open.
    Stall {},
    /// So many tokens are asked for; who is connected stays so.
    Refresh { tokens: u64 },
    /// From now on tokens live so long.
    Tokens { life_s: i64 },
    /// The service sends everybody away in order, and starts again.
    Drain {},
    /// The service ends without a word, and starts again.
    Kill {},
    /// The recording comes to its end, and all hold what the service shows.
    Compare {},
    /// All are sent away with a code that says not to come back, and stay away.
    Dismiss { code: u16 },
}

/// How a connection is cut.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum How {
    /// Both sides get an end between two messages.
    Close,
    /// Both sides get a reset.
    Reset,
    /// The client gets half a message, then an end.
    MidFrame,
}

impl Script {
    /// Reads the file.
    pub(crate) fn read(file: &Path) -> Script {
        let text = std::fs::read_to_string(file);
        let text = text.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
    }
}
