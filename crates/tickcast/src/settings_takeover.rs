//! Settings of taking over from a process that runs already.

use crate::settings::time;
use anyhow::{Result, ensure};
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;

/// A path of a Unix socket is at most so long (`sun_path` of unix(7)), the name under which it
/// is made included.
const PATH_BYTES_MAX: usize = 96;

/// What can be said about taking over; in a file the table `[takeover]`.
#[derive(Clone, Debug, Default, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TakeoverSettings {
    /// Unix socket over which a process that is started later takes over from this one [default: none]
    #[arg(id = "takeover", long = "takeover", env = "TICKCAST_TAKEOVER", value_name = "PATH")]
    pub(crate) path: Option<PathBuf>,
    /// How long feeds may take to give data before a takeover is given up [default: 30s]
    #[arg(
        id = "takeover_wait",
        long = "takeover-wait",
        env = "TICKCAST_TAKEOVER_WAIT",
        value_name = "TIME"
    )]
    pub(crate) wait: Option<String>,
}

/// The same, checked.
#[derive(Clone, Debug)]
pub(crate) struct Takeover {
    pub(crate) path: Option<PathBuf>,
    pub(crate) wait: Duration,
}

impl TakeoverSettings {
    /// These, and where they say nothing those of `under`.
    pub(crate) fn over(self, under: TakeoverSettings) -> TakeoverSettings {
        TakeoverSettings { path: self.path.or(under.path), wait: self.wait.or(under.wait) }
    }

    /// Checks every value. *Errors* name the setting and the value.
    pub(crate) fn resolve(self) -> Result<Takeover> {
        // An empty variable of the environment says nothing.
        let path = self.path.filter(|path| !path.as_os_str().is_empty());
        if let Some(path) = &path {
            let length = path.as_os_str().len();
            ensure!(
                length <= PATH_BYTES_MAX && path.file_name().is_some(),
                "takeover.path: {path:?} is not a file's path of at most {PATH_BYTES_MAX} bytes"
            );
        }
        Ok(Takeover { path, wait: time("takeover.wait", self.wait.as_deref(), "30s")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_named_with_key_and_value() {
        let long = "x".repeat(200);
        for (settings, part) in [
            (
                TakeoverSettings { wait: Some("soon".into()), ..TakeoverSettings::default() },
                "takeover.wait: \"soon\"",
            ),
            (
                TakeoverSettings { path: Some(long.into()), ..TakeoverSettings::default() },
                "takeover.path: \"xxx",
            ),
            (
                TakeoverSettings { path: Some("/".into()), ..TakeoverSettings::default() },
                "takeover.path: \"/\"",
            ),
        ] {
            let error = settings.resolve().expect_err(part).to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
