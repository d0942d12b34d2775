//! Pages of origins that are let in: they may ask with a token in a header, and read why they are
//! refused. Others learn nothing.

mod door_kit;

use door_kit::{Client, Server, start, start_admitting, start_guarded};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tickcast_gateway::{
    Admission, AdmissionLimits, Auth, DoorLimits, Proxies, Reason, Refusal, Source, Who,
};
use tickcast_market::Nanos;

const DESK: &str = "https://desk.example";
const EVIL: &str = "https://evil.example";

/// Finds nothing, refuses what is called so, and is out of order otherwise.
struct Refusing;

impl Source for Refusing {
    fn instruments(&self, query: &str, _: &Who, _: &mut Vec<u8>) -> Result<(), Refusal> {
        self.check_events(query, &Who::Anybody)
    }

    fn snapshot(&self, query: &str, who: &Who, _: &mut Vec<u8>) -> Result<(), Refusal> {
        self.check_events(query, who)
    }

    fn check_events(&self, query: &str, _: &Who) -> Result<(), Refusal> {
        Err(match query {
            "nothing" => Refusal::not_found("nothing"),
            "forbidden" => Refusal::not_entitled("forbidden"),
            "nonsense" => Refusal::bad_request("nonsense"),
            _ => Refusal::overloaded(Reason::Starting, "later"),
        })
    }
}

fn header<'a>(head: &'a str, wanted: &str) -> Option<&'a str> {
    let mut headers = head.lines().filter_map(|line| line.split_once(": "));
    headers.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value)
}

fn ask(client: &mut Client, method: &str, target: &str, origin: &str, more: &str) -> (u16, String) {
    let (status, head, _) = client
        .ask(format!("{method} {target} HTTP/1.1\r\nHost: a\r\nOrigin: {origin}\r\n{more}\r\n"));
    (status, head)
}

/// The same over a connection of its own: one that is refused as it comes is listened to for 300 ms,
/// so what is said later, by a machine that paused, is said again.
fn ask_at_once(server: &Server, target: &str, origin: &str) -> (u16, String) {
    loop {
        let began = Instant::now();
        let mut client = server.connect();
        client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\nOrigin: {origin}\r\n\r\n"));
        if began.elapsed() < Duration::from_millis(200) {
            let (head, _) = client.answer();
            return (head.split(' ').nth(1).unwrap().parse().unwrap(), head);
        }
    }
}

#[track_caller]
fn check(server: &Server, method: &str, target: &str, expected: u16) {
    for (origin, reader) in [(DESK, Some(DESK)), (EVIL, None)] {
        let (status, head) = ask(&mut server.connect(), method, target, origin, "");
        let name = format!("{method} {target} from {origin}: {head}");
        assert_eq!(status, if origin == DESK { expected } else { 403 }, "{name}");
        assert_eq!(header(&head, "Access-Control-Allow-Origin"), reader, "{name}");
        assert!(header(&head, "Access-Control-Allow-Credentials").is_none(), "{name}");
        if reader.is_some() {
            assert!(head.to_ascii_lowercase().contains("vary: origin"), "{name}");
            let readable = header(&head, "Access-Control-Expose-Headers").unwrap_or_default();
            assert!(readable.contains("Retry-After"), "{name}");
        }
    }
}

#[test]
fn a_page_asks_whether_it_may_send_a_token_and_an_event_id() {
    let server = start(DoorLimits::default());
    for target in ["/v1/sse?channel=ticker&symbol=A", "/v1/instruments", "/v1/snapshot", "/"] {
        let may = "Access-Control-Request-Method: GET\r\n\
                   Access-Control-Request-Headers: authorization,last-event-id\r\n";
        let mut client = server.connect();
        let (status, head) = ask(&mut client, "OPTIONS", target, DESK, may);
        assert_eq!(status, 204, "{target}: {head}");
        assert_eq!(header(&head, "Access-Control-Allow-Origin"), Some(DESK));
        assert_eq!(header(&head, "Access-Control-Allow-Methods"), Some("GET, HEAD"));
        let names = header(&head, "Access-Control-Allow-Headers").unwrap();
        assert_eq!(names, "authorization, last-event-id");
        assert_eq!(header(&head, "Access-Control-Max-Age"), Some("600"));
        // Browsers go on with the same connection.
        let token = "Authorization: Bearer x\r\n";
        assert_eq!(ask(&mut client, "OPTIONS", target, DESK, token).0, 204);

        let (status, head) = ask(&mut server.connect(), "OPTIONS", target, EVIL, may);
        assert_eq!(status, 403, "{target}: {head}");
        assert!(!head.to_ascii_lowercase().contains("access-control-"), "{head}");
    }
}

#[test]
fn a_page_reads_why_its_request_is_refused() {
    let server = start_guarded(Arc::new(Refusing), Auth::open());
    for path in ["/v1/sse", "/v1/snapshot", "/v1/instruments"] {
        check(&server, "GET", &format!("{path}?nothing"), 404);
        check(&server, "GET", &format!("{path}?forbidden"), 403);
        check(&server, "GET", &format!("{path}?nonsense"), 400);
        check(&server, "GET", &format!("{path}?later"), 503);
        check(&server, "GET", &format!("{path}?token=a&token=b"), 400);
    }
    check(&server, "PUT", "/v1/snapshot", 405);
    let (status, head) = ask(&mut server.connect(), "PUT", "/v1/sse", DESK, "");
    assert_eq!((status, header(&head, "Access-Control-Allow-Origin")), (405, Some(DESK)));
    // The same on a connection that was used before.
    let mut client = server.connect();
    assert_eq!(ask(&mut client, "OPTIONS", "/v1/sse", DESK, "").0, 204);
    let (status, head) = ask(&mut client, "GET", "/v1/sse?nothing", DESK, "");
    assert_eq!((status, header(&head, "Access-Control-Allow-Origin")), (404, Some(DESK)));
}

#[test]
fn a_page_reads_that_a_token_is_needed() {
    let server =
        start_guarded(Arc::new(Refusing), Auth::new(None, Who::Unknown, 10, || Nanos::ZERO));
    for path in ["/v1/sse?later", "/v1/snapshot?later", "/v1/instruments?later"] {
        check(&server, "GET", path, 401);
        check(&server, "OPTIONS", path, 204);
    }
}

#[test]
fn a_page_reads_that_there_is_no_room() {
    let limits = DoorLimits { connections_max: 0, ..DoorLimits::default() };
    let server = start(limits);
    for (origin, reader) in [(DESK, Some(DESK)), (EVIL, None)] {
        for target in ["/v1/sse?channel=ticker&symbol=A", "/v1/instruments"] {
            let (status, head) = ask_at_once(&server, target, origin);
            assert_eq!(status, 503, "{head}");
            assert_eq!(header(&head, "Access-Control-Allow-Origin"), reader, "{head}");
        }
    }
    // Whoever says nothing is told all the same.
    assert!(server.connect().answer().0.starts_with("HTTP/1.1 503 "));
}

#[test]
fn a_page_reads_that_it_comes_too_often() {
    let limits = AdmissionLimits { connections_max: 0, ..AdmissionLimits::default() };
    let admission = Admission::new(limits, Proxies::default(), true);
    let server = start_admitting(DoorLimits::default(), admission, None);
    for (origin, reader) in [(DESK, Some(DESK)), (EVIL, None)] {
        let (status, head) = ask_at_once(&server, "/v1/sse?x", origin);
        assert_eq!(status, 429, "{head}");
        assert_eq!(header(&head, "Access-Control-Allow-Origin"), reader, "{head}");
        assert_eq!(header(&head, "Retry-After"), Some("5"), "{head}");
    }
}
