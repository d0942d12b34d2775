//! A client of one instrument that holds its gateway to the client's rule.

use crate::service::{LOOK, PATIENCE, Service, Socket};
use serde_json::Value;
use std::time::Instant;

pub(crate) const SYMBOL: &str = "sim:S0-USD";

/// What a subscriber of one instrument has got.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) epoch: u64,
    pub(crate) seq: u64,
    pub(crate) states: Vec<String>,
    /// Messages of data since the state was last `stale`.
    pub(crate) fresh: usize,
    pub(crate) snapshots: usize,
}

impl Seen {
    /// Takes a message by the client's rule; what breaks it is a fault of the service.
    pub(crate) fn take(&mut self, text: &str) {
        let message: Value = serde_json::from_str(text).expect("JSON");
        for item in message["data"].as_array().into_iter().flatten() {
            match message["channel"].as_str() {
                Some("status") => {
                    let state = item["state"].as_str().expect("a state").to_owned();
                    self.fresh = 0;
                    self.states.push(state);
                }
                Some("ticker") => self.ticker(&message, item),
                _ => {}
            }
        }
    }

    fn ticker(&mut self, message: &Value, item: &Value) {
        let number = |field: &str| item[field].as_u64().expect("a number");
        let (epoch, seq) = (number("epoch"), number("seq"));
        if message["type"] == "snapshot" {
            assert!(epoch >= self.epoch, "an epoch that has ended came back: {item}");
            self.snapshots += 1;
        } else {
            assert_eq!(epoch, self.epoch, "an update of another epoch without its snapshot");
            assert!(number("prev") <= self.seq, "a gap: {item} after {}", self.seq);
        }
        if epoch > self.epoch || seq > self.seq || message["type"] == "snapshot" {
            (self.epoch, self.seq) = (epoch, seq);
            self.fresh += 1;
        }
    }

    /// How often it was stale.
    pub(crate) fn stale(&self) -> usize {
        self.states.iter().filter(|state| *state == "stale").count()
    }

    pub(crate) fn is_live(&self) -> bool {
        self.states.last().is_some_and(|state| state == "live")
    }
}

pub(crate) fn subscribe(gateway: &Service) -> Socket {
    let mut socket = gateway.websocket();
    socket.send(&format!(
        r#"{{"method":"subscribe","params":{{"channel":"ticker","symbol":["{SYMBOL}"]}}}}"#
    ));
    socket
}

pub(crate) fn until(
    socket: &mut Socket,
    seen: &mut Seen,
    what: &str,
    will_do: impl Fn(&Seen) -> bool,
) {
    socket.until(what, |text| {
        seen.take(text);
        will_do(seen)
    });
}

pub(crate) const LIVE: fn(&Seen) -> bool = |seen| seen.is_live() && seen.fresh > 2;

/// The gateway was live all the time; but where the machine stands still for longer than a publisher
/// may be silent, or its lease lasts, the gateway says so, and that is no fault.
pub(crate) fn assert_undisturbed(gateway: &Service, seen: &Seen) {
    let log = gateway.log();
    let told = |words: &str| log.iter().filter(|line| line.contains(words)).count();
    // The first publisher that it follows is none after another one.
    let others = told("bus: following a publisher").saturating_sub(1);
    let pauses = told("bus: the publisher is not heard any more") + others;
    assert!(seen.stale() <= pauses, "{:?} {log:#?}", seen.states);
}

/// The canary has seen prices, and nothing that breaks the client's rule.
pub(crate) fn assert_unviolated(gateway: &Service) {
    // It is a client of its own: it may see the first ones later than the test does.
    let deadline = Instant::now() + PATIENCE;
    while gateway.metric("tickcast_canary_age_seconds_count", "") == 0.0 {
        assert!(Instant::now() < deadline, "its canary sees nothing: {:?}", gateway.log());
        std::thread::sleep(LOOK);
    }
    assert_eq!(gateway.metric("tickcast_canary_violations_total", ""), 0.0, "{:?}", gateway.log());
}
