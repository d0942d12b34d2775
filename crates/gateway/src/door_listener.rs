//! The public listener: connections as they come, without a poller's entry for each.
//!
//! Most are given to a shard a moment after they were accepted, and only the shard's poller should
//! know them. Those that have to wait at the door are made known to the runtime then.
//!
//! `unsafe` is needed because tokio's own listener makes every connection known at once, and
//! waiting for another one's descriptor is not safe in general.

#![allow(unsafe_code)]

use crate::descriptors::first_reserved;
use crate::limits::DoorLimits;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::io::unix::AsyncFd;

/// How many connections may wait to be accepted; the kernel has a limit of its own.
const BACKLOG: i32 = 4096;

/// In so many times the time for progress a peer has to acknowledge something, or the kernel gives
/// it up: event streams have no pings, and by itself the kernel tries for a quarter of an hour.
const ACKNOWLEDGED_WITHIN: u32 = 3;

/// What its connections are born with.
fn prepare(socket: &Socket, limits: &DoorLimits) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    socket.set_send_buffer_size(limits.send_buffer_bytes)?;
    socket.set_tcp_user_timeout(Some(ACKNOWLEDGED_WITHIN * limits.progress_deadline))?;
    socket.set_nonblocking(true)
}

/// Accepts connections that are non-blocking, with `TCP_NODELAY` and a capped `SO_SNDBUF`. The last
/// descriptors of the process are not for them.
#[derive(Debug)]
pub struct Listener {
    socket: AsyncFd<mio::net::TcpListener>,
    /// The number of the first descriptor that is not for connections.
    first_reserved: u64,
    /// The connection before had that number or a higher one.
    is_short: AtomicBool,
}

impl Listener {
    /// Binds a listener. What its sockets are born with is set once here and inherited by every
    /// connection, without a call for each.
    ///
    /// *Errors* of the system. *Panics* outside a tokio runtime.
    pub fn bind(address: SocketAddr, limits: &DoorLimits) -> io::Result<Listener> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        prepare(&socket, limits)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Listener::register(socket)
    }

    /// Goes on with a listener that another process has bound: one that is about to stop, or the
    /// service manager. What it is told here counts for whoever still accepts from it, too.
    ///
    /// *Errors* of the system, among them that it is not listening. *Panics* outside a tokio
    /// runtime.
    pub fn adopt(listener: TcpListener, limits: &DoorLimits) -> io::Result<Listener> {
        let socket = Socket::from(listener);
        if !socket.is_listener()? {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the socket does not listen"));
        }
        prepare(&socket, limits)?;
        Listener::register(socket)
    }

    /// The same socket once more, for another process to go on with.
    ///
    /// *Errors* of the system.
    pub fn share(&self) -> io::Result<OwnedFd> {
        self.socket.get_ref().as_fd().try_clone_to_owned()
    }

    fn register(socket: Socket) -> io::Result<Listener> {
        let listener = mio::net::TcpListener::from_std(socket.into());
        // SAFETY: the listener is owned by what is made of it, names one descriptor for as long as
        // it lives, and is never closed or replaced before.
        let socket = unsafe { AsyncFd::register(listener) }?;
        Ok(Listener { socket, first_reserved: first_reserved()?, is_short: AtomicBool::new(false) })
    }

    /// Where it listens.
    ///
    /// *Errors* of the system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.get_ref().local_addr()
    }

    /// The next connection and where it comes from. Does not yield while there are any: the caller
    /// sees to it that others have their turn.
    ///
    /// *Errors* of the system; a connection that ended while it waited is one. Where only reserved
    /// descriptors are left: the same as if there were none.
    pub(crate) async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        loop {
            let mut ready = self.socket.readable().await?;
            // Relaxed here and below: one task accepts.
            if self.is_short.load(Ordering::Relaxed) && self.is_reserved(&self.share()?) {
                return Err(io::Error::from_raw_os_error(libc::EMFILE));
            }
            if let Ok(accepted) = ready.try_io(|listener| listener.get_ref().accept()) {
                let (socket, peer) = accepted?;
                self.is_short.store(self.is_reserved(&socket), Ordering::Relaxed);
                return Ok((socket.into(), peer));
            }
        }
    }

    /// Whether the newest descriptor is one of those that are not for connections: then all before
    /// them are taken.
    fn is_reserved(&self, newest: &impl AsRawFd) -> bool {
        u64::try_from(newest.as_raw_fd()).is_ok_and(|number| number >= self.first_reserved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::SockRef;

    #[tokio::test]
    async fn what_a_listener_is_told_holds_for_its_connections() {
        let limits = DoorLimits::default();
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), &limits).unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (socket, _) = listener.accept().await.unwrap();
        let socket = SockRef::from(&socket);
        assert!(socket.tcp_nodelay().unwrap());
        assert!(socket.send_buffer_size().unwrap() <= 2 * limits.send_buffer_bytes);
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(3 * limits.progress_deadline));
    }
}
