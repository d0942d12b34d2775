//! The service's own witness at a shard: it gets what everybody gets, and counts nowhere as a client.

mod shard_kit;

use serde_json::json;
use shard_kit::{Client, World};
use std::sync::atomic::Ordering;
use tickcast_gateway::{Arrival, Clients, ShardSettings, Transport, Who};
use tickcast_market::{Nanos, Venue};
use tickcast_wire::Encoding;

fn canary(world: &mut World) -> Client {
    let transport = Transport::WebSocket { encoding: Encoding::Json, compress: false };
    world.connect_arriving(transport, usize::MAX, |arrival| Arrival { who: Who::Canary, ..arrival })
}

/// What the shard counts as clients' doing.
fn counted(world: &World) -> Vec<i64> {
    let metrics = &world.metrics;
    let channel = |channel| metrics.subscriptions.with_label_values(&[channel]).get();
    vec![
        metrics.connections.with_label_values(&["websocket"]).get(),
        metrics.connections_opened.with_label_values(&["websocket"]).get() as i64,
        channel("ticker"),
        channel("book"),
        metrics.lagging_connections.get(),
        i64::from(metrics.has_had_subscribers()),
    ]
}

#[test]
fn it_is_served_beyond_all_limits_of_clients_and_counted_nowhere() {
    let mut world = World::with(ShardSettings {
        subscriptions_max: 1,
        instruments_max: 1,
        requests_burst: 1,
        requests_per_second: 1,
        ..ShardSettings::default()
    });
    let instruments = [
        world.instrument(Venue::Sim, "A-USD"),
        world.instrument(Venue::Sim, "B-USD"),
        world.instrument(Venue::Sim, "C-USD"),
    ];
    let mut client = canary(&mut world);
    let symbols = ["sim:A-USD", "sim:B-USD", "sim:C-USD"];
    for channel in ["ticker", "book"] {
        client.subscribe(json!({"channel": channel, "symbol": symbols}));
    }
    world.settle();
    let count = |client: &mut Client, kind: &str| {
        client.messages().iter().filter(|m| m["type"] == kind && m["channel"] != "status").count()
    };
    assert_eq!(count(&mut client, "snapshot"), 1 + 3 + 3 - 1);
    world.quotes(&instruments, 77);
    world.settle();
    assert_eq!(count(&mut client, "update"), 3, "tickers; the books have not changed");
    assert_eq!(counted(&world), [0; 6]);

    // A client beside it is counted and limited.
    let other = world.connect();
    other.subscribe(json!({"channel": "ticker", "symbol": symbols}));
    world.settle();
    assert_eq!(counted(&world), [1, 1, 1, 0, 0, 1]);
}

#[test]
fn it_stays_to_the_end_of_a_drain_and_takes_nobodys_slot() {
    let mut world = World::new();
    let instrument = world.instrument(Venue::Sim, "A-USD");
    let mut witness = canary(&mut world);
    witness.subscribe(json!({"channel": "ticker", "symbol": "sim:A-USD"}));
    let mut client = world.subscriber(json!({"channel": "ticker", "symbol": "sim:A-USD"}));
    world.settle();
    witness.take();
    let now = world.now;
    world.shard.drain(now, 1_000);
    world.settle();
    let told = client.messages();
    let delay = told[0]["data"][0]["reconnect_after_ms"].as_u64().expect("a goaway");
    assert!((1..1_000).contains(&delay), "the only slot: {delay}");
    assert_eq!(witness.messages().len(), 0, "it is not sent away");
    world.pass(Nanos::from_secs(3));
    world.quote(instrument, 78);
    world.settle();
    assert!(witness.messages().iter().any(|message| message["type"] == "update"));
    world.shard.stop(world.now);
    world.pass(Nanos::from_secs(10));
    assert_eq!(world.shard.connections(), 0);
    // The world counts whoever connects; a door does not count this one, and the shard knows that.
    assert_eq!(world.open.load(Ordering::Relaxed), 1);
}

#[test]
fn operators_are_told_which_connection_it_is() {
    let mut world = World::new();
    let _witness = canary(&mut world);
    let _client = world.connect();
    let (handle, inbox) = tickcast_gateway::ShardHandle::new(|| ());
    let shards = tickcast_gateway::Shards::new(vec![handle]);
    let answer = world.shard.clients();
    let written = std::thread::scope(|scope| {
        scope.spawn(|| match inbox.controls.recv() {
            Ok(tickcast_gateway::Control::Clients(reply)) => reply.send(answer).unwrap(),
            other => panic!("{other:?}"),
        });
        let mut out = Vec::new();
        shards.write_json(&mut out);
        serde_json::from_slice::<serde_json::Value>(&out).unwrap()
    });
    let canaries: Vec<bool> = written
        .as_array()
        .unwrap()
        .iter()
        .map(|client| client.get("canary").is_some_and(|canary| canary == true))
        .collect();
    assert_eq!(canaries, [false, true], "it comes last: {written}");
}
