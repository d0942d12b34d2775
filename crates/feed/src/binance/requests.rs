//! What the Binance handler asks of the venue's REST side, and what it does with the answers:
//! the list of symbols at the start, a snapshot for every book, the bars before it.

use crate::binance::book::Joining;
use crate::binance::handler::{BinanceHandler, report};
use crate::binance::lines::lines;
use crate::binance::number::Fault;
use crate::binance::rest::{
    Resource, bars_url, decode, depth_url, list_url, read_bars, read_list, read_snapshot,
};
use crate::handler::{Command, Io};
use tickcast_market::{Event, EventBody, Interval, Nanos, TradingState};

/// Between two attempts at the list of symbols.
const LIST_RETRY: Nanos = Nanos::from_secs(10);
/// Between two attempts at bars, and how many of a symbol's may fail.
const BARS_RETRY: Nanos = Nanos::from_secs(15);
const BARS_FAILURES_MAX: u32 = 8;
/// How long no request is made after a 429, and after a 418 (banned).
const HOLD_AFTER_429: Nanos = Nanos::from_secs(60);
const HOLD_AFTER_418: Nanos = Nanos::from_secs(300);

impl BinanceHandler {
    pub(crate) fn ask_snapshot(&mut self, index: usize, io: &mut Io<'_>) {
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

    pub(crate) fn take_snapshot(&mut self, name: &str, body: &mut [u8], io: &mut Io<'_>) {
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

    pub(crate) fn take_bars(
        &mut self,
        name: &str,
        interval: Interval,
        body: &mut [u8],
        io: &mut Io<'_>,
    ) {
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

    pub(crate) fn ask_list(&mut self, by_name: bool, wait: Nanos, io: &mut Io<'_>) {
        let (url, weight) = list_url(&self.config.rest_url, &self.wanted, by_name);
        let after = wait.max(self.pacer.spend(io.now, weight));
        io.commands.push(Command::Get { url, after });
    }

    /// Takes the venue's list; on a live line everything else follows from it.
    pub(crate) fn take_list(&mut self, body: &mut [u8], io: &mut Io<'_>) {
        let wanted = std::mem::take(&mut self.wanted);
        let is_live = self.is_live;
        let outcome = self.parse(body, io, |value, symbols, _, io| {
            read_list(value, |listed| {
                let name = &listed.spec.venue_symbol;
                if is_live && !wanted.contains(name) {
                    return;
                }
                if is_live && !listed.is_trading {
                    report(io, &format!("{name} is listed but does not trade at present"));
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
            report(io, &format!("symbol {name:?} is not in the venue's list"));
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

    /// A request came to nothing: what to do instead.
    pub(crate) fn request_failed(&mut self, url: &str, status: u16, io: &mut Io<'_>) {
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
                    report(io, &format!("{name}: no {} bars before the start", interval.name()));
                }
            }
            _ => {}
        }
    }
}
