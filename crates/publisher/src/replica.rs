//! The one writer of replicas: on a gateway it stands where a partition stands beside the publisher.
//!
//! The streams, topics, tiers and batches are a partition's own; only where state comes from differs.
//! Nobody behind the [`crate::Hub`] can tell the two apart. A replica's writer may wait for a reader
//! that is inside an instrument: it holds no venue's socket up, and what it is told is on the bus.

use crate::partition::{Partition, Turn};
pub use crate::replica_streams::Adopted;
use crate::streams::Effects;
use tickcast_market::{InstrumentIndex, Nanos, Since, TradingState};
use tickcast_wire::{Pieces, View};

/// The writer of all replicas of a process.
#[derive(Debug)]
pub struct Replica {
    partition: Partition,
    effects: Effects,
}

impl Replica {
    pub(crate) fn new(partition: Partition) -> Replica {
        Replica { partition, effects: Effects::default() }
    }

    /// Takes over what the publisher said of one stream, received there at `ts_recv`; of the book
    /// its deepest view. `None` for an instrument that the directory does not know.
    ///
    /// *Cost:* grows with what was told; a snapshot of a book sorts its levels.
    pub fn adopt(
        &mut self,
        instrument: InstrumentIndex,
        told: &Pieces,
        ts_recv: Nanos,
    ) -> Option<Adopted> {
        let cells = self.partition.cells().clone();
        let mut guarded = cells.get_or_make(instrument)?.guarded.write();
        let adopted = guarded.streams.adopt(told, ts_recv);
        if adopted == Adopted::Applied && !guarded.topics.is_empty() {
            drop(guarded);
            self.partition.touch(instrument);
        }
        Some(adopted)
    }

    /// What is held of a stream.
    pub fn held(&self, instrument: InstrumentIndex, view: View) -> Since {
        let cells = self.partition.cells();
        let cell = cells.get_or_make(instrument);
        cell.map_or(Since::NOTHING, |cell| cell.guarded.read().streams.held(view))
    }

    /// Lets go of a stream that nobody follows any more; it is awaited again when somebody does.
    pub fn forget(&mut self, instrument: InstrumentIndex, view: View) {
        if let Some(cell) = self.partition.cells().get(instrument) {
            cell.guarded.write().streams.forget(view);
        }
    }

    /// Says what can be expected of an instrument's data from here on.
    pub fn set_state(&mut self, instrument: InstrumentIndex, state: TradingState, now: Nanos) {
        let cells = self.partition.cells().clone();
        let Some(cell) = cells.get_or_make(instrument) else { return };
        let mut guarded = cell.guarded.write();
        guarded.streams.state(state, now, &mut self.effects);
        if std::mem::take(&mut self.effects.state_changed) {
            let status = guarded.streams.status;
            drop(guarded);
            self.partition.tell(now, instrument, &status);
        }
    }

    /// Encodes what is due and hands it to the shards.
    pub fn turn(&mut self, now: Nanos) -> Turn {
        self.partition.turn(now, &[])
    }

    /// When it wants its next turn even without news; [`Nanos::MAX`] for never.
    pub fn next_due(&self, now: Nanos) -> Nanos {
        self.partition.next_due(now)
    }
}
