//! Data items as a client decodes them: borrowed text, unknown fields ignored.

use crate::channel::{Depth, TickerField};
use crate::names;
use serde::Deserialize;
use serde::de::Deserializer;
use std::borrow::Cow;
use std::fmt;
use tickcast_market::{Decimal, Epoch, Interval, Nanos, NumberError, Seq, Side, TradingState};

/// A decimal number as it was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
pub struct Number<'a>(#[serde(borrow)] pub &'a str);

impl<'a> Number<'a> {
    /// Its text, padded to the scale.
    pub const fn text(self) -> &'a str {
        self.0
    }

    /// As mantissa and scale.
    ///
    /// *Errors:* [`NumberError`] for what is no number, and for volumes beyond an `i64`.
    pub fn decimal(self) -> Result<Decimal, NumberError> {
        Decimal::parse(self.0.as_bytes())
    }
}

impl fmt::Display for Number<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// A field of a ticker item: absent has not changed, null has no value now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Field<'a> {
    /// Has not changed, or was not subscribed to.
    #[default]
    Absent,
    /// Has no value now.
    Null,
    /// Has this value.
    Value(Number<'a>),
}

impl<'de: 'a, 'a> Deserialize<'de> for Field<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Option::deserialize(deserializer)? {
            Some(number) => Field::Value(number),
            None => Field::Null,
        })
    }
}

/// What an item says of its place in the stream; the client's rule needs no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The run of sequence numbers.
    pub epoch: Epoch,
    /// The change that the receiver must hold at least; only updates have it.
    pub prev: Option<Seq>,
    /// The last change that is in it.
    pub seq: Seq,
}

macro_rules! item {
    ($(#[$doc:meta])* $name:ident { $($body:tt)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
        pub struct $name<'a> {
            /// Of which instrument.
            #[serde(borrow)]
            pub symbol: Cow<'a, str>,
            /// The run of sequence numbers.
            #[serde(deserialize_with = "names::epoch")]
            pub epoch: Epoch,
            /// The change that the receiver must hold at least; only updates have it.
            #[serde(default, deserialize_with = "names::some_seq")]
            pub prev: Option<Seq>,
            /// The last change that is in it.
            #[serde(deserialize_with = "names::seq")]
            pub seq: Seq,
            /// What can be expected of the data; in snapshots, and in every status.
            #[serde(default, deserialize_with = "names::some_state")]
            pub state: Option<TradingState>,
            $($body)*
        }

        impl $name<'_> {
            /// Its place in the stream.
            pub const fn mark(&self) -> Mark {
                Mark { epoch: self.epoch, prev: self.prev, seq: self.seq }
            }
        }
    };
}

item! {
    /// An item of `status`.
    StatusItem {
        /// When the state began.
        #[serde(deserialize_with = "micros")]
        pub ts_state: Nanos,
    }
}

item! {
    /// An item of `ticker`.
    #[allow(missing_docs)] // The fields are the wire's of that name.
    TickerItem {
        #[serde(default, borrow)]
        pub last: Field<'a>,
        #[serde(default, borrow)]
        pub last_size: Field<'a>,
        #[serde(default, borrow)]
        pub bid: Field<'a>,
        #[serde(default, borrow)]
        pub bid_size: Field<'a>,
        #[serde(default, borrow)]
        pub ask: Field<'a>,
        #[serde(default, borrow)]
        pub ask_size: Field<'a>,
        #[serde(default, borrow)]
        pub open: Field<'a>,
        #[serde(default, borrow)]
        pub high: Field<'a>,
        #[serde(default, borrow)]
        pub low: Field<'a>,
        #[serde(default, borrow)]
        pub volume: Field<'a>,
        #[serde(deserialize_with = "micros")]
        pub ts_event: Nanos,
        #[serde(deserialize_with = "micros")]
        pub ts_publish: Nanos,
    }
}

impl<'a> TickerItem<'a> {
    /// A field by its name.
    pub const fn field(&self, field: TickerField) -> Field<'a> {
        match field {
            TickerField::Last => self.last,
            TickerField::LastSize => self.last_size,
            TickerField::Bid => self.bid,
            TickerField::BidSize => self.bid_size,
            TickerField::Ask => self.ask,
            TickerField::AskSize => self.ask_size,
            TickerField::Open => self.open,
            TickerField::High => self.high,
            TickerField::Low => self.low,
            TickerField::Volume => self.volume,
        }
    }
}

/// A level: price and size; in an update size `0` says that it left the view.
pub type LevelItem<'a> = (Number<'a>, Number<'a>);

item! {
    /// An item of `book`.
    BookItem {
        /// How many levels a side the view has.
        #[serde(deserialize_with = "names::depth::one")]
        pub depth: Depth,
        /// Bids; in a snapshot best first.
        #[serde(borrow)]
        pub bids: Vec<LevelItem<'a>>,
        /// Asks; in a snapshot best first.
        #[serde(borrow)]
        pub asks: Vec<LevelItem<'a>>,
        /// Kraken's CRC-32 over the top ten after this item.
        pub checksum: u32,
        /// The venue's time of the last change.
        #[serde(deserialize_with = "micros")]
        pub ts_event: Nanos,
        /// When it was encoded.
        #[serde(deserialize_with = "micros")]
        pub ts_publish: Nanos,
    }
}

/// One trade.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct TradeItem<'a> {
    /// Its place in the stream; dense.
    #[serde(deserialize_with = "names::seq")]
    pub seq: Seq,
    /// The venue's id.
    #[serde(borrow)]
    pub id: Cow<'a, str>,
    /// At which price.
    #[serde(borrow)]
    pub price: Number<'a>,
    /// How much.
    #[serde(borrow)]
    pub size: Number<'a>,
    /// Who crossed.
    #[serde(deserialize_with = "names::side")]
    pub side: Side,
    /// When it traded, by the venue's clock.
    #[serde(deserialize_with = "micros")]
    pub ts_event: Nanos,
}

item! {
    /// An item of `trades`.
    TradesItem {
        /// Oldest first.
        #[serde(borrow)]
        pub trades: Vec<TradeItem<'a>>,
        /// When it was encoded.
        #[serde(deserialize_with = "micros")]
        pub ts_publish: Nanos,
    }
}

/// One bar.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct BarItem<'a> {
    /// When the interval began.
    #[serde(deserialize_with = "micros")]
    pub start: Nanos,
    /// First price.
    #[serde(borrow)]
    pub open: Number<'a>,
    /// Highest price.
    #[serde(borrow)]
    pub high: Number<'a>,
    /// Lowest price.
    #[serde(borrow)]
    pub low: Number<'a>,
    /// Last price.
    #[serde(borrow)]
    pub close: Number<'a>,
    /// What was traded.
    #[serde(borrow)]
    pub volume: Number<'a>,
    /// In how many trades.
    pub trades: u32,
    /// No more trades are expected.
    pub closed: bool,
}

item! {
    /// An item of `bars`.
    BarsItem {
        /// The length of a bar.
        #[serde(deserialize_with = "names::interval::one")]
        pub interval: Interval,
        /// Oldest first.
        #[serde(borrow)]
        pub bars: Vec<BarItem<'a>>,
        /// When it was encoded.
        #[serde(deserialize_with = "micros")]
        pub ts_publish: Nanos,
    }
}

pub(crate) fn micros<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Nanos, D::Error> {
    i64::deserialize(deserializer).map(Nanos::from_micros)
}
