//! How connections begin, talk, fall silent and end.

#![allow(clippy::needless_pass_by_value)] // Values written in place read best.

mod shard_kit;

use serde_json::json;
use shard_kit::{Client, Got, World};
use std::sync::atomic::Ordering;
use tickcast_gateway::{Rest, ShardSettings, Transport};
use tickcast_market::Nanos;

fn ticker() -> serde_json::Value {
    json!({"channel": "ticker", "symbol": "sim:*"})
}

/// The close frame that the client got, if any.
fn close_of(client: &mut Client) -> Option<(u16, String)> {
    client.take().into_iter().find_map(|got| match got {
        Got::Close(code, reason) => Some((code, reason)),
        _ => None,
    })
}

#[test]
fn requests_are_answered_and_wrong_ones_say_what_is_wrong() {
    let mut world = World::new();
    let mut client = world.connect();
    client.send(&json!({"method": "ping", "req_id": "a"}));
    client.send(&json!({"method": "auth", "req_id": 2, "params": {"token": "x"}}));
    client.send(&json!({"method": "subscribe", "req_id": 3, "params": {"channel": "tikcer"}}));
    client.send_frame(1, b"{nonsense");
    world.settle();
    let got = client.messages();
    assert_eq!((&got[1]["method"], &got[1]["req_id"]), (&json!("pong"), &json!("a")));
    assert_eq!((&got[2]["method"], &got[2]["code"]), (&json!("auth"), &json!(4400)));
    let error = got[3]["error"].as_str().unwrap();
    assert!(error.starts_with("params.channel: \"tikcer\" is not one of"), "{error}");
    assert_eq!(got[4]["code"], 4400);
    assert!(close_of(&mut client).is_none(), "a wrong request does not end a connection");
}

#[test]
fn stats_tell_a_connection_about_itself() {
    let mut world = World::new();
    let all = world.instruments(2);
    let mut client = world.subscriber(ticker());
    client.line.borrow_mut().room = 0;
    world.quotes(&all, 7);
    world.settle();
    world.pass(Nanos::from_millis(100));
    client.send(&json!({"method": "stats", "req_id": 1}));
    world.settle();
    world.give_room(&client, usize::MAX);
    world.settle();
    let stats = client.messages().into_iter().find(|m| m["method"] == "stats").unwrap();
    let result = &stats["result"];
    assert_eq!((&result["subscriptions"], &result["instruments"]), (&json!(1), &json!(2)));
    assert_eq!((&result["lagging"], &result["owed_topics"]), (&json!(true), &json!(2)));
    assert_eq!(result["connected_us"], 100_000);
    assert_eq!(result["sent_messages"], 6, "welcome, answer, two statuses, two snapshots");
}

#[test]
fn more_requests_than_allowed_are_refused_and_cost_nothing_else() {
    let mut world = World::new();
    let mut client = world.connect();
    for req_id in 0..60 {
        client.send(&json!({"method": "ping", "req_id": req_id}));
    }
    world.settle();
    let got = client.messages();
    let refused: Vec<_> = got.iter().filter(|message| message["code"] == 4529).collect();
    assert_eq!((got.len(), refused.len()), (61, 10));
    assert_eq!(refused[0]["req_id"], 50);
    world.pass(Nanos::from_secs(1));
    client.send(&json!({"method": "ping"}));
    world.settle();
    assert_eq!(client.short(), ["pong"]);
}

#[test]
fn a_client_that_floods_and_does_not_read_is_closed_and_costs_no_memory() {
    let mut world = World::new();
    let mut client = world.connect();
    client.line.borrow_mut().room = 0;
    for _ in 0..200 {
        for _ in 0..100 {
            client.send(&json!({"method": "ping"}));
        }
        world.settle();
    }
    world.give_room(&client, usize::MAX);
    world.settle();
    let got = client.take();
    assert!(client.bytes.len() < 256 << 10, "{}", client.bytes.len());
    assert!(matches!(got.last(), Some(Got::Close(4529, _))), "{:?}", got.last());
}

#[test]
fn input_is_not_read_while_its_answers_wait() {
    let settings = ShardSettings {
        requests_per_second: 1_000_000,
        requests_burst: 1_000_000,
        ..ShardSettings::default()
    };
    let mut world = World::with(settings);
    let mut client = world.connect();
    client.line.borrow_mut().room = 0;
    for req_id in 0..10_000 {
        client.send(&json!({"method": "ping", "req_id": req_id}));
    }
    world.settle();
    assert!(!client.line.borrow().to_server.is_empty());
    world.give_room(&client, usize::MAX);
    world.settle();
    let answered = client.messages().len() - 1;
    assert_eq!(answered, 10_000, "what was not read was read later");
}

#[test]
fn pings_are_answered_sixteen_at_once_and_beyond_that_the_newest() {
    let mut world = World::new();
    let mut client = world.connect();
    world.settle();
    client.line.borrow_mut().room = 0;
    for number in 0..40u8 {
        client.send_frame(9, &[number]);
    }
    world.settle();
    world.give_room(&client, usize::MAX);
    world.settle();
    let pongs: Vec<u8> = client
        .take()
        .into_iter()
        .filter_map(|got| if let Got::Pong(payload) = got { Some(payload[0]) } else { None })
        .collect();
    assert_eq!(pongs, (0..16).chain([39]).collect::<Vec<u8>>());
}

#[test]
fn a_ping_flood_ends_the_connection_after_five_seconds() {
    let mut world = World::new();
    let mut client = world.connect();
    let mut closed_after = None;
    for second in 0..10 {
        for _ in 0..10 {
            (0..3).for_each(|_| client.send_frame(9, b"x"));
            world.pass(Nanos::from_millis(100));
        }
        if let Some((code, _)) = close_of(&mut client) {
            closed_after.get_or_insert((second, code));
        }
    }
    let (second, code) = closed_after.expect("it is closed");
    assert_eq!(code, 1008);
    assert!((4..=6).contains(&second), "{second}");
}

#[test]
fn violations_are_told_with_their_code_and_the_line_is_shut_in_order() {
    for (frame, code) in [
        (&[0x81, 0x01, b'x'][..], 1002),         // Not masked.
        (&[0xC1, 0x80, 0, 0, 0, 0], 1002),       // A reserved bit.
        (&[0x83, 0x80, 0, 0, 0, 0], 1002),       // A reserved opcode.
        (&[0x81, 0x81, 0, 0, 0, 0, 0xFF], 1007), // Not UTF-8.
        (&[0x82, 0x81, 0, 0, 0, 0, 0], 1003),    // Binary.
        (&[0x81, 0xFF, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0], 1009), // 4 GiB.
    ] {
        let mut world = World::new();
        world.instruments(1);
        let mut client = world.subscriber(ticker());
        client.line.borrow_mut().to_server.extend(frame);
        world.settle();
        assert_eq!(close_of(&mut client).map(|(code, _)| code), Some(code));
        assert!(client.line.borrow().server_closed, "our side is shut");
        assert_eq!(world.shard.connections(), 1, "the peer's close is awaited");
        client.line.borrow_mut().to_server.extend(b"more that nobody reads");
        world.settle();
        client.line.borrow_mut().client_closed = true;
        world.settle();
        assert_eq!(world.shard.connections(), 0);
        assert_eq!(world.hub.topics(), 0);
        assert_eq!(world.open.load(Ordering::Relaxed), 0, "the door's count is right");
    }
}

#[test]
fn a_peer_that_does_not_close_is_given_up() {
    let mut world = World::new();
    let client = world.connect();
    client.send_frame(2, b"binary");
    world.pass(Nanos::from_secs(4));
    assert_eq!(world.shard.connections(), 1);
    world.pass(Nanos::from_secs(2));
    assert_eq!(world.shard.connections(), 0);
}

#[test]
fn a_close_is_echoed() {
    let mut world = World::new();
    let mut client = world.connect();
    client.send_frame(8, &[&4999u16.to_be_bytes()[..], b"bye"].concat());
    world.settle();
    assert_eq!(close_of(&mut client), Some((4999, "bye".to_owned())));
    assert!(client.line.borrow().server_closed);
}

#[test]
fn a_fault_while_handling_one_connection_ends_that_connection_alone() {
    let mut world = World::new();
    let all = world.instruments(1);
    let mut unlucky = world.subscriber(ticker());
    let mut other = world.subscriber(ticker());
    unlucky.line.borrow_mut().meanwhile = Some(Box::new(|| panic!("injected by the test")));
    unlucky.send_frame(2, b"binary");
    world.quote(all[0], 7);
    world.settle();
    assert_eq!(world.metrics.value("tickcast_gateway_panics_total", &[]), 1);
    assert!(close_of(&mut unlucky).is_some());
    assert_eq!(other.short(), ["ticker sim:S0 1>2"]);
    unlucky.line.borrow_mut().client_closed = true;
    world.settle();
    assert_eq!(world.shard.connections(), 1);
}

#[test]
fn a_broken_or_closed_line_leaves_nothing_behind() {
    let mut world = World::new();
    let all = world.instruments(2);
    let gone = world.subscriber(ticker());
    let broken = world.subscriber(ticker());
    let mut stays = world.subscriber(ticker());
    gone.line.borrow_mut().client_closed = true;
    world.quotes(&all, 5);
    world.turn();
    broken.line.borrow_mut().broken = true;
    world.quotes(&all, 6);
    world.settle();
    assert_eq!(world.shard.connections(), 1);
    assert_eq!(stays.messages().len(), 4);
    assert_eq!(world.metrics.value("tickcast_gateway_subscriptions", &["ticker"]), 2);
}

#[test]
fn a_line_on_which_nothing_moves_is_closed_and_one_on_which_a_byte_moves_is_not() {
    let mut world = World::new();
    let all = world.instruments(1);
    let mut dead = world.subscriber(ticker());
    let slow = world.subscriber(ticker());
    dead.line.borrow_mut().room = 10;
    slow.line.borrow_mut().room = 10;
    for second in 0..15 {
        world.quote(all[0], second);
        world.pass(Nanos::from_secs(1));
        // The line takes a byte more, but never says that it can be written to.
        slow.line.borrow_mut().room += 1;
        slow.line.borrow_mut().full = false;
    }
    assert_eq!(world.metrics.value("tickcast_gateway_connections_closed_total", &["4508"]), 1);
    world.give_room(&dead, usize::MAX);
    world.settle();
    assert_eq!(close_of(&mut dead).map(|(code, _)| code), Some(4508));
    assert!(!slow.line.borrow().server_closed);
}

#[test]
fn silence_is_filled_with_heartbeats() {
    let mut world = World::new();
    let all = world.instruments(1);
    let mut client = world.subscriber(ticker());
    world.pass(Nanos::from_secs(16));
    let beats = client.short().into_iter().filter(|message| message == "heartbeat").count();
    assert_eq!(beats, 3);
    for bid in 0..6 {
        world.quote(all[0], bid);
        world.pass(Nanos::from_secs(1));
    }
    assert!(client.short().iter().all(|message| message != "heartbeat"), "it is not silent");
}

#[test]
fn a_peer_that_shows_no_life_is_pinged_and_then_closed() {
    let mut world = World::new();
    let mut dead = world.connect();
    let mut alive = world.connect();
    let mut pings = 0;
    for _ in 0..70 {
        world.pass(Nanos::from_secs(1));
        for got in alive.take() {
            if let Got::Ping(payload) = got {
                pings += 1;
                alive.send_frame(10, &payload);
            }
        }
    }
    assert!((3..=4).contains(&pings), "{pings}");
    let got = dead.take();
    let at = |wanted: fn(&Got) -> bool| got.iter().position(wanted);
    assert!(at(|got| matches!(got, Got::Ping(_))) < at(|got| matches!(got, Got::Close(4508, _))));
    assert_eq!(world.shard.connections(), 1);
}

#[test]
fn a_message_that_does_not_end_is_not_waited_for() {
    let mut world = World::new();
    let mut client = world.connect();
    client.line.borrow_mut().to_server.extend([0x81, 0x85, 0, 0, 0, 0, b'x']);
    world.pass(Nanos::from_secs(9));
    assert!(close_of(&mut client).is_none());
    world.pass(Nanos::from_secs(2));
    assert_eq!(close_of(&mut client).map(|(code, _)| code), Some(1008));
}

#[test]
fn a_drain_tells_each_its_own_delay_and_serves_it_until_then() {
    let mut world = World::new();
    let all = world.instruments(1);
    let mut clients: Vec<Client> = (0..10).map(|_| world.subscriber(ticker())).collect();
    world.shard.drain(world.now, 10_000);
    world.settle();
    let mut delays = Vec::new();
    for client in &mut clients {
        let goaway = client.messages().remove(0);
        assert_eq!(goaway["type"], "goaway");
        delays.push(goaway["data"][0]["reconnect_after_ms"].as_u64().unwrap());
    }
    let mut sorted = delays.clone();
    sorted.sort_unstable();
    assert!(sorted.windows(2).all(|pair| pair[1] - pair[0] >= 500), "{delays:?}");
    for tenth in 0..102 {
        world.pass(Nanos::from_millis(100));
        world.quote(all[0], tenth);
        world.settle();
        for (client, delay) in clients.iter_mut().zip(&delays) {
            let got = client.take();
            let elapsed = (tenth as u64 + 1) * 100;
            if elapsed + 50 < *delay {
                assert!(
                    got.iter()
                        .any(|got| matches!(got, Got::Message(m) if m["channel"] == "ticker"))
                );
            }
            if let Some(Got::Close(code, _)) = got.last() {
                assert_eq!(*code, 1001);
                assert!((*delay..=delay + 600).contains(&elapsed), "{elapsed} {delay}");
                client.line.borrow_mut().client_closed = true;
            }
        }
    }
    world.settle();
    assert_eq!(world.shard.connections(), 0);
}

#[test]
fn a_stopped_shard_ends_when_its_last_connection_has() {
    let mut world = World::new();
    let mut client = world.connect();
    world.shard.stop(world.now);
    world.settle();
    assert_eq!(close_of(&mut client).map(|(code, _)| code), Some(1001));
    assert!(matches!(world.last_rest, Rest::For(_)));
    client.line.borrow_mut().client_closed = true;
    world.settle();
    assert_eq!(world.last_rest, Rest::Ended);
}

fn events(text: &str) -> Vec<(String, Option<String>)> {
    let field = |event: &str, name: &str| {
        event.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned)
    };
    let event = |event: &str| (field(event, "event: ").unwrap(), field(event, "id: "));
    text.split_terminator("\n\n").map(event).collect()
}

fn sse(query: &str, last_event_id: Option<&str>) -> Transport {
    Transport::Sse { query: query.to_owned(), last_event_id: last_event_id.map(str::to_owned) }
}

fn text_of(client: &Client) -> String {
    String::from_utf8(client.line.borrow_mut().to_client.drain(..).collect()).unwrap()
}

#[test]
fn an_event_stream_of_one_stream_carries_ids_and_resumes() {
    let mut world = World::new();
    let s0 = world.instruments(1)[0];
    let run = world.hub.run().0;
    let client = world.connect_as(sse("channel=ticker&symbol=sim:S0", None));
    world.quote(s0, 5);
    world.settle();
    let id = |seq| Some(format!("{run}-{seq}"));
    let named = |name: &str, id: Option<String>| (name.to_owned(), id);
    assert_eq!(
        events(&text_of(&client)),
        [
            named("system", None),
            named("subscribe", None),
            named("status", None),
            named("ticker", id(1)),
            named("ticker", id(2)),
        ]
    );
    world.quote(s0, 6);
    let again = world.connect_as(sse("channel=ticker&symbol=sim:S0", id(2).as_deref()));
    world.settle();
    let text = text_of(&again);
    assert_eq!(events(&text).last(), Some(&named("ticker", id(3))));
    assert!(text.contains("\"prev\":2,\"seq\":3"), "{text}");
    world.pass(Nanos::from_secs(6));
    assert!(events(&text_of(&again)).contains(&named("heartbeat", None)));
}

#[test]
fn an_event_stream_of_several_streams_has_no_ids_and_slow_readers_follow_the_rule() {
    for room in [1, 7, 50, 333] {
        let mut world = World::new();
        let all = world.instruments(2);
        let transport = sse("channel=ticker&symbol=sim:*", Some("1-1"));
        let client = world.connect_with_room(transport, room);
        for round in 0..60 {
            world.quotes(&all, round);
            world.settle();
            world.give_room(&client, room);
        }
        world.give_room(&client, usize::MAX);
        world.settle();
        let text = text_of(&client);
        assert!(events(&text).iter().all(|(_, id)| id.is_none()));
        let last = text.rsplit("data: ").next().unwrap();
        assert!(last.ends_with("}]}\n\n"), "{last}");
        let mut holder = shard_kit::Holder::default();
        for data in text.lines().filter_map(|line| line.strip_prefix("data: ")) {
            let message: serde_json::Value = serde_json::from_str(data).unwrap();
            if message["channel"] == "ticker" {
                assert!(holder.take(&message), "{room}: {message}");
            }
        }
        assert!(holder.held.values().all(|(_, _, bid)| bid == "5.9"), "{:?}", holder.held);
    }
}

#[test]
fn an_event_stream_with_a_wrong_query_is_told_and_ends() {
    let mut world = World::new();
    let client = world.connect_as(sse("channel=tikcer&symbol=A", None));
    world.settle();
    assert!(text_of(&client).contains("4400"));
    assert!(client.line.borrow().server_closed);
}

#[test]
fn an_operator_sees_who_is_connected_and_who_was() {
    let mut world = World::new();
    world.instruments(2);
    let _here = world.subscriber(json!({"channel": "ticker", "symbol": "sim:*", "max_rate": 4}));
    let gone = world.connect();
    gone.send_frame(8, &1000u16.to_be_bytes());
    world.settle();
    let text = format!("{:?}", world.shard.clients());
    for part in ["127.0.0.1:1000", "max_rate: Some(4.0), instruments: 2", "code: 1000"] {
        assert!(text.contains(part), "{part} in {text}");
    }
}
