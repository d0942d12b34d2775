//! Publishers and gateways, each a process of its own.

// Each test binary uses its own part of this.
#![allow(dead_code)]

use crate::nats::Nats;
use crate::scripts::lines;
use crate::service::{LOOK, PATIENCE, Service, get};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::Receiver;
use std::time::Instant;

/// A running `tickcast publish`.
pub(crate) struct Publisher {
    child: Child,
    pub(crate) admin: SocketAddr,
    log: Mutex<Receiver<String>>,
}

impl Publisher {
    pub(crate) fn start(nats: &Nats, args: &[&str]) -> Publisher {
        Publisher::start_on(&nats.url(), args)
    }

    /// On the bus of this address.
    pub(crate) fn start_on(url: &str, args: &[&str]) -> Publisher {
        Publisher::spawn(url, "127.0.0.1:0", args)
    }

    /// With its admin page at this address.
    pub(crate) fn start_at(nats: &Nats, admin: &str, args: &[&str]) -> Publisher {
        Publisher::spawn(&nats.url(), admin, args)
    }

    fn spawn(url: &str, admin: &str, args: &[&str]) -> Publisher {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tickcast"))
            .args(["publish", "--bus", url, "--admin", admin])
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let log = Mutex::new(lines(child.stderr.take().expect("a pipe")));
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        stdout.read_line(&mut line).expect("standard output can be read");
        let address = line.trim().rsplit("http://").next().and_then(|text| text.parse().ok());
        let admin =
            address.unwrap_or_else(|| panic!("it says where its admin page is, not {line:?}"));
        Publisher { child, admin, log }
    }

    pub(crate) fn metric(&self, name: &str) -> f64 {
        let (_, text) = get(self.admin, "/metrics");
        let line = text.lines().find(|line| line.split(' ').next() == Some(name));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(f64::NAN)
    }

    pub(crate) fn is_leader(&self) -> bool {
        self.metric("tickcast_bus_leader") == 1.0
    }

    /// Waits until it is the one that counts.
    pub(crate) fn until_leader(&self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.is_leader() {
            assert!(Instant::now() < deadline, "it does not get the lease");
            std::thread::sleep(LOOK);
        }
    }

    /// Waits until it counts and the other one does not. Where the machine stood still for as long as
    /// a lease lasts the other one may have got it, and stands still now in its turn.
    pub(crate) fn until_leader_before(&self, other: &Publisher) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match (self.is_leader(), other.is_leader()) {
                (true, false) => return,
                (false, true) => {
                    other.signal("-STOP");
                    self.until_leader();
                    other.signal("-CONT");
                }
                both => assert!(Instant::now() < deadline, "one at a time: {both:?}"),
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Waits for a figure that will do.
    pub(crate) fn until_metric(&self, name: &str, will_do: impl Fn(f64) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !will_do(self.metric(name)) {
            assert!(Instant::now() < deadline, "{name} is {}", self.metric(name));
            std::thread::sleep(LOOK);
        }
    }

    /// Waits until it logs a line with these words.
    pub(crate) fn until_logged(&self, words: &str) {
        let log = self.log.lock().expect("nobody panics with it");
        let mut all = Vec::new();
        while !all.last().is_some_and(|line: &String| line.contains(words)) {
            let line = log.recv_timeout(PATIENCE);
            all.push(line.unwrap_or_else(|_| panic!("{words:?} is not in the log: {all:?}")));
        }
    }

    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().expect("kill runs").success());
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        let _already_ended = self.child.kill();
        let _nothing_to_wait_for = self.child.wait();
        if std::thread::panicking() {
            let log = self.log.get_mut().map(|log| log.try_iter().collect::<Vec<_>>());
            println!("publisher {} had logged: {:#?}", self.admin, log.unwrap_or_default());
        }
    }
}

/// A running `tickcast gateway`.
pub(crate) fn gateway(nats: &Nats) -> Service {
    gateway_on(&nats.url(), &[])
}

/// On the bus of this address.
pub(crate) fn gateway_on(url: &str, args: &[&str]) -> Service {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tickcast"));
    let addresses = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    command.args(["gateway", "--bus", url]).args(addresses).args(args).stdin(Stdio::null());
    Service::spawn(command).listening()
}
