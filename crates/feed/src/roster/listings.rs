//! A venue's list of instruments, as its handler has read it, and what of it is wanted.

use crate::roster::INSTRUMENTS_MAX;
use rustc_hash::FxHashMap;
use tickcast_market::{InstrumentSpec, Scales, TradingState, Venue};

/// An instrument as the venue's list has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listing {
    pub(crate) spec: InstrumentSpec,
    pub(crate) state: TradingState,
}

impl Listing {
    /// An instrument of which only the venue's text is known; scales then come from digits.
    pub(crate) fn unlisted(venue: Venue, venue_symbol: &str) -> Listing {
        Listing {
            spec: InstrumentSpec {
                venue,
                symbol: canonical(venue_symbol),
                venue_symbol: venue_symbol.to_owned(),
                tick_size: None,
                lot_size: None,
                scales: Scales::default(),
            },
            state: TradingState::Live,
        }
    }
}

/// `BTC/USD` and `btc-usd` are `BTC-USD`.
pub(crate) fn canonical(venue_symbol: &str) -> String {
    venue_symbol.to_ascii_uppercase().replace(['/', '_'], "-")
}

/// The venue's list of instruments, and what of it is wanted.
#[derive(Debug, Default)]
pub(crate) struct Listings {
    list: Vec<Listing>,
    by_venue_symbol: FxHashMap<String, usize>,
}

impl Listings {
    /// Adds an instrument or replaces what is known of it.
    pub(crate) fn put(&mut self, listing: Listing) {
        match self.by_venue_symbol.get(&listing.spec.venue_symbol) {
            Some(at) => self.list[*at] = listing,
            None if self.list.len() >= INSTRUMENTS_MAX => {}
            None => {
                self.by_venue_symbol.insert(listing.spec.venue_symbol.clone(), self.list.len());
                self.list.push(listing);
            }
        }
    }

    /// What is listed under a venue symbol.
    pub(crate) fn get(&self, venue_symbol: &str) -> Option<&Listing> {
        self.by_venue_symbol.get(venue_symbol).map(|at| &self.list[*at])
    }

    /// Whether nothing is listed.
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The instruments to subscribe to: those of `wanted` (canonical symbols; `*` is every one
    /// that is traded), or of `default` where nothing is wanted. Second, the wanted symbols that
    /// the venue does not list.
    pub(crate) fn choose(
        &self,
        wanted: &[String],
        default: &[&str],
    ) -> (Vec<Listing>, Vec<String>) {
        let traded = |listing: &&Listing| listing.state != TradingState::Closed;
        if wanted.iter().any(|symbol| symbol == "*") {
            return (self.list.iter().filter(traded).cloned().collect(), Vec::new());
        }
        let by_symbol: FxHashMap<&str, &Listing> =
            self.list.iter().map(|listing| (listing.spec.symbol.as_str(), listing)).collect();
        if wanted.is_empty() {
            let listed = default.iter().filter_map(|symbol| by_symbol.get(symbol).copied());
            return (listed.filter(traded).cloned().collect(), Vec::new());
        }
        let (mut chosen, mut unknown) = (Vec::<Listing>::new(), Vec::new());
        for symbol in wanted {
            match by_symbol.get(canonical(symbol).as_str()) {
                Some(listing) if chosen.contains(listing) => {}
                Some(listing) => chosen.push((*listing).clone()),
                None => unknown.push(symbol.clone()),
            }
        }
        (chosen, unknown)
    }
}
