//! The property that everything rests on: whoever follows the client's rule ends with the
//! publisher's state, whenever and however it took its diffs.
//!
//! Clients here are plain maps of JSON values that know the rule of the protocol and nothing of
//! the publisher. Random events change one instrument; clients with any tier, depth and field set
//! join late, miss frames, ask with a `since` older than every ring, and take live frames that
//! overlap what they hold.

mod follower;
mod market;

use follower::{Follower, Verdict};
use proptest::prelude::*;
use std::sync::Arc;
use tickcast_market::{
    Bar, BookChange, DayStats, Directory, EventBody, InstrumentIndex, InstrumentSpec, Interval,
    Nanos, Price, Scales, Since, TradingState, Venue, Volume,
};
use tickcast_publisher::{
    Ask, Batch, Config, Hub, Partition, Publisher, Resync, Scratch, Served, ShardFeed, ShardIndex,
    Tier, Tiers, TopicId, TopicKey,
};
use tickcast_wire::{Depth, Encoding, FieldSet, TickerField, View};

const SHARD: ShardIndex = ShardIndex(0);

/// One step: what to do, and two numbers that say how.
type Op = (u8, u16, u16);

struct Client {
    key: TopicKey,
    id: TopicId,
    follower: Follower,
    joined: bool,
}

struct World {
    hub: Arc<Hub>,
    partition: Partition,
    feed: ShardFeed,
    instrument: InstrumentIndex,
    now: Nanos,
    scales: Scales,
    trade_id: u64,
    clients: Vec<Client>,
    scratch: Scratch,
}

fn keys(instrument: InstrumentIndex) -> Vec<TopicKey> {
    let key = |view, tier, fields| TopicKey {
        instrument,
        view,
        tier: Tier(tier),
        fields,
        encoding: Encoding::Json,
    };
    let depth = |levels| View::Book(Depth::new(levels).expect("an offered depth"));
    let sides = FieldSet::NONE.with(TickerField::Bid).with(TickerField::Ask);
    let last = FieldSet::NONE.with(TickerField::Last).with(TickerField::Volume);
    vec![
        key(View::Ticker, 0, FieldSet::ALL),
        key(View::Ticker, 1, sides),
        key(View::Ticker, 3, last),
        key(depth(10), 0, FieldSet::ALL),
        key(depth(10), 2, FieldSet::ALL),
        key(depth(25), 1, FieldSet::ALL),
        key(View::Trades, 0, FieldSet::ALL),
        key(View::Trades, 3, FieldSet::ALL),
        key(View::Bars(Interval::S1), 0, FieldSet::ALL),
        key(View::Bars(Interval::M1), 2, FieldSet::ALL),
    ]
}

impl World {
    fn new() -> World {
        let directory = Arc::new(Directory::default());
        let instrument = directory.add(&InstrumentSpec {
            venue: Venue::Sim,
            symbol: "S0-USD".into(),
            venue_symbol: "S0".into(),
            tick_size: None,
            lot_size: None,
            scales: Scales { price: 1, size: 0, volume: 0 },
        });
        let mut publisher = Publisher::new(
            Config {
                run: 1_770_000_000,
                tiers: Tiers::default(),
                partitions: 1,
                wakes: vec![Arc::new(|| {})],
                resync: Resync(Arc::new(|_| true)),
            },
            directory,
        );
        let partition = publisher.partitions.remove(0);
        let feed = publisher.feeds.remove(0);
        let hub = publisher.hub;
        let mut clients = Vec::new();
        for key in keys(instrument) {
            for _ in 0..2 {
                let (id, _) = hub.acquire(SHARD, &key).expect("a known instrument");
                clients.push(Client { key, id, follower: Follower::default(), joined: false });
            }
        }
        World {
            hub,
            partition,
            feed,
            instrument,
            now: Nanos::from_secs(1_770_000_000),
            scales: Scales { price: 1, size: 0, volume: 0 },
            trade_id: 0,
            clients,
            scratch: Scratch::default(),
        }
    }

    fn event(&mut self, body: EventBody<'_>) {
        let batch = market::batch(self.instrument, self.now, self.scales, body);
        self.partition.turn(self.now, &[batch]);
    }

    fn change(&self, a: u16, b: u16) -> BookChange {
        market::change((a, b), 100, 60, self.scales)
    }

    fn step(&mut self, (what, a, b): Op) {
        match what {
            0..=2 => {
                let changes = [self.change(a, b), self.change(b, a), self.change(a ^ b, a)];
                self.event(EventBody::BookUpdate(&changes));
            }
            3 => {
                let levels: Vec<_> =
                    (0..40).map(|i| self.change(a.wrapping_mul(i), b + i)).collect();
                self.event(EventBody::BookSnapshot(&levels));
            }
            4 => self.event(EventBody::Quote(market::quote(a, b))),
            5 | 6 => self.trades(a, b),
            7 => {
                let high = (!a.is_multiple_of(3)).then_some(Price(i64::from(a)));
                let volume = Some(Volume(i128::from(b)));
                self.event(EventBody::Day(DayStats { high, volume, ..DayStats::default() }));
            }
            8 if a.is_multiple_of(16) && self.scales.price < 6 => self.scales.price += 1,
            8 => self.event(EventBody::State(
                [TradingState::Live, TradingState::Stale, TradingState::Resync][a as usize % 3],
            )),
            9 => self.now = self.now.plus(Nanos::from_millis(i64::from(a % 3000))),
            10 => self.live(usize::from(a), usize::from(b)),
            11 => self.pull(usize::from(a)),
            _ => {
                let start =
                    Interval::M1.start_of(self.now).plus(Nanos::from_secs(-60 * i64::from(a % 9)));
                let price = Price(i64::from(b));
                let bar = Bar {
                    start,
                    open: price,
                    high: price,
                    low: price,
                    close: price,
                    volume: Volume(1),
                    trades: 1,
                    closed: true,
                };
                self.event(EventBody::Bars(Interval::M1, &[bar]));
            }
        }
    }

    /// Some trades, now and then so many that they run over the ring, some of them late.
    fn trades(&mut self, a: u16, b: u16) {
        let count = if a.is_multiple_of(64) { 700 } else { u64::from(a % 4) + 1 };
        let late = if b.is_multiple_of(8) { Nanos::from_secs(-90) } else { Nanos::ZERO };
        let trades = market::trades(count, self.trade_id, b, self.now.plus(late));
        self.trade_id += count;
        self.event(EventBody::Trades(&trades));
    }

    /// Lets the partition send what is due, and every joined client take it except one that
    /// misses it.
    fn live(&mut self, misses: usize, at: usize) {
        self.partition.turn(self.now, &[]);
        let miss = (at.is_multiple_of(3)).then_some(misses % self.clients.len());
        while let Some(batch) = self.feed.try_next() {
            for frame in &batch.frames {
                for (number, client) in self.clients.iter_mut().enumerate() {
                    if client.id == frame.topic && client.joined && Some(number) != miss {
                        take(client, batch.message(frame), &self.hub, &mut self.scratch, self.now);
                    }
                }
                check_frame(&batch, frame);
            }
        }
    }

    /// A client asks for what it missed; the first time for everything.
    fn pull(&mut self, number: usize) {
        let number = number % self.clients.len();
        let client = &mut self.clients[number];
        let since = client.follower.since();
        client.joined = true;
        serve(client, since, &self.hub, &mut self.scratch, self.now);
    }

    /// Everybody asks once more and then holds what the publisher holds.
    fn judge(&mut self) -> Result<(), TestCaseError> {
        self.partition.turn(self.now, &[]);
        for number in 0..self.clients.len() {
            self.pull(number);
            let client = &self.clients[number];
            let mut item = Vec::new();
            self.hub.item(&client.key, self.now, &mut self.scratch, &mut item);
            let truth = serde_json::from_slice(&item).expect("an item is JSON");
            if let Err(difference) = client.follower.equals(&truth) {
                return Err(TestCaseError::fail(format!("{:?}: {difference}", client.key)));
            }
        }
        Ok(())
    }
}

fn check_frame(batch: &Batch, frame: &tickcast_publisher::Frame) {
    let message: serde_json::Value =
        serde_json::from_slice(batch.message(frame)).expect("a frame is JSON");
    let item = &message["data"][0];
    assert_eq!(item["seq"], frame.seq.0);
    assert_eq!(item["epoch"], frame.epoch.0);
    assert_eq!(item["prev"].as_u64().unwrap_or(0), frame.prev.0);
}

fn serve(client: &mut Client, since: Since, hub: &Hub, scratch: &mut Scratch, now: Nanos) {
    let mut out = Vec::new();
    let ask = Ask { key: client.key, since, always: true, bare: false };
    let Served::Frame { head_len, .. } = hub.serve(&ask, now, scratch, &mut out) else {
        panic!("an ask that is always answered was not")
    };
    let verdict = client.follower.take(&out[head_len as usize..]);
    assert_ne!(verdict, Verdict::AskAgain, "the answer to a since must fit it");
}

fn take(client: &mut Client, message: &[u8], hub: &Hub, scratch: &mut Scratch, now: Nanos) {
    if client.follower.take(message) == Verdict::AskAgain {
        let since = client.follower.since();
        serve(client, since, hub, scratch, now);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn whoever_follows_the_rule_ends_with_the_publishers_state(
        ops in prop::collection::vec((0u8..13, any::<u16>(), any::<u16>().prop_map(|b| b / 2)), 1..250)
    ) {
        let mut world = World::new();
        for op in ops {
            world.step(op);
        }
        world.judge()?;
    }
}
