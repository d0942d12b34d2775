//! What a client holds of one stream, and the rule by which it changes.
//!
//! Besides the values themselves only sums of their hashes are kept, so that comparing with the
//! truth after every message costs nothing.

use crate::market::Market;
use crate::message::{Body, FIELDS, Item, Level, field_hash, level_hash};
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;

/// Trades that the publisher keeps: who misses more than that learns how many he missed.
const TRADES_KEPT: usize = 1024;

/// Trades that a snapshot shows at most.
const TRADES_SHOWN: usize = 50;

/// What the rule says of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Applied,
    Ignored,
    Gap,
}

/// The state of one stream at a client, empty at first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Held {
    pub(crate) epoch: u64,
    pub(crate) seq: u64,
    /// The newest epoch that was received on this connection.
    pub(crate) epoch_here: u64,
    pub(crate) fields: [u64; FIELDS.len()],
    /// The depth that the levels are of.
    pub(crate) depth: u16,
    levels: FxHashMap<(bool, i128), u64>,
    pub(crate) levels_sum: u64,
    pub(crate) checksum: u64,
    pub(crate) bars: BTreeMap<i64, u64>,
    bars_sum: u64,
}

impl Held {
    /// The same at the beginning of another connection.
    pub(crate) fn resumed(&self) -> Held {
        Held { epoch_here: 0, ..self.clone() }
    }

    /// Follows the rule. *Errors:* what no rule can make sense of.
    pub(crate) fn take(&mut self, item: &Item, market: &Market) -> Result<Verdict, String> {
        let depth = if let Body::Book { depth, .. } = &item.body { *depth } else { 0 };
        match item.prev {
            None => {
                if item.epoch < self.epoch_here {
                    return Ok(Verdict::Ignored);
                }
                *self = Held { depth, ..Held::default() };
            }
            Some(prev) => {
                if item.epoch < self.epoch || item.epoch == self.epoch && item.seq <= self.seq {
                    return Ok(Verdict::Ignored);
                }
                if item.epoch != self.epoch || prev > self.seq || depth != self.depth {
                    return Ok(Verdict::Gap);
                }
            }
        }
        self.apply(item, market)?;
        (self.epoch, self.epoch_here, self.seq) = (item.epoch, item.epoch, item.seq);
        Ok(Verdict::Applied)
    }

    fn apply(&mut self, item: &Item, market: &Market) -> Result<(), String> {
        match &item.body {
            Body::Ticker(fields) => {
                for (field, value) in fields {
                    self.fields[*field] = field_hash(*field, *value);
                }
                Ok(())
            }
            Body::Book { levels, checksum, .. } => {
                self.checksum = *checksum;
                levels.iter().try_for_each(|level| self.level(level, item.prev.is_none()))
            }
            Body::Trades(_) => self.trades(item, market),
            Body::Bars(bars) => {
                for (start, hash) in bars {
                    let old = self.bars.insert(*start, *hash).unwrap_or(0);
                    self.bars_sum = self.bars_sum.wrapping_sub(old).wrapping_add(*hash);
                }
                Ok(())
            }
        }
    }

    fn level(&mut self, level: &Level, is_snapshot: bool) -> Result<(), String> {
        let Level { is_bid, price, size } = *level;
        let key = (is_bid, price.mantissa);
        let old = if size.mantissa == 0 {
            if is_snapshot {
                return Err(format!("a snapshot has an empty level at {price:?}"));
            }
            self.levels.remove(&key)
        } else {
            let hash = level_hash(is_bid, price, size);
            self.levels_sum = self.levels_sum.wrapping_add(hash);
            self.levels.insert(key, hash)
        };
        self.levels_sum = self.levels_sum.wrapping_sub(old.unwrap_or(0));
        Ok(())
    }

    /// Each trade is a true one, they are dense up to the message's seq, and what is missing can
    /// no longer be had.
    fn trades(&self, item: &Item, market: &Market) -> Result<(), String> {
        let Body::Trades(trades) = &item.body else { return Ok(()) };
        let first = item.seq + 1 - trades.len() as u64;
        for (trade, seq) in trades.iter().zip(first..) {
            if trade.seq != seq {
                return Err(format!("trade {} where {seq} was to come", trade.seq));
            }
            if trade.seq > self.seq {
                market.check_trade(item.instrument, trade)?;
            }
        }
        if item.prev.is_some() && first > self.seq + 1 && trades.len() < TRADES_KEPT {
            return Err(format!("trades {}..{first} are missing and were kept", self.seq + 1));
        }
        if item.prev.is_none() && trades.len() > TRADES_SHOWN {
            return Err(format!("a snapshot shows {} trades", trades.len()));
        }
        Ok(())
    }

    /// The sum over the bars from `oldest` on; older ones are forgotten, as the publisher has.
    pub(crate) fn bars_from(&mut self, oldest: i64) -> u64 {
        while let Some(first) = self.bars.first_entry().filter(|first| *first.key() < oldest) {
            self.bars_sum = self.bars_sum.wrapping_sub(first.remove());
        }
        self.bars_sum
    }
}
