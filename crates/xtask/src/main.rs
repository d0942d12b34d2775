//! `cargo xtask …`: what whoever changes tickcast runs, with one command each.
//!
//! `run` starts the service, `check` judges the sources without running them, `test` brings what
//! the tests need and runs all of them, `fuzz` only the fuzz targets, `bench` compares the service with
//! others, `capacity` tells what hosts are needed. Nothing here is needed to use tickcast, and nothing here
//! depends on its crates: it must build in seconds on a machine that has nothing yet.

mod bench;
mod bring;
mod bring_autobahn;
mod capacity;
mod check;
mod command;
mod direction;
mod fuzz;
mod fuzz_report;
mod javascript;
mod notes;
mod packages;
mod rules;
mod suite;
mod tally;
mod tally_packages;

use anyhow::Result;
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask <command>

  run [-- ARGS]    build the dashboard (with Node) and tickcast, for speed, and run
                   `tickcast serve ARGS`
  check            format, clippy, documentation, dependency direction, house rules
  test [--full]    bring what the tests need, then run every test;
                   --full also asks for the long ones (TICKCAST_FULL=1)
  fuzz [--seconds N] [TARGET…]
                   build the fuzz targets and run each for 60 (or N) seconds
  bench [ARGS]     build the service, the load tester and what it is compared with
                   for speed, compare them and write benches/RESULTS.md;
                   `bench --help` lists ARGS
  capacity [FLAGS] how many hosts of which kind a market and its clients need;
                   `capacity --help` lists FLAGS

With CI=true nothing may be skipped: what cannot be brought is a failure.";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(args: &[String]) -> Result<ExitCode> {
    let rest = args.get(1..).unwrap_or_default();
    match (args.first().map(String::as_str), rest) {
        (Some("run"), _) => command::serve(rest),
        (Some("check"), []) => check::run(),
        (Some("test"), []) => suite::run(suite::Extent::Usual),
        (Some("test"), [flag]) if flag == "--full" => suite::run(suite::Extent::Full),
        (Some("fuzz"), _) => fuzz::run(rest),
        (Some("bench"), _) => bench::run(rest),
        (Some("capacity"), _) => capacity::run(rest),
        (Some("help" | "--help" | "-h"), _) => {
            println!("{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
        _ => {
            eprintln!("{USAGE}");
            Ok(ExitCode::from(2))
        }
    }
}
