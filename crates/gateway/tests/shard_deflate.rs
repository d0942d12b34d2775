//! Compression on a shard (RFC 7692): what goes out compressed to whom, what of it is shared, and
//! what becomes of compressed messages that come in.

mod shard_kit;

use serde_json::{Value, json};
use shard_kit::{Client, Got, World, deflate};
use tickcast_gateway::Transport;
use tickcast_market::{BookChange, BookSide, EventBody, InstrumentIndex, Price, Side, Size, Trade};
use tickcast_wire::Encoding;

const COMPRESSING: Transport = Transport::WebSocket { encoding: Encoding::Json, compress: true };

fn trades(world: &mut World, instrument: InstrumentIndex, count: u64) {
    let trade = |id| Trade {
        id,
        price: Price(1_000 + id as i64 % 7),
        size: Size(1),
        side: Side::Buy,
        ts_event: world.now,
    };
    let trades: Vec<Trade> = (0..count).map(trade).collect();
    world.event(instrument, EventBody::Trades(&trades));
}

fn book(world: &mut World, instrument: InstrumentIndex, levels: i64) {
    let level = |at: i64| {
        let side = if at % 2 == 0 { BookSide::Bid } else { BookSide::Ask };
        let price = if at % 2 == 0 { 10_000 - at } else { 10_000 + at };
        BookChange { side, price: Price(price), size: Size(1 + at * 7_919 % 1_000) }
    };
    let changes: Vec<BookChange> = (0..2 * levels).map(level).collect();
    world.event(instrument, EventBody::BookSnapshot(&changes));
}

fn compressing(world: &mut World, params: Value) -> Client {
    let mut client = world.connect_as(COMPRESSING);
    client.subscribe(params);
    world.settle();
    client.take();
    client
}

fn compressed_out(world: &World) -> i64 {
    world.metrics.value("tickcast_gateway_compressed_messages_total", &["out"])
}

#[test]
fn long_updates_are_compressed_once_for_all_who_agreed_and_go_plain_to_the_others() {
    let mut world = World::new();
    let s0 = world.instruments(1)[0];
    let params = || json!({"channel": "trades", "symbol": "sim:S0"});
    let mut plain = world.subscriber(params());
    let mut all = [compressing(&mut world, params()), compressing(&mut world, params())];
    let before = all.each_ref().map(|client| client.bytes.len());
    let plain_before = plain.bytes.len();
    let bytes = || world.metrics.value("tickcast_gateway_bytes_sent_total", &["trades", "json"]);
    let (counted, runs) =
        (bytes(), world.metrics.value("tickcast_gateway_compressions_total", &[]));
    trades(&mut world, s0, 40);
    trades(&mut world, s0, 1); // A short one goes as it is.
    world.settle();
    let expected = plain.messages();
    assert_eq!((expected.len(), plain.compressed), (2, 0));
    for client in &mut all {
        assert_eq!(client.messages(), expected, "it says the same");
        assert_eq!(client.compressed, 1);
    }
    let [one, two] = all.each_ref().map(|client| &client.bytes[before[0]..]);
    assert_eq!(before[0], before[1]);
    assert!(one == two, "the very same bytes");
    let plain = plain.bytes.len() - plain_before;
    assert!(one.len() * 2 < plain, "{} of {plain} bytes", one.len());
    assert_eq!(
        world.metrics.value("tickcast_gateway_compressions_total", &[]) - runs,
        1,
        "once for both"
    );
    assert_eq!(compressed_out(&world), 2);
    let on_the_line = world.metrics.value("tickcast_gateway_bytes_sent_total", &["trades", "json"]);
    assert_eq!(on_the_line - counted, (plain + 2 * one.len()) as i64, "what went on the line");
    let form =
        |form| world.metrics.value("tickcast_gateway_compressed_bytes_total", &["out", form]);
    assert!(form("plain") > 2 * form("compressed"), "{} {}", form("plain"), form("compressed"));
}

#[test]
fn joiners_of_one_turn_share_the_compressed_snapshot() {
    let mut world = World::new();
    let s0 = world.instruments(1)[0];
    book(&mut world, s0, 100);
    let params = || json!({"channel": "book", "symbol": "sim:S0", "depth": 100});
    let mut plain = world.connect();
    let mut joiners: Vec<Client> = (0..5).map(|_| world.connect_as(COMPRESSING)).collect();
    plain.subscribe(params());
    joiners.iter().for_each(|joiner| joiner.subscribe(params()));
    world.settle();
    let snapshot = |client: &mut Client| client.messages().pop().expect("a snapshot comes last");
    let expected = snapshot(&mut plain);
    assert_eq!(expected["data"][0]["bids"].as_array().map(Vec::len), Some(100));
    for joiner in &mut joiners {
        assert_eq!(snapshot(joiner), expected);
        assert_eq!(joiner.compressed, 1);
    }
    assert_eq!(world.metrics.value("tickcast_gateway_compressions_total", &[]), 1);
    assert_eq!(compressed_out(&world), 5);
}

#[test]
fn a_diff_for_one_and_a_long_answer_are_compressed_too() {
    let mut world = World::new();
    let all = world.instruments(100);
    let mut client = world.connect_as(COMPRESSING);
    let names: Vec<String> = (0..all.len()).map(|at| format!("sim:S{at}")).collect();
    client.subscribe(json!({"channel": "trades", "symbol": names}));
    world.settle();
    let answer = client.messages().into_iter().find(|message| message["method"] == "subscribe");
    assert_eq!(answer.unwrap()["result"]["symbol"].as_array().map(Vec::len), Some(100));
    assert_eq!(client.compressed, 1, "the answer alone is long");
    client.line.borrow_mut().room = 0;
    (0..40).for_each(|_| {
        trades(&mut world, all[3], 1);
        world.settle();
    });
    assert!(client.messages().is_empty());
    world.give_room(&client, usize::MAX);
    world.settle();
    let got = client.messages();
    let count = |message: &Value| message["data"][0]["trades"].as_array().map_or(0, Vec::len);
    assert_eq!(got.iter().map(count).sum::<usize>(), 40);
    assert_eq!(client.compressed, 2);
}

#[test]
fn who_has_not_agreed_and_event_streams_get_nothing_compressed() {
    let mut world = World::new();
    let s0 = world.instruments(1)[0];
    book(&mut world, s0, 50);
    let mut agreed = compressing(&mut world, json!({"channel": "trades", "symbol": "sim:S0"}));
    let params = json!({"channel": "book", "symbol": "sim:S0", "depth": 25});
    let mut plain = world.subscriber(params);
    let query = "channel=trades&symbol=sim:S0".to_owned();
    let events = world.connect_as(Transport::Sse { query, last_event_id: None });
    trades(&mut world, s0, 60);
    book(&mut world, s0, 49);
    world.settle();
    plain.take();
    agreed.take();
    assert_eq!((plain.compressed, agreed.compressed), (0, 1));
    let text: Vec<u8> = events.line.borrow().to_client.iter().copied().collect();
    let text = String::from_utf8(text).expect("text");
    assert!(text.contains("event: trades\n") && text.contains("\"id\":\"59\""), "{text}");
}

/// What a client that follows the rule has of the trades: how far, without anything missing.
fn follow(client: &mut Client, held: &mut u64) {
    for message in client.messages() {
        let data = &message["data"][0];
        if message["channel"] != "trades" {
            continue;
        }
        let seq = data["seq"].as_u64().unwrap();
        if message["type"] == "update" {
            assert!(data["prev"].as_u64().unwrap() <= *held, "nothing is missing before {message}");
        }
        *held = seq.max(*held);
    }
}

#[test]
fn whatever_the_line_takes_at_a_time_a_compressing_client_misses_nothing() {
    for room in (1..30).chain([63, 127, 200, 201, 350, 500, 1_000, 5_000]) {
        let mut world = World::new();
        let s0 = world.instruments(1)[0];
        let mut client = world.connect_with_room(COMPRESSING, 4_000);
        let mut other = compressing(&mut world, json!({"channel": "trades", "symbol": "sim:S0"}));
        client.subscribe(json!({"channel": "trades", "symbol": "sim:S0"}));
        world.settle();
        let (mut held, mut others) = (0, 0);
        client.line.borrow_mut().room = room;
        for round in 0..60 {
            trades(&mut world, s0, if round % 3 == 0 { 30 } else { 1 });
            if round % 2 == 0 {
                world.settle();
            }
            world.give_room(&client, room);
            follow(&mut client, &mut held);
            follow(&mut other, &mut others);
        }
        world.give_room(&client, usize::MAX);
        world.settle();
        follow(&mut client, &mut held);
        follow(&mut other, &mut others);
        assert_eq!((held, others), (640, 640), "{room}");
        assert!(!client.has_begun_frame(), "{room}: every begun frame was ended");
        assert!(client.compressed > 0, "{room}");
        assert!(compressed_out(&world) as usize >= client.compressed + other.compressed);
    }
}

#[test]
fn a_line_that_stops_at_any_byte_keeps_only_the_frame_that_was_begun() {
    let frames = |world: &mut World, s0| {
        for count in [30, 1, 25] {
            trades(world, s0, count);
        }
    };
    let params = || json!({"channel": "trades", "symbol": "sim:S0"});
    let mut world = World::new();
    let s0 = world.instruments(1)[0];
    let mut measured = compressing(&mut world, params());
    let before = measured.bytes.len();
    frames(&mut world, s0);
    world.settle();
    assert_eq!(measured.messages().len(), 3);
    let total = measured.bytes.len() - before;
    for stop in 0..=total {
        let mut world = World::new();
        let s0 = world.instruments(1)[0];
        let mut client = compressing(&mut world, params());
        client.line.borrow_mut().room = stop;
        frames(&mut world, s0);
        world.settle();
        let kept = world.shard.kept_bytes(client.token);
        assert!(kept < total, "{stop}: {kept} of {total} bytes are kept");
        let mut held = 0;
        follow(&mut client, &mut held);
        world.give_room(&client, usize::MAX);
        world.settle();
        follow(&mut client, &mut held);
        assert_eq!(held, 56, "{stop}");
        assert!(!client.has_begun_frame(), "{stop}");
        assert_eq!(world.shard.kept_bytes(client.token), 0, "{stop}");
    }
}

#[test]
fn compressed_requests_are_answered_and_bad_ones_closed_with_their_code() {
    let ping = || deflate(br#"{"method":"ping","req_id":5}"#);
    let table = [
        ("a request", COMPRESSING, 0xC1, ping(), None),
        (
            "no agreement",
            Transport::WebSocket { encoding: Encoding::Json, compress: false },
            0xC1,
            ping(),
            Some(1002),
        ),
        ("on a ping", COMPRESSING, 0xC9, Vec::new(), Some(1002)),
        ("not DEFLATE", COMPRESSING, 0xC1, b"{\"method\":\"ping\"}".to_vec(), Some(1007)),
        ("not UTF-8", COMPRESSING, 0xC1, deflate(b"\xFF\xFE"), Some(1007)),
        ("a bomb", COMPRESSING, 0xC1, deflate(&vec![b' '; 40 << 20]), Some(1009)),
        ("binary", COMPRESSING, 0xC2, ping(), Some(1003)),
    ];
    for (name, transport, first, payload, code) in table {
        let mut world = World::new();
        let mut other = compressing(&mut world, json!({"channel": "ticker", "symbol": "sim:*"}));
        let mut client = world.connect_as(transport);
        client.take();
        client.send_frame(first & 0x7F, &payload);
        world.settle();
        match (client.take().last(), code) {
            (Some(Got::Message(pong)), None) => assert_eq!(pong["req_id"], 5, "{name}"),
            (Some(Got::Close(got, _)), Some(code)) => assert_eq!(*got, code, "{name}"),
            (got, _) => panic!("{name}: {got:?}"),
        }
        // Whoever shares the inflater is not touched.
        other.send_frame(0x41, &ping());
        world.settle();
        assert!(matches!(other.take().last(), Some(Got::Message(pong)) if pong["req_id"] == 5));
        let inflated = world.metrics.value("tickcast_gateway_compressed_messages_total", &["in"]);
        assert!((1..=2).contains(&inflated), "{name}: {inflated}");
    }
}
