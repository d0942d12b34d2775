//! What is on its way to the kernel: the loads of some connections, one behind the other in one
//! buffer, and how much of each was taken.
//!
//! With plain sends a load is gathered, sent and settled before the next; through a ring
//! ([`crate::ring`]) those of many connections go with one call. The steps are the same.

use crate::owing_serve::Due;
use crate::ring::{Posted, Ring};
use crate::sent_kind::SentKind;
use crate::shard_pass::Lane;
use std::io;
use std::os::fd::RawFd;

/// Where a load is cut, in bytes; no socket's send buffer is larger.
pub(crate) const LOAD_BYTES_MAX: usize = 256 << 10;

/// Bytes that are gathered before they are sent, however few the connections: what was just written
/// should still be in the core's cache when the kernel copies it.
const GATHERED_BYTES_MAX: usize = 1 << 17;

/// What one send carries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) token: u32,
    pub(crate) start: usize,
    /// Where what waited for the connection ends.
    pub(crate) waiting_end: usize,
    /// The connection's chain before its frames were taken off, and how many were.
    pub(crate) chain: Lane,
    pub(crate) frames: u32,
    /// Where they end.
    pub(crate) frames_end: usize,
    /// Where what was owed ends.
    pub(crate) end: usize,
    /// What was owed, among [`Outbox::owed`].
    pub(crate) owed_start: usize,
    pub(crate) owed_end: usize,
    /// How much of it was encrypted for the ring; `posted` then says where that is.
    pub(crate) sealed: usize,
}

impl Load {
    /// Of a connection for which nothing was gathered yet.
    pub(crate) fn empty(token: u32, start: usize, chain: Lane, owed_start: usize) -> Load {
        let end = start;
        Load {
            token,
            start,
            waiting_end: end,
            chain,
            frames: 0,
            frames_end: end,
            end,
            owed_start,
            owed_end: owed_start,
            sealed: 0,
        }
    }
}

/// Something owed that is on its way, in a message of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Served {
    /// Where its bytes end.
    pub(crate) end: usize,
    pub(crate) due: Due,
    pub(crate) kind: SentKind,
    /// How long it was before it was compressed; 0 where it was not.
    pub(crate) plain: u32,
}

/// The loads that have been gathered and not been settled.
#[derive(Debug)]
pub(crate) struct Outbox {
    pub(crate) bytes: Vec<u8>,
    /// What was owed.
    pub(crate) owed: Vec<Served>,
    pub(crate) loads: Vec<Load>,
    /// Beside `loads`: what is sent through the ring, and what came of it.
    pub(crate) posted: Vec<Posted>,
    pub(crate) ring: Option<Ring>,
    /// How many loads are gathered at most.
    pub(crate) loads_max: usize,
}

impl Outbox {
    pub(crate) fn new(loads_max: usize) -> Outbox {
        Outbox {
            bytes: Vec::new(),
            owed: Vec::new(),
            loads: Vec::new(),
            posted: Vec::new(),
            ring: None,
            loads_max: loads_max.max(1),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.loads.is_empty()
    }

    /// Whether another load may be gathered before these are sent.
    pub(crate) fn has_room(&self) -> bool {
        self.loads.len() < self.loads_max && self.bytes.len() < GATHERED_BYTES_MAX
    }

    /// Takes a load in whose bytes and owed topics are the last that were appended; `socket` is
    /// where a ring may write it.
    pub(crate) fn put(&mut self, load: Load, socket: Option<RawFd>) {
        let load = Load { end: self.bytes.len(), owed_end: self.owed.len(), ..load };
        self.posted.push(Posted { socket, bytes: load.start..load.end, result: None });
        self.loads.push(load);
    }

    /// Hands over to the kernel, with one call, what may go that way. What it says of each load
    /// stands in `posted`. Gives the ring up when it fails: whatever it has not taken, and all
    /// further loads, go by plain sends.
    ///
    /// *Errors:* why it was given up.
    pub(crate) fn post(&mut self) -> io::Result<()> {
        let Some(ring) = &mut self.ring else { return Ok(()) };
        let result = ring.send_all(&self.bytes, &mut self.posted);
        if result.is_err() {
            self.ring = None;
        }
        result
    }

    /// Where the bytes of an owed message of that load begin.
    pub(crate) fn served_start(&self, load: &Load, at: usize) -> usize {
        if at == load.owed_start { load.frames_end } else { self.owed[at - 1].end }
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.owed.clear();
        self.loads.clear();
        self.posted.clear();
    }
}
