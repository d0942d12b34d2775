//! What is known of each instrument: its scales, how far its events were counted, and what of its
//! data can be relied on.
//!
//! After a gap, a refused event or a lost connection an instrument is in `resync` until the source
//! has said again whatever it says of it: the next book snapshot where there is a book, the next
//! quote where there are quotes, the next status where there are any. What was lost may have been a
//! halt: a status that is in doubt is never taken for `live`.

use crate::handler::Io;
use crate::nats::event::Body;
use crate::nats::judge::{Judged, Terms};
use crate::roster::INSTRUMENTS_MAX;
use rustc_hash::FxHashMap;
use tickcast_market::{
    Event, EventBody, InstrumentIndex, InstrumentSpec, Nanos, Quote, TradingState,
};

/// One instrument.
#[derive(Debug)]
pub(crate) struct Entry {
    index: InstrumentIndex,
    symbol: Box<str>,
    /// Its place among the venues.
    venue: usize,
    pub(crate) terms: Terms,
    /// Its last declaration was refused: what its numbers mean now is not known.
    pub(crate) is_undeclared: bool,
    /// 0: nothing was counted yet on this connection.
    last_seq: u64,
    /// Whether there is such a thing at all, and whether the last one can be relied on.
    book: Holding,
    quote: Holding,
    status: Holding,
    /// Something was said of it on this connection.
    is_heard: bool,
    is_stale: bool,
    /// The last status that was understood; of who never says any it is live.
    trading: TradingState,
    said: TradingState,
    wait: Wait,
}

/// How long something has been in doubt, so that the log can name what is never said again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    Nothing,
    Since(Nanos),
    Told,
}

/// A kind of state that the source may keep for an instrument.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Holding {
    /// The source has never said any.
    #[default]
    None,
    /// There is one, and what we hold may be wrong.
    Doubted,
    Sure,
}

impl Holding {
    fn doubt(&mut self) {
        if *self == Holding::Sure {
            *self = Holding::Doubted;
        }
    }
}

/// What an event does, once judged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Judgement<'a> {
    pub(crate) body: Body,
    pub(crate) seq: u64,
    pub(crate) ts_event: Nanos,
    pub(crate) quote: Quote,
    pub(crate) status: TradingState,
    pub(crate) judged: &'a Judged,
}

impl Entry {
    /// Applies an event. Whether there was a gap before it.
    pub(crate) fn apply(&mut self, event: Judgement<'_>, io: &mut Io<'_>) -> bool {
        let is_gap = self.count(event.seq, event.body);
        let was_sure = self.book == Holding::Sure;
        match event.body {
            Body::Quote => self.quote = Holding::Sure,
            Body::BookSnapshot => self.book = Holding::Sure,
            Body::BookChanges if !was_sure => self.book = Holding::Doubted,
            Body::Status => (self.trading, self.status) = (event.status, Holding::Sure),
            Body::BookChanges | Body::Trades | Body::Nothing => {}
            Body::Heartbeat | Body::Unclear => {}
        }
        self.is_heard |= !matches!(event.body, Body::Nothing | Body::Heartbeat);
        // What is in doubt is said to be so before anything else is said.
        if self.state() == TradingState::Resync {
            self.settle(event.ts_event, io);
        }
        let judged = event.judged;
        match event.body {
            Body::Quote => self.say(event.ts_event, EventBody::Quote(event.quote), io),
            Body::Trades => self.say(event.ts_event, EventBody::Trades(&judged.trades), io),
            Body::BookSnapshot => {
                self.say(event.ts_event, EventBody::BookSnapshot(&judged.changes), io);
            }
            Body::BookChanges if was_sure && !judged.changes.is_empty() => {
                self.say(event.ts_event, EventBody::BookUpdate(&judged.changes), io);
            }
            Body::BookChanges | Body::Status | Body::Nothing => {}
            Body::Heartbeat | Body::Unclear => {}
        }
        self.settle(event.ts_event, io);
        is_gap
    }

    /// An event of it was refused: what it would have changed is in doubt.
    pub(crate) fn refused(&mut self, seq: u64, body: Body, io: &mut Io<'_>) -> bool {
        let is_gap = self.count(seq, body);
        match body {
            Body::Quote => self.quote.doubt(),
            Body::BookSnapshot | Body::BookChanges => self.book.doubt(),
            // Also where it is the first one: it may say that nobody trades.
            Body::Status => self.status = Holding::Doubted,
            Body::Unclear => self.doubt_all(),
            Body::Trades | Body::Nothing | Body::Heartbeat => {}
        }
        self.settle(io.now, io);
        is_gap
    }

    /// Somebody downstream found it wrong.
    pub(crate) fn doubt(&mut self, io: &mut Io<'_>) {
        self.book.doubt();
        self.quote.doubt();
        self.is_heard = false;
        self.settle(io.now, io);
    }

    /// Nothing is known of what was said meanwhile.
    fn miss(&mut self, io: &mut Io<'_>) {
        self.is_stale = false;
        self.wait = Wait::Nothing;
        self.status.doubt();
        self.doubt(io);
    }

    fn doubt_all(&mut self) {
        self.book.doubt();
        self.quote.doubt();
        self.status.doubt();
    }

    /// Counts an event; a gap leaves everything in doubt. Whether something was lost.
    fn count(&mut self, seq: u64, body: Body) -> bool {
        if seq == 0 {
            return false;
        }
        let last = std::mem::replace(&mut self.last_seq, seq);
        if last == 0 || seq == last.wrapping_add(1) {
            return false;
        }
        self.doubt_all();
        // A source that has begun again says so with a snapshot; everything else is a loss.
        !(body == Body::BookSnapshot && seq <= last)
    }

    /// What has to be said again before its state is the source's.
    fn wanted(&self) -> impl Iterator<Item = &'static str> + use<> {
        let is_doubted = |holding| holding == Holding::Doubted;
        let kinds = [
            ("instrument", self.is_undeclared),
            ("book_snapshot", is_doubted(self.book)),
            ("quote", is_doubted(self.quote)),
            ("status", is_doubted(self.status)),
        ];
        kinds.into_iter().filter_map(|(name, is_wanted)| is_wanted.then_some(name))
    }

    fn state(&self) -> TradingState {
        if self.is_stale {
            TradingState::Stale
        } else if !self.is_heard || self.wanted().next().is_some() {
            TradingState::Resync
        } else {
            self.trading
        }
    }

    fn settle(&mut self, ts_event: Nanos, io: &mut Io<'_>) {
        self.wait = match (self.wanted().next(), self.wait) {
            (None, _) => Wait::Nothing,
            (Some(_), Wait::Nothing) => Wait::Since(io.now),
            (Some(_), wait) => wait,
        };
        let state = self.state();
        if state != self.said {
            self.said = state;
            self.say(ts_event, EventBody::State(state), io);
        }
    }

    fn say(&self, ts_event: Nanos, body: EventBody<'_>, io: &mut Io<'_>) {
        let (instrument, scales) = (self.index, self.terms.scales);
        io.sink.event(&Event { instrument, ts_event, ts_recv: io.now, scales, body });
    }
}

/// A venue in the publisher's words; one that is silent beside others that are not has no publisher
/// any more.
#[derive(Debug)]
struct Life {
    heard: Nanos,
    is_silent: bool,
}

/// All of them, by their symbols.
#[derive(Debug, Default)]
pub(crate) struct Instruments {
    entries: Vec<Entry>,
    venues: Vec<Life>,
    by_venue: FxHashMap<Box<[u8]>, usize>,
    by_symbol: FxHashMap<Box<[u8]>, usize>,
    by_index: FxHashMap<InstrumentIndex, usize>,
}

impl Instruments {
    pub(crate) fn find(&mut self, symbol: &[u8]) -> Option<&mut Entry> {
        self.entries.get_mut(*self.by_symbol.get(symbol)?)
    }

    pub(crate) fn of_index(&mut self, index: InstrumentIndex) -> Option<&mut Entry> {
        self.entries.get_mut(*self.by_index.get(&index)?)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.entries.len() >= INSTRUMENTS_MAX
    }

    /// Makes one known that was not.
    pub(crate) fn add(
        &mut self,
        venue: &[u8],
        spec: &InstrumentSpec,
        terms: Terms,
        io: &mut Io<'_>,
    ) {
        let (index, at) = (io.sink.instrument(spec), self.entries.len());
        let venue = *self.by_venue.entry(venue.into()).or_insert_with(|| {
            self.venues.push(Life { heard: io.now, is_silent: false });
            self.venues.len() - 1
        });
        self.entries.push(Entry {
            index,
            symbol: spec.symbol.as_str().into(),
            venue,
            terms,
            is_undeclared: false,
            last_seq: 0,
            book: Holding::None,
            quote: Holding::None,
            status: Holding::None,
            is_heard: false,
            is_stale: false,
            trading: TradingState::Live,
            // What an instrument begins with where nothing was said yet.
            said: TradingState::default(),
            wait: Wait::Nothing,
        });
        self.by_symbol.insert(spec.symbol.as_bytes().into(), at);
        self.by_index.insert(index, at);
    }

    /// Something usable was said of an instrument.
    pub(crate) fn heard(&mut self, symbol: &[u8], io: &mut Io<'_>) {
        if let Some(at) = self.by_symbol.get(symbol) {
            self.alive(self.entries[*at].venue, io);
        }
    }

    /// Proof of life of a venue, or of all where none is named.
    pub(crate) fn heartbeat(&mut self, venue: &[u8], io: &mut Io<'_>) {
        if let Some(at) = self.by_venue.get(venue) {
            self.alive(*at, io);
        }
        if venue.is_empty() {
            (0..self.venues.len()).for_each(|at| self.alive(at, io));
        }
    }

    /// After a silence nobody knows what was missed: everything is to be said again.
    fn alive(&mut self, venue: usize, io: &mut Io<'_>) {
        let life = &mut self.venues[venue];
        life.heard = io.now;
        if std::mem::take(&mut life.is_silent) {
            for entry in self.entries.iter_mut().filter(|entry| entry.venue == venue) {
                entry.miss(io);
            }
        }
    }

    /// What has waited for longer than this to be said again, in words; each wait once.
    pub(crate) fn overdue(&mut self, span: Nanos, now: Nanos, mut tell: impl FnMut(String)) {
        for entry in self.entries.iter_mut().filter(|entry| !entry.is_stale) {
            let Wait::Since(since) = entry.wait else { continue };
            if now.since(since) > span {
                entry.wait = Wait::Told;
                let (symbol, wanted) = (&entry.symbol, entry.wanted().collect::<Vec<_>>());
                let (wanted, seconds) = (wanted.join(" and "), now.since(since).0 / 1_000_000_000);
                tell(format!("nats:{symbol}: resync for {seconds} s: waits for its {wanted}"));
            }
        }
    }

    /// Makes those stale whose venue has not been heard for longer than this.
    pub(crate) fn watch(&mut self, silence_max: Nanos, io: &mut Io<'_>) {
        for (at, life) in self.venues.iter_mut().enumerate() {
            if life.is_silent || io.now.since(life.heard) <= silence_max {
                continue;
            }
            life.is_silent = true;
            for entry in self.entries.iter_mut().filter(|entry| entry.venue == at) {
                entry.is_stale = true;
                entry.settle(io.now, io);
            }
        }
    }

    /// The line is silent or cut.
    pub(crate) fn turn_stale(&mut self, io: &mut Io<'_>) {
        for entry in &mut self.entries {
            entry.is_stale = true;
            entry.settle(io.now, io);
        }
    }

    /// A new connection: everything is to be said again, and counted from there.
    pub(crate) fn begin(&mut self, io: &mut Io<'_>) {
        for life in &mut self.venues {
            *life = Life { heard: io.now, is_silent: false };
        }
        for entry in &mut self.entries {
            entry.last_seq = 0;
            entry.miss(io);
        }
    }
}
