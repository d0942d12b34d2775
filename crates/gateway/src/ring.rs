//! Many sends with one call: an io_uring of one shard.
//!
//! Every send is asked not to wait, so that the kernel is done with all of them when the call
//! returns, and what it says of each is what `send` would have said. Needs Linux 6.1; containers
//! often forbid it. Who cannot have a ring sends one by one.
//!
//! `unsafe` is needed because the kernel is given addresses.

#![allow(unsafe_code)]

use io_uring::{IoUring, opcode, types};
use std::io;
use std::ops::Range;
use std::os::fd::RawFd;

/// Sends that one call takes at most. A call is not interrupted, and whoever shares the core waits
/// for its end; beyond some dozens a larger one is no cheaper.
pub(crate) const SENDS_MAX: usize = 32;

/// How often a call is repeated that the kernel turned away for the moment.
const TRIES_MAX: usize = 1000;

/// A send: which socket, which bytes of the buffer, and what came of it.
#[derive(Clone, Debug)]
pub(crate) struct Posted {
    /// `None`: not through a ring.
    pub(crate) socket: Option<RawFd>,
    pub(crate) bytes: Range<usize>,
    /// As `send` returns it, with the error number negated; `None` while the kernel has said
    /// nothing.
    pub(crate) result: Option<i32>,
}

/// The submission and the completion queue.
pub(crate) struct Ring(IoUring);

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring").finish_non_exhaustive()
    }
}

impl Ring {
    /// A ring for this thread, which alone may use it.
    ///
    /// *Errors:* the kernel has none, or forbids it.
    pub(crate) fn new() -> io::Result<Ring> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .build(SENDS_MAX as u32)?;
        Ok(Ring(ring))
    }

    /// Sends all that have a socket, [`SENDS_MAX`] with each call, and enters what came of them.
    ///
    /// *Errors:* the kernel takes no more; who has no result then was not sent.
    pub(crate) fn send_all(&mut self, bytes: &[u8], posted: &mut [Posted]) -> io::Result<()> {
        let mut next = 0;
        while next < posted.len() {
            let mut pushed = 0;
            {
                let mut queue = self.0.submission();
                while next < posted.len() && pushed < SENDS_MAX {
                    let Posted { socket, bytes: range, .. } = &posted[next];
                    if let (Some(socket), false) = (socket, range.is_empty()) {
                        let part = &bytes[range.clone()];
                        let send =
                            opcode::Send::new(types::Fd(*socket), part.as_ptr(), part.len() as u32)
                                .flags(libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
                                .build()
                                .user_data(next as u64);
                        // SAFETY: `bytes` is borrowed for as long as this function runs, and it
                        // returns only when every entry that the kernel has taken is completed:
                        // `complete` waits for each, and an entry that may not wait
                        // (MSG_DONTWAIT) is completed within the call that submits it.
                        let full = unsafe { queue.push(&send) }.is_err();
                        debug_assert!(!full, "the queue has SENDS_MAX places");
                        pushed += 1;
                    }
                    next += 1;
                }
            }
            self.complete(pushed, posted)?;
        }
        Ok(())
    }

    /// Submits what was pushed and waits until the kernel has answered all of it.
    fn complete(&mut self, pushed: usize, posted: &mut [Posted]) -> io::Result<()> {
        let mut left = pushed;
        let mut tries = 0;
        while left > 0 {
            let submitted = self.0.submit_and_wait(left);
            for answer in self.0.completion() {
                if let Some(sent) = posted.get_mut(answer.user_data() as usize) {
                    sent.result = Some(answer.result());
                }
                left -= 1;
            }
            if let Err(error) = submitted {
                tries += 1;
                let again =
                    matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN | libc::EBUSY));
                if !again || tries > TRIES_MAX {
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;
    use std::time::{Duration, Instant};

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        server.set_nonblocking(true).unwrap();
        (server, client)
    }

    fn ring() -> Option<Ring> {
        Ring::new().inspect_err(|error| println!("SKIPPED: no io_uring here: {error}")).ok()
    }

    fn post(socket: &TcpStream, bytes: Range<usize>) -> Posted {
        Posted { socket: Some(socket.as_raw_fd()), bytes, result: None }
    }

    #[test]
    fn each_socket_gets_its_own_bytes_also_beyond_one_call() {
        let Some(mut ring) = ring() else { return };
        let (server, mut client) = pair();
        let bytes: Vec<u8> = (0..2000u32).flat_map(u32::to_be_bytes).collect();
        let mut posted: Vec<Posted> =
            (0..2000).map(|at| post(&server, at * 4..at * 4 + 4)).collect();
        posted[7].socket = None;
        ring.send_all(&bytes, &mut posted).unwrap();
        assert_eq!(posted[7].result, None);
        assert!(posted.iter().enumerate().all(|(at, sent)| at == 7 || sent.result == Some(4)));
        drop(server);
        let mut received = Vec::new();
        client.read_to_end(&mut received).unwrap();
        assert_eq!(received, [&bytes[..28], &bytes[32..]].concat(), "in order");
    }

    #[test]
    fn a_full_line_takes_a_part_then_nothing_and_a_broken_one_says_so() {
        let Some(mut ring) = ring() else { return };
        let ((server, client), (gone, peer)) = (pair(), pair());
        drop(peer);
        let bytes = vec![7; 64 << 20];
        let mut posted = vec![post(&server, 0..bytes.len()), post(&server, 0..10)];
        ring.send_all(&bytes, &mut posted).unwrap();
        let taken = posted[0].result.unwrap();
        assert!(taken > 0 && (taken as usize) < bytes.len(), "{taken}");
        // What was under way to the client may have made room once more.
        let mut refused = |socket: &TcpStream| {
            let deadline = Instant::now() + Duration::from_secs(60);
            loop {
                let mut posted = [post(socket, 0..10)];
                ring.send_all(&bytes, &mut posted).unwrap();
                match posted[0].result.unwrap() {
                    error @ ..0 => return -error,
                    _ => assert!(Instant::now() < deadline, "it takes more and more"),
                }
            }
        };
        assert_eq!(refused(&server), libc::EAGAIN);
        // The first send after the peer has gone makes it answer with a reset; then it is known.
        assert!([libc::EPIPE, libc::ECONNRESET].contains(&refused(&gone)));
        drop(client);
    }
}
