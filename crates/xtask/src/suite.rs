//! `cargo xtask test`: brings what the tests need, runs all of them in one profile, then those of the
//! parts in other languages and the fuzz targets for a while, and says in one line how it went.

use crate::bring::bring;
use crate::notes::Notes;
use crate::tally::{Libtest, Nextest, Reader, Tally};
use crate::{command, fuzz, packages};
use anyhow::{Context, Result};
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, ExitCode, Stdio};

/// How much is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// What every change must pass.
    Usual,
    /// The long tests too: they look for `TICKCAST_FULL=1`.
    Full,
}

/// Where a runner prints its report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    Stdout,
    Stderr,
}

/// How runs of tests ended.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) tally: Tally,
    /// Every runner said that all is well.
    is_good: bool,
    /// Lines that the end of a long report repeats: what failed and what was skipped.
    noted: Vec<String>,
}

impl Outcome {
    /// Of `run`, and of a second one where something failed in the first: that one counts, and the
    /// end of the report tells what the first one said.
    ///
    /// # Errors
    /// When it could not be started.
    pub(crate) fn of_two(mut run: impl FnMut() -> Result<Outcome>) -> Result<Outcome> {
        let first = run()?;
        if first.is_good && first.tally.failed == 0 {
            return Ok(first);
        }
        let mut second = run()?;
        let told = first.noted.iter().map(|line| format!("TRY 1 {line}"));
        second.noted.splice(0..0, told);
        Ok(second)
    }

    /// Of no run: nothing was counted, and nothing went wrong.
    pub(crate) fn of(tally: Tally, noted: Vec<String>) -> Outcome {
        Outcome { tally, is_good: true, noted }
    }

    /// Both.
    pub(crate) fn and(mut self, other: Outcome) -> Outcome {
        self.noted.extend(other.noted);
        Outcome {
            tally: self.tally.and(other.tally),
            is_good: self.is_good && other.is_good,
            ..self
        }
    }
}

/// Runs every test.
///
/// # Errors
/// When a runner could not be started.
pub(crate) fn run(extent: Extent) -> Result<ExitCode> {
    let mut brought = bring();
    // Before cargo, which embeds the dashboard.
    let packages = packages::prepare(&mut brought);
    for missing in &brought.missing {
        eprintln!("MISSING: {missing}");
    }
    let ready = |mut command: Command| {
        command.envs(brought.env.iter().map(|(key, value)| (key, value)));
        if extent == Extent::Full {
            command.env("TICKCAST_FULL", "1");
        }
        command
    };
    let outcome = run_tests(ready)?.and(packages.test(ready)?);
    let tally = outcome.tally.and(fuzz::test(extent == Extent::Full || command::is_ci())?);
    let is_lacking = tally.skipped > 0 || !brought.missing.is_empty();
    let is_good = outcome.is_good && tally.failed == 0 && !(command::is_ci() && is_lacking);
    for line in &outcome.noted {
        println!("{line}");
    }
    for missing in &brought.missing {
        println!("MISSING: {missing}");
    }
    if is_lacking && command::is_ci() {
        println!("error: with CI=true nothing may be missing or skipped");
    }
    println!("{tally}");
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Tests of code, then tests in documentation, which only cargo itself runs.
fn run_tests(ready: impl Fn(Command) -> Command) -> Result<Outcome> {
    let has_nextest = command::find("cargo-nextest").is_some();
    let code = if has_nextest {
        observe(ready(nextest()), Report::Stderr, Nextest::default())?
    } else {
        let targets = ["--lib", "--bins", "--tests", "--examples"];
        observe(ready(libtest(&targets)), Report::Stdout, Libtest::default())?
    };
    let doc = observe(ready(libtest(&["--doc"])), Report::Stdout, Libtest::default())?;
    Ok(code.and(doc))
}

fn nextest() -> Command {
    let mut command = command::cargo();
    command.args(["nextest", "run", "--locked", "--workspace", "--no-fail-fast"]);
    command.args(["--success-output", "immediate", "--failure-output", "immediate"]);
    command.args(["--status-level", "pass", "--final-status-level", "none"]);
    command.args(["--show-progress", "none", "--color", "never"]);
    command
}

fn libtest(targets: &[&str]) -> Command {
    let mut command = command::cargo();
    command.args(["test", "--locked", "--workspace", "--no-fail-fast"]).args(targets);
    command.args(["--", "--show-output", "--color", "never"]);
    command
}

/// Runs it, shows the lines that are worth it, and counts.
fn observe(command: Command, report: Report, reader: impl Reader) -> Result<Outcome> {
    follow(command, report, reader, |line| println!("{line}"))
}

/// Runs it, gives the lines that are worth it to `show`, and counts.
///
/// # Errors
/// When it could not be started.
pub(crate) fn follow(
    mut command: Command,
    report: Report,
    mut reader: impl Reader,
    mut show: impl FnMut(&str),
) -> Result<Outcome> {
    let name = command.get_program().display().to_string();
    match report {
        Report::Stdout => command.stdout(Stdio::piped()),
        Report::Stderr => command.stderr(Stdio::piped()),
    };
    let mut child = command.spawn().with_context(|| format!("cannot start {name}"))?;
    let pipe: Option<Box<dyn Read>> = match report {
        Report::Stdout => child.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn Read>),
        Report::Stderr => child.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn Read>),
    };
    let lines = BufReader::new(pipe.expect("the stream was just made a pipe")).split(b'\n');
    let mut notes = Notes::default();
    for line in lines {
        let line = line.with_context(|| format!("cannot read what {name} prints"))?;
        let line = String::from_utf8_lossy(&line);
        if reader.line(&line) {
            show(&line);
            notes.take(&line);
        }
    }
    let status = child.wait().with_context(|| format!("cannot wait for {name}"))?;
    Ok(Outcome { tally: reader.tally(), is_good: status.success(), noted: notes.lines })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(failed: u32, noted: &str) -> Outcome {
        let tally = Tally { passed: 2 - failed, failed, skipped: 0 };
        Outcome { tally, is_good: failed == 0, noted: vec![noted.to_owned()] }
    }

    #[test]
    fn the_second_run_counts_and_the_first_is_told() {
        for (failed, expected, lines) in [
            (vec![0], 0, vec!["run 0"]),
            (vec![1, 0], 0, vec!["TRY 1 run 0", "run 1"]),
            (vec![1, 2], 2, vec!["TRY 1 run 0", "run 1"]),
        ] {
            let mut runs = failed.iter().enumerate();
            let of_two = Outcome::of_two(|| {
                let (number, failed) = runs.next().expect("two at most");
                Ok(outcome(*failed, &format!("run {number}")))
            });
            let of_two = of_two.expect("it could be started");
            assert_eq!((of_two.tally.failed, of_two.is_good), (expected, expected == 0));
            assert_eq!(of_two.noted, lines);
            assert!(runs.next().is_none(), "each was run");
        }
    }
}
