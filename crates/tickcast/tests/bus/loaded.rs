//! The load tester on one gateway while the bus has its troubles: every client is compared with
//! another gateway's snapshots at the same epoch and seq, and every message judged by the rule.

use crate::nats::Nats;
use crate::processes::{Publisher, gateway};
use crate::scripts::program;
use crate::seen::assert_unviolated;
use crate::service::{LOOK, PATIENCE};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

const MARKET: [&str; 4] = ["--sim-instruments", "20", "--sim-rate", "200"];
/// As many as the load tester can compare in its time on a machine that is busy otherwise.
const CLIENTS: usize = 50;

/// The troubles fit into the measured seconds, and so do the quiet seconds after them.
const SECONDS: usize = 25;

#[test]
fn every_client_ends_with_what_another_gateway_has() {
    let Some(loadtest) = program("loadtest") else { return };
    let Some(mut nats) = Nats::start("loaded") else { return };
    let first = Publisher::start(&nats, &MARKET);
    first.until_leader();
    let second = Publisher::start(&nats, &MARKET);
    let (asked, witness) = (gateway(&nats), gateway(&nats));
    for gateway in [&asked, &witness] {
        gateway.until_ready();
    }
    let mut child = Command::new(loadtest)
        .args(["steady", &asked.url(), "--snapshots", &witness.url(), "--json", "-"])
        .arg(format!("--connections={CLIENTS}"))
        .arg(format!("--sample={CLIENTS}"))
        .arg(format!("--seconds={SECONDS}"))
        .args(["--symbols-per-connection=4", "--channels=ticker,trades,book,bars"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the load tester starts");
    let told = BufReader::new(child.stderr.take().expect("a pipe"));
    let mut told = told.lines().map_while(Result::ok);
    assert!(told.any(|line| line == "loadtest: measuring"), "it ends before it measures");
    // It must not wait for who reads what it goes on telling.
    let rest = std::thread::spawn(move || told.collect::<Vec<_>>());

    // The leader stands still, and goes on as one that has been deposed.
    first.signal("-STOP");
    second.until_leader();
    first.signal("-CONT");
    first.until_metric("tickcast_bus_leader", |leader| leader == 0.0);

    nats.kill();
    nats.start_again();
    // Whoever leads after the restart is the next one to go.
    let deadline = Instant::now() + PATIENCE;
    let left = loop {
        assert!(Instant::now() < deadline, "nobody gets the lease");
        match (first.is_leader(), second.is_leader()) {
            (true, _) => {
                drop(first);
                break second;
            }
            (_, true) => {
                drop(second);
                break first;
            }
            _ => std::thread::sleep(LOOK),
        }
    };
    left.until_leader();

    let output = child.wait_with_output().expect("it ends");
    let told = rest.join().expect("it only reads");
    let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
    assert_eq!(output.status.code(), Some(0), "{told:?} {report}");
    let correctness = &report["correctness"];
    for fault in ["gaps", "duplicates", "violations", "mismatched", "not_compared"] {
        assert_eq!(correctness[fault], 0, "{fault}: {correctness}");
    }
    assert_eq!(correctness["compared"], CLIENTS * 4 * 4, "{correctness}");
    assert_eq!(correctness["reconnects"], 0, "{correctness}");
    [&asked, &witness].into_iter().for_each(assert_unviolated);
}
