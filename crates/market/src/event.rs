//! What a feed says, venue by venue the same, and the sink that takes it.

use crate::instrument::{InstrumentIndex, InstrumentSpec};
use crate::number::{Price, Scales, Size, Volume};
use crate::time::Nanos;

/// Who crossed the spread: the aggressor of a trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The aggressor bought.
    Buy,
    /// The aggressor sold.
    Sell,
}

/// A side of the book.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BookSide {
    /// Who wants to buy; best is highest.
    Bid,
    /// Who wants to sell; best is lowest.
    Ask,
}

/// The new total size at one price; size zero removes the level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BookChange {
    /// Which side.
    pub side: BookSide,
    /// At which price.
    pub price: Price,
    /// The new total.
    pub size: Size,
}

/// Best bid and ask with sizes; a side that is empty is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quote {
    /// Best bid.
    pub bid: Option<(Price, Size)>,
    /// Best ask.
    pub ask: Option<(Price, Size)>,
}

/// One execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trade {
    /// The venue's trade id.
    pub id: u64,
    /// At which price.
    pub price: Price,
    /// How much.
    pub size: Size,
    /// Who crossed.
    pub side: Side,
    /// When it traded, by the venue's clock.
    pub ts_event: Nanos,
}

/// The venue's rolling 24 hours; `None` where it does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DayStats {
    /// The price 24 hours ago.
    pub open: Option<Price>,
    /// The highest price since.
    pub high: Option<Price>,
    /// The lowest price since.
    pub low: Option<Price>,
    /// What was traded since.
    pub volume: Option<Volume>,
    /// The latest trade's price, from venues that send it here before any trade is seen.
    pub last: Option<Price>,
}

/// The length of a bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Interval {
    /// One second.
    S1,
    /// One minute.
    M1,
    /// Five minutes.
    M5,
    /// One hour.
    H1,
}

impl Interval {
    /// All intervals, shortest first.
    pub const ALL: [Interval; 4] = [Interval::S1, Interval::M1, Interval::M5, Interval::H1];

    /// Its name on the wire: `1s`, `1m`, `5m`, `1h`.
    pub const fn name(self) -> &'static str {
        match self {
            Interval::S1 => "1s",
            Interval::M1 => "1m",
            Interval::M5 => "5m",
            Interval::H1 => "1h",
        }
    }

    /// The interval of that name.
    pub fn from_name(name: &str) -> Option<Interval> {
        Interval::ALL.into_iter().find(|interval| interval.name() == name)
    }

    /// Its length.
    pub const fn span(self) -> Nanos {
        Nanos::from_secs(match self {
            Interval::S1 => 1,
            Interval::M1 => 60,
            Interval::M5 => 300,
            Interval::H1 => 3600,
        })
    }

    /// The start of the interval that `at` lies in.
    pub const fn start_of(self, at: Nanos) -> Nanos {
        let span = self.span().0;
        Nanos(at.0.div_euclid(span) * span)
    }
}

/// Open, high, low, close and volume over one interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bar {
    /// When the interval began.
    pub start: Nanos,
    /// First price.
    pub open: Price,
    /// Highest price.
    pub high: Price,
    /// Lowest price.
    pub low: Price,
    /// Last price.
    pub close: Price,
    /// What was traded.
    pub volume: Volume,
    /// In how many trades.
    pub trades: u32,
    /// No more trades are expected.
    pub closed: bool,
}

/// What can be expected of an instrument's data; the worst has the highest number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum TradingState {
    /// Data is current.
    Live = 0,
    /// The venue has halted trading.
    Halted = 1,
    /// The venue has closed the instrument.
    Closed = 2,
    /// Data may not be current: the line is silent or cut.
    Stale = 3,
    /// A new snapshot is awaited.
    #[default]
    Resync = 4,
}

impl TradingState {
    /// Its name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            TradingState::Live => "live",
            TradingState::Halted => "halted",
            TradingState::Closed => "closed",
            TradingState::Stale => "stale",
            TradingState::Resync => "resync",
        }
    }

    /// The state of that name.
    pub fn from_name(name: &str) -> Option<TradingState> {
        use TradingState::{Closed, Halted, Live, Resync, Stale};
        [Live, Halted, Closed, Stale, Resync].into_iter().find(|state| state.name() == name)
    }
}

/// What happened to one instrument.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum EventBody<'a> {
    /// Best bid and ask from the venue's own quote channel. An instrument that once had a quote
    /// takes its ticker's sides from quotes, no longer from the top of the book.
    Quote(Quote),
    /// New trades, oldest first.
    Trades(&'a [Trade]),
    /// The whole book: replaces what was held. Any order.
    BookSnapshot(&'a [BookChange]),
    /// Changed levels of one venue message, in the venue's order.
    BookUpdate(&'a [BookChange]),
    /// The venue's day statistics.
    Day(DayStats),
    /// Bars that the venue had before we listened, oldest first; they fill holes and never
    /// replace a bar built from trades.
    Bars(Interval, &'a [Bar]),
    /// What can be expected of the data from here on.
    State(TradingState),
}

/// One normalised event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event<'a> {
    /// Of which instrument.
    pub instrument: InstrumentIndex,
    /// The venue's time, zero where it gives none.
    pub ts_event: Nanos,
    /// When we received the message.
    pub ts_recv: Nanos,
    /// The scales that this event's numbers are at. Finer than before: the instrument is rescaled.
    pub scales: Scales,
    /// What happened.
    pub body: EventBody<'a>,
}

/// Takes what a feed says. Handlers push, they keep nothing.
pub trait Sink {
    /// Makes an instrument known, or finds it; the same venue and symbol give the same index.
    fn instrument(&mut self, spec: &InstrumentSpec) -> InstrumentIndex;

    /// Takes one event; its borrowed parts are copied before this returns.
    fn event(&mut self, event: &Event<'_>);
}
