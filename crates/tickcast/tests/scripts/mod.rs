//! The scripts of `tests/clients`: clients that we did not write, and a browser. Started beside the
//! service under test, read line by line, and held to their exit code.
//!
//! `cargo xtask test` brings what they need and says where it is; otherwise it is looked for in
//! `.tools` and where it usually lies.

// Each test binary uses its own part of this.
#![allow(dead_code, unused_imports)]

mod tools;

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};
use tools::found;

pub(crate) use tools::{root, skip, tool};

/// Longer than any script's own deadline.
const SCRIPT_MAX: Duration = Duration::from_secs(180);

/// A script and what it is told.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    program: PathBuf,
    name: &'static str,
    args: Vec<OsString>,
    variables: Vec<(&'static str, PathBuf)>,
}

impl Script {
    /// `program tests/clients/NAME`.
    pub(crate) fn new(program: &Path, name: &'static str) -> Script {
        Script { program: program.into(), name, args: Vec::new(), variables: Vec::new() }
    }

    /// One more argument.
    pub(crate) fn arg(mut self, arg: impl Into<OsString>) -> Script {
        self.args.push(arg.into());
        self
    }

    /// One more variable of its environment.
    pub(crate) fn env(mut self, name: &'static str, value: impl Into<PathBuf>) -> Script {
        self.variables.push((name, value.into()));
        self
    }

    /// Runs it to its end, which must be a good one. Each line in capitals is a wish: `on_wish` fulfils
    /// it, and what it answers goes to the script. The others are shown.
    pub(crate) fn run(&self, mut on_wish: impl FnMut(&str) -> Option<&'static str>) {
        let mut child = Command::new(&self.program)
            .arg(root().join("tests/clients").join(self.name))
            .args(&self.args)
            .env("TICKCAST_NODE_PATH", modules())
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", self.program.display()));
        let said = lines(child.stdout.take().expect("stdout is a pipe"));
        let complaints = lines(child.stderr.take().expect("stderr is a pipe"));
        let mut stdin = child.stdin.take().expect("stdin is a pipe");
        let end = Instant::now() + SCRIPT_MAX;
        loop {
            match said.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) if is_wish(&line) => {
                    if let Some(answer) = on_wish(&line) {
                        writeln!(stdin, "{answer}").expect("it reads");
                    }
                }
                Ok(line) => println!("{}: {line}", self.name),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    let _already_ended = child.kill();
                    panic!("{} has not ended in {SCRIPT_MAX:?}", self.name);
                }
            }
        }
        let status = child.wait().expect("it is our child");
        let complaints: Vec<String> = complaints.iter().collect();
        assert!(status.success(), "{}: {status}\n{}", self.name, complaints.join("\n"));
    }
}

/// Such as `READY`, `STOP` or `KILL`.
fn is_wish(line: &str) -> bool {
    !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
}

/// The lines of a pipe, read by a thread so that the writer never waits for us.
pub(crate) fn lines(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            // Also when nobody listens any more: the writer must not wait.
            let _nobody_listens = sender.send(line);
        }
    });
    receiver
}

/// Where the npm packages of `tests/clients` are.
pub(crate) fn modules() -> PathBuf {
    let usual = || root().join(".tools/npm/node_modules");
    std::env::var_os("TICKCAST_NODE_PATH").map_or_else(usual, PathBuf::from)
}

/// Node with the npm packages of `tests/clients`.
pub(crate) fn node() -> Option<PathBuf> {
    let node = tool("TICKCAST_NODE", "/usr/bin/node")?;
    found(modules().join("ws/package.json"))?;
    Some(node)
}

/// Node with what drives Chromium, where there is a Chromium.
pub(crate) fn browser() -> Option<PathBuf> {
    tool("TICKCAST_CHROMIUM", "/usr/bin/chromium")?;
    node()
}

/// A Python that has the packages of `tests/clients`.
pub(crate) fn python() -> Option<PathBuf> {
    tool("TICKCAST_PYTHON", ".tools/venv/bin/python")
}

/// A Python that has what the SDK and its tests need.
pub(crate) fn python_sdk() -> Option<PathBuf> {
    tool("TICKCAST_PYTHON_SDK", ".tools/venv-sdk/bin/python")
}

/// The JavaScript SDK, built.
pub(crate) fn javascript_sdk() -> Option<PathBuf> {
    found(root().join("clients/js/dist/index.js"))
}

/// An example of a crate of ours, which cargo puts beside the binary.
pub(crate) fn example(name: &str) -> Option<PathBuf> {
    let name = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    found(Path::new(env!("CARGO_BIN_EXE_tickcast")).with_file_name("examples").join(name))
}

/// A program of another crate of ours, which cargo puts beside the binary.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let name = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    found(Path::new(env!("CARGO_BIN_EXE_tickcast")).with_file_name(name))
}
