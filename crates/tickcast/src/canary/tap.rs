//! What was published, seen from inside: one more reader of the publisher's batches, interested in
//! just what the canary's connections are subscribed to.
//!
//! To the publisher it is a shard without clients. It is never woken: whoever has read a message, or
//! looks at the time, takes what has gathered. The publisher hands a batch to it before it hands it to
//! any shard, so what comes over a socket is known here already.

use super::ledger::{Publication, StreamId};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use tickcast_market::Since;
use tickcast_publisher::{Hub, ShardFeed, ShardIndex, Tier, TopicId, TopicKey};
use tickcast_wire::{Encoding, FieldSet};

/// The topic that a canary's subscription to the stream is served from.
pub(super) fn topic((instrument, view): StreamId) -> TopicKey {
    let (tier, fields, encoding) = (Tier::default(), FieldSet::ALL, Encoding::Json);
    TopicKey { instrument, view, tier, fields, encoding }
}

/// The canary's end of the publisher.
#[derive(Debug)]
pub(super) struct Tap {
    hub: Arc<Hub>,
    index: ShardIndex,
    feed: ShardFeed,
    topics: HashMap<TopicId, StreamId>,
    /// How many connections want each stream.
    wanted: HashMap<StreamId, (TopicId, usize)>,
}

impl Tap {
    /// A tap without interests. `index` is the place of its wake in the publisher's configuration.
    pub(super) fn new(hub: Arc<Hub>, index: ShardIndex, feed: ShardFeed) -> Tap {
        Tap { hub, index, feed, topics: HashMap::new(), wanted: HashMap::new() }
    }

    /// From now on publications of the stream are seen.
    pub(super) fn follow(&mut self, stream: StreamId) {
        match self.wanted.entry(stream) {
            Entry::Occupied(mut known) => known.get_mut().1 += 1,
            Entry::Vacant(new) => {
                let Some((id, _)) = self.hub.acquire(self.index, &topic(stream)) else { return };
                self.topics.insert(id, stream);
                new.insert((id, 1));
            }
        }
    }

    /// One connection less wants the stream.
    pub(super) fn leave(&mut self, stream: StreamId) {
        let Entry::Occupied(mut known) = self.wanted.entry(stream) else { return };
        known.get_mut().1 -= 1;
        if known.get().1 == 0 {
            let (id, _) = known.remove();
            self.topics.remove(&id);
            self.hub.release(self.index, &topic(stream), id);
        }
    }

    /// Tells of everything that was published since the last call; `false` where some of it was lost,
    /// since nobody has called for long.
    pub(super) fn drain(&self, mut each: impl FnMut(StreamId, Publication)) -> bool {
        let was_overrun = self.feed.take_overrun();
        while let Some(batch) = self.feed.try_next() {
            for frame in &batch.frames {
                if let Some(stream) = self.topics.get(&frame.topic) {
                    let at = Since { epoch: frame.epoch, seq: frame.seq };
                    each(*stream, Publication { at, ts_recv: frame.ts_recv });
                }
            }
        }
        !was_overrun
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        for (stream, (id, _)) in self.wanted.drain() {
            self.hub.release(self.index, &topic(stream), id);
        }
    }
}
