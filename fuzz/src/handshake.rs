//! Request heads: whatever is let in is HTTP by `httparse`'s account and has every header that a
//! handshake needs; a head that has come in part is waited for; every answer can be read.

use tickcast_gateway::{Accept, HEADERS_MAX, Origins, Refusal, Route, SseRequest, read_head};
use tungstenite::handshake::derive_accept_key;

/// Beyond it only some of a head's beginnings are tried.
const PARTS_MAX: usize = 64;

/// Tries one input: the bytes of a head, perhaps of more.
pub fn run(data: &[u8]) {
    let listed = vec!["https://desk.example".to_owned()];
    for is_loopback in [true, false] {
        judge(data, &Origins::new(listed.clone(), is_loopback));
    }
}

fn judge(data: &[u8], origins: &Origins) {
    match read_head(data, origins) {
        Ok(None) => {}
        Ok(Some((route, length))) => {
            let head = &data[..length];
            assert_eq!(read_head(head, origins), Ok(Some((route.clone(), length))));
            for part in (0..length).step_by(1 + length / PARTS_MAX) {
                assert_eq!(read_head(&head[..part], origins), Ok(None), "after {part} bytes");
            }
            match route {
                Route::WebSocket(accept) => judge_upgrade(head, &accept, origins),
                Route::Sse(request) => judge_events(head, &request, origins),
                Route::Other => assert!(head.ends_with(b"\n")),
            }
        }
        Err(refusal) => judge_refusal(&refusal),
    }
}

fn judge_upgrade(head: &[u8], accept: &Accept, origins: &Origins) {
    let headers = Headers::of(head, origins);
    assert!(headers.target.split('?').next() == Some("/v1/ws"), "{}", headers.target);
    assert_eq!(headers.minor, 1, "HTTP/1.1");
    let names = |name: &str, wanted: &str| {
        let values = headers.all(name).flat_map(|value| value.split(','));
        values.map(str::trim).any(|value| value.eq_ignore_ascii_case(wanted))
    };
    assert!(names("upgrade", "websocket") && names("connection", "upgrade"));
    assert_eq!(headers.only("sec-websocket-version"), "13");
    let key = headers.only("sec-websocket-key");
    assert_eq!(derive_accept_key(key.as_bytes()).as_bytes(), accept.key);
    let mut answer = Vec::new();
    accept.write(&mut answer);
    let expected = 3 + usize::from(accept.subprotocol.is_some()) + usize::from(accept.compress);
    assert_eq!(answered(&answer), (101, expected, answer.len()));
    assert!(accept.subprotocol.is_none_or(|name| names("sec-websocket-protocol", name)));
    let mut offers = headers.all("sec-websocket-extensions").map(str::to_ascii_lowercase);
    assert!(!accept.compress || offers.any(|offer| offer.contains("permessage-deflate")));
}

fn judge_events(head: &[u8], request: &SseRequest, origins: &Origins) {
    let headers = Headers::of(head, origins);
    assert!(headers.target.split('?').next() == Some("/v1/sse"), "{}", headers.target);
    assert!(request.query.split('&').all(|pair| !pair.starts_with("token=")));
    let mut answer = Vec::new();
    request.write(&mut answer);
    // A value of the request's stands in the answer: it must not bring headers of its own.
    let expected = 6 + usize::from(request.origin.is_some());
    assert_eq!(answered(&answer), (200, expected, answer.len()));
}

fn judge_refusal(refusal: &Refusal) {
    assert!(matches!(refusal.status, 400..=599), "{refusal:?}");
    let mut answer = Vec::new();
    refusal.write(&mut answer);
    let (status, headers, length) = answered(&answer);
    // A page that may read it is named: that must not bring headers of its own either.
    let readable = if refusal.reader.is_some() { 3 } else { 0 };
    assert_eq!((status, headers), (refusal.status, 4 + refusal.headers.len() + readable));
    assert_eq!(answer[length..], refusal.body());
    let text = std::str::from_utf8(&answer[length..]).expect("the body is text");
    assert!(text.starts_with('{') && text.ends_with('}'), "{text}");
}

/// Status, number of headers and length of an answer's head.
fn answered(answer: &[u8]) -> (u16, usize, usize) {
    let mut headers = [httparse::EMPTY_HEADER; 16];
    let mut response = httparse::Response::new(&mut headers);
    match response.parse(answer) {
        Ok(httparse::Status::Complete(length)) => {
            (response.code.expect("it is whole"), response.headers.len(), length)
        }
        other => panic!("{other:?}: {}", String::from_utf8_lossy(answer)),
    }
}

/// A head as `httparse` alone sees it.
struct Headers<'a> {
    target: &'a str,
    minor: u8,
    all: Vec<(&'a str, &'a str)>,
}

impl<'a> Headers<'a> {
    /// Of a head that was let in.
    fn of(head: &'a [u8], origins: &Origins) -> Headers<'a> {
        let mut slots = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut request = httparse::Request::new(&mut slots);
        let parsed = request.parse(head);
        assert_eq!(parsed, Ok(httparse::Status::Complete(head.len())));
        assert_eq!(request.method, Some("GET"));
        // Those that matter are text, or the head would not have been let in.
        let text = |header: &httparse::Header<'a>| {
            Some((header.name, std::str::from_utf8(header.value).ok()?.trim()))
        };
        let headers = Headers {
            target: request.path.expect("it is whole"),
            minor: request.version.expect("it is whole"),
            all: request.headers.iter().filter_map(text).collect(),
        };
        assert!(headers.minor == 0 || !headers.only("host").is_empty() || headers.has("host"));
        if headers.has("origin") {
            let host = headers.all("host").next();
            assert!(origins.admits(headers.only("origin"), host));
        }
        headers
    }

    fn all(&self, name: &str) -> impl Iterator<Item = &'a str> {
        let same = self.all.iter().filter(move |(found, _)| found.eq_ignore_ascii_case(name));
        same.map(|(_, value)| *value)
    }

    fn has(&self, name: &str) -> bool {
        self.all(name).next().is_some()
    }

    fn only(&self, name: &str) -> &'a str {
        let mut values = self.all(name);
        let value = values.next().unwrap_or_else(|| panic!("{name} is missing"));
        assert!(values.next().is_none(), "{name} stands there twice");
        value
    }
}
