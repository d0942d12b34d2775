//! A subscriber of `book` and `trades` that knows the client's rule and nothing else, and what an
//! independent replay of the recordings ended with.

// Each test binary uses its own part of this.
#![allow(dead_code)]

use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use tickcast_market::Decimal;

/// What a recording ends with.
pub(crate) struct Expected {
    pub(crate) venue: String,
    /// By the venue's symbol: best ten levels a side, trades, checksums.
    pub(crate) symbols: Map<String, Value>,
}

impl Expected {
    /// Of the recording of that name.
    pub(crate) fn of(feeds: &Path, name: &str) -> Expected {
        let text = std::fs::read_to_string(feeds.join("recordings/EXPECTED.json")).expect("text");
        let all: Value = serde_json::from_str(&text).expect("JSON");
        let recording = &all[name];
        Expected {
            venue: recording["venue"].as_str().expect("a venue").to_owned(),
            symbols: recording["symbols"].as_object().expect("symbols").clone(),
        }
    }
}

/// What a subscriber of `book` and `trades` holds of one instrument, kept by the client's rule
/// with plain maps.
#[derive(Debug, Default)]
pub(crate) struct Held {
    pub(crate) book: Stream,
    pub(crate) bids: BTreeMap<String, String>,
    pub(crate) asks: BTreeMap<String, String>,
    pub(crate) checksum: u64,
    pub(crate) trades: Stream,
    /// The trades that were seen, by their dense seq.
    pub(crate) seen: BTreeSet<u64>,
    pub(crate) state: String,
    /// Every state that it has been told of, in order.
    pub(crate) states: Vec<String>,
}

#[derive(Debug, Default)]
pub(crate) struct Stream {
    epoch: u64,
    pub(crate) seq: u64,
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
            "status" => {
                item["state"].as_str().expect("a state").clone_into(&mut self.state);
                self.states.push(self.state.clone());
            }
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
    pub(crate) fn levels(&self, side: &str) -> Vec<(Decimal, Decimal)> {
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

pub(crate) fn levels(side: &Value) -> Vec<(Decimal, Decimal)> {
    let text = |value: &Value| number(value.as_str().expect("decimal text"));
    side.as_array().expect("levels").iter().map(|l| (text(&l[0]), text(&l[1]))).collect()
}

pub(crate) fn take(held: &mut BTreeMap<String, Held>, text: &str) {
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
