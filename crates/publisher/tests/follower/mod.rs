//! A client as `PROTOCOL.md` describes it, made of JSON values and nothing else.

use serde_json::{Map, Value};
use std::collections::BTreeMap;
use tickcast_market::{Epoch, Seq, Since};

/// What the rule says of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Applied,
    Ignored,
    AskAgain,
}

/// What it holds of one stream.
#[derive(Debug, Default)]
pub(crate) struct Follower {
    epoch: u64,
    seq: u64,
    fields: Map<String, Value>,
    levels: BTreeMap<(String, String), Value>,
    checksum: Value,
    trades: BTreeMap<u64, Value>,
    bars: BTreeMap<u64, Value>,
}

/// Keys that are no ticker fields.
const FRAME_KEYS: [&str; 8] =
    ["symbol", "epoch", "seq", "prev", "state", "ts_event", "ts_publish", "depth"];

impl Follower {
    pub(crate) fn since(&self) -> Since {
        Since { epoch: Epoch(self.epoch), seq: Seq(self.seq) }
    }

    pub(crate) fn take(&mut self, message: &[u8]) -> Verdict {
        let message: Value = serde_json::from_slice(message).expect("a message is JSON");
        let item = message["data"][0].as_object().expect("one data item");
        let (epoch, seq) = (number(item, "epoch"), number(item, "seq"));
        if message["type"] == "snapshot" {
            if epoch < self.epoch {
                return Verdict::Ignored;
            }
            *self = Follower { epoch, ..Follower::default() };
        } else {
            if epoch < self.epoch || epoch == self.epoch && seq <= self.seq {
                // It may still say that this client is up to date; there is nothing to apply.
                return Verdict::Ignored;
            }
            if epoch != self.epoch || number(item, "prev") > self.seq {
                return Verdict::AskAgain;
            }
        }
        self.apply(message["channel"].as_str().expect("a channel"), item);
        self.seq = seq;
        Verdict::Applied
    }

    fn apply(&mut self, channel: &str, item: &Map<String, Value>) {
        match channel {
            "ticker" => {
                let fields = item.iter().filter(|(key, _)| !FRAME_KEYS.contains(&key.as_str()));
                self.fields.extend(fields.map(|(key, value)| (key.clone(), value.clone())));
            }
            "book" => {
                for side in ["bids", "asks"] {
                    for level in item[side].as_array().expect("levels") {
                        let key = (side.into(), level[0].as_str().expect("a price").into());
                        if level[1] == "0" {
                            self.levels.remove(&key);
                        } else {
                            self.levels.insert(key, level[1].clone());
                        }
                    }
                }
                self.checksum = item["checksum"].clone();
            }
            "trades" => {
                for trade in item["trades"].as_array().expect("trades") {
                    let seq = trade["seq"].as_u64().expect("a trade's seq");
                    if seq > self.seq {
                        self.trades.insert(seq, trade.clone());
                    }
                }
            }
            "bars" => {
                for bar in item["bars"].as_array().expect("bars") {
                    self.bars.insert(bar["start"].as_u64().expect("a start"), bar.clone());
                }
            }
            other => panic!("unknown channel {other}"),
        }
    }

    /// Compares with a snapshot of the same view taken now.
    pub(crate) fn equals(&self, truth: &Value) -> Result<(), String> {
        let item = truth.as_object().expect("an item");
        let same = |what: &str, held: Value, true_value: &Value| {
            if held == *true_value {
                Ok(())
            } else {
                Err(format!("{what}: holds {held}, the publisher {true_value}"))
            }
        };
        same("epoch", self.epoch.into(), &item["epoch"])?;
        same("seq", self.seq.into(), &item["seq"])?;
        if let Some(trades) = item.get("trades").and_then(Value::as_array) {
            // The last one is the same; every other that it has too is.
            for trade in trades {
                let seq = trade["seq"].as_u64().expect("a trade's seq");
                let Some(held) = self.trades.get(&seq) else { continue };
                same("trade", held.clone(), trade)?;
            }
            let last = self.trades.keys().next_back().copied().unwrap_or(0);
            return same("last trade", last.into(), &truth["seq"]);
        }
        if let Some(bars) = item.get("bars").and_then(Value::as_array) {
            let oldest = bars.first().and_then(|bar| bar["start"].as_u64()).unwrap_or(0);
            let held: Vec<Value> = self.bars.range(oldest..).map(|(_, bar)| bar.clone()).collect();
            return same("bars", held.into(), &bars.clone().into());
        }
        if let Some(checksum) = item.get("checksum") {
            let mut levels = BTreeMap::new();
            for side in ["bids", "asks"] {
                for level in item[side].as_array().expect("levels") {
                    let price = level[0].as_str().expect("a price").to_owned();
                    levels.insert((side.to_owned(), price), level[1].clone());
                }
            }
            if levels != self.levels {
                return Err(format!("levels: holds {:?}, the publisher {levels:?}", self.levels));
            }
            // A change below the top ten of a view that did not show may leave it as it was.
            return same("checksum", self.checksum.clone(), checksum);
        }
        let mut fields = item.clone();
        fields.retain(|key, _| !FRAME_KEYS.contains(&key.as_str()));
        same("fields", self.fields.clone().into(), &fields.into())
    }
}

fn number(item: &Map<String, Value>, key: &str) -> u64 {
    item.get(key).and_then(Value::as_u64).unwrap_or_else(|| panic!("{key} in {item:?}"))
}
