//! Where an instrument's streams lie: one lock each, in a table that only grows.

use crate::interest::Interest;
use crate::replica_streams::Awaited;
use crate::stream_numbers::StreamNumbers;
use crate::streams::Streams;
use crate::topic::{TopicId, TopicKey};
use parking_lot::RwLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use tickcast_market::{Directory, Epoch, InstrumentIndex, Nanos, Scales, Since, Venue};
use tickcast_wire::View;

/// Interest in one topic of an instrument.
#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) id: TopicId,
    pub(crate) key: TopicKey,
    /// Which shards listen, one bit each.
    pub(crate) shards: u64,
    /// What its last frame brought its receivers to.
    pub(crate) sent: Since,
    /// Its tier allows no frame before.
    pub(crate) due: Nanos,
    /// It waits in its partition's queue for that moment.
    pub(crate) queued: bool,
}

/// What the lock of an instrument guards.
#[derive(Debug)]
pub(crate) struct Guarded {
    pub(crate) streams: Streams,
    pub(crate) topics: Vec<Topic>,
}

/// One instrument.
///
/// One lock for all its streams, not one each: a trade changes six of them, and one uncontended
/// `try_write` is cheaper than six.
#[derive(Debug)]
pub(crate) struct Cell {
    pub(crate) name: Arc<str>,
    pub(crate) venue: Venue,
    pub(crate) guarded: RwLock<Guarded>,
}

impl Guarded {
    /// Whether any topic that is left needs the view kept.
    pub(crate) fn release_view(&mut self, view: View) {
        if let View::Book(depth) = view
            && !self.topics.iter().any(|topic| topic.key.view == view)
        {
            self.streams.book.forget(depth);
        }
    }
}

const CHUNK: usize = 1024;
const CHUNKS_MAX: usize = 256;

/// Instruments that a process can hold.
pub(crate) const INSTRUMENTS_MAX: usize = CHUNK * CHUNKS_MAX;

type Chunk = Box<[OnceLock<Cell>]>;

/// All instruments by index. Finding one is two loads; a cell never moves.
#[derive(Debug)]
pub(crate) struct Cells {
    directory: Arc<Directory>,
    /// The first epoch of status streams.
    run: Epoch,
    /// The epoch with which the data of an instrument begins that is seen for the first time.
    data_run: AtomicU64,
    /// Where the streams are replicas: who is told which of them somebody wants.
    interest: Option<Arc<Interest>>,
    numbers: StreamNumbers,
    chunks: Vec<OnceLock<Chunk>>,
}

impl Cells {
    pub(crate) fn new(directory: Arc<Directory>, run: Epoch) -> Cells {
        let chunks = (0..CHUNKS_MAX).map(|_| OnceLock::new()).collect();
        let data_run = AtomicU64::new(run.0);
        let numbers = StreamNumbers::default();
        Cells { directory, run, data_run, interest: None, numbers, chunks }
    }

    /// The same for replicas: their data has no epoch before they are told one, and no state.
    pub(crate) fn of_replicas(
        directory: Arc<Directory>,
        run: Epoch,
        interest: Arc<Interest>,
    ) -> Cells {
        let data_run = AtomicU64::new(0);
        Cells { data_run, interest: Some(interest), ..Cells::new(directory, run) }
    }

    /// Who is told what is wanted; `None` where the streams are the publisher's own.
    pub(crate) fn interest(&self) -> Option<&Interest> {
        self.interest.as_deref()
    }

    /// Begins a new epoch of all data, those included that nobody has seen yet.
    pub(crate) fn begin_run(&self, first: Epoch) {
        // Relaxed: a cell that is made meanwhile is visited below, under its lock.
        self.data_run.store(first.0, Ordering::Relaxed);
        for index in 0..self.directory.len() {
            let Some(cell) = self.get_or_make(InstrumentIndex(index as u32)) else { return };
            cell.guarded.write().streams.begin_run(first);
        }
    }

    pub(crate) fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    pub(crate) fn run(&self) -> Epoch {
        self.run
    }

    /// The instrument's cell, if somebody has asked for it before.
    pub(crate) fn get(&self, index: InstrumentIndex) -> Option<&Cell> {
        self.chunks.get(index.index() / CHUNK)?.get()?[index.index() % CHUNK].get()
    }

    /// Whether these are copies of another process's.
    pub(crate) fn is_replica(&self) -> bool {
        self.interest.is_some()
    }

    /// The instrument's cell, made when the directory knows it; `None` when it does not or the
    /// table is full.
    pub(crate) fn get_or_make(&self, index: InstrumentIndex) -> Option<&Cell> {
        if let Some(cell) = self.get(index) {
            return Some(cell);
        }
        let instrument = self.directory.get(index)?;
        let chunk = self
            .chunks
            .get(index.index() / CHUNK)?
            .get_or_init(|| (0..CHUNK).map(|_| OnceLock::new()).collect());
        Some(chunk[index.index() % CHUNK].get_or_init(|| Cell {
            name: instrument.name.clone(),
            venue: instrument.spec.venue,
            guarded: RwLock::new(Guarded {
                streams: self.new_streams(instrument.spec.scales),
                topics: Vec::new(),
            }),
        }))
    }

    fn new_streams(&self, scales: Scales) -> Streams {
        let mut streams = Streams::new(self.run, scales, self.numbers.next());
        streams.epoch = Epoch(self.data_run.load(Ordering::Relaxed));
        if self.interest.is_some() {
            streams.awaited = Awaited::ALL;
        }
        streams
    }
}
