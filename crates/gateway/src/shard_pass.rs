//! A pass: what came, who wants it, and who has been written to.
//!
//! Walking the batches only marks: each connection that is to get a frame has a chain of nodes in
//! one arena, and nothing is kept for those that get none. Then each touched connection is written
//! to once. The arena is emptied when the last has been.

use crate::deflate::Deflater;
use crate::sent_kind::SentKind;
use crate::shard_deflate::{TwinState, Twins};
use std::sync::Arc;
use tickcast_market::{Epoch, InstrumentIndex, Nanos, Seq, Venue};
use tickcast_publisher::{Batch, Frame};

/// The end of a chain.
pub(crate) const NONE: u32 = u32::MAX;

/// The source of frames that the shard encoded itself.
const OWN: u32 = u32::MAX;

/// What a connection has in the present pass, in an array of its own: walking a frame touches
/// nothing else of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lane {
    head: u32,
    tail: u32,
    /// The last status transition that it was given, so that it gets each one once.
    pub(crate) stamp: u32,
    /// It cannot be given frames now; its topics become owing instead.
    pub(crate) shut: bool,
    /// What it is to get has been gathered and is not sent yet.
    pub(crate) sending: bool,
}

impl Lane {
    /// Of a connection that has nothing in the pass.
    pub(crate) const EMPTY: Lane =
        Lane { head: NONE, tail: NONE, stamp: 0, shut: false, sending: false };

    /// Of a connection that gets nothing more.
    pub(crate) const SHUT: Lane = Lane { shut: true, ..Lane::EMPTY };

    pub(crate) fn is_empty(&self) -> bool {
        self.head == NONE
    }
}

impl Default for Lane {
    fn default() -> Lane {
        Lane::EMPTY
    }
}

/// One frame in one connection's chain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node {
    pub(crate) frame: u32,
    /// The connection's membership in the frame's topic; without meaning for a status.
    pub(crate) membership: u32,
    next: u32,
}

/// A frame of the pass, from a batch or encoded here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PassFrame {
    source: u32,
    start: u32,
    pub(crate) len: u32,
    pub(crate) head_len: u8,
    pub(crate) kind: SentKind,
    pub(crate) venue: Option<Venue>,
    twin: TwinState,
    pub(crate) instrument: InstrumentIndex,
    pub(crate) epoch: Epoch,
    pub(crate) prev: Seq,
    pub(crate) seq: Seq,
    pub(crate) ts_recv: Nanos,
    pub(crate) ts_publish: Nanos,
    /// How often it was handed to the kernel since this was last asked.
    pub(crate) written: u32,
}

/// The arena, the frames in it, and the connections that are to be written to.
#[derive(Debug, Default)]
pub(crate) struct Pass {
    batches: Vec<Arc<Batch>>,
    own: Vec<u8>,
    pub(crate) frames: Vec<PassFrame>,
    pub(crate) twins: Twins,
    nodes: Vec<Node>,
    touched: Vec<u32>,
    /// How many of `touched` have had their turn.
    done: usize,
    rotation: usize,
}

impl Pass {
    /// Whether everybody has been written to, so that new batches may be taken.
    pub(crate) fn is_done(&self) -> bool {
        self.done == self.touched.len()
    }

    /// Whether it has not begun: frames may be added and everybody still gets them in one send.
    pub(crate) fn is_fresh(&self) -> bool {
        self.done == 0
    }

    /// How many frames for single connections it has gathered.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Empties it and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.batches.clear();
        self.own.clear();
        self.frames.clear();
        self.twins.clear();
        self.nodes.clear();
        self.touched.clear();
        self.done = 0;
    }

    /// Takes a batch in; its frames are then made known by [`Pass::frame_of_batch`].
    pub(crate) fn hold(&mut self, batch: Arc<Batch>) -> u32 {
        self.batches.push(batch);
        self.batches.len() as u32 - 1
    }

    /// Makes a frame of a held batch part of the pass.
    pub(crate) fn frame_of_batch(
        &mut self,
        batch: u32,
        frame: &Frame,
        kind: SentKind,
        instrument: InstrumentIndex,
    ) -> u32 {
        let ts_publish = self.batches[batch as usize].ts_publish;
        self.frames.push(PassFrame {
            source: batch,
            start: frame.start,
            len: frame.len,
            head_len: frame.head_len,
            kind,
            venue: Some(frame.venue),
            twin: TwinState::Unmade,
            instrument,
            epoch: frame.epoch,
            prev: frame.prev,
            seq: frame.seq,
            ts_recv: frame.ts_recv,
            ts_publish,
            written: 0,
        });
        self.frames.len() as u32 - 1
    }

    /// The buffer for frames that the shard encodes itself, to be made known by
    /// [`Pass::frame_of_own`].
    pub(crate) fn own_mut(&mut self) -> &mut Vec<u8> {
        &mut self.own
    }

    /// How much the shard has encoded itself.
    pub(crate) fn own_len(&self) -> usize {
        self.own.len()
    }

    /// Makes what was appended to [`Pass::own_mut`] from `start` on part of the pass.
    pub(crate) fn frame_of_own(
        &mut self,
        start: usize,
        head_len: u8,
        kind: SentKind,
        instrument: InstrumentIndex,
        (epoch, prev, seq): (Epoch, Seq, Seq),
    ) -> u32 {
        self.frames.push(PassFrame {
            source: OWN,
            start: start as u32,
            len: (self.own.len() - start) as u32,
            head_len,
            kind,
            venue: None,
            twin: TwinState::Unmade,
            instrument,
            epoch,
            prev,
            seq,
            ts_recv: Nanos::ZERO,
            ts_publish: Nanos::ZERO,
            written: 0,
        });
        self.frames.len() as u32 - 1
    }

    /// The complete WebSocket frame.
    pub(crate) fn bytes(&self, frame: &PassFrame) -> &[u8] {
        bytes_of(&self.own, &self.batches, frame)
    }

    /// The same, compressed, for who has agreed to that: made when the first comes to it. `None`
    /// where the plain one goes to them too.
    pub(crate) fn take_twin(&mut self, number: u32, deflater: &mut Deflater) -> Option<&[u8]> {
        let Pass { own, batches, frames, twins, .. } = self;
        let frame = &mut frames[number as usize];
        if !Deflater::is_worth(frame.len as usize - usize::from(frame.head_len)) {
            return None;
        }
        if frame.twin == TwinState::Unmade {
            let bytes = bytes_of(own, batches, frame);
            frame.twin = twins.make(number, bytes, frame.head_len, deflater);
        }
        if frame.twin == TwinState::Useless {
            return None;
        }
        let twin = twins.get_mut(number)?;
        twin.written += 1;
        let twin = *twin;
        Some(twins.bytes(twin))
    }

    /// How long the frame was for who has agreed to compression, and was given it.
    pub(crate) fn twin_len(&mut self, number: u32) -> usize {
        let frame = &self.frames[number as usize];
        match self.twins.get_mut(number).filter(|_| frame.twin == TwinState::Made) {
            Some(twin) => twin.len as usize,
            None => frame.len as usize,
        }
    }

    /// It was not handed to the kernel after all.
    pub(crate) fn unwrite(&mut self, number: u32, compressed: bool) {
        self.frames[number as usize].written -= 1;
        if compressed && let Some(twin) = self.twins.get_mut(number) {
            twin.written -= 1;
        }
    }

    /// Appends a frame to a connection's chain.
    #[inline]
    pub(crate) fn append(&mut self, lane: &mut Lane, connection: u32, frame: u32, membership: u32) {
        let node = self.nodes.len() as u32;
        self.nodes.push(Node { frame, membership, next: NONE });
        if lane.head == NONE {
            lane.head = node;
            self.touched.push(connection);
        } else {
            self.nodes[lane.tail as usize].next = node;
        }
        lane.tail = node;
    }

    /// Takes the first node off a connection's chain.
    #[inline]
    pub(crate) fn pop(&self, lane: &mut Lane) -> Option<Node> {
        let node = *self.nodes.get(lane.head as usize)?;
        lane.head = node.next;
        Some(node)
    }

    /// Begins the chain at another connection than last time, so that nobody is always last.
    pub(crate) fn rotate(&mut self) {
        debug_assert_eq!(self.done, 0, "a pass is rotated before it begins");
        if !self.touched.is_empty() {
            // An odd step near the golden ratio visits every remainder and no two close together.
            self.rotation = self.rotation.wrapping_add(0x9E37_79B1);
            let by = self.rotation % self.touched.len();
            self.touched.rotate_left(by);
        }
    }

    /// The connection is to be written to once more.
    pub(crate) fn again(&mut self, connection: u32) {
        self.touched.push(connection);
    }

    /// The next connection to be written to.
    pub(crate) fn next(&mut self) -> Option<u32> {
        let connection = *self.touched.get(self.done)?;
        self.done += 1;
        Some(connection)
    }
}

fn bytes_of<'a>(own: &'a [u8], batches: &'a [Arc<Batch>], frame: &PassFrame) -> &'a [u8] {
    let buffer = match frame.source {
        OWN => own,
        batch => &batches[batch as usize].bytes,
    };
    &buffer[frame.start as usize..(frame.start + frame.len) as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_of_the_pass_is_one_line_of_cache() {
        assert_eq!(size_of::<PassFrame>(), 64);
    }

    #[test]
    fn chains_of_several_connections_keep_their_order_in_one_arena() {
        let mut pass = Pass::default();
        let mut lanes = [Lane::EMPTY; 2];
        for frame in 0..6u32 {
            let connection = frame % 2;
            pass.append(&mut lanes[connection as usize], connection, frame, 0);
        }
        pass.rotate();
        let mut seen = Vec::new();
        while let Some(connection) = pass.next() {
            while let Some(node) = pass.pop(&mut lanes[connection as usize]) {
                seen.push((connection, node.frame));
            }
            assert!(lanes[connection as usize].is_empty());
        }
        seen.sort_unstable();
        assert_eq!(seen, [(0, 0), (0, 2), (0, 4), (1, 1), (1, 3), (1, 5)]);
        assert!(pass.is_done());
    }

    #[test]
    fn the_first_of_one_pass_is_not_the_first_of_the_next() {
        let mut firsts = std::collections::BTreeSet::new();
        let mut pass = Pass::default();
        for _ in 0..64 {
            pass.clear();
            for connection in 0..8 {
                pass.append(&mut Lane::EMPTY.clone(), connection, 0, 0);
            }
            pass.rotate();
            firsts.insert(pass.next());
        }
        assert_eq!(firsts.len(), 8, "everybody was first once");
    }
}
