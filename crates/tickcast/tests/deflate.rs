//! Compression at the real binary: who gets it, what an operator sees of it, and bombs.

mod service;

use flate2::{Compression, write::DeflateEncoder};
use service::{PATIENCE, Service, Stream};
use std::io::{Read, Write};

/// How many bombs one service is sent.
const BOMBS: usize = 200;

/// What they may leave behind, in KiB: it is measured from outside, in pages, with all that the
/// process does meanwhile. One bomb says 50 MiB.
const GROWTH_KIB_MAX: u64 = 4 << 10;

/// The compressed form of a message (RFC 7692, section 7.2.1).
fn deflate(message: &[u8]) -> Vec<u8> {
    let mut out = DeflateEncoder::new(Vec::new(), Compression::best());
    out.write_all(message).and_then(|()| out.flush()).expect("memory takes everything");
    let mut whole = out.get_ref().clone();
    whole.truncate(whole.len() - 4);
    whole
}

/// A frame as a client sends it, its mask all zeros.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..=125 => frame.push(0x80 | length as u8),
        length => {
            frame.push(0x80 | 126);
            let length = u16::try_from(length).expect("messages are shorter than 64 KiB");
            frame.extend(length.to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

/// A connection that has offered compression, and the head of the answer.
fn upgrade(service: &Service) -> (Stream, String) {
    let mut stream = service.stream();
    stream.set_read_timeout(PATIENCE);
    let request = format!(
        "GET /v1/ws HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n",
        service.public
    );
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("it answers");
        head.push(byte[0]);
    }
    (stream, String::from_utf8(head).expect("a head is text"))
}

/// The next frame: its first byte and its payload.
fn frame(stream: &mut Stream) -> (u8, Vec<u8>) {
    let mut head = [0; 2];
    stream.read_exact(&mut head).expect("a frame");
    let length = match head[1] {
        126 => {
            let mut wide = [0; 2];
            stream.read_exact(&mut wide).expect("a length");
            usize::from(u16::from_be_bytes(wide))
        }
        127 => {
            let mut wide = [0; 8];
            stream.read_exact(&mut wide).expect("a length");
            u64::from_be_bytes(wide) as usize
        }
        short => usize::from(short),
    };
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).expect("a payload");
    (head[0], payload)
}

/// Reads to the end in order; the close code.
fn close_code(stream: &mut Stream) -> u16 {
    loop {
        let (first, payload) = frame(stream);
        if first == 0x88 {
            assert_eq!(stream.read(&mut [0]).expect("an orderly end"), 0);
            return u16::from_be_bytes([payload[0], payload[1]]);
        }
    }
}

/// The most memory that the process has ever had, in KiB.
fn memory_max(service: &Service) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", service.pid())).expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[test]
fn bombs_are_closed_with_1009_and_leave_no_memory_behind() {
    let service = Service::start(&["--shards", "1", "--sim-instruments", "5", "--sim-rate", "10"]);
    let bomb = masked(0xC1, &deflate(&vec![b' '; 50 << 20]));
    let throw = || {
        let (mut stream, _) = upgrade(&service);
        stream.write_all(&bomb).expect("it reads");
        assert_eq!(close_code(&mut stream), 1009);
    };
    (0..10).for_each(|_| throw());
    let before = memory_max(&service);
    (0..BOMBS).for_each(|_| throw());
    let grown = memory_max(&service) - before;
    assert!(grown <= GROWTH_KIB_MAX, "{grown} KiB for {BOMBS} bombs of 50 MiB each");
    let closed = service.metric("tickcast_gateway_connections_closed_total", "1009");
    assert_eq!(closed, (10 + BOMBS) as f64);
    println!("{BOMBS} bombs of 50 MiB each: the peak of memory grew by {grown} KiB");
}

#[test]
fn what_is_not_deflate_and_what_is_not_text_is_closed_with_1007() {
    let service = Service::start(&["--shards", "1", "--sim-instruments", "1", "--sim-rate", "1"]);
    for payload in [&b"{\"method\":\"ping\"}"[..], &deflate(b"\xFF"), &[]] {
        let (mut stream, _) = upgrade(&service);
        stream.write_all(&masked(0xC1, payload)).expect("it reads");
        assert_eq!(close_code(&mut stream), 1007, "{payload:?}");
    }
}

#[test]
fn an_operator_sees_what_compression_saves_and_can_turn_it_off() {
    let subscribe =
        br#"{"method":"subscribe","params":{"channel":"book","symbol":"sim:*","depth":500}}"#;
    for (mode, is_on) in [("on", true), ("off", false)] {
        let service =
            Service::start(&["--shards", "1", "--sim-instruments", "3", "--deflate", mode]);
        let (mut stream, head) = upgrade(&service);
        assert_eq!(head.contains("\r\nSec-WebSocket-Extensions: permessage-deflate; "), is_on);
        let request = if is_on { deflate(subscribe) } else { subscribe.to_vec() };
        stream.write_all(&masked(if is_on { 0xC1 } else { 0x81 }, &request)).expect("it reads");
        let long = loop {
            let (first, payload) = frame(&mut stream);
            if first == 0xC1 || payload.len() >= 1 << 10 {
                break first;
            }
        };
        assert_eq!(long, if is_on { 0xC1 } else { 0x81 });
        // A turn's figures are there when an answer of a later one has come.
        stream.write_all(&masked(0x81, br#"{"method":"ping"}"#)).expect("it reads");
        while !frame(&mut stream).1.starts_with(br#"{"method":"pong""#) {}
        let bytes = |form| {
            let labels = format!("direction=\"out\",form=\"{form}\"");
            service.metric("tickcast_gateway_compressed_bytes_total", &labels)
        };
        let (plain, compressed) = (bytes("plain"), bytes("compressed"));
        assert_eq!(plain > 0.0, is_on, "{plain}");
        assert!(!is_on || compressed < 0.7 * plain, "{compressed} of {plain}");
        let came = service.metric("tickcast_gateway_compressed_messages_total", "direction=\"in\"");
        assert_eq!(came, f64::from(u8::from(is_on)));
    }
}
