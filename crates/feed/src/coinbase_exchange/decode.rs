//! Coinbase Exchange: one message's bytes to plain values. Knows the format and nothing else: no
//! instrument and no state.
//!
//! Messages are flat and every name means the same in all of them, so one pass takes whatever
//! names it knows, and what a type must have is checked at the end: the order does not matter.

use crate::coinbase::decode::aggressor;
use crate::decode::fields::{number, push_level, statistic, time};
use crate::decode::grid::{RawLevel, Wide};
use crate::decode::scan::{Fault, Scan, Span};
use crate::roster::{RawDay, RawTrade};
use tickcast_market::{BookSide, Decimal, Nanos, NumberError};

/// What a message is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    Snapshot,
    Update,
    Match,
    /// The latest trade before we subscribed.
    LastMatch,
    Ticker,
    Heartbeat,
    Subscriptions,
    Error,
    #[default]
    Other,
}

impl Kind {
    /// For the counter.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Kind::Snapshot => "snapshot",
            Kind::Update => "l2update",
            Kind::Match => "match",
            Kind::LastMatch => "last_match",
            Kind::Ticker => "ticker",
            Kind::Heartbeat => "heartbeat",
            Kind::Subscriptions => "subscriptions",
            Kind::Error => "error",
            Kind::Other => "other",
        }
    }

    fn named(name: &[u8]) -> Kind {
        match name {
            b"snapshot" => Kind::Snapshot,
            b"l2update" => Kind::Update,
            b"match" => Kind::Match,
            b"last_match" => Kind::LastMatch,
            b"ticker" => Kind::Ticker,
            b"heartbeat" => Kind::Heartbeat,
            b"subscriptions" => Kind::Subscriptions,
            b"error" => Kind::Error,
            _ => Kind::Other,
        }
    }
}

/// One message. Kept and filled again: reading allocates nothing once the list has grown.
#[derive(Debug, Default)]
pub(crate) struct Message {
    pub(crate) kind: Kind,
    pub(crate) product: Option<Span>,
    pub(crate) ts_event: Nanos,
    /// Of a snapshot or update.
    pub(crate) levels: Vec<RawLevel>,
    /// Of a match; `None` also when its numbers do not fit, which `misfits` then says.
    pub(crate) trade: Option<RawTrade>,
    /// Of a ticker.
    pub(crate) day: RawDay,
    /// Of a heartbeat.
    pub(crate) last_trade_id: Option<u64>,
    /// Levels and trades that hold a number of more than 18 digits.
    pub(crate) misfits: u64,
}

/// The fields of a match, as far as they were seen.
#[derive(Default)]
struct Match<'a> {
    id: Option<u64>,
    price: Option<&'a [u8]>,
    size: Option<&'a [u8]>,
    side: Option<&'a [u8]>,
}

impl Message {
    /// Reads a message.
    ///
    /// *Errors:* the first [`Fault`]; `levels` and the rest are not to be used then, but `product`
    /// says whose message it was, if that came before the fault.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let mut levels = std::mem::take(&mut self.levels);
        levels.clear();
        *self = Message { levels, ..Message::default() };
        if self.usual_update(bytes).is_some() {
            return Ok(());
        }
        self.levels.clear();
        let mut found = Match::default();
        let mut kind = None;
        let mut scan = Scan::new(bytes);
        scan.object()?;
        while let Some(key) = scan.key()? {
            match key {
                b"type" => kind = Some(Kind::named(scan.text()?)),
                b"product_id" => self.product = Some(scan.text_span()?),
                b"time" => self.ts_event = time(&mut scan)?,
                b"changes" => self.changes(&mut scan)?,
                b"bids" => self.side(BookSide::Bid, &mut scan)?,
                b"asks" => self.side(BookSide::Ask, &mut scan)?,
                b"trade_id" => found.id = Some(scan.integer()?),
                b"price" => found.price = Some(scan.token()?),
                b"size" => found.size = Some(scan.token()?),
                b"side" => found.side = Some(scan.text()?),
                b"last_trade_id" => self.last_trade_id = Some(scan.integer()?),
                b"open_24h" => self.day.open = statistic(&mut scan)?,
                b"high_24h" => self.day.high = statistic(&mut scan)?,
                b"low_24h" => self.day.low = statistic(&mut scan)?,
                b"volume_24h" => self.day.volume = Wide::parse(scan.token()?),
                _ => scan.skip()?,
            }
        }
        scan.end()?;
        self.kind = kind.ok_or(Fault::Missing)?;
        self.finish(&found)
    }

    /// Reads an update as the venue writes almost all of its messages; `None` when a byte differs.
    #[inline]
    fn usual_update(&mut self, bytes: &[u8]) -> Option<()> {
        let mut scan = Scan::new(bytes);
        scan.literal(b"{\"type\":\"l2update\",\"product_id\":")?;
        let product = scan.text_span().ok()?;
        scan.literal(b",\"changes\":[")?;
        self.levels.push(usual_change(&mut scan)?);
        while scan.literal(b",").is_some() {
            self.levels.push(usual_change(&mut scan)?);
        }
        scan.literal(b"],\"time\":")?;
        let ts_event = time(&mut scan).ok()?;
        scan.literal(b"}")?;
        scan.end().ok()?;
        (self.kind, self.product, self.ts_event) = (Kind::Update, Some(product), ts_event);
        Some(())
    }

    /// Makes sure that the message has what its type must have.
    fn finish(&mut self, found: &Match<'_>) -> Result<(), Fault> {
        match self.kind {
            Kind::Match | Kind::LastMatch => self.trade(found)?,
            Kind::Ticker => self.day.last = found.price.and_then(|t| Decimal::parse(t).ok()),
            Kind::Heartbeat => {
                self.last_trade_id.ok_or(Fault::Missing)?;
            }
            Kind::Snapshot | Kind::Update => {}
            Kind::Subscriptions | Kind::Error | Kind::Other => return Ok(()),
        }
        self.product.map(drop).ok_or(Fault::Missing)
    }

    fn trade(&mut self, found: &Match<'_>) -> Result<(), Fault> {
        let (Some(id), Some(price), Some(size), Some(side)) =
            (found.id, found.price, found.size, found.side)
        else {
            return Err(Fault::Missing);
        };
        let side = aggressor(side)?;
        match (Decimal::parse(price), Decimal::parse(size)) {
            (Ok(price), Ok(size)) => {
                self.trade = Some(RawTrade { id, price, size, side, ts_event: self.ts_event });
            }
            (Err(NumberError::Overflow), _) | (_, Err(NumberError::Overflow)) => self.misfits += 1,
            _ => return Err(Fault::Value),
        }
        Ok(())
    }

    /// Reads `[["buy","1.5","2"],..]`.
    fn changes(&mut self, scan: &mut Scan<'_>) -> Result<(), Fault> {
        scan.array()?;
        while scan.item()? {
            if let Some(level) = usual_change(scan) {
                self.levels.push(level);
                continue;
            }
            scan.array()?;
            if !scan.item()? {
                return Err(Fault::Missing);
            }
            let side = match scan.text()? {
                b"buy" => BookSide::Bid,
                b"sell" => BookSide::Ask,
                _ => return Err(Fault::Value),
            };
            self.level(side, scan)?;
        }
        Ok(())
    }

    /// Reads `[["1.5","2"],..]`.
    fn side(&mut self, side: BookSide, scan: &mut Scan<'_>) -> Result<(), Fault> {
        scan.array()?;
        while scan.item()? {
            scan.array()?;
            self.level(side, scan)?;
        }
        Ok(())
    }

    /// Reads the price, the size and whatever else may come in the list that was entered.
    fn level(&mut self, side: BookSide, scan: &mut Scan<'_>) -> Result<(), Fault> {
        if !scan.item()? {
            return Err(Fault::Missing);
        }
        let price = number(scan)?;
        if !scan.item()? {
            return Err(Fault::Missing);
        }
        let size = number(scan)?;
        while scan.item()? {
            scan.skip()?;
        }
        self.misfits += push_level(&mut self.levels, side, price, size);
        Ok(())
    }
}

/// A change as the venue writes it every time; `None`, with nothing read, when a byte differs.
#[inline]
fn usual_change(scan: &mut Scan<'_>) -> Option<RawLevel> {
    let mut ahead = scan.clone();
    let side = match ahead.literal(b"[\"buy\",") {
        Some(()) => BookSide::Bid,
        None => ahead.literal(b"[\"sell\",").map(|()| BookSide::Ask)?,
    };
    let price = ahead.decimal()?;
    ahead.literal(b",")?;
    let size = ahead.decimal()?;
    ahead.literal(b"]")?;
    *scan = ahead;
    Some(RawLevel { side, price, size })
}
