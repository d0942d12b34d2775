//! REST over a real publisher: the very message that a subscriber would get.

mod door_kit;

use door_kit::{Server, assert_refusal, start_with};
use std::sync::Arc;
use tickcast_gateway::{DoorLimits, HubSource};
use tickcast_market::{
    BookChange, BookSide, Decimal, Directory, Event, EventBatch, EventBody, InstrumentSpec, Nanos,
    Price, Quote, Scales, Size, TradingState, Venue,
};
use tickcast_publisher::{Ask, Config, Hub, Publisher, Resync, Scratch, Tier, Tiers, TopicKey};
use tickcast_wire::{Depth, Encoding, FieldSet, View};

const NOW: Nanos = Nanos::from_secs(1_770_000_001);

const SCALES: Scales = Scales { price: 1, size: 2, volume: 2 };

/// Two venues with one symbol in common; the first instrument has data.
fn publish(directory: &Arc<Directory>) -> Arc<Hub> {
    for (venue, symbol, tick) in [
        (Venue::Sim, "S0-USD", Some("0.5")),
        (Venue::Sim, "BTC-USD", None),
        (Venue::Kraken, "BTC-USD", Some("0.1")),
    ] {
        directory.add(&InstrumentSpec {
            venue,
            symbol: symbol.into(),
            venue_symbol: symbol.replace('-', "/"),
            tick_size: tick.map(|tick| Decimal::parse(tick.as_bytes()).unwrap()),
            lot_size: None,
            scales: SCALES,
        });
    }
    let config = Config {
        run: 1_770_000_000,
        tiers: Tiers::default(),
        partitions: 1,
        wakes: vec![],
        resync: Resync(Arc::new(|_| true)),
    };
    let mut publisher = Publisher::new(config, directory.clone());
    let mut batch = EventBatch::default();
    let instrument = directory.find("sim:S0-USD").unwrap().index;
    let quote =
        Quote { bid: Some((Price(1_005), Size(250))), ask: Some((Price(1_010), Size(100))) };
    let level = |side, price| BookChange { side, price: Price(price), size: Size(700) };
    let levels = [level(BookSide::Bid, 1_005), level(BookSide::Ask, 1_010)];
    for body in [
        EventBody::State(TradingState::Live),
        EventBody::BookSnapshot(&levels),
        EventBody::Quote(quote),
    ] {
        batch.push(&Event { instrument, ts_event: NOW, ts_recv: NOW, scales: SCALES, body });
    }
    publisher.partitions[0].turn(NOW, &[batch]);
    publisher.hub
}

fn server(directory: &Arc<Directory>) -> (Server, Arc<Hub>) {
    let hub = publish(directory);
    (start_with(DoorLimits::default(), Arc::new(HubSource::new(hub.clone(), || NOW))), hub)
}

fn get(server: &Server, target: &str) -> (u16, String, String) {
    server.connect().ask(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"))
}

#[test]
fn the_list_of_instruments_says_what_is_known_of_each() {
    let (server, _) = server(&Arc::default());
    let all = get(&server, "/v1/instruments").2;
    let first = r#"{"instruments":[{"symbol":"sim:S0-USD","venue":"sim","venue_symbol":"S0/USD","tick_size":"0.5","lot_size":null,"state":"live"},"#;
    assert!(all.starts_with(first), "{all}");
    for (query, want) in [
        ("", &["sim:S0-USD", "sim:BTC-USD", "kraken:BTC-USD"][..]),
        ("?symbol=sim:*", &["sim:S0-USD", "sim:BTC-USD"]),
        ("?symbol=%2A%3ABTC-*", &["sim:BTC-USD", "kraken:BTC-USD"]),
        ("?symbol=kraken:BTC-USD", &["kraken:BTC-USD"]),
        ("?symbol=BTC-USD", &["sim:BTC-USD", "kraken:BTC-USD"]),
        ("?symbol=nothing", &[]),
    ] {
        let (status, _, body) = get(&server, &format!("/v1/instruments{query}"));
        assert_eq!(status, 200, "{query}");
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        let list = body["instruments"].as_array().unwrap();
        let symbols: Vec<&str> = list.iter().map(|i| i["symbol"].as_str().unwrap()).collect();
        assert_eq!(symbols, want, "{query}");
    }
}

#[test]
fn a_snapshot_is_the_message_that_a_subscriber_gets() {
    let directory = Arc::default();
    let (server, hub) = server(&directory);
    for (query, view) in [
        ("channel=ticker", View::Ticker),
        ("channel=book&depth=25", View::Book(Depth::new(25).unwrap())),
        ("channel=trades", View::Trades),
    ] {
        let (status, _, body) = get(&server, &format!("/v1/snapshot?{query}&symbol=sim:S0-USD"));
        assert_eq!(status, 200, "{body}");
        let key = TopicKey {
            instrument: directory.find("sim:S0-USD").unwrap().index,
            view,
            tier: Tier(0),
            fields: FieldSet::ALL,
            encoding: Encoding::Json,
        };
        let ask = Ask { key, since: Default::default(), always: true, bare: false };
        let mut frame = Vec::new();
        let served = hub.serve(&ask, NOW, &mut Scratch::default(), &mut frame);
        let tickcast_publisher::Served::Frame { head_len, .. } = served else {
            panic!("{served:?}")
        };
        assert_eq!(body.as_bytes(), &frame[head_len.into()..], "{query}");
    }
}

#[test]
fn several_symbols_are_several_items_in_the_order_asked_for() {
    let (server, _) = server(&Arc::default());
    let query = "channel=ticker&symbol=kraken:BTC-USD,S0-USD,sim:*&fields=bid";
    let (status, _, body) = get(&server, &format!("/v1/snapshot?{query}"));
    assert_eq!(status, 200, "{body}");
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&body["channel"], &body["type"]), (&"ticker".into(), &"snapshot".into()));
    let items = body["data"].as_array().unwrap();
    let symbols: Vec<&str> = items.iter().map(|item| item["symbol"].as_str().unwrap()).collect();
    assert_eq!(symbols, ["kraken:BTC-USD", "sim:S0-USD", "sim:BTC-USD"]);
    assert_eq!(items[1]["bid"], "100.5");
    assert!(items[1].get("ask").is_none());
}

#[test]
fn what_cannot_be_answered_is_refused_with_field_and_value() {
    let directory = Arc::<Directory>::default();
    let (server, _) = server(&directory);
    assert_eq!(get(&server, "/v1/snapshot?channel=ticker&symbol=sim:NEW").0, 503);
    directory.set_complete();
    for (target, status, says) in [
        ("/v1/snapshot", 400, "channel"),
        ("/v1/snapshot?channel=tikcer&symbol=A", 400, "tikcer"),
        ("/v1/snapshot?channel=ticker", 400, "symbol"),
        ("/v1/snapshot?channel=ticker&symbol=sim:NOPE", 404, "sim:NOPE"),
        ("/v1/snapshot?channel=ticker&symbol=NOPE", 404, "NOPE"),
        ("/v1/snapshot?channel=ticker&symbol=BTC-USD", 400, "kraken:BTC-USD"),
        ("/v1/snapshot?channel=ticker&symbol=sim:S0-USD&depth=10", 400, "depth"),
        ("/v1/snapshot?channel=book&symbol=sim:S0-USD&depth=11", 400, "11"),
        ("/v1/instruments?symbols=A", 400, "symbols"),
        ("/v1/instruments?symbol=%zz", 400, "%zz"),
        ("/v1/sse?channel=ticker&symbol=sim:NOPE", 404, "sim:NOPE"),
        ("/v1/sse?channel=ticker&symbol=sim:*&interval=1m", 400, "interval"),
    ] {
        let (_, head, body) = get(&server, target);
        assert_refusal(status, &head, &body, target);
        assert!(body.contains(says), "{target}: {body}");
    }
    let (status, head, _) = get(&server, "/v1/sse?channel=ticker&symbol=sim:*,S0-USD");
    assert_eq!(status, 200);
    assert!(head.contains("text/event-stream"), "{head}");
}
