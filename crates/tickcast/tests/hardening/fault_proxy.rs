//! A proxy that makes trouble: it delays, slows down, stalls, cuts in the middle of a frame,
//! resets, closes half, passes single bytes, loses and repeats the server's messages.
//!
//! Two threads a connection. It knows just enough of the protocol to find the ends of the
//! server's frames.

use crate::raw::{connect, frame_lengths};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// How a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Both sides get an end in order.
    Close,
    /// Both sides get a reset.
    Reset,
    /// The server gets an end, the client gets what the server still says.
    HalfClose,
}

/// What happens to one connection; by default nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// Before each piece of the server's bytes.
    pub(crate) delay: Option<Duration>,
    /// Of the server's bytes.
    pub(crate) bytes_per_second: Option<u64>,
    /// After so many bytes of the server nothing is passed to the client any more.
    pub(crate) stall_after: Option<u64>,
    /// After so many bytes of the server.
    pub(crate) cut_after: Option<(u64, Cut)>,
    /// The server's bytes come one by one.
    pub(crate) single_bytes: bool,
    /// Of the server's updates each one of so many is lost, chosen by the seed.
    pub(crate) lose_one_of: Option<u32>,
    /// The same for those that come twice.
    pub(crate) repeat_one_of: Option<u32>,
    pub(crate) seed: u64,
}

/// What has been done to all connections.
#[derive(Debug, Default)]
pub(crate) struct Done {
    pub(crate) cuts: AtomicU64,
    pub(crate) lost: AtomicU64,
    pub(crate) repeated: AtomicU64,
}

/// A running proxy; it ends with the test.
#[derive(Debug)]
pub(crate) struct FaultProxy {
    pub(crate) address: SocketAddr,
    pub(crate) done: Arc<Done>,
    ended: Arc<AtomicBool>,
}

impl FaultProxy {
    /// Stands before `target`; the connection of each number gets the faults of `plan`.
    pub(crate) fn start(
        target: SocketAddr,
        plan: impl Fn(u64) -> Faults + Send + 'static,
    ) -> FaultProxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (done, ended) = (Arc::<Done>::default(), Arc::<AtomicBool>::default());
        let proxy = FaultProxy { address, done: done.clone(), ended: ended.clone() };
        thread::spawn(move || {
            for (number, client) in (0..).zip(listener.incoming()) {
                // Relaxed: only a hint, and the last connection is there to bring it.
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(client) = client else { continue };
                let (faults, done) = (plan(number), done.clone());
                thread::spawn(move || pass(&client, &connect(target), faults, &done));
            }
        });
        proxy
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

/// Passes one connection's bytes until it ends or is cut.
fn pass(client: &TcpStream, server: &TcpStream, faults: Faults, done: &Done) {
    let (mut from_client, mut to_server) = (copy(client), copy(server));
    let up = thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(some @ 1..) = from_client.read(&mut buffer) {
            if to_server.write_all(&buffer[..some]).is_err() {
                break;
            }
        }
        let _ = to_server.shutdown(Shutdown::Write);
    });
    let mut down = Down {
        client: copy(client),
        server: copy(server),
        faults,
        done,
        passed: 0,
        held: Vec::new(),
        random: fastrand::Rng::with_seed(faults.seed),
        in_frames: false,
    };
    let mut from_server = copy(server);
    let mut buffer = [0; 16 << 10];
    let cut = loop {
        let Ok(some @ 1..) = from_server.read(&mut buffer) else { break None };
        if let Err(cut) = down.take(&buffer[..some]) {
            break cut;
        }
    };
    if cut == Some(Cut::Reset) {
        for socket in [client, server] {
            let _ = socket2::SockRef::from(socket).set_linger(Some(Duration::ZERO));
        }
        // A reset is sent with the last descriptor: the other thread must let go of its own.
        let _ = client.shutdown(Shutdown::Read);
    }
    if cut != Some(Cut::Reset) {
        let _ = client.shutdown(Shutdown::Both);
        let _ = server.shutdown(Shutdown::Both);
    }
    let _ = up.join();
}

fn copy(socket: &TcpStream) -> TcpStream {
    socket.try_clone().expect("a descriptor is free")
}

/// The server's bytes on their way to the client.
struct Down<'a> {
    client: TcpStream,
    server: TcpStream,
    faults: Faults,
    done: &'a Done,
    passed: u64,
    /// A frame of which the end has not come.
    held: Vec<u8>,
    random: fastrand::Rng,
    /// The head of the answer has passed.
    in_frames: bool,
}

impl Down<'_> {
    /// Takes what the server has sent.
    ///
    /// *Errors:* the connection is to be cut, or the client has gone.
    fn take(&mut self, bytes: &[u8]) -> Result<(), Option<Cut>> {
        if self.faults.lose_one_of.is_none() && self.faults.repeat_one_of.is_none() {
            return self.pass(bytes);
        }
        self.held.extend_from_slice(bytes);
        loop {
            let length = if self.in_frames {
                frame_lengths(&self.held).map(|(head, payload)| head + payload)
            } else {
                self.held.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
            };
            let Some(length) = length.filter(|length| *length <= self.held.len()) else {
                return Ok(());
            };
            let whole: Vec<u8> = self.held.drain(..length).collect();
            let times = if self.in_frames { self.times(&whole) } else { 1 };
            self.in_frames = true;
            for _ in 0..times {
                self.pass(&whole)?;
            }
        }
    }

    /// How often a frame is passed on.
    fn times(&mut self, frame: &[u8]) -> usize {
        let is_update = frame.windows(15).any(|window| window == b"\"type\":\"update\"");
        let is_status = frame.windows(18).any(|window| window == b"\"channel\":\"status\"");
        let mut hits = |one_of: Option<u32>| one_of.is_some_and(|of| self.random.u32(..of) == 0);
        if !is_update || is_status {
            1
        } else if hits(self.faults.lose_one_of) {
            self.done.lost.fetch_add(1, Ordering::Relaxed);
            0
        } else if hits(self.faults.repeat_one_of) {
            self.done.repeated.fetch_add(1, Ordering::Relaxed);
            2
        } else {
            1
        }
    }

    fn pass(&mut self, mut bytes: &[u8]) -> Result<(), Option<Cut>> {
        let Faults { delay, bytes_per_second, stall_after, single_bytes, .. } = self.faults;
        if let Some(delay) = delay {
            thread::sleep(delay);
        }
        while !bytes.is_empty() {
            if stall_after.is_some_and(|after| self.passed >= after) {
                // Until the client goes: then its half of the proxy ends, and with it the server.
                let _ = self.client.read(&mut [0]);
                return Err(None);
            }
            let cut_after = self.faults.cut_after;
            let room = cut_after.map_or(u64::MAX, |(after, _)| after.saturating_sub(self.passed));
            let most = if single_bytes { 1 } else { bytes.len() as u64 };
            let some =
                most.min(room).min(stall_after.map_or(u64::MAX, |after| after - self.passed));
            let (now, later) = bytes.split_at(some as usize);
            self.client.write_all(now).map_err(|_| None)?;
            bytes = later;
            self.passed += some;
            if let Some(rate) = bytes_per_second {
                thread::sleep(Duration::from_secs_f64(some as f64 / rate as f64));
            }
            if let Some((_, cut)) = cut_after.filter(|(after, _)| self.passed >= *after) {
                self.done.cuts.fetch_add(1, Ordering::Relaxed);
                if cut != Cut::HalfClose {
                    return Err(Some(cut));
                }
                // What the server still says is passed.
                let _ = self.server.shutdown(Shutdown::Write);
                self.faults.cut_after = None;
            }
        }
        Ok(())
    }
}
