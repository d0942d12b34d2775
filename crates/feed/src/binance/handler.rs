//! Binance spot: the handler that ties messages, books and REST answers together.
//!
//! Owns what happens with a message: duplicates, gaps, states, which connection serves whom.
//! Reading is in `fast` and `message`, joining books in `book`, REST in
//! `requests` and `rest`, limits of connections in `lines`.

use crate::binance::book::{DepthIds, Verdict};
use crate::binance::fast;
use crate::binance::lines::{Line, streams_of};
use crate::binance::message::{self, Message};
use crate::binance::number::Fault;
use crate::binance::rest::{Resource, WeightPacer, decode};
use crate::binance::symbols::{Symbol, Symbols, TradeKind};
use crate::handler::{Command, ConnectionIndex, Handler, Io, Limits};
use crate::roster::faults::{Faults, excerpt};
use simd_json::tape::Value;
use simd_json::{Buffers, Tape};
use tickcast_market::{BookChange, EventBody, InstrumentIndex, Nanos, Trade, TradingState, Venue};

/// What is subscribed to when nothing is said.
const SYMBOLS_DEFAULT: [&str; 10] = [
    "BTC-USDT",
    "ETH-USDT",
    "SOL-USDT",
    "BNB-USDT",
    "XRP-USDT",
    "DOGE-USDT",
    "ADA-USDT",
    "TRX-USDT",
    "LINK-USDT",
    "LTC-USDT",
];
/// A symbol that has said nothing for so long after it was subscribed to is reported.
const FIRST_MESSAGE_WAIT: Nanos = Nanos::from_secs(60);
/// The buffers of a REST body above this size are given back.
const KEPT_BODY_BYTES_MAX: usize = 1 << 20;

/// What the Binance handler is asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BinanceConfig {
    /// WebSocket base URL without a path.
    pub ws_url: String,
    /// REST base URL without a path.
    pub rest_url: String,
    /// Canonical symbols (`BTC-USDT`); none for a choice of busy ones.
    pub symbols: Vec<String>,
}

impl Default for BinanceConfig {
    fn default() -> BinanceConfig {
        BinanceConfig {
            ws_url: "wss://data-stream.binance.vision".into(),
            rest_url: "https://data-api.binance.vision".into(),
            symbols: Vec::new(),
        }
    }
}

/// Binance spot's language.
///
/// Takes `@bookTicker`, `@trade` (or `@aggTrade`, whichever a recording has), `@depth@100ms` with
/// REST snapshots, and `@ticker`; bars before the start come from REST.
pub struct BinanceHandler {
    pub(crate) config: BinanceConfig,
    /// Venue symbols that are wanted, upper case; empty in a replay, where all are taken.
    pub(crate) wanted: Vec<String>,
    pub(crate) is_live: bool,
    pub(crate) is_complete: bool,
    is_general_only: bool,
    pub(crate) symbols: Symbols,
    pub(crate) lines: Vec<Line>,
    open: Vec<ConnectionIndex>,
    /// Connections that are being replaced.
    replaced: Vec<ConnectionIndex>,
    pub(crate) pacer: WeightPacer,
    pub(crate) levels: Vec<BookChange>,
    tape: Tape<'static>,
    buffers: Buffers,
    faults: Faults,
}

impl std::fmt::Debug for BinanceHandler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BinanceHandler")
            .field("config", &self.config)
            .field("symbols", &self.symbols.len())
            .finish_non_exhaustive()
    }
}

impl BinanceHandler {
    /// A handler that has not begun: [`Handler::start`] makes it live, without that it replays.
    pub fn new(config: BinanceConfig) -> BinanceHandler {
        BinanceHandler {
            config,
            wanted: Vec::new(),
            is_live: false,
            is_complete: false,
            is_general_only: false,
            symbols: Symbols::default(),
            lines: Vec::new(),
            open: Vec::new(),
            replaced: Vec::new(),
            pacer: WeightPacer::default(),
            levels: Vec::new(),
            tape: Tape(Vec::new()),
            buffers: Buffers::default(),
            faults: Faults::default(),
        }
    }

    /// The same handler without its fast way, for comparing both.
    pub fn general_only(mut self) -> BinanceHandler {
        self.is_general_only = true;
        self
    }

    /// Parses JSON in reused buffers and lets `read` take what it needs; a fault is counted.
    pub(crate) fn parse<T>(
        &mut self,
        bytes: &mut [u8],
        io: &mut Io<'_>,
        read: impl FnOnce(
            Value<'_, '_>,
            &mut Symbols,
            &mut Vec<BookChange>,
            &mut Io<'_>,
        ) -> Result<T, Fault>,
    ) -> Option<T> {
        let mut tape = std::mem::replace(&mut self.tape, Tape(Vec::new())).reset();
        let outcome = match simd_json::fill_tape(bytes, &mut self.buffers, &mut tape) {
            Ok(()) => read(tape.as_value(), &mut self.symbols, &mut self.levels, io),
            Err(error) => Err(Fault { reason: "json", text: error.to_string() }),
        };
        self.tape = tape.reset();
        outcome.map_err(|fault| self.fault(&fault, bytes, io)).ok()
    }

    pub(crate) fn fault(&mut self, fault: &Fault, bytes: &[u8], io: &mut Io<'_>) {
        let detail = || format!("binance: {}, in {}", fault.text, excerpt(bytes));
        self.faults.count(fault.reason, 1, detail, io);
    }

    fn deliver(&mut self, connection: ConnectionIndex, message: Message, io: &mut Io<'_>) {
        match message {
            Message::Quote { symbol, id, quote } => {
                io.tally.message("bookTicker");
                let symbol = self.touched(symbol, connection, io);
                if symbol.quote_id.is_none_or(|newest| id > newest) {
                    symbol.quote_id = Some(id);
                    symbol.emit(Nanos::ZERO, EventBody::Quote(quote), io);
                }
            }
            Message::Trade { symbol, kind, trade } => {
                io.tally.message(if kind == TradeKind::Single { "trade" } else { "aggTrade" });
                take_trade(self.touched(symbol, connection, io), kind, trade, io);
            }
            Message::Depth { symbol, ids, ts_event } => {
                io.tally.message("depthUpdate");
                self.touched(symbol, connection, io);
                self.take_depth(symbol, ids, ts_event, io);
            }
            Message::Day { symbol, ts_event, stats } => {
                io.tally.message("24hrTicker");
                self.touched(symbol, connection, io).emit(ts_event, EventBody::Day(stats), io);
            }
            Message::Ack => io.tally.message("ack"),
            Message::Refused(text) => {
                io.tally.message("error");
                report(io, &text);
            }
            Message::Shutdown => {
                io.tally.message("serverShutdown");
                if !self.replaced.contains(&connection) {
                    self.replaced.push(connection);
                    io.commands.push(Command::Replace { connection });
                }
            }
            Message::Ignored(kind) => io.tally.message(kind),
        }
    }

    /// The symbol, now that `connection` has brought something of it.
    fn touched(
        &mut self,
        symbol: usize,
        connection: ConnectionIndex,
        io: &mut Io<'_>,
    ) -> &mut Symbol {
        let symbol = self.symbols.get_mut(symbol);
        if symbol.connection != Some(connection) {
            serve(symbol, connection);
        }
        symbol.silent_since = None;
        if symbol.state != TradingState::Live && !symbol.expects_book && symbol.book.is_idle() {
            symbol.set_state(TradingState::Live, io);
        }
        symbol
    }

    fn take_depth(&mut self, index: usize, ids: DepthIds, ts_event: Nanos, io: &mut Io<'_>) {
        let symbol = self.symbols.get_mut(index);
        match symbol.book.event(ids) {
            Verdict::Apply => {
                if !self.levels.is_empty() {
                    symbol.emit(ts_event, EventBody::BookUpdate(&self.levels), io);
                }
                symbol.set_state(TradingState::Live, io);
                return;
            }
            Verdict::Ignore => return,
            Verdict::Keep => {}
            Verdict::Gap => io.tally.gaps += 1,
        }
        symbol.book.keep(ids, ts_event, symbol.scales, &self.levels);
        symbol.set_state(TradingState::Resync, io);
        self.ask_snapshot(index, io);
    }

    /// What a URL says of a connection in a replay.
    fn opened_in_replay(&mut self, connection: ConnectionIndex, url: &str, io: &mut Io<'_>) {
        for (name, stream) in streams_of(url) {
            let Some(index) = self.symbols.find_or_add(&name, io) else { continue };
            let symbol = self.symbols.get_mut(index);
            serve(symbol, connection);
            if stream == "depth" || stream == "depth@100ms" {
                symbol.expects_book = true;
                if symbol.book.is_idle() {
                    symbol.book.restart();
                }
            }
        }
    }
}

/// Notes that a connection serves a symbol, unless a newer one of the same line does.
fn serve(symbol: &mut Symbol, connection: ConnectionIndex) {
    let is_newer = symbol.connection.is_none_or(|present| {
        present.line != connection.line
            || connection.generation.wrapping_sub(present.generation) < 0x8000
    });
    if is_newer {
        symbol.connection = Some(connection);
    }
}

fn take_trade(symbol: &mut Symbol, kind: TradeKind, trade: Trade, io: &mut Io<'_>) {
    if let Some((known_kind, newest)) = symbol.trade_id {
        // Both trade streams tell the same trades: the first one seen is taken.
        if known_kind != kind || trade.id <= newest {
            return;
        }
        if trade.id > newest.saturating_add(1) {
            io.tally.gaps += 1;
        }
    }
    symbol.trade_id = Some((kind, trade.id));
    symbol.emit(trade.ts_event, EventBody::Trades(&[trade]), io);
}

pub(crate) fn report(io: &mut Io<'_>, text: &str) {
    io.commands.push(Command::Report { text: format!("binance: {text}") });
}

impl Handler for BinanceHandler {
    fn venue(&self) -> Venue {
        Venue::Binance
    }

    fn limits(&self) -> Limits {
        Limits {
            // Five a second per connection, pongs included.
            send_gap: Nanos::from_millis(300),
            get_gap: Nanos::from_millis(50),
            // 300 in five minutes per address.
            connect_gap: Nanos::from_secs(1),
            silence_max: Nanos::from_secs(30),
            // The venue cuts after 24 hours.
            lifetime_max: Some(Nanos::from_secs(23 * 3600)),
            message_bytes_max: 16 << 20,
        }
    }

    fn start(&mut self, io: &mut Io<'_>) {
        self.is_live = true;
        let symbols = match self.config.symbols.is_empty() {
            true => SYMBOLS_DEFAULT.map(String::from).to_vec(),
            false => self.config.symbols.clone(),
        };
        for symbol in symbols {
            let name = symbol.replace('-', "").to_uppercase();
            if !self.wanted.contains(&name) {
                self.wanted.push(name);
            }
        }
        self.ask_list(true, Nanos::ZERO, io);
    }

    fn is_complete(&self) -> bool {
        self.is_complete
    }

    fn opened(&mut self, connection: ConnectionIndex, url: &str, io: &mut Io<'_>) {
        if !self.open.contains(&connection) {
            self.open.push(connection);
        }
        if !self.is_live {
            return self.opened_in_replay(connection, url, io);
        }
        let Some(line) = self.lines.get(usize::from(connection.line)) else { return };
        for text in line.subscribe_messages() {
            io.commands.push(Command::Send { connection, text });
        }
        for name in line.symbols.clone() {
            let Some(index) = self.symbols.find(name.as_bytes()) else { continue };
            let symbol = self.symbols.get_mut(index);
            serve(symbol, connection);
            symbol.expects_book = true;
            symbol.silent_since = Some(io.now);
            // A book that an older connection still serves goes on by its ids.
            if symbol.book.is_idle() {
                symbol.book.restart();
                symbol.set_state(TradingState::Resync, io);
                self.ask_snapshot(index, io);
            }
        }
    }

    fn message(&mut self, connection: ConnectionIndex, bytes: &mut [u8], io: &mut Io<'_>) {
        let mut message = None;
        if !self.is_general_only {
            message = fast::read(bytes, &self.symbols, &mut self.levels);
        }
        if message.is_none() {
            let may_add = !self.is_live;
            message = self.parse(bytes, io, |value, symbols, levels, io| {
                message::read(value, symbols, may_add, levels, io)
            });
        }
        if let Some(message) = message {
            self.deliver(connection, message, io);
        }
    }

    fn rest(&mut self, url: &str, body: &mut [u8], io: &mut Io<'_>) {
        match Resource::of(url) {
            Some(Resource::List { .. }) => self.take_list(body, io),
            Some(Resource::Depth { symbol }) => self.take_snapshot(&decode(symbol), body, io),
            Some(Resource::Bars { symbol, interval }) => {
                self.take_bars(&decode(symbol), interval, body, io);
            }
            None => {}
        }
        if body.len() > KEPT_BODY_BYTES_MAX {
            self.tape = Tape(Vec::new());
            self.buffers = Buffers::default();
        }
    }

    fn rest_failed(&mut self, url: &str, status: u16, io: &mut Io<'_>) {
        self.request_failed(url, status, io);
    }

    fn silent(&mut self, connection: ConnectionIndex, io: &mut Io<'_>) {
        for symbol in self.symbols.iter_mut().filter(|s| s.connection == Some(connection)) {
            symbol.set_state(TradingState::Stale, io);
        }
    }

    fn closed(&mut self, connection: ConnectionIndex, io: &mut Io<'_>) {
        self.open.retain(|open| *open != connection);
        self.replaced.retain(|replaced| *replaced != connection);
        let is_last = self.open.is_empty();
        for symbol in self.symbols.iter_mut() {
            if is_last || symbol.connection == Some(connection) {
                symbol.lost(io);
            }
        }
    }

    fn timer(&mut self, io: &mut Io<'_>) {
        for symbol in self.symbols.iter_mut() {
            if symbol.silent_since.is_some_and(|since| io.now.since(since) > FIRST_MESSAGE_WAIT) {
                symbol.silent_since = None;
                let name = &symbol.venue_symbol;
                report(io, &format!("{name}: subscribed to, but nothing has come for 60 s"));
            }
        }
    }

    fn resync(&mut self, instrument: InstrumentIndex, io: &mut Io<'_>) {
        let found = self.symbols.iter().position(|symbol| symbol.instrument == instrument);
        let Some(index) = found else { return };
        let symbol = self.symbols.get_mut(index);
        if symbol.book.last().is_some() {
            symbol.book.restart();
            symbol.set_state(TradingState::Resync, io);
            self.ask_snapshot(index, io);
        }
    }
}
