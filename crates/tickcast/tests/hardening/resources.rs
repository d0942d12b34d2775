//! Rows 7 (no descriptors left) and 20 (nothing leaks).

use crate::hostile::unharmed;
use crate::process::{Usage, usage};
use crate::raw::{PATIENCE, Raw, connect, frame, text};
use crate::service::{Service, Stream};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn row_07_without_descriptors_it_neither_spins_nor_hurts_and_recovers() {
    const DESCRIPTORS: u32 = 160;
    let args = ["--sim-instruments", "5", "--sim-rate", "20"];
    let service = Service::start_limited(DESCRIPTORS, &args);
    service.until_ready();
    // The line comes through a pipe.
    let (mut log, deadline) = (String::new(), Instant::now() + PATIENCE);
    while !log.contains("descriptors=160") {
        assert!(Instant::now() < deadline, "the maximum is in the log: {log}");
        log.extend(service.log());
    }
    let mut present: Vec<Raw> = (0..5).map(|_| Raw::open(&service)).collect();
    for raw in &mut present {
        raw.send(&text(r#"{"method":"subscribe","params":{"channel":"ticker","symbol":"sim:*"}}"#));
    }
    // As many as it can take, and a hundred more that wait in the kernel.
    let mut taken: Vec<Raw> = Vec::new();
    let (mut waiting, mut late) = (Vec::<TcpStream>::new(), Vec::<TcpStream>::new());
    while waiting.is_empty() {
        assert!(taken.len() + late.len() < DESCRIPTORS as usize, "it takes no more than it can");
        let stream = connect(service.public);
        let asked = stream.try_clone().expect("a descriptor is free");
        match Raw::try_shake_within(Stream::Plain(stream), Duration::from_millis(500)) {
            Some(raw) => taken.push(raw),
            None => {
                log.extend(service.log());
                // One that is only answered late has its place all the same.
                let is_full = log.contains("cannot accept connections:");
                let list = if is_full { &mut waiting } else { &mut late };
                list.push(asked);
            }
        }
    }
    waiting.extend((0..100).map(|_| connect(service.public)));
    let before = usage(service.pid());
    let begun = Instant::now();
    let mut updates = 0;
    while begun.elapsed() < Duration::from_secs(4) {
        for raw in &mut present {
            raw.until("data for those who are there", |frame| frame.opcode == 1);
            updates += 1;
        }
    }
    let spent = usage(service.pid()).cpu_seconds - before.cpu_seconds;
    let percent = 100.0 * spent / begun.elapsed().as_secs_f64();
    assert_eq!(usage(service.pid()).descriptors, before.descriptors, "still exhausted");
    operators_still_see(&service, &taken);
    waiting.clear();
    drop((taken, late));
    let freed = Instant::now();
    let mut raw = Raw::shake(Stream::Plain(connect(service.public)), b"");
    raw.is_served();
    let recovered = freed.elapsed();
    println!(
        "row 7: {percent:.1} % of a processor while exhausted, {updates} updates to 5 clients; accepted again after {recovered:.2?}"
    );
    assert!(percent <= 5.0, "{percent} %");
    assert!(recovered < Duration::from_secs(30), "{recovered:?}");
    for raw in &mut present {
        raw.until("data for those who were there", |frame| frame.opcode == 1);
    }
    let deadline = Instant::now() + PATIENCE;
    while !log.contains("accepting connections again") {
        assert!(Instant::now() < deadline, "the end of the shortage is in the log: {log}");
        log.extend(service.log());
    }
    assert_eq!(log.matches("cannot accept connections:").count(), 1, "told once, not each time");
    unharmed(&service);
}

/// Without a descriptor for clients there are some for whoever looks.
fn operators_still_see(service: &Service, taken: &[Raw]) {
    assert!(service.metric("tickcast_gateway_refused_total", "descriptors") > 0.0);
    let (open, most) =
        (service.metric("process_open_fds", ""), service.metric("process_max_fds", ""));
    assert!(open > 0.8 * most && most > 0.0, "{open} of {most} descriptors");
    let connections = service.metric("tickcast_gateway_connections", "");
    assert!(connections >= taken.len() as f64, "{connections}");
    assert!(service.metric("tickcast_gateway_connections_max", "") >= connections);
    let (status, clients) = crate::service::get(service.admin, "/clients");
    let clients: serde_json::Value = serde_json::from_str(&clients).expect("JSON");
    let listed = clients["clients"].as_array().map_or(0, Vec::len);
    assert_eq!((status, listed >= taken.len()), (200, true), "{listed} clients are listed");
}

const CYCLES: usize = 10_000;

/// Connects, subscribes, reads a snapshot, and leaves in one of several ways.
fn cycle(service: &Service, number: usize) {
    let stream = connect(service.public);
    let socket = stream.try_clone().expect("a descriptor is free");
    let mut raw = Raw::shake(Stream::Plain(stream), b"");
    let (channel, more) =
        [("ticker", ""), ("book", ",\"depth\":25"), ("trades", ""), ("bars", "")][number % 4];
    raw.send(&text(&format!(
        r#"{{"method":"subscribe","params":{{"channel":"{channel}","symbol":"sim:*"{more}}}}}"#
    )));
    raw.until("a snapshot", |frame| {
        frame.payload.windows(10).any(|window| window == b"\"snapshot\"")
    });
    match number % 3 {
        0 => {
            raw.send(&frame(0x88, &1000u16.to_be_bytes()));
            raw.until("a close frame", |frame| frame.opcode == 8);
        }
        1 => socket2::SockRef::from(&socket).set_linger(Some(Duration::ZERO)).expect("a socket"),
        _ => raw.send(&frame(0x01, b"{")),
    }
}

fn cycles(service: &Service, count: usize) {
    thread::scope(|scope| {
        for part in 0..4 {
            scope.spawn(move || (0..count / 4).for_each(|number| cycle(service, number + part)));
        }
    });
    let deadline = Instant::now() + PATIENCE;
    while service.metric("tickcast_gateway_connections", "") > 0.0 {
        assert!(Instant::now() < deadline, "all are gone");
        thread::sleep(Duration::from_millis(20));
    }
}

/// So often in a row something may be left for another reason than a leak.
const ROUNDS_MAX: usize = 2;

/// Looks at the service, sends it many connections, and looks again when it has had time to let go.
fn leftovers(service: &Service) -> (Usage, Usage) {
    let before = usage(service.pid());
    cycles(service, CYCLES);
    let deadline = Instant::now() + Duration::from_secs(15);
    // The allocator gives memory back when it finds time, and a question for metrics may still be
    // open at the first look.
    loop {
        let after = usage(service.pid());
        if is_back(&before, &after) || Instant::now() > deadline {
            return (before, after);
        }
        thread::sleep(Duration::from_millis(100));
    }
}

fn is_back(before: &Usage, after: &Usage) -> bool {
    after.resident_bytes as f64 <= before.resident_bytes as f64 * 1.02
        && after.descriptors <= before.descriptors
        && after.threads <= before.threads
}

#[test]
fn row_20_ten_thousand_connections_leave_nothing_behind() {
    let service = Service::start(&["--sim-instruments", "20", "--sim-rate", "200"]);
    service.until_ready();
    cycles(&service, CYCLES / 2);
    // A leak grows each time. What does not had more clients at once than before, if it is late: the
    // memory for that is kept, and is enough for the next time.
    let (before, after) = (0..ROUNDS_MAX)
        .map(|_| leftovers(&service))
        .find(|(before, after)| is_back(before, after))
        .unwrap_or_else(|| leftovers(&service));
    let ratio = after.resident_bytes as f64 / before.resident_bytes as f64;
    println!(
        "row 20: after {CYCLES} cycles: memory {:.1} MiB, {:+.2} %; descriptors {} and {}, threads {} and {}",
        after.resident_bytes as f64 / f64::from(1 << 20),
        100.0 * (ratio - 1.0),
        before.descriptors,
        after.descriptors,
        before.threads,
        after.threads
    );
    assert!(is_back(&before, &after), "{before:?} {after:?}");
    assert_eq!(service.metric("tickcast_gateway_subscriptions", ""), 0.0);
    unharmed(&service);
}
