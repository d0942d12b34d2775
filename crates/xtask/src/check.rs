//! `cargo xtask check`: everything that can be said of the sources without running them.
//!
//! The quick checks come first; every check runs, so that one run names all that is wrong.

use crate::{command, direction, rules};
use anyhow::Result;
use std::process::{Command, ExitCode};

/// What is wrong with one file or crate.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The file, with its line where there is one, or the crate.
    pub(crate) place: String,
    /// The rule that it breaks.
    pub(crate) rule: String,
}

/// Runs every check.
///
/// # Errors
/// When a check could not be carried out.
pub(crate) fn run() -> Result<ExitCode> {
    let mut failed = Vec::new();
    faults("house rules", &rules::check(&command::root())?, &mut failed);
    faults("dependency direction", &direction::check()?, &mut failed);

    let mut fmt = command::cargo();
    fmt.args(["fmt", "--all", "--", "--check"]);
    step("format", &mut fmt, &mut failed)?;

    let mut clippy = command::cargo();
    clippy.args(["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"]);
    step("clippy", &mut clippy, &mut failed)?;

    let mut doc = command::cargo();
    doc.args(["doc", "--locked", "--no-deps", "--workspace"]).env("RUSTDOCFLAGS", "-D warnings");
    step("documentation", &mut doc, &mut failed)?;

    if failed.is_empty() {
        println!("check: all good");
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("check: failed: {}", failed.join(", "));
    Ok(ExitCode::FAILURE)
}

fn faults(name: &'static str, found: &[Fault], failed: &mut Vec<&'static str>) {
    println!("check: {name}");
    for fault in found {
        eprintln!("{}: {}", fault.place, fault.rule);
    }
    if !found.is_empty() {
        failed.push(name);
    }
}

fn step(name: &'static str, command: &mut Command, failed: &mut Vec<&'static str>) -> Result<()> {
    println!("check: {name}");
    if !command::succeeds(command)? {
        failed.push(name);
    }
    Ok(())
}
