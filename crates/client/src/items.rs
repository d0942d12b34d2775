//! What a subscription gives: the newest state of one instrument on one channel, as a value.

use crate::session::Session;
use crate::subscriptions::Stream;
use crate::views::{BarRow, Take, TradeRow};
use tickcast_market::{Decimal, Interval, Nanos, Since, TradingState};
use tickcast_wire::{Channel, Depth, Epoch, FieldSet, Seq, TickerField};

/// A value of one channel. Implemented by [`Ticker`], [`Trades`], [`Book`] and [`Bars`], and by
/// nothing else.
pub trait Item: Sized + Send + sealed::Read {
    /// Its channel.
    const CHANNEL: Channel;
}

pub(crate) mod sealed {
    use super::{Session, Since, Stream, TradingState};

    pub trait Read: Sized {
        /// The newest state, or what is new of it after `seen`.
        fn read(
            session: &Session,
            place: Place<'_>,
            state: TradingState,
            seen: Option<Since>,
        ) -> Option<Self>;
    }

    #[derive(Clone, Copy, Debug)]
    pub struct Place<'a> {
        pub(crate) stream: Stream,
        pub(crate) symbol: &'a str,
    }
}
use sealed::{Place, Read};

/// Last trade, best bid and ask, day statistics, as decimal text padded to the instrument's scale.
/// A field is `None` when it has no value now or was not asked for ([`Ticker::fields`]).
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The fields are the wire's of that name.
pub struct Ticker {
    pub symbol: String,
    pub epoch: Epoch,
    pub seq: Seq,
    /// What can be expected of it; stale too while there is no connection.
    pub state: TradingState,
    pub last: Option<String>,
    pub last_size: Option<String>,
    pub bid: Option<String>,
    pub bid_size: Option<String>,
    pub ask: Option<String>,
    pub ask_size: Option<String>,
    pub open: Option<String>,
    pub high: Option<String>,
    pub low: Option<String>,
    pub volume: Option<String>,
    /// The fields that are subscribed to.
    pub fields: FieldSet,
    pub ts_event: Nanos,
    pub ts_publish: Nanos,
}

impl Item for Ticker {
    const CHANNEL: Channel = Channel::Ticker;
}

impl Read for Ticker {
    fn read(
        session: &Session,
        Place { symbol, .. }: Place<'_>,
        state: TradingState,
        _: Option<Since>,
    ) -> Option<Ticker> {
        let view = session.ticker(symbol)?;
        let held = view.rule().held()?;
        let value = |field| view.get(field).map(str::to_owned);
        Some(Ticker {
            symbol: symbol.to_owned(),
            epoch: held.epoch,
            seq: held.seq,
            state,
            last: value(TickerField::Last),
            last_size: value(TickerField::LastSize),
            bid: value(TickerField::Bid),
            bid_size: value(TickerField::BidSize),
            ask: value(TickerField::Ask),
            ask_size: value(TickerField::AskSize),
            open: value(TickerField::Open),
            high: value(TickerField::High),
            low: value(TickerField::Low),
            volume: value(TickerField::Volume),
            fields: view.fields(),
            ts_event: view.ts_event(),
            ts_publish: view.ts_publish(),
        })
    }
}

/// One level of a book. Both are exact, and print padded to the instrument's scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Level {
    pub price: Decimal,
    pub size: Decimal,
}

/// Both sides of a book down to a depth.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The fields are the wire's of that name.
pub struct Book {
    pub symbol: String,
    pub depth: Depth,
    pub epoch: Epoch,
    pub seq: Seq,
    /// What can be expected of it; stale too while there is no connection.
    pub state: TradingState,
    /// Best first.
    pub bids: Vec<Level>,
    /// Best first.
    pub asks: Vec<Level>,
    pub checksum: u32,
    pub ts_event: Nanos,
    pub ts_publish: Nanos,
}

impl Item for Book {
    const CHANNEL: Channel = Channel::Book;
}

impl Read for Book {
    fn read(
        session: &Session,
        Place { symbol, .. }: Place<'_>,
        state: TradingState,
        _: Option<Since>,
    ) -> Option<Book> {
        let view = session.book(symbol)?;
        let held = view.rule().held()?;
        let level = |(price, size)| Level { price, size };
        Some(Book {
            symbol: symbol.to_owned(),
            depth: view.depth(),
            epoch: held.epoch,
            seq: held.seq,
            state,
            bids: view.bids().map(level).collect(),
            asks: view.asks().map(level).collect(),
            checksum: view.checksum(),
            ts_event: view.ts_event(),
            ts_publish: view.ts_publish(),
        })
    }
}

/// Trades of an instrument.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The fields are the wire's of that name.
pub struct Trades {
    pub symbol: String,
    pub epoch: Epoch,
    pub seq: Seq,
    /// What can be expected of it; stale too while there is no connection.
    pub state: TradingState,
    /// Oldest first: those that were not given before, or all that are kept.
    pub trades: Vec<TradeRow>,
    /// Trades before the first of these that were not given and are not kept any more.
    pub missed: u64,
}

impl Item for Trades {
    const CHANNEL: Channel = Channel::Trades;
}

impl Read for Trades {
    fn read(
        session: &Session,
        Place { symbol, .. }: Place<'_>,
        state: TradingState,
        seen: Option<Since>,
    ) -> Option<Trades> {
        let view = session.trades(symbol)?;
        let held = view.rule().held()?;
        let seen = seen.filter(|seen| seen.epoch == held.epoch);
        let is_new = |trade: &&TradeRow| seen.is_none_or(|seen| trade.seq > seen.seq);
        let trades: Vec<TradeRow> = view.recent().filter(is_new).cloned().collect();
        let upto = trades.first().map_or(held.seq.0, |first| first.seq.0.saturating_sub(1));
        let missed = seen.map_or(0, |seen| upto.saturating_sub(seen.seq.0));
        let symbol = symbol.to_owned();
        Some(Trades { symbol, epoch: held.epoch, seq: held.seq, state, trades, missed })
    }
}

/// Bars of an instrument and an interval.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The fields are the wire's of that name.
pub struct Bars {
    pub symbol: String,
    pub interval: Interval,
    pub epoch: Epoch,
    pub seq: Seq,
    /// What can be expected of it; stale too while there is no connection.
    pub state: TradingState,
    /// Oldest first: those that have changed since they were given, or all that are kept. One with
    /// a known `start` replaces that one.
    pub bars: Vec<BarRow>,
}

impl Item for Bars {
    const CHANNEL: Channel = Channel::Bars;
}

impl Read for Bars {
    fn read(
        session: &Session,
        Place { stream, symbol }: Place<'_>,
        state: TradingState,
        seen: Option<Since>,
    ) -> Option<Bars> {
        let Stream::Bars(interval) = stream else { return None };
        let view = session.bars(symbol, interval)?;
        let held = view.rule().held()?;
        let bars = match seen.filter(|seen| seen.epoch == held.epoch) {
            Some(seen) => view.since(seen.seq).cloned().collect(),
            None => view.bars().cloned().collect(),
        };
        let symbol = symbol.to_owned();
        Some(Bars { symbol, interval, epoch: held.epoch, seq: held.seq, state, bars })
    }
}
