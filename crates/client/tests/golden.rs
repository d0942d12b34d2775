//! The golden vectors of the binary encoding, as this client reads them: a connection's messages
//! give the same session in both encodings.

use serde_json::Value;
use tickcast_client::Session;
use tickcast_wire::{Message, Pattern, ProtobufReader, Request, Subscribe, View};

fn bytes(hex: &str) -> Vec<u8> {
    let pair = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal");
    (0..hex.len()).step_by(2).map(pair).collect()
}

/// A session that is subscribed to everything.
fn session() -> Session {
    let mut session = Session::new();
    let request = br#"{"method":"subscribe","params":{"channel":"ticker","symbol":["*"]}}"#;
    let Ok(Request::Subscribe { params, .. }) = Request::parse(request) else { panic!("good") };
    for view in [View::Ticker, View::Trades, View::Book(tickcast_wire::Depth::TEN)] {
        session.subscribe(Subscribe { view, symbols: vec![Pattern::new("*")], ..params.clone() });
    }
    for interval in tickcast_wire::Interval::ALL {
        let view = View::Bars(interval);
        session.subscribe(Subscribe { view, ..params.clone() });
    }
    session
}

#[test]
fn both_encodings_lead_to_the_same_session() {
    let text = include_str!("../../../clients/golden/v1.json");
    let golden: Value = serde_json::from_str(text).expect("JSON");
    let (mut from_json, mut from_protobuf) = (session(), session());
    let mut reader = ProtobufReader::new();
    let messages = golden["messages"].as_array().expect("a list");
    assert!(messages.len() > 10);
    for vector in messages {
        let json = vector["json"].to_string();
        let read = bytes(vector["protobuf"].as_str().expect("text"));
        let read = reader.read(&read).expect("a message");
        let verdict = from_json.receive(&Message::decode(json.as_bytes()).expect("a message"));
        let same = from_protobuf.receive(&Message::decode(read).expect("a message"));
        assert_eq!(verdict, same, "{json}");
    }
    assert_eq!(from_json.counts(), from_protobuf.counts());
    let mut symbols: Vec<&str> = from_json.symbols().collect();
    symbols.sort_unstable();
    assert!(!symbols.is_empty());
    for symbol in symbols {
        assert_eq!(from_json.status(symbol), from_protobuf.status(symbol));
        assert_eq!(from_json.ticker(symbol), from_protobuf.ticker(symbol));
        assert_eq!(from_json.trades(symbol), from_protobuf.trades(symbol));
        assert_eq!(from_json.book(symbol), from_protobuf.book(symbol));
        for interval in tickcast_wire::Interval::ALL {
            assert_eq!(from_json.bars(symbol, interval), from_protobuf.bars(symbol, interval));
        }
    }
}
