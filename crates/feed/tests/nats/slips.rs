//! What a publisher gets wrong at first, and what the log says of it: never nothing, and always enough
//! to find the place.

use crate::messages::{Body, Status};
use crate::stage::Stage;
use crate::{DECLARED, SNAPSHOT, event, kinds};
use prost::Message;

#[track_caller]
fn check(payload: &[u8], reason: &str, parts: &[&str]) {
    let mut stage = Stage::open();
    stage.payload(payload);
    let text = String::from_utf8_lossy(payload).into_owned();
    assert_eq!(stage.refused().first(), Some(&reason), "{text}");
    for part in parts {
        assert!(stage.reports[0].contains(part), "{part:?} in {:?} of {text}", stage.reports[0]);
    }
}

#[test]
fn a_message_without_an_event_is_refused_and_not_passed_over() {
    // An event of no venue, published without the Message around it: all its fields are unknown ones.
    let mut alone = event(0, Some(Body::Status(Status::Halted as i32)));
    alone.venue.clear();
    check(&alone.encode_to_vec(), "field missing", &["events: \"no event in this Message\""]);
    check(b"", "field missing", &["events: "]);
    alone.venue = "xetra".into();
    check(&alone.encode_to_vec(), "unexpected value", &["in an event that begins with xetra"]);
}

#[test]
fn text_that_is_no_line_of_json_is_shown() {
    check(b"[{\"symbol\":\"A\"}]", "not protobuf", &["message: ", "begins with [{"]);
    check(b"{\n \"symbol\": \"A\"\n}", "not json", &["near {"]);
    let line = br#"{"symbol":"A","seq":1,"ts_event":1770000000000000.5,"status":"live"}"#;
    check(
        line,
        "unexpected value",
        &["nats:A: ts_event: ", "another kind, near", "1770000000000000.5"],
    );
    let line = br#"{"symbol":"A","book_snapshot":{"bids":[{"price":"1"}]}}"#;
    check(line, "unexpected value", &["bids: ", "near", "{\\\"price\\\""]);
    let line = br#"{"symbol":"A","instrument":{"price_scale":-1}}"#;
    check(line, "unexpected value", &["instrument.price_scale: ", "-1"]);
}

#[test]
fn null_is_absent() {
    let mut stage = Stage::open();
    let with_null =
        r#""venue":null,"seq":null,"ts_event":null,"quote":null,"trades":null,"status":null"#;
    let declared = DECLARED.replace('}', r#","tick_size":null,"lot_size": null}"#);
    stage.payload(format!(r#"{{"symbol":"A",{with_null},{declared},{SNAPSHOT}}}"#).as_bytes());
    stage.payload(br#"{"symbol":"A","trades":[{"id":null,"price":"1","size":"1","side":"buy","ts_event":null}]}"#);
    stage.payload(br#"{"symbol":"A","book_changes":{"bids":null,"asks":[]}}"#);
    assert_eq!((stage.refused(), stage.reports.len()), (vec![], 0));
    assert_eq!(kinds(&stage.take()), ["BookSnapshot", "live", "Trades"]);
    check(br#"{"symbol":"A","seq":nullish}"#, "not json", &["near"]);
    check(br#"{"symbol":null,"heartbeat":null}"#, "field missing", &["symbol"]);
}
