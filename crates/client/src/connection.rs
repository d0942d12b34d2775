//! What a client tells of its connection.

use crate::error::Error;
use std::time::{Duration, Instant};
use tickcast_wire::{Encoding, TradingState};

/// Where a client stands with its service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectionState {
    /// The first connection is being made.
    Connecting,
    /// Connected, known to the service, served. Data says itself whether it is current.
    Live,
    /// The connection is gone. Until there is another everything reads as stale.
    Reconnecting {
        /// How many attempts have failed since the last connection.
        attempt: u32,
        /// When the next one begins, or began.
        next_try: Instant,
        /// What ended the connection, or the last attempt.
        reason: Error,
    },
    /// The client does not come back: it was closed, or told to stay away.
    Closed {
        /// Why; [`Error::ClientClosed`] where it was closed by its own side.
        reason: Error,
    },
}

impl ConnectionState {
    /// Whether data comes.
    pub const fn is_live(&self) -> bool {
        matches!(self, ConnectionState::Live)
    }

    /// Whether nothing will ever come.
    pub const fn is_closed(&self) -> bool {
        matches!(self, ConnectionState::Closed { .. })
    }

    /// Its name: `connecting`, `live`, `reconnecting`, `closed`.
    pub const fn name(&self) -> &'static str {
        match self {
            ConnectionState::Connecting => "connecting",
            ConnectionState::Live => "live",
            ConnectionState::Reconnecting { .. } => "reconnecting",
            ConnectionState::Closed { .. } => "closed",
        }
    }
}

/// A service that goes away: it serves until then, and wants to be left alone until then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaving {
    /// When the connection is closed, and when to connect again.
    pub at: Instant,
    /// Why, in the service's word: `drain`.
    pub reason: String,
}

/// A connection and what became of all those before it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Connection {
    /// Where it stands.
    pub state: ConnectionState,
    /// Since when.
    pub since: Instant,
    /// Always `websocket`.
    pub transport: &'static str,
    /// What is spoken.
    pub encoding: Encoding,
    /// The service's name for the connection; empty before the first.
    pub session: String,
    /// The service's version; empty before the first connection.
    pub version: String,
    /// A connection that was silent for so long gets a heartbeat.
    pub heartbeat: Option<Duration>,
    /// When something was last heard.
    pub last_heard: Option<Instant>,
    /// The service has said that it goes away.
    pub leaving: Option<Leaving>,
    /// Connections after the first.
    pub reconnects: u64,
    /// Requests that asked again for what was missing.
    pub resyncs: u64,
    /// Books that had another checksum than they should.
    pub checksum_failures: u64,
    /// Trades that were certainly missed.
    pub missed_trades: u64,
    /// Messages, of all connections.
    pub messages: u64,
    /// Their bytes, without the frames' heads.
    pub bytes: u64,
    /// Messages that could not be decoded.
    pub undecodable: u64,
}

impl Connection {
    /// One that has carried nothing yet, for those who show connections and try how.
    pub fn at(state: ConnectionState, encoding: Encoding, now: Instant) -> Connection {
        Connection {
            state,
            since: now,
            transport: "websocket",
            encoding,
            session: String::new(),
            version: String::new(),
            heartbeat: None,
            last_heard: None,
            leaving: None,
            reconnects: 0,
            resyncs: 0,
            checksum_failures: 0,
            missed_trades: 0,
            messages: 0,
            bytes: 0,
            undecodable: 0,
        }
    }
}

/// Something that a client tells of itself, beside the data.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The connection's state has changed.
    Connection(ConnectionState),
    /// The service goes away.
    Leaving(Leaving),
    /// The status of an instrument has changed.
    Status {
        /// Of which.
        symbol: String,
        /// What can be expected of its data now.
        state: TradingState,
    },
    /// A symbol of a subscription is not served, or not any more.
    Failed {
        /// The channel.
        channel: &'static str,
        /// As it was asked for.
        symbol: String,
        /// 4403, 4404, …
        code: u16,
        /// Why, in words.
        error: String,
    },
    /// A request was refused.
    Refused {
        /// 44xx, or 45xx for one that is sent again.
        code: u16,
        /// Why, in words.
        error: String,
    },
    /// A new token could not be had, or was refused; the old one holds until it expires.
    TokenFailed(Error),
    /// So many events were not taken in time and are lost.
    Missed(u64),
}
