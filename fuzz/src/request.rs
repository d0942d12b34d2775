//! A client's requests: what is taken means the same when a client writes it down again.

use tickcast_wire::{Encoding, REQ_ID_BYTES_MAX, ReqId, Request, write_request};

/// Tries one input: a message of text.
pub fn run(data: &[u8]) {
    match Request::parse(data) {
        Ok(request) => {
            assert!(request.req_id().is_none_or(|id| ReqId::as_json(id).len() <= REQ_ID_BYTES_MAX));
            judge(&request);
        }
        Err(error) => assert!(!error.error.is_empty()),
    }
}

/// Writes a request down and reads it again.
pub(crate) fn judge(request: &Request) {
    let mut written = Vec::new();
    write_request(&mut written, Encoding::Json, request);
    let text = String::from_utf8_lossy(&written);
    let read = Request::parse(&written).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(&read, request, "{text}");
}
