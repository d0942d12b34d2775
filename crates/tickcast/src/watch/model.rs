//! What is shown, taken out of the client's session: plain values, so that nothing is locked while
//! they are drawn.

use std::time::Duration;
use tickcast_client::{
    BarRow, Decimal, Interval, Nanos, Session, TickerField, TradeRow, TradingState,
};

/// One line of the watchlist.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Row {
    pub(super) symbol: String,
    pub(super) state: TradingState,
    pub(super) last: Option<String>,
    pub(super) bid: Option<String>,
    pub(super) ask: Option<String>,
    pub(super) volume: Option<String>,
    /// Of the last price against the day's first, in percent.
    pub(super) change: Option<f64>,
    /// In parts of ten thousand of the middle.
    pub(super) spread: Option<f64>,
    /// Since the last change.
    pub(super) age: Option<Duration>,
}

impl Row {
    pub(super) fn last_number(&self) -> f64 {
        self.last.as_deref().and_then(number).unwrap_or(f64::NEG_INFINITY)
    }

    pub(super) fn volume_number(&self) -> f64 {
        self.volume.as_deref().and_then(number).unwrap_or(f64::NEG_INFINITY)
    }
}

/// Only for orders and percentages; prices are shown as they were sent.
fn number(text: &str) -> Option<f64> {
    text.parse().ok()
}

/// What can be expected of an instrument's data; nothing is live without a connection.
pub(super) fn state_of(session: &Session, symbol: &str, is_live: bool) -> TradingState {
    if !is_live {
        return TradingState::Stale;
    }
    session.status(symbol).map_or(TradingState::Resync, |view| view.state())
}

/// The lines of the watchlist, in no order.
pub(super) fn rows(session: &Session, is_live: bool, now: Nanos) -> Vec<Row> {
    let symbols = session.symbols();
    symbols.map(|symbol| row(session, symbol, is_live, now)).collect()
}

fn row(session: &Session, symbol: &str, is_live: bool, now: Nanos) -> Row {
    let state = state_of(session, symbol, is_live);
    let Some(view) = session.ticker(symbol) else {
        return Row { symbol: symbol.to_owned(), state, ..Row::default() };
    };
    let value = |field| view.get(field).map(str::to_owned);
    let as_number = |field| view.get(field).and_then(number);
    let (last, open) = (as_number(TickerField::Last), as_number(TickerField::Open));
    let (bid, ask) = (as_number(TickerField::Bid), as_number(TickerField::Ask));
    let change = last.zip(open).filter(|(_, open)| *open > 0.0);
    let spread = bid.zip(ask).filter(|(bid, ask)| bid + ask > 0.0);
    Row {
        symbol: symbol.to_owned(),
        state,
        last: value(TickerField::Last),
        bid: value(TickerField::Bid),
        ask: value(TickerField::Ask),
        volume: value(TickerField::Volume),
        change: change.map(|(last, open)| (last / open - 1.0) * 100.0),
        spread: spread.map(|(bid, ask)| (ask - bid) / (ask + bid) * 2e4),
        age: Some(between(view.ts_publish(), now)),
    }
}

/// How long ago something was; clocks of two machines may differ.
pub(super) fn between(then: Nanos, now: Nanos) -> Duration {
    Duration::from_nanos(u64::try_from(now.0.saturating_sub(then.0)).unwrap_or_default())
}

/// A level with the sum of the sizes from the best price up to it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rung {
    pub(super) price: Decimal,
    pub(super) size: Decimal,
    pub(super) sum: f64,
}

/// Both sides of a book, best first.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Ladder {
    pub(super) bids: Vec<Rung>,
    pub(super) asks: Vec<Rung>,
    pub(super) levels: usize,
    pub(super) age: Option<Duration>,
}

/// The book of a symbol; `None` before its snapshot.
pub(super) fn ladder(session: &Session, symbol: &str, now: Nanos) -> Option<Ladder> {
    let view = session.book(symbol)?;
    Some(Ladder {
        bids: rungs(view.bids()),
        asks: rungs(view.asks()),
        levels: view.depth().levels(),
        age: Some(between(view.ts_publish(), now)),
    })
}

fn rungs(levels: impl Iterator<Item = (Decimal, Decimal)>) -> Vec<Rung> {
    let mut sum = 0.0;
    let rung = |(price, size): (Decimal, Decimal)| {
        sum += size.mantissa as f64 / 10_f64.powi(i32::from(size.scale));
        Rung { price, size, sum }
    };
    levels.map(rung).collect()
}

/// The latest trades of a symbol, newest first; at most `limit`.
pub(super) fn tape(session: &Session, symbol: &str, limit: usize) -> Option<Vec<TradeRow>> {
    let recent: Vec<&TradeRow> = session.trades(symbol)?.recent().collect();
    Some(recent.into_iter().rev().take(limit).cloned().collect())
}

/// The latest bars of a symbol, newest first; at most `limit`.
pub(super) fn bars(
    session: &Session,
    symbol: &str,
    interval: Interval,
    limit: usize,
) -> Option<Vec<BarRow>> {
    let all: Vec<&BarRow> = session.bars(symbol, interval)?.bars().collect();
    Some(all.into_iter().rev().take(limit).cloned().collect())
}
