//! A client's requests: what is taken means the same when a client writes it down again.
//!
//! But for the last digit of a rate: `serde_json` reads decimal fractions to within some units of the
//! last place, of which the smallest numbers have few.

use tickcast_wire::{Encoding, REQ_ID_BYTES_MAX, ReqId, Request, write_request};

/// So many units of its last place a rate may differ when it is read again.
const RATE_UNITS_MAX: u64 = 4;

/// Tries one input: a message of text.
pub fn run(data: &[u8]) {
    match Request::parse(data) {
        Ok(request) => {
            assert!(request.req_id().is_none_or(|id| ReqId::as_json(id).len() <= REQ_ID_BYTES_MAX));
            judge_as(Encoding::Json, &request);
        }
        Err(error) => assert!(!error.error.is_empty()),
    }
}

/// Writes a request down as JSON and reads it again.
pub(crate) fn judge(request: &Request) {
    judge_as(Encoding::Json, request);
}

/// Writes a request down and reads it again.
pub(crate) fn judge_as(encoding: Encoding, request: &Request) {
    let mut written = Vec::new();
    write_request(&mut written, encoding, request);
    let text = String::from_utf8_lossy(&written);
    let read = Request::read(encoding, &written);
    let mut read = read.unwrap_or_else(|error| panic!("{error}: {text}"));
    if let (Some(rate), Some(again)) = (max_rate(request), max_rate(&read)) {
        // Above zero the bits of numbers are in their order.
        assert!(again.to_bits().abs_diff(rate.to_bits()) <= RATE_UNITS_MAX, "{rate} {again}");
        if let Request::Subscribe { params, .. } = &mut read {
            params.max_rate = Some(rate);
        }
    }
    assert_eq!(&read, request, "{text}");
}

fn max_rate(request: &Request) -> Option<f64> {
    match request {
        Request::Subscribe { params, .. } => params.max_rate,
        _ => None,
    }
}
