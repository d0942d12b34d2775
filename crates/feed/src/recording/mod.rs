//! The recording format: what a venue said, line by line, as `tickcast record` writes it and
//! `--replay` reads it.
//!
//! Gzip'd or plain text. The first line is `#tickcast-recording v1 venue=kraken clock=unix`, every
//! other one `ts_recv_ns TAB connection TAB kind TAB payload`. Here are its words and errors;
//! `reader` and `writer` do the work and know neither a venue's language nor when a line is due: that
//! is `replay`'s.

pub(crate) mod reader;
pub(crate) mod replay;
pub(crate) mod writer;

use std::io;
use tickcast_market::{Nanos, Venue};

/// The longest line that is read, in bytes: ten times the largest book snapshot ever seen.
pub const RECORDING_LINE_BYTES_MAX: usize = 64 << 20;

pub(crate) const MAGIC: &str = "#tickcast-recording v1";
/// What the stamps of a recording mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordingClock {
    /// Nanoseconds since the Unix epoch.
    Unix,
    /// Nanoseconds since an arbitrary moment.
    Monotonic,
}

impl RecordingClock {
    /// Its name in the first line.
    pub const fn name(self) -> &'static str {
        match self {
            RecordingClock::Unix => "unix",
            RecordingClock::Monotonic => "monotonic",
        }
    }
}

/// What a line of a recording is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    /// A connection was opened; the payload is its URL.
    Open,
    /// We sent the payload.
    Send,
    /// We received the payload.
    Recv,
    /// A REST answer; the payload is the URL, a space and the body.
    Rest,
    /// The connection ended.
    Close,
}

impl RecordKind {
    pub(crate) const ALL: [RecordKind; 5] =
        [RecordKind::Open, RecordKind::Send, RecordKind::Recv, RecordKind::Rest, RecordKind::Close];

    /// Its name in a line.
    pub const fn name(self) -> &'static str {
        match self {
            RecordKind::Open => "open",
            RecordKind::Send => "send",
            RecordKind::Recv => "recv",
            RecordKind::Rest => "rest",
            RecordKind::Close => "close",
        }
    }
}

/// The first line of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordingHeader {
    /// Whose messages these are.
    pub venue: Venue,
    /// What the stamps mean.
    pub clock: RecordingClock,
}

/// One line, borrowed from the reader's buffer until the next one is read.
#[derive(Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// When the recorder received it, by the recording's clock.
    pub ts_recv: Nanos,
    /// On which connection: `generation × 65536 + line`, so that a line's first connection is
    /// numbered like the line.
    pub connection: u32,
    /// What it is.
    pub kind: RecordKind,
    /// The rest of the line; a parser may change it in place.
    pub payload: &'a mut [u8],
}

/// Why a recording cannot be opened, or where it ends early. Everything before the named line has
/// been delivered.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The file cannot be opened.
    #[error("{file}: {source}")]
    Open {
        /// Which file.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// A field is not what it should be.
    #[error("{file}, line {line}: {field}: {value:?} {problem}")]
    Field {
        /// Which file.
        file: String,
        /// Counted from 1, the header included.
        line: u64,
        /// Which field of the line.
        field: &'static str,
        /// What stands there, shortened.
        value: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The file ends within a line.
    #[error("{file}, line {line}: the file ends within this line, {bytes} bytes into it")]
    Cut {
        /// Which file.
        file: String,
        /// Counted from 1, the header included.
        line: u64,
        /// How much of the line there is.
        bytes: usize,
    },
    /// The bytes cannot be read or unpacked.
    #[error("{file}, line {line}: {bytes} bytes into this line: {source}")]
    Read {
        /// Which file.
        file: String,
        /// Counted from 1, the header included.
        line: u64,
        /// How much of the line there is.
        bytes: usize,
        /// What the system or the decompressor said.
        source: io::Error,
    },
}
