//! The door over real sockets: handshakes, hand-overs, limits, the end.

mod door_kit;

use door_kit::{Echo, PATIENCE, UPGRADE, assert_refusal, start, start_alone};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;
use tickcast_gateway::{DoorLimits, Transport};
use tickcast_wire::Encoding;

fn websocket() -> Transport {
    Transport::WebSocket { encoding: Encoding::Json, compress: false }
}

#[test]
fn a_websocket_is_answered_and_given_to_a_shard_ready_to_push() {
    let limits = DoorLimits::default();
    let server = start(limits.clone());
    let mut client = server.connect();
    let (status, head, _) = client.ask(UPGRADE);
    assert_eq!(status, 101);
    assert!(head.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
    assert!(!head.contains("Sec-WebSocket-Protocol"), "none was offered: {head}");

    let handoff = server.next();
    assert_eq!(handoff.transport, websocket());
    assert_eq!(handoff.peer, client.socket.local_addr().unwrap());
    assert!(handoff.read_ahead.is_empty());
    assert!(handoff.socket.nodelay().unwrap());
    let sndbuf = socket2::SockRef::from(&handoff.socket).send_buffer_size().unwrap();
    assert!(sndbuf <= 2 * limits.send_buffer_bytes, "{sndbuf}");
    let would_block = (&handoff.socket).read(&mut [0]).unwrap_err();
    assert_eq!(would_block.kind(), std::io::ErrorKind::WouldBlock);
    (&handoff.socket).write_all(b"\x81\x02hi").unwrap();
    drop(handoff);
    assert_eq!(client.rest(), b"\x81\x02hi");
}

#[test]
fn compression_is_agreed_to_unless_the_operator_has_turned_it_off() {
    let offers = "Upgrade: websocket\r\n\
        Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
    let request = UPGRADE.replace("Upgrade: websocket\r\n", offers);
    let over_http = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    for deflate in [true, false] {
        let server = start(DoorLimits { deflate, ..DoorLimits::default() });
        for kept_alive in [false, true] {
            let mut client = server.connect();
            if kept_alive {
                assert_eq!(client.ask(over_http).0, 200);
            }
            let (status, head, _) = client.ask(&request);
            assert_eq!(status, 101);
            let named = head.contains("\r\nSec-WebSocket-Extensions: permessage-deflate; ");
            assert_eq!(named, deflate, "{head}");
            let compress = deflate;
            let expected = Transport::WebSocket { encoding: Encoding::Json, compress };
            assert_eq!(server.next().transport, expected);
        }
    }
}

#[test]
fn a_head_may_come_in_any_pieces_and_what_follows_it_is_kept() {
    let server = start(DoorLimits::default());
    for cuts in [vec![1, 2, 3], vec![UPGRADE.len() - 3, UPGRADE.len() - 1], vec![UPGRADE.len() + 1]]
    {
        let mut client = server.connect();
        client.socket.set_nodelay(true).unwrap();
        let bytes = [UPGRADE.as_bytes(), b"\x81\x80abcd"].concat();
        let mut from = 0;
        for to in cuts {
            client.send(&bytes[from..to]);
            std::thread::yield_now();
            from = to;
        }
        client.send(&bytes[from..]);
        assert!(client.answer().0.starts_with("HTTP/1.1 101 "));
        let handoff = server.next();
        // Whatever had come with the head is here, the rest still in the socket.
        let mut frame = handoff.read_ahead;
        handoff.socket.set_nonblocking(false).unwrap();
        let mut rest = vec![0; 6 - frame.len()];
        (&handoff.socket).read_exact(&mut rest).unwrap();
        frame.extend(rest);
        assert_eq!(frame, b"\x81\x80abcd");
    }
}

#[test]
fn a_head_that_does_not_come_in_time_ends_the_connection() {
    // Long enough for whoever says something, however the machine pauses.
    let head_deadline = Duration::from_secs(3);
    let server = start(DoorLimits { head_deadline, ..DoorLimits::default() });
    let silent = server.connect();
    let mut slow = server.connect();
    slow.send(&UPGRADE[..40]);
    let answer = String::from_utf8(slow.rest()).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert_refusal(408, head, body, "slow");
    assert_eq!(silent.rest(), b"");
    assert_eq!(server.refused("deadline"), 2);

    // The same on a connection that was kept alive.
    let mut kept = server.connect();
    assert_eq!(kept.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").0, 200);
    kept.send("GET / HTTP/1.1\r\nHo");
    assert_eq!(kept.rest(), b"");
}

#[test]
fn heads_above_the_limits_get_431() {
    let server = start(DoorLimits::default());
    let many: String = (0..65).map(|at| format!("X-{at}: 1\r\n")).collect();
    let long = "x".repeat(9_000);
    for (name, request) in [
        ("many", format!("GET / HTTP/1.1\r\n{many}\r\n")),
        ("long", format!("GET / HTTP/1.1\r\nX: {long}\r\n\r\n")),
        ("endless", format!("GET /{long}")),
    ] {
        let mut client = server.connect();
        let (_, head, body) = client.ask(request);
        assert_refusal(431, &head, &body, name);
        drop(client.socket.shutdown(std::net::Shutdown::Write));
        assert_eq!(client.rest(), b"", "{name}");
    }
    assert_eq!(server.refused("head_too_big"), 3);
}

#[test]
fn wrong_handshakes_get_their_status_and_no_shard_sees_them() {
    let server = start(DoorLimits::default());
    let without = |line: &str| UPGRADE.replace(line, "");
    let table = [
        ("POST", UPGRADE.replace("GET", "POST"), 405),
        ("HTTP/1.0", UPGRADE.replace("HTTP/1.1", "HTTP/1.0"), 400),
        ("no Host", without("Host: a\r\n"), 400),
        ("no Upgrade", without("Upgrade: websocket\r\n"), 426),
        ("no Connection", without("Connection: Upgrade\r\n"), 400),
        ("key", UPGRADE.replace("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZQ=="), 400),
        ("version", UPGRADE.replace("Version: 13", "Version: 12"), 426),
        ("origin", UPGRADE.replace("Host: a", "Host: a\r\nOrigin: http://evil"), 403),
        ("subprotocol", UPGRADE.replace("Host: a", "Host: a\r\nSec-WebSocket-Protocol: b"), 400),
        ("garbage", "\x16\x03\x01 hello\r\n\r\n".into(), 400),
        ("SSE without a channel", "GET /v1/sse HTTP/1.1\r\nHost: a\r\n\r\n".into(), 400),
        (
            "SSE from elsewhere",
            {
                "GET /v1/sse?channel=ticker HTTP/1.1\r\nHost: a\r\nOrigin: http://evil\r\n\r\n"
                    .into()
            },
            403,
        ),
    ];
    for (name, request, status) in &table {
        // As the first request, which the door reads …
        let mut client = server.connect();
        let (_, head, body) = client.ask(request);
        assert_refusal(*status, &head, &body, name);
        assert_eq!(head.contains("Sec-WebSocket-Version: 13"), *status == 426, "{name}: {head}");
        // … and as a later one, which hyper does.
        if !["garbage", "SSE without a channel"].contains(name) {
            let mut client = server.connect();
            assert_eq!(client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").0, 200);
            let (_, head, body) = client.ask(request);
            assert_refusal(*status, &head, &body, name);
        }
    }
    assert_eq!(server.given.len(), 0);
}

#[test]
fn a_connection_that_served_requests_can_still_become_a_websocket() {
    let server = start(DoorLimits::default());
    let mut client = server.connect();
    let (status, head, body) = client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(status, 200);
    assert!(head.contains("content-type: text/html"), "{head}");
    assert!(body.contains("<title>"), "{body}");
    let (_, _, body) = client.ask("GET /v1/instruments?symbol=sim:* HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(body, r#"{"instruments":["symbol=sim:*"]}"#);
    let (status, head, _) = client.ask([UPGRADE.as_bytes(), b"\x81\x80abcd"].concat());
    assert_eq!(status, 101, "{head}");
    let handoff = server.next();
    assert_eq!((handoff.transport, &handoff.read_ahead[..]), (websocket(), &b"\x81\x80abcd"[..]));
    (&handoff.socket).write_all(b"\x81\x00").unwrap();
    drop(handoff.socket);
    assert_eq!(client.rest(), b"\x81\x00");
}

#[test]
fn requests_sent_in_one_go_are_answered_in_order_before_the_upgrade() {
    let server = start(DoorLimits::default());
    let mut client = server.connect();
    let ask = "GET /v1/snapshot?large HTTP/1.1\r\nHost: a\r\n\r\n";
    // The large answer cannot have gone out when the handshake is read.
    client.send([ask.as_bytes(), UPGRADE.as_bytes(), b"\x81\x80abcd"].concat());
    let (head, body) = client.answer();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert_eq!(body.len(), 32 << 20);
    assert!(client.answer().0.starts_with("HTTP/1.1 101 "));
    assert_eq!(server.next().read_ahead, b"\x81\x80abcd");
}

#[test]
fn events_are_handed_over_with_query_and_last_id_also_from_a_kept_alive_connection() {
    let server = start(DoorLimits::default());
    let ask = "GET /v1/sse?channel=ticker&symbol=A HTTP/1.1\r\nHost: a\r\nLast-Event-ID: 7-9\r\n\
               Origin: https://desk.example\r\n\r\n";
    for is_kept in [false, true] {
        let mut client = server.connect();
        if is_kept {
            assert_eq!(client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").0, 200);
        }
        let (status, head, _) = client.ask(ask);
        assert_eq!(status, 200);
        assert!(head.contains("Content-Type: text/event-stream\r\n"), "{head}");
        assert!(head.contains("Access-Control-Allow-Origin: https://desk.example\r\n"), "{head}");
        let handoff = server.next();
        let query = "channel=ticker&symbol=A".into();
        let want = Transport::Sse { query, last_event_id: Some("7-9".into()) };
        assert_eq!(handoff.transport, want);
        (&handoff.socket).write_all(b"data: x\n\n").unwrap();
        drop(handoff);
        assert_eq!(client.rest(), b"data: x\n\n");
    }
}

#[test]
fn paths_methods_and_origins_are_answered_as_http_says() {
    let server = start(DoorLimits::default());
    let own = format!("http://{}", server.address);
    let table = [
        ("GET", "/nothing", "", 404, ""),
        ("POST", "/nothing", "", 404, ""),
        ("GET", "/metrics", "", 404, ""),
        ("POST", "/", "", 405, ""),
        ("DELETE", "/v1/snapshot", "", 405, ""),
        ("GET", "/v1/snapshot", "", 400, ""),
        ("GET", "/v1/snapshot?channel=ticker", "", 200, ""),
        ("HEAD", "/", "", 200, ""),
        ("GET", "/v1/instruments", "http://evil", 403, ""),
        ("GET", "/v1/instruments", "null", 403, ""),
        ("GET", "/nothing", "https://desk.example", 404, "https://desk.example"),
        ("GET", "/v1/instruments", "https://desk.example", 200, "https://desk.example"),
        ("OPTIONS", "/v1/instruments", "https://desk.example", 204, "https://desk.example"),
        ("OPTIONS", "/v1/instruments", "http://evil", 403, ""),
        ("GET", "/v1/instruments", "http://localhost:5173", 200, "http://localhost:5173"),
        ("GET", "/v1/instruments", &own, 200, &own),
    ];
    for (method, target, origin, status, allowed) in table {
        let name = format!("{method} {target} {origin:?}");
        let mut client = server.connect();
        let origin = if origin.is_empty() { "".into() } else { format!("Origin: {origin}\r\n") };
        let host = server.address;
        client.send(format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n{origin}\r\n"));
        drop(client.socket.shutdown(std::net::Shutdown::Write));
        let answer = String::from_utf8(client.rest()).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{name}: {head}");
        if status >= 400 {
            assert_refusal(status, head, body, &name);
        }
        if status == 405 {
            assert!(head.to_ascii_lowercase().contains("\r\nallow: get"), "{name}: {head}");
        }
        let allow =
            head.lines().find_map(|line| line.strip_prefix("access-control-allow-origin: "));
        assert_eq!(allow.unwrap_or(""), allowed, "{name}");
    }
}

#[test]
fn connections_above_the_limit_are_told_to_come_back() {
    let server = start(DoorLimits { connections_max: 2, ..DoorLimits::default() });
    let mut first = server.connect();
    assert_eq!(first.ask(UPGRADE).0, 101);
    let mut second = server.connect();
    assert_eq!(second.ask(UPGRADE).0, 101);
    let (a, b) = (server.next(), server.next());

    let (head, body) = server.connect().answer();
    assert_refusal(503, &head, &body, "third");
    assert!(head.contains("Retry-After: "), "{head}");
    assert_eq!(server.refused("connections"), 1);

    // A shard counts a connection off when it has ended; then there is room.
    drop((a, first));
    server.connections.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
    let mut third = server.connect();
    assert_eq!(third.ask(UPGRADE).0, 101);
    drop(b);
}

#[test]
fn a_client_that_no_shard_takes_is_told_to_come_back() {
    let (server, inbox) = start_alone(DoorLimits::default(), std::sync::Arc::new(Echo), None);
    let (address, runtime) = (server.address, server.runtime);
    drop(inbox); // The shard has ended.
    let mut socket = std::net::TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.write_all(UPGRADE.as_bytes()).unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    assert_eq!(answer[end..end + 4], [0x88, 12, 0x11, 0x97], "a close frame with 4503");
    drop(runtime);
}

#[test]
fn a_client_that_takes_nothing_does_not_keep_its_place_at_the_door() {
    let progress_deadline = Duration::from_millis(100);
    let server = start(DoorLimits { progress_deadline, ..DoorLimits::default() });
    let mut client = server.connect();
    client.send("GET /v1/snapshot?large HTTP/1.1\r\nHost: a\r\n\r\n");
    client.socket.read_exact(&mut [0]).unwrap();
    // It has begun to answer and the client reads nothing more: the server alone ends it, and draining waits for that.
    server.door.drain();
    server.runtime.block_on(server.serving).unwrap();
}

#[test]
fn a_draining_door_accepts_nobody_and_ends_when_its_last_connection_has() {
    let server = start(DoorLimits::default());
    let mut kept = server.connect();
    assert_eq!(kept.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").0, 200);
    let mut begun = server.connect();
    begun.send(&UPGRADE[..30]);
    let mut given = server.connect();
    assert_eq!(given.ask(UPGRADE).0, 101);
    let handoff = server.next();

    server.door.drain();
    assert_eq!(kept.rest(), b"", "a connection that is kept alive ends");
    begun.send(&UPGRADE[30..]);
    let (head, body) = begun.answer();
    assert_refusal(503, &head, &body, "a handshake that comes too late");
    drop(begun);
    server.runtime.block_on(server.serving).unwrap();
    drop(server.shared);
    assert!(std::net::TcpStream::connect(server.address).is_err());
    (&handoff.socket).write_all(b"\x81\x00").unwrap(); // The shards' connections are untouched.
    drop(handoff);
    assert_eq!(given.rest(), b"\x81\x00");
}

#[test]
fn a_door_with_a_successor_accepts_nobody_and_serves_whom_it_has_accepted() {
    let server = start(DoorLimits::default());
    let shared = TcpListener::from(server.shared.try_clone().unwrap());
    let mut kept = server.connect();
    assert_eq!(kept.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").0, 200);
    let mut begun = server.connect();
    begun.send(&UPGRADE[..30]);
    let mut asking = server.connect();
    asking.send("GET / HTTP/1.1\r\nHo");
    let mut silent = server.connect();
    // They are at the door when the first has been answered: it accepts in order.
    assert_eq!(server.connect().ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").0, 200);

    server.door.drain_to_successor();
    assert_eq!(kept.rest(), b"", "a connection that is kept alive ends");
    begun.send(&UPGRADE[30..]);
    silent.send(UPGRADE);
    for client in [&mut begun, &mut silent] {
        assert_eq!(client.answer().0.split(' ').nth(1), Some("101"));
        drop(server.next());
    }
    asking.send("st: a\r\n\r\n");
    assert_eq!(asking.answer().0.split(' ').nth(1), Some("200"));
    drop((begun, silent, asking));
    server.runtime.block_on(server.serving).unwrap();
    // The socket goes on elsewhere: who comes now waits for the next process to accept.
    let mut late = std::net::TcpStream::connect(server.address).unwrap();
    shared.set_nonblocking(false).unwrap();
    let (mut accepted, _) = shared.accept().unwrap();
    accepted.write_all(b"x").unwrap();
    late.read_exact(&mut [0]).unwrap();
}

#[test]
fn an_answer_that_is_on_its_way_arrives_whole_when_the_door_drains() {
    // One of them takes nothing while the other one reads, however long that takes.
    let server = start(DoorLimits { progress_deadline: PATIENCE, ..DoorLimits::default() });
    let clients = ["close", "keep-alive"].map(|kept| {
        let mut client = server.connect();
        let head = "GET /v1/snapshot?large HTTP/1.1\r\nHost: a\r\nConnection: ";
        client.send(format!("{head}{kept}\r\n\r\n"));
        // It does not fit into the kernel's buffers: the server waits for its client.
        client.socket.read_exact(&mut [0]).unwrap();
        client
    });
    server.door.drain();
    for client in clients {
        assert!(client.rest().len() > 32 << 20);
    }
}
