//! What goes out in one turn and in one send, what gathers, and when a shard rests.

use crate::shard_kit::{Client, World};
use crate::{ticker, tickers};
use serde_json::json;
use tickcast_gateway::{Rest, ShardSettings};
use tickcast_market::Nanos;

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
fn an_idle_shard_rests_until_its_next_heartbeat_or_until_woken() {
    let mut world = World::new();
    assert_eq!(world.turn(), Rest::UntilWoken);
    let _client = world.connect();
    world.settle();
    assert!(matches!(world.last_rest, Rest::For(span) if span <= Nanos::from_millis(25)));
}
