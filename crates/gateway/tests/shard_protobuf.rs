//! The binary encoding on a line: the same session in both encodings is the same message by
//! message, and what is in the wrong form is refused.

#![allow(clippy::needless_pass_by_value)] // Values written in place read best.

mod shard_kit;

use serde_json::{Value, json};
use shard_kit::{Got, World, short};
use std::collections::BTreeSet;
use tickcast_gateway::Transport;
use tickcast_market::{
    BookChange, BookSide, EventBody, InstrumentIndex, Nanos, Price, Quote, Scales, Side, Size,
    Trade, TradingState,
};
use tickcast_wire::{Channel, Encoding};

fn speaking(encoding: Encoding) -> Transport {
    Transport::WebSocket { encoding, compress: false }
}

/// What each connection says of itself alone.
fn without_own(mut message: Value) -> Value {
    if message["method"] == "stats" {
        message["result"]["sent_bytes"] = json!(0);
    }
    message
}

fn trade(world: &mut World, instrument: InstrumentIndex, price: i64, id: u64) {
    let ts_event = world.now;
    let trade = Trade { id, price: Price(price), size: Size(3), side: Side::Sell, ts_event };
    world.event(instrument, EventBody::Trades(&[trade]));
}

fn levels(world: &mut World, instrument: InstrumentIndex, levels: &[(BookSide, i64, i64)]) {
    let change = |(side, price, size): &(BookSide, i64, i64)| BookChange {
        side: *side,
        price: Price(*price),
        size: Size(*size),
    };
    let changes: Vec<BookChange> = levels.iter().map(change).collect();
    world.event(instrument, EventBody::BookUpdate(&changes));
}

/// A client's session from welcome to goaway, and how many bytes it had.
fn session(encoding: Encoding) -> (Vec<Value>, usize) {
    let mut world = World::new();
    let all = world.instruments(3);
    let mut client = world.connect_as(speaking(encoding));
    for params in [
        json!({"channel": "ticker", "symbol": ["sim:*", "sim:NOPE"]}),
        json!({"channel": "ticker", "symbol": "sim:S1", "fields": ["bid", "last"], "max_rate": 4}),
        json!({"channel": "book", "symbol": "sim:S0", "depth": 25}),
        json!({"channel": "trades", "symbol": ["sim:S0", "sim:S1"], "snapshot": false}),
        json!({"channel": "bars", "symbol": "sim:S0", "interval": "1s"}),
    ] {
        client.send(&json!({"method": "subscribe", "req_id": "a \"b\"", "params": params}));
        world.settle();
    }
    let mut told = client.messages();
    for round in 0..40 {
        change(&mut world, &all, round);
        world.pass(Nanos::from_millis(60));
        told.extend(client.messages());
    }
    client.send(&json!({"method": "ping", "req_id": 7}));
    client.send(&json!({"method": "stats", "req_id": -8}));
    let unsubscribe = json!({"channel": "bars", "symbol": ["sim:S0", "a:B"], "interval": "1s"});
    client.send(&json!({"method": "unsubscribe", "params": unsubscribe}));
    world.pass(Nanos::from_secs(6));
    world.shard.drain(world.now, 1_000);
    world.settle();
    told.extend(client.messages());
    (told.into_iter().map(without_own).collect(), client.bytes.len())
}

/// Quotes, trades, levels, a side that empties, a state, and now and then finer numbers: a new
/// epoch, and other numbers for its streams.
fn change(world: &mut World, all: &[InstrumentIndex], round: usize) {
    let instrument = all[round % all.len()];
    match round % 8 {
        0 | 1 => world.quote(instrument, 100 + round as i64),
        2 => trade(world, instrument, 101, round as u64),
        3 => levels(world, all[0], &[(BookSide::Bid, 90 - round as i64, 5)]),
        4 => levels(world, all[0], &[(BookSide::Ask, 200, 7), (BookSide::Ask, 201, 0)]),
        5 => world.event(instrument, EventBody::Quote(Quote { bid: None, ask: None })),
        6 => world.state(instrument, [TradingState::Stale, TradingState::Live][round / 8 % 2]),
        _ => {
            world.scales = Scales { price: 1 + (round / 8) as u8, ..world.scales };
            world.quote(all[0], 1_000_000);
        }
    }
}

#[test]
fn a_session_is_the_same_message_by_message_in_both_encodings() {
    let [(json, json_bytes), (protobuf, protobuf_bytes)] = Encoding::ALL.map(session);
    for (json, protobuf) in json.iter().zip(&protobuf) {
        assert_eq!(json.to_string(), protobuf.to_string());
    }
    assert_eq!(json.len(), protobuf.len());
    let mut kinds: BTreeSet<String> = BTreeSet::new();
    kinds.extend(json.iter().map(|message| short(message).split(' ').next().unwrap().to_owned()));
    for kind in ["system", "subscribe", "unsubscribe", "pong", "stats", "heartbeat"] {
        assert!(kinds.contains(kind), "{kind} in {kinds:?}");
    }
    for channel in Channel::ALL {
        assert!(kinds.contains(channel.name()), "{channel:?} in {kinds:?}");
    }
    assert_eq!(short(json.last().unwrap()), "system goaway");
    assert!(protobuf_bytes * 3 < json_bytes, "{protobuf_bytes} and {json_bytes}");
}

#[test]
fn a_client_that_comes_back_is_told_again_what_the_numbers_stand_for() {
    let mut world = World::new();
    let s0 = world.instruments(1)[0];
    let params = json!({"channel": "ticker", "symbol": "sim:S0"});
    let mut first = world.connect_as(speaking(Encoding::Protobuf));
    first.subscribe(params.clone());
    world.settle();
    let snapshot = first.messages().pop().unwrap();
    let held = |seq: u64| json!({"sim:S0": {"epoch": snapshot["data"][0]["epoch"], "seq": seq}});
    world.quote(s0, 150);
    // Only what changed, and then nothing at all: both open the stream for a new line.
    let mut lines = Vec::new();
    for (seq, expected) in [(1, "ticker sim:S0 1>2"), (2, "ticker sim:S0 2>2")] {
        let mut again = world.connect_as(speaking(Encoding::Protobuf));
        let mut params = params.clone();
        params["since"] = held(seq);
        again.subscribe(params);
        world.settle();
        assert_eq!(again.short().last().unwrap(), expected);
        lines.push(again);
    }
    // Live updates then carry the number alone.
    world.quote(s0, 160);
    world.settle();
    for mut line in lines {
        let before = line.bytes.len();
        assert_eq!(line.short(), ["ticker sim:S0 2>3"]);
        assert!(line.bytes.len() - before <= 40, "{} bytes", line.bytes.len() - before);
    }
}

#[test]
fn what_is_in_the_wrong_form_closes_the_connection() {
    let mut world = World::new();
    for (encoding, opcode, reason) in [
        (Encoding::Json, 2, "this subprotocol has text messages only"),
        (Encoding::Protobuf, 1, "this subprotocol has binary messages only"),
    ] {
        let mut client = world.connect_as(speaking(encoding));
        client.send_frame(opcode, br#"{"method":"ping"}"#);
        world.settle();
        assert_eq!(client.take().pop(), Some(Got::Close(1003, reason.to_owned())));
    }
}

#[test]
fn a_request_that_is_none_is_answered_in_protobuf() {
    let mut world = World::new();
    let mut client = world.connect_as(speaking(Encoding::Protobuf));
    client.send_frame(2, br#"{"method":"ping"}"#);
    world.settle();
    let answer = client.messages().pop().unwrap();
    assert_eq!(answer["code"], 4400);
    let error = answer["error"].as_str().unwrap();
    assert!(error.starts_with("message: not a tickcast.v1.Request: "), "{error}");
}

#[test]
fn what_is_sent_is_counted_by_encoding() {
    let mut world = World::new();
    let s0 = world.instruments(1)[0];
    for encoding in Encoding::ALL {
        let client = world.connect_as(speaking(encoding));
        client.subscribe(json!({"channel": "ticker", "symbol": "sim:S0"}));
    }
    world.settle();
    world.quote(s0, 105);
    world.settle();
    let sent = |encoding: Encoding| {
        let of = |name| world.metrics.value(name, &["ticker", encoding.name()]);
        (of("tickcast_gateway_messages_sent_total"), of("tickcast_gateway_bytes_sent_total"))
    };
    let [(json, json_bytes), (protobuf, protobuf_bytes)] = Encoding::ALL.map(sent);
    assert_eq!((json, protobuf), (2, 2));
    assert!(protobuf_bytes * 3 < json_bytes, "{protobuf_bytes} and {json_bytes}");
}
