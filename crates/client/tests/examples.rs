//! The examples run against the real service: the smallest client, and the driver of the
//! conformance script.

mod service;

use serde_json::Value;
use service::{PATIENCE, Service, binary};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

const SYMBOL: &str = "sim:S0-USD";
const SIM: [&str; 4] = ["--sim-instruments", "5", "--sim-rate", "40"];

/// An example that the same build has put beside this test.
fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let beside = test.ancestors().map(|folder| folder.join("examples").join(name));
    let found = beside.into_iter().find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("the example {name} is built with the tests"))
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    fn ended(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.0.try_wait().expect("it can be asked") {
                return status.code();
            }
            assert!(Instant::now() < deadline, "it ends");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

#[test]
fn the_smallest_client_prints_prices() {
    let source = include_str!("../../../examples/rust/ticker.rs");
    assert!(source.lines().count() <= 30);
    let Some(binary) = binary() else { return };
    let service = Service::start(&binary, &SIM);
    let child = Command::new(example("ticker"))
        .args([&service.url(), SYMBOL])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut running = Running(child);
    let lines = BufReader::new(running.0.stdout.take().expect("a pipe")).lines();
    // Until the simulator's first event of it the instrument waits in `resync`, which the example
    // shows too; it may be `live` for a moment before its first price, which keeps to the rate, comes.
    let is_waiting = |line: &String| line.ends_with("resync") || line.contains(" last - ");
    let lines: Vec<String> = lines.map_while(Result::ok).skip_while(is_waiting).take(3).collect();
    assert_eq!(lines.len(), 3);
    for line in lines {
        let words: Vec<&str> = line.split(' ').collect();
        assert_eq!((words[0], words[1], words[3], words[7]), (SYMBOL, "last", "bid", "live"));
        assert!(words[2].parse::<f64>().is_ok_and(|price| price > 0.0), "{line}");
    }
}

#[test]
fn the_conformance_driver_tells_what_the_service_publishes() {
    driver_tells_what_is_published("json");
}

#[test]
fn the_conformance_driver_tells_the_same_in_the_binary_encoding() {
    driver_tells_what_is_published("protobuf");
}

fn driver_tells_what_is_published(encoding: &str) {
    let Some(binary) = binary() else { return };
    // Nothing moves, so that both tell of the same.
    let service = Service::start(&binary, &["--sim-instruments", "3", "--sim-rate", "0"]);
    let subscriptions = format!(
        r#"[{{"channel":"ticker","symbol":["sim:*"],"max_rate":4}},{{"channel":"book","symbol":["{SYMBOL}"],"depth":25}},{{"channel":"trades","symbol":["{SYMBOL}"]}},{{"channel":"bars","interval":"1s","symbol":["{SYMBOL}"]}}]"#
    );
    let child = Command::new(example("conformance"))
        .env("TICKCAST_URL", service.url())
        .env("TICKCAST_ENCODING", encoding)
        .env("TICKCAST_SUBSCRIPTIONS", subscriptions)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut running = Running(child);
    let mut lines = BufReader::new(running.0.stdout.take().expect("a pipe")).lines();
    let mut commands = running.0.stdin.take().expect("a pipe");
    assert_eq!(lines.next().expect("a line").expect("text"), "ready");
    let deadline = Instant::now() + PATIENCE;
    let state = loop {
        commands.write_all(b"state\n").expect("it reads");
        let line = lines.next().expect("a line").expect("text");
        let state: Value = serde_json::from_str(&line).expect("JSON");
        let has = |channel: &str, count| state[channel].as_object().map(|o| o.len()) == Some(count);
        let has_all = has("ticker", 3) && has("book", 1) && has("trades", 1) && has("bars", 1);
        // The simulator's first words are the last here, and may come after the subscriptions.
        let differs = has_all.then(|| difference(&service, &state)).flatten();
        if has_all && differs.is_none() {
            break state;
        }
        assert!(Instant::now() < deadline, "it holds everything: {differs:?} {state}");
    };
    assert_eq!(state["connection"]["state"], "live");
    assert_eq!(state["connection"]["encoding"], encoding);
    assert_eq!(state["connection"]["reconnects"], 0);
    assert_eq!(state["status"][SYMBOL], state["ticker"][SYMBOL]["state"]);
    commands.write_all(b"stop\n").expect("it reads");
    assert_eq!(running.ended(), Some(0));
}

/// What a driver holds of a symbol and the service has otherwise.
fn difference(service: &Service, state: &Value) -> Option<String> {
    let differs = |(held, query): (&Value, &str)| {
        let wanted = service.snapshot(&format!("{query}&symbol={SYMBOL}"));
        let mut held = held.as_object().expect("an object").iter();
        let (key, value) = held.find(|(key, value)| wanted[key] != **value)?;
        Some(format!("{query}: {key} is {}, held is {value}", wanted[key]))
    };
    [
        (&state["ticker"][SYMBOL], "channel=ticker"),
        (&state["book"][SYMBOL], "channel=book&depth=25"),
        (&state["trades"][SYMBOL], "channel=trades"),
        (&state["bars"][SYMBOL]["1s"], "channel=bars&interval=1s"),
    ]
    .into_iter()
    .find_map(differs)
}

#[test]
fn the_conformance_driver_says_what_it_cannot_speak() {
    let output = Command::new(example("conformance"))
        .env("TICKCAST_ENCODING", "sse")
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(output.stdout, b"unsupported sse\n");
}
