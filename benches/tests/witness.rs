//! The load tester finds nothing wrong with the floor and the naive servers: what is compared with
//! tickcast does the same work.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use tickcast_benches::Server;

/// The load tester beside this test, as a build of the whole workspace puts it there; without it
/// a test says so and skips, with `CI=true` it fails.
fn load_tester() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_BIN_EXE_floor")).with_file_name("loadtest");
    if beside.is_file() {
        return Some(beside);
    }
    let in_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(!in_ci, "the load tester is missing: {}", beside.display());
    println!("SKIPPED: no load tester at {}; `cargo build -p loadtest` makes it", beside.display());
    None
}

/// A second of twenty clients with three symbols each.
fn check(program: &str, args: &str) {
    let Some(load_tester) = load_tester() else { return };
    let args: Vec<String> = args.split_whitespace().map(String::from).collect();
    let server = Server::start(Path::new(program), &args, &[]).expect("it starts");
    let flags = "--json - --quiet --lenient --sample 0 --seconds 1 --warmup 0 --connections 20 \
                 --symbols-per-connection 3 --choice all --symbols-generated sim:S{}-USD \
                 --symbols-count 3";
    let output = Command::new(load_tester)
        .args(["steady", &format!("ws://{}/v1/ws", server.addresses[0])])
        .args(flags.split_whitespace())
        .args(["--pid", &server.pid().to_string()])
        .output()
        .expect("the load tester starts");
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    let correctness = &report["correctness"];
    for fault in ["gaps", "violations"] {
        assert_eq!(correctness[fault], 0, "{program}: {correctness}");
    }
    assert_eq!(report["connect"]["failed"], 0, "{program}: {report}");
    assert!(report["deliveries"].as_u64().is_some_and(|count| count > 0), "{program}: {report}");
    assert!(report["server"]["cpu_us_per_delivery"].is_number(), "{program}: {report}");
}

#[test]
fn the_load_tester_finds_the_floor_right() {
    check(env!("CARGO_BIN_EXE_floor"), "--rate 400 --batch 4");
}

#[test]
fn the_load_tester_finds_axum_with_broadcast_right() {
    check(env!("CARGO_BIN_EXE_naive-broadcast"), "--instruments 3 --rate 300");
}

#[test]
fn the_load_tester_finds_fastwebsockets_with_a_channel_right() {
    check(env!("CARGO_BIN_EXE_naive-channel"), "--instruments 3 --rate 300");
}
