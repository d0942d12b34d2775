//! The ingestor: from a venue's bytes to normalised events.
//!
//! A [`Handler`] knows one venue's language and owns no socket, no clock and no retry loop; the
//! [`Driver`] around it owns connecting, backing off, heartbeats and pacing, and an [`Outlet`]
//! carries events to the publisher. A replay and a fuzz target call the same handlers.

mod backoff;
mod connect;
mod connection;
mod connection_socket;
mod driver;
mod driver_config;
mod driver_core;
mod driver_line;
#[cfg(test)]
mod driver_tests;
mod handler;
mod metrics;
#[cfg(feature = "mock")]
pub mod mock;
mod outlet;
mod recording;
mod rest;

pub use backoff::ConnectPacer;
pub use driver::Driver;
pub use driver_config::{DriverConfig, DriverError, FeedState, FeedStatus, Recorder};
pub use handler::{Command, ConnectionIndex, Handler, Io, Limits, Tally};
pub use metrics::{FeedMetrics, Metrics};
pub use outlet::{
    BATCH_EVENTS_MAX, CLOCK_SPAN, EVENT_KINDS, EventCounts, FlushError, InboxSender, Outlet,
    StateCounts,
};
pub use recording::{
    RECORDING_LINE_BYTES_MAX, Record, RecordKind, RecordingClock, RecordingError, RecordingHeader,
    RecordingReader, RecordingWriter,
};
