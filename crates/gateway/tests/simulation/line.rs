//! A line in memory between one client and its shard: two bounded pipes, cut at any byte.
//!
//! The shard is told of it as an edge-triggered poller would: once after a call found nothing to
//! read or no room, when there is some again. Nothing here knows what the bytes mean.

use fastrand::Rng;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read};
use std::rc::Rc;
use tickcast_gateway::{Socket, Token};
use tickcast_market::Nanos;

/// What a line holds that is no longer slow.
const WIDE: usize = 1 << 20;

/// What a line that encrypts takes at a time, though the pipe may not.
const RECORD: usize = 16 << 10;

/// What a shard's poller has to report, and the shard's own clock.
#[derive(Debug, Default)]
pub(crate) struct Poll {
    pub(crate) readable: Vec<Token>,
    pub(crate) writable: Vec<Token>,
    pub(crate) now: Nanos,
}

pub(crate) type SharedPoll = Rc<RefCell<Poll>>;

/// Both directions of one connection.
#[derive(Debug)]
struct Pipes {
    /// To the client.
    down: VecDeque<u8>,
    /// To the shard.
    up: VecDeque<u8>,
    capacity: usize,
    /// The line encrypts: it takes records whole, and holds what the pipe did not take.
    encrypts: bool,
    held: VecDeque<u8>,
    /// The shard hears of room when there is so much of it.
    room_told: usize,
    token: Option<Token>,
    read_armed: bool,
    write_armed: bool,
    /// The line is dead: whatever was under way is lost.
    cut: bool,
    client_shut: bool,
    server_shut: bool,
    server_gone: bool,
    /// How often the shard could not send all.
    shorts: u64,
    /// Bytes are waiting at the shard.
    waits: bool,
    /// When the line last took bytes, or these began to wait; on the shard's clock.
    moved_at: Nanos,
    /// The longest time in which bytes waited and none moved.
    stuck: Nanos,
    poll: SharedPoll,
    random: Rng,
}

/// The shard's end.
#[derive(Debug)]
pub(crate) struct ServerEnd(Rc<RefCell<Pipes>>);

/// The client's end.
#[derive(Debug)]
pub(crate) struct ClientEnd(Rc<RefCell<Pipes>>);

/// A line whose sending side holds `capacity` bytes.
pub(crate) fn line(capacity: usize, poll: &SharedPoll, mut random: Rng) -> (ServerEnd, ClientEnd) {
    let pipes = Pipes {
        down: VecDeque::new(),
        up: VecDeque::new(),
        capacity,
        encrypts: random.bool(),
        held: VecDeque::new(),
        room_told: if random.bool() { 1 } else { capacity / 3 + 1 },
        token: None,
        read_armed: true,
        write_armed: false,
        cut: false,
        client_shut: false,
        server_shut: false,
        server_gone: false,
        shorts: 0,
        waits: false,
        moved_at: poll.borrow().now,
        stuck: Nanos::ZERO,
        poll: poll.clone(),
        random,
    };
    let pipes = Rc::new(RefCell::new(pipes));
    (ServerEnd(pipes.clone()), ClientEnd(pipes))
}

impl Pipes {
    fn wake_reader(&mut self) {
        if let Some(token) = self.token
            && std::mem::take(&mut self.read_armed)
        {
            self.poll.borrow_mut().readable.push(token);
        }
    }

    /// Notes that of so many bytes the pipe takes `room`.
    fn take(&mut self, length: usize, room: usize) {
        let now = self.poll.borrow().now;
        if room < length {
            if !self.write_armed {
                self.shorts += 1;
            }
            if !self.waits {
                (self.waits, self.moved_at) = (true, now);
            }
            self.write_armed = true;
        }
        if room == 0 {
            self.stuck = self.stuck.max(now.since(self.moved_at));
        } else {
            self.moved_at = now;
            self.waits = room < length;
        }
    }

    fn wake_writer(&mut self) {
        let has_room = self.cut || self.capacity - self.down.len() >= self.room_told;
        if let Some(token) = self.token
            && self.write_armed
            && has_room
        {
            self.write_armed = false;
            self.poll.borrow_mut().writable.push(token);
        }
    }
}

impl Socket for ServerEnd {
    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut pipes = self.0.borrow_mut();
        if pipes.cut {
            return Err(ErrorKind::ConnectionReset.into());
        }
        if pipes.up.is_empty() {
            if pipes.client_shut {
                return Ok(0);
            }
            pipes.read_armed = true;
            return Err(ErrorKind::WouldBlock.into());
        }
        let most = buffer.len().min(pipes.up.len());
        let take = if pipes.random.u8(..8) == 0 { pipes.random.usize(1..=most) } else { most };
        pipes.up.read(&mut buffer[..take])
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut pipes = self.0.borrow_mut();
        assert!(!pipes.server_shut, "bytes are sent after the line was shut");
        assert!(!bytes.is_empty(), "nothing is sent");
        if pipes.cut || pipes.client_shut {
            return Err(ErrorKind::BrokenPipe.into());
        }
        assert!(pipes.held.is_empty(), "more is sent while something is held");
        let room = (pipes.capacity - pipes.down.len()).min(bytes.len());
        pipes.take(bytes.len(), room);
        pipes.down.extend(&bytes[..room]);
        if pipes.encrypts && room < bytes.len() {
            // The record that was begun is taken whole.
            let end = bytes.len().min(room.next_multiple_of(RECORD).max(RECORD));
            pipes.held.extend(&bytes[room..end]);
            return Ok(end);
        }
        if room == 0 { Err(ErrorKind::WouldBlock.into()) } else { Ok(room) }
    }

    fn held(&self) -> usize {
        self.0.borrow().held.len()
    }

    fn push(&mut self) -> io::Result<usize> {
        let mut pipes = self.0.borrow_mut();
        if pipes.held.is_empty() {
            return Ok(0);
        }
        if pipes.cut || pipes.client_shut {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let room = (pipes.capacity - pipes.down.len()).min(pipes.held.len());
        let held = pipes.held.len();
        pipes.take(held, room);
        let pushed: Vec<u8> = pipes.held.drain(..room).collect();
        pipes.down.extend(pushed);
        Ok(room)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        let mut pipes = self.0.borrow_mut();
        assert!(pipes.held.is_empty() || pipes.cut, "the line is shut while something is held");
        pipes.server_shut = true;
        if pipes.cut { Err(ErrorKind::NotConnected.into()) } else { Ok(()) }
    }
}

impl Drop for ServerEnd {
    fn drop(&mut self) {
        self.0.borrow_mut().server_gone = true;
    }
}

impl ClientEnd {
    /// Registers the shard's end with the poller, which reports once what is there already.
    pub(crate) fn register(&self, token: Token) {
        let mut pipes = self.0.borrow_mut();
        pipes.token = Some(token);
        pipes.poll.borrow_mut().writable.push(token);
        if pipes.cut || pipes.client_shut || !pipes.up.is_empty() {
            pipes.wake_reader();
        }
        pipes.wake_writer();
    }

    pub(crate) fn token(&self) -> Option<Token> {
        self.0.borrow().token
    }

    /// Takes what has come, at most `most` bytes, to the end of `out`; how many there were.
    pub(crate) fn read(&self, most: usize, out: &mut Vec<u8>) -> usize {
        let mut pipes = self.0.borrow_mut();
        let take = most.min(pipes.down.len());
        let from = out.len();
        out.resize(from + take, 0);
        pipes.down.read_exact(&mut out[from..]).expect("so many are there");
        if take > 0 {
            pipes.wake_writer();
        }
        take
    }

    /// Whether there is anything to read.
    pub(crate) fn has_bytes(&self) -> bool {
        !self.0.borrow().down.is_empty()
    }

    /// Whether everything was read and nothing more will come.
    pub(crate) fn is_at_end(&self) -> bool {
        let pipes = self.0.borrow();
        pipes.down.is_empty() && (pipes.server_shut || pipes.server_gone)
    }

    /// Whether the shard has let go of it.
    pub(crate) fn is_let_go(&self) -> bool {
        self.0.borrow().server_gone
    }

    /// The line gets faster.
    pub(crate) fn widen(&self) {
        let mut pipes = self.0.borrow_mut();
        pipes.capacity = pipes.capacity.max(WIDE);
    }

    /// Sends; the way up is never full.
    pub(crate) fn write(&self, bytes: &[u8]) {
        let mut pipes = self.0.borrow_mut();
        if !pipes.server_gone {
            pipes.up.extend(bytes);
            pipes.wake_reader();
        }
    }

    /// Takes back up to `most` of the bytes that the shard has not read yet.
    pub(crate) fn read_ahead(&self, most: usize) -> Vec<u8> {
        let mut pipes = self.0.borrow_mut();
        let take = most.min(pipes.up.len());
        pipes.up.drain(..take).collect()
    }

    /// Says that nothing more will be sent.
    pub(crate) fn shut(&self) {
        let mut pipes = self.0.borrow_mut();
        pipes.client_shut = true;
        pipes.wake_reader();
    }

    /// The line breaks: nothing that was under way arrives.
    pub(crate) fn cut(&self) {
        let mut pipes = self.0.borrow_mut();
        pipes.cut = true;
        pipes.down.clear();
        pipes.held.clear();
        pipes.up.clear();
        pipes.wake_reader();
        pipes.write_armed = true;
        pipes.wake_writer();
    }

    /// How often the shard could not send all that it wanted to.
    pub(crate) fn shorts(&self) -> u64 {
        self.0.borrow().shorts
    }

    /// For how long bytes have been waiting now without one moving, on the shard's clock; zero
    /// when none wait.
    pub(crate) fn stuck_for(&self) -> Nanos {
        let pipes = self.0.borrow();
        if pipes.waits && pipes.down.len() == pipes.capacity {
            pipes.poll.borrow().now.since(pipes.moved_at)
        } else {
            Nanos::ZERO
        }
    }

    /// The longest time in which the shard tried to send and nothing moved.
    pub(crate) fn longest_stuck(&self) -> Nanos {
        self.0.borrow().stuck
    }
}
