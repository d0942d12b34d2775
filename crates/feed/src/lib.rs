//! The ingestor: from a venue's bytes to normalised events.
//!
//! A [`Handler`] knows one venue's language and owns no socket, no clock and no retry loop; the
//! driver around it owns connecting, backing off, heartbeats and pacing. A replay and a fuzz
//! target call the same handlers.

mod binance;
mod binance_book;
mod binance_fast;
mod binance_lines;
mod binance_message;
mod binance_number;
mod binance_requests;
mod binance_rest;
mod binance_symbols;
mod fixed_decimal;
mod handler;
mod recording;
mod recording_reader;
mod recording_writer;
mod replay;

pub use binance::{BinanceConfig, BinanceHandler};
pub use handler::{Command, ConnectionIndex, Handler, Io, Limits, Tally};
pub use recording::{
    RECORDING_LINE_BYTES_MAX, Record, RecordKind, RecordingClock, RecordingError, RecordingHeader,
};
pub use recording_reader::RecordingReader;
pub use recording_writer::RecordingWriter;
pub use replay::{REPORTS_MAX, Replay, ReplaySpeed, Step};
