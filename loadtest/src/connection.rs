//! One client's connection: some 200 bytes, and 24 for each stream that it follows.

use crate::place::Place;
use crate::socket::Socket;
use std::rc::Rc;

/// Nothing of the kind.
pub(crate) const NONE: u16 = u16::MAX;

/// Where a connection is in its life. `Engine` alone moves it on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Has not been opened, or waits to be opened again.
    Waiting,
    /// TCP, TLS and the upgrade are under way.
    Opening,
    /// Takes messages.
    Open,
    /// Will not be opened again.
    Gone,
}

/// A request whose answer has not come.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) req_id: u32,
    pub(crate) column: u8,
    pub(crate) is_unsubscribe: bool,
    /// Positions in the connection's list.
    pub(crate) positions: Box<[u32]>,
}

pub(crate) struct Conn {
    pub(crate) socket: Option<Socket>,
    pub(crate) phase: Phase,
    pub(crate) is_slow: bool,
    /// Does not read for now: slow, and has had its first messages.
    pub(crate) is_paused: bool,
    pub(crate) was_open: bool,
    pub(crate) has_welcome: bool,
    pub(crate) has_data: bool,
    /// Claims nothing when it comes back.
    pub(crate) forgets: bool,
    /// Before and after the bell.
    pub(crate) is_quiet: bool,
    pub(crate) is_request_sent: bool,
    /// The peer has said its last; the poller tells of that once.
    pub(crate) is_ended: bool,
    /// Index of its session, if it is sampled.
    pub(crate) sample: u16,
    /// Index of its own histogram, if it is watched.
    pub(crate) watched: u16,
    pub(crate) last_req_id: u32,
    /// First messages of subscriptions that have not come.
    pub(crate) missing: u32,
    /// Seconds of the engine's clock.
    pub(crate) heard: u32,
    /// Microseconds of the engine's clock at which it began to connect.
    pub(crate) started: u64,
    /// When to come back, after the service has said that it goes away.
    pub(crate) leave_at: Option<u64>,
    /// Since when it has had no service: it was lost, or told to be away, and does not have all its
    /// first messages again. 0: it is served, or was cut by us.
    pub(crate) away_since: u64,
    /// The instruments that it may have, in order.
    pub(crate) keys: Rc<[u32]>,
    /// For each of them its status, then one for each channel.
    pub(crate) places: Box<[Place]>,
    pub(crate) asked: Vec<Asked>,
    /// The beginning of a frame whose rest has not come.
    pub(crate) part: Vec<u8>,
    /// What could not be written.
    pub(crate) out: Vec<u8>,
}

impl Conn {
    pub(crate) fn new(keys: Rc<[u32]>, width: usize) -> Conn {
        let mut places = vec![Place::off(); keys.len() * width].into_boxed_slice();
        places.iter_mut().step_by(width).for_each(|status| *status = Place::default());
        Conn {
            socket: None,
            phase: Phase::Waiting,
            is_slow: false,
            is_paused: false,
            was_open: false,
            has_welcome: false,
            has_data: false,
            forgets: false,
            is_quiet: false,
            is_request_sent: false,
            is_ended: false,
            sample: NONE,
            watched: NONE,
            last_req_id: 0,
            missing: 0,
            heard: 0,
            started: 0,
            leave_at: None,
            away_since: 0,
            keys,
            places,
            asked: Vec::new(),
            part: Vec::new(),
            out: Vec::new(),
        }
    }

    /// Appends a masked frame (RFC 6455, 5.2 and 5.3). The mask hides nothing here; it is there
    /// because a server must refuse a frame without one.
    pub(crate) fn push_frame(&mut self, opcode: u8, payload: &[u8]) {
        const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
        self.out.push(0x80 | opcode);
        match payload.len() {
            len @ 0..126 => self.out.push(0x80 | len as u8),
            len @ 126..0x1_0000 => {
                self.out.push(0x80 | 126);
                self.out.extend_from_slice(&(len as u16).to_be_bytes());
            }
            len => {
                self.out.push(0x80 | 127);
                self.out.extend_from_slice(&(len as u64).to_be_bytes());
            }
        }
        self.out.extend_from_slice(&MASK);
        let masked = payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask);
        self.out.extend(masked);
    }

    /// Writes what waits, as far as it can be written.
    ///
    /// *Errors:* the connection is over.
    pub(crate) fn flush(&mut self) -> std::io::Result<()> {
        let Some(socket) = &mut self.socket else { return Ok(()) };
        let mut written = 0;
        let result = loop {
            if written == self.out.len() {
                break socket.flush();
            }
            match socket.write(&self.out[written..]) {
                Ok(0) => break Ok(()),
                Ok(bytes) => written += bytes,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break Ok(()),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        self.out.drain(..written);
        if self.out.is_empty() {
            self.out = Vec::new();
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_small() {
        assert!(size_of::<Conn>() <= 192, "{}", size_of::<Conn>());
    }

    #[test]
    fn frames_are_masked_and_their_headers_as_short_as_the_length_allows() {
        for (len, header) in [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
            let mut conn = Conn::new(Rc::from([]), 2);
            conn.push_frame(1, &vec![b'x'; len]);
            assert_eq!(conn.out.len(), header + 4 + len);
            assert_eq!((conn.out[0], conn.out[1] & 0x80), (0x81, 0x80));
            let (mask, payload) = conn.out[header..].split_at(4);
            assert!(payload.iter().zip(mask.iter().cycle()).all(|(p, m)| p ^ m == b'x'));
        }
    }
}
