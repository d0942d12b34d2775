//! Restarts of the service under thousands of clients, each of which follows the rule and is
//! compared with the new process at the end.
//!
//! Every test prints its figures; `cargo nextest run -p loadtest --test restart --no-capture`
//! shows them.

mod kit;

use kit::{Ran, Running, Service, has_room_for};
use std::path::PathBuf;

/// Each client hears something now and then; the load is the restart.
const MARKET: [&str; 4] =
    ["--sim-instruments=50", "--sim-rate=20", "--drain-window=10s", "--shards=2"];

/// The path of a socket, removed with the test.
struct Meeting(PathBuf);

impl Meeting {
    fn new(name: &str) -> Meeting {
        Meeting(std::env::temp_dir().join(format!("tickcast-{name}-{}", std::process::id())))
    }

    fn arg(&self) -> String {
        format!("--takeover={}", self.0.display())
    }
}

impl Drop for Meeting {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn clients(service: &Service, count: usize, symbols: usize, more: &[&str]) -> Running {
    let connections = format!("--connections={count}");
    let symbols = format!("--symbols-per-connection={symbols}");
    let url = service.url();
    Running::start(&[&["restart", &url, &connections, &symbols], more].concat())
}

fn show(ran: &Ran) {
    println!("row 3: returns {}", ran.report["returns"]);
    println!("row 3: closed {}", ran.report["correctness"]["closed"]);
    println!("row 3: compared {}", ran.report["correctness"]["compared"]);
}

#[test]
fn row_03_five_thousand_clients_are_taken_over_and_miss_nothing() {
    const CLIENTS: usize = 5_000;
    if !has_room_for(CLIENTS as u64) {
        return;
    }
    let meeting = Meeting::new("five-thousand");
    let takeover = meeting.arg();
    let args = [&MARKET[..], &[&takeover]].concat();
    let mut old = Service::start(&args);
    // Every client is compared, in both of its streams.
    // Two seconds are promised; a machine that does other things meanwhile may take longer.
    let limits = ["--threshold=return_max_ms=10000", "--sample=5000", "--seconds=25"];
    let mut running = clients(&old, CLIENTS, 2, &limits);
    running.until_measuring();
    let new = Service::start_at(old.public, old.admin, &args);
    assert_eq!(old.wait(), Some(0));
    assert_eq!(new.metric("tickcast_gateway_refused_total"), 0.0);
    let ran = running.end();
    show(&ran);
    // Its thresholds: no refused connection, nobody without data for long beyond what it was told,
    // no gap, no difference.
    ran.is_faultless();
    assert_eq!(ran.figure("/returns/count"), CLIENTS as f64);
    assert_eq!(ran.figure("/correctness/closed/1001"), CLIENTS as f64, "and no other code");
    assert_eq!(ran.report["correctness"]["closed"].as_object().map(serde_json::Map::len), Some(1));
    assert_eq!(ran.figure("/correctness/compared"), 2.0 * CLIENTS as f64);
    assert_eq!(new.metric("tickcast_gateway_connections_opened_total"), CLIENTS as f64);
}

#[test]
fn row_03_an_old_process_that_is_killed_while_it_drains_costs_its_clients_a_reconnect_only() {
    const CLIENTS: usize = 500;
    let meeting = Meeting::new("killed");
    let takeover = meeting.arg();
    let args = [&MARKET[..], &[&takeover]].concat();
    let mut old = Service::start(&args);
    // Who was not sent away comes back when it was told to, or after a second.
    let limits = ["--threshold=return_max_ms=15000", "--seconds=25", "--sample=500"];
    let mut running = clients(&old, CLIENTS, 2, &limits);
    running.until_measuring();
    let new = Service::start_at(old.public, old.admin, &args);
    // Some have left, most have not.
    while new.metric("tickcast_gateway_connections_opened_total") < CLIENTS as f64 / 10.0 {
        std::thread::yield_now();
    }
    old.kill();
    let ran = running.end();
    show(&ran);
    ran.is_faultless();
    assert_eq!(ran.figure("/returns/count"), CLIENTS as f64);
    assert!(ran.figure("/correctness/closed/1006") > 0.0, "{}", ran.report["correctness"]);
}

#[test]
fn row_03_ten_thousand_clients_are_back_with_their_snapshots_after_a_kill() {
    const CLIENTS: usize = 10_000;
    if !has_room_for(CLIENTS as u64) {
        return;
    }
    let mut old = Service::start(&MARKET);
    // Nobody listens for a moment: attempts fail, and are made again a second later.
    let limits =
        ["--threshold=return_max_ms=15000", "--threshold=return_failed=1000000", "--seconds=20"];
    let mut running = clients(&old, CLIENTS, 5, &limits);
    running.until_measuring();
    old.kill();
    let new = Service::start_at(old.public, old.admin, &MARKET);
    let ran = running.end();
    show(&ran);
    ran.is_right();
    assert_eq!(ran.figure("/returns/count"), CLIENTS as f64);
    assert_eq!(ran.figure("/correctness/closed/1006"), CLIENTS as f64);
    assert!(new.metric("tickcast_gateway_connections_opened_total") >= CLIENTS as f64);
}
