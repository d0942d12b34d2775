//! The ingestor: from a venue's bytes to normalised events.
//!
//! A [`Handler`] knows one venue's language and owns no socket, no clock and no retry loop; the
//! [`Driver`] around it owns connecting, backing off, heartbeats and pacing, and an [`Outlet`]
//! carries events to the publisher. A replay and a fuzz target call the same handlers.

#![deny(missing_docs)]

mod binance;
mod coinbase;
mod coinbase_exchange;
mod decode;
mod delay;
mod driver;
mod handler;
mod kinds;
mod kraken;
mod metrics;
#[cfg(feature = "mock")]
pub mod mock;
mod nats;
mod outlet;
mod recording;
mod roster;
mod sim;
mod venue;

pub use binance::{BinanceConfig, BinanceHandler};
pub use coinbase::{CoinbaseConfig, CoinbaseHandler};
pub use coinbase_exchange::{CoinbaseExchangeConfig, CoinbaseExchangeHandler};
pub use delay::DelayCounts;
pub use driver::Driver;
pub use driver::backoff::ConnectPacer;
pub use driver::config::{DriverConfig, DriverError, FeedState, FeedStatus, Recorder};
pub use handler::{Command, ConnectionIndex, Handler, Io, Limits, Tally};
pub use kraken::{KrakenConfig, KrakenHandler};
pub use metrics::{FeedMetrics, Metrics};
pub use nats::{NATS_MESSAGE_BYTES_MAX, NATS_SUBJECTS_MAX, NatsConfig, NatsHandler};
pub use outlet::{
    BATCH_EVENTS_MAX, CLOCK_SPAN, EVENT_KINDS, EventCounts, FlushError, InboxSender, Outlet,
    StateCounts,
};
pub use recording::reader::RecordingReader;
pub use recording::replay::{REPORTS_MAX, Replay, ReplaySpeed, Step};
pub use recording::writer::RecordingWriter;
pub use recording::{
    RECORDING_LINE_BYTES_MAX, Record, RecordKind, RecordingClock, RecordingError, RecordingHeader,
};
pub use sim::{Pace, Sim, SimAdvance, SimConfig, SimError};
pub use venue::{VenueConfig, handler_of};
