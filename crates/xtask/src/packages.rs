//! The tests of the parts that cargo does not know: the SDKs for JavaScript and Python, and the
//! dashboard, against the binary that cargo has just built.

use crate::bring::{Brought, python_sdk};
use crate::command::{program, root};
use crate::javascript::{self, PARTS};
use crate::suite::{Report, follow};
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
    /// Runs the tests of each. They wait more than they compute, so those in Python run beside those
    /// in JavaScript, and are shown behind them.
    ///
    /// # Errors
    /// When a runner could not be started.
    pub(crate) fn test(&self, ready: impl Fn(Command) -> Command + Sync) -> Result<(Tally, bool)> {
        std::thread::scope(|scope| {
            let python = scope.spawn(|| self.test_python(&ready));
            let (javascript, javascript_good) = self.test_javascript(&ready)?;
            let (shown, (python, python_good)) = python.join().expect("it does not panic")?;
            shown.iter().for_each(|line| println!("{line}"));
            Ok((javascript.and(python), javascript_good && python_good))
        })
    }

    fn test_javascript(&self, ready: &impl Fn(Command) -> Command) -> Result<(Tally, bool)> {
        let (mut tally, mut all_good) = (Tally::default(), true);
        for part in PARTS {
            if !self.javascript {
                println!("{}", skipped_words(part.folder));
                tally = tally.and(SKIPPED);
                continue;
            }
            println!("npm test: {}", part.folder);
            let npm = ready(with_binary(part.npm(&["test", "--silent"])));
            let print = |line: &str| println!("{line}");
            let (some, good) = follow(npm, Report::Stdout, NodeTest::default(), print)?;
            tally = tally.and(some);
            all_good &= good;
        }
        Ok((tally, all_good))
    }

    /// What is to be shown, and how it went.
    fn test_python(
        &self,
        ready: &impl Fn(Command) -> Command,
    ) -> Result<(Vec<String>, (Tally, bool))> {
        let Some(python) = &self.python else {
            return Ok((vec![skipped_words("clients/python")], (SKIPPED, true)));
        };
        let mut shown = vec!["pytest: clients/python".to_owned()];
        let mut pytest = program(python);
        pytest.current_dir(root().join("clients/python"));
        pytest.args(["-m", "pytest", "-q", "-rs", "--color=no", "-p", "no:cacheprovider"]);
        let pytest = ready(with_binary(pytest));
        let keep = |line: &str| shown.push(line.to_owned());
        let outcome = follow(pytest, Report::Stdout, Pytest::default(), keep)?;
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
