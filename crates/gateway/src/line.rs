//! A client's line as its shard has it: TCP, with or without TLS.
//!
//! What is encrypted goes through one buffer per shard: nothing is allocated for a send that the
//! kernel takes.

use crate::socket::Socket;
use crate::tls_session::{SEALED_BYTES_MAX, Session, SessionError};
use mio::event::Source;
use mio::net::TcpStream;
use std::cell::RefCell;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, RawFd};

/// What encrypting and decrypting needs for a moment; one per shard's thread.
struct Scratch {
    sealed: Vec<u8>,
    plain: Vec<u8>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> =
        RefCell::new(Scratch { sealed: vec![0; SEALED_BYTES_MAX], plain: Vec::new() });
}

/// A byte stream to one client.
#[derive(Debug)]
pub struct Line {
    socket: TcpStream,
    tls: Option<Box<Session>>,
}

impl Line {
    /// A socket, and what is encrypted on it.
    pub(crate) fn new(socket: TcpStream, tls: Option<Box<Session>>) -> Line {
        Line { socket, tls }
    }

    /// For being registered with a poller.
    pub(crate) fn source(&mut self) -> &mut impl Source {
        &mut self.socket
    }
}

impl Socket for Line {
    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.tls {
            None => self.socket.read(buffer),
            Some(session) => recv(&mut self.socket, session, buffer),
        }
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.tls {
            None => self.socket.write(bytes),
            Some(session) => {
                SCRATCH.with_borrow_mut(|scratch| send(&mut self.socket, session, bytes, scratch))
            }
        }
    }

    fn descriptor(&self) -> Option<RawFd> {
        self.tls.is_none().then(|| self.socket.as_raw_fd())
    }

    fn held(&self) -> usize {
        self.tls.as_ref().map_or(0, |session| session.waiting().len())
    }

    fn push(&mut self) -> io::Result<usize> {
        match &mut self.tls {
            None => Ok(0),
            Some(session) => push(&mut self.socket, session),
        }
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        if let Some(session) = &mut self.tls {
            SCRATCH.with_borrow_mut(|scratch| session.end(&mut scratch.sealed));
            // A peer that takes nothing is not waited for.
            push(&mut self.socket, session)?;
        }
        self.socket.shutdown(Shutdown::Write)
    }
}

/// Reads ciphertext into the buffer and puts what it says in its place.
fn recv(socket: &mut TcpStream, session: &mut Session, buffer: &mut [u8]) -> io::Result<usize> {
    while !session.is_ended() {
        let kept = session.begin(buffer);
        let some = socket.read(&mut buffer[kept..])?;
        if some == 0 {
            return Ok(0); // WebSocket has its own word for the end; that of TLS is not missed.
        }
        let length = SCRATCH.with_borrow_mut(|Scratch { plain, .. }| {
            plain.clear();
            let opened = session.open(&mut buffer[..kept + some], plain);
            // Answers that TLS asks for, or the alert that says what was wrong.
            push(socket, session)?;
            opened.map_err(broken)?;
            // There is always room: a record is longer than what it says.
            buffer[..plain.len()].copy_from_slice(plain);
            io::Result::Ok(plain.len())
        })?;
        if length > 0 {
            return Ok(length);
        }
    }
    Ok(0)
}

/// Encrypts and sends a record at a time until everything is on its way or the line is full.
fn send(
    socket: &mut TcpStream,
    session: &mut Session,
    bytes: &[u8],
    Scratch { sealed, .. }: &mut Scratch,
) -> io::Result<usize> {
    push(socket, session)?;
    let mut taken = 0;
    while taken < bytes.len() && session.waiting().is_empty() {
        let (some, length) = session.seal(&bytes[taken..], sealed).map_err(broken)?;
        taken += some;
        let sent = match write(socket, &sealed[..length]) {
            Ok(sent) => sent,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        session.wait(&sealed[sent..length]);
    }
    if taken == 0 && !bytes.is_empty() { Err(ErrorKind::WouldBlock.into()) } else { Ok(taken) }
}

/// Sends what waits as far as the line takes it, and says how much that was.
fn push(socket: &mut TcpStream, session: &mut Session) -> io::Result<usize> {
    let mut gone = 0;
    while !session.waiting().is_empty() {
        match write(socket, session.waiting()) {
            Ok(sent) => {
                session.took(sent);
                gone += sent;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(gone)
}

/// A call that a signal interrupted is made again: what was encrypted cannot be taken back.
fn write(socket: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match socket.write(bytes) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

fn broken(error: SessionError) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error)
}
