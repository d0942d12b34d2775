//! A replica that is told of a publisher's streams over a line that loses messages ends with the
//! publisher's state, and so does whoever follows the replica by the client's rule.

mod follower;
mod market;

use follower::{Follower, Verdict};
use proptest::prelude::*;
use std::sync::Arc;
use tickcast_market::{
    BookChange, Directory, Epoch, EventBody, InstrumentIndex, InstrumentSpec, Interval, Nanos,
    Price, Quote, Scales, Since, Size, TradingState, Venue,
};
use tickcast_publisher::{
    Adopted, Ask, Config, Hub, Interest, Partition, Publisher, Replica, Resync, Scratch, Served,
    ShardFeed, ShardIndex, Tier, Tiers, TopicId, TopicKey,
};
use tickcast_wire::{DEPTHS, Depth, Encoding, FieldSet, ProtobufReader, View};

const SHARD: ShardIndex = ShardIndex(0);
const START: Nanos = Nanos::from_secs(1_770_000_000);

/// What travels.
const CARRIED: [View; 4] =
    [View::Ticker, View::Trades, View::Book(Depth::DEEPEST), View::Bars(Interval::S1)];

/// Loses nothing on the way to the gateway, and no client of it misses anything.
const NOTHING_LOST: u16 = 27;

/// One step: what to do, and two numbers that say how.
type Op = (u8, u16, u16);

fn config(run: u64) -> Config {
    Config {
        run,
        tiers: Tiers::default(),
        partitions: 1,
        wakes: vec![Arc::new(|| {})],
        resync: Resync(Arc::new(|_| true)),
    }
}

fn spec() -> InstrumentSpec {
    InstrumentSpec {
        venue: Venue::Sim,
        symbol: "S0-USD".into(),
        venue_symbol: "S0".into(),
        tick_size: None,
        lot_size: None,
        scales: Scales { price: 1, size: 0, volume: 0 },
    }
}

const fn key(instrument: InstrumentIndex, view: View, encoding: Encoding) -> TopicKey {
    TopicKey { instrument, view, tier: Tier(0), fields: FieldSet::ALL, encoding }
}

/// Whoever is connected to the gateway.
struct Client {
    key: TopicKey,
    id: TopicId,
    follower: Follower,
}

struct World {
    instrument: InstrumentIndex,
    now: Nanos,
    scales: Scales,
    trade_id: u64,
    hub: Arc<Hub>,
    partition: Partition,
    feed: ShardFeed,
    /// Each stream that travels, and its topic.
    carried: Vec<(View, TopicId)>,
    reader: ProtobufReader,
    replicas: Arc<Hub>,
    replica: Replica,
    gateway_feed: ShardFeed,
    clients: Vec<Client>,
    scratch: Scratch,
}

impl World {
    fn new() -> World {
        let directory = Arc::new(Directory::default());
        let instrument = directory.add(&spec());
        let mut publisher = Publisher::new(config(7), directory);
        let hub = publisher.hub;
        let carried = CARRIED.map(|view| {
            let key = key(instrument, view, Encoding::Protobuf);
            (view, hub.acquire(SHARD, &key).expect("a known instrument").0)
        });
        let directory = Arc::new(Directory::default());
        directory.add(&spec());
        let interest = Arc::new(Interest::new(Arc::new(|| {})));
        let (replicas, replica, mut gateway_feeds) =
            Publisher::replica(config(1_770_000_000), directory, interest);
        let depths = DEPTHS.map(|levels| View::Book(Depth::new(levels).expect("it is offered")));
        let views = CARRIED.into_iter().filter(|view| !matches!(view, View::Book(_)));
        let clients = views.chain(depths).map(|view| {
            let key = key(instrument, view, Encoding::Json);
            let (id, _) = replicas.acquire(SHARD, &key).expect("a known instrument");
            Client { key, id, follower: Follower::default() }
        });
        World {
            instrument,
            now: START,
            scales: Scales { price: 1, size: 0, volume: 0 },
            trade_id: 0,
            partition: publisher.partitions.remove(0),
            feed: publisher.feeds.remove(0),
            carried: carried.to_vec(),
            reader: ProtobufReader::new(),
            clients: clients.collect(),
            replica,
            gateway_feed: gateway_feeds.remove(0),
            hub,
            replicas,
            scratch: Scratch::default(),
        }
    }

    fn event(&mut self, body: EventBody<'_>) {
        let batch = market::batch(self.instrument, self.now, self.scales, body);
        self.partition.turn(self.now, &[batch]);
    }

    fn change(&self, a: u16, b: u16) -> BookChange {
        // More of them than the deepest view has.
        market::change((a, b), 1000, 700, self.scales)
    }

    fn step(&mut self, (what, a, b): Op) {
        match what {
            0..=2 => {
                let changes = [self.change(a, b), self.change(b, a), self.change(a ^ b, a)];
                self.event(EventBody::BookUpdate(&changes));
            }
            3 => {
                let levels: Vec<_> =
                    (0..900).map(|i| self.change(a.wrapping_add(i), b + i)).collect();
                self.event(EventBody::BookSnapshot(&levels));
            }
            4 => self.event(EventBody::Quote(market::quote(a, b))),
            5 | 6 => self.trades(a, b),
            7 if a.is_multiple_of(16) && self.scales.price < 6 => self.scales.price += 1,
            7 | 8 => self.now = self.now.plus(Nanos::from_millis(i64::from(a % 3000))),
            9 if a.is_multiple_of(32) => {
                // Another publisher would begin so.
                let run = self.hub.whole(
                    &key(self.instrument, View::Ticker, Encoding::Protobuf),
                    self.now,
                    &mut self.scratch,
                    &mut Vec::new(),
                );
                let run = run.map_or(0, |(since, _)| since.epoch.0 / Epoch::PER_RUN);
                self.hub.begin_run(Epoch::first_of_run(run + 1));
            }
            9 => self.replica.forget(self.instrument, CARRIED[usize::from(b) % CARRIED.len()]),
            _ => self.relay(a),
        }
    }

    fn trades(&mut self, a: u16, b: u16) {
        let count = if a.is_multiple_of(64) { 1_100 } else { u64::from(a % 4) + 1 };
        let trades = market::trades(count, self.trade_id, b, self.now);
        self.trade_id += count;
        self.event(EventBody::Trades(&trades));
    }

    /// What was published travels, but for what is lost; what is missed is asked for.
    fn relay(&mut self, lost: u16) {
        let mut number = lost;
        while let Some(batch) = self.feed.try_next() {
            for frame in &batch.frames {
                number = number.wrapping_mul(31).wrapping_add(17);
                if number % 5 < lost % 3 {
                    continue;
                }
                let carried = self.carried.iter().find(|(_, id)| *id == frame.topic);
                let (view, _) = *carried.expect("only those are listened to");
                let told = self.reader.read_pieces(batch.message(frame)).expect("a message");
                let adopted = told
                    .and_then(|(told, _)| self.replica.adopt(self.instrument, told, frame.ts_recv));
                // Without its opening, or with a gap before it.
                if matches!(adopted, None | Some(Adopted::Gap(_))) {
                    self.ask(view);
                }
            }
        }
        self.serve_clients(usize::from(lost / 3) % (2 * self.clients.len()));
    }

    /// `diff(since)` over the line, as a publisher answers it.
    fn ask(&mut self, view: View) {
        let since = self.replica.held(self.instrument, view);
        let key = key(self.instrument, view, Encoding::Protobuf);
        let ask = Ask { key, since, always: true, bare: false };
        let mut message = Vec::new();
        let served = self.hub.serve(&ask, self.now, &mut self.scratch, &mut message);
        let Served::Frame { prev, head_len, .. } = served else { panic!("it is always answered") };
        if prev.0 == 0 {
            message.clear();
            self.hub.whole(&key, self.now, &mut self.scratch, &mut message).expect("it is known");
        } else {
            message.drain(..usize::from(head_len));
        }
        let told = self.reader.read_pieces(&message).expect("a message");
        let (told, _) = told.expect("an answer says what its number stands for");
        let adopted = self.replica.adopt(self.instrument, told, self.now);
        assert!(!matches!(adopted, Some(Adopted::Gap(_))), "{view:?}: an answer fits: {adopted:?}");
    }

    /// The gateway's clients get every frame but one that misses them; it asks when it notices.
    fn serve_clients(&mut self, misses: usize) {
        self.replica.turn(self.now);
        while let Some(batch) = self.gateway_feed.try_next() {
            for frame in &batch.frames {
                let is_theirs = |(number, client): &(usize, &mut Client)| {
                    *number != misses && client.id == frame.topic
                };
                let mut lacking = Vec::new();
                for (number, client) in self.clients.iter_mut().enumerate().filter(is_theirs) {
                    if client.follower.take(batch.message(frame)) == Verdict::AskAgain {
                        lacking.push(number);
                    }
                }
                lacking.into_iter().for_each(|number| self.pull(number));
            }
        }
    }

    /// A client asks the gateway for what it missed.
    fn pull(&mut self, number: usize) {
        let client = &mut self.clients[number];
        let since = client.follower.since();
        let ask = Ask { key: client.key, since, always: true, bare: false };
        let mut message = Vec::new();
        let served = self.replicas.serve(&ask, self.now, &mut self.scratch, &mut message);
        // Awaited: its frame is to come.
        let Served::Frame { head_len, .. } = served else { return };
        let verdict = client.follower.take(&message[usize::from(head_len)..]);
        assert_ne!(verdict, Verdict::AskAgain, "{:?}: an answer fits", client.key.view);
    }

    fn item(hub: &Hub, key: &TopicKey, now: Nanos, scratch: &mut Scratch) -> serde_json::Value {
        let mut item = Vec::new();
        assert!(hub.item(key, now, scratch, &mut item), "{:?} has been told", key.view);
        serde_json::from_slice(&item).expect("an item is JSON")
    }

    /// After one more question for each stream replicas and their clients hold what the publisher holds.
    fn judge(&mut self) -> Result<(), TestCaseError> {
        self.relay(NOTHING_LOST);
        for view in CARRIED {
            self.ask(view);
        }
        self.serve_clients(usize::MAX);
        (0..self.clients.len()).for_each(|number| self.pull(number));
        let state = self.hub.status(self.instrument).map(|status| status.state);
        self.replica.set_state(self.instrument, state.unwrap_or(TradingState::Resync), self.now);
        for client in &self.clients {
            let mut truth = World::item(&self.hub, &client.key, self.now, &mut self.scratch);
            let told = World::item(&self.replicas, &client.key, self.now, &mut self.scratch);
            // What is behind the deepest view does not travel, and its changes have seqs too.
            if let View::Book(_) = client.key.view {
                truth["seq"] = told["seq"].clone();
                truth["ts_event"] = told["ts_event"].clone();
            }
            prop_assert_eq!(&told, &truth, "{:?}", client.key.view);
            let held = client.follower.equals(&told);
            prop_assert!(held.is_ok(), "{:?}: {held:?}", client.key.view);
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_replica_ends_with_the_publishers_state(
        ops in prop::collection::vec((0u8..13, any::<u16>(), any::<u16>().prop_map(|b| b / 2)), 1..120)
    ) {
        let mut world = World::new();
        for op in ops {
            world.step(op);
        }
        world.judge()?;
    }
}

#[test]
fn an_awaited_stream_answers_nothing_and_its_first_frame_is_the_snapshot() {
    let mut world = World::new();
    let ticker = key(world.instrument, View::Ticker, Encoding::Json);
    let ask = |bare| Ask { key: ticker, since: Since::NOTHING, always: true, bare };
    let mut out = Vec::new();
    for bare in [false, true] {
        let served = world.replicas.serve(&ask(bare), START, &mut world.scratch, &mut out);
        assert_eq!((served, out.len()), (Served::Nothing, 0));
    }
    assert!(!world.replicas.is_told(world.instrument, View::Ticker));
    assert!(!world.replicas.item(&ticker, START, &mut world.scratch, &mut out));
    world.event(EventBody::Quote(Quote { bid: Some((Price(1), Size(1))), ask: None }));
    world.relay(NOTHING_LOST);
    assert!(world.replicas.is_told(world.instrument, View::Ticker));
    let client = world.clients.iter().find(|client| client.key == ticker).expect("a client");
    assert_eq!(client.follower.since(), world.replica.held(world.instrument, View::Ticker));
    assert_eq!(client.follower.since().epoch, Epoch::first_of_run(7), "the publisher's own");
}

#[test]
fn what_changed_before_a_replicas_snapshot_is_answered_with_a_snapshot() {
    let mut world = World::new();
    for price in [1, 2] {
        let bid = Some((Price(price), Size(1)));
        world.event(EventBody::Quote(Quote { bid, ask: None }));
        world.trades(1, 5);
        world.relay(NOTHING_LOST);
    }
    for view in [View::Ticker, View::Bars(Interval::S1), View::Book(Depth::DEEPEST)] {
        world.replica.forget(world.instrument, view);
        world.ask(view);
        let held = world.replica.held(world.instrument, view);
        let key = key(world.instrument, view, Encoding::Json);
        for (seq, is_update) in
            [(held.seq.0.saturating_sub(1), false), (held.seq.0, held.seq.0 > 0)]
        {
            let since = Since { seq: tickcast_market::Seq(seq), ..held };
            let ask = Ask { key, since, always: true, bare: false };
            let served = world.replicas.serve(&ask, START, &mut world.scratch, &mut Vec::new());
            let Served::Frame { prev, .. } = served else { panic!("it is always answered") };
            assert_eq!(prev.0 > 0, is_update, "{view:?} since {seq}, held {held:?}");
        }
    }
}
