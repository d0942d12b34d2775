//! Kraken's session: what is subscribed to on which line, what the venue answers, what it says of
//! itself and of its pairs. Market data is `handler`'s.

use crate::handler::{Command, ConnectionIndex, Io};
use crate::kraken::answers::{Answer, read_answer, read_pairs, read_system};
use crate::kraken::handler::KrakenHandler;
use crate::roster::Feed;
use crate::roster::faults::excerpt;
use crate::roster::listings::Listing;
use tickcast_market::{Nanos, TradingState, Venue};

/// The depth that is subscribed to: the smallest that holds the deepest view we offer (500).
pub(crate) const DEPTH: usize = 500;
/// How many pairs share a connection.
const LINE_SYMBOLS_MAX: usize = 100;
/// The most different warnings that are told.
const WARNINGS_MAX: usize = 32;
/// What is subscribed to when nothing is asked for: what is traded most against the dollar.
const DEFAULT_SYMBOLS: [&str; 10] = [
    "BTC-USD", "ETH-USD", "SOL-USD", "XRP-USD", "ADA-USD", "DOGE-USD", "LINK-USD", "LTC-USD",
    "AVAX-USD", "USDT-USD",
];

impl KrakenHandler {
    /// Subscribes to everything that a line serves.
    pub(crate) fn subscribe_line(&mut self, connection: ConnectionIndex, io: &mut Io<'_>) {
        let mut symbols = Vec::new();
        for entry in self.roster.of_line(connection.line) {
            entry.book.clear();
            entry.begin(io);
            symbols.push(entry.venue_symbol.clone());
        }
        if symbols.is_empty() {
            return;
        }
        let symbols = serde_json::json!(symbols);
        // Quotes and the last price first, so that they are there when the book turns live.
        for params in [
            format!(r#""channel":"ticker","symbol":{symbols},"event_trigger":"bbo""#),
            format!(r#""channel":"trade","symbol":{symbols},"snapshot":false"#),
            format!(r#""channel":"book","symbol":{symbols},"depth":{DEPTH},"snapshot":true"#),
        ] {
            self.send(connection, "subscribe", &params, io);
        }
    }

    /// Registers what is wanted, once, and asks for its lines.
    fn take_up(&mut self, chosen: &[Listing], io: &mut Io<'_>) {
        self.is_complete = true;
        let (closed, open): (Vec<_>, Vec<_>) =
            chosen.iter().partition(|listing| listing.state == TradingState::Closed);
        for listing in closed {
            self.roster.add(listing, 0, Feed::Unsubscribed, io);
            let symbol = &listing.spec.symbol;
            let text = format!("kraken:{symbol} is not traded any more: not subscribed");
            io.commands.push(Command::Report { text });
        }
        for (line, listings) in (0u16..).zip(open.chunks(LINE_SYMBOLS_MAX)) {
            for listing in listings {
                let system = self.system;
                if let Some(entry) = self.roster.add(listing, line, Feed::Resync, io) {
                    entry.set_venue_state(listing.state.max(system), io);
                }
            }
            match self.lines.connection(line) {
                Some(connection) => self.subscribe_line(connection, io),
                None => {
                    let url = self.config.ws_url.clone();
                    io.commands.push(Command::Connect { line, url });
                }
            }
        }
    }

    pub(crate) fn take_pairs(&mut self, bytes: &[u8], io: &mut Io<'_>) {
        let pairs = match read_pairs(bytes) {
            Ok(pairs) => pairs,
            Err(fault) => {
                let detail = || format!("kraken: instrument: {}", excerpt(bytes));
                return self.faults.count(fault.reason(), 1, detail, io);
            }
        };
        for listing in pairs {
            if let Some(entry) = self.roster.find(listing.spec.venue_symbol.as_bytes()) {
                entry.set_venue_state(listing.state.max(self.system), io);
            }
            self.listings.put(listing);
        }
        if self.is_live && !self.is_complete && !self.listings.is_empty() {
            let wanted = &self.config.symbols;
            let (chosen, unknown) = self.listings.choose(wanted, &DEFAULT_SYMBOLS);
            for symbol in unknown {
                let text = format!("kraken: symbols: {symbol:?} is not listed by the venue");
                io.commands.push(Command::Report { text });
            }
            self.take_up(&chosen, io);
        }
    }

    /// The list did not come in time: begins with what is wanted as it is written.
    pub(crate) fn begin_without_list(&mut self, io: &mut Io<'_>) {
        let text = "kraken: begins without the list of pairs: it did not come in time".into();
        io.commands.push(Command::Report { text });
        let wanted = self.config.symbols.iter().map(String::as_str).filter(|s| *s != "*");
        let mut symbols: Vec<&str> = wanted.collect();
        if symbols.is_empty() {
            symbols = DEFAULT_SYMBOLS.to_vec();
        }
        let unlisted =
            |symbol: &&str| Listing::unlisted(Venue::Kraken, &symbol.replacen('-', "/", 1));
        let chosen: Vec<_> = symbols.iter().map(unlisted).collect();
        self.take_up(&chosen, io);
    }

    pub(crate) fn take_system(&mut self, bytes: &[u8], io: &mut Io<'_>) {
        let Some((word, state)) = read_system(bytes) else {
            let detail = || format!("kraken: status: {}", excerpt(bytes));
            return self.faults.count("unexpected value", 1, detail, io);
        };
        if word != "online" || self.system != TradingState::Live {
            let text = format!("kraken: the venue's state is {word:?}");
            io.commands.push(Command::Report { text });
        }
        self.system = state;
        for entry in self.roster.iter_mut() {
            let of_pair = self.listings.get(&entry.venue_symbol).map_or(state, |pair| pair.state);
            entry.set_venue_state(state.max(of_pair), io);
        }
    }

    pub(crate) fn take_answer(
        &mut self,
        connection: ConnectionIndex,
        bytes: &[u8],
        io: &mut Io<'_>,
    ) {
        let Ok(answer) = read_answer(bytes) else {
            let detail = || format!("kraken: answer: {}", excerpt(bytes));
            return self.faults.count("not json", 1, detail, io);
        };
        let Answer { method, success, channel, symbol, depth, error, warnings } = answer;
        if !success {
            let text = format!("kraken: {method} {channel} {symbol}: {error}");
            io.commands.push(Command::Report { text });
            return;
        }
        for warning in warnings {
            if self.warnings.len() < WARNINGS_MAX && !self.warnings.contains(&warning) {
                let text = format!("kraken: {method} {channel} {symbol}: warning: {warning}");
                io.commands.push(Command::Report { text });
                self.warnings.push(warning);
            }
        }
        if channel != "book" {
            return;
        }
        let (bytes, line) = (symbol.as_bytes(), connection.line);
        let KrakenHandler { roster, listings, .. } = self;
        let Some(entry) = roster.find_or_add(bytes, Venue::Kraken, listings, line, io) else {
            return;
        };
        match method.as_str() {
            "subscribe" => entry.book.set_depth(depth.unwrap_or(0)),
            // What it missed until the next snapshot is not known.
            "unsubscribe" if entry.feed() == Feed::Live => {
                entry.turn(Feed::Resync, Nanos::ZERO, io);
            }
            _ => {}
        }
    }
}
