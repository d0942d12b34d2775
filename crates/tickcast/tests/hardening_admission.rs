//! Row 6 of what the edge promises: floods of connections, against the real binary. Further
//! addresses of this machine stand for clients.

mod service;

use serde_json::Value;
use service::{PATIENCE, Service, get};
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

const UPGRADE: &str = "GET /v1/ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\n\r\n";

/// Between two looks, many of which are connections: an address may open fifty a second.
const LOOK: Duration = Duration::from_millis(20);

/// What became of a connection.
#[derive(Debug)]
enum Answer {
    /// It is served.
    In(TcpStream),
    /// A refusal: status, head, code.
    Refused(u16, String, u64),
    /// Closed without a word.
    Closed,
}

fn connect(to: SocketAddr, from: &str) -> TcpStream {
    let kind = socket2::Type::STREAM;
    let socket = socket2::Socket::new(socket2::Domain::IPV4, kind, None).expect("a socket");
    let address = SocketAddr::new(from.parse().expect("an address"), 0);
    socket.bind(&address.into()).expect("an address of this machine");
    socket.connect(&to.into()).expect("it listens");
    let socket = TcpStream::from(socket);
    socket.set_read_timeout(Some(PATIENCE)).expect("a time");
    socket
}

/// Asks for a WebSocket.
fn ask(mut socket: TcpStream) -> TcpStream {
    // Who is refused as it comes may be gone before it has asked.
    let _ = socket.write_all(UPGRADE.as_bytes());
    socket
}

/// Reads the answer.
fn answer(mut socket: TcpStream) -> Answer {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        match socket.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            Ok(_) => return Answer::Closed,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Answer::Closed,
            Err(error) => panic!("neither an answer nor an end: {error}"),
        }
    }
    let head = String::from_utf8(head).expect("text");
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status");
    if status == 101 {
        return Answer::In(socket);
    }
    let mut body = String::new();
    socket.read_to_string(&mut body).expect("an orderly end");
    let body: Value = serde_json::from_str(&body).expect("JSON");
    assert!(!body["error"].as_str().expect("words").is_empty());
    Answer::Refused(status, head, body["code"].as_u64().expect("a code"))
}

fn enter(service: &Service, from: &str) -> Answer {
    answer(ask(connect(service.public, from)))
}

fn is_in(answer: &Answer) -> bool {
    matches!(answer, Answer::In(_))
}

/// Asserts a refusal with this status that says when to come back.
fn assert_refused(answer: &Answer, status: u16, code: u64) {
    match answer {
        Answer::Refused(got, head, got_code) => {
            assert_eq!((*got, *got_code), (status, code), "{head}");
            assert!(head.contains("\r\nRetry-After: "), "{head}");
        }
        other => panic!("not refused with {status}: {other:?}"),
    }
}

fn start(settings: &[&str]) -> Service {
    let common = ["--address-loopback", "--sim-instruments", "5", "--sim-rate", "500"];
    Service::start(&[&common[..], settings].concat())
}

/// What `/clients` says was refused.
fn refused(service: &Service) -> BTreeMap<String, u64> {
    let (_, body) = get(service.admin, "/clients");
    let body: Value = serde_json::from_str(&body).expect("JSON");
    let refused = body["refused"].as_object().expect("an object").iter();
    refused.map(|(reason, count)| (reason.clone(), count.as_u64().expect("a count"))).collect()
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(LOOK);
    }
}

#[test]
fn row_06_connection_floods_are_slowed_to_the_rate_of_one_address_and_hurt_nobody_else() {
    let service = start(&[
        "--address-connections-per-second",
        "20",
        "--address-connections-burst",
        "40",
        "--address-connections-max",
        "100000",
    ]);
    let mut present = enter(&service, "127.0.0.3");
    let began = Instant::now();
    let (mut served, mut told, mut closed) = (0_u64, 0_u64, 0_u64);
    for _ in 0..600 {
        match enter(&service, "127.0.0.2") {
            Answer::In(_) => served += 1,
            answer @ Answer::Refused(..) => {
                assert_refused(&answer, 429, 4529);
                told += 1;
            }
            Answer::Closed => closed += 1,
        }
    }
    let seconds = began.elapsed().as_secs() + 1;
    println!("row 6: 600 came in {seconds} s: {served} served, {told} told 429, {closed} closed");
    assert!((40..=40 + 20 * seconds).contains(&served), "{served} in {seconds} s");
    assert_eq!(refused(&service), BTreeMap::from([("address_rate".to_owned(), told + closed)]));
    let counted = service.metric("tickcast_gateway_refused_total", "reason=\"address_rate\"");
    assert_eq!(counted as u64, told + closed);
    // Who is there is served, and other addresses come in.
    let Answer::In(socket) = &mut present else { panic!("{present:?}") };
    socket.write_all(b"\x89\x80abcd").expect("it reads");
    while read_frame(socket)[0] != 0x8A {}
    assert!(is_in(&enter(&service, "127.0.0.4")));
}

/// The next frame: its first byte and its payload.
fn read_frame(socket: &mut TcpStream) -> Vec<u8> {
    let mut head = [0; 2];
    socket.read_exact(&mut head).expect("frames");
    let mut long = [0; 2];
    let length = match head[1] {
        126 => {
            socket.read_exact(&mut long).expect("a length");
            u16::from_be_bytes(long).into()
        }
        length => usize::from(length),
    };
    let mut frame = vec![head[0]; 1 + length];
    socket.read_exact(&mut frame[1..]).expect("a payload");
    frame
}

#[test]
fn row_06_connection_floods_of_many_at_once_are_answered_or_closed_and_all_are_counted() {
    let service = start(&["--address-connections-per-second", "1"]);
    // Each asks at once: who is let in has five seconds to do so.
    let flood: Vec<TcpStream> =
        (0..2_000).map(|_| ask(connect(service.public, "127.0.0.2"))).collect();
    let answers: Vec<Answer> = flood.into_iter().map(answer).collect();
    let served = answers.iter().filter(|answer| is_in(answer)).count() as u64;
    assert!((500..=500 + 120).contains(&served), "{served}");
    for answer in &answers {
        if let Answer::Refused(..) = answer {
            assert_refused(answer, 429, 4529);
        }
    }
    assert_eq!(refused(&service).values().sum::<u64>(), 2_000 - served);
    assert!(is_in(&enter(&service, "127.0.0.3")));
}

#[test]
fn row_06_connection_floods_stop_at_the_cap_of_an_address_and_places_are_given_back() {
    let service = start(&["--address-connections-max", "20"]);
    let held: Vec<Answer> = (0..20).map(|_| enter(&service, "127.0.0.2")).collect();
    assert!(held.iter().all(is_in));
    for _ in 0..5 {
        assert_refused(&enter(&service, "127.0.0.2"), 429, 4529);
    }
    // One that has not even asked has a place too.
    let silent: Vec<TcpStream> = (0..20).map(|_| connect(service.public, "127.0.0.3")).collect();
    until("their places are taken", || !is_in(&enter(&service, "127.0.0.3")));
    assert!(is_in(&enter(&service, "127.0.0.4")));
    drop(silent);
    until("places are given back at the door", || is_in(&enter(&service, "127.0.0.3")));
    // As many as went may come, and not one more: however they ended.
    for (number, answer) in held.into_iter().take(10).enumerate() {
        let Answer::In(mut socket) = answer else { continue };
        match number % 3 {
            0 => drop(socket),
            1 => {
                let linger = Some(Duration::ZERO);
                socket2::SockRef::from(&socket).set_linger(linger).expect("a reset");
            }
            _ => {
                socket.write_all(b"\x88\x80abcd").expect("it reads");
                let mut rest = Vec::new();
                socket.read_to_end(&mut rest).expect("an orderly end");
            }
        }
    }
    let mut again = Vec::new();
    until("as many come in as there are places", || {
        again.extend(Some(enter(&service, "127.0.0.2")).filter(is_in));
        again.len() == 20
    });
    for _ in 0..10 {
        assert_refused(&enter(&service, "127.0.0.2"), 429, 4529);
    }
    let reasons: Vec<String> = refused(&service).into_keys().collect();
    assert_eq!(reasons, ["address_connections"]);
}

#[test]
fn row_06_connection_floods_stop_at_the_total_with_503() {
    let service = start(&["--connections-max", "30"]);
    let mut held: Vec<Answer> =
        (0..30).map(|number| enter(&service, &format!("127.0.0.{}", 2 + number % 5))).collect();
    assert!(held.iter().all(is_in));
    for from in ["127.0.0.2", "127.0.0.99"] {
        assert_refused(&enter(&service, from), 503, 4503);
    }
    assert_eq!(refused(&service), BTreeMap::from([("connections".to_owned(), 2)]));
    held.pop();
    until("the place is given back", || is_in(&enter(&service, "127.0.0.99")));
}

#[test]
fn row_06_connection_floods_meet_limits_that_were_read_again() {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let file = folder.join(format!("limits-{}.toml", std::process::id()));
    let write = |limits: &str| {
        std::fs::write(&file, format!("[limits]\naddress_loopback = true\n{limits}"))
            .expect("a writable target folder");
    };
    write("address_connections_max = 2");
    let config = file.to_str().expect("a path of text");
    let service = Service::start(&["--config", config, "--sim-rate", "0"]);
    let mut held: Vec<Answer> = (0..2).map(|_| enter(&service, "127.0.0.2")).collect();
    assert!(held.iter().all(is_in));
    assert_refused(&enter(&service, "127.0.0.2"), 429, 4529);
    write("address_connections_max = 4");
    service.ask_to_reload();
    until("there is room for two more", || {
        let answer = enter(&service, "127.0.0.2");
        let came_in = is_in(&answer);
        held.push(answer);
        came_in
    });
    held.push(enter(&service, "127.0.0.2"));
    assert!(held.last().is_some_and(is_in));
    assert_refused(&enter(&service, "127.0.0.2"), 429, 4529);
    // Limits of what a connection may do hold for who is there already.
    write("address_connections_max = 4\nmessage_bytes_max = 1024");
    service.ask_to_reload();
    let Some(Answer::In(mut socket)) = held.pop() else { panic!("one is left") };
    let mut frame = Vec::new();
    until("long messages are too long", || {
        // It is no request, so it is answered where it is not too long.
        socket.write_all(&[&b"\x81\xfe\x08\x00abcd"[..], &[0; 2048]].concat()).expect("it reads");
        loop {
            frame = read_frame(&mut socket);
            match frame[0] {
                0x88 => return true,
                0x81 if frame.windows(5).any(|part| part == b"false") => return false,
                _ => {}
            }
        }
    });
    assert_eq!(frame[1..3], 1009_u16.to_be_bytes());
    drop(socket);
    until("its place is given back", || {
        let answer = enter(&service, "127.0.0.2");
        let came_in = is_in(&answer);
        if came_in {
            held.push(answer);
        }
        came_in
    });
    // What is wrong changes nothing; who is there stays when there are to be fewer.
    write("address_connections_max = 0");
    service.ask_to_reload();
    let mut said = Vec::new();
    until("it says what is wrong", || {
        said.extend(service.log());
        said.iter().any(|line| line.contains("limits.address_connections_max: 0 is not from 1"))
    });
    assert_refused(&enter(&service, "127.0.0.2"), 429, 4529);
    write("connections_max = 1");
    service.ask_to_reload();
    until("there is no room at all", || {
        matches!(enter(&service, "127.0.0.9"), Answer::Refused(503, ..))
    });
    let stay = held.iter().filter(|answer| is_in(answer)).count();
    until("who was there is still there, and nobody else", || {
        service.metric("tickcast_gateway_connections", "transport=\"websocket\"") == stay as f64
    });
    let _ = std::fs::remove_file(&file);
}

#[test]
fn row_06_connection_floods_from_this_machine_itself_are_let_in_out_of_the_box() {
    let service = Service::start(&["--sim-rate", "0"]);
    let all: Vec<Answer> = (0..1_100).map(|_| enter(&service, "127.0.0.1")).collect();
    assert!(all.iter().all(is_in));
    assert_eq!(refused(&service), BTreeMap::new());
}
