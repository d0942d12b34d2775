//! Every instrument that this process knows, by index and by name; only ever grows.

use crate::instrument::{Instrument, InstrumentIndex, InstrumentSpec};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};

/// The list of instruments, shared by feeds, publisher and gateway.
///
/// *Cost:* [`Directory::len`] is one atomic load, so that a gateway can notice new instruments for
/// its globs cheaply. Everything else takes a lock for a moment; no hot path calls it.
#[derive(Debug, Default)]
pub struct Directory {
    inner: RwLock<Inner>,
    len: AtomicUsize,
}

#[derive(Debug, Default)]
struct Inner {
    by_index: Vec<Arc<Instrument>>,
    by_name: BTreeMap<Arc<str>, InstrumentIndex>,
    complete: bool,
}

impl Directory {
    fn read(&self) -> std::sync::RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Finds the instrument by venue and symbol, or adds it.
    pub fn add(&self, spec: &InstrumentSpec) -> InstrumentIndex {
        let name = format!("{}:{}", spec.venue, spec.symbol);
        if let Some(index) = self.read().by_name.get(name.as_str()) {
            return *index;
        }
        let mut inner = self.write();
        if let Some(index) = inner.by_name.get(name.as_str()) {
            return *index;
        }
        let index = InstrumentIndex(inner.by_index.len() as u32);
        let name: Arc<str> = name.into();
        inner.by_index.push(Arc::new(Instrument { index, name: name.clone(), spec: spec.clone() }));
        inner.by_name.insert(name, index);
        // Pairs with the Acquire load in `len`: who sees the new length finds the instrument.
        self.len.store(inner.by_index.len(), Ordering::Release);
        index
    }

    /// The instrument of that index, if there is one.
    pub fn get(&self, index: InstrumentIndex) -> Option<Arc<Instrument>> {
        self.read().by_index.get(index.index()).cloned()
    }

    /// The instrument named `venue:SYMBOL`.
    pub fn find(&self, name: &str) -> Option<Arc<Instrument>> {
        let inner = self.read();
        inner.by_name.get(name).map(|index| inner.by_index[index.index()].clone())
    }

    /// Every instrument whose symbol without the venue is `symbol`.
    pub fn find_bare(&self, symbol: &str) -> Vec<Arc<Instrument>> {
        let inner = self.read();
        inner.by_index.iter().filter(|i| i.spec.symbol == symbol).cloned().collect()
    }

    /// The instruments from index `from` on, in order of index: for who keeps a list of its own
    /// and wants to know what is new.
    pub fn list_from(&self, from: usize) -> Vec<Arc<Instrument>> {
        self.read().by_index.get(from..).unwrap_or_default().to_vec()
    }

    /// How many instruments there are.
    pub fn len(&self) -> usize {
        // Pairs with the Release store in `add`.
        self.len.load(Ordering::Acquire)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Says that every feed has given its list of instruments: from now on an unknown name is an
    /// error and no longer something to wait for.
    pub fn set_complete(&self) {
        self.write().complete = true;
    }

    /// Whether [`Directory::set_complete`] has been called.
    pub fn is_complete(&self) -> bool {
        self.read().complete
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Scales, Venue};

    fn spec(venue: Venue, symbol: &str) -> InstrumentSpec {
        InstrumentSpec {
            venue,
            symbol: symbol.into(),
            venue_symbol: symbol.replace('-', ""),
            tick_size: None,
            lot_size: None,
            scales: Scales::default(),
        }
    }

    #[test]
    fn the_same_name_is_the_same_instrument() {
        let directory = Directory::default();
        let first = directory.add(&spec(Venue::Kraken, "BTC-USD"));
        let other = directory.add(&spec(Venue::Coinbase, "BTC-USD"));
        assert_ne!(first, other);
        assert_eq!(directory.add(&spec(Venue::Kraken, "BTC-USD")), first);
        assert_eq!(directory.len(), 2);
        assert_eq!(directory.find("kraken:BTC-USD").unwrap().index, first);
        assert_eq!(directory.find_bare("BTC-USD").len(), 2);
        assert_eq!(directory.list_from(1).len(), 1);
        assert!(directory.find("kraken:NOPE").is_none());
    }
}
