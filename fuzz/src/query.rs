//! The query of a URL and the ids of events: a query means what the same JSON request means, and
//! what is written is read again.

use crate::request;
use tickcast_wire::{Request, parse_event_id, parse_query, percent_decode, write_event_id};

/// Tries one input: text after the `?`, also as an id and as one value.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(params) = parse_query(text, &["token"]) {
        assert!(params.since.is_empty(), "a query claims nothing");
        request::judge(&Request::Subscribe { req_id: None, params });
    }
    if let Some(since) = parse_event_id(text) {
        let mut id = Vec::new();
        write_event_id(&mut id, since);
        let id = String::from_utf8(id).expect("an id is text");
        assert_eq!(parse_event_id(&id), Some(since), "{text:?} {id:?}");
    }
    if let Ok(decoded) = percent_decode(text) {
        assert!(decoded.len() <= text.len());
        assert_eq!(percent_decode(&percent_encode(&decoded)).as_deref(), Ok(&*decoded));
    }
}

/// Every byte in its encoded form.
fn percent_encode(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
