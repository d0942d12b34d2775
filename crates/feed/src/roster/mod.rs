//! The instruments of one venue as its handler knows them: by the venue's symbol, each with its
//! scales, its state, its latest trade and its next attempt at a snapshot.
//!
//! What is the same for every venue that sends whole books over WebSocket lives here; what a
//! message looks like, and what a gap is, does not. Books are not kept here: `B` is whatever the
//! venue's rules need. Beside it: `listings`, the venue's own list; `lines`, which connection serves
//! what; `retry`, when a snapshot is asked for again; `faults`, what could not be used.

pub(crate) mod faults;
pub(crate) mod lines;
pub(crate) mod listings;
pub(crate) mod retry;

use crate::decode::grid::{Grid, RawLevel, Wide};
use crate::handler::{Command, Io};
use crate::roster::listings::{Listing, Listings};
use crate::roster::retry::Retry;
use rustc_hash::FxHashMap;
use tickcast_market::{
    BookChange, DayStats, Decimal, Event, EventBody, InstrumentIndex, Nanos, Quote, Side, Trade,
    TradingState, Venue,
};

/// The most instruments that one venue's handler makes known.
pub(crate) const INSTRUMENTS_MAX: usize = 8192;
/// Decode error: a price, size or volume that cannot be had exactly.
pub(crate) const MISFIT: &str = "number does not fit";
/// Decode error: a message of something that cannot be made known.
pub(crate) const NO_INSTRUMENT: &str = "symbol is no instrument";

/// What our own line knows of an instrument's book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Feed {
    /// Listed, never asked for: the venue's word is all there is.
    Unsubscribed,
    /// A snapshot is awaited; updates are not applied.
    Resync,
    /// Snapshot and every update since are applied.
    Live,
    /// The line is silent or cut.
    Stale,
}

/// One trade as it was written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawTrade {
    pub(crate) id: u64,
    pub(crate) price: Decimal,
    pub(crate) size: Decimal,
    pub(crate) side: Side,
    pub(crate) ts_event: Nanos,
}

/// Day statistics as they were written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RawDay {
    pub(crate) open: Option<Decimal>,
    pub(crate) high: Option<Decimal>,
    pub(crate) low: Option<Decimal>,
    pub(crate) last: Option<Decimal>,
    pub(crate) volume: Option<Wide>,
}

/// Lists that every message fills anew; they grow to the usual size once.
#[derive(Debug, Default)]
pub(crate) struct Lists {
    pub(crate) changes: Vec<BookChange>,
    trades: Vec<Trade>,
}

/// What became of a message's trades.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TradesTaken {
    /// How many numbers of the venue's dense trade ids were jumped over, in jumps.
    pub(crate) gaps: u64,
    /// How many trades were left out because their numbers do not fit.
    pub(crate) misfits: u64,
}

/// One instrument.
#[derive(Debug)]
pub(crate) struct Entry<B> {
    pub(crate) index: InstrumentIndex,
    /// The venue's text for it.
    pub(crate) venue_symbol: String,
    /// The line that serves it.
    pub(crate) line: u16,
    pub(crate) grid: Grid,
    pub(crate) retry: Retry,
    /// The latest trade's id on this connection, published or old.
    pub(crate) last_trade: Option<u64>,
    pub(crate) book: B,
    feed: Feed,
    venue_state: TradingState,
    said: TradingState,
    traded: bool,
    day: RawDay,
    old_price: Option<Decimal>,
}

impl<B> Entry<B> {
    /// What our line knows.
    pub(crate) fn feed(&self) -> Feed {
        self.feed
    }

    /// Says something of this instrument at its present scales.
    pub(crate) fn say(&self, ts_event: Nanos, body: EventBody<'_>, io: &mut Io<'_>) {
        io.sink.event(&Event {
            instrument: self.index,
            ts_event,
            ts_recv: io.now,
            scales: self.grid.scales(),
            body,
        });
    }

    /// A connection was opened that serves it, and a snapshot asked for there.
    pub(crate) fn begin(&mut self, io: &mut Io<'_>) {
        // Ids may have risen unseen: not a gap of this connection.
        self.last_trade = None;
        self.retry.asked(io.now);
        self.turn(Feed::Resync, Nanos::ZERO, io);
    }

    /// The one place where what our line knows changes.
    pub(crate) fn turn(&mut self, feed: Feed, ts_event: Nanos, io: &mut Io<'_>) {
        self.feed = feed;
        match feed {
            Feed::Live => self.retry.arrived(io.now),
            Feed::Stale => self.retry.forget(),
            Feed::Resync | Feed::Unsubscribed => {}
        }
        self.settle(ts_event, io);
    }

    /// Wants the snapshot again where it has not come in time, and says so.
    pub(crate) fn check_snapshot(&mut self, venue: Venue, io: &mut Io<'_>) {
        if self.retry.overdue(io.now) && self.retry.want(io.now).is_some() {
            let text = format!("{venue}: no snapshot of {} came in time", self.venue_symbol);
            io.commands.push(Command::Report { text });
        }
    }

    /// Takes what the venue says of its trading; it shows while our line is live.
    pub(crate) fn set_venue_state(&mut self, state: TradingState, io: &mut Io<'_>) {
        self.venue_state = state;
        self.settle(Nanos::ZERO, io);
    }

    fn settle(&mut self, ts_event: Nanos, io: &mut Io<'_>) {
        let state = match self.feed {
            Feed::Unsubscribed | Feed::Live => self.venue_state,
            Feed::Resync => TradingState::Resync,
            Feed::Stale => TradingState::Stale,
        };
        if state != self.said {
            self.said = state;
            self.say(ts_event, EventBody::State(state), io);
        }
    }

    /// Publishes a snapshot of whole books and turns live; answers how many levels did not fit.
    pub(crate) fn snapshot(
        &mut self,
        levels: &[RawLevel],
        ts_event: Nanos,
        lists: &mut Lists,
        io: &mut Io<'_>,
    ) -> u64 {
        lists.changes.clear();
        let misfits = self.grid.changes(levels, false, &mut lists.changes);
        self.say(ts_event, EventBody::BookSnapshot(&lists.changes), io);
        self.turn(Feed::Live, ts_event, io);
        misfits
    }

    /// Publishes an update, if there is a book that it belongs to; answers how many levels did not
    /// fit.
    pub(crate) fn update(
        &mut self,
        levels: &[RawLevel],
        ts_event: Nanos,
        lists: &mut Lists,
        io: &mut Io<'_>,
    ) -> u64 {
        if self.feed != Feed::Live {
            return 0;
        }
        lists.changes.clear();
        let misfits = self.grid.changes(levels, false, &mut lists.changes);
        if !lists.changes.is_empty() {
            self.say(ts_event, EventBody::BookUpdate(&lists.changes), io);
        }
        misfits
    }

    /// Publishes new trades, oldest first whatever their order; those already seen are left out.
    /// `dense`: the venue's ids rise by one, so that a jump is a gap.
    pub(crate) fn trades(
        &mut self,
        raw: &mut [RawTrade],
        dense: bool,
        lists: &mut Lists,
        io: &mut Io<'_>,
    ) -> TradesTaken {
        let mut taken = TradesTaken::default();
        if !raw.is_sorted_by_key(|trade| trade.id) {
            raw.sort_unstable_by_key(|trade| trade.id);
        }
        self.grid.grow(raw.iter().map(|t| t.price), raw.iter().map(|t| t.size), false);
        lists.trades.clear();
        for trade in raw.iter() {
            if self.last_trade.is_some_and(|last| trade.id <= last) {
                continue;
            }
            let jumped = self.last_trade.is_some_and(|last| trade.id > last + 1);
            taken.gaps += u64::from(dense && jumped);
            self.last_trade = Some(trade.id);
            match (self.grid.price(trade.price), self.grid.size(trade.size)) {
                (Some(price), Some(size)) => {
                    let RawTrade { id, side, ts_event, .. } = *trade;
                    lists.trades.push(Trade { id, price, size, side, ts_event });
                }
                _ => taken.misfits += 1,
            }
        }
        if let Some(latest) = lists.trades.last() {
            self.traded = true;
            self.say(latest.ts_event, EventBody::Trades(&lists.trades), io);
        }
        taken
    }

    /// Takes a trade that happened before we listened: not published, but it is the base of the
    /// ids, and its price the last one until a trade is seen.
    pub(crate) fn old_trade(&mut self, id: u64, price: Decimal, ts_event: Nanos, io: &mut Io<'_>) {
        if self.last_trade.is_none_or(|last| id > last) {
            self.last_trade = Some(id);
        }
        if !self.traded {
            self.old_price = Some(price);
            let day = self.day;
            self.day(day, ts_event, io);
        }
    }

    /// Publishes day statistics where they changed. An old trade's price goes before the ticker's,
    /// and none is sent once a trade has been published.
    pub(crate) fn day(&mut self, mut day: RawDay, ts_event: Nanos, io: &mut Io<'_>) {
        day.last = if self.traded { None } else { self.old_price.or(day.last) };
        if day == self.day {
            return;
        }
        self.day = day;
        let prices = [day.open, day.high, day.low, day.last];
        self.grid.grow(prices.into_iter().flatten(), std::iter::empty(), false);
        if let Some(volume) = day.volume {
            self.grid.grow_volume(volume);
        }
        let price = |grid: &mut Grid, number: Option<Decimal>| number.and_then(|n| grid.price(n));
        let stats = DayStats {
            open: price(&mut self.grid, day.open),
            high: price(&mut self.grid, day.high),
            low: price(&mut self.grid, day.low),
            volume: day.volume.and_then(|volume| self.grid.volume(volume)),
            last: price(&mut self.grid, day.last),
        };
        self.say(ts_event, EventBody::Day(stats), io);
    }

    /// Publishes a quote; a side that does not fit is said to be empty and counted by the answer.
    pub(crate) fn quote(
        &mut self,
        bid: Option<(Decimal, Decimal)>,
        ask: Option<(Decimal, Decimal)>,
        ts_event: Nanos,
        io: &mut Io<'_>,
    ) -> u64 {
        let sides = [bid, ask];
        let prices = sides.into_iter().flatten().map(|side| side.0);
        self.grid.grow(prices, sides.into_iter().flatten().map(|side| side.1), false);
        let [bid, ask] = sides.map(|side| {
            let (price, size) = side?;
            Some((self.grid.price(price)?, self.grid.size(size)?))
        });
        self.say(ts_event, EventBody::Quote(Quote { bid, ask }), io);
        u64::from(sides[0].is_some() != bid.is_some())
            + u64::from(sides[1].is_some() != ask.is_some())
    }
}

/// All instruments of the venue.
#[derive(Debug)]
pub(crate) struct Roster<B> {
    entries: Vec<Entry<B>>,
    by_symbol: FxHashMap<Box<[u8]>, usize>,
    by_index: FxHashMap<InstrumentIndex, usize>,
}

impl<B> Default for Roster<B> {
    fn default() -> Self {
        Roster {
            entries: Vec::new(),
            by_symbol: FxHashMap::default(),
            by_index: FxHashMap::default(),
        }
    }
}

impl<B: Default> Roster<B> {
    /// The instrument of that venue symbol.
    #[inline]
    pub(crate) fn find(&mut self, venue_symbol: &[u8]) -> Option<&mut Entry<B>> {
        let at = *self.by_symbol.get(venue_symbol)?;
        self.entries.get_mut(at)
    }

    /// The instrument of that venue symbol; one that is seen for the first time becomes known as
    /// listed, or as its symbol alone. `None` when there are too many or it is no text.
    #[inline]
    pub(crate) fn find_or_add(
        &mut self,
        venue_symbol: &[u8],
        venue: Venue,
        listings: &Listings,
        line: u16,
        io: &mut Io<'_>,
    ) -> Option<&mut Entry<B>> {
        if let Some(at) = self.by_symbol.get(venue_symbol) {
            return self.entries.get_mut(*at);
        }
        let text = std::str::from_utf8(venue_symbol).ok().filter(|text| !text.is_empty())?;
        match listings.get(text) {
            Some(listing) => self.add(listing, line, Feed::Resync, io),
            None => self.add(&Listing::unlisted(venue, text), line, Feed::Resync, io),
        }
    }

    /// Makes an instrument known, or finds it; `None` when there are too many, or when another
    /// venue symbol (`BTC_USD` beside `BTC/USD`) already goes by its name: two books must not be
    /// mixed.
    pub(crate) fn add(
        &mut self,
        listing: &Listing,
        line: u16,
        feed: Feed,
        io: &mut Io<'_>,
    ) -> Option<&mut Entry<B>> {
        let spec = &listing.spec;
        let at = match self.by_symbol.get(spec.venue_symbol.as_bytes()) {
            Some(at) => *at,
            None if self.entries.len() >= INSTRUMENTS_MAX => return None,
            None => {
                let index = io.sink.instrument(spec);
                if self.by_index.contains_key(&index) {
                    return None;
                }
                self.entries.push(Entry {
                    index,
                    venue_symbol: spec.venue_symbol.clone(),
                    line,
                    grid: Grid::new(spec.scales),
                    retry: Retry::default(),
                    last_trade: None,
                    book: B::default(),
                    feed,
                    venue_state: listing.state,
                    // What an instrument begins with where nothing was said yet.
                    said: TradingState::default(),
                    traded: false,
                    day: RawDay::default(),
                    old_price: None,
                });
                let at = self.entries.len() - 1;
                self.by_index.insert(index, at);
                self.by_symbol.insert(spec.venue_symbol.as_bytes().into(), at);
                self.entries[at].settle(Nanos::ZERO, io);
                at
            }
        };
        self.entries.get_mut(at)
    }

    /// Every instrument.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Entry<B>> {
        self.entries.iter_mut()
    }

    /// The instruments that a line serves.
    pub(crate) fn of_line(&mut self, line: u16) -> impl Iterator<Item = &mut Entry<B>> {
        let subscribed = move |e: &&mut Entry<B>| e.line == line && e.feed != Feed::Unsubscribed;
        self.entries.iter_mut().filter(subscribed)
    }

    /// The line is silent or cut.
    pub(crate) fn turn_stale(&mut self, line: u16, io: &mut Io<'_>) {
        self.of_line(line).for_each(|entry| entry.turn(Feed::Stale, Nanos::ZERO, io));
    }

    /// The instrument of that index.
    pub(crate) fn of_index(&mut self, index: InstrumentIndex) -> Option<&mut Entry<B>> {
        self.entries.get_mut(*self.by_index.get(&index)?)
    }
}
