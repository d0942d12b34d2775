//! The fourth step of a turn: each touched connection is written to, once.
//!
//! A send carries, in this order: what waits for the connection (the rest of a begun frame,
//! answers), its frames of the pass, and what it owes as far as there is room. When the line takes
//! less, only the rest of the frame that was begun is kept; the topics of all others become owing.

use crate::connection::{Framing, Phase, Stamp};
use crate::flush_mode::FlushMode;
use crate::frame::{Opcode, write_frame};
use crate::outbox::{LOAD_BYTES_MAX, Load, Outbox};
use crate::shard::Shard;
use crate::shard_pass::PassFrame;
use crate::socket::Socket;
use crate::sse;

/// Connections that are written to before the sockets are looked at again.
const FLUSHES_MAX: usize = 512;

impl<S: Socket> Shard<S> {
    /// Writes to the next connections of the pass.
    pub(crate) fn flush_pass(&mut self) {
        for _ in 0..FLUSHES_MAX {
            let Some(token) = self.pass.next() else { break };
            // What it was given since it was gathered goes behind what is on its way.
            if !self.outbox.has_room() || self.lanes[token as usize].sending {
                self.send_gathered();
            }
            self.gather(token);
        }
        self.send_gathered();
    }

    /// Writes to a connection what it is to get, as far as its line takes it; what is more than a
    /// load comes with the pass, or with its next turn among those that owe.
    pub(crate) fn flush(&mut self, token: u32) {
        debug_assert!(self.outbox.is_empty(), "nothing else is on its way");
        self.gather(token);
        self.send_gathered();
    }

    /// A line that was full may have room again: goes on writing.
    pub(crate) fn resume(&mut self, token: u32) {
        let now = self.pace.now();
        let Some(connection) = self.get_mut(token) else { return };
        let (bytes, moved_at) = (connection.account.bytes, connection.moved_at);
        let Ok(pushed) = connection.socket.push() else {
            return self.drop_connection(token, 1006, "the line broke");
        };
        if pushed > 0 {
            connection.moved_at = Stamp::at(now);
        }
        if connection.socket.held() == 0 {
            connection.blocked = false;
            self.flush(token);
        }
        let Some(connection) = self.get_mut(token) else { return };
        if pushed > 0 || connection.account.bytes > bytes {
            // The peer has taken some: it lives, even if it has not come to our ping yet.
            connection.heard_at = Stamp::at(now);
            connection.pinged = false;
        } else {
            connection.moved_at = moved_at;
        }
    }

    /// Gathers what one send is to carry. Frames are taken off the connection's chain, owed topics
    /// out of what it owes.
    pub(crate) fn gather(&mut self, token: u32) {
        let Shard { outbox, pass, lanes, connections, deflater, .. } = self;
        let Some(connection) = connections.get_mut(token as usize) else { return };
        let lane = &mut lanes[token as usize];
        let start = outbox.bytes.len();
        let owed_start = outbox.owed.len();
        let chain = *lane;
        let mut frames = 0;
        if connection.blocked {
            outbox.put(Load::empty(token, start, chain, owed_start), None);
            return;
        }
        if let Some(newest) = connection.rare.as_mut().and_then(|rare| rare.newest_pong.take()) {
            write_frame(&mut connection.waiting, Opcode::Pong, &newest);
        }
        let mut deflater = deflater.as_mut().filter(|_| connection.compresses);
        outbox.bytes.extend_from_slice(&connection.waiting);
        let waiting_end = outbox.bytes.len();
        while outbox.bytes.len() - start < LOAD_BYTES_MAX {
            let Some(node) = pass.pop(lane) else { break };
            pass.frames[node.frame as usize].written += 1;
            frames += 1;
            if let Some(deflater) = &mut deflater
                && let Some(twin) = pass.take_twin(node.frame, deflater)
            {
                outbox.bytes.extend_from_slice(twin);
                continue;
            }
            let frame = &pass.frames[node.frame as usize];
            put(&mut outbox.bytes, connection.framing, frame, pass.bytes(frame));
        }
        lane.sending = true;
        connection.account.messages += u64::from(frames);
        let frames_end = outbox.bytes.len();
        let descriptor = connection.socket.descriptor();
        // What is owed comes after the frames.
        if lane.is_empty() && connection.owing.is_some() && connection.phase == Phase::Open {
            self.gather_owed(token);
        }
        let load = Load {
            frames,
            waiting_end,
            frames_end,
            ..Load::empty(token, start, chain, owed_start)
        };
        self.outbox.put(load, descriptor);
    }

    /// Sends what was gathered, each load with one send, and settles each.
    pub(crate) fn send_gathered(&mut self) {
        // One alone goes quicker without a ring.
        let by_ring = self.outbox.loads.len() > 1 && self.outbox.ring.is_some();
        if by_ring {
            self.seal_gathered();
        }
        if by_ring && let Err(error) = self.outbox.post() {
            tracing::warn!(shard = self.index.0, %error, "io_uring has failed: sends one by one");
            self.tally.sends_by(FlushMode::Send);
        }
        for at in 0..self.outbox.loads.len() {
            self.settle(at);
        }
        self.outbox.clear();
    }

    /// Encrypts what goes to lines that do, so that the ring may take it.
    fn seal_gathered(&mut self) {
        let Outbox { loads, posted, bytes, .. } = &mut self.outbox;
        for (load, posted) in loads.iter_mut().zip(posted) {
            let Some(connection) = self.connections.get_mut(load.token as usize) else { continue };
            if load.end == load.start || posted.socket.is_some() {
                continue;
            }
            let start = bytes.len();
            if let Some((socket, sealed)) = connection.socket.seal(bytes, load.start..load.end) {
                load.sealed = sealed;
                posted.socket = Some(socket);
                posted.bytes = start..bytes.len();
            }
        }
    }

    /// Throws away what a fault has left behind; whose it was is closed.
    pub(crate) fn forget_gathered(&mut self) {
        for load in &self.outbox.loads {
            self.lanes[load.token as usize].sending = false;
        }
        self.outbox.clear();
    }

    /// What follows when a connection has been written to.
    pub(crate) fn after_flush(&mut self, token: u32) {
        let Some(connection) = self.connections.get_mut(token as usize) else { return };
        if let Some(owing) = &connection.owing {
            if owing.is_empty() {
                connection.owing = None;
            } else if !connection.blocked && !connection.queued && connection.phase == Phase::Open {
                connection.queued = true;
                self.serving.push_back(token);
            }
            self.tally.note_lag(connection);
        }
        if connection.paused && !connection.is_flooded() {
            connection.paused = false;
            if !std::mem::replace(&mut connection.unread, true) {
                self.unread.push_back(token);
            }
        }
        self.lanes[token as usize].shut = !connection.takes_frames();
        if connection.phase == Phase::Closing
            && connection.waiting.is_empty()
            && connection.socket.held() == 0
        {
            self.leave(token);
        }
    }
}

/// Appends a frame of the pass the way the connection speaks.
#[inline]
fn put(out: &mut Vec<u8>, framing: Framing, frame: &PassFrame, bytes: &[u8]) {
    match framing {
        Framing::WebSocket => out.extend_from_slice(bytes),
        Framing::Sse { ids } => sse::write_frame(out, ids, frame, bytes),
    }
}
