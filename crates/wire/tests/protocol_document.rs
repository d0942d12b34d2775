//! `PROTOCOL.md` is true: every line of JSON in it is a request that is understood or a message
//! that a client can read.

use tickcast_wire::{Message, Request};

#[test]
fn every_example_of_the_document_is_understood() {
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/../../PROTOCOL.md");
    let text = std::fs::read_to_string(document).expect("the document is beside the crates");
    let (mut inside, mut requests, mut messages) = (false, 0, 0);
    for line in text.lines() {
        if line.starts_with("```") {
            inside = line == "```json";
            continue;
        }
        if !inside {
            continue;
        }
        let is_request = line.starts_with("{\"method\":")
            && !line.contains("\"success\":")
            && !line.contains("\"pong\"");
        if is_request {
            Request::parse(line.as_bytes()).unwrap_or_else(|error| panic!("{line}: {error:?}"));
            requests += 1;
        } else {
            let decoded = Message::decode(line.as_bytes());
            let message = decoded.unwrap_or_else(|error| panic!("{line}: {error:?}"));
            let known = format!("{message:?}");
            assert!(!known.starts_with("Unknown") && !known.starts_with("Other"), "{line}");
            messages += 1;
        }
    }
    assert!(requests >= 3 && messages >= 12, "{requests} requests, {messages} messages");
}
