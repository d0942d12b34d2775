//! House rules that a compiler does not know, checked file by file.
//!
//! What is not text, or lies in a folder that a tool fills, is not looked at.

use crate::check::Fault;
use anyhow::{Context, Result};
use std::path::Path;

/// Folders that hold nothing written by us.
const IGNORED: &[&str] = &[
    ".git",
    ".tools",
    ".hypothesis",
    ".mypy_cache",
    ".pytest_cache",
    ".test",
    "target",
    "node_modules",
    "dist",
    "__pycache__",
];

/// How deep folders may lie; a link in a circle ends here.
const DEPTH_MAX: usize = 16;

/// Beginnings of paths that exist on one machine only. Written in parts, so as not to find
/// themselves.
const MACHINE_PATHS: &[&str] =
    &[concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/tm", "p/w")];

/// Checks every file below `root`.
///
/// # Errors
/// When a folder or file cannot be read.
pub(crate) fn check(root: &Path) -> Result<Vec<Fault>> {
    let mut faults = Vec::new();
    walk(root, root, DEPTH_MAX, &mut faults)?;
    faults.sort_by(|a, b| a.place.cmp(&b.place));
    Ok(faults)
}

fn walk(root: &Path, folder: &Path, depth: usize, faults: &mut Vec<Fault>) -> Result<()> {
    anyhow::ensure!(depth > 0, "{} lies too deep", folder.display());
    let entries = folder.read_dir().with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        let (kind, path) = (entry.file_type()?, entry.path());
        if IGNORED.iter().any(|ignored| entry.file_name() == *ignored) {
            continue;
        }
        if kind.is_dir() {
            walk(root, &path, depth - 1, faults)?;
        } else if kind.is_file() {
            let bytes =
                std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let Ok(text) = String::from_utf8(bytes) else { continue };
            let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy();
            judge(&name, &text, faults);
        }
    }
    Ok(())
}

/// Judges one file, named relative to the root.
fn judge(name: &str, text: &str, faults: &mut Vec<Fault>) {
    let mut say = |line: Option<usize>, rule: String| {
        let place = line.map_or(name.to_string(), |line| format!("{name}:{line}"));
        faults.push(Fault { place, rule });
    };
    if let Some(rule) = missing_header(name, text) {
        say(None, rule.into());
    }
    let is_lib = name.ends_with("/src/lib.rs");
    if is_lib && !text.lines().any(|line| line.trim() == "#![deny(missing_docs)]") {
        say(None, "a library begins with #![deny(missing_docs)]".into());
    }
    let is_rust = name.ends_with(".rs");
    let is_npm_lock = name.ends_with("package-lock.json");
    for (number, line) in text.lines().enumerate().map(|(at, line)| (at + 1, line)) {
        if is_rust && line.trim_start().starts_with("#[ignore") {
            say(Some(number), "no test is ignored: make it run or take it out".into());
        }
        // A folder beside it may be named.
        if is_npm_lock && line.trim_start().starts_with("\"resolved\"") && line.contains("://") {
            say(Some(number), "a lock file names no registry host".into());
        }
        for path in MACHINE_PATHS.iter().filter(|path| names_path(line, path)) {
            say(Some(number), format!("{path} exists on one machine only"));
        }
    }
}

/// The rule for a file's beginning that it breaks, if any.
fn missing_header(name: &str, text: &str) -> Option<&'static str> {
    let mut lines = text.lines();
    let mut first = lines.next().unwrap_or_default();
    if first.starts_with("#!/") {
        first = lines.next().unwrap_or_default();
    }
    let has = |starts: &[&str]| starts.iter().any(|start| first.starts_with(start));
    let extension = Path::new(name).extension().and_then(|extension| extension.to_str());
    match extension {
        Some("rs") if !has(&["//!"]) => Some("a Rust file begins with //! and what it owns"),
        Some("js" | "mjs" | "ts" | "mts" | "jsx" | "tsx") if !has(&["//", "/*"]) => {
            Some("a script begins with a comment that says what it owns")
        }
        Some("py" | "sh") if !has(&["#", "\"\"\""]) => {
            Some("a script begins with a comment that says what it owns")
        }
        _ => None,
    }
}

/// Whether `path` occurs as the beginning of a path, not inside a longer one.
fn names_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || "._-/~}*".contains(c))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(name: &str, text: &str) -> Vec<String> {
        let mut faults = Vec::new();
        judge(name, text, &mut faults);
        faults.into_iter().map(|fault| format!("{}: {}", fault.place, fault.rule)).collect()
    }

    #[test]
    fn files_that_keep_the_rules_are_not_named() {
        for (name, text) in [
            ("crates/x/src/lib.rs", "//! A map.\n\n#![deny(missing_docs)]\n"),
            ("crates/x/src/a.rs", "//! A.\n// see https://example.com/work/a\n"),
            ("tests/a.mjs", "#!/usr/bin/env node\n// A.\n"),
            ("tests/a.py", "\"\"\"A.\"\"\"\n"),
            ("tests/clients/package-lock.json", "{\n  \"lockfileVersion\": 3\n}\n"),
            ("dashboard/package-lock.json", "  \"resolved\": \"../clients/js\",\n"),
            ("README.md", "the framework/ and .tools/work/ folders\n"),
        ] {
            assert_eq!(broken(name, text), Vec::<String>::new(), "{name}");
        }
    }

    #[test]
    fn each_broken_rule_is_named_with_its_file() {
        let check = |name: &str, text: &str, expect: &str| {
            assert_eq!(broken(name, text), [expect], "{name}");
        };
        check("a.rs", "use std::fmt;\n", "a.rs: a Rust file begins with //! and what it owns");
        check("a.js", "let a;\n", "a.js: a script begins with a comment that says what it owns");
        check("a.py", "import os\n", "a.py: a script begins with a comment that says what it owns");
        check(
            "x/src/lib.rs",
            "//! A.\n",
            "x/src/lib.rs: a library begins with #![deny(missing_docs)]",
        );
        let ignored = format!("//! A.\n    {}ignore]\nfn a() {{}}\n", "#[");
        check("a.rs", &ignored, "a.rs:2: no test is ignored: make it run or take it out");
        let path = MACHINE_PATHS[0];
        check(
            "a.md",
            &format!("see ({path}a)\n"),
            &format!("a.md:1: {path} exists on one machine only"),
        );
        check(
            "package-lock.json",
            "  \"resolved\": \"https://example.com/a.tgz\",\n",
            "package-lock.json:1: a lock file names no registry host",
        );
    }
}
