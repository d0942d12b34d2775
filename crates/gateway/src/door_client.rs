//! Whom a connection is from, and whether it may come in: at once for everybody who comes directly,
//! after a PROXY header or a request head for those that a trusted proxy brings.
//!
//! *Invariant:* the place that a connection takes among those of its address is given back exactly
//! once, here or by the shard that has the connection.

use crate::admission::{Admission, Place};
use crate::door::Door;
use crate::handshake::HEADERS_MAX;
use crate::proxies::canonical;
use crate::proxy_header::{Found, HEADER_BYTES_MAX, read_proxy_header};
use crate::refusal::Refusal;
use crate::refusal_reason::Reason;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

/// The header by which HTTP proxies tell whom a request is from.
pub(crate) const FORWARDED: &str = "x-forwarded-for";

/// A connection's origin, as far as it is known.
#[derive(Debug)]
pub(crate) struct Visitor {
    /// The client's address; a trusted proxy's where more is not known yet.
    pub(crate) peer: SocketAddr,
    /// It is a trusted proxy's: the request head may say more.
    pub(crate) by_proxy: bool,
    /// When it was accepted.
    pub(crate) accepted: Instant,
    place: Option<Place>,
}

impl Visitor {
    /// A connection from this address.
    ///
    /// *Errors:* the address has too many, or they come too fast.
    pub(crate) fn from(
        peer: SocketAddr,
        accepted: Instant,
        admission: &Arc<Admission>,
    ) -> Result<Visitor, Refusal> {
        let mut visitor = Visitor { peer, by_proxy: true, accepted, place: None };
        visitor.learn(canonical(peer), accepted, admission)?;
        Ok(visitor)
    }

    /// A trusted proxy says that it is from this address; may be said again for later requests.
    ///
    /// *Errors:* as above.
    pub(crate) fn learn(
        &mut self,
        peer: SocketAddr,
        now: Instant,
        admission: &Arc<Admission>,
    ) -> Result<(), Refusal> {
        self.peer = peer;
        self.by_proxy = admission.proxies().trust(peer.ip());
        if !self.by_proxy {
            self.place = admission.enter(peer.ip(), now.into_std())?;
        }
        Ok(())
    }

    /// A shard has the connection and gives its place back.
    pub(crate) fn pass_on(self) {
        if let Some(place) = self.place {
            place.pass_on();
        }
    }
}

impl Door {
    /// Takes the PROXY header that a trusted proxy may send before anything else. `kept` gets what
    /// has come of something else.
    ///
    /// *Errors:* it is malformed, late, or the proxy has gone (nobody is told); or what to tell the
    /// client.
    pub(crate) async fn hear_proxy(
        &self,
        socket: &TcpStream,
        visitor: &mut Visitor,
        kept: &mut Vec<u8>,
    ) -> Result<(), Option<Refusal>> {
        let deadline = visitor.accepted + self.limits().head_deadline;
        match timeout_at(deadline, take_header(socket, kept)).await {
            // In TLS there is nothing that begins like a header and is none.
            Ok(Ok(_)) if self.is_encrypted() && !kept.is_empty() => {
                self.metrics.refuse(MALFORMED);
                Err(None)
            }
            Ok(Ok(None)) => Ok(()),
            Ok(Ok(Some(client))) => {
                visitor.learn(canonical(client), visitor.accepted, &self.admission).map_err(Some)
            }
            Ok(Err(error)) => {
                if error.kind() == io::ErrorKind::InvalidData {
                    tracing::debug!(proxy = %visitor.peer, "malformed PROXY header");
                    self.metrics.refuse(MALFORMED);
                }
                Err(None)
            }
            Err(_) => {
                self.note_refusal(visitor.peer, &Refusal::too_slow());
                Err(None)
            }
        }
    }

    /// Reads from the head of a request that came over a trusted proxy whom it is from.
    ///
    /// *Errors:* what to tell the client.
    pub(crate) fn learn_client(&self, visitor: &mut Visitor, head: &[u8]) -> Result<(), Refusal> {
        if !visitor.by_proxy {
            return Ok(());
        }
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut request = httparse::Request::new(&mut headers);
        // It has been parsed before; where that fails nothing is forwarded.
        let _ = request.parse(head);
        let forwarded = request.headers.iter().filter(|h| h.name.eq_ignore_ascii_case(FORWARDED));
        let client =
            self.admission.proxies().client(visitor.peer, forwarded.map(|header| header.value));
        visitor.learn(client, Instant::now(), &self.admission)
    }
}

/// For the counter of refusals.
const MALFORMED: Reason = Reason::ProxyHeader;

/// Takes a PROXY header off the socket and not one byte more: what follows may be TLS.
///
/// *Errors:* [`io::ErrorKind::InvalidData`]: malformed.
async fn take_header(socket: &TcpStream, kept: &mut Vec<u8>) -> io::Result<Option<SocketAddr>> {
    let mut header = Vec::new();
    let mut window = [0; HEADER_BYTES_MAX];
    loop {
        let some = socket.peek(&mut window).await?;
        if some == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let taken = header.len();
        header.extend_from_slice(&window[..some]);
        let (length, whole) = match read_proxy_header(&header) {
            Found::Whole(length, client) => (length, Some(client)),
            Found::Part => (header.len(), None),
            Found::Malformed => return Err(io::ErrorKind::InvalidData.into()),
            Found::Nothing => {
                header.truncate(taken);
                *kept = header;
                return Ok(None);
            }
        };
        // What was seen is there; taking it makes the next look wait for more.
        let own = &mut window[..length - taken];
        if socket.try_read(own)? != own.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(client) = whole {
            return Ok(client);
        }
    }
}
