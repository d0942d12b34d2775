//! The market model: what venues talk about, in exact integers.
//!
//! Everything here is plain data and arithmetic. Feeds turn a venue's bytes into [`Event`]s, a
//! [`Sink`] takes them, a [`Book`] keeps both sides of one instrument, and the [`Directory`] names
//! instruments by a dense index. Prices and sizes are `i64` mantissas at the instrument's own
//! [`Scales`]; no binary float occurs between a venue's digits and ours.
//!
//! *Invariant:* nothing here opens a socket, reads a clock or spawns a thread.

#![deny(missing_docs)]

mod batch;
mod book;
mod directory;
mod event;
mod instrument;
mod number;
mod symbology;
mod time;

pub use batch::{EventBatch, SourceIndex, StoredEvent};
pub use book::{Book, Level};
pub use directory::Directory;
pub use event::{
    Bar, BookChange, BookSide, DayStats, Event, EventBody, Interval, Quote, Side, Sink, Trade,
    TradingState,
};
pub use instrument::{Epoch, Instrument, InstrumentIndex, InstrumentSpec, Seq, Since, Venue};
pub use number::{Decimal, NumberError, Price, SCALE_MAX, Scales, Size, Volume, write_decimal};
pub use symbology::split_venue_symbol;
pub use time::Nanos;
