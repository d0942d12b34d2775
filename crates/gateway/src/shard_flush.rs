//! The fourth step of a turn: each touched connection is written to, once.
//!
//! A send carries, in this order: what waits for the connection (the rest of a begun frame,
//! answers), its frames of the pass, and what it owes as far as there is room. When the line takes
//! less, only the rest of the frame that was begun is kept; the topics of all others become owing.

use crate::connection::{Framing, Phase, Stamp};
use crate::flush_mode::FlushMode;
use crate::frame::{Opcode, write_frame};
use crate::outbox::{LOAD_BYTES_MAX, Load, Outbox};
use crate::owing::Owed;
use crate::ring::Posted;
use crate::shard::Shard;
use crate::shard_pass::{Node, PassFrame};
use crate::socket::Socket;
use crate::sse;
use std::io::{self, ErrorKind};
use tickcast_market::Since;
use tickcast_wire::Channel;

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

    fn settle(&mut self, at: usize) {
        let load = self.outbox.loads[at];
        let token = load.token;
        let Some(connection) = self.connections.get_mut(token as usize) else { return };
        self.lanes[token as usize].sending = false;
        let length = load.end - load.start;
        if length > 0 {
            let posted = &self.outbox.posted[at];
            self.tally.sent(posted.result.is_some());
            let result = match load.sealed {
                0 => taken(posted, &self.outbox.bytes, &mut connection.socket),
                _ => taken_sealed(&load, posted, &self.outbox.bytes, &mut connection.socket),
            };
            let sent = match result {
                Ok(sent) => sent.min(length),
                Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                Err(_) => return self.drop_connection(token, 1006, "the line broke"),
            };
            connection.account.bytes += sent as u64;
            if sent > 0 {
                connection.moved_at = Stamp::at(self.pace.now());
            }
            // What the socket took and holds has blocked it as much as what it did not take.
            if sent == length && connection.socket.held() == 0 {
                self.settle_all(&load);
            } else {
                self.settle_short(&load, sent);
            }
        }
        self.after_flush(token);
        // Also where it takes no further frames: those that it has were made before.
        if !self.lanes[token as usize].is_empty() {
            self.pass.again(token);
        }
    }

    fn settle_all(&mut self, load: &Load) {
        let connection = &mut self.connections[load.token as usize];
        if load.waiting_end > load.start {
            connection.waiting = Vec::new();
            connection.rest = 0;
            connection.pongs_waiting = 0;
        }
        for at in load.owed_start..load.owed_end {
            let (_, due) = self.outbox.owed[at];
            self.settle_due(load.token, due);
        }
    }

    /// The line took only the first `sent` bytes of the load: keeps the rest of what was begun;
    /// everything after it is owed.
    fn settle_short(&mut self, load: &Load, sent: usize) {
        let token = load.token;
        let connection = &mut self.connections[token as usize];
        connection.blocked = true;
        if sent == 0 {
            connection.moved_at = Stamp::at(self.pace.now()); // From here on it does not move.
        }
        self.lanes[token as usize].shut = true;
        let taken_end = load.start + sent;
        if taken_end >= load.waiting_end {
            connection.pongs_waiting = 0;
        }
        let (framing, compresses) = (connection.framing, connection.compresses);
        let mut rest_end = taken_end.max(load.waiting_end);
        let (mut chain, mut end) = (load.chain, load.waiting_end);
        for _ in 0..load.frames {
            let Some(node) = self.pass.pop(&mut chain) else { break };
            let frame = &self.pass.frames[node.frame as usize];
            let start = end;
            end += match framing {
                Framing::WebSocket if compresses => self.pass.twin_len(node.frame),
                Framing::WebSocket => frame.len as usize,
                Framing::Sse { ids } => sse::frame_length(ids, frame),
            };
            if start < taken_end {
                rest_end = rest_end.max(end);
            } else {
                self.pass.unwrite(node.frame, compresses);
                self.connections[token as usize].account.messages -= 1;
                self.owe_frame(token, node);
            }
        }
        debug_assert_eq!(end, load.frames_end, "frames are as long as they were");
        while let Some(node) = self.pass.pop(&mut self.lanes[token as usize]) {
            self.owe_frame(token, node);
        }
        let rest_end = self.settle_short_owed(load, taken_end, rest_end);
        let connection = &mut self.connections[token as usize];
        connection.waiting = self.outbox.bytes[taken_end..rest_end].to_vec();
        connection.rest = match load.waiting_end {
            answers_end if answers_end < rest_end => (rest_end - answers_end.max(taken_end)) as u32,
            _ => connection.rest.saturating_sub(sent as u32),
        };
    }

    /// What was owed and not begun is owed again, in its old order. Returns the end of what was.
    fn settle_short_owed(&mut self, load: &Load, taken_end: usize, mut rest_end: usize) -> usize {
        for at in (load.owed_start..load.owed_end).rev() {
            let (end, due) = self.outbox.owed[at];
            let start =
                if at == load.owed_start { load.frames_end } else { self.outbox.owed[at - 1].0 };
            if start < taken_end {
                rest_end = rest_end.max(end);
                self.settle_due(load.token, due);
            } else {
                self.connections[load.token as usize].account.messages -= 1;
                self.put_due_back(load.token, due);
            }
        }
        rest_end
    }

    /// A frame that was not begun: its topic, or its status, is owed.
    fn owe_frame(&mut self, token: u32, node: Node) {
        let frame = self.pass.frames[node.frame as usize];
        if frame.kind.channel() == Channel::Status {
            self.owe_status(token, frame.instrument);
            return;
        }
        let connection = &mut self.connections[token as usize];
        let place = connection.subscriptions.memberships[node.membership as usize].place();
        let subscriber = self.topics.subscriber_mut(place);
        if subscriber.is_owing() {
            connection.account.merged += 1;
            self.tally.merged += 1;
            return;
        }
        subscriber.set_owing(true);
        connection.owing.get_or_insert_default().push(Owed {
            membership: node.membership,
            since: Since { epoch: frame.epoch, seq: frame.prev },
            first: false,
            bare: false,
        });
        self.tally.note_lag(connection);
    }

    /// What follows when a connection has been written to.
    fn after_flush(&mut self, token: u32) {
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

/// What the ring has said of a load, or else the socket says.
fn taken(posted: &Posted, bytes: &[u8], socket: &mut impl Socket) -> io::Result<usize> {
    if let Some(result) = posted.result.filter(|result| *result != -libc::EINTR) {
        return usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result));
    }
    loop {
        match socket.send(&bytes[posted.bytes.clone()]) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// The same of a load that was encrypted for the ring: what it did not take is held.
fn taken_sealed(
    load: &Load,
    posted: &Posted,
    bytes: &[u8],
    socket: &mut impl Socket,
) -> io::Result<usize> {
    let sealed = &bytes[posted.bytes.clone()];
    let gone = match posted.result {
        Some(result) if result >= 0 => sealed.len().min(result as usize),
        // Not taken now, interrupted, or the ring has failed before it came to this one.
        None => 0,
        Some(result) if [-libc::EAGAIN, -libc::EINTR].contains(&result) => 0,
        Some(result) => return Err(io::Error::from_raw_os_error(-result)),
    };
    socket.hold(&sealed[gone..]);
    if gone < sealed.len() {
        // The poller tells of room only after the kernel has said that there is none.
        socket.push()?;
    }
    let rest = &bytes[load.start + load.sealed..load.end];
    if rest.is_empty() || socket.held() > 0 {
        return Ok(load.sealed);
    }
    match socket.send(rest) {
        Ok(sent) => Ok(load.sealed + sent),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(load.sealed),
        Err(error) => Err(error),
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
