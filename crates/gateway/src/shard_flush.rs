//! The fourth step of a turn: each touched connection is written to, once.
//!
//! A send carries, in this order: what waits for the connection (the rest of a begun frame,
//! answers), its frames of the pass, and what it owes as far as there is room. When the line takes
//! less, only the rest of the frame that was begun is kept; the topics of all others become owing.

use crate::connection::{Framing, Phase};
use crate::frame::{Opcode, write_frame};
use crate::owing::Owed;
use crate::owing_serve::Due;
use crate::shard::Shard;
use crate::shard_pass::{Lane, Node, PassFrame};
use crate::socket::Socket;
use crate::sse;
use std::io::ErrorKind;
use tickcast_market::Since;
use tickcast_wire::Channel;

/// Connections that are written to before the sockets are looked at again.
const FLUSHES_MAX: usize = 256;

/// Where a load is cut, in bytes; no socket's send buffer is larger.
const LOAD_BYTES_MAX: usize = 256 << 10;

/// What one send carries.
#[derive(Debug, Default)]
pub(crate) struct Load {
    pub(crate) bytes: Vec<u8>,
    /// Where what waited for the connection ends.
    waiting_end: usize,
    /// The connection's chain before its frames were taken off, and how many were.
    chain: Lane,
    frames: usize,
    /// Where they end.
    frames_end: usize,
    /// What was owed, each with the end of its bytes.
    pub(crate) owed: Vec<(usize, Due)>,
}

impl Load {
    fn clear(&mut self) {
        self.bytes.clear();
        self.owed.clear();
        self.waiting_end = 0;
        self.frames = 0;
        self.frames_end = 0;
    }
}

impl<S: Socket> Shard<S> {
    /// Writes to the next connections of the pass.
    pub(crate) fn flush_pass(&mut self) {
        for _ in 0..FLUSHES_MAX {
            let Some(token) = self.pass.next() else { break };
            self.flush(token);
        }
    }

    /// Writes to a connection everything that it is to get, as far as its line takes it; of what
    /// it owes, one load.
    pub(crate) fn flush(&mut self, token: u32) {
        while self.send_once(token) {}
        self.after_flush(token);
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
            connection.moved_at = now;
        }
        if connection.socket.held() == 0 {
            connection.blocked = false;
            self.flush(token);
        }
        let Some(connection) = self.get_mut(token) else { return };
        if pushed > 0 || connection.account.bytes > bytes {
            // The peer has taken some: it lives, even if it has not come to our ping yet.
            connection.heard_at = now;
            connection.pinged = false;
        } else {
            connection.moved_at = moved_at;
        }
    }

    /// Sends one load; whether the line took it and more frames are there.
    fn send_once(&mut self, token: u32) -> bool {
        self.gather(token);
        let length = self.load.bytes.len();
        let Some(connection) = self.connections.get_mut(token as usize) else { return false };
        if length == 0 {
            return false;
        }
        let result = loop {
            match connection.socket.send(&self.load.bytes) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => break result,
            }
        };
        self.tally.sends += 1;
        let sent = match result {
            Ok(sent) => sent.min(length),
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(_) => {
                self.drop_connection(token, 1006, "the line broke");
                return false;
            }
        };
        connection.account.bytes += sent as u64;
        if sent > 0 {
            connection.moved_at = self.pace.now();
        }
        // What the socket took and holds still has gone as little as what it did not take.
        let is_gone = sent == length && connection.socket.held() == 0;
        if is_gone {
            self.settle_all(token);
        } else {
            self.settle_short(token, sent);
        }
        is_gone && !self.lanes[token as usize].is_empty()
    }

    /// Gathers what one send is to carry. Frames are taken off the connection's chain, owed topics
    /// out of what it owes.
    fn gather(&mut self, token: u32) {
        let Shard { load, pass, lanes, connections, .. } = self;
        load.clear();
        let Some(connection) = connections.get_mut(token as usize) else { return };
        if connection.blocked {
            return;
        }
        if let Some(newest) = connection.pongs.newest.take() {
            write_frame(&mut connection.waiting, Opcode::Pong, &newest);
        }
        load.bytes.extend_from_slice(&connection.waiting);
        load.waiting_end = load.bytes.len();
        let lane = &mut lanes[token as usize];
        load.chain = *lane;
        while load.bytes.len() < LOAD_BYTES_MAX {
            let Some(node) = pass.pop(lane) else { break };
            pass.frames[node.frame as usize].written += 1;
            let frame = &pass.frames[node.frame as usize];
            put(&mut load.bytes, connection.framing, frame, pass.bytes(frame));
            load.frames += 1;
        }
        connection.account.messages += load.frames as u64;
        load.frames_end = load.bytes.len();
        // What is owed comes after the frames.
        if lane.is_empty() && connection.owing.is_some() && connection.phase == Phase::Open {
            self.gather_owed(token);
        }
    }

    fn settle_all(&mut self, token: u32) {
        let connection = &mut self.connections[token as usize];
        if self.load.waiting_end > 0 {
            connection.waiting = Vec::new();
            connection.rest = 0;
            connection.pongs.waiting = 0;
        }
        for at in 0..self.load.owed.len() {
            let (_, due) = self.load.owed[at];
            self.settle_due(token, due);
        }
    }

    /// The line took only the first `sent` bytes of the load: keeps the rest of what was begun;
    /// everything after it is owed.
    fn settle_short(&mut self, token: u32, sent: usize) {
        let connection = &mut self.connections[token as usize];
        connection.blocked = true;
        if sent == 0 {
            connection.moved_at = self.pace.now(); // From here on it does not move.
        }
        self.lanes[token as usize].shut = true;
        if sent >= self.load.waiting_end {
            connection.pongs.waiting = 0;
        }
        let framing = connection.framing;
        let mut rest_end = sent.max(self.load.waiting_end);
        let (mut chain, mut end) = (self.load.chain, self.load.waiting_end);
        for _ in 0..self.load.frames {
            let Some(node) = self.pass.pop(&mut chain) else { break };
            let frame = &mut self.pass.frames[node.frame as usize];
            let start = end;
            end += match framing {
                Framing::WebSocket => frame.len as usize,
                Framing::Sse { ids } => sse::frame_length(ids, frame),
            };
            if start < sent {
                rest_end = rest_end.max(end);
            } else {
                frame.written -= 1;
                self.connections[token as usize].account.messages -= 1;
                self.owe_frame(token, node);
            }
        }
        debug_assert_eq!(end, self.load.frames_end, "frames are as long as they were");
        while let Some(node) = self.pass.pop(&mut self.lanes[token as usize]) {
            self.owe_frame(token, node);
        }
        let rest_end = self.settle_short_owed(token, sent, rest_end);
        let connection = &mut self.connections[token as usize];
        connection.waiting = self.load.bytes[sent..rest_end].to_vec();
        connection.rest = match self.load.waiting_end {
            answers_end if answers_end < rest_end => (rest_end - answers_end.max(sent)) as u32,
            _ => connection.rest.saturating_sub(sent as u32),
        };
    }

    /// What was owed and not begun is owed again, in its old order. Returns the end of what was.
    fn settle_short_owed(&mut self, token: u32, sent: usize, mut rest_end: usize) -> usize {
        let begun = |load: &Load, at: usize| {
            let start = if at == 0 { load.frames_end } else { load.owed[at - 1].0 };
            start < sent
        };
        for at in (0..self.load.owed.len()).rev() {
            let (end, due) = self.load.owed[at];
            if begun(&self.load, at) {
                rest_end = rest_end.max(end);
                self.settle_due(token, due);
            } else {
                self.connections[token as usize].account.messages -= 1;
                self.put_due_back(token, due);
            }
        }
        rest_end
    }

    /// A frame that was not begun: its topic, or its status, is owed.
    fn owe_frame(&mut self, token: u32, node: Node) {
        let frame = self.pass.frames[node.frame as usize];
        if frame.channel == Channel::Status {
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

/// Appends a frame of the pass the way the connection speaks.
#[inline]
fn put(out: &mut Vec<u8>, framing: Framing, frame: &PassFrame, bytes: &[u8]) {
    match framing {
        Framing::WebSocket => out.extend_from_slice(bytes),
        Framing::Sse { ids } => sse::write_frame(out, ids, frame, bytes),
    }
}
