//! The binary encoding, both ways: bytes as a request to the service, and as messages to a client.
//!
//! The first byte says which. A request that is taken means the same when a client writes it down
//! again; messages (each behind two bytes of length) are read into JSON that is JSON, whatever came
//! before on the connection.

use crate::request::judge_as;
use tickcast_wire::{Encoding, Message, ProtobufReader, Request};

/// Messages of one connection that are looked at.
const MESSAGES_MAX: usize = 64;

/// Tries one input: `q` and a request, or anything else and messages.
pub fn run(data: &[u8]) {
    match data.split_first() {
        Some((b'q', request)) => match Request::read(Encoding::Protobuf, request) {
            Ok(request) => judge_as(Encoding::Protobuf, &request),
            Err(error) => assert!(!error.error.is_empty()),
        },
        Some((_, messages)) => read(messages),
        None => {}
    }
}

fn read(mut messages: &[u8]) {
    let mut reader = ProtobufReader::new();
    for _ in 0..MESSAGES_MAX {
        let Some((length, rest)) = messages.split_first_chunk::<2>() else { break };
        let length = usize::from(u16::from_be_bytes(*length)).min(rest.len());
        let (message, rest) = rest.split_at(length);
        messages = rest;
        let Ok(text) = reader.read(message) else { continue };
        assert!(std::str::from_utf8(text).is_ok(), "JSON is UTF-8");
        if let Err(error) = Message::decode(text) {
            panic!("{error}: {}", String::from_utf8_lossy(text));
        }
    }
}
