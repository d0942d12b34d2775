//! A lane: one driver in one encoding on a line of its own, and what has been seen of it.

use crate::driver::{Driver, Surroundings};
use crate::judge::{Course, differences};
use crate::proxy::Proxy;
use crate::tokens::TokenDesk;
use serde_json::Value;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

/// Faults that are kept of one lane; more say nothing new.
const FAULTS_MAX: usize = 20;

/// Which driver is to be started how.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Such as `js-protobuf`.
    pub(crate) name: String,
    pub(crate) encoding: &'static str,
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<String>,
    /// It does something wrong that has to be found.
    pub(crate) is_wrong: bool,
}

#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) entry: Entry,
    pub(crate) proxy: Proxy,
    driver: Driver,
    course: Course,
    /// What it held when it was last asked.
    pub(crate) state: Value,
    /// What has been wrong with it.
    pub(crate) faults: Vec<String>,
    /// Connections that there had been, and tokens given, when the step began.
    accepted_before: u64,
    tokens_before: u64,
    messages_before: u64,
    checksum_failures_before: u64,
}

impl Lane {
    /// Starts its driver.
    pub(crate) fn start(
        entry: &Entry,
        service: SocketAddr,
        tokens: &TokenDesk,
        subscriptions: &str,
    ) -> Lane {
        let proxy = Proxy::start(service);
        let around = Surroundings {
            line: proxy.address,
            tokens: tokens.address,
            lane: &entry.name,
            encoding: entry.encoding,
            subscriptions,
        };
        let driver = Driver::start(&entry.program, &entry.args, &around);
        Lane {
            entry: entry.clone(),
            proxy,
            driver,
            course: Course::default(),
            state: Value::Null,
            faults: Vec::new(),
            accepted_before: 0,
            tokens_before: 0,
            messages_before: 0,
            checksum_failures_before: 0,
        }
    }

    /// Waits until its subscriptions are placed.
    pub(crate) fn until_ready(&mut self) {
        self.driver.until_ready();
    }

    /// Remembers where a step begins.
    pub(crate) fn begin(&mut self, tokens: &TokenDesk) {
        self.accepted_before = self.proxy.accepted();
        self.tokens_before = tokens.given(&self.entry.name);
        self.messages_before = self.messages();
        self.checksum_failures_before = self.counted("checksum_failures");
    }

    /// Asks what it holds and judges it.
    pub(crate) fn look(&mut self) {
        match self.driver.state() {
            Ok(state) => {
                let faults = self.course.judge(&state);
                self.blame(faults);
                self.state = state;
            }
            Err(error) => panic!("{}: {error}", self.entry.name),
        }
    }

    pub(crate) fn blame(&mut self, faults: impl IntoIterator<Item = String>) {
        let room = FAULTS_MAX - self.faults.len();
        self.faults.extend(faults.into_iter().take(room));
    }

    pub(crate) fn is_live(&self) -> bool {
        self.state["connection"]["state"] == "live"
    }

    pub(crate) fn is_sse(&self) -> bool {
        self.entry.encoding == "sse"
    }

    /// Whether it has given up for good.
    pub(crate) fn is_closed(&self) -> bool {
        self.state["connection"]["state"] == "closed"
    }

    /// Whether it has left all connections that there were when the step began, and is back.
    pub(crate) fn is_back(&self) -> bool {
        self.is_live() && self.proxy.has_only_newer(self.accepted_before)
    }

    /// Whether nothing has ended since the step began; events have to come anew with each token.
    pub(crate) fn has_stayed(&self) -> bool {
        self.is_sse() || self.proxy.accepted() == self.accepted_before
    }

    /// Tokens that it was given since the step began.
    pub(crate) fn new_tokens(&self, tokens: &TokenDesk) -> u64 {
        tokens.given(&self.entry.name) - self.tokens_before
    }

    fn messages(&self) -> u64 {
        self.proxy.done.messages.load(Ordering::Relaxed)
    }

    /// Data messages that have passed since the step began.
    pub(crate) fn new_messages(&self) -> u64 {
        self.messages() - self.messages_before
    }

    /// Books that it found wrong since the step began.
    pub(crate) fn new_checksum_failures(&self) -> u64 {
        self.counted("checksum_failures").saturating_sub(self.checksum_failures_before)
    }

    /// One of its own counts.
    pub(crate) fn counted(&self, what: &str) -> u64 {
        self.state["connection"][what].as_u64().unwrap_or(0)
    }

    /// Where it differs from these snapshots.
    pub(crate) fn differences(&self, snapshots: &[Value]) -> Vec<String> {
        differences(&self.state, snapshots)
    }

    /// What it holds, for whoever has to find out.
    pub(crate) fn describe(&self) -> String {
        let (name, connection) = (&self.entry.name, &self.state["connection"]);
        format!("{name}: {connection} on a line with {}", self.proxy.describe())
    }

    /// What it and its line have counted.
    pub(crate) fn figures(&self) -> String {
        format!("{}: {}; its line {:?}", self.entry.name, self.state["connection"], self.proxy.done)
    }

    /// Ends the driver.
    pub(crate) fn stop(&mut self) {
        let ended = self.driver.stop();
        self.blame(ended.err());
    }
}
