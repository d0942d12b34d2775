//! The words of a subscription: channels, views, fields, encodings.

use tickcast_market::{Interval, Scales};

/// A channel as clients name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    /// What can be expected of an instrument's data.
    Status,
    /// Last trade, best bid and ask, day statistics.
    Ticker,
    /// Every execution.
    Trades,
    /// Levels of both sides down to a depth.
    Book,
    /// Open, high, low, close, volume per interval.
    Bars,
}

impl Channel {
    /// All channels.
    pub const ALL: [Channel; 5] =
        [Channel::Status, Channel::Ticker, Channel::Trades, Channel::Book, Channel::Bars];

    /// The channels that can be subscribed to; `status` comes unasked.
    pub const SUBSCRIBABLE: [Channel; 4] =
        [Channel::Ticker, Channel::Trades, Channel::Book, Channel::Bars];

    /// The channel of that name.
    pub fn from_name(name: &str) -> Option<Channel> {
        Channel::ALL.into_iter().find(|channel| channel.name() == name)
    }

    /// Its name on the wire and in metric labels.
    pub const fn name(self) -> &'static str {
        match self {
            Channel::Status => "status",
            Channel::Ticker => "ticker",
            Channel::Trades => "trades",
            Channel::Book => "book",
            Channel::Bars => "bars",
        }
    }
}

/// The depths of a book that can be subscribed to.
pub const DEPTHS: [u16; 4] = [10, 25, 100, 500];

/// A depth out of [`DEPTHS`], as an index into it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Depth(u8);

impl Depth {
    /// Ten levels a side, the default.
    pub const TEN: Depth = Depth(0);

    /// The deepest there is.
    pub const DEEPEST: Depth = Depth(DEPTHS.len() as u8 - 1);

    /// The depth of that many levels, if it is offered.
    pub fn new(levels: u16) -> Option<Depth> {
        DEPTHS.iter().position(|depth| *depth == levels).map(|index| Depth(index as u8))
    }

    /// How many levels a side.
    pub const fn levels(self) -> usize {
        DEPTHS[self.0 as usize] as usize
    }

    /// Its index into [`DEPTHS`].
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A stream as somebody looks at it: the channel with its depth or interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum View {
    /// What can be expected of the data.
    Status,
    /// The ticker.
    Ticker,
    /// The trades.
    Trades,
    /// The book down to a depth.
    Book(Depth),
    /// The bars of an interval.
    Bars(Interval),
}

impl View {
    /// The channel that it is a view of.
    pub const fn channel(self) -> Channel {
        match self {
            View::Status => Channel::Status,
            View::Ticker => Channel::Ticker,
            View::Trades => Channel::Trades,
            View::Book(_) => Channel::Book,
            View::Bars(_) => Channel::Bars,
        }
    }

    /// The view that travels between hosts for this one: the deepest book has all others in it.
    pub const fn carried_as(self) -> View {
        match self {
            View::Book(_) => View::Book(Depth::DEEPEST),
            other => other,
        }
    }
}

/// How messages are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Encoding {
    /// `tickcast.v1.json`: text frames.
    #[default]
    Json,
    /// `tickcast.v1.protobuf`: binary frames, for those who pay for bytes.
    Protobuf,
}

impl Encoding {
    /// All encodings.
    pub const ALL: [Encoding; 2] = [Encoding::Json, Encoding::Protobuf];

    /// Its name in metric labels.
    pub const fn name(self) -> &'static str {
        match self {
            Encoding::Json => "json",
            Encoding::Protobuf => "protobuf",
        }
    }

    /// The WebSocket subprotocol that chooses it.
    pub const fn subprotocol(self) -> &'static str {
        match self {
            Encoding::Json => "tickcast.v1.json",
            Encoding::Protobuf => "tickcast.v1.protobuf",
        }
    }

    /// The opcode of its WebSocket frames (RFC 6455, 5.2).
    pub const fn opcode(self) -> u8 {
        match self {
            Encoding::Json => 1,
            Encoding::Protobuf => 2,
        }
    }
}

/// A field of the ticker that can be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[allow(missing_docs)] // Each is the wire's field of that name.
pub enum TickerField {
    Last = 0,
    LastSize,
    Bid,
    BidSize,
    Ask,
    AskSize,
    Open,
    High,
    Low,
    Volume,
}

impl TickerField {
    /// How many there are.
    pub const COUNT: usize = 10;

    /// All fields in the order of the wire.
    pub const ALL: [TickerField; Self::COUNT] = [
        TickerField::Last,
        TickerField::LastSize,
        TickerField::Bid,
        TickerField::BidSize,
        TickerField::Ask,
        TickerField::AskSize,
        TickerField::Open,
        TickerField::High,
        TickerField::Low,
        TickerField::Volume,
    ];

    /// Its name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            TickerField::Last => "last",
            TickerField::LastSize => "last_size",
            TickerField::Bid => "bid",
            TickerField::BidSize => "bid_size",
            TickerField::Ask => "ask",
            TickerField::AskSize => "ask_size",
            TickerField::Open => "open",
            TickerField::High => "high",
            TickerField::Low => "low",
            TickerField::Volume => "volume",
        }
    }

    /// The scale of its values.
    pub const fn scale(self, scales: Scales) -> u8 {
        match self {
            TickerField::LastSize | TickerField::BidSize | TickerField::AskSize => scales.size,
            TickerField::Volume => scales.volume,
            TickerField::Last
            | TickerField::Bid
            | TickerField::Ask
            | TickerField::Open
            | TickerField::High
            | TickerField::Low => scales.price,
        }
    }

    /// The field of that name.
    pub fn from_name(name: &str) -> Option<TickerField> {
        TickerField::ALL.into_iter().find(|field| field.name() == name)
    }
}

/// A set of ticker fields; on other channels always [`FieldSet::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldSet(u16);

impl FieldSet {
    /// Every field.
    pub const ALL: FieldSet = FieldSet((1 << TickerField::COUNT) - 1);
    /// No field.
    pub const NONE: FieldSet = FieldSet(0);

    /// This set and `field`.
    #[must_use]
    pub const fn with(self, field: TickerField) -> FieldSet {
        FieldSet(self.0 | 1 << field as u8)
    }

    /// Whether `field` is in it.
    pub const fn contains(self, field: TickerField) -> bool {
        self.0 & (1 << field as u8) != 0
    }

    /// What is in both.
    #[must_use]
    pub const fn and(self, other: FieldSet) -> FieldSet {
        FieldSet(self.0 & other.0)
    }

    /// Whether it has no field.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether every field of `other` is in it.
    pub const fn covers(self, other: FieldSet) -> bool {
        other.0 & !self.0 == 0
    }

    /// Its fields in the order of the wire.
    pub fn iter(self) -> impl Iterator<Item = TickerField> {
        TickerField::ALL.into_iter().filter(move |field| self.contains(*field))
    }
}

impl Default for FieldSet {
    fn default() -> Self {
        FieldSet::ALL
    }
}
