//! Topics with a maximum rate, and the field sets that a process encodes for.

use crate::world::{SHARDS, START, World, key, quote, seq};
use tickcast_market::Nanos;
use tickcast_publisher::{FIELD_SETS_MAX, Tier, TopicKey};
use tickcast_wire::{FieldSet, TickerField, View};

#[test]
fn a_tier_sends_at_once_then_never_faster_than_its_rate_and_last_the_latest_state() {
    for tier in 1..4 {
        let mut world = World::new();
        let interval = world.hub.tiers().interval(Tier(tier));
        let (slow, _) = world.acquire(View::Ticker, tier);
        let (fast, _) = world.acquire(View::Ticker, 0);
        let mut sent = Vec::new();
        let mut in_real_time = 0;
        let mut step = |world: &mut World, bodies: &[_]| {
            world.turn(bodies);
            for (frame, at, item) in world.take(SHARDS[0]).frames {
                in_real_time += usize::from(frame.topic == fast);
                if frame.topic == slow {
                    sent.push((frame.prev, frame.seq, at, item));
                }
            }
        };
        for n in 0..500 {
            step(&mut world, &[quote(n, n + 1)]);
            world.pass(7);
        }
        let due = world.partition.next_due(world.now);
        assert!(due > world.now && due < Nanos::MAX, "the rest is due later");
        world.now = due;
        step(&mut world, &[]);
        assert_eq!(world.partition.next_due(world.now), Nanos::MAX);

        assert_eq!(in_real_time, 500);
        assert_eq!(sent[0].2, START, "the first one waits for nothing");
        for pair in sent.windows(2) {
            let gap = pair[1].2.since(pair[0].2);
            assert!(gap >= interval, "tier {tier}: {gap:?}");
            assert!(gap < interval.plus(Nanos::from_millis(7)), "tier {tier}: {gap:?}");
            assert_eq!(pair[1].0, pair[0].1, "each goes on where the last one ended");
        }
        let (.., last) = sent.last().expect("there are frames");
        assert_eq!((seq(last).0, &last["ask"]), (500, &"50.0".into()));
    }
}

#[test]
fn a_topic_with_chosen_fields_is_silent_until_one_of_them_changes() {
    let mut world = World::new();
    let fields = FieldSet::NONE.with(TickerField::Ask);
    let asks = TopicKey { fields, ..key(View::Ticker, 0) };
    world.hub.acquire(SHARDS[0], &asks).expect("a known instrument");
    let mut frames = Vec::new();
    for (bid, ask) in [(1, 5), (2, 5), (3, 5), (3, 6)] {
        world.turn(&[quote(bid, ask)]);
        frames.push(world.take(SHARDS[0]).frames.len());
    }
    assert_eq!(frames, [1, 0, 0, 1]);
}

#[test]
fn a_process_has_eight_field_sets_and_then_grants_all_fields() {
    let world = World::new();
    let one = |n: usize| FieldSet::NONE.with(TickerField::ALL[n]);
    assert_eq!(world.hub.grant_fields(FieldSet::ALL), FieldSet::ALL);
    let of = |n| TopicKey { fields: one(n), ..key(View::Ticker, 0) };
    let mut topics = Vec::new();
    for n in 0..FIELD_SETS_MAX - 1 {
        assert_eq!(world.hub.grant_fields(one(n)), one(n));
        topics.push(world.hub.acquire(SHARDS[0], &of(n)).expect("a known instrument").0);
    }
    assert_eq!(world.hub.grant_fields(one(FIELD_SETS_MAX)), FieldSet::ALL);
    assert_eq!(world.hub.grant_fields(one(0)), one(0), "who came before keeps its own");
    world.hub.release(SHARDS[0], &of(3), topics[3]);
    let late = one(FIELD_SETS_MAX);
    assert_eq!(world.hub.grant_fields(late), late, "one that nobody listens to makes room");
}

#[test]
fn what_nobody_listens_to_any_more_is_not_encoded() {
    let mut world = World::new();
    let (id, _) = world.acquire(View::Ticker, 0);
    assert_eq!(world.turn(&[quote(1, 2)]).frames, 1);
    world.hub.release(SHARDS[0], &key(View::Ticker, 0), id);
    assert_eq!((world.turn(&[quote(2, 3)]).frames, world.hub.topics()), (0, 0));
    let (again, since) = world.acquire(View::Ticker, 0);
    assert_ne!(again, id, "a frame of the old topic cannot be taken for one of the new");
    assert_eq!(since.seq.0, 2);
}
