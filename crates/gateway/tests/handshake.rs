//! Request heads and what becomes of them.

use tickcast_gateway::{Accept, HEAD_BYTES_MAX, Origins, Route, read_head};

const ASK: &str = "GET /v1/ws HTTP/1.1";
const HOST: &str = "Host: ticks.example:8080";
const UPGRADE: &str = "Upgrade: websocket";
const CONNECTION: &str = "Connection: Upgrade";
const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
const VERSION: &str = "Sec-WebSocket-Version: 13";

fn origins() -> Origins {
    Origins::new(vec!["https://desk.example".into()], false)
}

fn read(lines: &[&str]) -> String {
    let head = lines.join("\r\n") + "\r\n\r\n";
    match read_head(head.as_bytes(), &origins()) {
        Ok(None) => "partial".into(),
        Ok(Some((Route::Other, _))) => "other".into(),
        Ok(Some((Route::Sse(sse), _))) => {
            let id = sse.last_event_id.unwrap_or_default();
            format!("sse {:?} {id:?}", sse.query)
        }
        Ok(Some((Route::WebSocket(accept), length))) => {
            assert_eq!(length, head.len());
            let mut answer = Vec::new();
            accept.write(&mut answer);
            let answer = String::from_utf8(answer).unwrap();
            assert!(answer.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{answer}");
            assert!(answer.contains("\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"));
            assert!(answer.contains("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
            assert!(answer.ends_with("\r\n\r\n"));
            match answer.split_once("Sec-WebSocket-Protocol: ") {
                Some((_, protocol)) => format!("101 {}", protocol.trim()),
                None => "101".into(),
            }
        }
        Err(refusal) => format!("{} {}", refusal.status, refusal.reason),
    }
}

/// The handshake with one line replaced, left out (`""`) or added.
fn with(line: &str, instead: &[&str]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for known in [ASK, HOST, UPGRADE, CONNECTION, KEY, VERSION] {
        if known == line {
            lines.extend(instead.iter().map(ToString::to_string));
        } else {
            lines.push(known.into());
        }
    }
    if line.is_empty() {
        lines.extend(instead.iter().map(ToString::to_string));
    }
    lines
}

#[test]
fn handshakes_are_answered_or_refused_as_they_should_be() {
    let table: Vec<(&str, Vec<String>, &str)> = vec![
        ("the plain one", with("", &[]), "101"),
        ("a query", with(ASK, &["GET /v1/ws?v=1 HTTP/1.1"]), "101"),
        ("POST", with(ASK, &["POST /v1/ws HTTP/1.1"]), "405 method"),
        ("HEAD", with(ASK, &["HEAD /v1/ws HTTP/1.1"]), "405 method"),
        ("HTTP/1.0", with(ASK, &["GET /v1/ws HTTP/1.0"]), "400 bad_request"),
        ("HTTP/2.0", with(ASK, &["GET /v1/ws HTTP/2.0"]), "400 bad_request"),
        ("no version of HTTP", with(ASK, &["GET /v1/ws"]), "400 bad_request"),
        ("another path", with(ASK, &["GET /v1/wss HTTP/1.1"]), "other"),
        ("no Host", with(HOST, &[]), "400 bad_request"),
        ("two Hosts", with(HOST, &[HOST, HOST]), "400 bad_request"),
        ("no Upgrade", with(UPGRADE, &[]), "426 upgrade"),
        ("another Upgrade", with(UPGRADE, &["Upgrade: h2c"]), "426 upgrade"),
        ("an Upgrade that only begins so", with(UPGRADE, &["Upgrade: websockets"]), "426 upgrade"),
        ("Upgrade in capitals, in a list", with(UPGRADE, &["UPGRADE: h2c, WebSocket"]), "101"),
        ("no Connection", with(CONNECTION, &[]), "400 bad_request"),
        ("Connection: close", with(CONNECTION, &["Connection: close"]), "400 bad_request"),
        ("Connection as Firefox", with(CONNECTION, &["Connection: keep-alive, Upgrade"]), "101"),
        (
            "Connection in two headers",
            { with(CONNECTION, &["Connection: keep-alive", "connection: upgrade"]) },
            "101",
        ),
        ("no key", with(KEY, &[]), "400 bad_request"),
        ("two keys", with(KEY, &[KEY, KEY]), "400 bad_request"),
        ("empty key", with(KEY, &["Sec-WebSocket-Key:"]), "400 bad_request"),
        (
            "key of 15 bytes",
            { with(KEY, &["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j"]) },
            "400 bad_request",
        ),
        (
            "key of 17 bytes",
            { with(KEY, &["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZWU="]) },
            "400 bad_request",
        ),
        (
            "key without padding",
            { with(KEY, &["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ"]) },
            "400 bad_request",
        ),
        (
            "key with letters outside Base64",
            { with(KEY, &["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j!Q=="]) },
            "400 bad_request",
        ),
        ("key not text", with(KEY, &["Sec-WebSocket-Key: \u{1}"]), "400 bad_request"),
        ("version 8", with(VERSION, &["Sec-WebSocket-Version: 8"]), "426 upgrade"),
        ("version 013", with(VERSION, &["Sec-WebSocket-Version: 013"]), "426 upgrade"),
        ("versions 13, 8", with(VERSION, &["Sec-WebSocket-Version: 13, 8"]), "426 upgrade"),
        ("no version", with(VERSION, &[]), "426 upgrade"),
        (
            "our subprotocol",
            { with("", &["Sec-WebSocket-Protocol: tickcast.v1.json"]) },
            "101 tickcast.v1.json",
        ),
        (
            "our subprotocol among others",
            { with("", &["Sec-WebSocket-Protocol: soap,  tickcast.v1.json , wamp"]) },
            "101 tickcast.v1.json",
        ),
        (
            "our subprotocol in a second header",
            {
                with(
                    "",
                    &["Sec-WebSocket-Protocol: soap", "Sec-WebSocket-Protocol: tickcast.v1.json"],
                )
            },
            "101 tickcast.v1.json",
        ),
        (
            "only unknown subprotocols",
            { with("", &["Sec-WebSocket-Protocol: soap, tickcast.v2.json"]) },
            "400 subprotocol",
        ),
        (
            "subprotocols keep their case",
            { with("", &["Sec-WebSocket-Protocol: Tickcast.v1.JSON"]) },
            "400 subprotocol",
        ),
        ("the same origin", with("", &["Origin: http://ticks.example:8080"]), "101"),
        ("an origin on the list", with("", &["Origin: https://desk.example"]), "101"),
        ("another origin", with("", &["Origin: http://evil.example"]), "403 origin"),
        ("no origin at all", with("", &["Origin: null"]), "403 origin"),
        (
            "an origin on the list and another",
            { with("", &["Origin: https://desk.example", "Origin: http://evil.example"]) },
            "400 bad_request",
        ),
        ("a loopback origin from outside", with("", &["Origin: http://localhost"]), "403 origin"),
        ("a body", with("", &["Content-Length: 5"]), "400 bad_request"),
        ("a chunked body", with("", &["Transfer-Encoding: chunked"]), "400 bad_request"),
        ("an empty body", with("", &["Content-Length: 0"]), "101"),
        ("a header without a colon", with("", &["what is this"]), "400 bad_request"),
    ];
    assert!(table.len() >= 25);
    for (name, lines, want) in table {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        assert_eq!(read(&lines), want, "{name}");
    }
}

#[test]
fn requests_for_events_keep_their_query_and_their_last_id() {
    for (lines, want) in [
        (
            &["GET /v1/sse?channel=ticker&symbol=A HTTP/1.1", HOST][..],
            "sse \"channel=ticker&symbol=A\" \"\"",
        ),
        (&["GET /v1/sse HTTP/1.1", HOST, "Last-Event-ID: 4-17"], "sse \"\" \"4-17\""),
        (&["GET /v1/sse HTTP/1.0"], "sse \"\" \"\""),
        (&["GET /v1/sse HTTP/1.1"], "400 bad_request"),
        (&["GET /v1/sse HTTP/1.1", HOST, "Origin: http://evil.example"], "403 origin"),
        (&["PUT /v1/sse HTTP/1.1", HOST], "405 method"),
        (&["GET /v1/sse/ HTTP/1.1", HOST], "other"),
        (&["GET / HTTP/1.1", HOST], "other"),
        (&["POST / HTTP/1.1"], "other"),
    ] {
        assert_eq!(read(lines), want, "{lines:?}");
    }
}

#[test]
fn compression_is_agreed_to_where_it_is_offered_in_a_way_that_can_be_kept() {
    const TAKEN: &str =
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    let offer = |value: &str| format!("Sec-WebSocket-Extensions: {value}");
    let window = &format!("{TAKEN}; server_max_window_bits=15")[..];
    for (offers, expected) in [
        (vec![], None),
        (vec!["permessage-deflate; client_max_window_bits"], Some(TAKEN)),
        (vec!["permessage-deflate; server_max_window_bits=9"], None),
        (vec!["permessage-deflate; server_max_window_bits=9", "permessage-deflate"], Some(TAKEN)),
        (vec!["permessage-deflate; server_max_window_bits=15"], Some(window)),
        (vec!["x-webkit-deflate-frame"], None),
    ] {
        let lines: Vec<String> = [ASK, HOST, UPGRADE, CONNECTION, KEY, VERSION]
            .into_iter()
            .map(str::to_owned)
            .chain(offers.iter().map(|value| offer(value)))
            .collect();
        let head = lines.join("\r\n") + "\r\n\r\n";
        let read = read_head(head.as_bytes(), &origins()).unwrap().unwrap();
        let (Route::WebSocket(mut accept), _) = read else { panic!("{offers:?}: {read:?}") };
        let extensions = |accept: &Accept| {
            let mut answer = Vec::new();
            accept.write(&mut answer);
            let answer = String::from_utf8(answer).unwrap();
            let named = answer.lines().find_map(|l| l.strip_prefix("Sec-WebSocket-Extensions: "));
            named.map(str::to_owned)
        };
        assert_eq!(extensions(&accept).as_deref(), expected, "{offers:?}");
        assert_eq!(accept.compress, expected.is_some(), "{offers:?}");
        accept.compress = false;
        assert_eq!(extensions(&accept), None, "who does not want it says nothing of it");
    }
    for malformed in ["permessage-deflate;", "permessage-deflate; a=\"b", "a b", "="] {
        let lines = with("", &[&offer(malformed)]);
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        assert_eq!(read(&lines), "400 bad_request", "{malformed}");
    }
}

#[test]
fn heads_are_whole_or_not_wherever_they_are_cut() {
    let head = [ASK, HOST, UPGRADE, CONNECTION, KEY, VERSION].join("\r\n") + "\r\n\r\n";
    for cut in 0..head.len() {
        assert_eq!(read_head(&head.as_bytes()[..cut], &origins()), Ok(None), "{cut}");
    }
    let more = head.clone() + "\u{1}frames that follow";
    let (_, length) = read_head(more.as_bytes(), &origins()).unwrap().unwrap();
    assert_eq!(length, head.len());
}

#[test]
fn heads_above_the_limits_are_refused() {
    let many = |count: usize| {
        let mut lines = vec!["GET / HTTP/1.1".to_owned()];
        lines.extend((0..count).map(|at| format!("X-{at}: 1")));
        read(&lines.iter().map(String::as_str).collect::<Vec<_>>())
    };
    assert_eq!(many(64), "other");
    assert_eq!(many(65), "431 head_too_big");
    let long = |length: usize| {
        let fixed = "GET / HTTP/1.1\r\nX: \r\n\r\n".len();
        read(&["GET / HTTP/1.1", &format!("X: {}", "x".repeat(length - fixed))])
    };
    assert_eq!(long(HEAD_BYTES_MAX), "other");
    assert_eq!(long(HEAD_BYTES_MAX + 1), "431 head_too_big");
    let endless = "GET / HTTP/1.1\r\nX: ".to_owned() + &"x".repeat(HEAD_BYTES_MAX);
    assert_eq!(read_head(endless.as_bytes(), &origins()).unwrap_err().status, 431);
}

#[test]
fn a_refusal_is_json_with_the_matching_number() {
    let head = "GET /v1/ws HTTP/1.1\r\nHost: a\r\nOrigin: http://\"evil\r\n\r\n";
    let refusal = read_head(head.as_bytes(), &origins()).unwrap_err();
    let mut answer = Vec::new();
    refusal.write(&mut answer);
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{head}");
    assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["code"], 4403);
    assert!(body["error"].as_str().unwrap().contains("evil"));

    let refusal = read_head(b"GET /v1/ws HTTP/1.1\r\nHost: a\r\n\r\n", &origins()).unwrap_err();
    let mut answer = Vec::new();
    refusal.write(&mut answer);
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 426 Upgrade Required\r\n"), "{answer}");
    assert!(answer.contains("\r\nSec-WebSocket-Version: 13\r\n"), "{answer}");
}
