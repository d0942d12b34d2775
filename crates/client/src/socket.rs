//! One open connection, message by message: no state is kept, nothing is asked again.
//!
//! The parser underneath holds no limit over the fragments of a message and may not be stopped
//! while it reads, so both are seen to here: the sum is bounded, and whoever reads goes on reading
//! the same future ([`SocketReader::next`]) until it has given something.

use crate::dial::Line;
use crate::error::Error;
use crate::texts::Texts;
use fastwebsockets::{Frame, OpCode, Payload, Role, WebSocketError, WebSocketRead, WebSocketWrite};
use std::convert::Infallible;
use std::fmt;
use tickcast_wire::{Encoding, Request, write_request};
use tokio::io::{ReadHalf, WriteHalf};

/// The longest message that is accepted.
pub const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// How many fragments a message may have.
const FRAGMENTS_MAX: usize = 1024;

/// What comes over a connection.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// A message, as the text of the JSON encoding.
    Text(&'a str),
    /// A ping, to be answered with these bytes.
    Ping(Vec<u8>),
    /// A pong.
    Pong,
    /// The peer closes: code (1005 where none was sent) and reason.
    Close(u16, String),
}

/// The half of a connection that reads.
pub struct SocketReader {
    read: WebSocketRead<ReadHalf<Line>>,
    texts: Texts,
    message: Vec<u8>,
    /// One that came between the fragments of a message.
    ping: Option<Vec<u8>>,
    bytes: u64,
}

/// The half of a connection that writes.
pub struct SocketWriter {
    write: WebSocketWrite<WriteHalf<Line>>,
    encoding: Encoding,
}

impl fmt::Debug for SocketReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocketReader").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl fmt::Debug for SocketWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocketWriter").field("encoding", &self.encoding).finish_non_exhaustive()
    }
}

pub(crate) fn halves(line: Line, encoding: Encoding) -> (SocketReader, SocketWriter) {
    let (read, write) = tokio::io::split(line);
    let (mut read, mut write) = fastwebsockets::after_handshake_split(read, write, Role::Client);
    read.set_max_message_size(MESSAGE_BYTES_MAX);
    read.set_auto_close(false);
    read.set_auto_pong(false);
    write.set_auto_apply_mask(true);
    let texts = Texts::new(encoding);
    let reader = SocketReader { read, texts, message: Vec::new(), ping: None, bytes: 0 };
    (reader, SocketWriter { write, encoding })
}

impl SocketReader {
    /// The next message or control frame.
    ///
    /// Not to be dropped before it is done: what was read of a frame would be lost.
    ///
    /// *Errors:* [`Error::Lost`]: the connection ended or broke the protocol. *Cost:* no allocation
    /// for a message that is not longer than earlier ones.
    pub async fn next(&mut self) -> Result<Incoming<'_>, Error> {
        if let Some(ping) = self.ping.take() {
            return Ok(Incoming::Ping(ping));
        }
        let mut opcode = None;
        let mut fragments = 0;
        self.message.clear();
        loop {
            let mut unused = |_: Frame<'_>| std::future::ready(Ok::<(), Infallible>(()));
            let frame = self.read.read_frame(&mut unused).await.map_err(lost)?;
            self.bytes += frame.payload.len() as u64;
            match (frame.opcode, opcode) {
                (OpCode::Text | OpCode::Binary, None) => opcode = Some(frame.opcode as u8),
                (OpCode::Continuation, Some(_)) => {}
                (OpCode::Text | OpCode::Binary | OpCode::Continuation, _) => {
                    return Err(Error::Lost("a fragment where none can be".into()));
                }
                (OpCode::Ping, Some(_)) => {
                    self.ping = Some(frame.payload.to_vec());
                    continue;
                }
                (OpCode::Pong, Some(_)) => continue,
                (OpCode::Ping, None) => return Ok(Incoming::Ping(frame.payload.to_vec())),
                (OpCode::Pong, None) => return Ok(Incoming::Pong),
                (OpCode::Close, _) => return Ok(close(&frame.payload)),
            }
            fragments += 1;
            let length = self.message.len() + frame.payload.len();
            if length > MESSAGE_BYTES_MAX || fragments > FRAGMENTS_MAX {
                return Err(Error::Lost(format!(
                    "a message of more than {MESSAGE_BYTES_MAX} bytes"
                )));
            }
            self.message.extend_from_slice(&frame.payload);
            if frame.fin {
                break;
            }
        }
        let text = self.texts.text(opcode.unwrap_or_default(), &self.message);
        let text = text.map_err(Error::Lost)?;
        let text = std::str::from_utf8(text);
        text.map(Incoming::Text).map_err(|_| Error::Lost("a message is not UTF-8".into()))
    }

    /// How many bytes of payload have come.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl SocketWriter {
    /// Sends a request. Asked for again while this waits, it would be sent in pieces: finish it.
    ///
    /// *Errors:* [`Error::Lost`].
    pub async fn send(&mut self, request: &Request) -> Result<(), Error> {
        let mut message = Vec::with_capacity(256);
        write_request(&mut message, self.encoding, request);
        let opcode = if self.encoding.opcode() == 1 { OpCode::Text } else { OpCode::Binary };
        self.frame(Frame::new(true, opcode, None, Payload::Owned(message))).await
    }

    /// Answers a ping.
    ///
    /// *Errors:* [`Error::Lost`].
    pub async fn pong(&mut self, bytes: Vec<u8>) -> Result<(), Error> {
        self.frame(Frame::pong(Payload::Owned(bytes))).await
    }

    /// Says that nothing more is sent; the peer answers with the same.
    ///
    /// *Errors:* [`Error::Lost`].
    pub async fn close(&mut self, code: u16) -> Result<(), Error> {
        self.frame(Frame::close(code, b"")).await
    }

    async fn frame(&mut self, frame: Frame<'_>) -> Result<(), Error> {
        self.write.write_frame(frame).await.map_err(lost)?;
        self.write.flush().await.map_err(lost)
    }
}

fn lost(error: WebSocketError) -> Error {
    Error::Lost(match error {
        WebSocketError::UnexpectedEOF => "it ended without a close".to_owned(),
        error => error.to_string(),
    })
}

fn close(payload: &[u8]) -> Incoming<'static> {
    match payload {
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            Incoming::Close(code, String::from_utf8_lossy(reason).into_owned())
        }
        _ => Incoming::Close(1005, String::new()),
    }
}
