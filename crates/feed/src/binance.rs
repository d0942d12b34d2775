//! Binance spot: the handler that ties messages, books and REST answers together.
//!
//! Owns the order of things (list, lines, snapshots, bars), duplicates and states. Reading is in
//! `binance_fast` and `binance_message`, joining books in `binance_book`, limits of connections in
//! `binance_lines`, those of REST in `binance_rest`.

use crate::binance_book::{Joining, Verdict};
use crate::binance_lines::{Line, lines, streams_of};
use crate::binance_message::{self, Message};
use crate::binance_number::Fault;
use crate::binance_rest::{
    Resource, WeightPacer, bars_url, decode, depth_url, list_url, read_bars, read_list,
    read_snapshot,
};
use crate::binance_symbols::{Symbol, Symbols};
use crate::handler::{Command, ConnectionIndex, Handler, Io, Limits};
use crate::{binance_fast, binance_symbols::TradeKind};
use simd_json::tape::Value;
use simd_json::{Buffers, Tape};
use tickcast_market::{
    BookChange, Event, EventBody, InstrumentIndex, Interval, Nanos, Trade, TradingState, Venue,
};

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
/// Between two attempts at the list of symbols.
const LIST_RETRY: Nanos = Nanos::from_secs(10);
/// Between two attempts at bars, and how many of a symbol's may fail.
const BARS_RETRY: Nanos = Nanos::from_secs(15);
const BARS_FAILURES_MAX: u32 = 8;
/// How long no request is made after a 429, and after a 418 (banned).
const HOLD_AFTER_429: Nanos = Nanos::from_secs(60);
const HOLD_AFTER_418: Nanos = Nanos::from_secs(300);
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
    config: BinanceConfig,
    /// Venue symbols that are wanted, upper case; empty in a replay, where all are taken.
    wanted: Vec<String>,
    is_live: bool,
    is_complete: bool,
    is_general_only: bool,
    symbols: Symbols,
    lines: Vec<Line>,
    open: Vec<ConnectionIndex>,
    /// Connections that are being replaced.
    replaced: Vec<ConnectionIndex>,
    pacer: WeightPacer,
    levels: Vec<BookChange>,
    tape: Tape<'static>,
    buffers: Buffers,
    /// Reasons of faults that were told in words.
    told: Vec<&'static str>,
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
            told: Vec::new(),
        }
    }

    /// The same handler without its fast way, for comparing both.
    pub fn general_only(mut self) -> BinanceHandler {
        self.is_general_only = true;
        self
    }

    /// Parses JSON in reused buffers and lets `read` take what it needs; a fault is counted.
    fn parse<T>(
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

    fn fault(&mut self, fault: &Fault, bytes: &[u8], io: &mut Io<'_>) {
        io.tally.decode_error(fault.reason);
        if !self.told.contains(&fault.reason) {
            self.told.push(fault.reason);
            let start = String::from_utf8_lossy(&bytes[..bytes.len().min(160)]);
            report(io, format!("{}, in {start:?}; more of this kind is only counted", fault.text));
        }
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
                report(io, text);
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

    fn take_depth(
        &mut self,
        index: usize,
        ids: crate::binance_book::DepthIds,
        ts_event: Nanos,
        io: &mut Io<'_>,
    ) {
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

    fn ask_snapshot(&mut self, index: usize, io: &mut Io<'_>) {
        if !self.is_live {
            return;
        }
        let count = self.symbols.len();
        let symbol = self.symbols.get_mut(index);
        if let Some(back_off) = symbol.book.ask(io.now) {
            let (url, weight) = depth_url(&self.config.rest_url, &symbol.venue_symbol, count);
            let after = back_off.max(self.pacer.spend(io.now, weight));
            io.commands.push(Command::Get { url, after });
        }
    }

    fn take_snapshot(&mut self, name: &str, body: &mut [u8], io: &mut Io<'_>) {
        let index = match self.is_live {
            true => self.symbols.find(name.as_bytes()),
            false => self.symbols.find_or_add(name, io),
        };
        let Some(index) = index else { return };
        let id = self.parse(body, io, |value, symbols, levels, _| {
            read_snapshot(value, &mut symbols.get_mut(index).scales, levels)
        });
        let symbol = self.symbols.get_mut(index);
        let joining = match id {
            Some(id) => symbol.book.snapshot(id, io.now),
            None => {
                symbol.book.ask_failed();
                Joining::TooOld
            }
        };
        match joining {
            Joining::NotWanted => {}
            Joining::TooOld => self.ask_snapshot(index, io),
            Joining::Joined { skip } => self.join(index, skip, io),
        }
    }

    /// Emits the snapshot in `levels` and what was kept for it.
    fn join(&mut self, index: usize, skip: usize, io: &mut Io<'_>) {
        let symbol = self.symbols.get_mut(index);
        symbol.emit(Nanos::ZERO, EventBody::BookSnapshot(&self.levels), io);
        let (instrument, scales, ts_recv) = (symbol.instrument, symbol.scales, io.now);
        let kept = symbol.book.replay_kept(skip, scales, |ts_event, levels| {
            let body = EventBody::BookUpdate(levels);
            io.sink.event(&Event { instrument, ts_event, ts_recv, scales, body });
        });
        if let Err(error) = kept {
            symbol.book.restart();
            let text = format!("{}: a level that waited: {error}", symbol.venue_symbol);
            self.fault(&Fault { reason: "number", text }, b"", io);
            self.ask_snapshot(index, io);
            return;
        }
        symbol.set_state(TradingState::Live, io);
        if self.is_live && !symbol.has_bars {
            symbol.has_bars = true;
            for interval in [Interval::M1, Interval::M5, Interval::H1, Interval::S1] {
                self.ask_bars(index, interval, Nanos::ZERO, io);
            }
        }
    }

    fn ask_bars(&mut self, index: usize, interval: Interval, wait: Nanos, io: &mut Io<'_>) {
        let name = &self.symbols.get(index).venue_symbol;
        let (url, weight) = bars_url(&self.config.rest_url, name, interval);
        let after = wait.max(self.pacer.spend(io.now, weight));
        io.commands.push(Command::Get { url, after });
    }

    fn take_bars(&mut self, name: &str, interval: Interval, body: &mut [u8], io: &mut Io<'_>) {
        let index = match self.is_live {
            true => self.symbols.find(name.as_bytes()),
            false => self.symbols.find_or_add(name, io),
        };
        let Some(index) = index else { return };
        let bars = self.parse(body, io, |value, symbols, _, _| {
            read_bars(value, &mut symbols.get_mut(index).scales)
        });
        if let Some(bars) = bars.filter(|bars| !bars.is_empty()) {
            self.symbols.get(index).emit(Nanos::ZERO, EventBody::Bars(interval, &bars), io);
        }
    }

    fn ask_list(&mut self, by_name: bool, wait: Nanos, io: &mut Io<'_>) {
        let (url, weight) = list_url(&self.config.rest_url, &self.wanted, by_name);
        let after = wait.max(self.pacer.spend(io.now, weight));
        io.commands.push(Command::Get { url, after });
    }

    /// Takes the venue's list; on a live line everything else follows from it.
    fn take_list(&mut self, body: &mut [u8], io: &mut Io<'_>) {
        let wanted = std::mem::take(&mut self.wanted);
        let is_live = self.is_live;
        let outcome = self.parse(body, io, |value, symbols, _, io| {
            read_list(value, |listed| {
                let name = &listed.spec.venue_symbol;
                if is_live && !wanted.contains(name) {
                    return;
                }
                if is_live && !listed.is_trading {
                    report(io, format!("{name} is listed but does not trade at present"));
                }
                symbols.note(listed.spec);
            })
        });
        self.wanted = wanted;
        if !is_live || self.is_complete {
            return;
        }
        if outcome.is_none() {
            self.ask_list(false, LIST_RETRY, io);
            return;
        }
        let (listed, unknown): (Vec<_>, Vec<_>) =
            self.wanted.clone().into_iter().partition(|name| self.symbols.is_listed(name));
        for name in unknown {
            report(io, format!("symbol {name:?} is not in the venue's list"));
        }
        let listed: Vec<String> = listed
            .into_iter()
            .filter(|name| self.symbols.find_or_add(name, io).is_some())
            .collect();
        self.is_complete = true;
        self.lines = lines(&self.config.ws_url, &listed);
        for (line, number) in self.lines.iter().zip(0u16..) {
            io.commands.push(Command::Connect { line: number, url: line.url.clone() });
        }
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

fn report(io: &mut Io<'_>, text: String) {
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
            message = binance_fast::read(bytes, &self.symbols, &mut self.levels);
        }
        if message.is_none() {
            let may_add = !self.is_live;
            message = self.parse(bytes, io, |value, symbols, levels, io| {
                binance_message::read(value, symbols, may_add, levels, io)
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
        match status {
            429 => self.pacer.hold(io.now.plus(HOLD_AFTER_429)),
            418 => self.pacer.hold(io.now.plus(HOLD_AFTER_418)),
            _ => {}
        }
        match Resource::of(url) {
            Some(Resource::List { is_by_name }) if !self.is_complete => {
                // One name that is wrong spoils the whole answer: then the whole list.
                let wait = if is_by_name && status == 400 { Nanos::ZERO } else { LIST_RETRY };
                self.ask_list(is_by_name && status != 400, wait, io);
            }
            Some(Resource::Depth { symbol }) => {
                if let Some(index) = self.symbols.find(decode(symbol).as_bytes()) {
                    self.symbols.get_mut(index).book.ask_failed();
                    self.ask_snapshot(index, io);
                }
            }
            Some(Resource::Bars { symbol, interval }) => {
                let Some(index) = self.symbols.find(decode(symbol).as_bytes()) else { return };
                let symbol = self.symbols.get_mut(index);
                symbol.bars_failures += 1;
                if symbol.bars_failures <= BARS_FAILURES_MAX {
                    self.ask_bars(index, interval, BARS_RETRY, io);
                } else {
                    let name = &symbol.venue_symbol;
                    report(io, format!("{name}: no {} bars before the start", interval.name()));
                }
            }
            _ => {}
        }
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
                report(io, format!("{name}: subscribed to, but nothing has come for 60 s"));
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
