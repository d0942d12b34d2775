//! Of which instruments a replica's readers want other streams than before: noted by the read side,
//! taken by who follows the bus.

use crate::outbox::Wake;
use parking_lot::Mutex;
use rustc_hash::FxHashSet;
use std::fmt;
use tickcast_market::InstrumentIndex;

/// Instruments whose topics came or went. Bounded: each stands here once.
pub struct Interest {
    changed: Mutex<FxHashSet<InstrumentIndex>>,
    wake: Wake,
}

impl fmt::Debug for Interest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interest").field("changed", &self.changed).finish_non_exhaustive()
    }
}

impl Interest {
    /// Nothing has changed yet; `wake` is called whenever something has.
    pub fn new(wake: Wake) -> Interest {
        Interest { changed: Mutex::default(), wake }
    }

    /// Takes note. Called under the instrument's lock, so `take` and then [`crate::Hub::wanted`]
    /// see at least this.
    pub(crate) fn note(&self, instrument: InstrumentIndex) {
        if self.changed.lock().insert(instrument) {
            (self.wake)();
        }
    }

    /// Moves what has changed since the last call into `out`.
    pub fn take(&self, out: &mut Vec<InstrumentIndex>) {
        out.extend(self.changed.lock().drain());
    }
}
