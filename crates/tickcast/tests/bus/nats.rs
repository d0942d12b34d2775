//! A real nats-server, with JetStream, started by the test and ended with it.

// Each test binary uses its own part of this.
#![allow(dead_code)]

use crate::scripts::{root, tool};
use crate::service::PATIENCE;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

/// One server.
pub(crate) struct Nats {
    program: PathBuf,
    child: Child,
    port: u16,
    store: PathBuf,
    guard: Option<&'static str>,
}

/// Who may come in, and with what.
const USER: &str = "desk";

impl Nats {
    /// Starts one with an empty store; `None` where there is no nats-server, which is said.
    pub(crate) fn start(name: &str) -> Option<Nats> {
        Nats::start_guarded(name, None)
    }

    /// The same with a password for the one user that may come in.
    pub(crate) fn start_guarded(name: &str, guard: Option<&'static str>) -> Option<Nats> {
        let beside = root().join(".tools/venv/bin/nats-server");
        let program = tool("TICKCAST_NATS_SERVER", beside.to_str().expect("a path of text"))?;
        let port =
            TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port();
        let store =
            std::env::temp_dir().join(format!("tickcast-nats-{name}-{}", std::process::id()));
        let _nothing_there = std::fs::remove_dir_all(&store);
        let child = Nats::spawn(&program, port, &store, guard);
        Some(Nats { program, child, port, store, guard })
    }

    fn spawn(program: &PathBuf, port: u16, store: &PathBuf, guard: Option<&str>) -> Child {
        let guard = guard.into_iter().flat_map(|password| ["--user", USER, "--pass", password]);
        let child = Command::new(program)
            .args(guard)
            .args(["--addr", "127.0.0.1", "--port", &port.to_string(), "--jetstream"])
            .arg("--store_dir")
            .arg(store)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nats-server starts");
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "nats-server does not listen");
            std::thread::yield_now();
        }
        child
    }

    pub(crate) fn url(&self) -> String {
        let guard = self.guard.map_or(String::new(), |password| format!("{USER}:{password}@"));
        format!("nats://{guard}127.0.0.1:{}", self.port)
    }

    /// Starts it again on what it has stored.
    pub(crate) fn start_again(&mut self) {
        self.child = Nats::spawn(&self.program, self.port, &self.store, self.guard);
    }

    /// Removes what it has stored.
    pub(crate) fn lose_store(&self) {
        std::fs::remove_dir_all(&self.store).expect("it has stored something");
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        let _already_ended = self.child.kill();
        let _nothing_to_wait_for = self.child.wait();
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.kill();
        let _left_behind = std::fs::remove_dir_all(&self.store);
    }
}
