//! Puts hub, partitions and the shards' feeds together, and runs a partition on its thread.

use crate::batch::{Batch, ShardFeed};
use crate::cell::{Cells, INSTRUMENTS_MAX};
use crate::hub::Hub;
use crate::interest::Interest;
use crate::metrics::PartitionMetrics;
use crate::outbox::{Outbox, ShardLink, Wake};
use crate::partition::{Partition, Resync};
use crate::replica::Replica;
use crate::topic::{ShardIndex, Tiers};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tickcast_market::{Directory, Epoch, EventBatch, Nanos};

/// Batches that wait for a shard before it counts as overrun.
pub const SHARD_BATCHES_MAX: usize = 256;

/// Batches of events that one turn takes at most, so that a turn has an end.
const TURN_BATCHES_MAX: usize = 64;

/// A partition looks at its deadlines at least so often, for bars of silent lines.
const IDLE: Duration = Duration::from_millis(100);

/// With work left over from a turn (a reader was inside an instrument) it looks again so soon.
const BUSY: Duration = Duration::from_micros(20);

/// What a publisher is made of.
pub struct Config {
    /// The start of this run in Unix seconds; it becomes part of every epoch.
    pub run: u64,
    /// The rates on offer.
    pub tiers: Tiers,
    /// How many partitions, each a thread; at least 1.
    pub partitions: usize,
    /// One waker per shard; at most [`ShardIndex::COUNT_MAX`].
    pub wakes: Vec<Wake>,
    /// Asks a feed for a new snapshot of one instrument.
    pub resync: Resync,
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("run", &self.run)
            .field("tiers", &self.tiers)
            .field("partitions", &self.partitions)
            .field("shards", &self.wakes.len())
            .finish_non_exhaustive()
    }
}

/// A publisher, taken apart for the threads that use it.
#[derive(Debug)]
pub struct Publisher {
    /// The read side, for all shards and REST.
    pub hub: Arc<Hub>,
    /// The writers, for a thread each.
    pub partitions: Vec<Partition>,
    /// One per shard.
    pub feeds: Vec<ShardFeed>,
}

impl Publisher {
    /// Builds it. *Panics* with no partition or more than [`ShardIndex::COUNT_MAX`] shards, which
    /// the configuration has to refuse.
    pub fn new(config: Config, directory: Arc<Directory>) -> Publisher {
        Publisher::with_shard_batches(config, directory, SHARD_BATCHES_MAX)
    }

    /// The same with another number of batches that may wait for a shard: a simulation wants to
    /// see overruns more often.
    pub fn with_shard_batches(
        config: Config,
        directory: Arc<Directory>,
        shard_batches: usize,
    ) -> Publisher {
        let cells = Cells::new(directory, Epoch::first_of_run(config.run));
        Publisher::around(Arc::new(cells), config, shard_batches)
    }

    /// A replica instead of a publisher: its one writer is told over a bus what it holds, of what
    /// `interest` says that somebody wants. `config.partitions` and `config.resync` are not used.
    pub fn replica(
        config: Config,
        directory: Arc<Directory>,
        interest: Arc<Interest>,
    ) -> (Arc<Hub>, Replica, Vec<ShardFeed>) {
        let run = Epoch::first_of_run(config.run);
        let cells = Arc::new(Cells::of_replicas(directory, run, interest));
        let config = Config { partitions: 1, ..config };
        let mut publisher = Publisher::around(cells, config, SHARD_BATCHES_MAX);
        let partition = publisher.partitions.pop().expect("one was asked for");
        (publisher.hub, Replica::new(partition), publisher.feeds)
    }

    fn around(cells: Arc<Cells>, config: Config, shard_batches: usize) -> Publisher {
        assert!(config.partitions > 0, "a publisher needs a partition");
        assert!(config.wakes.len() <= ShardIndex::COUNT_MAX, "interest is one bit per shard");
        let tiers = Arc::new(config.tiers);
        let mut feeds = Vec::new();
        let mut links = Vec::new();
        for wake in config.wakes {
            let (sender, receiver) = bounded::<Arc<Batch>>(shard_batches);
            let overrun = Arc::new(AtomicBool::new(false));
            feeds.push(ShardFeed { receiver, overrun: overrun.clone() });
            links.push(ShardLink { sender, overrun, wake });
        }
        let partition = |_| {
            let outbox = Outbox::new(links.clone());
            Partition::new(cells.clone(), tiers.clone(), outbox, config.resync.clone())
        };
        let partitions = (0..config.partitions).map(partition).collect();
        let hub = Arc::new(Hub::new(cells, tiers, config.partitions));
        Publisher { hub, partitions, feeds }
    }

    /// How many instruments a process can hold.
    pub const INSTRUMENTS_MAX: usize = INSTRUMENTS_MAX;
}

/// Where a partition's events come from and emptied batches go back to.
#[derive(Debug)]
pub struct Inbox {
    /// Batches from all feeds.
    pub batches: Receiver<EventBatch>,
    /// Emptied ones, for being filled again; when it is full they are dropped.
    pub recycled: Sender<EventBatch>,
}

impl Partition {
    /// Runs until every feed has let go of the inbox. `clock` is the wall clock.
    pub fn run(mut self, inbox: &Inbox, metrics: &PartitionMetrics, clock: impl Fn() -> Nanos) {
        let mut taken = Vec::with_capacity(TURN_BATCHES_MAX);
        loop {
            if self.is_hungry() {
                let now = clock();
                let wait = match self.next_due(now) {
                    due if due <= now => BUSY,
                    due => Duration::from_nanos(due.since(now).0 as u64).min(IDLE),
                };
                match inbox.batches.recv_timeout(wait) {
                    Ok(batch) => taken.push(batch),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                }
                taken.extend(inbox.batches.try_iter().take(TURN_BATCHES_MAX - taken.len()));
            }
            let began = clock();
            let waiting = taken.iter().map(EventBatch::len).sum();
            let turn = self.turn(began, &taken);
            for mut batch in taken.drain(..) {
                batch.clear();
                match inbox.recycled.try_send(batch) {
                    Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
                }
            }
            metrics.turn(&turn, waiting, clock().since(began));
        }
    }
}
