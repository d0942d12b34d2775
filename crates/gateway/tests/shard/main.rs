//! What a client of a shard sees: subscriptions, snapshots, updates; `slow` is what happens when it does
//! not keep up, `turns` what a shard does in one.

#![allow(clippy::needless_pass_by_value)] // Values written in place read best.

#[path = "../shard_kit/mod.rs"]
mod shard_kit;
mod slow;
mod turns;

use serde_json::{Value, json};
use shard_kit::{Client, Holder, World, short};
use tickcast_market::{EventBody, Price, Quote, Size, TradingState};

fn ticker(symbols: Value) -> Value {
    json!({"channel": "ticker", "symbol": symbols})
}

/// The ticker messages among what came, in short.
fn tickers(client: &mut Client) -> Vec<String> {
    client.short().into_iter().filter(|message| message.starts_with("ticker")).collect()
}

#[test]
fn a_subscriber_gets_welcome_answer_status_snapshot_and_then_updates() {
    let mut world = World::new();
    let s0 = world.instruments(1)[0];
    let mut client = world.connect();
    client.subscribe(ticker(json!("sim:S0")));
    world.settle();
    let got = client.messages();
    let shorts: Vec<String> = got.iter().map(short).collect();
    assert_eq!(shorts, ["system welcome", "subscribe", "status sim:S0 live", "ticker sim:S0 =1"]);
    assert_eq!(got[0]["data"][0]["limits"]["subscriptions"], 1000);
    assert_eq!(got[1]["result"]["symbol"], json!(["sim:S0"]));
    assert_eq!(got[3]["data"][0]["bid"], "10.0");
    world.quote(s0, 105);
    world.quote(s0, 106);
    world.settle();
    let got = client.messages();
    let shorts: Vec<String> = got.iter().map(short).collect();
    assert_eq!(shorts, ["ticker sim:S0 1>2", "ticker sim:S0 2>3"]);
    assert_eq!(got[1]["data"][0]["bid"], "10.6");
}

#[test]
fn everybody_who_listens_to_an_instrument_is_told_its_status_once() {
    let mut world = World::new();
    let s0 = world.instruments(1)[0];
    let mut client = world.subscriber(ticker(json!("sim:S0")));
    client.subscribe(json!({"channel": "book", "symbol": "sim:S0"}));
    client.subscribe(json!({"channel": "trades", "symbol": "sim:*"}));
    world.settle();
    assert!(!client.short().iter().any(|message| message.starts_with("status")), "it knows it");
    world.state(s0, TradingState::Halted);
    world.settle();
    assert_eq!(client.short(), ["status sim:S0 halted"]);
}

#[test]
fn connections_that_come_and_go_leave_nothing_behind() {
    let mut world = World::new();
    let all = world.instruments(10);
    for round in 0..300 {
        let clients: Vec<Client> = (0..3).map(|_| world.connect()).collect();
        clients.iter().for_each(|client| client.subscribe(ticker(json!("sim:*"))));
        world.turn();
        clients[0].line.borrow_mut().room = 100;
        world.quotes(&all, round);
        world.turn();
        clients.iter().for_each(|client| client.line.borrow_mut().client_closed = true);
        world.settle();
        world.lines.clear();
    }
    assert_eq!((world.shard.connections(), world.hub.topics()), (0, 0));
    assert_eq!(world.metrics.value("tickcast_gateway_subscriptions", &["ticker"]), 0);
    assert_eq!(world.metrics.value("tickcast_gateway_lagging_connections", &[]), 0);
    let token = world.connect().token;
    assert!(token.0 < 3, "places are used again: {token:?}");
}

#[test]
fn figures_are_given_up_after_each_turn() {
    let mut world = World::new();
    let s0 = world.instruments(1)[0];
    let _one = world.subscriber(ticker(json!("sim:S0")));
    let _two = world.subscriber(ticker(json!("sim:S0")));
    assert_eq!(world.metrics.value("tickcast_gateway_subscriptions", &["ticker"]), 2);
    let name = "tickcast_gateway_messages_sent_total";
    let before = world.metrics.value(name, &["ticker", "json"]);
    world.quote(s0, 5);
    world.settle();
    assert_eq!(world.metrics.value(name, &["ticker", "json"]) - before, 2);
    assert_eq!(world.metrics.value("tickcast_age_at_write_seconds", &["sim"]), 2);
    assert_eq!(world.metrics.value("tickcast_gateway_connections", &["websocket"]), 2);
}

#[test]
fn joiners_of_one_turn_get_the_same_snapshot_and_everything_after_it() {
    let mut world = World::new();
    let s0 = world.instruments(1)[0];
    let mut clients: Vec<Client> = (0..20).map(|_| world.connect()).collect();
    for (at, client) in clients.iter().enumerate() {
        client.subscribe(ticker(json!("sim:S0")));
        if at % 5 == 4 {
            world.quote(s0, 200 + at as i64);
            world.turn();
        }
    }
    world.quote(s0, 500);
    world.settle();
    for client in &mut clients {
        let mut holder = Holder::default();
        let messages = client.messages();
        for message in messages.iter().filter(|message| message["channel"] == "ticker") {
            assert!(holder.take(message), "{message}");
        }
        assert_eq!(holder.held["sim:S0"].2, "50.0");
    }
}

#[test]
fn a_snapshot_is_not_shared_with_a_joiner_who_came_after_a_later_frame_was_delivered() {
    let mut world = World::new();
    let all = world.instruments(500);
    let first = world.connect();
    let mut second = world.connect();
    world.settle();
    // In one turn: the first gets its snapshot at once, the second the statuses; then the batch is
    // walked; then the second gets the next portion, with the same topic in it.
    first.subscribe(ticker(json!("sim:S100")));
    second.subscribe(ticker(json!("sim:*")));
    let side = |price| Some((Price(price), Size(1)));
    let quote = Quote { bid: side(200), ask: side(201) };
    let batch = world.batch_of(all[100], EventBody::Quote(quote));
    let (partition, now) = (world.partition.clone(), world.now);
    first.line.borrow_mut().meanwhile = Some(Box::new(move || {
        partition.borrow_mut().turn(now, &[batch]);
    }));
    world.turn();
    world.quote(all[100], 300);
    world.settle();
    let mut holder = Holder::default();
    for message in second.messages().iter().filter(|message| message["channel"] == "ticker") {
        assert!(holder.take(message), "{message}");
    }
    assert_eq!(holder.held["sim:S100"].2, "30.0");
}
