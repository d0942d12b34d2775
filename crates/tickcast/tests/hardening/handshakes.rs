//! Rows 13 (wrong handshakes), 14 (other people's pages) and 5 (big heads): the right status, and
//! never an upgrade.

use crate::handshake_corpus::handshakes;
use crate::hostile::{quiet, unharmed};
use crate::raw::{HANDSHAKE, PATIENCE, connect};
use crate::service::Service;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

/// How a head is sent.
#[derive(Clone, Copy, Debug)]
enum Way {
    OneWrite,
    ByteByByte,
    /// As the second request of a connection that is kept alive.
    Second,
}

/// Sends a head, and reads the first head of an answer, in small letters, and whether the
/// connection ended in order if it ended.
fn ask(service: &Service, bytes: &[u8], way: Way) -> (String, bool) {
    let mut stream = connect(service.public);
    stream.set_read_timeout(Some(PATIENCE)).expect("a time");
    match way {
        Way::OneWrite => stream.write_all(bytes).expect("it reads"),
        Way::ByteByByte => {
            let _ = bytes.iter().all(|byte| stream.write_all(&[*byte]).is_ok());
        }
        Way::Second => {
            stream
                .write_all(b"GET /v1/instruments HTTP/1.1\r\nHost: tickcast.test\r\n\r\n")
                .expect("it reads");
            let (head, _) = read_answer(&mut stream, false);
            assert!(head.starts_with("http/1.1 200"), "{head}");
            stream.write_all(bytes).expect("it reads");
        }
    }
    let (head, body) = read_answer(&mut stream, bytes.starts_with(b"HEAD"));
    let mut rest = [0; 1024];
    let is_open = ["http/1.1 101", "http/1.1 200"].iter().any(|line| head.starts_with(line));
    let keeps = is_open || !head.contains("connection: close");
    let is_orderly = keeps || matches!(stream.read(&mut rest), Ok(0));
    (head + &body, is_orderly)
}

/// An answer with a length: its head in small letters, and its body.
fn read_answer(stream: &mut TcpStream, is_head: bool) -> (String, String) {
    let mut received = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&received).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_ascii_lowercase() + "\r\n";
            let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
            let length = length.and_then(|text| text.parse::<usize>().ok()).unwrap_or(0);
            if body.len() >= length || is_head {
                return (head, body.to_owned());
            }
        }
        match stream.read(&mut buffer) {
            Ok(0) => return (format!("an end after {text:?}"), String::new()),
            Ok(some) => received.extend_from_slice(&buffer[..some]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return (format!("{error} after {text:?}"), String::new()),
        }
    }
}

#[test]
fn row_13_wrong_handshakes_get_the_right_status_and_no_upgrade() {
    let service = quiet();
    let corpus = handshakes();
    assert!(corpus.len() >= 20, "{} handshakes", corpus.len());
    let (good, _) = ask(&service, HANDSHAKE.as_bytes(), Way::ByteByByte);
    assert!(good.starts_with("http/1.1 101 "), "the right one is right: {good}");
    let (good, _) = ask(&service, HANDSHAKE.as_bytes(), Way::Second);
    assert!(good.starts_with("http/1.1 101 "), "the right one is right: {good}");
    // A target may be absolute (RFC 6455, section 4.2.1).
    let absolute = HANDSHAKE.replacen("/v1/ws", "http://tickcast.test/v1/ws", 1);
    let (good, _) = ask(&service, absolute.as_bytes(), Way::OneWrite);
    assert!(good.starts_with("http/1.1 101 "), "the right one is right: {good}");
    let mut wrong = Vec::new();
    for case in &corpus {
        for way in [Way::OneWrite, Way::ByteByByte, Way::Second] {
            let (answer, is_orderly) = ask(&service, &case.bytes, way);
            // hyper answers in the version that it was asked in, and says nothing to HTTP/2.
            let answer = answer.replacen("http/1.0", "http/1.1", 1);
            if case.name == "HTTP/2" && answer == "an end after \"\"" && is_orderly {
                continue;
            }
            let status = format!("http/1.1 {} ", case.status);
            if !answer.starts_with(&status) || !answer.contains(case.has) || !is_orderly {
                let shown: String = answer.chars().take(300).collect();
                wrong.push(format!("{} {way:?}: {status}: {is_orderly} {shown:?}", case.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), 3 * corpus.len(), wrong.join("\n"));
    println!("row 13: {} handshakes, each in 3 ways, all refused rightly", corpus.len());
    unharmed(&service);
}

#[test]
fn row_14_pages_of_others_are_refused_and_no_cookie_helps() {
    let service = Service::start(&[
        "--sim-instruments",
        "3",
        "--sim-rate",
        "0",
        "--allow-origin",
        "https://desk.example",
    ]);
    service.until_ready();
    let port = service.public.port();
    let own = format!("http://127.0.0.1:{port}");
    let mut asked = 0;
    for (origin, host, status) in [
        ("https://desk.example", "a.test", 101),
        ("https://desk.example:443", "a.test", 403),
        ("https://desk.example.evil", "a.test", 403),
        ("https://DESK.example", "a.test", 403),
        ("http://desk.example", "a.test", 403),
        ("http://a.test", "a.test", 101),
        ("http://a.test:8080", "a.test", 403),
        ("http://b.test", "a.test", 403),
        ("null", "a.test", 403),
        ("file://", "a.test", 403),
        ("http://localhost:3000", "a.test", 101),
        ("http://localhost.evil", "a.test", 403),
        (own.as_str(), "127.0.0.1", 101),
    ] {
        for path in ["/v1/ws", "/v1/sse?channel=ticker&symbol=sim:S0-USD", "/v1/instruments"] {
            let head =
                HANDSHAKE.replacen("/v1/ws", path, 1).replacen("tickcast.test", host, 1).replacen(
                    "\r\n\r\n",
                    &format!("\r\nOrigin: {origin}\r\nCookie: session=admin\r\n\r\n"),
                    1,
                );
            let (answer, _) = ask(&service, head.as_bytes(), Way::OneWrite);
            let status = if status == 101 && path != "/v1/ws" { 200 } else { status };
            assert!(
                answer.starts_with(&format!("http/1.1 {status} ")),
                "{origin} {host} {path}: {answer}"
            );
            let is_named = answer
                .contains(&format!("access-control-allow-origin: {}", origin.to_ascii_lowercase()));
            assert_eq!(is_named, status == 200, "{origin} {host} {path}: {answer}");
            assert!(
                !answer.contains("set-cookie") && !answer.contains("allow-credentials"),
                "{answer}"
            );
            asked += 1;
        }
    }
    println!("row 14: {asked} requests from pages, judged exactly");
    unharmed(&service);
}

#[test]
fn row_05_heads_above_8_kib_or_64_headers_are_431() {
    let service = quiet();
    let head = |bytes: usize, headers: usize, path: &str| {
        let mut head = format!("GET {path} HTTP/1.1\r\nHost: tickcast.test\r\n");
        for number in 1..headers - 1 {
            head.push_str(&format!("X-{number}: a\r\n"));
        }
        let filler = bytes.saturating_sub(head.len() + "X-L: \r\n\r\n".len());
        head + &format!("X-L: {}\r\n\r\n", "a".repeat(filler))
    };
    let mut asked = 0;
    for path in ["/v1/instruments", "/v1/ws", "/nothing"] {
        let good = match path {
            "/v1/instruments" => 200,
            "/v1/ws" => 426,
            _ => 404,
        };
        for (bytes, headers, status) in [
            (8_000, 10, good),
            (8_192, 10, good),
            (8_193, 10, 431),
            (20_000, 10, 431),
            (100_000, 3, 431),
            (1_000, 64, good),
            (1_000, 65, 431),
            (1_500, 100, 431),
        ] {
            let bytes = head(bytes, headers, path);
            for way in [Way::OneWrite, Way::Second] {
                let (answer, _) = ask(&service, bytes.as_bytes(), way);
                assert!(
                    answer.starts_with(&format!("http/1.1 {status} ")),
                    "{path} {} bytes {headers} headers {way:?}: {status}: {answer}",
                    bytes.len()
                );
                asked += 1;
            }
        }
    }
    println!("row 5: {asked} heads around 8 KiB and 64 headers, all answered rightly");
    unharmed(&service);
}
