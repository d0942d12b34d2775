//! Programs that tests need beside ours: where they are, and what is said where they are not.

// Each test binary uses its own part of this.
#![allow(dead_code)]

use std::path::{Path, PathBuf};

/// The checkout's folder.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = here.ancestors().find(|folder| folder.join("Cargo.lock").is_file());
    root.expect("a crate lies in its workspace").into()
}

/// A program that the environment names, or that lies where it usually does.
pub(crate) fn tool(variable: &str, usual: &str) -> Option<PathBuf> {
    found(std::env::var_os(variable).map_or_else(|| root().join(usual), PathBuf::from))
}

/// A file that is there.
pub(crate) fn found(path: PathBuf) -> Option<PathBuf> {
    if path.is_file() { Some(path) } else { skip(&path.display().to_string()) }
}

/// Says that the test is skipped; with `CI=true` none is.
pub(crate) fn skip<T>(missing: &str) -> Option<T> {
    let is_ci = std::env::var("CI").is_ok_and(|value| value == "true" || value == "1");
    assert!(!is_ci, "{missing} is missing, and with CI=true nothing is skipped");
    println!("SKIPPED: {missing} is missing; `cargo xtask test` brings it");
    None
}
