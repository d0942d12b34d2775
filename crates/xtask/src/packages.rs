//! The tests of the parts that cargo does not know: the SDKs for JavaScript and Python, and the
//! dashboard, against the binary that cargo has just built.

use crate::bring::{Brought, python_sdk};
use crate::command::{program, root};
use crate::javascript::{self, PARTS};
use crate::suite::{Outcome, Report, follow};
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
    /// Runs the tests of each, all of a part once more where one failed. They wait more than they compute, so those in Python run beside those
    /// in JavaScript, and are shown behind them.
    ///
    /// # Errors
    /// When a runner could not be started.
    pub(crate) fn test(&self, ready: impl Fn(Command) -> Command + Sync) -> Result<Outcome> {
        std::thread::scope(|scope| {
            let python = scope.spawn(|| self.test_python(&ready));
            let javascript = self.test_javascript(&ready)?;
            let (shown, python) = python.join().expect("it does not panic")?;
            shown.iter().for_each(|line| println!("{line}"));
            Ok(javascript.and(python))
        })
    }

    fn test_javascript(&self, ready: &impl Fn(Command) -> Command) -> Result<Outcome> {
        let mut outcome = Outcome::of(Tally::default(), Vec::new());
        for part in PARTS {
            if !self.javascript {
                let words = skipped_words(part.folder);
                println!("{words}");
                outcome = outcome.and(Outcome::of(SKIPPED, vec![words]));
                continue;
            }
            println!("npm test: {}", part.folder);
            outcome = outcome.and(Outcome::of_two(|| {
                let npm = ready(with_binary(part.npm(&["test", "--silent"])));
                let print = |line: &str| println!("{line}");
                follow(npm, Report::Stdout, NodeTest::default(), print)
            })?);
        }
        Ok(outcome)
    }

    /// What is to be shown, and how it went.
    fn test_python(&self, ready: &impl Fn(Command) -> Command) -> Result<(Vec<String>, Outcome)> {
        let Some(python) = &self.python else {
            let words = skipped_words("clients/python");
            return Ok((vec![words.clone()], Outcome::of(SKIPPED, vec![words])));
        };
        let mut shown = vec!["pytest: clients/python".to_owned()];
        let outcome = Outcome::of_two(|| {
            let mut pytest = program(python);
            pytest.current_dir(root().join("clients/python"));
            pytest.args(["-m", "pytest", "-q", "-rfEs", "--color=no", "-p", "no:cacheprovider"]);
            let keep = |line: &str| shown.push(line.to_owned());
            follow(ready(with_binary(pytest)), Report::Stdout, Pytest::default(), keep)
        })?;
        Ok((shown, outcome))
    }
}

/// A whole part that is not tested counts as one.
const SKIPPED: Tally = Tally { passed: 0, failed: 0, skipped: 1 };

fn skipped_words(folder: &str) -> String {
    format!("SKIPPED: {folder}: what it needs is missing")
}

/// Tells it where the service is.
fn with_binary(mut command: Command) -> Command {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = root().join(target.unwrap_or_else(|| "target".into()));
    command.env("TICKCAST_BIN", target.join("debug/tickcast"));
    command
}
