//! Standard output: what whoever has started this process reads. Where it cannot be written (a full
//! disk) a service goes on, and a tool fails.

use anyhow::{Context, Result};
use std::io::Write;

/// Tells where a service listens; a failure is logged.
pub(crate) fn tell(line: &str) {
    if let Err(error) = print(line) {
        tracing::warn!(line, "standard output: {error}");
    }
}

/// Gives a tool's answer. *Errors:* it cannot be written.
pub(crate) fn answer(line: &str) -> Result<()> {
    print(line).context("standard output")
}

/// A line at once, not when there are more.
pub(crate) fn print(line: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}")?;
    stdout.flush()
}
