//! Coinbase Advanced Trade: whole books, trades and day statistics without a key.
//!
//! `sequence_num` counts every message of a connection, whatever its channel and product, so a gap
//! leaves open which book has missed something: all books of the connection are in doubt. The cure
//! is to reconnect. Subscribing each product again would cost the same snapshots and leave the
//! numbers of lost acknowledgements and trades in doubt; a new connection counts from zero, and
//! where messages are lost the connection is what is wrong with. Its scope is bounded by
//! [`LINE_SYMBOLS_MAX`].
//!
//! The ticker channel gives day statistics only: best bid and ask come from the book, which is
//! complete and newer. Candles are not asked for.

use crate::coinbase::decode::{Channel, Message};
use crate::coinbase::products::{Products, take_up};
use crate::handler::{Command, ConnectionIndex, Handler, Io, Limits};
use crate::roster::faults::{Faults, error_words, excerpt};
use crate::roster::lines::Lines;
use crate::roster::listings::Listing;
use crate::roster::{Entry, Feed, Lists, MISFIT, NO_INSTRUMENT, Roster};
use tickcast_market::{InstrumentIndex, Nanos, Venue};

/// How many products share a connection: a gap costs as many snapshots, of up to 5 MB each.
const LINE_SYMBOLS_MAX: usize = 10;

/// Where and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoinbaseConfig {
    /// The market data socket.
    pub ws_url: String,
    /// The REST host, without a path.
    pub rest_url: String,
    /// Canonical symbols; empty for the most active ones against the dollar, `*` for all.
    pub symbols: Vec<String>,
}

impl Default for CoinbaseConfig {
    fn default() -> Self {
        CoinbaseConfig {
            ws_url: "wss://advanced-trade-ws.coinbase.com".into(),
            rest_url: "https://api.coinbase.com".into(),
            symbols: Vec::new(),
        }
    }
}

/// How far a connection's messages have been counted.
#[derive(Debug, Default)]
struct Sequence {
    last: Option<u64>,
    /// A reconnect was asked for; once is enough.
    is_spoiled: bool,
}

/// The handler of Coinbase Advanced Trade.
#[derive(Debug)]
pub struct CoinbaseHandler {
    ws_url: String,
    products: Products,
    roster: Roster<()>,
    lines: Lines<Sequence>,
    message: Message,
    lists: Lists,
    faults: Faults,
}

impl CoinbaseHandler {
    /// A handler that knows nothing yet.
    pub fn new(config: CoinbaseConfig) -> CoinbaseHandler {
        let rest_url = config.rest_url.trim_end_matches('/');
        let list_url = format!("{rest_url}/api/v3/brokerage/market/products");
        CoinbaseHandler {
            ws_url: config.ws_url,
            products: Products::new(Venue::Coinbase, list_url, config.symbols),
            roster: Roster::default(),
            lines: Lines::default(),
            message: Message::default(),
            lists: Lists::default(),
            faults: Faults::default(),
        }
    }

    /// Every book of the connection is in doubt.
    fn spoil(&mut self, connection: ConnectionIndex, reason: String, io: &mut Io<'_>) {
        for entry in self.roster.of_line(connection.line) {
            if entry.feed() == Feed::Live {
                entry.turn(Feed::Resync, self.message.timestamp, io);
            }
        }
        let Some(sequence) = self.lines.serving(connection) else { return };
        if !std::mem::replace(&mut sequence.is_spoiled, true) {
            io.commands.push(Command::Reconnect { connection, reason });
        }
    }

    /// Whether the message is a new one; a gap before it spoils the connection's books.
    fn is_next(&mut self, connection: ConnectionIndex, io: &mut Io<'_>) -> bool {
        // Errors in words have no number.
        let Some(found) = self.message.sequence else { return true };
        let Some(sequence) = self.lines.serving(connection) else { return false };
        match sequence.last.replace(found) {
            Some(last) if found == last => {
                io.tally.message("repeated");
                return false;
            }
            // The first message's number is taken as it is: nothing was subscribed before it.
            Some(last) if found != last.wrapping_add(1) => {
                io.tally.gaps += 1;
                let expected = last.wrapping_add(1);
                let reason = format!("sequence_num: {found} came where {expected} was due");
                self.spoil(connection, reason, io);
            }
            _ => {}
        }
        true
    }

    fn take_books(&mut self, line: u16, bytes: &[u8], io: &mut Io<'_>) {
        let CoinbaseHandler { roster, products, message, lists, faults, .. } = self;
        let mut misfits = message.misfits;
        for part in &message.books {
            let symbol = part.product.of(bytes);
            let listings = &products.listings;
            let Some(entry) = roster.find_or_add(symbol, Venue::Coinbase, listings, line, io)
            else {
                faults.count(NO_INSTRUMENT, 1, || format!("coinbase: {}", excerpt(bytes)), io);
                continue;
            };
            let levels = &message.levels[part.levels.clone()];
            misfits += match part.is_snapshot {
                true => entry.snapshot(levels, part.ts_event, lists, io),
                false => entry.update(levels, part.ts_event, lists, io),
            };
        }
        faults.count(MISFIT, misfits, || format!("coinbase: {}", excerpt(bytes)), io);
    }

    fn take_trades(&mut self, line: u16, bytes: &[u8], io: &mut Io<'_>) {
        let CoinbaseHandler { roster, products, message, lists, faults, .. } = self;
        let mut misfits = message.misfits;
        for part in &message.trade_parts {
            let symbol = part.product.of(bytes);
            let listings = &products.listings;
            let Some(entry) = roster.find_or_add(symbol, Venue::Coinbase, listings, line, io)
            else {
                faults.count(NO_INSTRUMENT, 1, || format!("coinbase: {}", excerpt(bytes)), io);
                continue;
            };
            let trades = &mut message.trades[part.trades.clone()];
            if part.is_snapshot {
                if let Some(newest) = trades.iter().max_by_key(|trade| trade.id) {
                    entry.old_trade(newest.id, newest.price, newest.ts_event, io);
                }
            } else {
                let taken = entry.trades(trades, true, lists, io);
                io.tally.gaps += taken.gaps;
                misfits += taken.misfits;
            }
        }
        faults.count(MISFIT, misfits, || format!("coinbase: {}", excerpt(bytes)), io);
    }

    fn take_days(&mut self, line: u16, bytes: &[u8], io: &mut Io<'_>) {
        let CoinbaseHandler { roster, products, message, .. } = self;
        for (product, day) in &message.days {
            let (symbol, listings) = (product.of(bytes), &products.listings);
            let entry = roster.find_or_add(symbol, Venue::Coinbase, listings, line, io);
            if let Some(entry) = entry {
                entry.day(*day, message.timestamp, io);
            }
        }
    }

    /// Asks for one product's snapshot alone, if its moment has come.
    fn ask_again(entry: &mut Entry<()>, lines: &Lines<Sequence>, io: &mut Io<'_>) {
        let Some(connection) = lines.connection(entry.line) else { return };
        if entry.retry.take(io.now) {
            for kind in ["unsubscribe", "subscribe"] {
                let text = request(kind, "level2", std::slice::from_ref(&entry.venue_symbol));
                io.commands.push(Command::Send { connection, text });
            }
        }
    }

    fn begin(&mut self, chosen: &[Listing], io: &mut Io<'_>) {
        take_up(chosen, &mut self.roster, &self.ws_url, LINE_SYMBOLS_MAX, io);
    }
}

/// A subscription message; one channel each.
fn request(kind: &str, channel: &str, products: &[String]) -> String {
    let products = serde_json::json!(products);
    format!(r#"{{"type":"{kind}","product_ids":{products},"channel":"{channel}"}}"#)
}

impl Handler for CoinbaseHandler {
    fn venue(&self) -> Venue {
        Venue::Coinbase
    }

    fn limits(&self) -> Limits {
        Limits {
            // Eight messages a second a connection without a key, by the documentation.
            send_gap: Nanos::from_millis(150),
            get_gap: Nanos::from_millis(200),
            connect_gap: Nanos::from_millis(500),
            // Heartbeats come each second, but a snapshot of 5 MB may hold them up.
            silence_max: Nanos::from_secs(10),
            lifetime_max: None,
            message_bytes_max: 32 << 20,
        }
    }

    fn start(&mut self, io: &mut Io<'_>) {
        self.products.start(io);
    }

    fn is_complete(&self) -> bool {
        self.products.is_complete()
    }

    fn opened(&mut self, connection: ConnectionIndex, _url: &str, io: &mut Io<'_>) {
        if !self.lines.opened(connection) {
            return;
        }
        let mut symbols = Vec::new();
        for entry in self.roster.of_line(connection.line) {
            entry.begin(io);
            symbols.push(entry.venue_symbol.clone());
        }
        if symbols.is_empty() {
            return;
        }
        // Heartbeats first: without them a quiet connection is closed. Trades before books, so
        // that an instrument's last price is there when it turns live.
        for channel in ["heartbeats", "market_trades", "ticker", "level2"] {
            let text = request("subscribe", channel, &symbols);
            io.commands.push(Command::Send { connection, text });
        }
    }

    fn message(&mut self, connection: ConnectionIndex, bytes: &mut [u8], io: &mut Io<'_>) {
        if self.lines.serving(connection).is_none() {
            io.tally.message("late");
            return;
        }
        if let Err(fault) = self.message.read(bytes) {
            let detail = || format!("coinbase: {}: {}", fault.reason(), excerpt(bytes));
            self.faults.count(fault.reason(), 1, detail, io);
            // Whatever it said is missing now, and nothing tells from which book.
            self.spoil(connection, "a message could not be read".into(), io);
            return;
        }
        io.tally.message(self.message.channel.kind());
        if !self.is_next(connection, io) {
            return;
        }
        match self.message.channel {
            Channel::Level2 => self.take_books(connection.line, bytes, io),
            Channel::MarketTrades => self.take_trades(connection.line, bytes, io),
            Channel::Ticker => self.take_days(connection.line, bytes, io),
            Channel::Error => {
                let text = format!("coinbase: error: {}", error_words(bytes));
                io.commands.push(Command::Report { text });
            }
            Channel::Heartbeats | Channel::Subscriptions | Channel::Other => {}
        }
    }

    fn rest(&mut self, url: &str, body: &mut [u8], io: &mut Io<'_>) {
        let chosen = self.products.answer(url, body, &mut self.faults, io);
        self.begin(&chosen, io);
    }

    fn rest_failed(&mut self, url: &str, status: u16, io: &mut Io<'_>) {
        let chosen = self.products.failed(&format!("{url}: status {status}"), io);
        self.begin(&chosen.unwrap_or_default(), io);
    }

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
        for entry in self.roster.iter_mut() {
            entry.check_snapshot(Venue::Coinbase, io);
            Self::ask_again(entry, &self.lines, io);
        }
    }

    fn resync(&mut self, instrument: InstrumentIndex, io: &mut Io<'_>) {
        if let Some(entry) = self.roster.of_index(instrument).filter(|e| e.feed() == Feed::Live) {
            entry.turn(Feed::Resync, Nanos::ZERO, io);
            entry.retry.want(io.now);
            Self::ask_again(entry, &self.lines, io);
        }
    }
}
