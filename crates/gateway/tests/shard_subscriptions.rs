//! Subscribing, changing in place, resuming, unsubscribing: what each request brings about.

#![allow(clippy::needless_pass_by_value)] // Values written in place read best.

mod shard_kit;

use serde_json::{Value, json};
use shard_kit::{Client, World, short};
use tickcast_gateway::ShardSettings;
use tickcast_market::Venue;

fn ticker(symbols: Value) -> Value {
    json!({"channel": "ticker", "symbol": symbols})
}

fn unsubscribe(client: &Client, params: Value) {
    client.send(&json!({"method": "unsubscribe", "req_id": 2, "params": params}));
}

/// Sends a subscribe and gives back the answer's result and what followed, in short.
fn ask(world: &mut World, client: &mut Client, params: Value) -> (Value, Vec<String>) {
    client.subscribe(params);
    answer(world, client)
}

fn answer(world: &mut World, client: &mut Client) -> (Value, Vec<String>) {
    world.settle();
    let mut messages = client.messages();
    let at = messages.iter().position(|message| message["method"].is_string()).expect("an answer");
    let answer = messages.remove(at);
    assert_eq!(at, 0, "the answer comes before any data: {messages:?}");
    let result = if answer["success"] == true { answer["result"].clone() } else { answer };
    (result, messages.iter().map(short).collect())
}

fn epoch(world: &World) -> u64 {
    world.hub.run().0
}

#[test]
fn options_are_granted_and_told() {
    let mut world = World::new();
    world.instruments(1);
    let mut client = world.subscriber(ticker(json!("sim:S0")));
    let params = json!({"channel": "ticker", "symbol": "sim:S0", "max_rate": 5, "fields": ["bid"]});
    let (result, _) = ask(&mut world, &mut client, params);
    assert_eq!((&result["max_rate"], &result["fields"]), (&json!(4), &json!(["bid"])));
    let params = json!({"channel": "book", "symbol": "sim:S0", "depth": 25});
    let (result, data) = ask(&mut world, &mut client, params);
    assert_eq!(result["depth"], 25);
    assert_eq!(data.len(), 1, "its status is known already: {data:?}");
}

#[test]
fn names_that_fail_say_why_and_the_others_are_served() {
    let mut world = World::new();
    world.instruments(1);
    world.instrument(Venue::Kraken, "BTC-USD");
    world.instrument(Venue::Coinbase, "BTC-USD");
    world.instrument(Venue::Kraken, "ETH-USD");
    world.directory.set_complete();
    let mut client = world.subscriber(ticker(json!("sim:S0")));
    let symbols = json!(["sim:NOPE", "BTC-USD", "ETH-USD", "NOPE"]);
    let (result, data) = ask(&mut world, &mut client, ticker(symbols));
    assert_eq!(result["symbol"], json!(["kraken:ETH-USD"]));
    let failed: Vec<(&str, u64)> = result["failed"]
        .as_array()
        .unwrap()
        .iter()
        .map(|failed| (failed["symbol"].as_str().unwrap(), failed["code"].as_u64().unwrap()))
        .collect();
    assert_eq!(failed, [("sim:NOPE", 4404), ("BTC-USD", 4400), ("NOPE", 4404)]);
    let why = result["failed"][1]["error"].as_str().unwrap();
    assert!(why.contains("kraken:BTC-USD") && why.contains("coinbase:BTC-USD"), "{why}");
    assert_eq!(data, ["status kraken:ETH-USD live", "ticker kraken:ETH-USD =1"]);
}

#[test]
fn an_unknown_name_waits_in_resync_until_it_appears_or_can_no_longer_appear() {
    let mut world = World::new();
    let mut client = world.subscriber(ticker(json!("sim:S0")));
    let symbols = json!(["sim:LATER", "sim:NEVER"]);
    let (result, data) = ask(&mut world, &mut client, ticker(symbols));
    assert_eq!(result["symbol"], json!(["sim:LATER", "sim:NEVER"]));
    assert_eq!(data, ["status sim:LATER resync", "status sim:NEVER resync"]);
    let later = world.instrument(Venue::Sim, "LATER");
    world.settle();
    assert_eq!(client.short(), ["status sim:LATER live", "ticker sim:LATER =1"]);
    world.quote(later, 7);
    world.directory.set_complete();
    world.settle();
    let messages = client.messages();
    assert_eq!(messages.iter().filter(|m| short(m) == "subscribe 4404").count(), 2);
    assert!(messages.iter().any(|m| short(m) == "ticker sim:LATER 1>2"));
    let told: String = messages.iter().filter_map(|m| m["error"].as_str()).collect();
    assert!(told.contains("sim:NEVER") && told.contains("sim:S0"), "{told}");
    world.instrument(Venue::Sim, "NEVER");
    world.settle();
    assert!(client.short().is_empty(), "it was given up");
}

#[test]
fn a_waiting_name_can_be_unsubscribed() {
    let mut world = World::new();
    let mut client = world.subscriber(ticker(json!("sim:LATER")));
    unsubscribe(&client, ticker(json!("sim:LATER")));
    let (result, _) = answer(&mut world, &mut client);
    assert_eq!((&result["symbol"], &result["failed"]), (&json!(["sim:LATER"]), &json!([])));
    world.instrument(Venue::Sim, "LATER");
    world.settle();
    assert!(client.short().is_empty());
}

#[test]
fn a_glob_stays_alive() {
    let mut world = World::new();
    world.instruments(1);
    let mut client = world.subscriber(ticker(json!("sim:*")));
    world.instrument(Venue::Kraken, "BTC-USD");
    let late = world.instrument(Venue::Sim, "LATE");
    world.settle();
    assert_eq!(client.short(), ["status sim:LATE live", "ticker sim:LATE =1"]);
    world.quote(late, 5);
    world.settle();
    assert_eq!(client.short(), ["ticker sim:LATE 1>2"]);
}

#[test]
fn an_exact_name_beats_a_glob_and_a_later_glob_an_earlier_one() {
    let mut world = World::new();
    let all = world.instruments(3);
    let mut client = world.connect();
    let with = |symbol: &str, field: &str| json!({"channel": "ticker", "symbol": symbol, "fields": [field]});
    for params in [with("sim:S0", "last"), with("sim:*", "bid"), with("sim:S1*", "ask")] {
        client.subscribe(params);
    }
    world.settle();
    client.take();
    // The bid and with it the ask move: S0 listens to neither, S1 to the ask, S2 to the bid.
    world.quotes(&all, 200);
    world.settle();
    let got = client.messages();
    let fields = |symbol: &str| {
        let find = |m: &&Value| m["data"][0]["symbol"] == symbol;
        let data = got.iter().find(find).map(|message| &message["data"][0]);
        data.map(|data| (data["bid"].is_string(), data["ask"].is_string()))
    };
    assert_eq!(fields("sim:S0"), None);
    assert_eq!(fields("sim:S1"), Some((false, true)));
    assert_eq!(fields("sim:S2"), Some((true, false)));
    // The later glob goes: the earlier one's options come back. Then the name goes, too.
    unsubscribe(&client, ticker(json!(["sim:S1*", "sim:S0"])));
    let (result, data) = answer(&mut world, &mut client);
    assert_eq!(result["globs"], json!([{"pattern": "sim:S1*", "matched": 1}]));
    assert_eq!(data.len(), 2, "other fields are other contents: {data:?}");
    world.quotes(&all, 300);
    world.settle();
    let bids = client.messages().iter().filter(|m| m["data"][0]["bid"].is_string()).count();
    assert_eq!(bids, 3);
    unsubscribe(&client, ticker(json!("sim:*")));
    let (_, data) = answer(&mut world, &mut client);
    assert!(data.is_empty());
    world.quotes(&all, 400);
    world.settle();
    assert!(client.messages().is_empty());
    assert_eq!(world.hub.topics(), 0, "nobody listens any more");
}

#[test]
fn a_repeated_subscribe_serves_only_what_it_asks_for_again() {
    let mut world = World::new();
    let all = world.instruments(3);
    let mut client = world.subscriber(ticker(json!("sim:*")));
    let (_, data) = ask(&mut world, &mut client, ticker(json!("sim:*")));
    assert!(data.is_empty(), "{data:?}");
    world.quotes(&all, 200);
    world.settle();
    client.take();
    let since = json!({"sim:S1": {"epoch": epoch(&world), "seq": 1},
                       "sim:S2": {"epoch": 1, "seq": 1}});
    let params = json!({"channel": "ticker", "symbol": "sim:*", "since": since});
    let (_, mut data) = ask(&mut world, &mut client, params);
    data.sort_unstable();
    assert_eq!(data, ["ticker sim:S1 1>2", "ticker sim:S2 =2"]);
}

#[test]
fn another_rate_goes_on_from_what_was_sent_and_more_fields_begin_anew() {
    let mut world = World::new();
    let s0 = world.instruments(1)[0];
    let mut client = world.subscriber(ticker(json!("sim:S0")));
    world.quote(s0, 101);
    world.settle();
    client.take();
    let with = |rate: f64, fields: &[&str]| json!({"channel": "ticker", "symbol": "sim:S0", "max_rate": rate, "fields": fields});
    let (_, data) = ask(&mut world, &mut client, with(10.0, &["bid", "ask"]));
    assert_eq!(data, ["ticker sim:S0 2>2"]);
    let (_, data) = ask(&mut world, &mut client, with(4.0, &["bid"]));
    assert_eq!(data, ["ticker sim:S0 2>2"]);
    let (_, data) = ask(&mut world, &mut client, with(4.0, &["bid", "last"]));
    assert_eq!(data, ["ticker sim:S0 =2"]);
    let book = |depth: u32| json!({"channel": "book", "symbol": "sim:S0", "depth": depth});
    ask(&mut world, &mut client, book(10));
    let (_, data) = ask(&mut world, &mut client, book(25));
    assert_eq!(data.len(), 1);
    assert!(data[0].contains('='), "another depth begins with a snapshot: {data:?}");
    assert_eq!(world.hub.topics(), 2, "one topic each for ticker and book");
}

#[test]
fn since_resumes_with_an_update_even_when_nothing_has_changed() {
    let mut world = World::new();
    let all = world.instruments(3);
    world.quote(all[1], 200);
    let mut client = world.connect();
    let mark = |seq: u64| json!({"epoch": epoch(&world), "seq": seq});
    let since = json!({"sim:S0": mark(1), "sim:S1": mark(1), "sim:S2": mark(99)});
    client.subscribe(json!({"channel": "ticker", "symbol": ["sim:S0", "sim:S1", "sim:S2"],
                            "since": since}));
    world.settle();
    let data: Vec<_> = client.short().into_iter().filter(|m| m.starts_with("ticker")).collect();
    assert_eq!(data, ["ticker sim:S0 1>1", "ticker sim:S1 1>2", "ticker sim:S2 =1"]);
}

#[test]
fn since_is_of_no_use_where_more_fields_were_granted_than_asked_for() {
    let mut world = World::new();
    world.instruments(1);
    // The process encodes for eight sets; the ninth is given all fields.
    let sets = ["last", "last_size", "bid", "bid_size", "ask", "ask_size", "open", "high"];
    for field in sets {
        let fields = json!({"channel": "ticker", "symbol": "sim:S0", "fields": [field]});
        world.subscriber(fields);
    }
    let mut client = world.connect();
    client.subscribe(json!({"channel": "ticker", "symbol": "sim:S0", "fields": ["low"],
                            "since": {"sim:S0": {"epoch": epoch(&world), "seq": 1}}}));
    world.settle();
    let got = client.messages();
    assert_eq!(got[1]["result"]["fields"].as_array().unwrap().len(), 10);
    assert_eq!(short(got.last().unwrap()), "ticker sim:S0 =1");
}

#[test]
fn a_subscription_changed_while_it_is_owed_is_served_once_and_anew() {
    let mut world = World::new();
    let all = world.instruments(2);
    let mut client = world.subscriber(ticker(json!("sim:*")));
    client.line.borrow_mut().room = 0;
    world.quotes(&all, 200);
    world.settle();
    client.subscribe(json!({"channel": "ticker", "symbol": "sim:S0", "max_rate": 1}));
    unsubscribe(&client, ticker(json!("sim:*")));
    world.settle();
    world.give_room(&client, usize::MAX);
    world.settle();
    let got = client.short();
    assert_eq!(got[..2], ["subscribe", "unsubscribe"]);
    assert_eq!(got[2..], ["ticker sim:S0 =2"]);
    world.quotes(&all, 300);
    world.settle();
    assert_eq!(client.short(), ["ticker sim:S0 2>3"]);
}

#[test]
fn memberships_survive_any_order_of_coming_and_going() {
    let mut world = World::new();
    let all = world.instruments(12);
    let mut clients: Vec<Client> = (0..4).map(|_| world.connect()).collect();
    let mut random = fastrand::Rng::with_seed(11);
    let mut wanted = [[false; 12]; 4];
    for _ in 0..400 {
        let (who, what) = (random.usize(0..4), random.usize(0..12));
        let symbols = ticker(json!([format!("sim:S{what}")]));
        if wanted[who][what] {
            unsubscribe(&clients[who], symbols);
        } else {
            clients[who].subscribe(symbols);
        }
        wanted[who][what] = !wanted[who][what];
        if random.bool() {
            // A line that is full for a while: some of it is owed.
            clients[who].line.borrow_mut().room = random.usize(0..400);
        }
        world.quotes(&all, random.i64(100..200));
        world.pass(tickcast_market::Nanos::from_millis(200)); // For the request budget.
        world.give_room(&clients[who], usize::MAX);
        world.settle();
        clients.iter_mut().for_each(|client| drop(client.take()));
    }
    world.quotes(&all, 500);
    world.settle();
    for (who, client) in clients.iter_mut().enumerate() {
        let mut got: Vec<String> = client
            .messages()
            .iter()
            .filter(|message| message["channel"] == "ticker")
            .map(|message| message["data"][0]["symbol"].as_str().unwrap().to_owned())
            .collect();
        got.sort_unstable();
        let mut expected: Vec<String> =
            (0..12).filter(|what| wanted[who][*what]).map(|what| format!("sim:S{what}")).collect();
        expected.sort_unstable();
        assert_eq!(got, expected);
    }
}

#[test]
fn limits_are_told_with_their_code_and_the_rest_is_served() {
    let settings = ShardSettings {
        subscriptions_max: 3,
        instruments_max: 4,
        globs_max: 1,
        ..ShardSettings::default()
    };
    let mut world = World::with(settings);
    world.instruments(6);
    world.directory.set_complete();
    let mut client = world.subscriber(ticker(json!("sim:S0")));
    let (result, _) = ask(&mut world, &mut client, ticker(json!(["sim:S0", "sim:S*", "sim:*"])));
    assert_eq!(result["globs"], json!([{"pattern": "sim:S*", "matched": 4}]));
    let codes: Vec<u64> =
        result["failed"].as_array().unwrap().iter().map(|f| f["code"].as_u64().unwrap()).collect();
    assert_eq!(codes, [4413, 4413], "more instruments than four, more globs than one");
    let (result, _) = ask(&mut world, &mut client, ticker(json!(["sim:S1", "sim:S2"])));
    assert_eq!(result["symbol"], json!(["sim:S1"]));
    assert_eq!(result["failed"][0]["code"], 4413);
}

#[test]
fn what_was_not_subscribed_cannot_be_unsubscribed() {
    let mut world = World::new();
    world.instruments(2);
    let mut client = world.subscriber(ticker(json!("sim:*")));
    unsubscribe(&client, ticker(json!(["sim:S0", "*", "sim:NOPE"])));
    let (result, _) = answer(&mut world, &mut client);
    assert_eq!(result["failed"].as_array().unwrap().len(), 3, "a glob's instruments are its own");
}

#[test]
fn trades_without_a_snapshot_begin_at_the_present() {
    let mut world = World::new();
    let s0 = world.instruments(1)[0];
    let trade = |id| tickcast_market::Trade {
        id,
        price: tickcast_market::Price(100),
        size: tickcast_market::Size(1),
        side: tickcast_market::Side::Buy,
        ts_event: tickcast_market::Nanos::from_secs(1),
    };
    world.event(s0, tickcast_market::EventBody::Trades(&[trade(1), trade(2)]));
    let mut client = world.connect();
    client.subscribe(json!({"channel": "trades", "symbol": "sim:S0", "snapshot": false}));
    world.settle();
    let got = client.messages();
    let snapshot = &got.last().unwrap()["data"][0];
    assert_eq!((&snapshot["seq"], &snapshot["trades"]), (&json!(2), &json!([])));
    world.event(s0, tickcast_market::EventBody::Trades(&[trade(3)]));
    world.settle();
    assert_eq!(client.short(), ["trades sim:S0 2>3"]);
}
