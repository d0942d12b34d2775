//! The read side: what shards and REST ask of the publisher.

use crate::topic::{ShardIndex, Tiers, TopicId, TopicKey};
use std::sync::Arc;
use tickcast_market::{Directory, Epoch, InstrumentIndex, Nanos, Seq, Since, TradingState};
use tickcast_wire::{FieldSet, Pieces};

/// Everything that shards share with the partitions.
#[derive(Debug)]
pub struct Hub {
    directory: Arc<Directory>,
}

/// What is asked of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Which topic's view, fields and encoding.
    pub key: TopicKey,
    /// What the asker holds; [`Since::NOTHING`] or another epoch: a snapshot is the answer.
    pub since: Since,
    /// Answer even if nothing is new: the first message of a subscription always comes.
    pub always: bool,
    /// `trades` with `snapshot: false`: a snapshot without trades.
    pub bare: bool,
}

/// What an ask was answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// The asker holds everything already; nothing was written.
    Nothing,
    /// A complete WebSocket frame was appended.
    Frame {
        /// The epoch of `prev` and `seq`.
        epoch: Epoch,
        /// 0: a snapshot.
        prev: Seq,
        /// What the asker holds after it.
        seq: Seq,
        /// How many of the bytes are the WebSocket header.
        head_len: u8,
    },
}

/// Buffers that asking needs, kept and used again by each asker.
#[derive(Debug, Default)]
pub struct Scratch {
    #[allow(dead_code)]
    pieces: Pieces,
}

/// An instrument's present status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// The status stream's own epoch.
    pub epoch: Epoch,
    /// The status stream's own seq.
    pub seq: Seq,
    /// What can be expected of its data.
    pub state: TradingState,
    /// Since when.
    pub ts_state: Nanos,
}

#[allow(unused_variables, missing_docs, clippy::unimplemented)]
impl Hub {
    /// The instruments of this process.
    pub fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    /// The tiers on offer.
    pub fn tiers(&self) -> &Tiers {
        unimplemented!()
    }

    /// The field set that is granted for the wanted one: itself while the process has fewer than
    /// nine sets, else [`FieldSet::ALL`].
    pub fn grant_fields(&self, wanted: FieldSet) -> FieldSet {
        unimplemented!()
    }

    /// Registers a shard's interest in a topic (once per shard and topic) under the instrument's
    /// lock, and says from where on its frames will come: the topic's next frame has `prev` equal
    /// to the returned seq (or another epoch). The shard's mark for the topic starts there; read
    /// the snapshot afterwards. `None` when there is no such instrument.
    pub fn acquire(&self, shard: ShardIndex, key: &TopicKey) -> Option<(TopicId, Since)> {
        unimplemented!()
    }

    /// Takes a shard's interest back. Frames of the topic may still be under way.
    pub fn release(&self, shard: ShardIndex, key: &TopicKey, id: TopicId) {
        unimplemented!()
    }

    /// `diff(since)`, encoded: appends one WebSocket frame to `out` or nothing.
    ///
    /// *Cost:* holds the instrument's read lock while copying the pieces, encodes outside it;
    /// grows with the answer. An unknown instrument answers [`Served::Nothing`].
    pub fn serve(&self, ask: &Ask, now: Nanos, scratch: &mut Scratch, out: &mut Vec<u8>) -> Served {
        unimplemented!()
    }

    /// The data element (`{...}`) of a snapshot alone, for REST. `false` when there is no such
    /// instrument.
    pub fn item(&self, key: &TopicKey, now: Nanos, scratch: &mut Scratch, out: &mut Vec<u8>) -> bool {
        unimplemented!()
    }

    /// The instrument's present status; `Resync` for one that has not been heard of.
    pub fn status(&self, instrument: InstrumentIndex) -> Status {
        unimplemented!()
    }

    /// Appends the WebSocket frame of a status snapshot; returns its header's length.
    pub fn status_frame(&self, instrument: InstrumentIndex, status: &Status, now: Nanos, out: &mut Vec<u8>) -> u8 {
        unimplemented!()
    }
}
