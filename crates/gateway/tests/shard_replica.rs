//! A shard that serves replicas: subscriptions to a stream that this process has not been told of yet.

mod shard_kit;

use serde_json::json;
use shard_kit::World;
use std::sync::Arc;
use tickcast_gateway::{Shard, ShardSettings};
use tickcast_market::{Directory, EventBody, InstrumentIndex, Nanos, Price, Side, Size, Trade};
use tickcast_publisher::{
    Config, Hub, Interest, Publisher, Replica, Resync, Scratch, ShardIndex, Tier, Tiers, TopicKey,
};
use tickcast_wire::{Encoding, FieldSet, ProtobufReader, View};

/// A publisher's world whose shard is another process's, which holds replicas.
struct Behind {
    world: World,
    publisher: Arc<Hub>,
    replica: Replica,
    instrument: InstrumentIndex,
}

impl Behind {
    fn new() -> Behind {
        let mut world = World::new();
        let instrument = world.instruments(1)[0];
        let config = Config {
            run: 1,
            tiers: Tiers::default(),
            partitions: 1,
            wakes: vec![Arc::new(|| ())],
            resync: Resync(Arc::new(|_| true)),
        };
        let directory = Arc::new(Directory::default());
        directory.add(&world.directory.get(instrument).expect("it was added").spec);
        directory.set_complete();
        let interest = Arc::new(Interest::new(Arc::new(|| ())));
        let (hub, replica, mut feeds) = Publisher::replica(config, directory, interest);
        world.shard = Shard::new(
            hub.clone(),
            ShardIndex(0),
            feeds.remove(0),
            ShardSettings::default(),
            &world.metrics,
            world.open.clone(),
            7,
        );
        let publisher = std::mem::replace(&mut world.hub, hub);
        Behind { world, publisher, replica, instrument }
    }

    fn trade(&mut self, id: u64) {
        let trade = Trade {
            id,
            price: Price(100),
            size: Size(1),
            side: Side::Buy,
            ts_event: Nanos::from_secs(1),
        };
        self.world.event(self.instrument, EventBody::Trades(&[trade]));
    }

    /// The replica is told of the trades.
    fn tell(&mut self) {
        let key = TopicKey {
            instrument: self.instrument,
            view: View::Trades,
            tier: Tier(0),
            fields: FieldSet::ALL,
            encoding: Encoding::Protobuf,
        };
        let (mut scratch, mut message) = (Scratch::default(), Vec::new());
        let now = self.world.now;
        self.publisher.whole(&key, now, &mut scratch, &mut message).expect("it is known");
        let mut reader = ProtobufReader::new();
        let (told, _) = reader.read_pieces(&message).expect("a message").expect("a snapshot");
        self.replica.adopt(self.instrument, told, now).expect("it is known");
        self.replica.turn(now);
        self.world.settle();
    }
}

#[test]
fn trades_without_a_snapshot_begin_at_the_present_also_where_nothing_is_known_yet() {
    let mut behind = Behind::new();
    (1..=2).for_each(|id| behind.trade(id));
    let (mut bare, mut whole) = (behind.world.connect(), behind.world.connect());
    bare.subscribe(json!({"channel": "trades", "symbol": "sim:S0", "snapshot": false}));
    whole.subscribe(json!({"channel": "trades", "symbol": "sim:S0"}));
    behind.world.settle();
    let trades = |got: &[serde_json::Value]| -> Vec<(usize, u64)> {
        let of_trades = got.iter().filter(|message| message["channel"] == "trades");
        of_trades
            .map(|message| &message["data"][0])
            .map(|item| (item["trades"].as_array().unwrap().len(), item["seq"].as_u64().unwrap()))
            .collect()
    };
    assert_eq!(trades(&bare.messages()), [], "nothing is known yet");
    behind.tell();
    assert_eq!(trades(&bare.messages()), [(0, 2)]);
    assert_eq!(trades(&whole.messages()), [(2, 2)]);
    // From then on both get the same.
    behind.trade(3);
    behind.tell();
    for client in [&mut bare, &mut whole] {
        let got = trades(&client.messages());
        assert_eq!(got.last().map(|(_, seq)| *seq), Some(3), "{got:?}");
    }
}
