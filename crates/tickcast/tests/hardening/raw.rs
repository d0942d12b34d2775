//! A client that says exactly what it is told to, byte for byte, and notes what comes back.
//!
//! It is no WebSocket client: it masks what it should mask only when asked to, and answers nothing.

use crate::service::{Service, Stream};
use socket2::{Domain, Socket, Type};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Nothing that a row promises takes longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A handshake that is right in every respect.
pub(crate) const HANDSHAKE: &str = "GET /v1/ws HTTP/1.1\r\nHost: tickcast.test\r\n\
    Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\n\r\n";

/// Connects, each time from another loopback address, as clients of the internet do.
pub(crate) fn connect(to: SocketAddr) -> TcpStream {
    connect_with(to, |_| {})
}

/// The same with a small receive buffer, which has to be set before.
pub(crate) fn connect_narrow(to: SocketAddr) -> TcpStream {
    connect_with(to, |socket| socket.set_recv_buffer_size(4 << 10).expect("a size"))
}

fn connect_with(to: SocketAddr, set: impl Fn(&Socket)) -> TcpStream {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed); // Only a number.
    let from = Ipv4Addr::new(
        127,
        1 + (number / 62_500 % 250) as u8,
        (number / 250 % 250) as u8,
        1 + (number % 250) as u8,
    );
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a descriptor is free");
    set(&socket);
    socket.bind(&SocketAddr::from((from, 0)).into()).expect("loopback addresses are ours");
    socket.connect(&to.into()).expect("it listens");
    socket.set_tcp_nodelay(true).expect("a TCP socket");
    socket.into()
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// In order: everything was delivered before.
    Orderly,
    /// By a reset.
    Reset,
    /// Not at all in the time given.
    Open,
}

/// A frame of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) opcode: u8,
    pub(crate) payload: Vec<u8>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) frames: Vec<Frame>,
    pub(crate) end: End,
}

impl Outcome {
    /// The code of the first close frame, if one came; 1005 where it had none.
    pub(crate) fn close_code(&self) -> Option<u16> {
        let close = self.frames.iter().find(|frame| frame.opcode == 8)?;
        Some(match close.payload[..] {
            [high, low, ..] => u16::from_be_bytes([high, low]),
            _ => 1005,
        })
    }

    /// Frames after the close frame, which there must not be.
    pub(crate) fn frames_after_close(&self) -> usize {
        let at = self.frames.iter().position(|frame| frame.opcode == 8);
        at.map_or(0, |at| self.frames.len() - at - 1)
    }
}

/// A WebSocket connection whose handshake is done.
pub(crate) struct Raw {
    pub(crate) stream: Stream,
    received: Vec<u8>,
}

/// What a read gave.
pub(crate) enum Next {
    Frame(Frame),
    End(End),
}

impl Raw {
    /// Connects and shakes hands.
    pub(crate) fn open(service: &Service) -> Raw {
        Raw::shake(Stream::Plain(connect(service.public)), b"")
    }

    /// Shakes hands on a connection that may end before that is done.
    pub(crate) fn try_shake(stream: Stream) -> Option<Raw> {
        Raw::try_shake_within(stream, PATIENCE)
    }

    /// The same, with so much patience.
    pub(crate) fn try_shake_within(mut stream: Stream, time: Duration) -> Option<Raw> {
        stream.set_read_timeout(time);
        stream.write_all(HANDSHAKE.as_bytes()).ok()?;
        let mut raw = Raw { stream, received: Vec::new() };
        raw.try_read_head().map(|_| raw)
    }

    /// Shakes hands on a connection; `ahead` goes out with the request, in one write.
    pub(crate) fn shake(mut stream: Stream, ahead: &[u8]) -> Raw {
        stream.set_read_timeout(PATIENCE);
        stream.write_all(&[HANDSHAKE.as_bytes(), ahead].concat()).expect("it reads");
        let mut raw = Raw { stream, received: Vec::new() };
        let head = raw.try_read_head().expect("an answer");
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        raw
    }

    /// Reads to the end of a head and keeps what follows it.
    fn try_read_head(&mut self) -> Option<String> {
        let mut buffer = [0; 2048];
        loop {
            if let Some(end) = self.received.windows(4).position(|four| four == b"\r\n\r\n") {
                let rest = self.received.split_off(end + 4);
                let head = std::mem::replace(&mut self.received, rest);
                return String::from_utf8(head).ok();
            }
            match self.stream.read(&mut buffer) {
                Ok(some @ 1..) => self.received.extend_from_slice(&buffer[..some]),
                _ => return None,
            }
        }
    }

    /// Sends all bytes with one write.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("it reads");
    }

    /// Sends what may come too late, because the server has judged already.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// The next frame, as long as a read may wait.
    pub(crate) fn next(&mut self) -> Next {
        let mut buffer = [0; 16 << 10];
        loop {
            if let Some(frame) = self.take_frame() {
                return Next::Frame(frame);
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => return Next::End(End::Orderly),
                Ok(some) => self.received.extend_from_slice(&buffer[..some]),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => return Next::End(End::Open),
                    ErrorKind::Interrupted => {}
                    _ => return Next::End(End::Reset),
                },
            }
        }
    }

    fn take_frame(&mut self) -> Option<Frame> {
        let (head, payload) = frame_lengths(&self.received)?;
        if self.received.len() < head + payload {
            return None;
        }
        let opcode = self.received[0] & 15;
        let payload = self.received[head..head + payload].to_vec();
        self.received.drain(..head + payload.len());
        Some(Frame { opcode, payload })
    }

    /// Reads frames until the connection ends or the time is up.
    pub(crate) fn read_to_end(&mut self, within: Duration) -> Outcome {
        let deadline = Instant::now() + within;
        let mut frames = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            self.stream.set_read_timeout(left.max(Duration::from_millis(1)));
            match self.next() {
                Next::Frame(frame) => frames.push(frame),
                Next::End(end) => return Outcome { frames, end },
            }
        }
    }

    /// Reads until a frame fits.
    pub(crate) fn until(&mut self, what: &str, fits: impl Fn(&Frame) -> bool) -> Frame {
        let deadline = Instant::now() + PATIENCE;
        self.stream.set_read_timeout(PATIENCE);
        loop {
            match self.next() {
                Next::Frame(frame) if fits(&frame) => return frame,
                Next::Frame(_) => assert!(Instant::now() < deadline, "{what} does not come"),
                Next::End(end) => panic!("{what} does not come: {end:?}"),
            }
        }
    }

    /// The connection is served: a ping is answered.
    pub(crate) fn is_served(&mut self) {
        self.send(&frame(0x89, b"still there?"));
        self.until("a pong", |frame| frame.opcode == 10 && frame.payload == b"still there?");
    }
}

/// How long head and payload of the server's frame are that `bytes` begin with; `None` while the
/// head is not whole.
pub(crate) fn frame_lengths(bytes: &[u8]) -> Option<(usize, usize)> {
    let second = *bytes.get(1)?;
    assert_eq!(second & 0x80, 0, "a server's frames are not masked");
    Some(match second {
        126 => (4, usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?))),
        127 => (10, u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?) as usize),
        short => (2, usize::from(short)),
    })
}

const MASK: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

/// A masked frame whose first byte is given.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        length @ 0..=125 => out.push(0x80 | length as u8),
        length @ 126..=0xFFFF => {
            out.push(0x80 | 126);
            out.extend((length as u16).to_be_bytes());
        }
        length => {
            out.push(0x80 | 127);
            out.extend((length as u64).to_be_bytes());
        }
    }
    out.extend(MASK);
    out.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ MASK[at % 4]));
    out
}

/// A masked text message.
pub(crate) fn text(payload: &str) -> Vec<u8> {
    frame(0x81, payload.as_bytes())
}
