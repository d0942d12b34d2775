//! The service behind TLS: the real binary, everything that works plain, slow readers, reload,
//! drain.

mod held;
mod service;

use held::{Expected, Held, levels, take};
use service::tls::{BOTH, Files, Pair, trusting, write};
use service::{PATIENCE, Service, feeds};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::Command;
use std::time::{Duration, Instant};

const SIMULATED: [&str; 4] = ["--sim-instruments", "20", "--sim-rate", "2000"];
const SUBSCRIBE: &str = r#"{"method":"subscribe","params":{"channel":"ticker","symbol":"sim:*"}}"#;

#[test]
fn page_rest_events_and_sockets_work_encrypted() {
    let files = Files::new();
    let mut service = Service::start_tls(&files, &SIMULATED);
    service.until_ready();
    for version in BOTH {
        service.tls = Some(trusting(&files.pair, &[version]));
        let (status, page) = service.get("/");
        assert!(status == 200 && page.contains("<html"), "{status} {page:.200}");
        let list = service.json("/v1/instruments");
        assert_eq!(list["instruments"].as_array().expect("a list").len(), 20);
        let snapshot = service.json("/v1/snapshot?channel=book&depth=10&symbol=sim:S0-USD");
        assert_eq!(snapshot["type"], "snapshot");

        let mut events = service.stream();
        events.set_read_timeout(PATIENCE);
        events
            .write_all(b"GET /v1/sse?channel=ticker&symbol=sim:S0-USD HTTP/1.1\r\nHost: a\r\n\r\n")
            .expect("it reads");
        let lines = BufReader::new(events).lines();
        let ids = lines.map_while(Result::ok).filter(|line| line.starts_with("id: ")).take(5);
        assert_eq!(ids.count(), 5);

        let mut socket = service.websocket();
        socket.send(SUBSCRIBE);
        let mut seen = 0;
        socket.until("200 updates", |text| {
            seen += usize::from(text.contains("\"type\":\"update\""));
            seen >= 200
        });
    }
    let expiry = service.metric("tickcast_gateway_certificate_expiry_timestamp_seconds", "");
    assert!(expiry > 1.8e9, "{expiry}");
}

#[test]
fn the_terminal_client_trusts_whom_it_is_told_to() {
    let files = Files::new();
    let service = Service::start_tls(&files, &SIMULATED);
    let url = format!("wss://localhost:{}", service.public.port());
    let watch = |ca: &[&str]| {
        let tickcast = env!("CARGO_BIN_EXE_tickcast");
        let watch = ["watch", &url, "ticker", "sim:*", "--count", "3"];
        let output = Command::new(tickcast).args(watch).args(ca).output().expect("it runs");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        (output.status.success(), text(output.stdout), text(output.stderr))
    };
    let (_, told, said) = watch(&["--ca", files.certificate.to_str().expect("a path of text")]);
    assert!(told.contains("\"channel\":\"ticker\""), "{told} {said}");
    let (trusted, _, said) = watch(&[]);
    assert!(!trusted && said.contains("certificate"), "{said}");
    let (trusted, _, said) = watch(&["--ca", files.key.to_str().expect("a path of text")]);
    assert!(!trusted && said.contains("holds no certificate"), "{said}");
}

/// Half of what a client may take nothing for.
const NOT_READING_MAX: Duration = Duration::from_secs(5);

/// Whether the recording has ended: every instrument is stale then.
fn is_over(service: &Service) -> bool {
    let list = service.json("/v1/instruments");
    let list = list["instruments"].as_array().expect("a list");
    !list.is_empty() && list.iter().all(|one| one["state"] == "stale")
}

#[test]
fn a_slow_reader_is_owed_and_ends_with_the_truth() {
    let Some(feeds) = feeds() else { return };
    let recording = "binance_btcusdt_650s.rec.gz";
    let expected = Expected::of(&feeds, recording);
    let file = feeds.join("recordings").join(recording);
    let file = file.to_str().expect("a path of text");
    let files = Files::new();
    let service =
        Service::start_tls(&files, &["--replay", file, "--replay-speed", "max", "--replay-wait"]);
    let mut socket = service.websocket();
    for channel in ["trades", "book"] {
        let venue = &expected.venue;
        socket.send(&format!(
            r#"{{"method":"subscribe","params":{{"channel":"{channel}","symbol":"{venue}:*"}}}}"#
        ));
    }
    // It reads nothing until it has fallen behind, which takes less where the kernel holds less.
    socket.narrow();
    let deadline = Instant::now() + PATIENCE;
    while service.metric("tickcast_gateway_lagging_total", "") == 0.0 {
        assert!(Instant::now() < deadline, "it falls behind");
    }
    // And goes on to while the recording plays, but not until it is closed for it.
    let patience = Instant::now() + NOT_READING_MAX;
    while Instant::now() < patience && !is_over(&service) {
        std::thread::yield_now();
    }
    let mut held: BTreeMap<String, Held> = BTreeMap::new();
    let is_right = |held: &BTreeMap<String, Held>, names: &BTreeMap<String, String>| {
        expected.symbols.iter().all(|(venue_symbol, truth)| {
            let of = names.get(venue_symbol).and_then(|name| held.get(name));
            of.is_some_and(|of| {
                let same = |side: &&str| of.levels(side) == levels(&truth[*side]);
                of.state == "stale" && ["bids", "asks"].iter().all(same)
            })
        })
    };
    loop {
        while let Some(text) = socket.next() {
            take(&mut held, &text);
        }
        let list = service.json("/v1/instruments");
        let text = |value: &serde_json::Value| value.as_str().expect("text").to_owned();
        let names: BTreeMap<String, String> = list["instruments"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|one| (text(&one["venue_symbol"]), text(&one["symbol"])))
            .collect();
        if is_right(&held, &names) {
            break;
        }
        assert!(Instant::now() < deadline, "it ends with the recording's books");
    }
    assert!(service.metric("tickcast_gateway_merged_updates_total", "") > 0.0);
}

/// Where the kernel has io_uring these go through it; a slow one among them must not hurt.
#[test]
fn many_clients_of_one_shard_follow_the_rule_with_a_slow_one_among_them() {
    let files = Files::new();
    let args = ["--shards", "1", "--sim-instruments", "50", "--sim-rate", "10000"];
    let service = Service::start_tls(&files, &args);
    let mut sockets: Vec<_> = (0..20).map(|_| service.websocket()).collect();
    sockets[0].narrow();
    for socket in &mut sockets {
        socket.send(SUBSCRIBE);
    }
    let deadline = Instant::now() + PATIENCE;
    let mut held = vec![BTreeMap::<String, (u64, u64)>::new(); sockets.len()];
    let mut updates = vec![0; sockets.len()];
    let is_late = || service.metric("tickcast_gateway_lagging_total", "") > 0.0;
    let mut slow_reads = false;
    while updates.iter().any(|count| *count < 2000) {
        assert!(Instant::now() < deadline, "{updates:?}");
        slow_reads = slow_reads || is_late();
        for (number, socket) in sockets.iter_mut().enumerate() {
            for _ in 0..if number > 0 || slow_reads { 200 } else { 0 } {
                let Some(text) = socket.next() else { break };
                updates[number] += follow(&mut held[number], &text);
            }
        }
    }
    if service.metric("tickcast_gateway_flush_mode", "uring") > 0.0 {
        // Twenty clients, and more than a few times each; under load one send has many updates.
        assert!(service.metric("tickcast_gateway_sends_total", "uring") > 200.0);
    }
}

/// Takes a message by the client's rule; how many updates it had.
fn follow(held: &mut BTreeMap<String, (u64, u64)>, text: &str) -> usize {
    let message: serde_json::Value = serde_json::from_str(text).expect("a message is JSON");
    if message["channel"] != "ticker" {
        return 0;
    }
    let is_snapshot = message["type"] == "snapshot";
    let items = message["data"].as_array().expect("items");
    for item in items {
        let number = |key: &str| item[key].as_u64().expect("a number");
        let at = held.entry(item["symbol"].as_str().expect("a symbol").to_owned()).or_default();
        assert!(is_snapshot || number("prev") <= at.1, "a gap after {at:?}: {item}");
        if is_snapshot || number("seq") > at.1 {
            *at = (number("epoch"), number("seq"));
        }
    }
    if is_snapshot { 0 } else { items.len() }
}

#[test]
fn a_new_certificate_is_taken_on_sighup_and_a_broken_one_is_named_in_the_log() {
    let files = Files::new();
    let mut service = Service::start_tls(&files, &SIMULATED);
    let mut living = service.websocket();
    living.send(SUBSCRIBE);
    let reloads = |service: &Service, result: &str| {
        service.metric("tickcast_gateway_certificate_reloads_total", result) as u64
    };
    let until = |service: &Service, result: &str, count: u64| {
        let deadline = Instant::now() + PATIENCE;
        while reloads(service, result) < count {
            assert!(Instant::now() < deadline, "{count} reloads {result}: {:?}", service.log());
        }
    };
    write(&files.key, "no key");
    service.ask_to_reload();
    until(&service, "failed", 1);
    // The line comes through a pipe, and may come after the metric.
    let (mut log, deadline) = (String::new(), Instant::now() + PATIENCE);
    while !(log.contains("key.pem") && log.contains("the old one stays")) {
        assert!(Instant::now() < deadline, "the log names the file: {log}");
        log.extend(service.log());
    }
    assert_eq!(service.get("/").0, 200, "the old one is shown");

    let new = Pair::new();
    write(&files.certificate, &new.certificate);
    write(&files.key, &new.key);
    service.ask_to_reload();
    until(&service, "ok", 1);
    service.tls = Some(trusting(&new, BOTH));
    assert_eq!(service.get("/").0, 200, "the new one is shown");
    let mut updates = 0;
    living.until("who was there before is served on", |text| {
        updates += usize::from(text.contains("\"type\":\"update\""));
        updates >= 100
    });
}

#[test]
fn draining_ends_encrypted_connections_in_order() {
    let files = Files::new();
    let args = [&SIMULATED[..], &["--drain-window", "1s"]].concat();
    let mut service = Service::start_tls(&files, &args);
    let mut socket = service.websocket();
    socket.send(SUBSCRIBE);
    socket.until("a snapshot", |text| text.contains("\"type\":\"snapshot\""));
    let mut events = service.stream();
    events.set_read_timeout(PATIENCE);
    events
        .write_all(b"GET /v1/sse?channel=ticker&symbol=sim:S0-USD HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("it reads");
    let mut head = [0; 15];
    events.read_exact(&mut head).expect("an answer");
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    service.ask_to_stop();
    let mut told = String::new();
    let code = socket.until_closed(|text| told.push_str(text));
    assert_eq!(code, 1001);
    assert!(told.contains("goaway"), "{told:.300}");
    // rustls calls an end without close_notify an error.
    events.read_to_end(&mut Vec::new()).expect("an end in order");
    drop(socket);
    assert_eq!(service.wait(), Some(0));
}

#[test]
fn a_start_without_a_usable_pair_says_which_file() {
    let (files, other) = (Files::new(), Files::new());
    let text = |path: &std::path::Path| path.to_str().expect("a path of text").to_owned();
    let (certificate, key) = (text(&files.certificate), text(&files.key));
    for (args, words) in [
        (vec!["--tls-cert", &certificate], "tls_cert: without tls_key".to_owned()),
        (vec!["--tls-cert", "/none", "--tls-key", &key], "/none: ".to_owned()),
        (vec!["--tls-cert", &key, "--tls-key", &key], format!("{key}: ")),
        (
            vec!["--tls-cert", &certificate, "--tls-key", &text(&other.key)],
            format!("{certificate}: not a certificate of the key in {}", other.key.display()),
        ),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_tickcast"))
            .args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .args(&args)
            .output()
            .expect("it runs");
        let said = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(&words), "{said:?} names {words:?}");
    }
}
