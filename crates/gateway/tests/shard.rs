//! What a client of a shard sees: subscriptions, snapshots, updates, and what happens when it does
//! not keep up.

#![allow(clippy::needless_pass_by_value)] // Values written in place read best.

mod shard_kit;

use serde_json::{Value, json};
use shard_kit::{Client, Holder, World, short};
use tickcast_gateway::{Rest, ShardSettings, Transport};
use tickcast_market::{EventBody, Nanos, Price, Quote, Size, TradingState};
use tickcast_wire::Encoding;

fn websocket() -> Transport {
    Transport::WebSocket { encoding: Encoding::Json, compress: false }
}

fn ticker(symbols: Value) -> Value {
    json!({"channel": "ticker", "symbol": symbols})
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

/// The ticker messages among what came, in short.
fn tickers(client: &mut Client) -> Vec<String> {
    client.short().into_iter().filter(|message| message.starts_with("ticker")).collect()
}

#[test]
fn a_slow_reader_gets_one_merged_update_per_symbol_and_nothing_is_missing() {
    let mut world = World::new();
    let all = world.instruments(3);
    let mut slow = world.subscriber(ticker(json!("sim:*")));
    let mut fast = world.subscriber(ticker(json!("sim:*")));
    slow.line.borrow_mut().room = 0;
    for round in 1..=50 {
        for instrument in &all {
            world.quote(*instrument, 100 + round);
        }
        world.settle();
    }
    assert_eq!(tickers(&mut fast).len(), 150);
    assert!(slow.messages().is_empty());
    assert_eq!(world.metrics.value("tickcast_gateway_lagging_connections", &[]), 1);
    world.give_room(&slow, usize::MAX);
    world.settle();
    assert_eq!(
        tickers(&mut slow),
        ["ticker sim:S0 1>51", "ticker sim:S1 1>51", "ticker sim:S2 1>51"]
    );
    assert_eq!(world.metrics.value("tickcast_gateway_lagging_connections", &[]), 0);
    assert_eq!(world.metrics.value("tickcast_gateway_lagging_total", &[]), 1);
    let merged = world.metrics.value("tickcast_gateway_merged_updates_total", &[]);
    assert!(merged >= 140, "{merged}");
    world.quote(all[1], 7);
    world.settle();
    assert_eq!(tickers(&mut slow), ["ticker sim:S1 51>52"], "it is current again");
}

#[test]
fn what_could_not_be_sent_at_first_is_counted_once() {
    for room in (1..40).step_by(3).chain([63, 190, 191, 192, 500, 1000, usize::MAX]) {
        let mut world = World::new();
        let all = world.instruments(4);
        let mut client = world.connect_with_room(websocket(), room);
        client.subscribe(ticker(json!("sim:*")));
        let mut came = std::collections::BTreeMap::new();
        for round in 0..120 {
            if round == 110 {
                world.give_room(&client, usize::MAX);
            }
            world.quote(all[round % 4], 100 + round as i64);
            if round % 40 == 7 {
                world.state(all[1], TradingState::Stale);
                world.state(all[1], TradingState::Live);
            }
            world.settle();
            if round < 110 {
                world.give_room(&client, room);
            }
            for message in client.messages() {
                let channel = message["channel"].as_str().unwrap_or("an answer").to_owned();
                *came.entry(channel).or_insert(0) += 1;
            }
        }
        assert!(came["ticker"] >= 8 && came["status"] >= 4, "{room}: {came:?}");
        for channel in ["ticker", "status"] {
            let labels = [channel, "json"];
            let sent = world.metrics.value("tickcast_gateway_messages_sent_total", &labels);
            assert_eq!(sent, came[channel], "{channel}, {room} bytes at a time");
        }
    }
}

#[test]
fn whatever_the_line_takes_at_a_time_the_client_misses_nothing() {
    for room in (1..40).chain([63, 127, 190, 191, 192, 500, 1000, 5000]) {
        let mut world = World::new();
        let all = world.instruments(4);
        let mut client = world.connect_with_room(websocket(), room);
        client.subscribe(ticker(json!("sim:*")));
        let mut holder = Holder::default();
        let mut statuses = std::collections::BTreeSet::new();
        for round in 0..120 {
            world.quote(all[round % 4], 100 + round as i64);
            if round == 60 {
                world.state(all[1], TradingState::Stale);
            }
            world.settle();
            world.give_room(&client, room);
            follow(&mut client, &mut holder, &mut statuses);
        }
        world.give_room(&client, usize::MAX);
        world.settle();
        follow(&mut client, &mut holder, &mut statuses);
        assert!(!client.has_begun_frame(), "{room}: every begun frame was ended");
        let held: Vec<&str> =
            holder.held.values().map(|(_, _, bid)| bid.as_str().unwrap()).collect();
        assert_eq!(held, ["21.6", "21.7", "21.8", "21.9"], "{room}");
    }
}

/// Follows the rule: nothing is ever missing, and an instrument's status comes before its data.
fn follow(
    client: &mut Client,
    holder: &mut Holder,
    statuses: &mut std::collections::BTreeSet<String>,
) {
    for message in client.messages() {
        let symbol = message["data"][0]["symbol"].as_str().unwrap_or("").to_owned();
        match message["channel"].as_str() {
            Some("status") => {
                statuses.insert(symbol);
            }
            Some("ticker") => {
                assert!(statuses.contains(&symbol), "status before data");
                assert!(holder.take(&message), "something is missing before {message}");
            }
            _ => {}
        }
    }
}

#[test]
fn a_line_that_stops_at_any_byte_of_three_frames_keeps_only_the_frame_that_was_begun() {
    let mut world = World::new();
    let all = world.instruments(3);
    let mut measured = world.subscriber(ticker(json!("sim:*")));
    for instrument in &all {
        world.quote(*instrument, 200);
    }
    world.settle();
    let lengths: Vec<usize> =
        measured.messages().iter().map(|message| message.to_string().len() + 4).collect();
    let total: usize = lengths.iter().sum();
    for stop in 0..=total {
        let mut world = World::new();
        let all = world.instruments(3);
        let mut client = world.subscriber(ticker(json!("sim:*")));
        client.line.borrow_mut().room = stop;
        // One batch of three frames: one send.
        world.quotes(&all, 200);
        world.turn();
        world.quotes(&all, 300);
        world.turn();
        world.give_room(&client, usize::MAX);
        world.settle();
        let whole = lengths.iter().scan(0, |end, length| {
            *end += length;
            Some(*end)
        });
        let begun = whole.clone().filter(|end| *end - lengths[0] < stop).count();
        let got = tickers(&mut client);
        let updates = got.iter().filter(|message| message.ends_with("1>2")).count();
        assert_eq!(updates, begun, "stopped at {stop}: {got:?}");
        let merged = got.iter().filter(|message| message.ends_with("1>3")).count();
        assert_eq!(merged, 3 - begun, "stopped at {stop}: {got:?}");
    }
}

#[test]
fn a_status_that_waits_keeps_its_instruments_data_waiting() {
    let mut world = World::new();
    let s0 = world.instruments(1)[0];
    let mut client = world.subscriber(ticker(json!("sim:S0")));
    client.line.borrow_mut().room = 0;
    world.quote(s0, 101);
    world.settle();
    world.state(s0, TradingState::Stale);
    world.settle();
    world.state(s0, TradingState::Live);
    world.quote(s0, 102);
    world.settle();
    world.give_room(&client, usize::MAX);
    world.settle();
    assert_eq!(client.short(), ["status sim:S0 live", "ticker sim:S0 1>3"]);
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
fn an_overrun_shard_catches_up_by_diff_also_where_no_further_frame_comes() {
    let mut world = World::new();
    let all = world.instruments(2);
    let mut client = world.subscriber(ticker(json!("sim:*")));
    // The channel takes 256 batches; the shard takes none meanwhile.
    for round in 0..300 {
        world.quote(all[0], 1000 + round);
    }
    world.quote(all[1], 777);
    world.state(all[1], TradingState::Stale);
    world.settle();
    let mut holder = Holder::default();
    let mut fresh = world.subscriber(ticker(json!("sim:*")));
    let messages = client.messages();
    assert!(messages.iter().any(|message| short(message) == "status sim:S1 stale"));
    holder.held.insert("sim:S0".into(), (epoch_of(&messages), 1, json!("10.0")));
    holder.held.insert("sim:S1".into(), (epoch_of(&messages), 1, json!("10.0")));
    for message in messages.iter().filter(|message| message["channel"] == "ticker") {
        assert!(holder.take(message), "{message}");
    }
    assert_eq!(holder.held["sim:S0"].2, "129.9");
    assert_eq!(holder.held["sim:S1"].2, "77.7");
    assert_eq!(world.metrics.value("tickcast_gateway_shard_overruns_total", &["0"]), 1);
    world.quote(all[1], 778);
    world.settle();
    assert_eq!(tickers(&mut client), ["ticker sim:S1 2>3"]);
    assert_eq!(tickers(&mut fresh), ["ticker sim:S1 2>3"]);
}

fn epoch_of(messages: &[Value]) -> u64 {
    messages.iter().find(|m| m["channel"] == "ticker").unwrap()["data"][0]["epoch"]
        .as_u64()
        .unwrap()
}

#[test]
fn many_frames_of_a_pass_go_out_in_one_send() {
    let mut world = World::new();
    let all = world.instruments(20);
    let client = world.subscriber(ticker(json!("sim:*")));
    let before = client.line.borrow().sends;
    world.quotes(&all, 300);
    world.settle();
    assert_eq!(client.line.borrow().sends, before + 1);
}

#[test]
fn with_a_flush_interval_the_first_update_goes_at_once_and_the_next_ones_together() {
    let flush_interval = Nanos::from_millis(20);
    let mut world = World::with(ShardSettings { flush_interval, ..ShardSettings::default() });
    let s0 = world.instruments(1)[0];
    let mut client = world.subscriber(ticker(json!("sim:S0")));
    world.pass(flush_interval);
    world.quote(s0, 200);
    world.settle();
    assert_eq!(client.short(), ["ticker sim:S0 1>2"]);
    for bid in 201..205 {
        world.quote(s0, bid);
        world.settle();
    }
    assert!(client.short().is_empty());
    assert!(world.shard.is_gathering(world.now));
    assert!(matches!(world.last_rest, Rest::For(span) if span <= flush_interval));
    let before = client.line.borrow().sends;
    world.now = world.now.plus(flush_interval);
    world.settle();
    assert_eq!((client.short().len(), client.line.borrow().sends), (4, before + 1));
}

#[test]
fn a_shard_that_nobody_is_left_on_still_wakes_when_it_has_gathered() {
    let flush_interval = Nanos::from_millis(20);
    let mut world = World::with(ShardSettings { flush_interval, ..ShardSettings::default() });
    let s0 = world.instruments(1)[0];
    let client = world.subscriber(ticker(json!("sim:S0")));
    world.pass(flush_interval);
    world.quote(s0, 200);
    world.settle();
    client.line.borrow_mut().client_closed = true;
    world.settle();
    // Its alarm is not heeded while it gathers: nothing else would ever wake it again.
    assert!(world.shard.is_gathering(world.now));
    assert!(matches!(world.last_rest, Rest::For(span) if span <= flush_interval));
    world.pass(flush_interval);
    assert_eq!(world.last_rest, Rest::UntilWoken);
}

#[test]
fn more_batches_than_a_pass_takes_do_not_wait_for_another_interval() {
    let flush_interval = Nanos::from_millis(20);
    let mut world = World::with(ShardSettings { flush_interval, ..ShardSettings::default() });
    let all = world.instruments(100);
    let mut client = world.subscriber(ticker(json!("sim:*")));
    world.pass(flush_interval);
    world.quote(all[0], 200);
    world.settle();
    client.short();
    all.iter().for_each(|instrument| world.quote(*instrument, 300)); // A batch each.
    world.settle();
    assert!(client.short().is_empty(), "they gather");
    world.now = world.now.plus(flush_interval);
    world.settle();
    assert_eq!(client.short().len(), all.len());
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
fn a_long_pass_is_cut_and_sockets_are_looked_at_in_between() {
    let mut world = World::new();
    let s0 = world.instruments(1)[0];
    let mut clients: Vec<Client> =
        (0..600).map(|_| world.subscriber(ticker(json!("sim:S0")))).collect();
    let mut asks = world.connect();
    world.settle();
    asks.take();
    world.quote(s0, 200);
    asks.send(&json!({"method": "ping"}));
    assert_eq!(world.turn(), Rest::No);
    assert_eq!(asks.short(), ["pong"]);
    let served = clients.iter().filter(|c| !c.line.borrow().to_client.is_empty()).count();
    assert!((1..600).contains(&served), "{served} of 600 in the first turn");
    // What comes meanwhile reaches everybody once, after what they are getting now.
    world.quote(s0, 300);
    world.settle();
    for client in &mut clients {
        assert_eq!(client.short(), ["ticker sim:S0 1>2", "ticker sim:S0 2>3"]);
    }
}

#[test]
fn nobody_is_always_last() {
    let mut world = World::new();
    let s0 = world.instruments(1)[0];
    let clients: Vec<Client> =
        (0..300).map(|_| world.subscriber(ticker(json!("sim:S0")))).collect();
    let mut late = vec![0; clients.len()];
    for bid in 200..240 {
        clients.iter().for_each(|client| client.line.borrow_mut().to_client.clear());
        world.quote(s0, bid);
        world.turn();
        for (client, late) in clients.iter().zip(&mut late) {
            *late += usize::from(client.line.borrow().to_client.is_empty());
        }
        world.settle();
    }
    // 44 of 300 have to wait for the second turn each time; nobody for more than half of them.
    assert!(late.iter().all(|late| *late < 20), "{late:?}");
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

#[test]
fn a_large_glob_is_served_in_portions_and_others_are_served_meanwhile() {
    let mut world = World::new();
    let all = world.instruments(2000);
    let mut other = world.subscriber(ticker(json!("sim:S7")));
    let mut client = world.connect();
    client.subscribe(ticker(json!("sim:*")));
    let mut turns_meanwhile = 0;
    while world.turn() == Rest::No {
        turns_meanwhile += 1;
        world.quote(all[7], 1000 + turns_meanwhile);
        assert!(turns_meanwhile < 1000);
    }
    world.settle();
    assert!(turns_meanwhile > 3, "2,000 snapshots do not fit one portion");
    assert_eq!(tickers(&mut other).len() as i64, turns_meanwhile);
    let got = client.messages();
    let first_data = got.iter().position(|message| message["channel"] == "ticker").unwrap();
    assert_eq!(got[1]["result"]["globs"], json!([{"pattern": "sim:*", "matched": 2000}]));
    let snapshots: std::collections::BTreeSet<&str> = got[first_data..]
        .iter()
        .filter(|message| message["type"] == "snapshot")
        .filter_map(|message| message["data"][0]["symbol"].as_str())
        .collect();
    assert_eq!(snapshots.len(), 2000);
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
fn an_idle_shard_rests_until_its_next_heartbeat_or_until_woken() {
    let mut world = World::new();
    assert_eq!(world.turn(), Rest::UntilWoken);
    let _client = world.connect();
    world.settle();
    assert!(matches!(world.last_rest, Rest::For(span) if span <= Nanos::from_millis(25)));
}
