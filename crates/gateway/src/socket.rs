//! What a shard asks of a socket: three calls that never wait.
//!
//! The simulation and the tests give the shard pipes in memory; `poller` gives it TCP streams. When
//! a socket can be read or written again is told to the shard from outside.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, RawFd};

/// A non-blocking byte stream to one client.
pub trait Socket {
    /// Takes bytes that have come; 0: the peer will send no more.
    ///
    /// *Errors:* [`io::ErrorKind::WouldBlock`] when there is nothing; then the shard is to be told
    /// when there is. Anything else ends the connection.
    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Gives bytes to the line and says how many it took.
    ///
    /// *Errors:* [`io::ErrorKind::WouldBlock`] when it took none. After this, and after it took
    /// fewer than all, the shard is to be told when there is room again. Anything else ends the
    /// connection.
    fn send(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Where the bytes given to [`Socket::send`] may be written as well, by a kernel that takes the
    /// sends of many sockets at once; `None` where that is not the same.
    fn descriptor(&self) -> Option<RawFd> {
        None
    }

    /// Bytes that it has taken and keeps because the line did not take them; [`Socket::push`] goes
    /// on with them. While there are any it takes no others.
    fn held(&self) -> usize {
        0
    }

    /// Gives the line what is held, as far as there is room; how much that was.
    ///
    /// *Errors:* the line is broken.
    fn push(&mut self) -> io::Result<usize> {
        Ok(0)
    }

    /// Says to the peer that nothing more will come, after all that was sent; reading goes on.
    ///
    /// *Errors:* the peer is gone.
    fn shutdown_write(&mut self) -> io::Result<()>;
}

impl Socket for mio::net::TcpStream {
    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read(buffer)
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write(bytes)
    }

    fn descriptor(&self) -> Option<RawFd> {
        Some(self.as_raw_fd())
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}
