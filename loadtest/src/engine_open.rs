//! How connections come to be and how they end.

use crate::connection::{Conn, NONE, Phase};
use crate::engine::Engine;
use crate::place::Place;
use crate::requests::Held;
use crate::socket::{self, Socket};
use mio::{Interest, Token};
use std::io::ErrorKind;

/// How many handshakes are under way at once: below the usual backlog of a listener.
const OPENING_MAX: usize = 256;

/// A handshake that takes longer has failed.
const OPENING_US_MAX: u64 = 15_000_000;

/// After a connection was lost it is opened again after so long.
const RETRY_US: u64 = 1_000_000;

/// A connection that heard nothing for so many heartbeats is dead.
const HEARTBEATS_MISSED_MAX: u64 = 3;

/// A slow client takes little in, so that it is slow at once.
const SLOW_RECEIVE_BYTES: usize = 16 * 1024;

/// The close code of RFC 6455, 7.4.1 for a connection that ended without one.
pub(crate) const ABNORMAL: u16 = 1006;

/// RFC 6455, 1.3 works this key's accept value out; nothing between here and a service that is
/// tested may keep answers anyway.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &[u8] = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A head has at most so many lines.
const HEADERS_MAX: usize = 32;

impl Engine {
    pub(crate) fn open_some(&mut self, now: u64, elapsed: f64) {
        let mut at = 0;
        while at < self.later.len() {
            if self.later[at].0 <= now {
                let (_, conn) = self.later.swap_remove(at);
                self.to_open.push_back(conn);
            } else {
                at += 1;
            }
        }
        let scenario = &self.witness.job.scenario;
        let share = self.conns.len() as f64 / self.witness.job.total as f64;
        let ramp = scenario.ramp * share;
        self.allowance = match ramp > 0.0 {
            // What could not be used in a second is not caught up on.
            true => (self.allowance + ramp * elapsed).min(ramp.max(1.0)),
            false => f64::INFINITY,
        };
        self.open_next();
    }

    /// Opens what may be opened now.
    pub(crate) fn open_next(&mut self) {
        while self.opening < OPENING_MAX && self.allowance >= 1.0 {
            let Some(at) = self.to_open.pop_front() else { return };
            self.allowance -= 1.0;
            if let Err(error) = self.open(at as usize) {
                self.open_failed(at as usize, || error.to_string());
            }
        }
    }

    fn open(&mut self, at: usize) -> std::io::Result<()> {
        let started = self.now().engine;
        let conn = &mut self.conns[at];
        if conn.phase != Phase::Waiting {
            return Ok(());
        }
        conn.started = started;
        let job = &self.witness.job;
        let receive_bytes = conn.is_slow.then_some(SLOW_RECEIVE_BYTES);
        let stream = socket::connect(&job.target, job.first + at, receive_bytes)?;
        let mut socket = match &self.tls {
            None => Socket::Plain(stream),
            Some(config) => Socket::tls(stream, config, &job.target.host)
                .map_err(|error| std::io::Error::new(ErrorKind::InvalidInput, error))?,
        };
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(socket.stream(), Token(at), interest)?;
        conn.socket = Some(socket);
        conn.phase = Phase::Opening;
        conn.is_request_sent = false;
        conn.is_ended = false;
        self.opening += 1;
        Ok(())
    }

    /// A connection that is opening can be written to: TCP is there, or has failed.
    pub(crate) fn opened_tcp(&mut self, at: usize) {
        let job = &self.witness.job;
        let conn = &mut self.conns[at];
        let Some(socket) = &mut conn.socket else { return };
        let stream = socket.stream();
        if let Ok(Some(error)) = stream.take_error() {
            return self.open_failed(at, || error.to_string());
        }
        if stream.peer_addr().is_err() {
            return;
        }
        if !conn.is_request_sent {
            conn.is_request_sent = true;
            let request = format!(
                "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\
                 Sec-WebSocket-Protocol: tickcast.v1.json\r\nUser-Agent: tickcast-loadtest\r\n\r\n",
                job.target.path,
                job.target.authority(),
            );
            conn.out.extend_from_slice(request.as_bytes());
        }
        self.flush(at);
    }

    /// Looks at the answer to the upgrade; how many bytes it has when it is there.
    pub(crate) fn upgraded(&mut self, at: usize, end: usize) -> Option<usize> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut head = httparse::Response::new(&mut headers);
        let length = match head.parse(&self.buffer[..end]) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return None,
            Err(error) => {
                let words = format!("the answer to the upgrade: {error}");
                self.open_failed(at, || words);
                return None;
            }
        };
        let code = head.code.unwrap_or_default();
        let accepts = head.headers.iter().any(|header| {
            header.name.eq_ignore_ascii_case("sec-websocket-accept") && header.value == ACCEPT
        });
        if code != 101 || !accepts {
            let body = String::from_utf8_lossy(&self.buffer[length..end.min(length + 200)]);
            let words = format!("the upgrade was answered with {code}: {body}");
            self.open_failed(at, || words);
            return None;
        }
        let now = self.now().engine;
        let conn = &mut self.conns[at];
        conn.phase = Phase::Open;
        conn.heard = (now / 1_000_000) as u32;
        self.opening -= 1;
        self.connected += 1;
        self.connect.record(now - conn.started);
        let before = conn.was_open.then(|| Held::of(conn, &self.witness.views));
        conn.was_open = true;
        conn.has_welcome = self.witness.job.is_lenient;
        renew(conn, self.witness.width());
        if !conn.keys.is_empty() {
            let number = self.witness.job.first + at;
            self.witness.subscribe_all(conn, number, before.as_ref());
            self.flush(at);
        }
        self.open_next();
        Some(length)
    }

    fn open_failed(&mut self, at: usize, words: impl FnOnce() -> String) {
        let conn = &mut self.conns[at];
        if conn.phase == Phase::Opening {
            self.opening -= 1;
        }
        drop_socket(conn);
        self.failed += 1;
        self.witness.correctness.example(|| format!("connect: client {at}: {}", words()));
        if conn.was_open {
            self.witness.correctness.return_failed += 1;
            conn.phase = Phase::Waiting;
            let again = self.now().engine + RETRY_US;
            self.later.push((again, at as u32));
        } else {
            conn.phase = Phase::Gone;
        }
    }

    /// The connection has ended: it was closed, lost, or is given up. It comes back when it was
    /// told to, else after a while.
    pub(crate) fn lost(&mut self, at: usize, code: u16) {
        let now = self.now().engine;
        let conn = &mut self.conns[at];
        if conn.phase == Phase::Opening {
            return self.open_failed(at, || "closed before the answer to the upgrade".into());
        }
        if conn.phase != Phase::Open {
            return;
        }
        let correctness = &mut self.witness.correctness;
        let closed = match conn.is_slow {
            true => &mut correctness.slow_closed,
            false => &mut correctness.closed,
        };
        *closed.entry(code).or_default() += 1;
        // Not to come back unchanged is what these codes say.
        let stays_away = (4400..4500).contains(&code);
        let told = conn.leave_at;
        self.leave(at);
        let conn = &mut self.conns[at];
        if stays_away {
            conn.phase = Phase::Gone;
            return;
        }
        if conn.away_since == 0 {
            conn.away_since = told.map_or(now, |told| told.min(now));
        }
        self.witness.correctness.reconnects += 1;
        let again = told.map_or(now + RETRY_US, |told| told.max(now));
        self.later.push((again, at as u32));
    }

    /// We cut it, and open it again at once.
    pub(crate) fn cut(&mut self, at: usize, forgets: bool) {
        let conn = &mut self.conns[at];
        if conn.phase != Phase::Open {
            return;
        }
        // A session claims what it holds: its connection does too.
        conn.forgets = forgets && conn.sample == NONE;
        self.leave(at);
        self.witness.correctness.reconnects += 1;
        self.to_open.push_back(at as u32);
    }

    fn leave(&mut self, at: usize) {
        let conn = &mut self.conns[at];
        drop_socket(conn);
        conn.leave_at = None;
        conn.phase = Phase::Waiting;
        self.connected -= 1;
        self.witness.missing -= u64::from(conn.missing);
        conn.missing = 0;
    }

    /// Once a second: handshakes that take too long, connections that hear nothing.
    pub(crate) fn look_for_the_dead(&mut self, now: u64) {
        let silence = HEARTBEATS_MISSED_MAX * self.witness.heartbeat_us / 1_000_000;
        for at in 0..self.conns.len() {
            let conn = &self.conns[at];
            match conn.phase {
                Phase::Opening if now > conn.started + OPENING_US_MAX => {
                    self.open_failed(at, || "no answer to the upgrade".into());
                }
                Phase::Open
                    if silence > 0
                        && !conn.is_slow
                        && now / 1_000_000 > u64::from(conn.heard) + silence + 1 =>
                {
                    let words = || format!("client {at}: nothing for {silence} s");
                    self.witness.correctness.broke("silent", words);
                    self.lost(at, ABNORMAL);
                }
                _ => {}
            }
        }
    }
}

/// Begins a new connection: what is held is claimed by the requests, or not.
fn renew(conn: &mut Conn, width: usize) {
    conn.asked = Vec::new();
    conn.is_paused = false;
    for places in conn.places.chunks_mut(width) {
        places[0] = Place::default();
        places[1..].fill(Place::off());
    }
}

fn drop_socket(conn: &mut Conn) {
    // Closing a socket takes it off the poller.
    conn.socket = None;
    conn.part = Vec::new();
    conn.out = Vec::new();
}
