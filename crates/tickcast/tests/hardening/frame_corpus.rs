//! Sequences of frames that break the protocol, and the close code that each must be answered
//! with. Data only; how they are sent is `frames`' business.

use crate::raw::frame;

/// A sequence of bytes after the handshake and what they must be closed with.
pub(crate) struct Sequence {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) code: u16,
}

const FIN: u8 = 0x80;
const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// A frame without a mask.
fn bare(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        length @ 0..=125 => out.push(length as u8),
        length => {
            out.push(126);
            out.extend((length as u16).to_be_bytes());
        }
    }
    out.extend(payload);
    out
}

/// A masked head that declares a length in the form given, with zeros as mask.
fn head(first: u8, second: u8, length: &[u8]) -> Vec<u8> {
    [&[first, 0x80 | second], length, &[0; 4]].concat()
}

fn join(parts: &[Vec<u8>]) -> Vec<u8> {
    parts.concat()
}

/// The whole corpus.
pub(crate) fn sequences() -> Vec<Sequence> {
    let mut all = Vec::new();
    let mut add = |name: &str, code: u16, bytes: Vec<u8>| {
        all.push(Sequence { name: name.to_owned(), bytes, code });
    };
    unmasked(&mut add);
    reserved(&mut add);
    control(&mut add);
    fragments(&mut add);
    lengths(&mut add);
    closes(&mut add);
    not_utf8(&mut add);
    too_big(&mut add);
    after_good_ones(&mut add);
    all
}

type Add<'a> = &'a mut dyn FnMut(&str, u16, Vec<u8>);

fn unmasked(add: Add<'_>) {
    for (name, bytes) in [
        ("unmasked text", bare(FIN | TEXT, b"{}")),
        ("unmasked empty text", bare(FIN | TEXT, b"")),
        ("unmasked binary", bare(FIN | BINARY, b"{}")),
        ("unmasked ping", bare(FIN | PING, b"hello")),
        ("unmasked pong", bare(FIN | PONG, b"hello")),
        ("unmasked close", bare(FIN | CLOSE, &1000u16.to_be_bytes())),
        ("unmasked text of 16 bits", bare(FIN | TEXT, &[b' '; 300])),
        ("unmasked first fragment", bare(TEXT, b"{")),
        ("unmasked continuation", join(&[frame(TEXT, b"{"), bare(FIN, b"}")])),
        ("unmasked ping inside a message", join(&[frame(TEXT, b"{"), bare(FIN | PING, b"")])),
    ] {
        add(name, 1002, bytes);
    }
}

fn reserved(add: Add<'_>) {
    for (bits, name) in [(0x40, "RSV1"), (0x20, "RSV2"), (0x10, "RSV3"), (0x70, "all RSV")] {
        add(&format!("{name} on text"), 1002, frame(FIN | bits | TEXT, b"{}"));
    }
    add("RSV1 on a ping", 1002, frame(FIN | 0x40 | PING, b""));
    add("RSV1 on a close", 1002, frame(FIN | 0x40 | CLOSE, &1000u16.to_be_bytes()));
    add("RSV2 on a pong", 1002, frame(FIN | 0x20 | PONG, b""));
    add("RSV3 on a close", 1002, frame(FIN | 0x10 | CLOSE, b""));
    add("RSV1 on a continuation", 1002, join(&[frame(TEXT, b"{"), frame(FIN | 0x40, b"}")]));
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        add(&format!("opcode {opcode}"), 1002, frame(FIN | opcode, b"?"));
    }
    add("opcode 3 in fragments", 1002, frame(3, b"?"));
    add("opcode 11 in fragments", 1002, frame(11, b"?"));
    add("opcode 4 inside a message", 1002, join(&[frame(TEXT, b"{"), frame(FIN | 4, b"}")]));
}

fn control(add: Add<'_>) {
    for (opcode, name) in [(PING, "ping"), (PONG, "pong"), (CLOSE, "close")] {
        add(&format!("a {name} in fragments"), 1002, frame(opcode, b""));
        add(&format!("a {name} of 126 bytes"), 1002, frame(FIN | opcode, &[b'x'; 126]));
        let wide = head(FIN | opcode, 127, &70_000u64.to_be_bytes());
        add(&format!("a {name} of 70,000 bytes"), 1002, wide);
        let long_form = head(FIN | opcode, 126, &5u16.to_be_bytes());
        add(&format!("a {name} of 5 bytes in a long form"), 1002, long_form);
    }
    let inside = join(&[frame(TEXT, b"{"), frame(PING, b"")]);
    add("a ping in fragments inside a message", 1002, inside);
}

fn fragments(add: Add<'_>) {
    for (name, bytes) in [
        ("text inside text", join(&[frame(TEXT, b"{"), frame(FIN | TEXT, b"}")])),
        ("binary inside text", join(&[frame(TEXT, b"{"), frame(FIN | BINARY, b"}")])),
        ("text inside binary", join(&[frame(BINARY, b"{"), frame(FIN | TEXT, b"}")])),
        ("a second first fragment", join(&[frame(TEXT, b"{"), frame(TEXT, b"}")])),
        (
            "text after a continuation",
            join(&[frame(TEXT, b"{"), frame(0, b" "), frame(FIN | TEXT, b"}")]),
        ),
        ("a continuation of nothing", frame(FIN | CONTINUATION, b"{}")),
        ("a first continuation of nothing", frame(CONTINUATION, b"{")),
        ("an empty continuation of nothing", frame(FIN | CONTINUATION, b"")),
        (
            "a continuation after a whole message",
            join(&[frame(FIN | TEXT, br#"{"method":"ping"}"#), frame(FIN | CONTINUATION, b"}")]),
        ),
        (
            "a continuation after a finished one",
            join(&[
                frame(TEXT, br#"{"method":"#),
                frame(FIN | CONTINUATION, br#""ping"}"#),
                frame(FIN | CONTINUATION, b""),
            ]),
        ),
        ("a continuation after a ping", join(&[frame(FIN | PING, b""), frame(FIN, b"x")])),
    ] {
        add(name, 1002, bytes);
    }
}

fn lengths(add: Add<'_>) {
    for (name, bytes) in [
        ("5 bytes in 16 bits", head(FIN | TEXT, 126, &5u16.to_be_bytes())),
        ("125 bytes in 16 bits", head(FIN | TEXT, 126, &125u16.to_be_bytes())),
        ("no bytes in 16 bits", head(FIN | TEXT, 126, &0u16.to_be_bytes())),
        ("5 bytes in 64 bits", head(FIN | TEXT, 127, &5u64.to_be_bytes())),
        ("65,535 bytes in 64 bits", head(FIN | TEXT, 127, &65_535u64.to_be_bytes())),
        ("a length with its highest bit set", head(FIN | TEXT, 127, &(1u64 << 63).to_be_bytes())),
        ("a length of all ones", head(FIN | BINARY, 127, &u64::MAX.to_be_bytes())),
    ] {
        add(name, 1002, bytes);
    }
}

fn closes(add: Add<'_>) {
    add("a close with half a code", 1002, frame(FIN | CLOSE, &[3]));
    for code in [0u16, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
        let bytes = frame(FIN | CLOSE, &code.to_be_bytes());
        add(&format!("a close with code {code}"), 1002, bytes);
    }
    let with = |reason: &[u8]| frame(FIN | CLOSE, &[&1000u16.to_be_bytes(), reason].concat());
    add("a close reason that is not UTF-8", 1007, with(b"\xFF\xFE"));
    add("a close reason that ends inside a character", 1007, with(b"\xE2\x82"));
    // What may be sent comes back.
    add("a close without a code", 1000, frame(FIN | CLOSE, b""));
    for code in [1000u16, 1001, 1003, 1011, 3000, 4000, 4999] {
        let bytes = frame(FIN | CLOSE, &[&code.to_be_bytes()[..], b"bye"].concat());
        add(&format!("a good close with code {code}"), code, bytes);
    }
    let then = join(&[frame(FIN | CLOSE, &1000u16.to_be_bytes()), bare(FIN | TEXT, b"{}")]);
    add("a bad frame after a close", 1000, then);
}

fn not_utf8(add: Add<'_>) {
    for (name, bytes) in [
        ("a lone FF", &b"\xFF"[..]),
        ("a lone continuation byte", b"a\x80"),
        ("an overlong slash", b"\xC0\xAF"),
        ("an overlong NUL", b"\xE0\x80\x80"),
        ("a surrogate", b"\xED\xA0\x80"),
        ("beyond the last character", b"\xF4\x90\x80\x80"),
        ("five bytes", b"\xF8\x88\x80\x80\x80"),
        ("a message that ends inside a character", b"ab\xE2\x82"),
    ] {
        add(name, 1007, frame(FIN | TEXT, bytes));
    }
    for (name, bytes) in [
        ("bad across fragments", join(&[frame(TEXT, b"\xE2"), frame(FIN, b"\x28\xA1")])),
        ("a last fragment that ends inside a character", {
            join(&[frame(TEXT, b"\xE2"), frame(FIN, b"\x82")])
        }),
        ("an end inside a character by an empty fragment", {
            join(&[frame(TEXT, b"\xF0\x9F\x98"), frame(FIN, b"")])
        }),
        ("a bad first fragment without the rest", frame(TEXT, b"\xFF")),
        ("a bad byte in a frame that is not whole", {
            let mut whole = frame(FIN | TEXT, b"abc\xFFabcdefghijklmnopq");
            whole.truncate(12);
            whole
        }),
        ("a ping between the halves of a bad character", {
            join(&[frame(TEXT, b"\xE2"), frame(FIN | PING, b""), frame(FIN, b"\x28")])
        }),
    ] {
        add(name, 1007, bytes);
    }
}

fn too_big(add: Add<'_>) {
    let declared = |opcode: u8, length: u64| head(FIN | opcode, 127, &length.to_be_bytes());
    add("one byte more than may be declared", 1009, declared(TEXT, 65_537));
    add("a terabyte declared", 1009, declared(TEXT, 1 << 40));
    add("the longest length declared", 1009, declared(BINARY, u64::MAX >> 1));
    add("one byte more than may be sent", 1009, frame(FIN | TEXT, &vec![b' '; 65_537]));
    let half = frame(TEXT, &vec![b' '; 40_000]);
    let more = frame(FIN | CONTINUATION, &vec![b' '; 25_537]);
    add("a sum of fragments that is too long", 1009, join(&[half, more]));
    let many = |payload: &[u8]| {
        let mut parts = vec![frame(TEXT, payload)];
        parts.extend((0..15).map(|_| frame(CONTINUATION, payload)));
        parts.push(frame(FIN | CONTINUATION, payload));
        join(&parts)
    };
    add("seventeen fragments", 1009, many(b" "));
    add("seventeen empty fragments", 1009, many(b""));
    for (name, bytes) in [
        ("binary where text is spoken", frame(FIN | BINARY, b"{}")),
        ("empty binary", frame(FIN | BINARY, b"")),
        ("binary in fragments", join(&[frame(BINARY, b"{"), frame(FIN, b"}")])),
    ] {
        add(name, 1003, bytes);
    }
}

fn after_good_ones(add: Add<'_>) {
    let subscribe = br#"{"method":"subscribe","params":{"channel":"ticker","symbol":"sim:*"}}"#;
    for (name, bytes) in [
        ("unmasked after a ping", join(&[frame(FIN | PING, b"1"), bare(FIN | PING, b"2")])),
        ("unmasked after a subscription", {
            join(&[frame(FIN | TEXT, subscribe), bare(FIN | TEXT, b"{}")])
        }),
        ("an opcode after a thousand spaces", {
            join(&[frame(FIN | TEXT, &[b' '; 1000]), frame(FIN | 7, b"")])
        }),
        ("HTTP after the handshake", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec()),
        ("TLS after the handshake", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec()),
        ("zeros", vec![0; 64]),
        ("ones", vec![0xFF; 64]),
    ] {
        add(name, 1002, bytes);
    }
}
