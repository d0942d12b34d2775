//! Request heads that ask for a WebSocket in a wrong way, and the status that each must get. Data
//! only.

use crate::raw::HANDSHAKE;

/// A request head and what it must be answered with.
pub(crate) struct Wrong {
    pub(crate) name: &'static str,
    pub(crate) bytes: Vec<u8>,
    pub(crate) status: u16,
    /// What the head of the answer must have in it.
    pub(crate) has: &'static str,
}

const NONE: &str = "";
const VERSION: &str = "\r\nsec-websocket-version: 13\r\n";
const ALLOW: &str = "\r\nallow: get\r\n";

const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const HOST: &str = "Host: tickcast.test\r\n";
const ASKED_VERSION: &str = "Sec-WebSocket-Version: 13\r\n";
const LINE: &str = "GET /v1/ws HTTP/1.1\r\n";

/// The right handshake with one thing replaced.
fn with(what: &str, by: &str) -> Vec<u8> {
    assert!(HANDSHAKE.contains(what), "{what:?}");
    HANDSHAKE.replacen(what, by, 1).into_bytes()
}

/// With a further header.
fn and(header: &str) -> Vec<u8> {
    with("\r\n\r\n", &format!("\r\n{header}\r\n\r\n"))
}

/// The whole corpus.
pub(crate) fn handshakes() -> Vec<Wrong> {
    let table = [method_and_version(), upgrade(), key(), host_and_origin(), shape(), size()];
    table
        .into_iter()
        .flatten()
        .map(|(name, bytes, status, has)| Wrong { name, bytes, status, has })
        .collect()
}

type Row = (&'static str, Vec<u8>, u16, &'static str);

fn method_and_version() -> Vec<Row> {
    let line = |line: &str| with(LINE, &format!("{line}\r\n"));
    vec![
        ("POST", line("POST /v1/ws HTTP/1.1"), 405, ALLOW),
        ("HEAD", line("HEAD /v1/ws HTTP/1.1"), 405, ALLOW),
        ("PUT", line("PUT /v1/ws HTTP/1.1"), 405, ALLOW),
        ("OPTIONS", line("OPTIONS /v1/ws HTTP/1.1"), 405, ALLOW),
        ("a method of its own", line("SUBSCRIBE /v1/ws HTTP/1.1"), 405, ALLOW),
        ("a method in small letters", line("get /v1/ws HTTP/1.1"), 405, ALLOW),
        ("HTTP/1.0", line("GET /v1/ws HTTP/1.0"), 400, NONE),
        ("HTTP/0.9", line("GET /v1/ws"), 400, NONE),
        ("HTTP/1.2", line("GET /v1/ws HTTP/1.2"), 400, NONE),
        ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), 400, NONE),
        ("another path", line("GET /v1/wss HTTP/1.1"), 404, NONE),
        ("a path with a slash behind", line("GET /v1/ws/ HTTP/1.1"), 404, NONE),
        ("a path in other letters", line("GET /V1/WS HTTP/1.1"), 404, NONE),
        ("an escaped path", line("GET /v1/%77s HTTP/1.1"), 404, NONE),
        ("no path", line("GET HTTP/1.1"), 400, NONE),
        ("a NUL in the path", line("GET /v1/ws\0 HTTP/1.1"), 400, NONE),
    ]
}

fn upgrade() -> Vec<Row> {
    let upgrade = |value: &str| with("Upgrade: websocket\r\n", value);
    let connection = |value: &str| with("Connection: Upgrade\r\n", value);
    vec![
        ("no Upgrade", upgrade(""), 426, VERSION),
        ("Upgrade to h2c", upgrade("Upgrade: h2c\r\n"), 426, VERSION),
        ("Upgrade to websockets", upgrade("Upgrade: websockets\r\n"), 426, VERSION),
        ("an empty Upgrade", upgrade("Upgrade:\r\n"), 426, VERSION),
        ("no Connection", connection(""), 400, NONE),
        ("Connection: keep-alive", connection("Connection: keep-alive\r\n"), 400, NONE),
        ("Connection: close", connection("Connection: close\r\n"), 400, NONE),
        ("Connection: upgraded", connection("Connection: upgraded\r\n"), 400, NONE),
        ("only unknown subprotocols", and("Sec-WebSocket-Protocol: mqtt, graphql-ws"), 400, NONE),
        (
            "a subprotocol of a later version",
            and("Sec-WebSocket-Protocol: tickcast.v9.json"),
            400,
            NONE,
        ),
    ]
}

fn key() -> Vec<Row> {
    let key = |value: &str| with(KEY, value);
    let version = |value: &str| with(ASKED_VERSION, value);
    vec![
        ("no key", key(""), 400, NONE),
        ("an empty key", key("Sec-WebSocket-Key:\r\n"), 400, NONE),
        ("a key of 15 bytes", key("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAA\r\n"), 400, NONE),
        ("a key of 17 bytes", key("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAA=\r\n"), 400, NONE),
        ("a key of 18 bytes", key("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAAA\r\n"), 400, NONE),
        ("a key without padding", key("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ\r\n"), 400, NONE),
        (
            "a key that is no Base64",
            key("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j!!==\r\n"),
            400,
            NONE,
        ),
        ("two keys", key(&format!("{KEY}{KEY}")), 400, NONE),
        ("no version", version(""), 426, VERSION),
        ("version 12", version("Sec-WebSocket-Version: 12\r\n"), 426, VERSION),
        ("version 8", version("Sec-WebSocket-Version: 8\r\n"), 426, VERSION),
        ("version 130", version("Sec-WebSocket-Version: 130\r\n"), 426, VERSION),
        ("version thirteen", version("Sec-WebSocket-Version: thirteen\r\n"), 426, VERSION),
        ("a list of versions", version("Sec-WebSocket-Version: 13, 8\r\n"), 426, VERSION),
        (
            "two versions",
            version(&format!("{ASKED_VERSION}Sec-WebSocket-Version: 8\r\n")),
            400,
            NONE,
        ),
    ]
}

fn host_and_origin() -> Vec<Row> {
    vec![
        ("no Host", with(HOST, ""), 400, NONE),
        ("two Hosts", with(HOST, &format!("{HOST}{HOST}")), 400, NONE),
        ("a Host that is not text", with("Host: tickcast.test", "Host: \u{e4}\u{80}"), 400, NONE),
        ("another page", and("Origin: https://evil.example"), 403, NONE),
        ("no page", and("Origin: null"), 403, NONE),
        ("a page of another port", and("Origin: http://tickcast.test:81"), 403, NONE),
        ("a longer name", and("Origin: http://tickcast.test.evil.example"), 403, NONE),
        (
            "two pages",
            and("Origin: http://tickcast.test\r\nOrigin: https://evil.example"),
            400,
            NONE,
        ),
    ]
}

fn shape() -> Vec<Row> {
    let absolute = "GET http://other.test/v1/ws HTTP/1.1\r\n";
    let spaced = KEY.replace(':', " :");
    vec![
        ("a body", and("Content-Length: 5"), 400, NONE),
        ("a chunked body", and("Transfer-Encoding: chunked"), 400, NONE),
        ("a folded header", and("X-Long: one\r\n two"), 400, NONE),
        ("a header without a colon", and("X-Nothing"), 400, NONE),
        ("a header without a name", and(": nothing"), 400, NONE),
        ("a space before the colon", with(KEY, &spaced), 400, NONE),
        ("a space before the first header", with(HOST, &format!(" {HOST}")), 400, NONE),
        ("a NUL in a header", and("X-Nul: a\0b"), 400, NONE),
        ("a NUL in a name", and("X-\0: a"), 400, NONE),
        ("a carriage return in a header", and("X-Cr: a\rb"), 400, NONE),
        ("lines that end with LF alone", HANDSHAKE.replace("\r\n", "\n").into_bytes(), 400, NONE),
        ("one line that ends with LF alone", with("Upgrade\r\n", "Upgrade\n"), 400, NONE),
        ("a target of another host", with(LINE, absolute), 400, NONE),
        (
            "TLS where none is",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec(),
            400,
            NONE,
        ),
        ("SSH", b"SSH-2.0-OpenSSH_9.9\r\n\r\n".to_vec(), 400, NONE),
        ("nothing but bytes", [&[0xFF; 200][..], b"\r\n\r\n"].concat(), 400, NONE),
    ]
}

fn size() -> Vec<Row> {
    let long = format!("X-Long: {}", "a".repeat(8 << 10));
    let many = (0..65).map(|n| format!("X-{n}: a")).collect::<Vec<_>>().join("\r\n");
    let target = format!("GET /v1/ws?{} HTTP/1.1\r\n", "a".repeat(8 << 10));
    vec![
        ("a long header", and(&long), 431, NONE),
        ("many headers", and(&many), 431, NONE),
        ("a long target", with(LINE, &target), 431, NONE),
        ("a long name", and(&format!("{}: a", "a".repeat(8 << 10))), 431, NONE),
    ]
}
