//! Where an instrument's streams lie: one lock each, in a table that only grows.

use crate::stream_numbers::StreamNumbers;
use crate::streams::Streams;
use crate::topic::{TopicId, TopicKey};
use parking_lot::RwLock;
use std::sync::{Arc, OnceLock};
use tickcast_market::{Directory, Epoch, InstrumentIndex, Nanos, Since, Venue};
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
    run: Epoch,
    numbers: StreamNumbers,
    chunks: Vec<OnceLock<Chunk>>,
}

impl Cells {
    pub(crate) fn new(directory: Arc<Directory>, run: Epoch) -> Cells {
        let chunks = (0..CHUNKS_MAX).map(|_| OnceLock::new()).collect();
        Cells { directory, run, numbers: StreamNumbers::default(), chunks }
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
                streams: Streams::new(self.run, instrument.spec.scales, self.numbers.next()),
                topics: Vec::new(),
            }),
        }))
    }
}
