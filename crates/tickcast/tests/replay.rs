//! Every recording through the real binary: what subscribers and REST see in the end is what an
//! independent replay with plain dictionaries ended with.

mod service;

use serde_json::Value;
use service::{PATIENCE, Service, Socket};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Instant;
use tickcast_market::Decimal;

/// What a subscriber of `book` and `trades` holds of one instrument, kept by the client's rule
/// with plain maps.
#[derive(Debug, Default)]
struct Held {
    book: Stream,
    bids: BTreeMap<String, String>,
    asks: BTreeMap<String, String>,
    checksum: u64,
    trades: Stream,
    /// The trades that were seen, by their dense seq.
    seen: BTreeSet<u64>,
    state: String,
}

#[derive(Debug, Default)]
struct Stream {
    epoch: u64,
    seq: u64,
}

impl Stream {
    /// Whether the rule lets this item be applied.
    fn admits(&mut self, is_snapshot: bool, item: &Value) -> bool {
        let number = |key: &str| item[key].as_u64().unwrap_or_else(|| panic!("{key}: {item}"));
        let (epoch, seq) = (number("epoch"), number("seq"));
        if is_snapshot {
            assert!(epoch >= self.epoch, "an older epoch: {item}");
        } else {
            if epoch < self.epoch || seq <= self.seq {
                return false;
            }
            assert!(epoch == self.epoch && number("prev") <= self.seq, "a gap: {self:?}, {item}");
        }
        (self.epoch, self.seq) = (epoch, seq);
        true
    }
}

impl Held {
    fn take(&mut self, channel: &str, is_snapshot: bool, item: &Value) {
        match channel {
            "status" => item["state"].as_str().expect("a state").clone_into(&mut self.state),
            "book" => {
                if !self.book.admits(is_snapshot, item) {
                    return;
                }
                if is_snapshot {
                    self.bids.clear();
                    self.asks.clear();
                }
                for (side, levels) in [("bids", &mut self.bids), ("asks", &mut self.asks)] {
                    for level in item[side].as_array().expect("levels") {
                        let (price, size) = (level[0].as_str(), level[1].as_str());
                        let (price, size) = (price.expect("a price"), size.expect("a size"));
                        if size == "0" {
                            levels.remove(price);
                        } else {
                            levels.insert(price.to_owned(), size.to_owned());
                        }
                    }
                }
                self.checksum = item["checksum"].as_u64().expect("a checksum");
            }
            "trades" => {
                let before = self.trades.seq;
                if !self.trades.admits(is_snapshot, item) {
                    return;
                }
                for trade in item["trades"].as_array().expect("trades") {
                    let seq = trade["seq"].as_u64().expect("a seq");
                    if seq > before {
                        self.seen.insert(seq);
                    }
                }
            }
            other => panic!("nobody subscribed to {other}"),
        }
    }

    /// A side as numbers, best first.
    fn levels(&self, side: &str) -> Vec<(Decimal, Decimal)> {
        let mut levels: Vec<_> = match side {
            "bids" => self.bids.iter(),
            _ => self.asks.iter(),
        }
        .map(|(price, size)| (number(price), number(size)))
        .collect();
        levels.sort_by(|(a, _), (b, _)| compare(*a, *b));
        if side == "bids" {
            levels.reverse();
        }
        levels
    }
}

/// Decimal text as the number that it means: equal numbers are equal values.
fn number(text: &str) -> Decimal {
    Decimal::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}")).trimmed()
}

fn compare(a: Decimal, b: Decimal) -> std::cmp::Ordering {
    let scale = a.scale.max(b.scale);
    a.at(scale).expect("it fits").cmp(&b.at(scale).expect("it fits"))
}

fn levels(side: &Value) -> Vec<(Decimal, Decimal)> {
    let text = |value: &Value| number(value.as_str().expect("decimal text"));
    side.as_array().expect("levels").iter().map(|l| (text(&l[0]), text(&l[1]))).collect()
}

fn take(held: &mut BTreeMap<String, Held>, text: &str) {
    let message: Value = serde_json::from_str(text).expect("a message is JSON");
    let channel = message["channel"].as_str().unwrap_or_default();
    if message["success"] == false {
        panic!("{text}");
    }
    let Some(items) = message["data"].as_array().filter(|_| channel != "system") else { return };
    for item in items {
        let symbol = item["symbol"].as_str().expect("a symbol");
        let of = held.entry(symbol.to_owned()).or_default();
        of.take(channel, message["type"] == "snapshot", item);
    }
}

/// Replays one recording for one subscriber and compares.
fn check(name: &str) {
    let Some(feeds) = service::feeds() else { return };
    let folder = feeds.join("recordings");
    let expected = std::fs::read_to_string(folder.join("EXPECTED.json")).expect("readable");
    let expected: Value = serde_json::from_str(&expected).expect("JSON");
    let expected = &expected[name];
    let venue = expected["venue"].as_str().expect("a venue");
    let file = folder.join(name);
    let service = start(&file);

    let mut socket = service.websocket();
    for channel in ["trades", "book"] {
        socket.send(&format!(
            r#"{{"method":"subscribe","params":{{"channel":"{channel}","symbol":"{venue}:*"}}}}"#
        ));
    }
    let symbols = expected["symbols"].as_object().expect("symbols");
    let mut held = BTreeMap::new();
    let names = until_over(&service, &mut socket, &mut held, symbols.keys());

    for (venue_symbol, truth) in symbols {
        let symbol = &names[venue_symbol];
        let of = &held[symbol];
        assert_eq!(of.state, "stale", "{symbol} at the end of a recording");
        let snapshot = service.json(&format!("/v1/snapshot?channel=book&depth=10&symbol={symbol}"));
        let item = &snapshot["data"][0];
        for side in ["bids", "asks"] {
            assert_eq!(levels(&item[side]), levels(&truth[side]), "{symbol} {side} over REST");
            assert_eq!(of.levels(side), levels(&truth[side]), "{symbol} {side} of a subscriber");
        }
        assert_eq!(item["checksum"], of.checksum, "{symbol}");
        assert_eq!(item["seq"], of.book.seq, "{symbol}");
        if let Some(trades) = truth["trades"].as_u64() {
            let missed = (1..=of.trades.seq).filter(|seq| !of.seen.contains(seq)).count() as u64;
            assert_eq!(of.seen.len() as u64 + missed, trades, "{symbol} trades, {missed} missed");
        }
        if let Some(right) = truth["checksums_ok"].as_u64() {
            let books = service.metric("tickcast_feed_messages_total", "kind=\"book\"");
            let wrong = service.metric("tickcast_feed_checksum_failures_total", "");
            assert_eq!((books as u64, wrong as u64), (right, 0), "{symbol}");
            assert_eq!(item["checksum"], truth["last_checksum"], "{symbol}");
        }
    }
    assert_eq!(service.metric("tickcast_feed_decode_errors_total", ""), 0.0);
}

fn start(file: &Path) -> Service {
    let file = file.to_str().expect("a path of text");
    Service::start(&["--replay", file, "--replay-speed", "max", "--replay-wait"])
}

/// Reads until the recording is over and the subscriber holds what REST shows. The names of the
/// venue's symbols.
fn until_over<'a>(
    service: &Service,
    socket: &mut Socket,
    held: &mut BTreeMap<String, Held>,
    wanted: impl Iterator<Item = &'a String>,
) -> BTreeMap<String, String> {
    let wanted: Vec<&String> = wanted.collect();
    let deadline = Instant::now() + PATIENCE;
    loop {
        while let Some(text) = socket.next() {
            take(held, &text);
        }
        assert!(Instant::now() < deadline, "the recording does not end: {:?}", service.log());
        let mut names = BTreeMap::new();
        for instrument in service.json("/v1/instruments")["instruments"].as_array().expect("a list")
        {
            let text = |key: &str| instrument[key].as_str().expect("text").to_owned();
            names.insert(text("venue_symbol"), text("symbol"));
        }
        let is_over = wanted.iter().all(|symbol| {
            names.get(*symbol).and_then(|name| held.get(name)).is_some_and(|of| of.state == "stale")
        });
        if is_over && socket.next().is_none() {
            return names;
        }
    }
}

macro_rules! recordings {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                check(concat!(stringify!($name), ".rec.gz"));
            }
        )*
    };
}

recordings! {
    binance_3sym_91s
    binance_4sym_30s
    binance_btcusdt_650s
    binance_ethusdt_650s
    coinbase_advanced_2sym_24s
    coinbase_exchange_10sym_31s
    coinbase_exchange_2sym_10s
    kraken_btcusd_d10_resub_60s
    kraken_btcusd_d25_51s
    kraken_ethusd_d25_39s
}
