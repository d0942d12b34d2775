//! A connection's bytes: plain, or through TLS. Nothing of TLS is paid for by the plain one.

use crate::error::{Error, Result};
use crate::target::Target;
use mio::net::TcpStream;
use rustls::ClientConnection;
use std::io::{self, Read, Write};

/// A non-blocking stream.
pub(crate) enum Socket {
    Plain(TcpStream),
    Tls(Box<Tls>),
}

pub(crate) struct Tls {
    stream: TcpStream,
    session: ClientConnection,
}

/// Begins to connect.
///
/// *Errors:* of the system, as when descriptors or ports end.
pub(crate) fn connect(
    target: &Target,
    connection: usize,
    receive_bytes: Option<usize>,
) -> io::Result<TcpStream> {
    use socket2::{Domain, Protocol, Type};
    let domain = Domain::for_address(target.address);
    let socket = socket2::Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    if let Some(bytes) = receive_bytes {
        socket.set_recv_buffer_size(bytes)?;
    }
    // A cut is a reset: no port of ours is kept waiting for a minute.
    socket.set_linger(Some(std::time::Duration::ZERO))?;
    if let Some(source) = target.source(connection) {
        socket.bind(&source.into())?;
    }
    match socket.connect(&target.address.into()) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        _ => Ok(TcpStream::from_std(socket.into())),
    }
}

impl Socket {
    /// Puts TLS around a stream that is connecting.
    ///
    /// *Errors:* a host name that TLS does not know how to ask for.
    pub(crate) fn tls(
        stream: TcpStream,
        config: &std::sync::Arc<rustls::ClientConfig>,
        host: &str,
    ) -> Result<Socket> {
        let bad = |error: String| Error::usage(format!("URL: host {host:?}: {error}"));
        let name = rustls::pki_types::ServerName::try_from(host.to_owned())
            .map_err(|error| bad(error.to_string()))?;
        let session =
            ClientConnection::new(config.clone(), name).map_err(|error| bad(error.to_string()))?;
        Ok(Socket::Tls(Box::new(Tls { stream, session })))
    }

    pub(crate) fn stream(&mut self) -> &mut TcpStream {
        match self {
            Socket::Plain(stream) => stream,
            Socket::Tls(tls) => &mut tls.stream,
        }
    }

    /// Whether less than asked for says that nothing is left; TLS may hold more.
    pub(crate) fn short_is_all(&self) -> bool {
        matches!(self, Socket::Plain(_))
    }

    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Plain(stream) => stream.read(buffer),
            Socket::Tls(tls) => tls.read(buffer),
        }
    }

    /// Writes what can be written at once.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Plain(stream) => stream.write(bytes),
            Socket::Tls(tls) => {
                let taken = tls.session.writer().write(bytes)?;
                tls.flush()?;
                Ok(taken)
            }
        }
    }

    /// Sends what TLS holds back.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        match self {
            Socket::Plain(_) => Ok(()),
            Socket::Tls(tls) => tls.flush(),
        }
    }
}

impl Tls {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.session.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
            if self.session.read_tls(&mut self.stream)? == 0 {
                return Ok(0);
            }
            if let Err(error) = self.session.process_new_packets() {
                let _ = self.flush();
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
            self.flush()?;
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut self.stream) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::NotConnected => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
