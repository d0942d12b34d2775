//! Coinbase Exchange: books of `level2_batch`, matches, day statistics.
//!
//! Book messages have no numbers, so that a loss among them cannot be seen. It is inferred: the
//! ids of matches rise by one for each product, and a heartbeat a second names the latest. A jump,
//! or a heartbeat's trade that does not come within [`LOSS_WAIT`] (the channels are not ordered
//! against each other), means that messages were lost, and that product alone is subscribed again.
//! Advanced Trade (`coinbase`) is the better source where provable completeness matters.
//!
//! The ticker comes with trades only, so it gives day statistics; best bid and ask are the book's.

use crate::coinbase::products::{Products, take_up};
use crate::coinbase_exchange::decode::{Kind, Message};
use crate::handler::{Command, ConnectionIndex, Handler, Io, Limits};
use crate::roster::faults::{Faults, error_words, excerpt};
use crate::roster::lines::Lines;
use crate::roster::listings::Listing;
use crate::roster::{Entry, Feed, Lists, MISFIT, NO_INSTRUMENT, Roster};
use tickcast_market::{InstrumentIndex, Nanos, Venue};

/// How many products share a connection.
const LINE_SYMBOLS_MAX: usize = 20;
/// How long a trade that a heartbeat has named may take to come.
const LOSS_WAIT: Nanos = Nanos::from_secs(2);
const CHANNELS: &str = r#"["level2_batch","matches","ticker","heartbeat"]"#;
const BOOK_CHANNEL: &str = r#"["level2_batch"]"#;

/// Where and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoinbaseExchangeConfig {
    /// The market data socket.
    pub ws_url: String,
    /// The REST host, without a path.
    pub rest_url: String,
    /// Canonical symbols; empty for the most active ones against the dollar, `*` for all.
    pub symbols: Vec<String>,
}

impl Default for CoinbaseExchangeConfig {
    fn default() -> Self {
        CoinbaseExchangeConfig {
            ws_url: "wss://ws-feed.exchange.coinbase.com".into(),
            rest_url: "https://api.exchange.coinbase.com".into(),
            symbols: Vec::new(),
        }
    }
}

/// A trade that a heartbeat has named and that has not come yet.
#[derive(Debug, Default)]
struct Awaited {
    trade: Option<(u64, Nanos)>,
}

/// The handler of Coinbase Exchange.
#[derive(Debug)]
pub struct CoinbaseExchangeHandler {
    ws_url: String,
    products: Products,
    roster: Roster<Awaited>,
    lines: Lines<()>,
    message: Message,
    lists: Lists,
    faults: Faults,
}

impl CoinbaseExchangeHandler {
    /// A handler that knows nothing yet.
    pub fn new(config: CoinbaseExchangeConfig) -> CoinbaseExchangeHandler {
        let list_url = format!("{}/products", config.rest_url.trim_end_matches('/'));
        CoinbaseExchangeHandler {
            ws_url: config.ws_url,
            products: Products::new(Venue::CoinbaseExchange, list_url, config.symbols),
            roster: Roster::default(),
            lines: Lines::default(),
            message: Message::default(),
            lists: Lists::default(),
            faults: Faults::default(),
        }
    }

    /// Takes a message of one product.
    fn take(&mut self, connection: ConnectionIndex, bytes: &[u8], io: &mut Io<'_>) {
        let CoinbaseExchangeHandler { roster, products, message, lists, faults, lines, .. } = self;
        let symbol = message.product.unwrap_or_default().of(bytes);
        let (listings, line) = (&products.listings, connection.line);
        let mut misfits = message.misfits;
        let found = roster.find_or_add(symbol, Venue::CoinbaseExchange, listings, line, io);
        if let Some(entry) = found {
            let ts_event = message.ts_event;
            match message.kind {
                Kind::Snapshot => {
                    misfits += entry.snapshot(&message.levels, ts_event, lists, io);
                }
                Kind::Update => misfits += entry.update(&message.levels, ts_event, lists, io),
                Kind::Match => {
                    misfits += take_match(entry, message, lists, lines, io);
                }
                Kind::LastMatch => {
                    if let Some(trade) = message.trade {
                        entry.old_trade(trade.id, trade.price, ts_event, io);
                    }
                }
                Kind::Ticker => entry.day(message.day, ts_event, io),
                Kind::Heartbeat => take_heartbeat(entry, message, lines, io),
                Kind::Subscriptions | Kind::Error | Kind::Other => {}
            }
        } else {
            faults.count(NO_INSTRUMENT, 1, || format!("coinbase-exchange: {}", excerpt(bytes)), io);
        }
        faults.count(MISFIT, misfits, || format!("coinbase-exchange: {}", excerpt(bytes)), io);
    }

    fn begin(&mut self, chosen: &[Listing], io: &mut Io<'_>) {
        take_up(chosen, &mut self.roster, &self.ws_url, LINE_SYMBOLS_MAX, io);
    }
}

/// Publishes a trade; answers how many do not fit.
fn take_match(
    entry: &mut Entry<Awaited>,
    message: &mut Message,
    lists: &mut Lists,
    lines: &Lines<()>,
    io: &mut Io<'_>,
) -> u64 {
    let trade = message.trade.as_mut();
    let taken = trade.map(|trade| entry.trades(std::slice::from_mut(trade), true, lists, io));
    let taken = taken.unwrap_or_default();
    let has_come = |(id, _): (u64, Nanos)| entry.last_trade.is_some_and(|last| last >= id);
    if entry.book.trade.is_some_and(has_come) {
        entry.book.trade = None;
    }
    if taken.gaps > 0 {
        io.tally.gaps += taken.gaps;
        doubt(entry, "trades are missing", lines, io);
    }
    taken.misfits
}

/// A heartbeat names the product's latest trade.
fn take_heartbeat(
    entry: &mut Entry<Awaited>,
    message: &Message,
    lines: &Lines<()>,
    io: &mut Io<'_>,
) {
    check_awaited(entry, lines, io);
    let (Some(named), Some(last)) = (message.last_trade_id, entry.last_trade) else { return };
    if named > last && entry.book.trade.is_none() {
        entry.book.trade = Some((named, io.now.plus(LOSS_WAIT)));
    }
}

/// Whether a trade that was named has not come in time.
fn check_awaited(entry: &mut Entry<Awaited>, lines: &Lines<()>, io: &mut Io<'_>) {
    if let Some((id, _)) = entry.book.trade.filter(|(_, deadline)| *deadline <= io.now) {
        entry.book.trade = None;
        // What is missing is counted once, here, and not again when the next trade comes.
        entry.last_trade = Some(id);
        io.tally.gaps += 1;
        doubt(entry, "a trade that a heartbeat has named did not come", lines, io);
    }
}

/// One product's book cannot be relied upon: asks for it again, alone.
fn doubt(entry: &mut Entry<Awaited>, reason: &str, lines: &Lines<()>, io: &mut Io<'_>) {
    if entry.feed() != Feed::Live {
        return;
    }
    entry.turn(Feed::Resync, Nanos::ZERO, io);
    if let Some(wait) = entry.retry.want(io.now) {
        let (symbol, wait) = (&entry.venue_symbol, wait.0 / 1_000_000_000);
        let text =
            format!("coinbase-exchange: {symbol}: {reason}; asks for a snapshot in {wait} s");
        io.commands.push(Command::Report { text });
    }
    ask_again(entry, lines, io);
}

/// Asks for one product's snapshot, if its moment has come.
fn ask_again(entry: &mut Entry<Awaited>, lines: &Lines<()>, io: &mut Io<'_>) {
    let Some(connection) = lines.connection(entry.line) else { return };
    if entry.retry.take(io.now) {
        for kind in ["unsubscribe", "subscribe"] {
            let text = request(kind, BOOK_CHANNEL, std::slice::from_ref(&entry.venue_symbol));
            io.commands.push(Command::Send { connection, text });
        }
    }
}

fn request(kind: &str, channels: &str, products: &[String]) -> String {
    let products = serde_json::json!(products);
    format!(r#"{{"type":"{kind}","product_ids":{products},"channels":{channels}}}"#)
}

impl Handler for CoinbaseExchangeHandler {
    fn venue(&self) -> Venue {
        Venue::CoinbaseExchange
    }

    fn limits(&self) -> Limits {
        Limits {
            // A hundred messages a second for an address, ten REST requests, eight connections.
            send_gap: Nanos::from_millis(20),
            get_gap: Nanos::from_millis(200),
            connect_gap: Nanos::from_millis(500),
            // A heartbeat comes every second for every product.
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
            entry.book.trade = None;
            symbols.push(entry.venue_symbol.clone());
        }
        if !symbols.is_empty() {
            // One message, within five seconds: then its answer comes before the data.
            let text = request("subscribe", CHANNELS, &symbols);
            io.commands.push(Command::Send { connection, text });
        }
    }

    fn message(&mut self, connection: ConnectionIndex, bytes: &mut [u8], io: &mut Io<'_>) {
        if self.lines.serving(connection).is_none() {
            io.tally.message("late");
            return;
        }
        if let Err(fault) = self.message.read(bytes) {
            let detail = || format!("coinbase-exchange: {}: {}", fault.reason(), excerpt(bytes));
            self.faults.count(fault.reason(), 1, detail, io);
            // Nothing else would ever tell that the book misses what this message said.
            let product = self.message.product.unwrap_or_default();
            if let Some(entry) = self.roster.find(product.of(bytes)) {
                doubt(entry, "a message could not be read", &self.lines, io);
            }
            return;
        }
        io.tally.message(self.message.kind.name());
        match self.message.kind {
            Kind::Error => {
                let text = format!("coinbase-exchange: error: {}", error_words(bytes));
                io.commands.push(Command::Report { text });
            }
            Kind::Subscriptions | Kind::Other => {}
            _ => self.take(connection, bytes, io),
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
            check_awaited(entry, &self.lines, io);
            entry.check_snapshot(Venue::CoinbaseExchange, io);
            ask_again(entry, &self.lines, io);
        }
    }

    fn resync(&mut self, instrument: InstrumentIndex, io: &mut Io<'_>) {
        if let Some(entry) = self.roster.of_index(instrument) {
            doubt(entry, "its book is crossed", &self.lines, io);
        }
    }
}
