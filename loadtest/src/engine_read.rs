//! What comes off the sockets, cut into frames.

use crate::connection::Phase;
use crate::engine::Engine;
use crate::engine_open::ABNORMAL;
use crate::frames::{self, Next};
use crate::witness::{Now, Then};
use mio::event::Event;
use std::io::ErrorKind;

/// Opcodes of RFC 6455, 5.2.
const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// How many times a socket is read before the others have their turn.
const READS_MAX: usize = 16;

impl Engine {
    pub(crate) fn ready(&mut self, event: &Event) {
        let at = event.token().0;
        if event.is_writable() {
            match self.conns[at].phase {
                Phase::Opening => self.opened_tcp(at),
                Phase::Open if !self.conns[at].out.is_empty() => self.flush(at),
                _ => {}
            }
        }
        // What came before the end must not hide it: it is read to the end then.
        self.conns[at].is_ended |= event.is_read_closed() || event.is_error();
        if (event.is_readable() || event.is_error()) && !self.conns[at].is_paused {
            self.read(at, usize::MAX);
        } else if event.is_error() && self.conns[at].is_paused {
            self.lost(at, ABNORMAL);
        }
    }

    pub(crate) fn flush(&mut self, at: usize) {
        if self.conns[at].flush().is_err() {
            self.lost(at, ABNORMAL);
        }
    }

    /// Reads until nothing is left, or so many bytes.
    fn read(&mut self, at: usize, bytes_max: usize) {
        let mut left = bytes_max;
        for turn in 0.. {
            let conn = &mut self.conns[at];
            let Some(socket) = &mut conn.socket else { return };
            let have = conn.part.len();
            self.buffer[..have].copy_from_slice(&conn.part);
            let room = (self.buffer.len() - have).min(left);
            let bytes = match socket.read(&mut self.buffer[have..have + room]) {
                Ok(0) => return self.lost(at, ABNORMAL),
                Ok(bytes) => bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::NotConnected => return,
                Err(_) => return self.lost(at, ABNORMAL),
            };
            left -= bytes;
            let is_all = bytes < room && socket.short_is_all() && !conn.is_ended;
            self.received(at, have + bytes, bytes);
            let conn = &self.conns[at];
            if is_all || left == 0 || conn.is_paused || conn.phase == Phase::Waiting {
                return;
            }
            // The poller tells of a socket once: the others are served on the next round.
            if turn >= READS_MAX && bytes_max == usize::MAX {
                self.again.push(at as u32);
                return;
            }
        }
    }

    /// What the buffer holds up to `end` has come for a connection.
    fn received(&mut self, at: usize, end: usize, bytes: usize) {
        let mut start = 0;
        if self.conns[at].phase == Phase::Opening {
            match self.upgraded(at, end) {
                Some(length) => start = length,
                None => return self.keep_part(at, 0, end),
            }
        } else {
            self.witness.flow.reads += 1;
            self.witness.flow.bytes += bytes as u64;
        }
        let now = self.now();
        let conn = &mut self.conns[at];
        conn.heard = (now.engine / 1_000_000) as u32;
        // The buffer is lent out while the frames in it are looked at.
        let buffer = std::mem::take(&mut self.buffer);
        let kept = self.walk(at, &buffer[..end], start, now);
        self.buffer = buffer;
        if let Some((start, needed)) = kept {
            if needed > self.buffer.len() {
                self.buffer.resize(needed, 0);
            }
            self.keep_part(at, start, end);
        }
    }

    fn keep_part(&mut self, at: usize, start: usize, end: usize) {
        let conn = &mut self.conns[at];
        if conn.socket.is_none() {
            return;
        }
        if start == end {
            // Nothing is kept for a connection between messages.
            if conn.part.capacity() > 0 {
                conn.part = Vec::new();
            }
            return;
        }
        conn.part.clear();
        conn.part.extend_from_slice(&self.buffer[start..end]);
    }

    /// Walks the frames; where the rest begins, and how long it will be at least. `None` when
    /// the connection is gone.
    fn walk(&mut self, at: usize, buffer: &[u8], start: usize, now: Now) -> Option<(usize, usize)> {
        let mut start = start;
        loop {
            match frames::next(&buffer[start..]) {
                Next::Frame { opcode: TEXT, start: from, end } => {
                    self.witness.flow.frames += 1;
                    let payload = &buffer[start + from..start + end];
                    let conn = &mut self.conns[at];
                    match self.witness.message(at as u32, conn, payload, now) {
                        Then::Continue => {}
                        Then::Leave(after_ms) => self.leave_after(at, now, after_ms),
                    }
                    start += end;
                }
                Next::Frame { opcode, start: from, end } => {
                    self.control(at, opcode, &buffer[start + from..start + end])?;
                    start += end;
                }
                Next::Part { needed } => return Some((start, needed)),
                Next::Bad(words) => {
                    let words = || format!("client {at}: a frame is {words}");
                    self.witness.correctness.broke("frame", words);
                    self.lost(at, ABNORMAL);
                    return None;
                }
            }
        }
    }

    fn control(&mut self, at: usize, opcode: u8, payload: &[u8]) -> Option<()> {
        match opcode {
            PING => {
                self.conns[at].push_frame(PONG, payload);
                self.flush(at);
            }
            CLOSE => {
                let code = payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
                let conn = &mut self.conns[at];
                conn.push_frame(CLOSE, payload);
                // It is over either way.
                let _ = conn.flush();
                self.lost(at, code);
            }
            PONG => {}
            _ => {
                let words = || format!("client {at}: opcode {opcode}");
                self.witness.correctness.broke("frame", words);
            }
        }
        (self.conns[at].phase == Phase::Open).then_some(())
    }

    fn leave_after(&mut self, at: usize, now: Now, after_ms: u64) {
        self.conns[at].leave_at = Some(now.engine + after_ms * 1_000);
    }

    /// Sockets that had more than their turn.
    pub(crate) fn read_again(&mut self) {
        for at in std::mem::take(&mut self.again) {
            if !self.conns[at as usize].is_paused {
                self.read(at as usize, usize::MAX);
            }
        }
    }

    /// What slow clients may read in this moment.
    pub(crate) fn read_slowly(&mut self, elapsed: f64) {
        let Some(slow) = &self.witness.job.scenario.slow else { return };
        if slow.bytes_per_second == 0 {
            return;
        }
        self.slow_allowance += slow.bytes_per_second as f64 * elapsed;
        // Ten times a second at most, or the reading itself would be the load.
        if self.slow_allowance * 10.0 < slow.bytes_per_second as f64 {
            return;
        }
        let bytes = self.slow_allowance as usize;
        self.slow_allowance -= bytes as f64;
        for at in 0..self.conns.len() {
            if self.conns[at].is_paused && bytes > 0 {
                self.conns[at].is_paused = false;
                self.read(at, bytes);
                self.conns[at].is_paused = true;
            }
        }
    }
}
