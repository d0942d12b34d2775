//! Lines that take little or nothing, and shards that were overrun: later, merged, and never wrong.

use crate::shard_kit::{Client, Holder, World, short};
use crate::{ticker, tickers};
use serde_json::{Value, json};
use tickcast_gateway::Transport;
use tickcast_market::TradingState;
use tickcast_wire::Encoding;

fn websocket() -> Transport {
    Transport::WebSocket { encoding: Encoding::Json, compress: false }
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
