//! How serde writes and reads the words that have a type: channels, depths, intervals, fields.

use crate::channel::{Channel, Depth, FieldSet, TickerField};
use serde::de::{Deserialize, Deserializer, Error};
use serde::ser::{Serialize, Serializer};
use std::borrow::Cow;
use tickcast_market::{Epoch, Interval, Seq, Side, TradingState};

/// A rate without `.0` where it is whole.
pub(crate) fn rate<S: Serializer>(rate: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    match rate {
        // Above 2^53 nothing tells an integer from its neighbour, and no tier is there.
        Some(rate) if rate.fract() == 0.0 && (0.0..9e15).contains(rate) => {
            (*rate as u64).serialize(serializer)
        }
        rate => rate.serialize(serializer),
    }
}

fn named<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    what: &str,
    from_name: impl Fn(&str) -> Option<T>,
) -> Result<T, D::Error> {
    #[derive(serde::Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    let Text(text) = Text::deserialize(deserializer)?;
    from_name(&text).ok_or_else(|| D::Error::custom(format_args!("unknown {what} {text:?}")))
}

pub(crate) fn epoch<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Epoch, D::Error> {
    u64::deserialize(deserializer).map(Epoch)
}

pub(crate) fn seq<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Seq, D::Error> {
    u64::deserialize(deserializer).map(Seq)
}

pub(crate) fn some_seq<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Seq>, D::Error> {
    seq(deserializer).map(Some)
}

pub(crate) fn side<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Side, D::Error> {
    named(deserializer, "side", |name| match name {
        "buy" => Some(Side::Buy),
        "sell" => Some(Side::Sell),
        _ => None,
    })
}

pub(crate) fn state<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TradingState, D::Error> {
    named(deserializer, "state", TradingState::from_name)
}

pub(crate) fn some_state<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<TradingState>, D::Error> {
    state(deserializer).map(Some)
}

pub(crate) mod channel {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(channel: &Channel, s: S) -> Result<S::Ok, S::Error> {
        channel.name().serialize(s)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Channel, D::Error> {
        named(d, "channel", Channel::from_name)
    }
}

pub(crate) mod interval {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(
        interval: &Option<Interval>,
        s: S,
    ) -> Result<S::Ok, S::Error> {
        interval.map(Interval::name).serialize(s)
    }

    pub(crate) fn one<'de, D: Deserializer<'de>>(d: D) -> Result<Interval, D::Error> {
        named(d, "interval", Interval::from_name)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        d: D,
    ) -> Result<Option<Interval>, D::Error> {
        one(d).map(Some)
    }
}

pub(crate) mod depth {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(depth: &Option<Depth>, s: S) -> Result<S::Ok, S::Error> {
        depth.map(Depth::levels).serialize(s)
    }

    pub(crate) fn one<'de, D: Deserializer<'de>>(d: D) -> Result<Depth, D::Error> {
        let levels = u16::deserialize(d)?;
        Depth::new(levels).ok_or_else(|| D::Error::custom(format_args!("unknown depth {levels}")))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Depth>, D::Error> {
        one(d).map(Some)
    }
}

/// A set of ticker fields as a list of names; a name that is not known is a newer server's.
pub(crate) mod fields {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(
        fields: &Option<FieldSet>,
        s: S,
    ) -> Result<S::Ok, S::Error> {
        s.collect_seq(fields.unwrap_or(FieldSet::NONE).iter().map(TickerField::name))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        d: D,
    ) -> Result<Option<FieldSet>, D::Error> {
        let names = Vec::<Cow<'_, str>>::deserialize(d)?;
        let fields = names.iter().filter_map(|name| TickerField::from_name(name));
        Ok(Some(fields.fold(FieldSet::NONE, FieldSet::with)))
    }
}
