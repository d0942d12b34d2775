//! What follows when a load was sent: what the line took is counted, of the rest only a begun frame
//! is kept, and the topics of all others become owing.

use crate::connection::{Framing, Stamp};
use crate::outbox::{Load, Served};
use crate::owing::Owed;
use crate::ring::Posted;
use crate::shard::Shard;
use crate::shard_pass::Node;
use crate::socket::Socket;
use crate::sse;
use std::io::{self, ErrorKind};
use tickcast_market::Since;
use tickcast_wire::Channel;

impl<S: Socket> Shard<S> {
    /// What came of sending a load: what it leaves kept, owed and counted.
    pub(crate) fn settle(&mut self, at: usize) {
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
                Err(_) => {
                    self.settle_none(&load);
                    return self.drop_connection(token, 1006, "the line broke");
                }
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
            self.settle_served(load, at);
        }
    }

    /// What was owed has gone out, or has begun to: it counts as sent.
    fn settle_served(&mut self, load: &Load, at: usize) {
        let Served { end, due, kind, plain } = self.outbox.owed[at];
        let length = end - self.outbox.served_start(load, at);
        self.tally.message(kind, length);
        if plain > 0 {
            self.tally.compressed(1, plain as usize, length);
        }
        self.settle_due(load.token, due);
    }

    /// Nothing of the load has gone out, and nobody is left who could get it.
    fn settle_none(&mut self, load: &Load) {
        let connection = &mut self.connections[load.token as usize];
        let owed = (load.owed_end - load.owed_start) as u64;
        connection.account.messages -= u64::from(load.frames) + owed;
        let (mut chain, compresses) = (load.chain, connection.compresses);
        for _ in 0..load.frames {
            let Some(node) = self.pass.pop(&mut chain) else { break };
            self.pass.unwrite(node.frame, compresses);
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
            let Served { end, due, .. } = self.outbox.owed[at];
            if self.outbox.served_start(load, at) < taken_end {
                rest_end = rest_end.max(end);
                self.settle_served(load, at);
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
