//! What a partition hands to the shards after a turn: frames encoded once, shared by reference.

use crate::topic::TopicId;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tickcast_market::{Epoch, InstrumentIndex, Nanos, Seq, TradingState, Venue};

/// One encoded message of one topic within a [`Batch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Whose it is.
    pub topic: TopicId,
    /// The epoch of `prev` and `seq`.
    pub epoch: Epoch,
    /// What a receiver must hold at least; 0: a snapshot, which needs nothing.
    pub prev: Seq,
    /// What a receiver then holds.
    pub seq: Seq,
    /// The instrument's status then: a receiver is told that one or a later one before.
    pub status: Seq,
    /// Where it begins in the batch's bytes: a complete WebSocket frame.
    pub start: u32,
    /// Its length, WebSocket header included.
    pub len: u32,
    /// How many of these bytes are the WebSocket header; the message itself follows.
    pub head_len: u8,
    /// Where the instrument trades, for metrics.
    pub venue: Venue,
    /// When the newest event in it was received, for metrics.
    pub ts_recv: Nanos,
}

/// A transition of an instrument's status stream; every shard gets every one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateChange {
    /// Of which instrument.
    pub instrument: InstrumentIndex,
    /// The status stream's own epoch.
    pub epoch: Epoch,
    /// The status stream's own seq.
    pub seq: Seq,
    /// What can be expected of its data from here on.
    pub state: TradingState,
    /// Since when.
    pub ts_state: Nanos,
}

/// Everything that one turn of a partition has for the shards. Take `states` before `frames`: an
/// instrument's status goes before its data.
#[derive(Debug, Default)]
pub struct Batch {
    /// When it was encoded.
    pub ts_publish: Nanos,
    /// All frames' bytes.
    pub bytes: Vec<u8>,
    /// The frames in order of encoding.
    pub frames: Vec<Frame>,
    /// Transitions.
    pub states: Vec<StateChange>,
}

impl Batch {
    /// The frame as a WebSocket client gets it.
    pub fn websocket(&self, frame: &Frame) -> &[u8] {
        &self.bytes[frame.start as usize..(frame.start + frame.len) as usize]
    }

    /// The message alone.
    pub fn message(&self, frame: &Frame) -> &[u8] {
        &self.websocket(frame)[frame.head_len as usize..]
    }
}

/// A shard's end of the line from all partitions.
///
/// When the channel was full a batch was not given and the shard is *overrun*: it checks all its
/// topics and the states of all its instruments, also those without further frames, and catches
/// up by diff. In-between it may go on taking batches: a frame with `prev` above the shard's mark
/// for the topic is withheld and the topic served by diff instead.
#[derive(Debug)]
pub struct ShardFeed {
    pub(crate) receiver: crossbeam_channel::Receiver<Arc<Batch>>,
    pub(crate) overrun: Arc<AtomicBool>,
}

impl ShardFeed {
    /// The next batch that has arrived, if any; never waits.
    pub fn try_next(&self) -> Option<Arc<Batch>> {
        self.receiver.try_recv().ok()
    }

    /// How many batches have arrived and were not taken.
    pub fn waiting(&self) -> usize {
        self.receiver.len()
    }

    /// Whether batches were lost since the last call. Ask before taking batches.
    pub fn take_overrun(&self) -> bool {
        // Pairs with the Release store of the partition: what was published before the lost batch
        // is visible to the diffs that follow.
        self.overrun.swap(false, Ordering::Acquire)
    }
}
