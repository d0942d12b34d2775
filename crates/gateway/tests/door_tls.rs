//! The door behind TLS, over real sockets: everything that works plain, and what a handshake may
//! do wrong.

mod door_kit;
mod tls_kit;

use door_kit::{Server, UPGRADE, start_tls};
use rustls::HandshakeKind;
use rustls::version::{TLS12, TLS13};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;
use tickcast_gateway::DoorLimits;
use tls_kit::{BOTH, Files, Pair, Tls, connect, trusting};

const GET: &str = "GET /v1/instruments?a HTTP/1.1\r\nHost: a\r\n\r\n";

struct Secured {
    server: Server,
    pair: Pair,
    _files: Files,
}

fn secured(limits: DoorLimits) -> Secured {
    let pair = Pair::new();
    let files = Files::of(&pair);
    Secured { server: start_tls(limits, files.load().config().unwrap()), pair, _files: files }
}

impl Secured {
    fn connect(&self) -> Tls {
        connect(self.server.address, &Arc::new(trusting(&self.pair, BOTH)))
    }

    /// Waits until the door has counted so many refusals for this reason.
    fn until_refused(&self, reason: &str, count: u64) {
        let deadline = std::time::Instant::now() + door_kit::PATIENCE;
        while self.server.refused(reason) < count {
            assert!(std::time::Instant::now() < deadline, "{reason}: {count} refusals");
            std::thread::yield_now();
        }
    }
}

/// Reads the head and body of an answer.
fn answer(tls: &mut Tls) -> (String, String) {
    let mut read = Vec::new();
    let mut byte = [0];
    while !read.ends_with(b"\r\n\r\n") {
        tls.read_exact(&mut byte).unwrap();
        read.push(byte[0]);
    }
    let head = String::from_utf8(read).unwrap();
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    tls.read_exact(&mut body).unwrap();
    (head, String::from_utf8(body).unwrap())
}

#[test]
fn a_websocket_reaches_its_shard_with_its_keys_and_what_came_with_the_head() {
    for versions in [&[&TLS12], &[&TLS13]] {
        let secured = secured(DoorLimits::default());
        let mut client =
            connect(secured.server.address, &Arc::new(trusting(&secured.pair, versions)));
        client.write_all(&[UPGRADE.as_bytes(), b"\x81\x80abcd"].concat()).unwrap();
        assert!(answer(&mut client).0.starts_with("HTTP/1.1 101 "));
        let handoff = secured.server.next();
        assert!(handoff.tls.is_some());
        assert_eq!(handoff.read_ahead, b"\x81\x80abcd");
    }
}

#[test]
fn requests_are_answered_and_their_connection_can_still_become_a_websocket() {
    let secured = secured(DoorLimits::default());
    let mut client = secured.connect();
    for _ in 0..3 {
        client.write_all(GET.as_bytes()).unwrap();
        assert_eq!(answer(&mut client).1, "{\"instruments\":[\"a\"]}");
    }
    client.write_all(b"GET /v1/snapshot?large HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(answer(&mut client).1.len(), 32 << 20, "more than any buffer holds");
    client.write_all(UPGRADE.as_bytes()).unwrap();
    assert!(answer(&mut client).0.starts_with("HTTP/1.1 101 "));
    assert!(secured.server.next().tls.is_some());
}

#[test]
fn a_client_that_comes_back_resumes() {
    for version in [&TLS12, &TLS13] {
        let secured = secured(DoorLimits::default());
        let config = Arc::new(trusting(&secured.pair, &[version]));
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let mut client = connect(secured.server.address, &config);
            client.write_all(GET.as_bytes()).unwrap();
            assert!(answer(&mut client).0.starts_with("HTTP/1.1 200 "));
            assert_eq!(client.conn.handshake_kind(), Some(kind), "{version:?}");
        }
    }
}

#[test]
fn nothing_but_http_1_1_is_spoken_inside() {
    let secured = secured(DoorLimits::default());
    for (offered, agreed) in
        [(&["h2"][..], None), (&["h2", "http/1.1"], Some("http/1.1")), (&[], Some(""))]
    {
        let mut config = trusting(&secured.pair, BOTH);
        config.alpn_protocols = offered.iter().map(|name| name.as_bytes().to_vec()).collect();
        let mut client = connect(secured.server.address, &Arc::new(config));
        let written = client.write_all(GET.as_bytes()).and_then(|()| client.flush());
        match agreed {
            None => {
                let error = written.and_then(|()| client.read(&mut [0])).unwrap_err();
                assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");
            }
            Some(name) => {
                assert!(answer(&mut client).0.starts_with("HTTP/1.1 200 "));
                assert_eq!(client.conn.alpn_protocol().unwrap_or_default(), name.as_bytes());
            }
        }
    }
    // Counted when the connection has gone.
    secured.until_refused("tls", 1);
    assert_eq!(secured.server.refused("tls"), 1);
}

#[test]
fn whoever_does_not_speak_tls_is_closed() {
    let secured = secured(DoorLimits::default());
    let mut random = fastrand::Rng::with_seed(11);
    let noise = |first: &[u8], random: &mut fastrand::Rng| {
        let more: Vec<u8> = (0..2_000).map(|_| random.u8(..)).collect();
        [first, &more].concat()
    };
    let mut table = vec![
        GET.as_bytes().to_vec(),
        UPGRADE.as_bytes().to_vec(),
        b"\x16\x03\x01\xff\xff\x01".to_vec(), // A record that is longer than any.
        b"\x15\x03\x03\x00\x02\x02\x28".to_vec(), // An alert.
        b"\x17\x03\x03\x00\x05hello".to_vec(),
        b"\x16\x03\x01\x00\x00".repeat(100), // Nothing, very often.
    ];
    for _ in 0..20 {
        table.push(noise(b"", &mut random));
        table.push(noise(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", &mut random));
    }
    for (number, bytes) in table.iter().enumerate() {
        let mut socket = TcpStream::connect(secured.server.address).unwrap();
        socket.set_read_timeout(Some(door_kit::PATIENCE)).unwrap();
        socket.write_all(bytes).unwrap();
        // Some wait for more of what they say; then this is the end. Others may have ended it by now.
        drop(socket.shutdown(std::net::Shutdown::Write));
        let mut rest = Vec::new();
        match socket.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{number}"),
        }
        assert!(!rest.windows(4).any(|four| four == b"HTTP"), "{number}: answered in the clear");
    }
    secured.until_refused("tls", table.len() as u64);
    assert_eq!(secured.server.given.len(), 0);
}

#[test]
fn a_handshake_that_does_not_come_in_time_ends_the_connection() {
    let tls_deadline = Duration::from_millis(150);
    let secured = secured(DoorLimits { tls_deadline, ..DoorLimits::default() });
    let silent = TcpStream::connect(secured.server.address).unwrap();
    let mut stalled = TcpStream::connect(secured.server.address).unwrap();
    stalled.write_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03").unwrap();
    for mut socket in [silent, stalled] {
        socket.set_read_timeout(Some(door_kit::PATIENCE)).unwrap();
        let end = socket.read(&mut [0]);
        assert!(
            matches!(&end, Ok(0)) || end.is_err_and(|e| e.kind() == ErrorKind::ConnectionReset)
        );
    }
    secured.until_refused("deadline", 2);
}

#[test]
fn a_head_that_does_not_come_in_time_is_told_so_inside() {
    // From accepting the connection on: the handshake and a pause of the machine fit into it.
    let head_deadline = Duration::from_secs(3);
    let secured = secured(DoorLimits { head_deadline, ..DoorLimits::default() });
    let mut client = secured.connect();
    client.write_all(&UPGRADE.as_bytes()[..40]).unwrap();
    let mut said = String::new();
    client.read_to_string(&mut said).expect("an end in order");
    assert!(said.starts_with("HTTP/1.1 408 "), "{said}");
}

#[test]
fn one_connection_too_many_is_told_so_inside() {
    let secured = secured(DoorLimits { connections_max: 0, ..DoorLimits::default() });
    let mut client = secured.connect();
    client.write_all(GET.as_bytes()).unwrap();
    let (head, body) = answer(&mut client);
    assert!(head.starts_with("HTTP/1.1 503 ") && head.contains("Retry-After"), "{head}");
    assert!(body.contains("4503"), "{body}");
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).expect("an end in order");
}

#[test]
fn a_client_that_goes_without_a_word_leaves_nothing_behind() {
    let secured = secured(DoorLimits::default());
    let mut client = secured.connect();
    client.write_all(GET.as_bytes()).unwrap();
    answer(&mut client);
    drop(client.sock); // No close_notify.
    let deadline = std::time::Instant::now() + door_kit::PATIENCE;
    while secured.server.door.connections() > 0 {
        assert!(std::time::Instant::now() < deadline, "it is forgotten");
        std::thread::yield_now();
    }
}
