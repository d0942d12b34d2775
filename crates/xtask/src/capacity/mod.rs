//! `cargo xtask capacity`: how many hosts of which kind a market and its clients need.
//!
//! The model is docs/capacity.md's; its coefficients are measured (`cargo xtask bench --bus`).

mod costs;
#[cfg(test)]
mod docs;
mod estimate;
mod text;
mod wish;

use anyhow::Result;
use std::process::ExitCode;

/// Prints the estimate for these flags.
///
/// # Errors
/// A flag that is not known, missing or out of its range.
pub(crate) fn run(args: &[String]) -> Result<ExitCode> {
    if args.iter().any(|arg| arg == "--help" || arg == "-h") {
        println!("{}", wish::USAGE);
        return Ok(ExitCode::SUCCESS);
    }
    match wish::Wish::read(args) {
        Ok(wish) => {
            let estimate = estimate::estimate(&wish);
            print!("{}", text::text(&wish, &estimate));
            Ok(if estimate.is_possible() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            Ok(ExitCode::from(2))
        }
    }
}
