//! The canary in the real binary: what it measures, that it is there whatever the public listener
//! asks of clients, and that operators are told when a shard does not serve any more.

#[path = "../service/mod.rs"]
mod service;

mod halted;

use halted::Halted;
use serde_json::Value;
use service::tls::Files;
use service::{PATIENCE, Service, feeds, get};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

const SIMULATED: [&str; 4] = ["--sim-instruments", "10", "--sim-rate", "500"];

/// What `/readyz?strict` says: status and body.
fn strict(service: &Service) -> (u16, Value) {
    let (status, body) = get(service.admin, "/readyz?strict");
    (status, serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}")))
}

fn until(service: &Service, what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        let (status, said) = strict(service);
        let log = || service.log().join("\n");
        assert!(Instant::now() < deadline, "{what} does not come: {status} {said}\n{}", log());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A path that no other test's process uses.
fn own_path(name: &str) -> PathBuf {
    let name = format!("canary-{}-{name}", std::process::id());
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

fn ages(service: &Service, venue: &str) -> f64 {
    let labels = format!("venue=\"{venue}\"");
    service.metric("tickcast_canary_age_seconds_count", &labels)
}

/// Everything that was published came, and nothing of it broke a promise.
fn assert_content(service: &Service) {
    let log = service.log();
    assert_eq!(service.metric("tickcast_canary_violations_total", ""), 0.0, "{log:?}");
    assert_eq!(service.metric("tickcast_canary_reconnects_total", ""), 0.0, "{log:?}");
    assert_eq!(missing(service), 0.0, "{log:?}");
}

/// How many ages are above all buckets but the last.
fn missing(service: &Service) -> f64 {
    // One look, for they go on counting.
    let (_, text) = get(service.admin, "/metrics");
    let bucket = |le: &str| -> f64 {
        let of = |line: &&str| {
            line.starts_with("tickcast_canary_age_seconds_bucket") && line.contains(le)
        };
        text.lines()
            .filter(of)
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    };
    bucket("le=\"+Inf\"") - bucket("le=\"10\"")
}

fn until_measured(service: &Service, venue: &str, count: f64) {
    service.until_ready();
    until(service, "so many ages", || ages(service, venue) >= count);
    let labels = format!("venue=\"{venue}\"");
    assert_eq!(service.metric("tickcast_canary_up", &labels), 1.0);
}

#[test]
fn ages_are_measured_without_any_client_and_nobody_is_counted_for_it() {
    let limits = ["--connections-max", "1", "--subscriptions-max", "1"];
    let service = Service::start(&[&SIMULATED[..], &["--shards", "2"], &limits].concat());
    until_measured(&service, "sim", 500.0);
    until(&service, "a comparison", || {
        strict(&service).1["canaries"][0]["compared"].as_u64() > Some(4)
    });
    // A machine that stands still is late for a moment.
    until(&service, "nothing that is wrong", || strict(&service).0 == 200);
    let (_, said) = strict(&service);
    let canary = &said["canaries"][0];
    assert_eq!((&canary["venue"], &canary["up"]), (&"sim".into(), &true.into()), "{said}");
    assert!(canary["p99_us"].as_u64() > Some(0), "{said}");
    for (name, label) in [
        ("tickcast_gateway_connections", ""),
        ("tickcast_gateway_connections_opened_total", ""),
        ("tickcast_gateway_subscriptions", ""),
        ("tickcast_gateway_requests_total", "subscribe"),
    ] {
        assert_eq!(service.metric(name, label), 0.0, "{name}");
    }
    let (_, clients) = get(service.admin, "/clients");
    let clients: Value = serde_json::from_str(&clients).expect("JSON");
    let clients = clients["clients"].as_array().expect("a list");
    assert_eq!(clients.len(), 2, "one for each shard: {clients:?}");
    assert!(clients.iter().all(|client| client["canary"] == true), "{clients:?}");
    // The one place that there is is a client's.
    let mut socket = service.websocket();
    socket.until("a welcome", |text| text.contains("welcome"));
    assert_eq!(service.metric("tickcast_gateway_connections", ""), 1.0);
    assert_content(&service);
}

#[test]
fn it_is_served_behind_tls_tokens_proxies_and_limits() {
    let files = Files::new();
    let secret = own_path("secret");
    std::fs::write(&secret, [b's'; 64]).expect("a writable target folder");
    let own = ["--auth-secret", secret.to_str().expect("a path of text")];
    let more = [
        "--trust-proxy",
        "127.0.0.0/8",
        "--requests-per-second",
        "1",
        "--address-connections-max",
        "1",
    ];
    let service = Service::start_tls(&files, &[&SIMULATED[..], &own, &more].concat());
    until_measured(&service, "sim", 300.0);
    assert_content(&service);
    std::fs::remove_file(&secret).expect("it was written above");
}

#[test]
fn ages_are_measured_of_every_venues_recording() {
    let Some(feeds) = feeds() else { return };
    for (recording, venue) in [
        ("binance_4sym_30s", "binance"),
        ("coinbase_advanced_2sym_24s", "coinbase"),
        ("coinbase_exchange_2sym_10s", "coinbase-exchange"),
        ("kraken_btcusd_d25_51s", "kraken"),
    ] {
        let file = feeds.join("recordings").join(format!("{recording}.rec.gz"));
        let file = file.to_str().expect("a path of text");
        let service = Service::start(&["--replay", file, "--replay-speed", "20", "--replay-loop"]);
        until(&service, "so many ages", || ages(&service, venue) >= 1_000.0);
        let begun = |service: &Service| service.metric("tickcast_feed_messages_total", "");
        let before = begun(&service);
        until(&service, "the next round", || begun(&service) > before + 500.0);
        assert_content(&service);
    }
}

#[test]
fn a_shard_that_stands_still_is_told_and_forgotten_when_it_goes_on() {
    let service = Service::start(&[&SIMULATED[..], &["--shards", "1"]].concat());
    until_measured(&service, "sim", 100.0);
    let Some(halted) = Halted::thread_of(service.pid(), "shard-0") else { return };
    let why = "sim: the canary does not get what is published";
    until(&service, "not ready", || {
        let (status, said) = strict(&service);
        status == 503 && said["why"][0] == why
    });
    until(&service, "down", || service.metric("tickcast_canary_up", "venue=\"sim\"") == 0.0);
    assert_eq!(get(service.admin, "/readyz").0, 200, "without strict nothing depends on it");
    until(&service, "what is missing counts", || missing(&service) > 1.0);
    drop(halted);
    until(&service, "up again", || service.metric("tickcast_canary_up", "venue=\"sim\"") == 1.0);
    service.until_logged("has not come to the canary in time");
}

#[test]
fn a_drain_and_a_takeover_are_no_fault() {
    let path = own_path("takeover");
    let path = path.to_str().expect("a path of text");
    let args = |window| [&SIMULATED[..], &["--takeover", path, "--drain-window", window]].concat();
    let mut old = Service::start(&args("8s"));
    until_measured(&old, "sim", 100.0);
    let _held = old.websocket();
    // It drains for as long as it is looked at.
    let mut new = Service::begin(old.public, old.admin, &args("1h")).listening();
    assert_eq!(old.wait(), Some(0));
    until_measured(&new, "sim", 100.0);
    assert_content(&new);
    let held = new.websocket();
    new.ask_to_stop();
    until(&new, "the drain", || strict(&new).1["draining"] == true);
    let (status, said) = strict(&new);
    assert_eq!((status, &said["why"][0]), (503, &"draining".into()), "{said}");
    assert_eq!(said["canaries"][0]["up"], true, "{said}");
    let mut measured = ages(&new, "sim");
    // It goes on measuring for those who are still there.
    until(&new, "an age", || std::mem::replace(&mut measured, ages(&new, "sim")) < measured);
    drop(held);
    assert_eq!(new.wait(), Some(0));
    for log in [old.log(), new.log()] {
        assert!(!log.iter().any(|line| line.contains("canary")), "{log:?}");
    }
    let _already_removed = std::fs::remove_file(path);
}

#[test]
fn switched_off_nothing_of_it_is_left() {
    let service = Service::start(&[&SIMULATED[..], &["--canary", "off"]].concat());
    service.until_ready();
    let turns = || service.metric("tickcast_publisher_events_total", "");
    let before = turns();
    until(&service, "events", || turns() > before + 300.0);
    let (_, metrics) = get(service.admin, "/metrics");
    assert!(!metrics.contains("tickcast_canary"), "{metrics}");
    assert_eq!(service.metric("tickcast_publisher_frames_encoded_total", ""), 0.0);
    assert_eq!(strict(&service).1["canaries"], serde_json::json!([]));
    let tasks = std::fs::read_dir(format!("/proc/{}/task", service.pid())).expect("it lives");
    let names = tasks.flatten().filter_map(|t| std::fs::read_to_string(t.path().join("comm")).ok());
    assert!(names.into_iter().all(|name| name.trim() != "canary"));
}

#[test]
fn what_cannot_be_is_said() {
    for (args, words) in [
        (&["--canary", "loud"][..], "canary: \"loud\" is not one of on, off"),
        (&["--shards", "64"], "shards: 64 is not from 1 to 62, one more with canary"),
    ] {
        let mut tickcast = Command::new(env!("CARGO_BIN_EXE_tickcast"));
        let output = tickcast.arg("serve").args(args).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && said.contains(words), "{said}");
    }
}
