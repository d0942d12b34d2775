//! The programs that judge the files of `deploy`, and what they say.

use crate::scripts::{root, tool};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A program of the virtual environment that `tests/deploy/requirements.txt` fills.
pub(crate) fn packaged(name: &str) -> Option<PathBuf> {
    let python = tool("TICKCAST_PYTHON_DEPLOY", ".tools/venv-deploy/bin/python")?;
    let program = python.with_file_name(name);
    assert!(program.is_file(), "{} is there with its environment", program.display());
    Some(program)
}

/// systemd's own reader of units.
pub(crate) fn systemd_analyze() -> Option<PathBuf> {
    tool("TICKCAST_SYSTEMD_ANALYZE", "/usr/bin/systemd-analyze")
}

/// The bus, which is brought for the tests of the bus too.
pub(crate) fn nats_server() -> Option<PathBuf> {
    tool("TICKCAST_NATS_SERVER", ".tools/venv/bin/nats-server")
}

/// Runs it in the root of the repository.
pub(crate) fn run(program: &Path, args: &[&str], input: &str) -> Output {
    let mut child = Command::new(program)
        .args(args)
        .current_dir(root())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_owned();
    // A program that refuses early does not read all of it.
    let writer = std::thread::spawn(move || {
        let _refused_early = stdin.write_all(input.as_bytes());
    });
    let output = child.wait_with_output().expect("it is our child");
    writer.join().expect("it does not panic");
    output
}

/// What it prints, where it is content.
pub(crate) fn content(program: &Path, args: &[&str], input: &str) -> String {
    let output = run(program, args, input);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{} {args:?}: {out}{err}", program.display());
    out
}
