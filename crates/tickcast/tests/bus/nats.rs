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
}

impl Nats {
    /// Starts one with an empty store; `None` where there is no nats-server, which is said.
    pub(crate) fn start(name: &str) -> Option<Nats> {
        let beside = root().join(".tools/venv/bin/nats-server");
        let program = tool("TICKCAST_NATS_SERVER", beside.to_str().expect("a path of text"))?;
        let port =
            TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port();
        let store =
            std::env::temp_dir().join(format!("tickcast-nats-{name}-{}", std::process::id()));
        let _nothing_there = std::fs::remove_dir_all(&store);
        let child = Nats::spawn(&program, port, &store);
        Some(Nats { program, child, port, store })
    }

    fn spawn(program: &PathBuf, port: u16, store: &PathBuf) -> Child {
        let child = Command::new(program)
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
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Starts it again on what it has stored.
    pub(crate) fn start_again(&mut self) {
        self.child = Nats::spawn(&self.program, self.port, &self.store);
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
