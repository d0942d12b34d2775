//! What a driver is given, what it tells of itself, and how it ends.

use crate::driver::backoff::{Backoff, ConnectPacer};
use crate::handler::Limits;
use crate::{RecordKind, RecordingWriter};
use std::io;
use std::time::Duration;
use tickcast_market::{Nanos, Venue};
use tickcast_nats::Place;

/// How the lines of a venue stand, all in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FeedState {
    /// Nothing has been open yet.
    #[default]
    Starting,
    /// Every line is open.
    Live,
    /// Some lines are open.
    Degraded,
    /// No line is open.
    Down,
    /// It was asked to stop.
    Stopped,
}

impl FeedState {
    /// All of them.
    pub const ALL: [FeedState; 5] = [
        FeedState::Starting,
        FeedState::Live,
        FeedState::Degraded,
        FeedState::Down,
        FeedState::Stopped,
    ];

    /// Its name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            FeedState::Starting => "starting",
            FeedState::Live => "live",
            FeedState::Degraded => "degraded",
            FeedState::Down => "down",
            FeedState::Stopped => "stopped",
        }
    }
}

/// What others may know of a running driver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FeedStatus {
    /// How its lines stand.
    pub state: FeedState,
    /// Whether the venue's list of instruments is complete.
    pub is_complete: bool,
}

/// Gets everything that is said on the line, before it is parsed.
pub trait Recorder: Send {
    /// Takes one line; `connection` is `generation × 65536 + line`.
    ///
    /// *Errors:* those of the output; the driver then ends.
    fn record(
        &mut self,
        at: Nanos,
        connection: u32,
        kind: RecordKind,
        payload: &[u8],
    ) -> io::Result<()>;

    /// Takes a REST answer. *Errors:* as above.
    fn rest(&mut self, at: Nanos, url: &str, body: &[u8]) -> io::Result<()>;

    /// Hands everything to the output. *Errors:* as above.
    fn flush(&mut self) -> io::Result<()>;
}

impl<W: io::Write + Send> Recorder for RecordingWriter<W> {
    fn record(
        &mut self,
        at: Nanos,
        connection: u32,
        kind: RecordKind,
        payload: &[u8],
    ) -> io::Result<()> {
        RecordingWriter::record(self, at, connection, kind, payload)
    }

    fn rest(&mut self, at: Nanos, url: &str, body: &[u8]) -> io::Result<()> {
        RecordingWriter::rest(self, at, url, body)
    }

    fn flush(&mut self) -> io::Result<()> {
        RecordingWriter::flush(self)
    }
}

/// How a driver behaves; the venue's own limits come from its handler.
#[derive(Clone, Debug)]
pub struct DriverConfig {
    /// In place of the handler's limits.
    pub limits: Option<Limits>,
    /// The first full back-off after a connection that failed.
    pub backoff_min: Nanos,
    /// The longest back-off.
    pub backoff_max: Nanos,
    /// DNS, TCP, TLS and handshake together.
    pub connect_timeout: Duration,
    /// A REST request from connecting to the last byte.
    pub get_timeout: Duration,
    /// Shared by everything in the process that connects to the venue.
    pub connect_pacer: ConnectPacer,
    /// Moves the jitter of the back-off.
    pub seed: u64,
    /// Lines go to NATS, and there; what is sent on one is a subject to subscribe to.
    pub nats: Option<Place>,
}

impl DriverConfig {
    /// What suits a live venue.
    pub fn new(venue: Venue) -> DriverConfig {
        DriverConfig {
            limits: None,
            backoff_min: Nanos::from_millis(250),
            backoff_max: Nanos::from_secs(60),
            connect_timeout: Duration::from_secs(10),
            get_timeout: Duration::from_secs(30),
            connect_pacer: ConnectPacer::of(venue),
            seed: fastrand::u64(..),
            nats: None,
        }
    }

    /// What suits events from NATS at that place: a server of one's own may be asked more often.
    pub fn nats(place: Place) -> DriverConfig {
        DriverConfig {
            backoff_min: Nanos::from_millis(100),
            backoff_max: Nanos::from_secs(2),
            connect_timeout: Duration::from_secs(5),
            nats: Some(place),
            ..DriverConfig::new(Venue::Nats)
        }
    }

    pub(crate) fn backoff(&self, line: u16) -> Backoff {
        Backoff::new(self.backoff_min, self.backoff_max, self.seed ^ u64::from(line))
    }
}

/// Why a driver ended without being asked to.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// There is nobody left to take events.
    #[error("the publisher has gone")]
    PublisherGone,
    /// The recording cannot be written.
    #[error("the recording cannot be written: {0}")]
    Recorder(#[from] io::Error),
}
