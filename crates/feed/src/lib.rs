//! The ingestor: from a venue's bytes to normalised events.
//!
//! A [`Handler`] knows one venue's language and owns no socket, no clock and no retry loop; the
//! driver around it owns connecting, backing off, heartbeats and pacing. A replay and a fuzz
//! target call the same handlers.

mod handler;
mod recording;

pub use handler::{Command, ConnectionIndex, Handler, Io, Limits, Tally};
pub use recording::{
    RECORDING_LINE_BYTES_MAX, Record, RecordKind, RecordingClock, RecordingError, RecordingHeader,
    RecordingReader, RecordingWriter,
};
