//! `cargo xtask bench`: builds all that is compared, then starts the comparison.
//!
//! What is compared, and how, is the business of `benches/compare`.

use crate::command;
use anyhow::Result;
use std::process::ExitCode;

/// What is built: the service, the load tester, and the other contenders with the comparison.
const PACKAGES: [&str; 3] = ["tickcast", "loadtest", "tickcast-benches"];

/// Builds for speed, then runs the comparison with these arguments.
///
/// # Errors
/// When something could not be built or started.
pub(crate) fn run(args: &[String]) -> Result<ExitCode> {
    let mut build = command::cargo();
    build.args(["build", "--release", "--bins"]);
    build.args(PACKAGES.iter().flat_map(|package| ["--package", package]));
    anyhow::ensure!(command::succeeds(&mut build)?, "not everything that is compared was built");
    let mut compare = command::cargo();
    compare.args(["run", "--quiet", "--release", "--package", "tickcast-benches"]);
    compare.args(["--bin", "compare", "--"]).args(args);
    Ok(if command::succeeds(&mut compare)? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
