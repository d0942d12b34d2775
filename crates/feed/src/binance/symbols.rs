//! Every Binance symbol that the handler knows: its names, its scales and where it stands.

use crate::binance::book::BookSync;
use crate::handler::{ConnectionIndex, Io};
use rustc_hash::FxHashMap;
use tickcast_market::{
    Event, EventBody, InstrumentIndex, InstrumentSpec, Nanos, Scales, TradingState, Venue,
    split_venue_symbol,
};

/// How many symbols a handler keeps; Binance spot lists some three thousand.
pub(crate) const SYMBOLS_MAX: usize = 16_384;
/// The longest symbol that is believed, in bytes.
const SYMBOL_BYTES_MAX: usize = 64;

/// Which of the two trade streams a message came from; their ids are not comparable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TradeKind {
    /// `@trade`: each trade.
    Single,
    /// `@aggTrade`: each taker order.
    Aggregate,
}

/// One symbol.
#[derive(Debug)]
pub(crate) struct Symbol {
    pub(crate) instrument: InstrumentIndex,
    /// Upper case, as in payloads.
    pub(crate) venue_symbol: Box<str>,
    pub(crate) scales: Scales,
    pub(crate) state: TradingState,
    /// The newest connection that serves it.
    pub(crate) connection: Option<ConnectionIndex>,
    /// Whether its depth stream was asked for: live then means that the book is joined.
    pub(crate) expects_book: bool,
    pub(crate) book: BookSync,
    /// Newest `u` of its quotes.
    pub(crate) quote_id: Option<u64>,
    /// Newest trade id, and of which stream.
    pub(crate) trade_id: Option<(TradeKind, u64)>,
    /// Since when data is waited for; cleared by the first message.
    pub(crate) silent_since: Option<Nanos>,
    /// Whether the last bars have been asked for.
    pub(crate) has_bars: bool,
    /// How many requests for bars have failed.
    pub(crate) bars_failures: u32,
}

impl Symbol {
    /// Emits one event of this symbol.
    pub(crate) fn emit(&self, ts_event: Nanos, body: EventBody<'_>, io: &mut Io<'_>) {
        io.sink.event(&Event {
            instrument: self.instrument,
            ts_event,
            ts_recv: io.now,
            scales: self.scales,
            body,
        });
    }

    /// Says what can be expected from here on, if that is news.
    pub(crate) fn set_state(&mut self, state: TradingState, io: &mut Io<'_>) {
        if self.state != state {
            self.state = state;
            self.emit(Nanos::ZERO, EventBody::State(state), io);
        }
    }

    /// Its line is lost: nothing of it can be continued.
    pub(crate) fn lost(&mut self, io: &mut Io<'_>) {
        self.connection = None;
        self.quote_id = None;
        self.trade_id = None;
        self.book.reset();
        self.set_state(TradingState::Stale, io);
    }
}

/// The symbols by number and by name.
#[derive(Debug, Default)]
pub(crate) struct Symbols {
    list: Vec<Symbol>,
    by_name: FxHashMap<Box<[u8]>, usize>,
    /// What the venue's list says of symbols that are not in use (yet).
    specs: FxHashMap<String, InstrumentSpec>,
}

impl Symbols {
    /// The number of the symbol that payloads call `name`.
    #[inline]
    pub(crate) fn find(&self, name: &[u8]) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    pub(crate) fn get(&self, index: usize) -> &Symbol {
        &self.list[index]
    }

    pub(crate) fn get_mut(&mut self, index: usize) -> &mut Symbol {
        &mut self.list[index]
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Symbol> {
        self.list.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Symbol> {
        self.list.iter_mut()
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// Notes what the venue's list says, for when the symbol is first used.
    pub(crate) fn note(&mut self, spec: InstrumentSpec) {
        if self.specs.len() < SYMBOLS_MAX {
            self.specs.insert(spec.venue_symbol.clone(), spec);
        }
    }

    /// Whether the venue's list has it.
    pub(crate) fn is_listed(&self, name: &str) -> bool {
        self.specs.contains_key(name)
    }

    /// Finds a symbol or makes it known to the sink; `None` when there are too many already or it
    /// cannot be one.
    pub(crate) fn find_or_add(&mut self, name: &str, io: &mut Io<'_>) -> Option<usize> {
        if let Some(index) = self.find(name.as_bytes()) {
            return Some(index);
        }
        let plausible = !name.is_empty()
            && name.len() <= SYMBOL_BYTES_MAX
            && !name.chars().any(|c| c.is_control() || c.is_whitespace() || c == ':');
        if !plausible || self.list.len() >= SYMBOLS_MAX {
            return None;
        }
        let spec = self.specs.get(name).cloned().unwrap_or_else(|| guessed_spec(name));
        let index = self.list.len();
        self.list.push(Symbol {
            instrument: io.sink.instrument(&spec),
            venue_symbol: name.into(),
            scales: spec.scales,
            state: TradingState::Resync,
            connection: None,
            expects_book: false,
            book: BookSync::default(),
            quote_id: None,
            trade_id: None,
            silent_since: None,
            has_bars: false,
            bars_failures: 0,
        });
        self.by_name.insert(name.as_bytes().into(), index);
        Some(index)
    }
}

/// What can be said of a symbol without the venue's list.
fn guessed_spec(name: &str) -> InstrumentSpec {
    let symbol = match split_venue_symbol(name) {
        Some((base, quote)) => format!("{base}-{quote}"),
        None => name.to_string(),
    };
    InstrumentSpec {
        venue: Venue::Binance,
        symbol,
        venue_symbol: name.to_string(),
        tick_size: None,
        lot_size: None,
        scales: Scales::default(),
    }
}
