//! What an instrument is called, and the numbers that identify its runs and changes.

use crate::number::{Decimal, Scales};
use std::fmt;
use std::sync::Arc;

/// Where trading happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Venue {
    /// The built-in simulator.
    Sim,
    /// Binance spot.
    Binance,
    /// Coinbase Advanced Trade.
    Coinbase,
    /// Coinbase Exchange.
    CoinbaseExchange,
    /// Kraken, WebSocket version 2.
    Kraken,
    /// Whoever publishes normalised events on NATS.
    Nats,
}

impl Venue {
    /// All venues, in the order of their names' first use on the command line.
    pub const ALL: [Venue; 6] = [
        Venue::Sim,
        Venue::Coinbase,
        Venue::CoinbaseExchange,
        Venue::Binance,
        Venue::Kraken,
        Venue::Nats,
    ];

    /// The name in symbols, labels and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Venue::Sim => "sim",
            Venue::Binance => "binance",
            Venue::Coinbase => "coinbase",
            Venue::CoinbaseExchange => "coinbase-exchange",
            Venue::Kraken => "kraken",
            Venue::Nats => "nats",
        }
    }

    /// The venue of that name.
    pub fn from_name(name: &str) -> Option<Venue> {
        Venue::ALL.into_iter().find(|venue| venue.name() == name)
    }
}

impl fmt::Display for Venue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The dense number of an instrument within this process; an index into tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstrumentIndex(pub u32);

impl InstrumentIndex {
    /// As an index into a table.
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// Which of `partitions` publisher partitions owns it; dense indices spread evenly.
    /// *Panics* when `partitions` is 0.
    pub const fn partition(self, partitions: usize) -> usize {
        self.index() % partitions
    }
}

/// The number of a change within one epoch of a stream: starts at 1; 0 means "I hold nothing".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u64);

/// The identity of one run of sequence numbers: `run × 4096 + number of new epochs within the
/// run`; below 2^53.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

impl Epoch {
    /// How many epochs one run has room for.
    pub const PER_RUN: u64 = 4096;

    /// The first epoch of a run that began at `unix_secs`.
    pub const fn first_of_run(unix_secs: u64) -> Epoch {
        Epoch(unix_secs * Self::PER_RUN)
    }
}

/// What somebody holds of a stream. `seq` 0 is "nothing", whatever the epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Since {
    /// The epoch that `seq` belongs to.
    pub epoch: Epoch,
    /// The last change that is held.
    pub seq: Seq,
}

impl Since {
    /// Holds nothing: the answer is a snapshot.
    pub const NOTHING: Since = Since { epoch: Epoch(0), seq: Seq(0) };
}

/// What a feed knows of an instrument when it first hears of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstrumentSpec {
    /// Where it trades.
    pub venue: Venue,
    /// Canonical symbol without the venue: `BTC-USD`.
    pub symbol: String,
    /// The venue's own text: `BTCUSDT`, `BTC/USD`.
    pub venue_symbol: String,
    /// Smallest price increment, where the venue says.
    pub tick_size: Option<Decimal>,
    /// Smallest size increment, where the venue says.
    pub lot_size: Option<Decimal>,
    /// The scales to begin with; all zero when only the digits seen can tell.
    pub scales: Scales,
}

/// An instrument as this process knows it; shared and immutable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instrument {
    /// Its dense number.
    pub index: InstrumentIndex,
    /// `venue:SYMBOL`, the name that clients use.
    pub name: Arc<str>,
    /// What the feed said of it.
    pub spec: InstrumentSpec,
}
