//! Kraken v2: one book, ticker or trade message's bytes to plain lists; everything else is only
//! told apart. Knows no instrument and no state.
//!
//! Numbers are JSON *numbers* whose digits matter: the checksum is over prices and sizes as they
//! were padded, so they are taken as text, never through a binary float.

use crate::decode::fields::{number, push_level, statistic, time};
use crate::decode::grid::{RawLevel, Wide};
use crate::decode::scan::{Fault, Scan, Span};
use crate::roster::{RawDay, RawTrade};
use std::ops::Range;
use tickcast_market::{BookSide, Decimal, Nanos, Side};

/// What a message is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    Book,
    Ticker,
    Trade,
    Heartbeat,
    /// The venue's own state.
    Status,
    /// The list of pairs.
    Instrument,
    /// An answer to something that we sent.
    Answer,
    Pong,
    #[default]
    Other,
}

impl Kind {
    /// For the counter.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Kind::Book => "book",
            Kind::Ticker => "ticker",
            Kind::Trade => "trade",
            Kind::Heartbeat => "heartbeat",
            Kind::Status => "status",
            Kind::Instrument => "instrument",
            Kind::Answer => "answer",
            Kind::Pong => "pong",
            Kind::Other => "other",
        }
    }

    fn of_channel(name: &[u8]) -> Kind {
        match name {
            b"book" => Kind::Book,
            b"ticker" => Kind::Ticker,
            b"trade" => Kind::Trade,
            b"heartbeat" => Kind::Heartbeat,
            b"status" => Kind::Status,
            b"instrument" => Kind::Instrument,
            _ => Kind::Other,
        }
    }
}

/// Levels of one pair, bids and asks as they came.
#[derive(Clone, Debug)]
pub(crate) struct BookPart {
    pub(crate) symbol: Span,
    /// Into [`Message::levels`].
    pub(crate) levels: Range<usize>,
    /// Over the top ten as they are after these levels.
    pub(crate) checksum: Option<u32>,
    pub(crate) ts_event: Nanos,
}

/// Consecutive trades of one pair.
#[derive(Clone, Debug)]
pub(crate) struct TradesPart {
    pub(crate) symbol: Span,
    /// Into [`Message::trades`].
    pub(crate) trades: Range<usize>,
}

/// One pair's ticker.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ticker {
    pub(crate) symbol: Span,
    /// Price and size; `None` where there is no such side.
    pub(crate) bid: Option<(Decimal, Decimal)>,
    pub(crate) ask: Option<(Decimal, Decimal)>,
    /// All but the opening price.
    pub(crate) day: RawDay,
    /// The last price less the opening one.
    pub(crate) change: Option<Decimal>,
    pub(crate) ts_event: Nanos,
}

/// One message. Kept and filled again: reading allocates nothing once the lists have grown.
#[derive(Debug, Default)]
pub(crate) struct Message {
    pub(crate) kind: Kind,
    pub(crate) is_snapshot: bool,
    pub(crate) books: Vec<BookPart>,
    pub(crate) levels: Vec<RawLevel>,
    pub(crate) trade_parts: Vec<TradesPart>,
    pub(crate) trades: Vec<RawTrade>,
    pub(crate) tickers: Vec<Ticker>,
    /// Levels and trades that hold a number of more than 18 digits.
    pub(crate) misfits: u64,
    /// The pair that was read last: whose book is in doubt when the message cannot be read.
    pub(crate) symbol: Option<Span>,
}

impl Message {
    /// Reads a message.
    ///
    /// *Errors:* the first [`Fault`]; the lists then hold what was read before it and are not to
    /// be used, but `kind` and `symbol` say what it was, if they came before the fault.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.books.clear();
        self.levels.clear();
        self.trade_parts.clear();
        self.trades.clear();
        self.tickers.clear();
        (self.kind, self.is_snapshot, self.misfits, self.symbol) = (Kind::Other, false, 0, None);
        let mut is_known = false;
        let mut data = None;
        let mut scan = Scan::new(bytes);
        scan.object()?;
        while let Some(key) = scan.key()? {
            match key {
                b"channel" => (self.kind, is_known) = (Kind::of_channel(scan.text()?), true),
                b"method" => {
                    let is_pong = scan.text()? == b"pong";
                    (self.kind, is_known) = (if is_pong { Kind::Pong } else { Kind::Answer }, true);
                }
                b"type" => self.is_snapshot = scan.text()? == b"snapshot",
                b"data" if is_known => self.data(bytes, &mut scan)?,
                b"data" => {
                    data = Some(scan.clone());
                    scan.skip()?;
                }
                _ => scan.skip()?,
            }
        }
        scan.end()?;
        match data {
            Some(mut scan) => self.data(bytes, &mut scan),
            // Errors about requests that could not even be parsed have neither key.
            None if !is_known => {
                self.kind = Kind::Answer;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn data(&mut self, bytes: &[u8], scan: &mut Scan<'_>) -> Result<(), Fault> {
        let item = match self.kind {
            Kind::Book => Message::book,
            Kind::Ticker => Message::ticker,
            Kind::Trade => Message::trade,
            _ => return scan.skip(),
        };
        scan.array()?;
        while scan.item()? {
            item(self, bytes, scan)?;
        }
        Ok(())
    }

    fn symbol(&mut self, scan: &mut Scan<'_>) -> Result<Span, Fault> {
        let symbol = scan.text_span()?;
        self.symbol = Some(symbol);
        Ok(symbol)
    }

    fn book(&mut self, _: &[u8], scan: &mut Scan<'_>) -> Result<(), Fault> {
        let first = self.levels.len();
        let (mut symbol, mut checksum, mut ts_event) = (None, None, Nanos::ZERO);
        scan.object()?;
        while let Some(key) = scan.key()? {
            match key {
                b"symbol" => symbol = Some(self.symbol(scan)?),
                b"bids" => self.side(BookSide::Bid, scan)?,
                b"asks" => self.side(BookSide::Ask, scan)?,
                b"checksum" => {
                    checksum = Some(u32::try_from(scan.integer()?).map_err(|_| Fault::Value)?);
                }
                b"timestamp" => ts_event = time(scan)?,
                _ => scan.skip()?,
            }
        }
        let symbol = symbol.ok_or(Fault::Missing)?;
        self.books.push(BookPart { symbol, levels: first..self.levels.len(), checksum, ts_event });
        Ok(())
    }

    fn side(&mut self, side: BookSide, scan: &mut Scan<'_>) -> Result<(), Fault> {
        scan.array()?;
        while scan.item()? {
            if let Some((price, size)) = usual_level(scan) {
                self.levels.push(RawLevel { side, price, size });
                continue;
            }
            let (mut price, mut size) = (None, None);
            scan.object()?;
            while let Some(key) = scan.key()? {
                match key {
                    b"price" => price = Some(number(scan)?),
                    b"qty" => size = Some(number(scan)?),
                    _ => scan.skip()?,
                }
            }
            let (Some(price), Some(size)) = (price, size) else {
                return Err(Fault::Missing);
            };
            self.misfits += push_level(&mut self.levels, side, price, size);
        }
        Ok(())
    }

    fn trade(&mut self, bytes: &[u8], scan: &mut Scan<'_>) -> Result<(), Fault> {
        let (mut symbol, mut id, mut price, mut size) = (None, None, None, None);
        let (mut side, mut ts_event) = (None, Nanos::ZERO);
        scan.object()?;
        while let Some(key) = scan.key()? {
            match key {
                b"symbol" => symbol = Some(self.symbol(scan)?),
                b"trade_id" => id = Some(scan.integer()?),
                b"price" => price = Some(number(scan)?),
                b"qty" => size = Some(number(scan)?),
                // The taker's, which is what we call the aggressor's.
                b"side" => {
                    side = Some(match scan.text()? {
                        b"buy" => Side::Buy,
                        b"sell" => Side::Sell,
                        _ => return Err(Fault::Value),
                    });
                }
                b"timestamp" => ts_event = time(scan)?,
                _ => scan.skip()?,
            }
        }
        let (Some(symbol), Some(id), Some(side)) = (symbol, id, side) else {
            return Err(Fault::Missing);
        };
        let (Some(price), Some(size)) = (price, size) else { return Err(Fault::Missing) };
        let (Some(price), Some(size)) = (price, size) else {
            self.misfits += 1;
            return Ok(());
        };
        self.trades.push(RawTrade { id, price, size, side, ts_event });
        let end = self.trades.len();
        match self.trade_parts.last_mut() {
            Some(part) if part.symbol.of(bytes) == symbol.of(bytes) => part.trades.end = end,
            _ => self.trade_parts.push(TradesPart { symbol, trades: end - 1..end }),
        }
        Ok(())
    }

    /// A price or size of a quote, `None` for `null`. One that does not fit is counted, and its side
    /// is as good as empty.
    fn side_number(&mut self, scan: &mut Scan<'_>) -> Result<Option<Decimal>, Fault> {
        if scan.peek() == Some(b'n') {
            return scan.skip().map(|()| None);
        }
        let number = number(scan)?;
        self.misfits += u64::from(number.is_none());
        Ok(number)
    }

    fn ticker(&mut self, _: &[u8], scan: &mut Scan<'_>) -> Result<(), Fault> {
        let mut ticker = Ticker::default();
        let (mut symbol, mut bid, mut ask) = (None, (None, None), (None, None));
        scan.object()?;
        while let Some(key) = scan.key()? {
            match key {
                b"symbol" => symbol = Some(self.symbol(scan)?),
                b"bid" => bid.0 = self.side_number(scan)?,
                b"bid_qty" => bid.1 = self.side_number(scan)?,
                b"ask" => ask.0 = self.side_number(scan)?,
                b"ask_qty" => ask.1 = self.side_number(scan)?,
                b"last" => ticker.day.last = statistic(scan)?,
                b"high" => ticker.day.high = statistic(scan)?,
                b"low" => ticker.day.low = statistic(scan)?,
                b"change" => ticker.change = statistic(scan)?,
                b"volume" => ticker.day.volume = Wide::parse(scan.token()?),
                b"timestamp" => ticker.ts_event = time(scan)?,
                _ => scan.skip()?,
            }
        }
        // An empty side is null or zero.
        let side = |(price, size): (Option<Decimal>, Option<Decimal>)| {
            price.zip(size).filter(|(price, size)| price.mantissa > 0 && size.mantissa > 0)
        };
        (ticker.bid, ticker.ask) = (side(bid), side(ask));
        ticker.symbol = symbol.ok_or(Fault::Missing)?;
        self.tickers.push(ticker);
        Ok(())
    }
}

/// A level's price and size as the venue writes them every time; `None`, with nothing read, when a
/// byte differs.
#[inline]
fn usual_level(scan: &mut Scan<'_>) -> Option<(Decimal, Decimal)> {
    let mut ahead = scan.clone();
    ahead.literal(b"{\"price\":")?;
    let price = ahead.decimal()?;
    ahead.literal(b",\"qty\":")?;
    let size = ahead.decimal()?;
    ahead.literal(b"}")?;
    *scan = ahead;
    Some((price, size))
}

/// `a - b`, exactly; `None` where it does not fit.
pub(crate) fn difference(a: Decimal, b: Decimal) -> Option<Decimal> {
    let scale = a.scale.max(b.scale);
    let mantissa = a.at(scale).ok()?.checked_sub(b.at(scale).ok()?)?;
    Some(Decimal { mantissa, scale }.trimmed())
}
