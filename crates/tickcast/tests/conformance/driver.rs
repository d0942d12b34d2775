//! A driver: a program around an SDK that keeps what it is sent and says on demand what it holds.
//! Its contract is in `clients/conformance/README.md`.

use crate::scripts::lines;
use crate::service::PATIENCE;
use serde_json::Value;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Instant;

/// What a driver exits with that cannot do an encoding.
pub(crate) const UNSUPPORTED: i32 = 3;

/// Where a driver finds what.
#[derive(Debug)]
pub(crate) struct Surroundings<'a> {
    pub(crate) line: SocketAddr,
    pub(crate) tokens: SocketAddr,
    pub(crate) lane: &'a str,
    pub(crate) encoding: &'a str,
    pub(crate) subscriptions: &'a str,
}

/// A running driver.
#[derive(Debug)]
pub(crate) struct Driver {
    child: Child,
    stdin: Option<ChildStdin>,
    said: Receiver<String>,
    complaints: Receiver<String>,
}

impl Driver {
    /// Starts it; it is not ready yet.
    pub(crate) fn start(program: &Path, args: &[String], around: &Surroundings<'_>) -> Driver {
        let mut child = Command::new(program)
            .args(args)
            .env("TICKCAST_URL", format!("ws://{}", around.line))
            .env("TICKCAST_ENCODING", around.encoding)
            .env("TICKCAST_TOKEN_URL", format!("http://{}/{}", around.tokens, around.lane))
            .env("TICKCAST_SUBSCRIPTIONS", around.subscriptions)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        let said = lines(child.stdout.take().expect("stdout is a pipe"));
        let complaints = lines(child.stderr.take().expect("stderr is a pipe"));
        let stdin = child.stdin.take();
        Driver { child, stdin, said, complaints }
    }

    /// Its next line; when it has ended instead, how.
    fn next(&mut self) -> Result<String, ExitStatus> {
        match self.said.recv_timeout(PATIENCE) {
            Ok(line) => Ok(line),
            Err(RecvTimeoutError::Disconnected) => Err(self.child.wait().expect("our child")),
            Err(RecvTimeoutError::Timeout) => panic!("it says nothing: {}", self.complaints()),
        }
    }

    /// Waits until it is ready; `false` where it cannot do the encoding.
    pub(crate) fn until_ready(&mut self) -> bool {
        loop {
            match self.next() {
                Ok(line) if line == "ready" => return true,
                // Such as the reason for what comes now.
                Ok(line) => println!("{line}"),
                Err(status) if status.code() == Some(UNSUPPORTED) => return false,
                Err(status) => panic!("it ends with {status}: {}", self.complaints()),
            }
        }
    }

    /// Asks what it holds.
    ///
    /// *Errors:* it has ended, or says something else.
    pub(crate) fn state(&mut self) -> Result<Value, String> {
        let stdin = self.stdin.as_mut().expect("it is taken at the end");
        // One that has ended says so below.
        let _ = stdin.write_all(b"state\n").and_then(|()| stdin.flush());
        match self.next() {
            Ok(line) => serde_json::from_str(&line).map_err(|error| format!("{error}: {line}")),
            Err(status) => Err(format!("it ends with {status}: {}", self.complaints())),
        }
    }

    /// Tells it to stop, and waits for its end.
    ///
    /// *Errors:* it does not end with 0.
    pub(crate) fn stop(&mut self) -> Result<(), String> {
        let mut stdin = self.stdin.take().expect("it is taken once");
        let _ = stdin.write_all(b"stop\n");
        drop(stdin);
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.next() {
                Ok(_) if Instant::now() < deadline => {}
                Ok(line) => return Err(format!("it goes on and on: {line}")),
                Err(status) if status.success() => return Ok(()),
                Err(status) => return Err(format!("{status}: {}", self.complaints())),
            }
        }
    }

    /// What it has written to stderr.
    pub(crate) fn complaints(&self) -> String {
        self.complaints.try_iter().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // A test that failed leaves it running.
        let _already_ended = self.child.kill();
        let _nothing_to_wait_for = self.child.wait();
    }
}
