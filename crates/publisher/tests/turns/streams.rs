//! What events do to an instrument's streams, as a client sees it.

use crate::world::{A, EPOCH, SHARDS, START, World, ask, bid, quote, trade};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use tickcast_market::{EventBody, Interval, Nanos, Scales, SourceIndex, TradingState};
use tickcast_wire::{Depth, View};

/// The chosen keys of an item.
fn pick(item: &Value, keys: &[&str]) -> Value {
    keys.iter()
        .map(|key| (key.to_string(), item[*key].clone()))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// The same, of the only frame that has come.
fn only(world: &mut World, keys: &[&str]) -> Value {
    let frames = world.take(SHARDS[0]).frames;
    assert_eq!(frames.len(), 1, "{frames:?}");
    pick(&frames[0].2, keys)
}

#[test]
fn a_finer_scale_begins_a_new_epoch_and_every_number_stays_what_it_was() {
    let mut world = World::new();
    let ten = View::Book(Depth::TEN);
    let views = [View::Ticker, View::Trades, ten, View::Bars(Interval::M1)];
    for view in views {
        world.acquire(view, 0);
    }
    world.turn(&[
        EventBody::BookSnapshot(&[bid(1005, 3), ask(1010, 4)]),
        EventBody::Trades(&[trade(7, 1007, START)]),
    ]);
    assert_eq!(world.take(SHARDS[0]).frames.len(), 4);

    world.scales = Scales { price: 3, size: 2, volume: 2 };
    world.turn(&[EventBody::BookUpdate(&[bid(100_501, 125)])]);
    let mut frames = world.take(SHARDS[0]).frames;
    frames.sort_by_key(|(_, _, item)| item.get("bid").is_none());
    assert_eq!(frames.len(), 4, "every stream begins again");
    for (frame, _, item) in &frames {
        assert_eq!((frame.prev.0, frame.epoch.0), (0, EPOCH + 1), "with a snapshot");
        assert_eq!(item["epoch"], EPOCH + 1);
    }
    assert_eq!(
        pick(&frames[0].2, &["last", "last_size", "bid", "bid_size", "ask", "ask_size", "volume"]),
        json!({"last": "100.700", "last_size": "2.00", "bid": "100.501", "bid_size": "1.25",
            "ask": "101.000", "ask_size": "4.00", "volume": "2.00"})
    );
    assert_eq!(
        pick(&world.item(ten), &["bids", "asks"]),
        json!({"bids": [["100.501", "1.25"], ["100.500", "3.00"]], "asks": [["101.000", "4.00"]]})
    );
    let trades = &world.item(View::Trades)["trades"];
    assert_eq!(
        pick(&trades[0], &["seq", "id", "price", "size"]),
        json!({"seq": 1, "id": "7", "price": "100.700", "size": "2.00"})
    );
    let bars = &world.item(View::Bars(Interval::M1))["bars"];
    assert_eq!(
        pick(&bars[0], &["open", "volume", "trades"]),
        json!({"open": "100.700", "volume": "2.00", "trades": 1})
    );

    world.scales = Scales { price: 1, size: 0, volume: 0 };
    world.turn(&[EventBody::Trades(&[trade(8, 1008, START)])]);
    assert_eq!(world.item(View::Ticker)["last"], "100.800", "coarser events are fitted in");
    assert_eq!(world.item(View::Trades)["seq"], 2, "trades stay dense over the change");
    assert_eq!(world.item(View::Trades)["epoch"], EPOCH + 1);
}

#[test]
fn a_number_that_does_not_fit_leaves_its_event_out_and_asks_for_a_resync() {
    let mut world = World::new();
    let live = EventBody::State(TradingState::Live);
    world.turn(&[live, quote(1, i64::MAX / 10)]);
    let before = world.item(View::Ticker);
    world.scales.price = 3;
    let turn = world.turn(&[quote(5, 6)]);
    assert_eq!((turn.events, turn.faults), (1, 1));
    assert_eq!(world.turn(&[quote(5, 6), quote(6, 7)]).faults, 2);
    assert_eq!(world.resyncs.load(Ordering::Relaxed), 1, "asked once");
    assert_eq!(world.hub.status(A).expect("a known instrument").state, TradingState::Resync);
    let after = world.item(View::Ticker);
    for key in ["epoch", "seq", "bid", "ask"] {
        assert_eq!(after[key], before[key]);
    }
}

#[test]
fn a_crossed_book_asks_for_one_resync_until_it_is_live_again() {
    let mut world = World::new();
    let live = EventBody::State(TradingState::Live);
    let snapshot = [bid(10, 1), ask(12, 1)];
    let cross = EventBody::BookUpdate(&[bid(13, 1)]);
    let asked = |world: &World| world.resyncs.load(Ordering::Relaxed);
    world.turn(&[EventBody::BookSnapshot(&snapshot), live]);
    world.turn(&[cross]);
    assert_eq!(asked(&world), 1);
    assert_eq!(world.item(View::Ticker)["bid"], "1.0", "a crossed top is not shown");
    world.turn(&[EventBody::BookUpdate(&[bid(14, 1)]), EventBody::BookUpdate(&[bid(15, 1)])]);
    assert_eq!(asked(&world), 1, "asked already");

    world.turn(&[EventBody::BookSnapshot(&snapshot), live]);
    assert_eq!(asked(&world), 1);
    world.takes_resyncs.store(false, Ordering::Relaxed);
    world.turn(&[cross]);
    assert_eq!(world.hub.status(A).expect("known").state, TradingState::Live, "nobody was asked");
    world.takes_resyncs.store(true, Ordering::Relaxed);
    world.turn(&[EventBody::BookUpdate(&[bid(14, 1)])]);
    assert_eq!(asked(&world), 3, "the next event asks again");

    let states: Vec<_> =
        world.take(SHARDS[1]).states.iter().map(|change| (change.seq.0, change.state)).collect();
    let (live, resync) = (TradingState::Live, TradingState::Resync);
    assert_eq!(states, [(2, live), (3, resync), (4, live), (5, resync)], "to every shard");
}

#[test]
fn a_state_that_is_the_same_again_is_no_change() {
    let mut world = World::new();
    let states = [TradingState::Live, TradingState::Live, TradingState::Halted, TradingState::Live];
    for state in states {
        world.turn(&[EventBody::State(state)]);
        world.pass(1);
    }
    let changes = world.take(SHARDS[0]).states;
    let seqs: Vec<_> = changes.iter().map(|change| (change.seq.0, change.ts_state)).collect();
    let at = |millis| START.plus(Nanos::from_millis(millis));
    assert_eq!(seqs, [(2, at(0)), (3, at(2)), (4, at(3))]);
}

#[test]
fn bars_are_closed_two_seconds_after_their_end_by_their_own_sources_clock() {
    let mut world = World::new();
    let keys = ["prev", "seq", "bars"];
    world.acquire(View::Bars(Interval::S1), 0);
    world.turn(&[EventBody::Trades(&[trade(1, 10, START)])]);
    let start = START.micros();
    let bar = |closed| {
        json!({"start": start, "open": "1.0", "high": "1.0", "low": "1.0", "close": "1.0",
            "volume": "2", "trades": 1, "closed": closed})
    };
    assert_eq!(only(&mut world, &keys), json!({"prev": null, "seq": 1, "bars": [bar(false)]}));

    world.pass(60_000);
    world.source = SourceIndex(1);
    world.turn(&[]);
    assert_eq!(world.take(SHARDS[0]).frames.len(), 0, "another line's clock");
    (world.source, world.now) = (SourceIndex(0), START);
    world.pass(2_999);
    world.turn(&[]);
    assert_eq!(world.take(SHARDS[0]).frames.len(), 0, "not yet");
    world.pass(1);
    world.turn(&[]);
    assert_eq!(only(&mut world, &keys), json!({"prev": 1, "seq": 2, "bars": [bar(true)]}));
}

#[test]
fn a_late_trade_sends_its_bar_again_and_is_the_latest_trade() {
    let mut world = World::new();
    let minute = View::Bars(Interval::M1);
    world.acquire(minute, 0);
    world.turn(&[EventBody::Trades(&[trade(1, 10, START)])]);
    world.pass(60_000);
    world.turn(&[EventBody::Trades(&[trade(2, 20, world.now)])]);
    world.pass(5_000);
    world.turn(&[]);
    world.take(SHARDS[0]);
    world.turn(&[EventBody::Trades(&[trade(3, 30, START)])]);
    let frame = only(&mut world, &["bars"]);
    let keys = ["start", "open", "high", "close", "volume", "trades", "closed"];
    assert_eq!(frame["bars"].as_array().expect("bars").len(), 1);
    assert_eq!(
        pick(&frame["bars"][0], &keys),
        json!({"start": START.micros(), "open": "1.0", "high": "3.0", "close": "3.0",
            "volume": "4", "trades": 2, "closed": true})
    );
    assert_eq!(world.item(minute)["bars"].as_array().expect("bars").len(), 2);
    assert_eq!(world.item(View::Ticker)["last"], "3.0");
}

#[test]
fn the_ticker_follows_the_top_of_the_book_until_the_venue_sends_quotes() {
    let mut world = World::new();
    world.turn(&[EventBody::BookSnapshot(&[bid(10, 1), bid(9, 5), ask(12, 1)])]);
    world.turn(&[EventBody::BookUpdate(&[bid(10, 0)])]);
    let keys = ["bid", "bid_size", "ask"];
    let shown = |world: &World| pick(&world.item(View::Ticker), &keys);
    assert_eq!(shown(&world), json!({"bid": "0.9", "bid_size": "5", "ask": "1.2"}));
    world.turn(&[EventBody::BookUpdate(&[ask(12, 0)])]);
    assert_eq!(shown(&world), json!({"bid": "0.9", "bid_size": "5", "ask": null}));
    world.turn(&[quote(20, 21), EventBody::BookUpdate(&[bid(11, 1)])]);
    assert_eq!(shown(&world), json!({"bid": "2.0", "bid_size": "1", "ask": "2.1"}));
}
