//! Bytes of an update, WebSocket header included: JSON, JSON compressed, protobuf; on the recorded
//! markets, through the service's own handlers, publisher, encoders and compressor.
//!
//! `cargo bench -p tickcast-benches --bench bytes`. Counts, not times: they repeat. Every record
//! is played at the moment at which it was received, and each change is sent at once, to a
//! real-time subscriber of the whole ticker, the ten best levels, and the trades.
//!
//! "deflate" is `permessage-deflate` as the service speaks it (each message for itself) applied to
//! every message that it makes shorter; the service itself leaves messages below 1 KiB plain, since
//! what it saves of them is less than it costs.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use tickcast_benches::recordings;
use tickcast_feed::{InboxSender, Outlet, Replay, ReplaySpeed, handler_of};
use tickcast_gateway::{Deflater, Opcode};
use tickcast_market::{Directory, InstrumentIndex, Seq, SourceIndex};
use tickcast_publisher::{
    Config, Partition, Publisher, Resync, ShardFeed, ShardIndex, Tier, Tiers, TopicId, TopicKey,
};
use tickcast_wire::{Channel, Depth, Encoding, FieldSet, ProtobufReader, View};

/// Recordings with a share of every venue, and what their table is called.
const RECORDINGS: [(&str, &str); 4] = [
    ("Binance BTCUSDT", "binance_btcusdt_650s"),
    ("Coinbase Advanced", "coinbase_advanced_2sym_24s"),
    ("Coinbase Exchange, 10 symbols", "coinbase_exchange_10sym_31s"),
    ("Kraken BTC/USD", "kraken_btcusd_d25_51s"),
];

const VIEWS: [View; 3] = [View::Ticker, View::Book(Depth::TEN), View::Trades];

/// Of the ticker: with the header, and beside JSON.
const TICKER_BYTES_GOAL: usize = 40;
const JSON_SHARE_GOAL: f64 = 0.25;

/// The lengths of one channel's updates.
#[derive(Default)]
struct Lengths {
    json: Vec<usize>,
    deflate: Vec<usize>,
    protobuf: Vec<usize>,
}

/// A partition, its one shard, and the feed that it is given.
struct World {
    partition: Partition,
    feed: ShardFeed,
    hub: Arc<tickcast_publisher::Hub>,
    directory: Arc<Directory>,
    /// By the topic's slot.
    topics: BTreeMap<u32, (TopicId, TopicKey)>,
    acquired: usize,
    deflater: Deflater,
    reader: ProtobufReader,
    lengths: BTreeMap<Channel, Lengths>,
    /// The JSON of the update that protobuf's is to be compared with.
    pending: BTreeMap<(InstrumentIndex, View), (Seq, Vec<u8>)>,
}

impl World {
    fn new(directory: Arc<Directory>) -> World {
        let config = Config {
            run: 1_780_000_000,
            tiers: Tiers::default(),
            partitions: 1,
            wakes: vec![Arc::new(|| {})],
            resync: Resync(Arc::new(|_| true)),
        };
        let mut publisher = Publisher::new(config, directory.clone());
        World {
            partition: publisher.partitions.remove(0),
            feed: publisher.feeds.remove(0),
            hub: publisher.hub,
            directory,
            topics: BTreeMap::new(),
            acquired: 0,
            deflater: Deflater::new(),
            reader: ProtobufReader::new(),
            lengths: BTreeMap::new(),
            pending: BTreeMap::new(),
        }
    }

    /// Asks for the topics of instruments that have appeared.
    fn acquire(&mut self) {
        while self.acquired < self.directory.len() {
            let instrument = InstrumentIndex(self.acquired as u32);
            for view in VIEWS {
                for encoding in Encoding::ALL {
                    let (tier, fields) = (Tier(0), FieldSet::ALL);
                    let key = TopicKey { instrument, view, tier, fields, encoding };
                    let acquired = self.hub.acquire(ShardIndex(0), &key);
                    let (id, _) = acquired.expect("the directory has it");
                    self.topics.insert(id.slot, (id, key));
                }
            }
            self.acquired += 1;
        }
    }

    /// Takes the frames of a turn: JSON's are compressed, protobuf's must say the same.
    fn take(&mut self) {
        while let Some(batch) = self.feed.try_next() {
            for frame in &batch.frames {
                let (_, key) = self.topics[&frame.topic.slot];
                let message = batch.message(frame);
                let place = (key.instrument, key.view);
                match key.encoding {
                    Encoding::Json => {
                        self.pending.insert(place, (frame.seq, message.to_vec()));
                    }
                    Encoding::Protobuf => {
                        let said = self.reader.read(message).expect("it is ours");
                        let (seq, json) = self.pending.remove(&place).expect("JSON's came before");
                        assert_eq!((seq, &*json), (frame.seq, said), "both say the same");
                        if frame.prev != Seq(0) {
                            self.count(key.view.channel(), &json, batch.websocket(frame).len());
                        }
                    }
                }
            }
        }
    }

    fn count(&mut self, channel: Channel, json: &[u8], protobuf: usize) {
        let mut framed = Vec::new();
        tickcast_gateway::write_frame(&mut framed, Opcode::Text, json);
        let mut compressed = Vec::new();
        let is_shorter = self.deflater.write_frame(&mut compressed, Opcode::Text, json);
        let lengths = self.lengths.entry(channel).or_default();
        lengths.json.push(framed.len());
        lengths.deflate.push(if is_shorter { compressed.len() } else { framed.len() });
        lengths.protobuf.push(protobuf);
    }
}

fn play(path: &Path) -> BTreeMap<Channel, Lengths> {
    let open = |venue| handler_of(venue, &tickcast_feed::VenueConfig::default());
    let mut replay = Replay::open(path, ReplaySpeed::Max, open).expect("a recording");
    let directory = Arc::new(Directory::default());
    let (inbox, batches, _recycled) = InboxSender::bounded(64);
    let mut outlet = Outlet::to_inboxes(SourceIndex(0), directory.clone(), &[inbox]);
    let mut world = World::new(directory);
    while replay.next_due().is_some() {
        replay.step(replay.clock(), &mut outlet);
        world.acquire();
        outlet.flush_blocking(replay.clock()).expect("the inbox is there");
        let taken: Vec<_> = batches.try_iter().collect();
        world.partition.turn(replay.clock(), &taken);
        world.take();
    }
    world.lengths
}

fn median(lengths: &[usize]) -> usize {
    let mut sorted = lengths.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or(0)
}

fn mean(lengths: &[usize]) -> f64 {
    lengths.iter().sum::<usize>() as f64 / lengths.len().max(1) as f64
}

fn main() {
    let Some(folder) = recordings() else {
        println!("SKIPPED: no recordings (TICKCAST_FEEDS)");
        return;
    };
    println!(
        "| recording | channel | updates | JSON | JSON, deflate | protobuf | protobuf ÷ JSON |"
    );
    println!("|---|---|---|---|---|---|---|");
    let mut tickers = Lengths::default();
    for (title, name) in RECORDINGS {
        for (channel, lengths) in play(&folder.join(format!("{name}.rec.gz"))) {
            let Lengths { json, deflate, protobuf } = &lengths;
            println!(
                "| {title} | {} | {} | {} ({:.0}) | {} ({:.0}) | {} ({:.0}) | {:.0} % |",
                channel.name(),
                json.len(),
                median(json),
                mean(json),
                median(deflate),
                mean(deflate),
                median(protobuf),
                mean(protobuf),
                100.0 * mean(protobuf) / mean(json),
            );
            if channel == Channel::Ticker {
                tickers.json.extend(json);
                tickers.protobuf.extend(protobuf);
            }
        }
    }
    let (typical, share) =
        (median(&tickers.protobuf), mean(&tickers.protobuf) / mean(&tickers.json));
    println!();
    println!(
        "goal: a typical (median) ticker update has {typical} bytes, at most {TICKER_BYTES_GOAL}: {}",
        if typical <= TICKER_BYTES_GOAL { "reached" } else { "missed" }
    );
    println!(
        "goal: {:.1} % of JSON's bytes, at most {:.0} %: {}",
        100.0 * share,
        100.0 * JSON_SHARE_GOAL,
        if share <= JSON_SHARE_GOAL { "reached" } else { "missed" }
    );
}
