//! Who a connection speaks for: what waits for a verdict, what it is given then, what is taken away.

#![allow(clippy::needless_pass_by_value)] // Values written in place read best.

mod shard_kit;

use serde_json::{Value, json};
use shard_kit::{Client, Got, World};
use std::sync::Arc;
use tickcast_gateway::{
    Admitted, Arrival, AuthAsk, AuthAsks, AuthDesk, AuthError, Entitlements, Identity,
    ShardSettings, TokenError, Transport, Verdict, Who,
};
use tickcast_market::{Nanos, Venue};
use tickcast_wire::Encoding;

const WEBSOCKET: Transport = Transport::WebSocket { encoding: Encoding::Json, compress: false };

/// A shard that takes tokens, and the desk where they are judged.
fn guarded() -> (World, AuthAsks) {
    let (desk, asks) = AuthDesk::new();
    (World::with(ShardSettings { auth_desk: Some(desk), ..ShardSettings::default() }), asks)
}

fn stranger(world: &mut World) -> Client {
    world
        .connect_arriving(WEBSOCKET, usize::MAX, |arrival| Arrival { who: Who::Unknown, ..arrival })
}

fn identity(expires_at: Nanos, entitlements: &[&str]) -> Who {
    Who::Known(Arc::new(Identity {
        sub: "desk".into(),
        expires_at,
        entitlements: Entitlements::parse(entitlements).unwrap(),
        subscriptions_max: None,
        connections_max: None,
        rates: None,
    }))
}

fn known(world: &mut World, expires_at: Nanos, entitlements: &[&str]) -> Client {
    let who = identity(expires_at, entitlements);
    world.connect_arriving(WEBSOCKET, usize::MAX, |arrival| Arrival { who, ..arrival })
}

fn auth(req_id: u32) -> Value {
    json!({"method": "auth", "req_id": req_id, "params": {"token": "t"}})
}

/// The door finds that the token is of such an identity.
fn accept(world: &mut World, ask: AuthAsk, entitlements: &[&str]) {
    let who = identity(Nanos::MAX, entitlements);
    say(world, ask, Ok(Admitted { who, seat: None }));
}

fn say(world: &mut World, ask: AuthAsk, result: Result<Admitted, AuthError>) {
    let AuthAsk { connection, session, .. } = ask;
    let now = world.now;
    world.shard.hear(now, Verdict { connection, session, result });
    world.settle();
}

fn ticker(symbol: &str) -> Value {
    json!({"channel": "ticker", "symbol": symbol})
}

fn subscribe(params: Value) -> Value {
    json!({"method": "subscribe", "req_id": 9, "params": params})
}

fn close_of(client: &mut Client) -> Option<u16> {
    client.take().into_iter().find_map(|got| match got {
        Got::Close(code, _) => Some(code),
        _ => None,
    })
}

/// The symbols of which data came.
fn symbols(messages: &[Value]) -> Vec<&str> {
    let mut symbols: Vec<&str> = messages
        .iter()
        .filter(|message| message["channel"] != "status")
        .filter_map(|message| message["data"][0]["symbol"].as_str())
        .collect();
    symbols.sort_unstable();
    symbols.dedup();
    symbols
}

#[test]
fn a_stranger_is_served_nothing_and_has_five_seconds() {
    let (mut world, _asks) = guarded();
    let all = world.instruments(1);
    let mut client = stranger(&mut world);
    client.send(&subscribe(ticker("sim:*")));
    client.send(&json!({"method": "stats"}));
    client.send(&json!({"method": "ping"}));
    world.settle();
    world.quotes(&all, 5);
    world.settle();
    let got = client.messages();
    assert_eq!(got[0]["data"][0]["auth_required"], true);
    assert_eq!([&got[1]["code"], &got[2]["code"]], [&json!(4401); 2]);
    assert_eq!(got[3]["method"], "pong");
    assert_eq!(got.len(), 4, "{got:?}");
    world.pass(Nanos::from_millis(4_700));
    assert_eq!(close_of(&mut client), None);
    world.pass(Nanos::from_millis(600));
    assert_eq!(close_of(&mut client), Some(4401));
}

#[test]
fn a_stranger_may_not_say_much_at_once() {
    let (mut world, _asks) = guarded();
    let mut client = stranger(&mut world);
    client.send_frame(1, &[b' '; 4097]);
    world.settle();
    assert_eq!(close_of(&mut client), Some(1009));
}

#[test]
fn what_came_behind_a_token_is_done_in_order_when_it_is_accepted() {
    let (mut world, mut asks) = guarded();
    world.instruments(2);
    let mut client = stranger(&mut world);
    client.send(&auth(1));
    client.send(&subscribe(ticker("sim:S0")));
    client.send(&json!({"method": "stats", "req_id": 10}));
    client.send(&auth(2));
    world.settle();
    let got = client.messages();
    assert_eq!((&got[1]["req_id"], &got[1]["code"]), (&json!(2), &json!(4400)), "{got:?}");
    assert_eq!(got.len(), 2, "nothing is answered before the verdict: {got:?}");
    let ask = asks.try_next().expect("a token at the desk");
    accept(&mut world, ask, &["*"]);
    let got = client.messages();
    let methods: Vec<_> = got.iter().filter_map(|message| message["method"].as_str()).collect();
    assert_eq!(methods, ["auth", "subscribe", "stats"], "{got:?}");
    assert_eq!(got[0]["result"]["limits"]["message_bytes"], 65536);
    assert_eq!(symbols(&got), ["sim:S0"]);
}

#[test]
fn not_more_than_a_little_waits_behind_a_token() {
    let (mut world, _asks) = guarded();
    let mut client = stranger(&mut world);
    client.send(&auth(1));
    for _ in 0..3 {
        client.send(&subscribe(ticker(&format!("sim:{}", "x".repeat(1_500)))));
    }
    world.settle();
    let codes: Vec<_> = client.messages().iter().map(|message| message["code"].clone()).collect();
    // They are no good requests, which is found before they could wait.
    assert_eq!(codes, [json!(null), json!(4400), json!(4400), json!(4400)]);
    for _ in 0..40 {
        client.send(&subscribe(ticker(&format!("sim:{}", "x".repeat(100)))));
    }
    world.settle();
    let refused = client.messages().iter().filter(|message| message["code"] == 4529).count();
    assert!((10..40).contains(&refused), "{refused}");
}

#[test]
fn a_token_that_is_not_accepted_ends_a_stranger_and_not_somebody() {
    let (mut world, mut asks) = guarded();
    world.instruments(1);
    let (mut nobody, mut somebody) = (stranger(&mut world), known(&mut world, Nanos::MAX, &["*"]));
    for client in [&nobody, &somebody] {
        client.send(&auth(4));
    }
    world.settle();
    for _ in 0..2 {
        let ask = asks.try_next().unwrap();
        say(&mut world, ask, Err(AuthError::Token(TokenError::Signature)));
    }
    for client in [&mut nobody, &mut somebody] {
        let got = client.take();
        let told = got.iter().any(|got| {
            matches!(got, Got::Message(message) if message["req_id"] == 4 && message["code"] == 4401)
        });
        assert!(told, "{got:?}");
        let is_closed = got.iter().any(|got| matches!(got, Got::Close(4401, _)));
        assert_eq!(is_closed, client.line.borrow().server_closed);
    }
    assert!(nobody.line.borrow().server_closed && !somebody.line.borrow().server_closed);
}

#[test]
fn a_verdict_for_whoever_was_there_before_is_for_nobody() {
    let (mut world, mut asks) = guarded();
    world.instruments(1);
    let first = stranger(&mut world);
    first.send(&auth(1));
    world.settle();
    let ask = asks.try_next().unwrap();
    first.line.borrow_mut().client_closed = true;
    world.settle();
    let mut second = stranger(&mut world);
    assert_eq!(second.token, first.token, "numbers are given again");
    accept(&mut world, ask, &["*"]);
    second.send(&subscribe(ticker("sim:*")));
    world.settle();
    let got = second.messages();
    assert_eq!(got.last().unwrap()["code"], 4401, "{got:?}");
}

#[test]
fn rights_end_with_the_token() {
    let (mut world, _asks) = guarded();
    let all = world.instruments(1);
    let end = world.now.plus(Nanos::from_secs(15));
    let mut client = known(&mut world, end, &["*"]);
    client.send(&subscribe(ticker("sim:*")));
    world.pass(Nanos::from_millis(14_900));
    world.quotes(&all, 9);
    world.settle();
    let got = client.take();
    assert!(!got.iter().any(|got| matches!(got, Got::Close(..))), "{got:?}");
    world.pass(Nanos::from_millis(400));
    assert_eq!(close_of(&mut client), Some(4401));
}

#[test]
fn what_is_owed_of_a_lost_right_is_never_sent() {
    let (mut world, mut asks) = guarded();
    let all = world.instruments(3);
    let mut client = known(&mut world, Nanos::MAX, &["*"]);
    client.send(&subscribe(ticker("sim:*")));
    world.settle();
    client.take();
    client.line.borrow_mut().room = 10; // In the middle of a frame.
    world.quotes(&all, 11);
    world.settle();
    client.send(&auth(1));
    world.settle();
    let begun = client.line.borrow().to_client.len();
    let ask = asks.try_next().unwrap();
    accept(&mut world, ask, &["sim:S2/ticker"]);
    world.quotes(&all, 12);
    world.settle();
    world.give_room(&client, usize::MAX);
    world.settle();
    world.quotes(&all, 13);
    world.settle();
    assert!(begun > 0, "a frame had been begun");
    let got = client.messages();
    let told = got.iter().position(|message| message["method"] == "auth").unwrap();
    // The rest of the begun frame goes before; nothing else of what was lost.
    let before = got[..told].iter().filter(|message| message["channel"] == "ticker").count();
    assert!(before <= 1, "{got:?}");
    assert_eq!(symbols(&got[told..]), ["sim:S2"], "{got:?}");
    let lost = got.iter().find(|message| message["method"] == "subscribe").unwrap();
    let failed = lost["result"]["failed"].as_array().unwrap();
    assert_eq!(failed.len(), 2, "{lost}");
    assert!(failed.iter().all(|failed| failed["code"] == 4403), "{lost}");
}

#[test]
fn instruments_that_appear_later_are_for_those_who_may_have_them() {
    let (mut world, _asks) = guarded();
    let mut client = known(&mut world, Nanos::MAX, &["kraken:*", "sim:B-USD"]);
    client.send(&subscribe(ticker("*")));
    client.send(&subscribe(json!({"channel": "ticker", "symbol": ["sim:A-USD", "sim:B-USD"]})));
    world.settle();
    for (venue, symbol) in [(Venue::Sim, "A-USD"), (Venue::Sim, "B-USD"), (Venue::Kraken, "C-USD")]
    {
        let instrument = world.instrument(venue, symbol);
        world.quotes(&[instrument], 5);
        world.settle();
    }
    let got = client.messages();
    assert_eq!(symbols(&got), ["kraken:C-USD", "sim:B-USD"], "{got:?}");
    let refused: Vec<_> = got.iter().filter(|message| message["code"] == 4403).collect();
    assert_eq!(refused.len(), 1, "{got:?}");
    assert!(refused[0]["error"].as_str().unwrap().contains("sim:A-USD"), "{refused:?}");
}

#[test]
fn more_rights_let_globs_grow() {
    let (mut world, mut asks) = guarded();
    world.instruments(3);
    let mut client = known(&mut world, Nanos::MAX, &["sim:S0"]);
    client.send(&subscribe(ticker("sim:*")));
    client.send(&auth(1));
    world.settle();
    assert_eq!(symbols(&client.messages()), ["sim:S0"]);
    let ask = asks.try_next().unwrap();
    accept(&mut world, ask, &["*"]);
    assert_eq!(symbols(&client.messages()), ["sim:S1", "sim:S2"]);
}

#[test]
fn names_that_somebody_may_not_know_of_are_not_told() {
    let (mut world, _asks) = guarded();
    for venue in [Venue::Kraken, Venue::Coinbase] {
        world.instrument(venue, "BTC-USD");
    }
    let mut client = known(&mut world, Nanos::MAX, &["kraken:BTC-USD"]);
    client.send(&subscribe(ticker("BTC-USD")));
    world.settle();
    let got = client.messages();
    let error = got.last().unwrap()["result"]["failed"][0]["error"].as_str().unwrap().to_owned();
    assert!(error.contains("kraken:BTC-USD") && !error.contains("coinbase"), "{error}");
}

#[test]
fn requests_that_are_matched_against_everything_cost_more_than_one() {
    let mut world = World::new();
    world.instruments(1_000);
    let mut client = world.connect();
    let globs: Vec<String> = (0..100).map(|number| format!("sim:{number}*x")).collect();
    // Each is five more: of fifty that may come at once it is at most nine.
    for _ in 0..20 {
        client.send(&subscribe(json!({"channel": "ticker", "symbol": globs})));
    }
    world.settle();
    let got = client.messages();
    let refused = got.iter().filter(|message| message["code"] == 4529).count();
    assert_eq!(refused, 11, "{}", got.len());
}
