//! Where a turn's frames gather, and how they get to the shards without anybody waiting.

use crate::batch::Batch;
use crossbeam_channel::{Sender, TrySendError};
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tickcast_market::Nanos;

/// Batches that are kept for being used again.
const POOL_MAX: usize = 64;

/// How many pooled batches are looked at for a free one.
const POOL_TRIES: usize = 4;

/// Wakes a shard's thread from its poller; called after a batch was put into its channel.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// One partition's line to one shard.
#[derive(Clone)]
pub(crate) struct ShardLink {
    pub(crate) sender: Sender<Arc<Batch>>,
    pub(crate) overrun: Arc<AtomicBool>,
    pub(crate) wake: Wake,
}

impl fmt::Debug for ShardLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShardLink").field("overrun", &self.overrun).finish_non_exhaustive()
    }
}

/// The batch that is being filled, and the shards that will share it.
#[derive(Debug)]
pub(crate) struct Outbox {
    links: Vec<ShardLink>,
    batch: Arc<Batch>,
    /// The shards that listen to any of its topics.
    shards: u64,
    pool: VecDeque<Arc<Batch>>,
}

impl Outbox {
    pub(crate) fn new(links: Vec<ShardLink>) -> Outbox {
        Outbox { links, batch: Arc::default(), shards: 0, pool: VecDeque::new() }
    }

    /// The batch being filled.
    pub(crate) fn batch_mut(&mut self, now: Nanos) -> &mut Batch {
        let batch = Arc::get_mut(&mut self.batch)
            .expect("a batch is shared only once it is handed over, and then another is filled");
        batch.ts_publish = now;
        batch
    }

    /// The same, for a frame that these shards listen to.
    pub(crate) fn batch_for(&mut self, now: Nanos, shards: u64) -> &mut Batch {
        self.shards |= shards;
        self.batch_mut(now)
    }

    /// Gives the batch to every shard that it concerns. A shard whose channel is full is marked as
    /// overrun instead. Returns how many were.
    pub(crate) fn hand_over(&mut self, now: Nanos) -> u64 {
        if self.batch.frames.is_empty() && self.batch.states.is_empty() {
            return 0;
        }
        self.batch_mut(now);
        let everybody = !self.batch.states.is_empty();
        let mut overruns = 0;
        // The last one first: where that is a witness, it knows of a frame before any shard sends it.
        for (number, link) in self.links.iter().enumerate().rev() {
            if !everybody && self.shards & (1 << number) == 0 {
                continue;
            }
            match link.sender.try_send(self.batch.clone()) {
                Ok(()) => {}
                Err(TrySendError::Full(_)) => {
                    overruns += 1;
                    // Pairs with the Acquire swap of `ShardFeed::take_overrun`.
                    link.overrun.store(true, Ordering::Release);
                }
                // The shard has ended; the process is about to.
                Err(TrySendError::Disconnected(_)) => continue,
            }
            (link.wake)();
        }
        self.shards = 0;
        let next = self.free_batch();
        let handed = std::mem::replace(&mut self.batch, next);
        if self.pool.len() < POOL_MAX {
            self.pool.push_back(handed);
        }
        overruns
    }

    /// A batch that no shard holds any more, emptied; a new one when there is none at hand.
    fn free_batch(&mut self) -> Arc<Batch> {
        for _ in 0..POOL_TRIES.min(self.pool.len()) {
            let Some(mut pooled) = self.pool.pop_front() else { break };
            if let Some(batch) = Arc::get_mut(&mut pooled) {
                batch.bytes.clear();
                batch.frames.clear();
                batch.states.clear();
                return pooled;
            }
            self.pool.push_back(pooled);
        }
        Arc::default()
    }
}
