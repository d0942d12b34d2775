//! Topics: all that a frame's bytes depend on, and how fast they may be sent.

use tickcast_market::{InstrumentIndex, Nanos};
use tickcast_wire::{Encoding, FieldSet, View};

/// A shard's number within the process; at most [`ShardIndex::COUNT_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardIndex(pub u8);

impl ShardIndex {
    /// Interest is kept as one bit per shard in a `u64`; the last one is [`ShardIndex::NOBODY`]'s.
    pub const COUNT_MAX: usize = 63;

    /// Keeps a topic without getting its frames: for who reads a stream once and has to wait until
    /// there is something to read.
    pub const NOBODY: ShardIndex = ShardIndex(Self::COUNT_MAX as u8);

    /// Its bit.
    pub const fn bit(self) -> u64 {
        1 << self.0
    }
}

/// A maximum rate that many subscriptions share, as an index into [`Tiers`]; 0 is the fastest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tier(pub u8);

/// The tiers that this process offers, fastest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Tiers {
    /// Updates per second; `None` is real time and only ever the first.
    rates: Vec<Option<f64>>,
}

impl Default for Tiers {
    fn default() -> Self {
        Tiers { rates: vec![None, Some(10.0), Some(4.0), Some(1.0)] }
    }
}

impl Tiers {
    /// Real time and these maximum rates (updates per second and symbol), in any order.
    ///
    /// *Errors:* the offending rate when it is not a positive finite number, or more than 16.
    pub fn new(rates: &[f64]) -> Result<Tiers, String> {
        if let Some(rate) = rates.iter().find(|rate| !(rate.is_finite() && **rate > 0.0)) {
            return Err(format!("tiers: {rate} is not a rate above 0"));
        }
        if rates.len() > 15 {
            return Err(format!("tiers: {} rates are more than 15", rates.len()));
        }
        let mut sorted = rates.to_vec();
        sorted.sort_by(|a, b| b.total_cmp(a));
        sorted.dedup();
        Ok(Tiers { rates: std::iter::once(None).chain(sorted.into_iter().map(Some)).collect() })
    }

    /// The fastest tier that is not faster than `max_rate`, or the slowest there is; real time
    /// when no rate was asked for.
    pub fn grant(&self, max_rate: Option<f64>) -> Tier {
        let Some(max_rate) = max_rate else { return Tier(0) };
        let fits = |rate: &Option<f64>| rate.is_some_and(|rate| rate <= max_rate);
        Tier(self.rates.iter().position(fits).unwrap_or(self.rates.len() - 1) as u8)
    }

    /// The tier's rate in updates per second; `None` is real time.
    pub fn rate(&self, tier: Tier) -> Option<f64> {
        self.rates.get(tier.0 as usize).copied().flatten()
    }

    /// The time between two updates of the tier; zero for real time.
    pub fn interval(&self, tier: Tier) -> Nanos {
        self.rate(tier).map_or(Nanos::ZERO, |rate| Nanos((1e9 / rate) as i64))
    }

    /// How many tiers there are.
    pub fn count(&self) -> usize {
        self.rates.len()
    }
}

/// What a topic is: stream (with depth or interval) × tier × field set × encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicKey {
    /// Of which instrument.
    pub instrument: InstrumentIndex,
    /// Which view of it. Never `Status`: transitions are given to every shard.
    pub view: View,
    /// How fast at most.
    pub tier: Tier,
    /// Which ticker fields; [`FieldSet::ALL`] on other channels.
    pub fields: FieldSet,
    /// How it is written.
    pub encoding: Encoding,
}

/// A topic's place in a table, and which of the topics that had this place in turn: a frame that
/// is still under way can never be taken for another topic's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TopicId {
    /// Small and dense: an index into a shard's own table.
    pub slot: u32,
    /// Rises each time the slot is given out.
    pub generation: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_granted_tier_is_the_fastest_that_is_not_faster_or_else_the_slowest() {
        let tiers = Tiers::default();
        for (asked, granted) in [
            (None, None),
            (Some(20.0), Some(10.0)),
            (Some(10.0), Some(10.0)),
            (Some(5.0), Some(4.0)),
            (Some(4.0), Some(4.0)),
            (Some(1.5), Some(1.0)),
            (Some(0.1), Some(1.0)),
        ] {
            assert_eq!(tiers.rate(tiers.grant(asked)), granted, "{asked:?}");
        }
        assert_eq!(tiers.interval(Tier(1)), Nanos::from_millis(100));
        assert!(Tiers::new(&[0.0]).is_err());
    }
}
