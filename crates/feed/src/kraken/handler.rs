//! Kraken, WebSocket version 2: books with a checksum in every message, quotes and day statistics
//! from the ticker, trades.
//!
//! There are no sequence numbers: integrity is the checksum over the top ten. On a mismatch that
//! pair alone is unsubscribed and subscribed again, at once the first time and ever more seldom
//! after (some pairs with unusual precision are reported never to match), and stays in `resync`
//! meanwhile: a counted, rate-limited state.
//!
//! Quotes come from the ticker with `event_trigger` `bbo`, which is ahead of a book of 500 levels.
//! The list of pairs is a channel of the first line; its states, and the venue's own, make a pair
//! `halted` when no trade can happen.

use crate::handler::{Command, ConnectionIndex, Handler, Io, Limits};
use crate::kraken::book::KrakenBook;
use crate::kraken::decode::{BookPart, Kind, Message, Ticker, difference};
use crate::kraken::session::DEPTH;
use crate::roster::faults::{Faults, excerpt};
use crate::roster::lines::Lines;
use crate::roster::listings::Listings;
use crate::roster::{Entry, Feed, Lists, MISFIT, NO_INSTRUMENT, Roster};
use tickcast_market::{EventBody, InstrumentIndex, Nanos, Scales, TradingState, Venue};

/// How long the list of pairs may take before the feed begins without it.
const LIST_WAIT: Nanos = Nanos::from_secs(10);
/// The venue closes a connection after about a minute without a request or data.
const PING_EVERY: Nanos = Nanos::from_secs(30);
const MISMATCH: &str = "the checksum does not match";

/// Where and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KrakenConfig {
    /// The socket.
    pub ws_url: String,
    /// The REST host, without a path. Not asked at present: the list of pairs is a channel.
    pub rest_url: String,
    /// Canonical symbols; empty for the most active ones against the dollar, `*` for all.
    pub symbols: Vec<String>,
}

impl Default for KrakenConfig {
    fn default() -> Self {
        KrakenConfig {
            ws_url: "wss://ws.kraken.com/v2".into(),
            rest_url: "https://api.kraken.com".into(),
            symbols: Vec::new(),
        }
    }
}

/// When a connection was opened and last pinged.
#[derive(Debug, Default)]
pub(crate) struct Moments {
    opened: Nanos,
    pinged: Nanos,
}

/// The handler of Kraken.
#[derive(Debug)]
pub struct KrakenHandler {
    pub(crate) config: KrakenConfig,
    /// A live line, not a replay: instruments are registered from the list, not as they are seen.
    pub(crate) is_live: bool,
    pub(crate) is_complete: bool,
    pub(crate) listings: Listings,
    /// What the venue says of itself.
    pub(crate) system: TradingState,
    pub(crate) roster: Roster<KrakenBook>,
    pub(crate) lines: Lines<Moments>,
    pub(crate) message: Message,
    pub(crate) lists: Lists,
    pub(crate) faults: Faults,
    pub(crate) warnings: Vec<String>,
    pub(crate) requests: u64,
}

impl KrakenHandler {
    /// A handler that knows nothing yet.
    pub fn new(config: KrakenConfig) -> KrakenHandler {
        KrakenHandler {
            config,
            is_live: false,
            is_complete: false,
            listings: Listings::default(),
            system: TradingState::Live,
            roster: Roster::default(),
            lines: Lines::default(),
            message: Message::default(),
            lists: Lists::default(),
            faults: Faults::default(),
            warnings: Vec::new(),
            requests: 0,
        }
    }

    /// Sends a request; `params` are JSON members, none for a bare method.
    pub(crate) fn send(
        &mut self,
        connection: ConnectionIndex,
        method: &str,
        params: &str,
        io: &mut Io<'_>,
    ) {
        self.requests += 1;
        let id = self.requests;
        let text = match params {
            "" => format!(r#"{{"method":"{method}","req_id":{id}}}"#),
            _ => format!(r#"{{"method":"{method}","params":{{{params}}},"req_id":{id}}}"#),
        };
        io.commands.push(Command::Send { connection, text });
    }

    fn take_books(&mut self, connection: ConnectionIndex, bytes: &[u8], io: &mut Io<'_>) {
        let mut misfits = self.message.misfits;
        for at in 0..self.message.books.len() {
            let KrakenHandler { roster, listings, message, lists, faults, .. } = self;
            let part = &message.books[at];
            let (symbol, line) = (part.symbol.of(bytes), connection.line);
            let found = roster.find_or_add(symbol, Venue::Kraken, listings, line, io);
            let Some(entry) = found else {
                faults.count(NO_INSTRUMENT, 1, || format!("kraken: {}", excerpt(bytes)), io);
                continue;
            };
            let taken = take_book(entry, part, message, lists, io);
            misfits += taken.misfits;
            if let Some(reason) = taken.doubt {
                io.tally.checksum_failures += u64::from(reason == MISMATCH);
                let symbol = entry.venue_symbol.clone();
                self.doubt(symbol.as_bytes(), reason, io);
            }
        }
        let detail = || format!("kraken: {}", excerpt(bytes));
        self.faults.count(MISFIT, misfits, detail, io);
    }

    /// One pair's book cannot be relied upon: asks for it again, alone.
    fn doubt(&mut self, symbol: &[u8], reason: &str, io: &mut Io<'_>) {
        let Some(entry) = self.roster.find(symbol) else { return };
        if entry.feed() == Feed::Live || entry.feed() == Feed::Resync {
            entry.book.clear();
            entry.turn(Feed::Resync, Nanos::ZERO, io);
            if let Some(wait) = entry.retry.want(io.now) {
                let (symbol, times) = (&entry.venue_symbol, entry.retry.failures());
                let wait = wait.0 / 1_000_000_000;
                let text = format!(
                    "kraken: {symbol}: {reason}; asks for a snapshot in {wait} s ({times} in a row)"
                );
                io.commands.push(Command::Report { text });
            }
        }
        self.ask_again(symbol, io);
    }

    /// Asks for one pair's snapshot, if its moment has come.
    fn ask_again(&mut self, symbol: &[u8], io: &mut Io<'_>) {
        let Some(entry) = self.roster.find(symbol) else { return };
        let Some(connection) = self.lines.connection(entry.line) else { return };
        if !entry.retry.take(io.now) {
            return;
        }
        let symbols = serde_json::json!([entry.venue_symbol]);
        let params = format!(r#""channel":"book","symbol":{symbols},"depth":{DEPTH}"#);
        self.send(connection, "unsubscribe", &params, io);
        self.send(connection, "subscribe", &format!(r#"{params},"snapshot":true"#), io);
    }

    fn take_trades(&mut self, line: u16, bytes: &[u8], io: &mut Io<'_>) {
        let KrakenHandler { roster, listings, message, lists, faults, .. } = self;
        let mut misfits = message.misfits;
        for part in &message.trade_parts {
            let symbol = part.symbol.of(bytes);
            let found = roster.find_or_add(symbol, Venue::Kraken, listings, line, io);
            let Some(entry) = found else {
                faults.count(NO_INSTRUMENT, 1, || format!("kraken: {}", excerpt(bytes)), io);
                continue;
            };
            let trades = &mut message.trades[part.trades.clone()];
            if message.is_snapshot {
                if let Some(newest) = trades.iter().max_by_key(|trade| trade.id) {
                    entry.old_trade(newest.id, newest.price, newest.ts_event, io);
                }
            } else {
                // The documentation promises rising ids, not that none is left out.
                misfits += entry.trades(trades, false, lists, io).misfits;
            }
        }
        faults.count(MISFIT, misfits, || format!("kraken: {}", excerpt(bytes)), io);
    }

    fn take_tickers(&mut self, line: u16, bytes: &[u8], io: &mut Io<'_>) {
        let KrakenHandler { roster, listings, message, faults, .. } = self;
        let mut misfits = message.misfits;
        for ticker in &message.tickers {
            let symbol = ticker.symbol.of(bytes);
            let found = roster.find_or_add(symbol, Venue::Kraken, listings, line, io);
            let Some(entry) = found else { continue };
            misfits += entry.quote(ticker.bid, ticker.ask, ticker.ts_event, io);
            take_day(entry, ticker, io);
        }
        faults.count(MISFIT, misfits, || format!("kraken: {}", excerpt(bytes)), io);
    }
}

/// What became of a book message.
#[derive(Default)]
struct BookTaken {
    misfits: u64,
    /// Why the book cannot be relied upon.
    doubt: Option<&'static str>,
}

/// Applies one part of a message to its book, checks it and publishes it if it is right.
fn take_book(
    entry: &mut Entry<KrakenBook>,
    part: &BookPart,
    message: &Message,
    lists: &mut Lists,
    io: &mut Io<'_>,
) -> BookTaken {
    if !message.is_snapshot && entry.feed() != Feed::Live {
        return BookTaken::default();
    }
    let before: Scales = entry.grid.scales();
    lists.changes.clear();
    let levels = &message.levels[part.levels.clone()];
    let misfits = entry.grid.changes(levels, true, &mut lists.changes);
    let after = entry.grid.scales();
    if message.is_snapshot {
        entry.book.replace(&lists.changes);
    } else {
        if before != after && !entry.book.rescale(before, after) {
            return BookTaken { misfits, doubt: Some("its book does not fit finer digits") };
        }
        entry.book.apply(&mut lists.changes);
    }
    if part.checksum.is_some_and(|checksum| checksum != entry.book.checksum()) {
        return BookTaken { misfits, doubt: Some(MISMATCH) };
    }
    if message.is_snapshot {
        entry.say(part.ts_event, EventBody::BookSnapshot(&lists.changes), io);
        entry.turn(Feed::Live, part.ts_event, io);
    } else if !lists.changes.is_empty() {
        entry.say(part.ts_event, EventBody::BookUpdate(&lists.changes), io);
    }
    BookTaken { misfits, doubt: None }
}

/// The opening price is the last one less the change. A change that is finer than prices are was
/// rounded somewhere: then there is no opening price rather than a wrong one.
fn take_day(entry: &mut Entry<KrakenBook>, ticker: &Ticker, io: &mut Io<'_>) {
    let mut day = ticker.day;
    let digits = [day.last, day.high, day.low].into_iter().flatten().map(|n| n.trimmed().scale);
    let finest = digits.fold(entry.grid.scales().price, u8::max);
    let open = day.last.zip(ticker.change).and_then(|(last, change)| difference(last, change));
    day.open = open.filter(|open| open.scale <= finest && open.mantissa > 0);
    entry.day(day, ticker.ts_event, io);
}

impl Handler for KrakenHandler {
    fn venue(&self) -> Venue {
        Venue::Kraken
    }

    fn limits(&self) -> Limits {
        Limits {
            send_gap: Nanos::from_millis(50),
            get_gap: Nanos::from_secs(1),
            // About 150 attempts in ten minutes for an address; after maintenance every 5 s.
            connect_gap: Nanos::from_secs(5),
            // A heartbeat comes every second.
            silence_max: Nanos::from_secs(10),
            lifetime_max: None,
            message_bytes_max: 16 << 20,
        }
    }

    fn start(&mut self, io: &mut Io<'_>) {
        self.is_live = true;
        let url = self.config.ws_url.clone();
        io.commands.push(Command::Connect { line: 0, url });
    }

    fn is_complete(&self) -> bool {
        self.is_complete
    }

    fn opened(&mut self, connection: ConnectionIndex, _url: &str, io: &mut Io<'_>) {
        if !self.lines.opened(connection) {
            return;
        }
        if let Some(moments) = self.lines.serving(connection) {
            *moments = Moments { opened: io.now, pinged: io.now };
        }
        if connection.line == 0 {
            let params = r#""channel":"instrument","snapshot":true"#;
            self.send(connection, "subscribe", params, io);
        }
        self.subscribe_line(connection, io);
    }

    fn message(&mut self, connection: ConnectionIndex, bytes: &mut [u8], io: &mut Io<'_>) {
        if self.lines.serving(connection).is_none() {
            io.tally.message("late");
            return;
        }
        if let Err(fault) = self.message.read(bytes) {
            let detail = || format!("kraken: {}: {}", fault.reason(), excerpt(bytes));
            self.faults.count(fault.reason(), 1, detail, io);
            // Levels below the top ten are not checked: a lost change there would never show.
            if let (Kind::Book, Some(symbol)) = (self.message.kind, self.message.symbol) {
                self.doubt(symbol.of(bytes), "a message could not be read", io);
            }
            return;
        }
        io.tally.message(self.message.kind.name());
        match self.message.kind {
            Kind::Book => self.take_books(connection, bytes, io),
            Kind::Ticker => self.take_tickers(connection.line, bytes, io),
            Kind::Trade => self.take_trades(connection.line, bytes, io),
            Kind::Status => self.take_system(bytes, io),
            Kind::Instrument => self.take_pairs(bytes, io),
            Kind::Answer => self.take_answer(connection, bytes, io),
            Kind::Heartbeat | Kind::Pong | Kind::Other => {}
        }
    }

    fn rest(&mut self, _url: &str, _body: &mut [u8], _io: &mut Io<'_>) {}

    fn rest_failed(&mut self, _url: &str, _status: u16, _io: &mut Io<'_>) {}

    fn silent(&mut self, connection: ConnectionIndex, io: &mut Io<'_>) {
        if self.lines.serving(connection).is_some() {
            self.roster.turn_stale(connection.line, io);
        }
    }

    fn closed(&mut self, connection: ConnectionIndex, io: &mut Io<'_>) {
        if self.lines.closed(connection) {
            self.roster.turn_stale(connection.line, io);
        }
    }

    fn timer(&mut self, io: &mut Io<'_>) {
        let mut due = Vec::new();
        let mut is_list_late = false;
        for (connection, moments) in self.lines.open_mut() {
            if io.now.since(moments.pinged) >= PING_EVERY {
                moments.pinged = io.now;
                due.push(connection);
            }
            is_list_late |= connection.line == 0 && io.now.since(moments.opened) >= LIST_WAIT;
        }
        for connection in due {
            self.send(connection, "ping", "", io);
        }
        if self.is_live && !self.is_complete && is_list_late {
            self.begin_without_list(io);
        }
        let mut waiting = Vec::new();
        for entry in self.roster.iter_mut() {
            entry.check_snapshot(Venue::Kraken, io);
            if entry.retry.is_due(io.now) {
                waiting.push(entry.venue_symbol.clone());
            }
        }
        for symbol in waiting {
            self.ask_again(symbol.as_bytes(), io);
        }
    }

    fn resync(&mut self, instrument: InstrumentIndex, io: &mut Io<'_>) {
        let found = self.roster.of_index(instrument).filter(|e| e.feed() == Feed::Live);
        if let Some(symbol) = found.map(|entry| entry.venue_symbol.clone()) {
            self.doubt(symbol.as_bytes(), "its book is crossed", io);
        }
    }
}
