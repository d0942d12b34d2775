//! Taking over from a process that runs already: what the two say to each other.
//!
//! They meet at a Unix socket. The later one, the *successor*, asks; the earlier one, the
//! *predecessor*, offers its listeners, their descriptors with it (SCM_RIGHTS of unix(7)). Nothing
//! changes for clients by that: both hold the same listening sockets, and the predecessor alone
//! accepts. When the successor could serve it says so; the predecessor stops accepting, says that
//! everything is the successor's now, and drains. Connections that come in between wait in the
//! kernel, which is why none is refused: no listening socket is closed before the next process
//! accepts from it.
//!
//! The socket at which they meet is handed over like the others, so its path names the newest
//! process without a moment in which it names none. Whoever breaks off changes nothing: a
//! successor that ends before it is ready leaves the predecessor as it was, and one whose
//! predecessor ends has the listeners already.
//!
//! This file owns the messages; the two sides are `takeover_predecessor.rs` (how a new process
//! sees the old one) and `takeover_successor.rs` (how the old one sees the new one).

use anyhow::{Context, Result, bail, ensure};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use serde::{Deserialize, Serialize};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::UnixStream;

/// What both speak. Another number is refused by name: better a failed start than a
/// misunderstanding about sockets.
pub(crate) const VERSION: u32 = 1;

/// How long the other one may take for an answer that costs it nothing.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// No message is longer.
const MESSAGE_BYTES_MAX: usize = 4 << 10;

/// No message comes with more descriptors.
const DESCRIPTORS_MAX: usize = 8;

/// What is said, one JSON object a line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub(crate) enum Say {
    /// The successor's first word.
    Ask { version: u32 },
    /// The predecessor's answer; a descriptor comes with it for each listener, in this order.
    Offer {
        version: u32,
        /// The predecessor, for words only.
        pid: u32,
        /// The predecessor's run, which became part of its epochs: the successor's is later.
        run: u64,
        listeners: Vec<Offered>,
    },
    /// The predecessor's other answer.
    Refuse { version: u32, reason: String },
    /// The successor could serve.
    Ready,
    /// The predecessor accepts no more.
    Yours,
}

/// A listener on offer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Offered {
    pub(crate) name: Name,
    /// Where it listens; the socket at which the two meet has no such address.
    pub(crate) address: Option<SocketAddr>,
}

/// What a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Name {
    /// Clients.
    Public,
    /// Operators.
    Admin,
    /// Successors.
    Takeover,
}

/// The line between the two.
#[derive(Debug)]
pub(crate) struct Line {
    stream: UnixStream,
    read: Vec<u8>,
    descriptors: Vec<OwnedFd>,
}

impl Line {
    pub(crate) fn new(stream: UnixStream) -> Line {
        Line { stream, read: Vec::new(), descriptors: Vec::new() }
    }

    /// The other process, if it belongs to our user or to root.
    ///
    /// *Errors:* it belongs to somebody else.
    pub(crate) fn trusted_peer(&self) -> Result<i32> {
        let peer = rustix::net::sockopt::socket_peercred(&self.stream)?;
        let own = rustix::process::geteuid();
        let is_trusted = peer.uid == own || peer.uid.is_root();
        ensure!(is_trusted, "user {} is neither ours nor root", peer.uid.as_raw());
        Ok(peer.pid.as_raw_nonzero().get())
    }

    /// Says something, with these descriptors.
    ///
    /// *Errors:* the other one has gone, or takes nothing.
    pub(crate) async fn say(&self, say: &Say, descriptors: &[BorrowedFd<'_>]) -> Result<()> {
        let mut message = serde_json::to_vec(say)?;
        message.push(b'\n');
        ensure!(message.len() <= MESSAGE_BYTES_MAX, "too much for a message");
        let send = || {
            let mut space =
                [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            let fits = descriptors.is_empty()
                || control.push(SendAncillaryMessage::ScmRights(descriptors));
            if !fits {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            let parts = [IoSlice::new(&message)];
            let sent =
                rustix::net::sendmsg(&self.stream, &parts, &mut control, SendFlags::NOSIGNAL)?;
            // A stream takes so few bytes at once or not at all while nobody wrote before.
            if sent == message.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
        };
        let sending = self.stream.async_io(Interest::WRITABLE, send);
        tokio::time::timeout(ANSWER_WITHIN, sending).await.context("it takes nothing")??;
        Ok(())
    }

    /// What the other one says next, with the descriptors that came with it.
    ///
    /// *Errors:* it has gone, or says what is not understood.
    pub(crate) async fn hear(&mut self) -> Result<(Say, Vec<OwnedFd>)> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                let say = serde_json::from_slice(&line).context("what is said")?;
                return Ok((say, std::mem::take(&mut self.descriptors)));
            }
            ensure!(self.read.len() < MESSAGE_BYTES_MAX, "more than a message has");
            let mut into = [0; MESSAGE_BYTES_MAX];
            let mut descriptors = Vec::new();
            let receive = || receive(&self.stream, &mut into, &mut descriptors);
            let bytes = self.stream.async_io(Interest::READABLE, receive).await?;
            self.descriptors.append(&mut descriptors);
            ensure!(self.descriptors.len() <= DESCRIPTORS_MAX, "more descriptors than anybody has");
            if bytes == 0 {
                bail!("it has gone");
            }
            self.read.extend_from_slice(&into[..bytes]);
        }
    }

    /// The same, within the time for answers that cost nothing.
    pub(crate) async fn hear_soon(&mut self) -> Result<(Say, Vec<OwnedFd>)> {
        tokio::time::timeout(ANSWER_WITHIN, self.hear()).await.context("it does not answer")?
    }
}

fn receive(
    stream: impl AsFd,
    into: &mut [u8],
    descriptors: &mut Vec<OwnedFd>,
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [IoSliceMut::new(into)];
    let flags = RecvFlags::CMSG_CLOEXEC;
    let received = rustix::net::recvmsg(stream, &mut parts, &mut control, flags)?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(some) = message {
            descriptors.extend(some);
        }
    }
    Ok(received.bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::TcpListener;

    fn on_a_runtime<F: Future>(work: F) -> F::Output {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(work)
    }

    fn pair() -> (std::os::unix::net::UnixStream, Line) {
        let (one, other) = std::os::unix::net::UnixStream::pair().expect("a pair");
        other.set_nonblocking(true).expect("a socket");
        (one, Line::new(UnixStream::from_std(other).expect("a socket")))
    }

    #[test]
    fn a_listener_arrives_with_its_name_and_address() {
        on_a_runtime(async {
            let (one, mut other) = pair();
            one.set_nonblocking(true).expect("a socket");
            let one = Line::new(UnixStream::from_std(one).expect("a socket"));
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            let address = listener.local_addr().ok();
            let offered = Offered { name: Name::Public, address };
            let offer =
                Say::Offer { version: VERSION, pid: 1, run: 7, listeners: vec![offered.clone()] };
            one.say(&offer, &[listener.as_fd()]).await.expect("room for it");
            one.say(&Say::Yours, &[]).await.expect("room for it");
            let (said, descriptors) = other.hear().await.expect("an offer");
            let Say::Offer { run: 7, listeners, .. } = said else { panic!("{said:?}") };
            assert_eq!(listeners, [offered]);
            let [descriptor] = <[OwnedFd; 1]>::try_from(descriptors).expect("one");
            assert_eq!(TcpListener::from(descriptor).local_addr().ok(), address);
            let (said, descriptors) = other.hear().await.expect("the next word");
            assert!(matches!(said, Say::Yours) && descriptors.is_empty());
            assert!(one.trusted_peer().is_ok());
        });
    }

    #[test]
    fn what_is_no_message_is_an_error_and_nothing_worse() {
        for bytes in [&b"\n"[..], b"{}\n", b"{\"say\":\"shout\"}\n", b"\xff\xfe\n", &[b'x'; 5_000]]
        {
            on_a_runtime(async {
                let (mut one, mut other) = pair();
                one.write_all(bytes).expect("room for it");
                assert!(other.hear_soon().await.is_err(), "{bytes:?}");
            });
        }
    }

    #[test]
    fn who_ends_in_the_middle_of_a_message_has_gone() {
        on_a_runtime(async {
            let (mut one, mut other) = pair();
            one.write_all(b"{\"say\":\"rea").expect("room for it");
            drop(one);
            let error = other.hear_soon().await.expect_err("half a message").to_string();
            assert_eq!(error, "it has gone");
        });
    }
}
