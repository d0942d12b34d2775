//! The tests of the parts that cargo does not know: the SDKs for JavaScript and Python, and the
//! dashboard, against the binary that cargo has just built.

use crate::bring::{Brought, python_sdk};
use crate::command::{program, root};
use crate::javascript::{self, PARTS};
use crate::suite::{Report, observe};
use crate::tally::Tally;
use crate::tally_packages::{NodeTest, Pytest};
use anyhow::Result;
use std::path::PathBuf;
use std::process::Command;

/// What is there to run.
#[derive(Debug)]
pub(crate) struct Packages {
    /// The parts in JavaScript are built.
    javascript: bool,
    /// A Python that has what the SDK and its tests need.
    python: Option<PathBuf>,
}

/// Builds what cargo embeds and brings what the tests need; what is missing is noted.
pub(crate) fn prepare(brought: &mut Brought) -> Packages {
    let built = javascript::build();
    if let Err(error) = &built {
        brought.missing.push(format!("the SDK for JavaScript and the dashboard: {error:#}"));
    }
    let python = python_sdk();
    if let Err(error) = &python {
        brought.missing.push(format!("Python for the SDK: {error:#}"));
    }
    let python = python.ok();
    if let Some(python) = &python {
        brought.env.push(("TICKCAST_PYTHON_SDK", python.clone()));
    }
    Packages { javascript: built.is_ok(), python }
}

impl Packages {
    /// Runs the tests of each, one after the other: they start services and browsers.
    ///
    /// # Errors
    /// When a runner could not be started.
    pub(crate) fn test(&self, ready: impl Fn(Command) -> Command) -> Result<(Tally, bool)> {
        let (mut tally, mut all_good) = (Tally::default(), true);
        let mut take = |(some, good): (Tally, bool)| {
            tally = tally.and(some);
            all_good &= good;
        };
        for part in PARTS {
            if self.javascript {
                println!("npm test: {}", part.folder);
                let npm = ready(with_binary(part.npm(&["test", "--silent"])));
                take(observe(npm, Report::Stdout, NodeTest::default())?);
            } else {
                take(skipped(part.folder));
            }
        }
        match &self.python {
            Some(python) => {
                println!("pytest: clients/python");
                let mut pytest = program(python);
                pytest.current_dir(root().join("clients/python"));
                pytest.args(["-m", "pytest", "-q", "-rs", "--color=no", "-p", "no:cacheprovider"]);
                let pytest = ready(with_binary(pytest));
                take(observe(pytest, Report::Stdout, Pytest::default())?);
            }
            None => take(skipped("clients/python")),
        }
        Ok((tally, all_good))
    }
}

/// A whole part that is not tested counts as one.
fn skipped(folder: &str) -> (Tally, bool) {
    println!("SKIPPED: {folder}: what it needs is missing");
    (Tally { skipped: 1, ..Tally::default() }, true)
}

/// Tells it where the service is.
fn with_binary(mut command: Command) -> Command {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = root().join(target.unwrap_or_else(|| "target".into()));
    command.env("TICKCAST_BIN", target.join("debug/tickcast"));
    command
}
