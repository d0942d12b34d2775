//! Whom the door takes a connection to be from, and how many of them it lets in, over real sockets.
//! 127.0.0.1 stands for a trusted proxy, further addresses of this machine for everybody else.

mod door_kit;
mod tls_kit;

use door_kit::{Client, PATIENCE, Server, UPGRADE, assert_refusal, start_admitting};
use rustls::{ClientConnection, StreamOwned};
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tickcast_gateway::{Admission, AdmissionLimits, DoorLimits, Proxies};
use tls_kit::{BOTH, Files, Pair, trusting};

const GET: &str = "GET /v1/instruments HTTP/1.1\r\nHost: a\r\n\r\n";

fn admission(connections_burst: u32, connections_max: u32) -> Arc<Admission> {
    let limits = AdmissionLimits { connections_per_second: 1, connections_burst, connections_max };
    Admission::new(limits, Proxies::parse(["127.0.0.1", "10.0.0.0/8"]).unwrap(), true)
}

fn start() -> Server {
    start_admitting(DoorLimits::default(), admission(1_000, 1_000), None)
}

fn upgrade_for(forwarded: &str) -> String {
    UPGRADE.replace("Host: a\r\n", &format!("Host: a\r\nX-Forwarded-For: {forwarded}\r\n"))
}

fn v2(client: [u8; 4]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    header.extend(client);
    header.extend([127, 0, 0, 1, 0x12, 0x34, 0, 80]);
    header
}

fn v1(client: &str) -> Vec<u8> {
    format!("PROXY TCP4 {client} 127.0.0.1 4660 80\r\n").into_bytes()
}

#[test]
fn a_proxys_header_says_whom_a_connection_is_from() {
    let server = start();
    for (header, client) in [
        (v1("198.51.100.7"), Some("198.51.100.7:4660")),
        (v2([198, 51, 100, 8]), Some("198.51.100.8:4660")),
        (b"PROXY TCP6 2001:db8::7 ::1 1 2\r\n".to_vec(), Some("[2001:db8::7]:1")),
        // The proxy speaks for itself, or says nothing.
        (b"PROXY UNKNOWN\r\n".to_vec(), None),
        (b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0".to_vec(), None),
        (Vec::new(), None),
    ] {
        for cut in [0, 1, 5, header.len() / 2, header.len()] {
            let mut proxy = server.connect();
            proxy.socket.set_nodelay(true).unwrap();
            let bytes = [&header[..], UPGRADE.as_bytes(), b"\x81\x80abcd"].concat();
            proxy.send(&bytes[..cut]);
            std::thread::yield_now();
            proxy.send(&bytes[cut..]);
            assert!(proxy.answer().0.starts_with("HTTP/1.1 101 "));
            let handoff = server.next();
            let own = proxy.socket.local_addr().unwrap();
            assert_eq!(handoff.peer, client.map_or(own, |client| client.parse().unwrap()));
            assert_eq!(frame_after(handoff), b"\x81\x80abcd");
        }
    }
}

/// What followed the handshake, wherever it is by now.
fn frame_after(handoff: tickcast_gateway::Handoff) -> Vec<u8> {
    let mut frame = handoff.read_ahead;
    handoff.socket.set_nonblocking(false).unwrap();
    let mut rest = vec![0; 6 - frame.len()];
    (&handoff.socket).read_exact(&mut rest).unwrap();
    frame.extend(rest);
    frame
}

#[test]
fn a_header_comes_before_tls() {
    let pair = Pair::new();
    let files = Files::of(&pair);
    let (config, trusting) = (files.load().config().unwrap(), Arc::new(trusting(&pair, BOTH)));
    let server = start_admitting(DoorLimits::default(), admission(1_000, 1_000), Some(config));
    for (header, client) in [
        (v1("198.51.100.7"), Some("198.51.100.7:4660")),
        (v2([198, 51, 100, 8]), Some("198.51.100.8:4660")),
        (Vec::new(), None),
    ] {
        let mut proxy = server.connect();
        proxy.send(&header);
        let own = proxy.socket.local_addr().unwrap();
        let session = ClientConnection::new(trusting.clone(), "localhost".try_into().unwrap());
        let mut tls = StreamOwned::new(session.unwrap(), proxy.socket);
        tls.write_all(UPGRADE.as_bytes()).unwrap();
        let mut status = [0; 12];
        tls.read_exact(&mut status).unwrap();
        assert_eq!(&status, b"HTTP/1.1 101");
        assert_eq!(server.next().peer, client.map_or(own, |client| client.parse().unwrap()));
    }
    // What is neither a header nor TLS.
    let mut proxy = server.connect();
    proxy.send("P");
    proxy.send("OST / HTTP/1.1\r\n\r\n");
    assert!(is_ended(proxy));
}

fn is_ended(mut client: Client) -> bool {
    // An end or a reset: nothing is said either way.
    let mut rest = Vec::new();
    let _ = client.socket.read_to_end(&mut rest);
    rest.is_empty() || !rest.starts_with(b"HTTP")
}

#[test]
fn malformed_and_late_headers_end_the_connection_and_are_counted() {
    let server = start();
    for bytes in [
        &b"PROXY TCP4 1.2.3.4\r\nGET / HTTP/1.1\r\n\r\n"[..],
        b"PROXY TCP4 nonsense nonsense 1 2\r\n",
        &[b"PROXY UNKNOWN ", &[b'x'; 200][..]].concat(),
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
        b"\r\n\r\n\0\r\nQUIT\n\x51\x11\0\x0c0123456789ab",
    ] {
        let mut proxy = server.connect();
        proxy.send(bytes);
        assert!(is_ended(proxy), "{bytes:?}");
    }
    assert_eq!(server.refused("proxy_header"), 5);
    let head_deadline = Duration::from_millis(100);
    let limits = DoorLimits { head_deadline, ..DoorLimits::default() };
    let server = start_admitting(limits, admission(1_000, 1_000), None);
    for bytes in [&b"PROXY TCP4 1.2.3.4 "[..], b"\r\n\r\n\0\r\nQUIT\n\x21"] {
        let mut proxy = server.connect();
        proxy.send(bytes);
        assert!(is_ended(proxy), "{bytes:?}");
    }
    assert_eq!(server.refused("deadline"), 2);
    assert_eq!(server.given.len(), 0);
}

#[test]
fn what_only_begins_like_a_header_is_a_request() {
    let server = start();
    let mut proxy = server.connect();
    proxy.socket.set_nodelay(true).unwrap();
    proxy.send("P");
    std::thread::yield_now();
    let (status, head, body) = proxy.ask("OST /v1/ws HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(status, 405);
    assert_refusal(405, &head, &body, "POST");
}

#[test]
fn nobody_but_a_trusted_proxy_is_believed() {
    let server = start();
    for header in [v1("198.51.100.7"), v2([198, 51, 100, 8])] {
        let mut client = server.connect_from("127.0.0.9");
        let (status, head, body) = client.ask([&header[..], UPGRADE.as_bytes()].concat());
        assert_refusal(status, &head, &body, "a header from a client");
        assert_eq!(status, 400);
    }
    let mut client = server.connect_from("127.0.0.9");
    assert_eq!(client.ask(upgrade_for("198.51.100.7")).0, 101);
    assert_eq!(server.next().peer, client.socket.local_addr().unwrap());
    // A proxy that names a client does not make that client a proxy.
    let mut proxy = server.connect();
    let bytes = [&v1("127.0.0.9")[..], upgrade_for("198.51.100.7").as_bytes()].concat();
    assert_eq!(proxy.ask(bytes).0, 101);
    assert_eq!(server.next().peer.to_string(), "127.0.0.9:4660");
}

#[test]
fn forwarded_for_says_whom_a_request_is_from() {
    let server = start();
    for (forwarded, client) in [
        ("198.51.100.7", "198.51.100.7:0"),
        ("6.6.6.6, 198.51.100.7", "198.51.100.7:0"),
        ("6.6.6.6\r\nx-forwarded-for: 198.51.100.7, 10.1.1.1", "198.51.100.7:0"),
        ("2001:db8::7", "[2001:db8::7]:0"),
    ] {
        let mut proxy = server.connect();
        assert_eq!(proxy.ask(upgrade_for(forwarded)).0, 101);
        assert_eq!(server.next().peer.to_string(), client, "{forwarded}");
        // The same as a later request on a connection that the proxy keeps for everybody.
        let mut proxy = server.connect();
        assert_eq!(proxy.ask(GET).0, 200);
        assert_eq!(proxy.ask(upgrade_for(forwarded)).0, 101);
        assert_eq!(server.next().peer.to_string(), client, "{forwarded}");
    }
    for forwarded in ["nonsense", "", "198.51.100.7, unknown"] {
        let mut proxy = server.connect();
        assert_eq!(proxy.ask(upgrade_for(forwarded)).0, 101);
        assert_eq!(server.next().peer, proxy.socket.local_addr().unwrap(), "{forwarded}");
    }
    // One proxy behind another.
    let mut proxy = server.connect();
    let bytes = [&v1("10.0.0.5")[..], upgrade_for("198.51.100.7").as_bytes()].concat();
    assert_eq!(proxy.ask(bytes).0, 101);
    assert_eq!(server.next().peer.to_string(), "198.51.100.7:0");
}

#[test]
fn connections_of_one_address_are_limited_however_they_come() {
    let admission = admission(1_000, 2);
    let server = start_admitting(DoorLimits::default(), admission, None);
    let mut held = Vec::new();
    let mut ask = |name: &str, expected: u16, mut client: Client, bytes: Vec<u8>| {
        let (status, head, body) = client.ask(bytes);
        assert_eq!(status, expected, "{name}: {head}{body}");
        if status == 429 {
            assert_refusal(429, &head, &body, name);
            assert!(head.to_ascii_lowercase().contains("retry-after: "), "{name}: {head}");
        } else {
            held.push((client, server.next()));
        }
    };
    let direct = || server.connect_from("127.0.0.9");
    let by_header = |client: &str| [&v1(client)[..], UPGRADE.as_bytes()].concat();
    ask("direct", 101, direct(), UPGRADE.into());
    ask("by header", 101, server.connect(), by_header("127.0.0.9"));
    ask("direct", 429, direct(), UPGRADE.into());
    ask("by header", 429, server.connect(), by_header("127.0.0.9"));
    ask("forwarded", 429, server.connect(), upgrade_for("127.0.0.9").into());
    let mut kept = server.connect();
    assert_eq!(kept.ask(GET).0, 200);
    ask("forwarded later", 429, kept, upgrade_for("127.0.0.9").into());
    ask("another", 101, server.connect(), upgrade_for("127.0.0.10").into());
    ask("another", 101, server.connect_from("127.0.0.10"), UPGRADE.into());
    ask("another", 429, server.connect_from("127.0.0.10"), UPGRADE.into());
    assert_eq!(server.refused("address_connections"), 5);
    // The proxy's own are nobody's.
    for _ in 0..5 {
        ask("the proxy itself", 101, server.connect(), UPGRADE.into());
    }
}

#[test]
fn a_place_at_the_door_is_given_back_when_the_connection_ends() {
    let server = start_admitting(DoorLimits::default(), admission(1_000, 1), None);
    for request in [GET, "GET /v1/ws HTTP/1.1\r\nHost: a\r\n\r\n", "nonsense\r\n\r\n", ""] {
        let mut client = server.connect_from("127.0.0.9");
        if !request.is_empty() {
            client.send(request);
            let head = client.answer().0;
            assert!(!head.contains(" 429 "), "{request}: {head}");
        }
        drop(client);
        let deadline = Instant::now() + PATIENCE;
        while server.door.connections() > 0 {
            assert!(Instant::now() < deadline, "{request}: it ends");
            std::thread::yield_now();
        }
    }
}

#[test]
fn new_connections_of_one_address_come_no_faster_than_they_may() {
    let server = start_admitting(DoorLimits::default(), admission(3, 1_000), None);
    until_refused(|| ask_head(server.connect_from("127.0.0.9"), GET));
    assert!(ask_head(server.connect_from("127.0.0.10"), GET).contains(" 200 "));
    assert_eq!(server.refused("address_rate"), 1);
    // Requests over a proxy's one connection are counted each for whom it is from.
    let mut proxy = server.connect();
    let mut get_for = |client: &str| {
        let forwarded = format!("Host: a\r\nX-Forwarded-For: {client}\r\n");
        proxy.ask(GET.replace("Host: a\r\n", &forwarded)).1
    };
    until_refused(|| get_for("198.51.100.1"));
    assert!(get_for("198.51.100.2").contains(" 200 "));
    assert_eq!(server.refused("address_rate"), 2);
}

/// Asks until it is refused for the first time: after the burst of three, and one more for each
/// second that has passed.
fn until_refused(mut ask: impl FnMut() -> String) {
    let began = Instant::now();
    for number in 0.. {
        let head = ask().to_ascii_lowercase();
        let may_come = 3 + began.elapsed().as_secs();
        let is_refused = head.starts_with("http/1.1 429 ");
        assert_eq!(head.contains("retry-after: "), is_refused, "{head}");
        if is_refused {
            assert!(number >= 3, "{number} came in, {may_come} may");
            return;
        }
        assert!(head.starts_with("http/1.1 200 ") && number < may_come, "{number}: {head}");
    }
}

fn ask_head(mut client: Client, request: &str) -> String {
    client.send(request);
    client.answer().0
}
