//! Tokens against the real binary: forgeries are refused, entitlements are enforced everywhere and
//! taken away, time ends, secrets stay out of the log.

mod forge;
mod keys;
#[path = "../service/mod.rs"]
mod service;

use forge::{Keys, SECRET, claims, entitled, forgeries, now};
use serde_json::{Value, json};
use service::{PATIENCE, Service, Socket, get};
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// A folder of files that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let folder = std::env::temp_dir().join(format!("tickcast-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        Folder(folder)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let file = self.0.join(name);
        // As whoever replaces keys should do it.
        let next = self.0.join(format!("{name}.next"));
        std::fs::write(&next, bytes).expect("a file");
        std::fs::rename(next, &file).expect("the same folder");
        file.to_str().expect("text").to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const HS256: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

fn hs256(keys: &Keys, claims: &Value) -> String {
    keys.token(&serde_json::from_str(HS256).unwrap(), claims)
}

/// A service that takes tokens of the secret.
fn guarded(folder: &Folder, args: &[&str]) -> Service {
    let secret = folder.write("secret", SECRET);
    let own = ["--sim-instruments", "6", "--sim-rate", "200", "--auth-secret", &secret];
    let service = Service::start(&[&own[..], args].concat());
    service.until_ready();
    service
}

/// Asks over HTTP: the status and the body.
fn ask(service: &Service, path: &str, headers: &str) -> (u16, Value) {
    let mut stream = service.stream();
    stream.set_read_timeout(PATIENCE);
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("it answers");
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

/// A handshake with these headers: its status.
fn handshake(service: &Service, path: &str, headers: &str) -> u16 {
    let mut stream = service.stream();
    stream.set_read_timeout(PATIENCE);
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{headers}\r\n"
    );
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut head = [0; 12];
    stream.read_exact(&mut head).expect("it answers");
    String::from_utf8_lossy(&head[9..]).parse().expect("a status")
}

fn next(socket: &mut Socket, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
    let mut found = Value::Null;
    socket.until(what, |text| {
        let message: Value = serde_json::from_str(text).expect("JSON");
        let is_it = fits(&message);
        found = message;
        is_it
    });
    found
}

fn authenticate(socket: &mut Socket, token: &str) -> Value {
    socket.send(&json!({"method": "auth", "req_id": 1, "params": {"token": token}}).to_string());
    next(socket, "an answer to auth", |message| message["method"] == "auth")
}

fn subscribe(socket: &mut Socket, params: &Value) -> Value {
    socket.send(&json!({"method": "subscribe", "req_id": 2, "params": params}).to_string());
    next(socket, "an answer to subscribe", |message| message["method"] == "subscribe")
}

fn is_data_of(message: &Value, channel: &str, symbol: &str) -> bool {
    message["channel"] == channel && message["data"][0]["symbol"] == symbol
}

#[test]
fn row_15_forged_tokens_are_all_refused() {
    let (folder, keys) = (Folder::new("forged"), Keys::new());
    let jwks = folder.write("keys.json", keys.jwks("a").to_string());
    let rules =
        ["--auth-jwks", &jwks, "--auth-issuer", "desk.example", "--auth-audience", "tickcast"];
    let service = guarded(&folder, &rules);
    let forgeries = forgeries(&keys);
    assert!(forgeries.len() >= 40);
    for (trick, token) in &forgeries {
        let (status, body) = ask(&service, "/v1/instruments", &bearer(token));
        assert_eq!((status, &body["code"]), (401, &json!(4401)), "{trick}: {body}");
        let encoded: String =
            token.bytes().map(|byte| format!("%{byte:02x}")).collect::<Vec<_>>().concat();
        if encoded.len() < 7000 {
            assert_eq!(
                ask(&service, &format!("/v1/instruments?token={encoded}"), "").0,
                401,
                "{trick}"
            );
            assert_eq!(handshake(&service, &format!("/v1/ws?token={encoded}"), ""), 401, "{trick}");
        }
        assert_eq!(handshake(&service, "/v1/ws", &bearer(token)), 401, "{trick}");
        let mut socket = service.websocket();
        let auth = json!({"method": "auth", "params": {"token": token}}).to_string();
        // More than may be said before one is known ends the connection in another way.
        let too_long = auth.len() > 4096;
        socket.send(&auth);
        let code = socket.until_closed(|text| assert!(!text.contains("bid"), "{trick}: {text}"));
        assert_eq!(code, if too_long { 1009 } else { 4401 }, "{trick}");
    }
    // And those that are good are taken, of each kind.
    let mut good = claims("desk-7", 600);
    good["iss"] = "desk.example".into();
    good["aud"] = json!(["elsewhere", "tickcast"]);
    for head in [
        json!({"alg": "HS256"}),
        json!({"alg": "RS256", "kid": "a-rsa"}),
        json!({"alg": "ES256", "kid": "a-ec"}),
        json!({"alg": "EdDSA", "kid": "a-ed"}),
        json!({"alg": "ES256"}),
    ] {
        let token = keys.token(&head, &good);
        let (status, body) = ask(&service, "/v1/instruments", &bearer(&token));
        assert_eq!(status, 200, "{head}: {body}");
        assert_eq!(handshake(&service, &format!("/v1/ws?token={token}"), ""), 101, "{head}");
        let answer = authenticate(&mut service.websocket(), &token);
        assert_eq!(answer["result"]["sub"], "desk-7", "{head}: {answer}");
    }
    println!("row 15: {} forgeries refused in each of five places", forgeries.len());
}

#[test]
fn row_15_a_connection_ends_with_its_token_unless_it_is_refreshed() {
    let (folder, keys) = (Folder::new("expiry"), Keys::new());
    let service = guarded(&folder, &[]);
    // Two connections, three answers and a request must be done before, on any machine.
    let end = now() + 10;
    let short = |sub: &str| {
        let mut claims = claims(sub, 0);
        claims["exp"] = end.into();
        hs256(&keys, &claims)
    };
    let mut ends = service.websocket();
    authenticate(&mut ends, &short("a"));
    let mut lives = service.websocket();
    authenticate(&mut lives, &short("b"));
    let renewed = authenticate(&mut lives, &hs256(&keys, &claims("b", 600)));
    assert!(renewed["result"]["expires"].as_i64().unwrap() > end, "{renewed}");
    let other = authenticate(&mut lives, &hs256(&keys, &claims("c", 600)));
    assert_eq!((&other["success"], &other["code"]), (&json!(false), &json!(4400)), "{other}");
    // A bad one does not end what a good one began.
    let bad = authenticate(&mut lives, "x.y.z");
    assert_eq!(bad["code"], 4401, "{bad}");

    let mut events = service.stream();
    events.set_read_timeout(PATIENCE);
    let query = format!("channel=ticker&symbol=sim:S0-USD&token={}", short("d"));
    let request = format!("GET /v1/sse?{query} HTTP/1.1\r\nHost: a\r\n\r\n");
    events.write_all(request.as_bytes()).unwrap();

    assert_eq!(ends.until_closed(|_| ()), 4401);
    let late = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let late = late.as_secs_f64() - end as f64;
    assert!(late >= 0.0, "it was closed {late} s before its time");
    println!("row 15: closed {late:.2} s after its token expired (promised: 1 s)");
    let mut all = String::new();
    events.read_to_string(&mut all).expect("an end");
    assert!(all.contains("event: ticker"), "{all}");
    assert!(all.contains("\"code\":4401"), "{all}");
    let answer = subscribe(&mut lives, &json!({"channel": "ticker", "symbol": ["sim:S0-USD"]}));
    assert_eq!(answer["success"], true, "{answer}");
    assert!(late < 30.0, "{late} s");
}

#[test]
fn row_15_entitlements_hold_for_names_globs_events_and_rest() {
    let (folder, keys) = (Folder::new("rights"), Keys::new());
    let service = guarded(&folder, &[]);
    let granted = ["sim:S0-USD/ticker", "sim:S1-USD", "kraken:*"];
    let token = hs256(&keys, &entitled("desk", 600, &granted));
    let header = bearer(&token);

    let (_, body) = ask(&service, "/v1/instruments", &header);
    let names: Vec<&str> = body["instruments"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|i| i["symbol"].as_str())
        .collect();
    assert_eq!(names, ["sim:S0-USD", "sim:S1-USD"]);
    for (query, expected) in [
        ("channel=ticker&symbol=sim:S0-USD", 200),
        ("channel=book&symbol=sim:S0-USD", 403),
        ("channel=book&symbol=sim:S1-USD", 200),
        ("channel=ticker&symbol=S2-USD", 403),
        ("channel=ticker&symbol=sim:S0-USD,sim:S2-USD", 403),
    ] {
        let (status, body) = ask(&service, &format!("/v1/snapshot?{query}"), &header);
        assert_eq!(status, expected, "{query}: {body}");
        if expected == 403 {
            let (status, body) = ask(&service, &format!("/v1/sse?{query}"), &header);
            assert_eq!((status, &body["code"]), (403, &json!(4403)), "{query}: {body}");
        }
    }
    let (_, body) = ask(&service, "/v1/snapshot?channel=ticker&symbol=sim:*", &header);
    assert_eq!(body["data"].as_array().unwrap().len(), 2, "{body}");
    let (_, body) = ask(&service, "/v1/snapshot?channel=book&symbol=sim:*", &header);
    assert_eq!(body["data"].as_array().unwrap().len(), 1, "{body}");

    let mut socket = service.websocket();
    let first = subscribe(&mut socket, &json!({"channel": "ticker", "symbol": ["sim:*"]}));
    assert_eq!((&first["success"], &first["code"]), (&json!(false), &json!(4401)), "{first}");
    authenticate(&mut socket, &token);
    let wish = json!({"channel": "ticker", "symbol": ["sim:*", "sim:S3-USD", "S1-USD"]});
    let answer = subscribe(&mut socket, &wish);
    assert_eq!(answer["result"]["globs"][0]["matched"], 2, "{answer}");
    assert_eq!(answer["result"]["symbol"], json!(["sim:S1-USD"]), "{answer}");
    assert_eq!(answer["result"]["failed"][0]["code"], 4403, "{answer}");
    let answer = subscribe(&mut socket, &json!({"channel": "book", "symbol": ["sim:S0-USD"]}));
    assert_eq!(answer["result"]["failed"][0]["code"], 4403, "{answer}");
    let mut seen = std::collections::BTreeSet::new();
    let (until, deadline) = (Instant::now() + Duration::from_secs(2), Instant::now() + PATIENCE);
    while Instant::now() < until || seen.len() < 2 {
        assert!(Instant::now() < deadline, "both come: {seen:?}");
        let Some(text) = socket.next() else { continue };
        let message: Value = serde_json::from_str(&text).unwrap();
        seen.extend(message["data"][0]["symbol"].as_str().map(str::to_owned));
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["sim:S0-USD", "sim:S1-USD"]);
}

#[test]
fn row_15_rights_that_a_refreshed_token_lacks_are_taken_away_at_once() {
    let (folder, keys) = (Folder::new("fewer"), Keys::new());
    let service = guarded(&folder, &[]);
    let mut socket = service.websocket();
    authenticate(&mut socket, &hs256(&keys, &claims("desk", 600)));
    subscribe(&mut socket, &json!({"channel": "ticker", "symbol": ["sim:*"]}));
    subscribe(&mut socket, &json!({"channel": "book", "symbol": ["sim:S0-USD"]}));
    next(&mut socket, "a ticker", |message| is_data_of(message, "ticker", "sim:S1-USD"));
    next(&mut socket, "a book", |message| is_data_of(message, "book", "sim:S0-USD"));
    let fewer = entitled("desk", 600, &["sim:S0-USD/ticker"]);
    authenticate(&mut socket, &hs256(&keys, &fewer));
    let told = next(&mut socket, "what was lost", |message| message["method"] == "subscribe");
    assert_eq!(told["result"]["failed"][0]["code"], 4403, "{told}");
    let mut updates = 0;
    let (until, deadline) = (Instant::now() + Duration::from_secs(2), Instant::now() + PATIENCE);
    while Instant::now() < until || updates == 0 {
        assert!(Instant::now() < deadline, "what it may receive still comes");
        let Some(text) = socket.next() else { continue };
        let message: Value = serde_json::from_str(&text).unwrap();
        if let Some(symbol) = message["data"][0]["symbol"].as_str() {
            assert_eq!((symbol, message["channel"] == "book"), ("sim:S0-USD", false), "{text}");
            updates += 1;
        }
    }
    // And comes back with the right to it: the glob has stayed.
    authenticate(&mut socket, &hs256(&keys, &claims("desk", 600)));
    next(&mut socket, "a snapshot", |message| {
        is_data_of(message, "ticker", "sim:S4-USD") && message["type"] == "snapshot"
    });
    // It was named by an exact name, whose subscription has ended.
    let end = Instant::now() + Duration::from_secs(1);
    while Instant::now() < end {
        let text = socket.next().unwrap_or_default();
        assert!(!text.contains("\"channel\":\"book\""), "{text}");
    }
}

#[test]
fn row_04_who_does_not_authenticate_within_five_seconds_is_closed() {
    let folder = Folder::new("silent");
    let service = guarded(&folder, &[]);
    let begun = Instant::now();
    let mut socket = service.websocket();
    let welcome = next(&mut socket, "a welcome", |message| message["type"] == "welcome");
    assert_eq!(welcome["data"][0]["auth_required"], true, "{welcome}");
    assert_eq!(welcome["data"][0]["limits"]["message_bytes"], 4096, "{welcome}");
    socket.send(r#"{"method":"ping"}"#);
    next(&mut socket, "a pong", |message| message["method"] == "pong");
    assert_eq!(socket.until_closed(|_| ()), 4401);
    let took = begun.elapsed();
    // The shard's clock is that of a turn's beginning, which a busy machine may have delayed.
    assert!(took >= Duration::from_millis(4_900), "{took:?}");
    println!("row 4: closed after {:.2} s without a token (promised: 5 s)", took.as_secs_f64());
}

#[test]
fn limits_of_a_token_are_those_of_its_connections() {
    let (folder, keys) = (Folder::new("limits"), Keys::new());
    let service = guarded(&folder, &[]);
    let mut claims = claims("desk", 600);
    claims["tickcast"]["max_subscriptions"] = 2.into();
    claims["tickcast"]["max_connections"] = 2.into();
    claims["tickcast"]["tiers"] = json!([4, 1]);
    let token = hs256(&keys, &claims);
    let mut first = service.websocket();
    let answer = authenticate(&mut first, &token);
    assert_eq!(answer["result"]["limits"]["subscriptions"], 2, "{answer}");
    let wish = json!({"channel": "ticker", "symbol": ["sim:S0-USD", "sim:S1-USD", "sim:S2-USD"]});
    let answer = subscribe(&mut first, &wish);
    assert_eq!(answer["result"]["max_rate"], 4, "{answer}");
    assert_eq!(answer["result"]["failed"][0]["code"], 4413, "{answer}");
    let mut second = service.websocket();
    assert_eq!(authenticate(&mut second, &token)["success"], true);
    assert_eq!(handshake(&service, "/v1/ws", &bearer(&token)), 429);
    let mut third = service.websocket();
    third.send(&json!({"method": "auth", "params": {"token": token}}).to_string());
    assert_eq!(third.until_closed(|_| ()), 4529);
    assert!(service.metric("tickcast_gateway_refused_total", "identity_connections") >= 1.0);
    drop(second);
    let until = Instant::now() + PATIENCE;
    while handshake(&service, "/v1/ws", &bearer(&token)) != 101 {
        assert!(Instant::now() < until, "the place is given back");
    }
}

#[test]
fn requests_behind_a_token_wait_for_its_verdict() {
    let (folder, keys) = (Folder::new("behind"), Keys::new());
    let service = guarded(&folder, &[]);
    let mut socket = service.websocket();
    let token = hs256(&keys, &claims("desk", 600));
    socket.send(&json!({"method": "auth", "params": {"token": token}}).to_string());
    let answer = subscribe(&mut socket, &json!({"channel": "ticker", "symbol": ["sim:S0-USD"]}));
    assert_eq!(answer["result"]["symbol"], json!(["sim:S0-USD"]), "{answer}");
    let (_, text) = get(service.admin, "/clients");
    let clients: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(clients["clients"][0]["identity"], "desk", "{clients}");
    assert!(clients["clients"][0]["expires"].as_i64().unwrap() > now(), "{clients}");
}

#[test]
fn anonymous_clients_get_what_they_may() {
    let (folder, keys) = (Folder::new("anonymous"), Keys::new());
    let args = ["--allow-anonymous", "--anonymous-entitlement", "sim:S0-USD/ticker"];
    let service = guarded(&folder, &args);
    let mut socket = service.websocket();
    let welcome = next(&mut socket, "a welcome", |message| message["type"] == "welcome");
    assert_eq!(welcome["data"][0]["auth_required"], false, "{welcome}");
    let wish = json!({"channel": "ticker", "symbol": ["sim:*"]});
    assert_eq!(subscribe(&mut socket, &wish)["result"]["globs"][0]["matched"], 1);
    assert_eq!(ask(&service, "/v1/snapshot?channel=book&symbol=sim:S0-USD", "").0, 403);
    // A token makes more of the same connection.
    authenticate(&mut socket, &hs256(&keys, &claims("desk", 600)));
    next(&mut socket, "more", |message| is_data_of(message, "ticker", "sim:S3-USD"));
}
