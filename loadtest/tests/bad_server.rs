//! A server that keeps its word but once: each broken promise is found, counted, and fails the run.

mod kit;

use kit::{Ran, loadtest};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

const WELCOME: &str = r#"{"channel":"system","type":"welcome","data":[{"session":"s","version":"0","heartbeat_ms":600000,"auth_required":false}]}"#;
const STATUS: &str = r#"{"channel":"status","type":"snapshot","data":[{"symbol":"x:A","epoch":1,"seq":1,"state":"live","ts_state":1}]}"#;

fn answer(req_id: u64, channel: &str) -> String {
    format!(
        r#"{{"method":"subscribe","req_id":{req_id},"success":true,"result":{{"channel":"{channel}","symbol":["x:A"],"globs":[],"failed":[]}}}}"#
    )
}

fn snapshot(seq: u64, bid: &str) -> String {
    format!(
        r#"{{"channel":"ticker","type":"snapshot","data":[{{"symbol":"x:A","epoch":1,"seq":{seq},"state":"live","last":null,"last_size":null,"bid":"{bid}","bid_size":"1","ask":null,"ask_size":null,"open":null,"high":null,"low":null,"volume":null,"ts_event":1,"ts_publish":2}}]}}"#
    )
}

fn update(prev: u64, seq: u64, bid: &str) -> String {
    format!(
        r#"{{"channel":"ticker","type":"update","data":[{{"symbol":"x:A","epoch":1,"prev":{prev},"seq":{seq},"bid":"{bid}","ts_event":1,"ts_publish":{seq}}}]}}"#
    )
}

fn book(kind: &str, prev: &str, seq: u64, bids: &str, checksum: u32) -> String {
    let state = if kind == "snapshot" { "\"state\":\"live\"," } else { "" };
    format!(
        r#"{{"channel":"book","type":"{kind}","data":[{{"symbol":"x:A","depth":10,"epoch":1,{prev}"seq":{seq},{state}"bids":{bids},"asks":[],"checksum":{checksum},"ts_event":1,"ts_publish":2}}]}}"#
    )
}

/// What the server says: after the upgrade, to the first subscribe, to those that ask again, and
/// over `/v1/snapshot`. `ANSWER` stands for the answer.
#[derive(Clone, Default)]
struct Script {
    welcome: Vec<String>,
    first: Vec<String>,
    again: Vec<String>,
    rest: Option<String>,
}

const ANSWER: &str = "ANSWER";

impl Script {
    /// It keeps its word, up to what is put after it.
    fn good(data: &[String]) -> Script {
        let mut first = vec![ANSWER.to_owned(), STATUS.to_owned()];
        first.extend_from_slice(data);
        Script {
            welcome: vec![WELCOME.into()],
            first,
            again: vec![ANSWER.into(), snapshot(100, "9")],
            rest: None,
        }
    }
}

/// Serves a script to everybody; the threads end with the process.
fn serve(script: Script) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("ws://{}", listener.local_addr().expect("an address"));
    let script = Arc::new(script);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let script = script.clone();
            std::thread::spawn(move || talk(stream, &script));
        }
    });
    url
}

fn talk(mut stream: TcpStream, script: &Script) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    if !head.to_ascii_lowercase().contains("upgrade: websocket") {
        let (status, body) = match script.rest.as_deref().filter(|_| head.contains("/v1/snapshot"))
        {
            Some(body) => ("200 OK", body),
            None => ("404 Not Found", "{}"),
        };
        let length = body.len();
        let text = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}");
        return stream.write_all(text.as_bytes()).ok();
    }
    let upgrade = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                   Connection: Upgrade\r\nSec-WebSocket-Protocol: tickcast.v1.json\r\n\
                   Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    stream.write_all(upgrade.as_bytes()).ok()?;
    for message in &script.welcome {
        send(&mut stream, message)?;
    }
    let mut messages = &script.first;
    loop {
        let request: serde_json::Value = serde_json::from_slice(&frame(&mut stream)?).ok()?;
        if request["method"] != "subscribe" {
            continue;
        }
        let (req_id, channel) =
            (request["req_id"].as_u64()?, request["params"]["channel"].as_str()?);
        for message in messages {
            match message.as_str() {
                ANSWER => send(&mut stream, &answer(req_id, channel))?,
                message => send(&mut stream, message)?,
            }
        }
        messages = &script.again;
    }
}

fn send(stream: &mut TcpStream, message: &str) -> Option<()> {
    let mut frame = vec![0x81];
    match message.len() {
        len @ 0..126 => frame.push(len as u8),
        len => {
            frame.push(126);
            frame.extend((len as u16).to_be_bytes());
        }
    }
    frame.extend_from_slice(message.as_bytes());
    stream.write_all(&frame).ok()
}

/// The payload of a client's next frame, unmasked.
fn frame(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut head = [0; 2];
    stream.read_exact(&mut head).ok()?;
    assert_eq!(head[1] & 0x80, 0x80, "a client masks");
    let len = match head[1] & 0x7f {
        126 => {
            let mut len = [0; 2];
            stream.read_exact(&mut len).ok()?;
            usize::from(u16::from_be_bytes(len))
        }
        len => usize::from(len),
    };
    let mut mask = [0; 4];
    stream.read_exact(&mut mask).ok()?;
    let mut payload = vec![0; len];
    stream.read_exact(&mut payload).ok()?;
    payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
    Some(payload)
}

fn run(script: Script, more: &[&str]) -> Ran {
    let url = serve(script);
    let flags = ["--symbols=x:A", "--connections=1", "--seconds=1", "--warmup=0"];
    loadtest(&[&["steady", &url][..], &flags, more].concat())
}

#[test]
fn one_that_keeps_its_word_is_faultless() {
    let mut script = Script::good(&[snapshot(5, "1"), update(5, 6, "2"), update(6, 9, "3")]);
    script.rest = Some(snapshot(9, "3"));
    let ran = run(script, &["--sample=1"]);
    ran.is_faultless();
    assert_eq!(ran.figure("/correctness/compared"), 1.0);
    assert_eq!(ran.figure("/correctness/asked_again"), 0.0);
}

#[test]
fn overlapping_updates_are_allowed_and_counted_apart() {
    let data = [snapshot(5, "1"), update(4, 5, "1"), update(3, 7, "2"), update(5, 6, "9")];
    let ran = run(Script::good(&data), &["--sample=0"]);
    ran.is_faultless();
    assert_eq!(ran.figure("/correctness/overlaps"), 2.0);
}

#[test]
fn each_broken_promise_is_counted_asked_for_again_and_fails_the_run() {
    let good = [snapshot(5, "1"), update(5, 6, "2")];
    let with = |data: &[String]| Script::good(&[&good[..], data].concat());
    let without = |gone: &str| {
        let mut script = Script::good(&good);
        script.first.retain(|message| message != gone);
        script
    };
    let late_answer = {
        let mut script = Script::good(&good);
        script.first.rotate_left(1);
        script
    };
    let no_welcome = Script { welcome: Vec::new(), ..Script::good(&good) };
    let stateless = snapshot(5, "1").replace("\"state\":\"live\",", "");
    for (what, script, figure, asks) in [
        ("gap", with(&[update(8, 9, "3"), update(9, 10, "4")]), "/correctness/gaps", true),
        ("duplicate", with(&[update(5, 6, "2")]), "/correctness/duplicates", false),
        (
            "update before snapshot",
            Script::good(&[update(5, 6, "2")]),
            "/correctness/broken/update_before_snapshot",
            true,
        ),
        ("prev above seq", with(&[update(9, 8, "2")]), "/correctness/broken/prev", true),
        (
            "no prev",
            with(&[update(6, 7, "2").replace("\"prev\":6,", "")]),
            "/correctness/broken/prev",
            true,
        ),
        ("no state", Script::good(&[stateless]), "/correctness/broken/state_missing", true),
        ("late answer", late_answer, "/correctness/broken/data_before_answer", false),
        ("no welcome", no_welcome, "/correctness/broken/welcome_first", false),
        ("not JSON", with(&["{\"channel\":".into()]), "/correctness/broken/undecodable", false),
        (
            "another symbol",
            with(&[update(6, 7, "2").replace("x:A", "x:B")]),
            "/correctness/broken/not_subscribed",
            false,
        ),
    ] {
        let ran = run(script, &["--sample=0"]);
        assert_eq!(ran.figure(figure), 1.0, "{what}: {}", ran.report["correctness"]);
        assert_eq!(ran.figure("/correctness/asked_again") > 0.0, asks, "{what}");
        assert_eq!(ran.code, Some(1), "{what}: {}", ran.errors);
        let words = ran.report["correctness"]["examples"].to_string();
        assert!(words.len() > 10, "{what}: {words}");
    }
    let ran = run(without(STATUS), &["--sample=0"]);
    assert!(ran.figure("/correctness/broken/data_before_status") >= 1.0);
    assert_eq!(ran.code, Some(1));
}

#[test]
fn a_bare_server_is_enough_for_who_is_lenient() {
    let mut script = Script::good(&[snapshot(5, "1").replace("\"state\":\"live\",", "")]);
    script.welcome.clear();
    script.first.retain(|message| message != STATUS && message != ANSWER);
    let bare = r#"{"method":"subscribe","req_id":1,"success":true,"result":{"granted":1}}"#;
    script.first.insert(0, bare.into());
    script.first.iter_mut().for_each(|message| *message = message.replace("x:A", "x:0"));
    let url = serve(script);
    let flags = ["--symbols-generated=x:{}", "--symbols-count=1", "--connections=1"];
    let more = ["--seconds=1", "--warmup=0", "--sample=0", "--lenient"];
    loadtest(&[&["steady", &url][..], &flags, &more].concat()).is_faultless();
}

#[test]
fn wrong_values_are_found_by_the_sampled_clients() {
    let mut other = Script::good(&[snapshot(5, "1"), update(5, 6, "2")]);
    other.rest = Some(snapshot(6, "3"));
    let ran = run(other, &["--sample=1"]);
    assert_eq!(ran.figure("/correctness/mismatched"), 1.0, "{}", ran.report["correctness"]);
    assert_eq!(ran.code, Some(1));

    let absent = Script::good(&[snapshot(5, "1")]);
    let ran = run(absent, &["--sample=1", "--threshold=not_compared=0"]);
    assert_eq!(ran.figure("/correctness/compared"), 0.0, "nothing passes without having compared");
    assert_eq!(ran.figure("/correctness/not_compared"), 1.0);
    assert_eq!(ran.code, Some(1));

    // The CRC-32 of "1015" is another.
    let wrong = book("snapshot", "", 5, "[[\"10.1\",\"1.5\"]]", 7);
    let mut script = Script::good(&[wrong]);
    script.again = vec![ANSWER.into()];
    let ran = run(script, &["--sample=1", "--channels=book"]);
    assert_eq!(ran.figure("/correctness/broken/checksum"), 1.0, "{}", ran.report["correctness"]);
    assert!(ran.figure("/correctness/asked_again") >= 1.0);
    assert_eq!(ran.code, Some(1));
}
