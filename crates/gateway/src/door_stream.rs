//! A connection at the door: TCP, with or without TLS, for whoever reads heads and writes answers.
//!
//! *Invariant:* a connection of which nothing has come, or that waits, holds no buffer: bytes pass
//! through one buffer per thread.

use crate::tls_session::{SEALED_BYTES_MAX, Session};
use rustls::ServerConfig;
use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Room for what may be kept of a record and for more to be read behind it.
const SCRATCH_BYTES: usize = 32 << 10;
const _: () = assert!(SCRATCH_BYTES >= SEALED_BYTES_MAX);

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH_BYTES]);
}

/// A byte stream to one client.
#[derive(Debug)]
pub(crate) struct Stream {
    socket: TcpStream,
    tls: Option<Box<Session>>,
    /// Decrypted, and not taken yet from `plain_at` on.
    plain: Vec<u8>,
    plain_at: usize,
}

impl Stream {
    /// Without TLS.
    pub(crate) fn plain(socket: TcpStream) -> Stream {
        Stream::of(socket, None)
    }

    /// With a TLS session that has begun elsewhere, or none.
    pub(crate) fn of(socket: TcpStream, tls: Option<Box<Session>>) -> Stream {
        Stream { socket, tls, plain: Vec::new(), plain_at: 0 }
    }

    /// Agrees on keys with the client. The deadline is the caller's.
    ///
    /// *Errors:* the client went away, or breaks the rules; it has been told.
    pub(crate) async fn accept(socket: TcpStream, config: Arc<ServerConfig>) -> io::Result<Stream> {
        let session = Session::new(config).map_err(io::Error::other)?;
        let mut stream = Stream::of(socket, Some(Box::new(session)));
        loop {
            std::future::poll_fn(|cx| stream.poll_drain(cx)).await?;
            if stream.tls.as_ref().is_none_or(|session| !session.is_handshaking()) {
                return Ok(stream);
            }
            stream.socket.readable().await?;
            match stream.take_in() {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The parts, for a shard: the socket, its TLS, and what was decrypted and not taken.
    pub(crate) fn into_parts(mut self) -> (TcpStream, Option<Box<Session>>, Vec<u8>) {
        self.plain.drain(..self.plain_at);
        (self.socket, self.tls, self.plain)
    }

    /// Waits until something may be there to read.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        if self.plain_at < self.plain.len() { Ok(()) } else { self.socket.readable().await }
    }

    /// Reads what is there; 0: nothing more will come.
    ///
    /// *Errors:* [`io::ErrorKind::WouldBlock`] when there is nothing now.
    pub(crate) fn try_read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.tls.is_none() {
            return self.socket.try_read(into);
        }
        loop {
            let waiting = &self.plain[self.plain_at..];
            if !waiting.is_empty() {
                let some = waiting.len().min(into.len());
                into[..some].copy_from_slice(&waiting[..some]);
                self.plain_at += some;
                if self.plain_at == self.plain.len() {
                    (self.plain, self.plain_at) = (Vec::new(), 0);
                }
                return Ok(some);
            }
            let is_ended = self.tls.as_ref().is_some_and(|session| session.is_ended());
            if is_ended || self.take_in()? == 0 {
                return Ok(0);
            }
        }
    }

    /// Reads and decrypts what has come; how many bytes of ciphertext.
    fn take_in(&mut self) -> io::Result<usize> {
        let Some(session) = &mut self.tls else { return Ok(0) };
        SCRATCH.with_borrow_mut(|scratch| {
            let kept = session.begin(scratch);
            let some = self.socket.try_read(&mut scratch[kept..])?;
            if some > 0
                && let Err(error) = session.open(&mut scratch[..kept + some], &mut self.plain)
            {
                // The alert that says why; whether it arrives does not matter.
                let _ = self.socket.try_write(session.waiting());
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
            Ok(some)
        })
    }

    /// Writes the ciphertext that waits.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(session) = &mut self.tls else { return Poll::Ready(Ok(())) };
        while !session.waiting().is_empty() {
            match self.socket.try_write(session.waiting()) {
                Ok(some) => session.took(some),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.socket.poll_write_ready(cx))?;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        if stream.tls.is_none() {
            return Pin::new(&mut stream.socket).poll_read(cx, into);
        }
        loop {
            match stream.try_read(into.initialize_unfilled()) {
                Ok(some) => {
                    into.advance(some);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(stream.socket.poll_read_ready(cx))?;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let stream = self.get_mut();
        if stream.tls.is_none() {
            return Pin::new(&mut stream.socket).poll_write(cx, bytes);
        }
        ready!(stream.poll_drain(cx))?;
        let Some(session) = &mut stream.tls else { return Poll::Ready(Ok(0)) };
        let taken = SCRATCH.with_borrow_mut(|scratch| {
            let (taken, length) = session.seal(bytes, scratch)?;
            session.wait(&scratch[..length]);
            Ok(taken)
        });
        let taken =
            taken.map_err(|error: crate::tls_session::SessionError| io::Error::other(error))?;
        match stream.poll_drain(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            // What still waits goes out with the next write or flush, or is the shard's to send.
            _ => Poll::Ready(Ok(taken)),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.tls.is_none() {
            return Pin::new(&mut self.get_mut().socket).poll_write_vectored(cx, bytes);
        }
        let first = bytes.iter().find(|slice| !slice.is_empty());
        self.poll_write(cx, first.map_or(&[], |slice| slice))
    }

    fn is_write_vectored(&self) -> bool {
        self.tls.is_none() && self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_drain(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        if let Some(session) = &mut stream.tls {
            SCRATCH.with_borrow_mut(|scratch| session.end(scratch));
        }
        ready!(stream.poll_drain(cx))?;
        Pin::new(&mut stream.socket).poll_shutdown(cx)
    }
}
