//! The load tester as a process, and the service's real binary beside it.
#![allow(dead_code)] // Each test binary uses what it needs.

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};

/// What a run has said.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) report: Value,
    pub(crate) errors: String,
}

impl Ran {
    /// A figure by its path, such as `/correctness/gaps`.
    #[track_caller]
    pub(crate) fn figure(&self, path: &str) -> f64 {
        let value = self.report.pointer(path).and_then(Value::as_f64);
        value.unwrap_or_else(|| panic!("{path} in {}", self.report))
    }

    /// Nothing is wrong, and the thresholds hold.
    #[track_caller]
    pub(crate) fn is_faultless(&self) {
        self.is_right();
        assert_eq!(self.figure("/correctness/not_compared"), 0.0, "{}", self.report["correctness"]);
    }

    /// Nothing was wrong; on a busy machine a stream may have met no moment to be compared in.
    pub(crate) fn is_right(&self) {
        for path in ["gaps", "duplicates", "violations", "mismatched"] {
            let path = format!("/correctness/{path}");
            assert_eq!(self.figure(&path), 0.0, "{path}: {}", self.report["correctness"]);
        }
        assert_eq!(self.code, Some(0), "{} {}", self.errors, self.report["thresholds"]);
    }
}

/// Runs the load tester and reads its report from standard output.
pub(crate) fn loadtest(args: &[&str]) -> Ran {
    Running::start(args).end()
}

/// A load tester at work.
pub(crate) struct Running {
    child: Child,
    told: BufReader<ChildStderr>,
}

impl Running {
    pub(crate) fn start(args: &[&str]) -> Running {
        let mut child = Command::new(env!("CARGO_BIN_EXE_loadtest"))
            .args(args)
            .args(["--json", "-"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let told = BufReader::new(child.stderr.take().expect("a pipe"));
        Running { child, told }
    }

    /// Waits until everybody has connected and has all first messages, and the seconds begin.
    pub(crate) fn until_measuring(&mut self) {
        let mut line = String::new();
        while line.trim_end() != "loadtest: measuring" {
            line.clear();
            let bytes = self.told.read_line(&mut line).expect("standard error can be read");
            assert!(bytes > 0, "it ends before it measures");
        }
    }

    /// Waits for its report.
    pub(crate) fn end(mut self) -> Ran {
        // It says little there, so that neither pipe fills up while the other is read.
        let output = self.child.wait_with_output().expect("it can be waited for");
        let mut errors = String::new();
        self.told.read_to_string(&mut errors).expect("standard error can be read");
        read(&output, errors)
    }
}

fn read(output: &Output, errors: String) -> Ran {
    let report = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    Ran { code: output.status.code(), report, errors }
}

/// A running `tickcast serve`.
pub(crate) struct Service {
    child: Child,
    pub(crate) public: SocketAddr,
    pub(crate) admin: SocketAddr,
}

impl Service {
    /// Starts it with these arguments on free ports and waits until it listens.
    pub(crate) fn start(args: &[&str]) -> Service {
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        Service::start_at(free, free, args)
    }

    /// The same on these addresses.
    pub(crate) fn start_at(public: SocketAddr, admin: SocketAddr, args: &[&str]) -> Service {
        let mut child = Command::new(tickcast())
            .args(["serve", "--listen", &public.to_string(), "--admin", &admin.to_string()])
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the service's binary starts");
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        stdout.read_line(&mut line).expect("standard output can be read");
        let mut addresses = line.split("://").skip(1).map(|rest| {
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            rest[..end].trim_end_matches('/').parse().expect("an address")
        });
        let (Some(public), Some(admin)) = (addresses.next(), addresses.next()) else {
            panic!("it says where it listens, not {line:?}")
        };
        Service { child, public, admin }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}", self.public)
    }

    /// The sum of a metric's samples.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        self.scrape()
            .lines()
            .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// What it answers to a scrape, head and all.
    pub(crate) fn scrape(&self) -> String {
        let mut socket = TcpStream::connect(self.admin).expect("it listens");
        let request = b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        socket.write_all(request).expect("it reads");
        let mut text = String::new();
        socket.read_to_string(&mut text).expect("it answers");
        text
    }

    /// Ends it at once (SIGKILL).
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it can be waited for");
    }

    /// Waits for its end and returns the exit code.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        self.child.wait().expect("it can be waited for").code()
    }

    pub(crate) fn pid(&self) -> String {
        self.child.id().to_string()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Descriptors of a process that are not clients.
const DESCRIPTORS_OTHER: u64 = 200;

/// Whether processes here may have so many clients; where not, the test says so.
pub(crate) fn has_room_for(clients: u64) -> bool {
    let limit = hard_limit();
    if limit >= clients + DESCRIPTORS_OTHER {
        return true;
    }
    println!("SKIPPED: {limit} descriptors a process are too few for {clients} clients");
    assert!(std::env::var_os("CI").is_none(), "raise `ulimit -Hn`");
    false
}

/// The hard limit of descriptors.
fn hard_limit() -> u64 {
    let limits = std::fs::read_to_string("/proc/self/limits").expect("Linux");
    let line = limits.lines().find(|line| line.starts_with("Max open files")).expect("a limit");
    line.split_whitespace().nth(4).and_then(|hard| hard.parse().ok()).unwrap_or(u64::MAX)
}

/// The service's binary stands beside ours; where only this package was built it is built now.
fn tickcast() -> PathBuf {
    let beside = Path::new(env!("CARGO_BIN_EXE_loadtest")).with_file_name("tickcast");
    if !beside.is_file() {
        println!("{} is absent: building it", beside.display());
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo)
            .args(["build", "--package", "tickcast"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .expect("cargo runs");
        assert!(built.success() && beside.is_file(), "`cargo build -p tickcast` is needed first");
    }
    beside
}
