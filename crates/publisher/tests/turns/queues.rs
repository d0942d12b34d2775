//! Nobody waits: a shard that does not take its batches, readers inside an instrument.

use crate::world::{A, B, SHARDS, START, World, bid, key, quote, seq, trade};
use std::sync::atomic::{AtomicBool, Ordering};
use tickcast_market::{BookChange, EventBody, InstrumentIndex, Nanos, Since, TradingState};
use tickcast_publisher::{Ask, SHARD_BATCHES_MAX, Scratch, Served};
use tickcast_wire::{Depth, View};

#[test]
fn a_shard_that_takes_nothing_is_marked_and_the_partition_goes_on() {
    let mut world = World::new();
    world.acquire(View::Ticker, 0);
    world.hub.acquire(SHARDS[1], &key(View::Ticker, 0)).expect("a known instrument");
    let mut overruns = 0;
    for step in 0..SHARD_BATCHES_MAX as i64 + 10 {
        let turn = world.turn(&[quote(step, step + 1)]);
        assert_eq!((turn.events, turn.frames), (1, 1));
        overruns += turn.overruns;
        assert_eq!(world.take(SHARDS[1]).frames.len(), 1, "the other shard gets everything");
    }
    assert_eq!(overruns, 10);
    assert!(!world.feeds[1].take_overrun());
    assert!(world.feeds[0].take_overrun());
    assert!(!world.feeds[0].take_overrun(), "told once");

    let taken = world.take(SHARDS[0]);
    assert_eq!(taken.batches, SHARD_BATCHES_MAX);
    let (last, ..) = taken.frames.last().expect("there are frames");
    let mark = Since { epoch: last.epoch, seq: last.seq };
    world.turn(&[quote(5_000, 5_001)]);
    let next = world.take(SHARDS[0]).frames.remove(0).0;
    assert!(next.prev > mark.seq, "its frame tells that something is missing");

    let ask = Ask { key: key(View::Ticker, 0), since: mark, always: false, bare: false };
    let mut out = Vec::new();
    let served = world.hub.serve(&ask, world.now, &mut Scratch::default(), &mut out);
    let Served::Frame { prev, seq, .. } = served else { panic!("{served:?}") };
    assert_eq!((prev, seq), (mark.seq, next.seq), "and diff closes the gap");
}

#[test]
fn a_transition_that_a_full_channel_lost_marks_every_shard_even_without_topics() {
    let mut world = World::new();
    let states = [TradingState::Live, TradingState::Stale];
    for step in 0..=SHARD_BATCHES_MAX {
        world.turn(&[EventBody::State(states[step % 2])]);
    }
    for (shard, feed) in SHARDS.into_iter().zip(0..) {
        assert!(world.feeds[feed].take_overrun());
        assert_eq!(world.take(shard).states.len(), SHARD_BATCHES_MAX);
    }
    let status = world.hub.status(A).expect("a known instrument");
    assert_eq!((status.seq.0, status.state), (SHARD_BATCHES_MAX as u64 + 2, TradingState::Live));
}

/// The same events as the readers' world gets, turn by turn.
fn events_of(turn: i64) -> Vec<(InstrumentIndex, BookChange, u64, Nanos)> {
    let at = START.plus(Nanos::from_millis(turn));
    [A, B, A]
        .into_iter()
        .zip(0..)
        .map(|(instrument, n)| {
            (instrument, bid(turn * 7 % 900 + n, turn % 5), (turn * 3 + n) as u64, at)
        })
        .collect()
}

fn play(world: &mut World, turn: i64) -> u64 {
    world.now = START.plus(Nanos::from_millis(turn));
    let mut events = 0;
    for (instrument, change, id, at) in events_of(turn) {
        let changes = [change];
        let trades = [trade(id, 10 + id as i64 % 9, at)];
        let bodies = [
            (instrument, EventBody::BookUpdate(&changes)),
            (instrument, EventBody::Trades(&trades)),
        ];
        events += world.turn_of(&bodies).events;
    }
    events
}

#[test]
fn what_readers_held_up_is_applied_later_and_in_order() {
    const TURNS: i64 = 3_000;
    let deep = View::Book(Depth::new(500).expect("an offered depth"));
    let mut alone = World::new();
    let mut read = World::new();
    let levels: Vec<_> = (1_000..1_900).map(|price| bid(price, 1)).collect();
    for world in [&mut alone, &mut read] {
        world.acquire(View::Trades, 0);
        world.turn(&[EventBody::BookSnapshot(&levels)]);
    }
    let mut applied = 0;
    let mut ids = Vec::new();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let (hub, is_over) = (read.hub.clone(), &is_over);
            scope.spawn(move || {
                let (mut scratch, mut out) = (Scratch::default(), Vec::new());
                let ask =
                    Ask { key: key(deep, 0), since: Since::NOTHING, always: true, bare: false };
                // Relaxed: nothing but the end of this loop hangs on it.
                while !is_over.load(Ordering::Relaxed) {
                    out.clear();
                    hub.serve(&ask, START, &mut scratch, &mut out);
                }
            });
        }
        for turn in 0..TURNS {
            applied += play(&mut read, turn);
            ids.extend(read.take(SHARDS[0]).frames);
            // A reader may be held up itself while it is inside. Nobody is told of more trades at once
            // than are kept, so no more may wait.
            while turn % 100 == 99 && read.partition.next_due(read.now) != Nanos::MAX {
                std::thread::yield_now();
                applied += read.turn(&[]).events;
                ids.extend(read.take(SHARDS[0]).frames);
            }
        }
        is_over.store(true, Ordering::Relaxed);
    });
    applied += read.turn(&[]).events;
    ids.extend(read.take(SHARDS[0]).frames);
    let expected: u64 = (0..TURNS).map(|turn| play(&mut alone, turn)).sum();
    assert_eq!(applied, expected, "nothing is lost");
    assert_eq!(read.partition.next_due(read.now), Nanos::MAX, "nothing is left");
    for view in [deep, View::Ticker, View::Trades] {
        assert_eq!(read.item(view), alone.item(view));
    }
    let ids: Vec<u64> = ids
        .iter()
        .flat_map(|(.., item)| item["trades"].as_array().expect("trades").clone())
        .map(|trade| trade["id"].as_str().expect("an id").parse().expect("a number"))
        .collect();
    let sent: Vec<u64> =
        (0..TURNS).flat_map(events_of).filter(|e| e.0 == A).map(|(_, _, id, _)| id).collect();
    assert_eq!(ids, sent, "every trade once and in order");
    assert_eq!(seq(&read.item(View::Trades)).0, 2 * TURNS as u64);
}
