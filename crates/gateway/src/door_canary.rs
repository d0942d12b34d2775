//! The door for the service's own witness: the ordinary head, handshake and shard, without what is
//! meant for strangers.
//!
//! The canary brings a connection that it has made to itself over loopback, so that it is served
//! whatever the public listener is: TLS, tokens, proxies, limits and drains are not asked. It is
//! [`Who::Canary`] from here on and counted nowhere as a client.

use crate::door::Door;
use crate::door_head::read_first;
use crate::door_stream::Stream;
use crate::handoff::{Handoff, Transport};
use crate::handshake::Route;
use crate::identity::Who;
use socket2::SockRef;
use std::io;
use std::net::TcpStream as Accepted;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Why the canary was not taken in.
#[derive(Debug, thiserror::Error)]
pub enum CanaryError {
    /// The socket cannot be used.
    #[error("the canary's socket: {0}")]
    Socket(#[from] io::Error),
    /// It has asked for nothing, or for something else than a WebSocket.
    #[error("the canary's request: {0}")]
    Request(String),
    /// The shard takes nothing more, has ended, or there is none of that number.
    #[error("shard {0} does not take the canary")]
    Shard(usize),
}

impl Door {
    /// Reads the canary's request from a connection that was made for it and gives the connection
    /// to that shard, which writes the answer. Runs on the caller's runtime.
    ///
    /// *Errors:* it is not served; the connection is closed.
    pub async fn take_canary(&self, socket: Accepted, shard: usize) -> Result<(), CanaryError> {
        let limits = self.limits();
        let peer = socket.peer_addr()?;
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        SockRef::from(&socket).set_send_buffer_size(limits.send_buffer_bytes)?;
        let mut socket = Stream::plain(TcpStream::from_std(socket)?);
        let mut kept = Vec::new();
        let first = read_first(&mut socket, &mut kept, &self.origins);
        let (route, read_ahead) = match timeout(limits.head_deadline, first).await {
            Ok(Ok(Some(first))) => first,
            Ok(Ok(None)) => return Err(CanaryError::Request("none came".into())),
            Ok(Err(refusal)) => return Err(CanaryError::Request(refusal.error.into_owned())),
            Err(_) => return Err(CanaryError::Request("it came too late".into())),
        };
        let Route::WebSocket(accept) = route else {
            return Err(CanaryError::Request("is not for a WebSocket".into()));
        };
        let mut answer = Vec::new();
        accept.write(&mut answer);
        let (socket, tls, _) = socket.into_parts();
        let handoff = Handoff {
            socket: socket.into_std()?,
            tls,
            peer,
            answer,
            read_ahead,
            transport: Transport::WebSocket {
                encoding: accept.encoding,
                compress: accept.compress,
            },
            who: Who::Canary,
            seat: None,
        };
        self.shards.give_canary(shard, handoff).map_err(|_| CanaryError::Shard(shard))
    }
}
