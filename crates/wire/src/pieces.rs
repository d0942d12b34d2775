//! What a `diff(since)` answers with, copied out of a stream and ready to be encoded.

use crate::channel::{FieldSet, TickerField, View};
use tickcast_market::{
    Bar, BookSide, Epoch, Nanos, Price, Scales, Seq, Size, Trade, TradingState, Volume,
};

/// Whether the pieces are the whole state or what changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// The whole state; replaces what the client holds.
    #[default]
    Snapshot,
    /// What changed after `prev`, of the same epoch.
    Update {
        /// The change that the receiver must hold at least.
        prev: Seq,
    },
}

impl Kind {
    /// Its name on the wire: the `type` of a message.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Snapshot => "snapshot",
            Kind::Update { .. } => "update",
        }
    }
}

/// What stands for a stream (instrument, view and epoch) in protobuf: the same for every client of
/// the process, given anew with every epoch. 0 is none, as of `status`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamNumber(pub u32);

/// What every data item begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Which view of the stream.
    pub view: View,
    /// Snapshot, or update from `prev`.
    pub kind: Kind,
    /// The run of sequence numbers.
    pub epoch: Epoch,
    /// The last change that is in it.
    pub seq: Seq,
    /// What can be expected of the data; written into snapshots.
    pub state: TradingState,
    /// The scales of all numbers.
    pub scales: Scales,
    /// The venue's time of the last change; for `status` the moment of the transition.
    pub ts_event: Nanos,
    /// What stands for the stream in protobuf.
    pub stream: StreamNumber,
    /// Whether the receiver is told what `stream` stands for: in a snapshot, and in the update
    /// that answers a `since`.
    pub opens: bool,
}

/// Ticker values; which of them are meant is `present`, and a present field without a value is
/// sent as `null`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // Each is the wire's field of that name.
pub struct TickerPieces {
    /// The fields that are in the answer.
    pub present: FieldSet,
    pub last: Option<Price>,
    pub last_size: Option<Size>,
    pub bid: Option<Price>,
    pub bid_size: Option<Size>,
    pub ask: Option<Price>,
    pub ask_size: Option<Size>,
    pub open: Option<Price>,
    pub high: Option<Price>,
    pub low: Option<Price>,
    pub volume: Option<Volume>,
}

impl TickerPieces {
    /// Takes one field's value from `other`.
    pub const fn set(&mut self, field: TickerField, other: &TickerPieces) {
        match field {
            TickerField::Last => self.last = other.last,
            TickerField::LastSize => self.last_size = other.last_size,
            TickerField::Bid => self.bid = other.bid,
            TickerField::BidSize => self.bid_size = other.bid_size,
            TickerField::Ask => self.ask = other.ask,
            TickerField::AskSize => self.ask_size = other.ask_size,
            TickerField::Open => self.open = other.open,
            TickerField::High => self.high = other.high,
            TickerField::Low => self.low = other.low,
            TickerField::Volume => self.volume = other.volume,
        }
    }

    /// The value of a field as a mantissa at [`TickerField::scale`], whether or not it is present.
    pub fn mantissa(&self, field: TickerField) -> Option<i128> {
        let price = |price: Option<Price>| price.map(|price| i128::from(price.0));
        let size = |size: Option<Size>| size.map(|size| i128::from(size.0));
        match field {
            TickerField::Last => price(self.last),
            TickerField::LastSize => size(self.last_size),
            TickerField::Bid => price(self.bid),
            TickerField::BidSize => size(self.bid_size),
            TickerField::Ask => price(self.ask),
            TickerField::AskSize => size(self.ask_size),
            TickerField::Open => price(self.open),
            TickerField::High => price(self.high),
            TickerField::Low => price(self.low),
            TickerField::Volume => self.volume.map(|volume| volume.0),
        }
    }
}

/// One level; in an update size zero says that it left the view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LevelPiece {
    /// Its side.
    pub side: BookSide,
    /// Its price.
    pub price: Price,
    /// Its size.
    pub size: Size,
}

/// Levels of a book view: all bids best first, then all asks best first; an update's removals
/// stand after its changes within their side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BookPieces {
    /// The levels.
    pub levels: Vec<LevelPiece>,
    /// Kraken's CRC-32 over the top ten as they are after this message.
    pub checksum: u32,
}

/// One trade with its own dense seq.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TradePiece {
    /// Its place in the stream.
    pub seq: Seq,
    /// The trade.
    pub trade: Trade,
}

/// One bar with the seq at which it last changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BarPiece {
    /// When it last changed.
    pub seq: Seq,
    /// The bar.
    pub bar: Bar,
}

/// Everything a diff copies out of a stream. Kept and used again: filling it allocates nothing
/// once its lists have grown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pieces {
    /// What the item begins with.
    pub head: Head,
    /// For `ticker`.
    pub ticker: TickerPieces,
    /// For `book`.
    pub book: BookPieces,
    /// For `trades`, oldest first.
    pub trades: Vec<TradePiece>,
    /// For `bars`, oldest first.
    pub bars: Vec<BarPiece>,
}

impl Default for Pieces {
    fn default() -> Self {
        Pieces {
            head: Head {
                view: View::Status,
                kind: Kind::Snapshot,
                epoch: Epoch::default(),
                seq: Seq::default(),
                state: TradingState::default(),
                scales: Scales::default(),
                ts_event: Nanos::ZERO,
                stream: StreamNumber::default(),
                opens: true,
            },
            ticker: TickerPieces::default(),
            book: BookPieces::default(),
            trades: Vec::new(),
            bars: Vec::new(),
        }
    }
}
