//! The ingestor: from a venue's bytes to normalised events.
//!
//! A [`Handler`] knows one venue's language and owns no socket, no clock and no retry loop; the
//! driver around it owns connecting, backing off, heartbeats and pacing. A replay and a fuzz
//! target call the same handlers.

mod coinbase;
mod coinbase_decode;
mod coinbase_exchange;
mod coinbase_exchange_decode;
mod coinbase_products;
mod faults;
mod fields;
mod grid;
mod handler;
mod kraken;
mod kraken_answers;
mod kraken_book;
mod kraken_scan;
mod lines;
mod recording;
mod retry;
mod rfc3339;
mod roster;
mod scan;

pub use coinbase::{CoinbaseConfig, CoinbaseHandler};
pub use coinbase_exchange::{CoinbaseExchangeConfig, CoinbaseExchangeHandler};
pub use handler::{Command, ConnectionIndex, Handler, Io, Limits, Tally};
pub use kraken::{KrakenConfig, KrakenHandler};
pub use recording::{
    RECORDING_LINE_BYTES_MAX, Record, RecordKind, RecordingClock, RecordingError, RecordingHeader,
    RecordingReader, RecordingWriter,
};
