//! How a connection begins and ends: the transitions of its lifecycle.
//!
//! A close is orderly: the rest of what was begun, a close frame, then our side is shut and the
//! peer's bytes are thrown away until it closes too or its time is up. A socket that is simply
//! dropped with unread input resets the line, and the code is lost with it.

use crate::connection::{Account, Connection, Framing, Phase, Stamp, Standing, Token};
use crate::frame::write_close;
use crate::handoff::{Arrival, Transport};
use crate::identity::Who;
use crate::shard::Shard;
use crate::shard_log::Ended;
use crate::shard_pass::Lane;
use crate::socket::Socket;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use tickcast_market::Nanos;
use tickcast_wire::Encoding;

/// Why the last connections were closed, as many as are remembered.
const CLOSED_MAX: usize = 64;

/// A connection that was closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// Its session.
    pub session: u64,
    /// The number that it had within its shard.
    pub connection: u32,
    /// Where it came from.
    pub peer: SocketAddr,
    /// On whose behalf, if that was known.
    pub sub: Option<Box<str>>,
    /// The close code.
    pub code: u16,
    /// In words.
    pub reason: String,
    /// When.
    pub closed_at: Nanos,
}

impl<S: Socket> Shard<S> {
    /// Makes a connection of a socket, welcomes it, and subscribes an event stream to what its
    /// request names.
    pub(crate) fn admit(&mut self, socket: S, arrival: Arrival) -> u32 {
        let Arrival { peer, transport, answer, who, seat, .. } = arrival;
        let (framing, encoding, compresses) = match &transport {
            Transport::WebSocket { encoding, compress } => {
                (Framing::WebSocket, *encoding, *compress)
            }
            Transport::Sse { .. } => (Framing::Sse { ids: false }, Encoding::Json, false),
        };
        if compresses {
            self.begin_deflate();
        }
        let account = Account {
            session: self.random.u64(..),
            peer: peer.into(),
            opened_at: self.now,
            messages: 0,
            bytes: 0,
            merged: 0,
            rtt_us: 0,
        };
        let mut connection = Connection::new(socket, framing, encoding, account, self.pace.now());
        connection.waiting = answer;
        connection.compresses = compresses;
        if !matches!(who, Who::Anybody) {
            let (pending, begun_at) = (Vec::new(), Stamp::at(self.pace.now()));
            let standing = Standing { who, seat, asking: None, pending, begun_at };
            connection.rare.get_or_insert_default().standing = Some(standing);
        }
        let is_canary = connection.is_canary();
        let token = self.connections.insert(connection) as u32;
        if self.lanes.len() <= token as usize {
            self.lanes.resize(token as usize + 1, Lane::EMPTY);
        }
        self.lanes[token as usize] = Lane::EMPTY;
        if !is_canary {
            self.tally.opened(framing);
            self.tally.log.opened(token, &self.connections[token as usize]);
        }
        self.welcome(token);
        if let Transport::Sse { query, last_event_id } = transport {
            let last = last_event_id.as_deref();
            self.guarded(token, |shard| shard.begin_events(token, &query, last));
        }
        if self.stopped {
            self.close(token, 1001, "the service stops");
        } else if !is_canary {
            self.join_drain(token);
        }
        token
    }

    /// Ends a connection with a code, after what was begun has gone out.
    pub(crate) fn close(&mut self, token: u32, code: u16, reason: &str) {
        let Some(connection) = self.connections.get_mut(token as usize) else { return };
        if connection.phase != Phase::Open {
            return;
        }
        connection.phase = Phase::Closing;
        connection.leave_at =
            self.pace.now().plus(Nanos::from_millis(self.settings.close_within_ms.into()));
        connection.begun_at = Nanos::MAX;
        if let Some(rare) = &mut connection.rare {
            rare.newest_pong = None;
        }
        if connection.framing == Framing::WebSocket {
            write_close(&mut connection.waiting, code, reason);
        }
        self.remember_closed(token, code, reason);
        self.detach(token);
        self.lanes[token as usize] = Lane::SHUT;
        self.flush(token);
    }

    /// The close frame has gone out: shuts our side and waits for the peer to close its own.
    pub(crate) fn leave(&mut self, token: u32) {
        let Some(connection) = self.connections.get_mut(token as usize) else { return };
        connection.phase = Phase::Leaving;
        // A peer that has closed already needs no further waiting.
        if connection.socket.shutdown_write().is_err() {
            self.remove(token);
        } else if !std::mem::replace(&mut connection.unread, true) {
            self.unread.push_back(token);
        }
    }

    /// Ends a connection at once because its driver cannot serve it.
    pub fn disconnect(&mut self, token: Token, reason: &str) {
        self.drop_connection(token.0, 1011, reason);
    }

    /// Ends a connection at once: there is nobody left to be told.
    pub(crate) fn drop_connection(&mut self, token: u32, code: u16, reason: &str) {
        let Some(connection) = self.get(token) else { return };
        if connection.phase == Phase::Open {
            self.remember_closed(token, code, reason);
            self.detach(token);
        }
        self.remove(token);
    }

    /// Takes a connection out of everything that would give it data.
    fn detach(&mut self, token: u32) {
        let connection = &mut self.connections[token as usize];
        let subscriptions = std::mem::take(&mut connection.subscriptions);
        connection.owing = None;
        self.tally.note_lag(connection);
        // A fault in the middle of a request may have left holes.
        let is_canary = connection.is_canary();
        for membership in subscriptions.memberships.iter().filter(|held| !held.is_gone()) {
            let place = membership.place();
            if !is_canary {
                let channel = self.topics.at(place.slot).key.view.channel();
                self.tally.subscribed(channel, -1);
            }
            self.leave_topic(place);
        }
        if subscriptions.is_waiting() {
            self.growth.waiters.retain(|waiter| *waiter != token);
        }
    }

    fn remove(&mut self, token: u32) {
        let connection = self.connections.remove(token as usize);
        self.lanes[token as usize] = Lane::EMPTY;
        if connection.is_canary() {
            return; // It was never counted.
        }
        self.tally.ended(connection.framing);
        self.open.fetch_sub(1, Ordering::Relaxed); // Only a count; orders nothing.
        if let Some(admission) = &self.settings.admission {
            admission.leave(SocketAddr::from(connection.account.peer).ip());
        }
    }

    fn remember_closed(&mut self, token: u32, code: u16, reason: &str) {
        let connection = &self.connections[token as usize];
        if connection.is_canary() {
            return; // It tells of its connections itself.
        }
        let account = connection.account;
        let sub = connection.who().identity().map(|identity| identity.sub.clone());
        let (transport, sub_text) = (connection.framing.name(), sub.as_deref());
        let ended = Ended { connection: token, account, sub: sub_text, transport, code, reason };
        self.tally.log.closed(&ended, self.now);
        self.tally.closed(code);
        if self.closed.len() == CLOSED_MAX {
            self.closed.pop_front();
        }
        self.closed.push_back(Closed {
            session: account.session,
            connection: token,
            peer: account.peer.into(),
            sub,
            code,
            reason: reason.to_owned(),
            closed_at: self.now,
        });
    }
}
