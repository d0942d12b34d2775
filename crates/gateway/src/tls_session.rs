//! One connection's TLS as bytes: ciphertext in, plaintext out, and the other way round. No socket.
//!
//! The door begins it, the shard goes on with it. rustls's unbuffered connection keeps no buffers
//! of its own, so an idle client costs its keys and nothing else: bytes are decrypted where they
//! were read and encrypted into a buffer that the caller uses for everybody.
//!
//! *Invariant:* kept are part of one incoming record and what the line did not take; both are
//! bounded.

use rustls::ServerConfig;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus, WriteTraffic,
};
use std::fmt;
use std::sync::Arc;

/// What is encrypted at a time: a full record.
pub(crate) const PLAIN_BYTES_MAX: usize = 16 << 10;

/// What [`Session::seal`] needs room for: a record with its header and tag, before it a key update
/// or alerts that are due.
pub(crate) const SEALED_BYTES_MAX: usize = PLAIN_BYTES_MAX + 1024;

/// Incoming bytes that may be kept: less than a record of the largest length (RFC 5246, section
/// 6.2.3), which also is far more than any client's first message.
const INCOMING_BYTES_MAX: usize = (16 << 10) + 2048 + 5;

/// How often rustls is asked what to do next about one piece of input: records have at least 5
/// bytes, and what is read at once is bounded by the callers.
const STEPS_MAX: usize = 32 << 10;

/// Why a TLS connection cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionError {
    /// The peer broke the rules, or none were agreed on.
    #[error(transparent)]
    Tls(#[from] rustls::Error),
    /// A record cannot be encrypted: its keys are used up (TLS 1.2).
    #[error("no more can be encrypted: {0}")]
    Seal(#[from] EncryptError),
    /// More of an unfinished message than is kept.
    #[error("a message without an end")]
    TooLong,
}

/// A server's side of one TLS connection.
pub struct Session {
    connection: UnbufferedServerConnection,
    /// What has come of a record that is not whole.
    incoming: Vec<u8>,
    /// Ciphertext that waits for the line; the first `gone` bytes have been taken.
    outgoing: Vec<u8>,
    gone: usize,
    /// The peer has said that nothing more will come.
    is_ended: bool,
    /// We have.
    has_said_end: bool,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("waiting", &self.waiting().len()).finish_non_exhaustive()
    }
}

impl Session {
    /// A connection of which nothing has come yet.
    ///
    /// *Errors:* the configuration is unusable.
    pub(crate) fn new(config: Arc<ServerConfig>) -> Result<Session, SessionError> {
        Ok(Session {
            connection: UnbufferedServerConnection::new(config)?,
            incoming: Vec::new(),
            outgoing: Vec::new(),
            gone: 0,
            is_ended: false,
            has_said_end: false,
        })
    }

    /// Whether keys are still being agreed on.
    pub(crate) fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Whether the peer has said that nothing more will come.
    pub(crate) fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// Puts what was kept of a record at the beginning of `buffer`, of which the rest is to be read
    /// into; how much that was. Give it all to [`Session::open`]; nothing is lost without.
    pub(crate) fn begin(&self, buffer: &mut [u8]) -> usize {
        buffer[..self.incoming.len()].copy_from_slice(&self.incoming);
        self.incoming.len()
    }

    /// Decrypts what was read after [`Session::begin`], and appends it to `plain`. What is to be
    /// answered waits in [`Session::waiting`], also after an error.
    ///
    /// *Errors:* the connection cannot go on.
    ///
    /// *Cost:* an allocation per record, and one for a part of a record that is left.
    pub(crate) fn open(
        &mut self,
        bytes: &mut [u8],
        plain: &mut Vec<u8>,
    ) -> Result<(), SessionError> {
        let mut done = 0;
        for _ in 0..STEPS_MAX {
            let status = self.connection.process_tls_records(&mut bytes[done..]);
            let UnbufferedStatus { mut discard, state } = status;
            let mut rests = false;
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        discard += record.discard;
                        plain.extend_from_slice(record.payload);
                    }
                }
                Ok(ConnectionState::EncodeTlsData(data)) => encode(data, &mut self.outgoing),
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed) => self.is_ended = true,
                Ok(ConnectionState::WriteTraffic(_) | ConnectionState::BlockedHandshake) => {
                    rests = true;
                }
                // Closed on both sides, or early data, which was never offered.
                Ok(_) => {
                    self.is_ended = true;
                    rests = true;
                }
                Err(error) => {
                    self.take_alerts(&mut bytes[done + discard..]);
                    return Err(error.into());
                }
            }
            done += discard;
            if rests {
                self.keep(&bytes[done..]);
                return if self.incoming.len() < INCOMING_BYTES_MAX {
                    Ok(())
                } else {
                    Err(SessionError::TooLong)
                };
            }
        }
        Err(SessionError::TooLong)
    }

    fn keep(&mut self, rest: &[u8]) {
        // Nothing is held for those of whom nothing is kept, which is nearly everybody.
        self.incoming = if self.is_ended { Vec::new() } else { rest.to_vec() };
    }

    /// After an error the peer is told which; rustls has it ready.
    fn take_alerts(&mut self, rest: &mut [u8]) {
        while let UnbufferedStatus { state: Ok(ConnectionState::EncodeTlsData(data)), .. } =
            self.connection.process_tls_records(rest)
        {
            encode(data, &mut self.outgoing);
        }
    }

    /// Encrypts the first bytes of `plain`, a record's worth at most, into `sealed`: how many they
    /// were, and how long it is now. What waits has to go out before it.
    ///
    /// *Errors:* the connection cannot go on.
    ///
    /// *Panics* if `sealed` is shorter than [`SEALED_BYTES_MAX`].
    pub(crate) fn seal(
        &mut self,
        plain: &[u8],
        sealed: &mut [u8],
    ) -> Result<(usize, usize), SessionError> {
        assert!(sealed.len() >= SEALED_BYTES_MAX);
        let plain = &plain[..plain.len().min(PLAIN_BYTES_MAX)];
        let length = self.write_with(sealed, |traffic, into| traffic.encrypt(plain, into))?;
        Ok((plain.len(), length))
    }

    /// Says that nothing more will come, after everything that waits; once. A connection that is
    /// broken has nothing to say. `scratch` is room for it, as for [`Session::seal`].
    pub(crate) fn end(&mut self, scratch: &mut [u8]) {
        if std::mem::replace(&mut self.has_said_end, true) || self.is_handshaking() {
            return;
        }
        let said = self.write_with(scratch, |traffic, into| traffic.queue_close_notify(into));
        if let Ok(length) = said {
            self.wait(&scratch[..length]);
        }
    }

    fn write_with(
        &mut self,
        sealed: &mut [u8],
        write: impl Fn(
            &mut WriteTraffic<'_, ServerConnectionData>,
            &mut [u8],
        ) -> Result<usize, EncryptError>,
    ) -> Result<usize, SessionError> {
        let mut due = Vec::new();
        for _ in 0..STEPS_MAX {
            // Not an empty slice: rustls remembers places in what was kept.
            match self.connection.process_tls_records(&mut self.incoming).state? {
                ConnectionState::EncodeTlsData(data) => encode(data, &mut due),
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::PeerClosed => self.is_ended = true,
                ConnectionState::WriteTraffic(mut traffic) => {
                    let Some((front, room)) = sealed.split_at_mut_checked(due.len()) else { break };
                    front.copy_from_slice(&due);
                    let length = write(&mut traffic, room)?;
                    return Ok(due.len() + length);
                }
                _ => break,
            }
        }
        Err(SessionError::TooLong)
    }

    /// Ciphertext that waits for the line.
    pub(crate) fn waiting(&self) -> &[u8] {
        &self.outgoing[self.gone..]
    }

    /// The line has taken so much of what waited.
    pub(crate) fn took(&mut self, length: usize) {
        self.gone += length;
        if self.gone >= self.outgoing.len() {
            (self.outgoing, self.gone) = (Vec::new(), 0);
        }
    }

    /// The line did not take this; it goes out first, and nothing is encrypted before it has.
    pub(crate) fn wait(&mut self, rest: &[u8]) {
        self.outgoing.extend_from_slice(rest);
    }
}

/// Appends what rustls has to say.
fn encode(mut data: EncodeTlsData<'_, ServerConnectionData>, out: &mut Vec<u8>) {
    if let Err(EncodeError::InsufficientSize(needed)) = data.encode(&mut []) {
        let start = out.len();
        out.resize(start + needed.required_size, 0);
        let length = data.encode(&mut out[start..]).unwrap_or(0);
        out.truncate(start + length);
    }
}
