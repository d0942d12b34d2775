//! What the service says, read from JSON into the few things that a client looks at.
//!
//! Values are compared by hash: of the text's digits and its scale, so that padding counts, too.

use crate::market::Market;
use rustc_hash::FxHasher;
use serde_json::{Map, Value};
use std::hash::{Hash, Hasher};

/// A stream of an instrument; all depths of a book are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    Ticker,
    Trades,
    Book,
    /// By its place in [`INTERVALS`].
    Bars(u8),
}

pub(crate) const INTERVALS: [&str; 4] = ["1s", "1m", "5m", "1h"];

pub(crate) const DEPTHS: [u16; 4] = [10, 25, 100, 500];

pub(crate) const FIELDS: [&str; 10] =
    ["last", "last_size", "bid", "bid_size", "ask", "ask_size", "open", "high", "low", "volume"];

impl Kind {
    pub(crate) const ALL: [Kind; 7] = [
        Kind::Ticker,
        Kind::Trades,
        Kind::Book,
        Kind::Bars(0),
        Kind::Bars(1),
        Kind::Bars(2),
        Kind::Bars(3),
    ];

    pub(crate) fn channel(self) -> &'static str {
        match self {
            Kind::Ticker => "ticker",
            Kind::Trades => "trades",
            Kind::Book => "book",
            Kind::Bars(_) => "bars",
        }
    }
}

/// A decimal number as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Decimal {
    pub(crate) mantissa: i128,
    pub(crate) scale: u8,
}

impl Decimal {
    fn parse(text: &str) -> Result<Decimal, String> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let scale = digits.find('.').map_or(0, |at| digits.len() - at - 1) as u8;
        let mantissa = digits.bytes().filter(|byte| *byte != b'.').try_fold(0i128, |sum, byte| {
            byte.is_ascii_digit().then(|| sum * 10 + i128::from(byte - b'0'))
        });
        let mantissa = mantissa.ok_or_else(|| format!("{text:?} is not a decimal"))?;
        let is_negative = digits.len() < text.len();
        Ok(Decimal { mantissa: if is_negative { -mantissa } else { mantissa }, scale })
    }
}

pub(crate) fn hash_of(value: impl Hash) -> u64 {
    let mut hasher = FxHasher::default();
    value.hash(&mut hasher);
    hasher.finish()
}

/// What is held of one ticker field; 0 is nothing at all.
pub(crate) fn field_hash(field: usize, value: Option<Decimal>) -> u64 {
    hash_of((field, value)) | 1
}

pub(crate) fn level_hash(is_bid: bool, price: Decimal, size: Decimal) -> u64 {
    hash_of((is_bid, price, size))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Level {
    pub(crate) is_bid: bool,
    pub(crate) price: Decimal,
    pub(crate) size: Decimal,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trade {
    pub(crate) seq: u64,
    pub(crate) id: u64,
    pub(crate) price: Decimal,
    pub(crate) size: Decimal,
    pub(crate) is_buy: bool,
    pub(crate) ts_event: i64,
}

#[derive(Debug)]
pub(crate) enum Body {
    Ticker(Vec<(usize, Option<Decimal>)>),
    Book {
        depth: u16,
        levels: Vec<Level>,
        checksum: u64,
    },
    Trades(Vec<Trade>),
    /// Start and hash.
    Bars(Vec<(i64, u64)>),
}

/// One item of a data message.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) instrument: u32,
    pub(crate) kind: Kind,
    pub(crate) epoch: u64,
    /// `None`: a snapshot.
    pub(crate) prev: Option<u64>,
    pub(crate) seq: u64,
    /// In snapshots.
    pub(crate) state: Option<String>,
    pub(crate) ts_publish: i64,
    pub(crate) body: Body,
}

#[derive(Debug)]
pub(crate) struct Status {
    /// `None`: a name that no feed has mentioned yet.
    pub(crate) instrument: Option<u32>,
    pub(crate) name: String,
    pub(crate) epoch: u64,
    pub(crate) seq: u64,
    pub(crate) state: String,
    pub(crate) ts_state: i64,
}

#[derive(Debug)]
pub(crate) enum Message {
    Data(Item),
    Status(Status),
    Welcome,
    Goaway { after_ms: u64 },
    Heartbeat,
    Answer(Value),
}

fn object(value: &Value) -> Result<&Map<String, Value>, String> {
    value.as_object().ok_or_else(|| format!("{value} is not an object"))
}

fn number(item: &Map<String, Value>, key: &str) -> Result<u64, String> {
    item.get(key).and_then(Value::as_u64).ok_or_else(|| format!("no number {key}"))
}

fn text<'a>(item: &'a Map<String, Value>, key: &str) -> Result<&'a str, String> {
    item.get(key).and_then(Value::as_str).ok_or_else(|| format!("no text {key}"))
}

fn list<'a>(item: &'a Map<String, Value>, key: &str) -> Result<&'a [Value], String> {
    item.get(key)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .ok_or_else(|| format!("no list {key}"))
}

fn decimal(item: &Map<String, Value>, key: &str) -> Result<Decimal, String> {
    Decimal::parse(text(item, key)?)
}

impl Message {
    /// Reads a text message.
    pub(crate) fn parse(bytes: &[u8], market: &Market) -> Result<Message, String> {
        let value: Value = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let message = object(&value)?;
        if message.contains_key("method") || message.contains_key("code") {
            return Ok(Message::Answer(value));
        }
        let channel = text(message, "channel")?;
        if channel == "heartbeat" {
            number(message, "ts_publish")?;
            return Ok(Message::Heartbeat);
        }
        let kind = text(message, "type")?;
        let [item] = list(message, "data")? else { return Err("not one item".to_owned()) };
        let item = object(item)?;
        match (channel, kind) {
            ("system", "welcome") => Ok(Message::Welcome),
            ("system", "goaway") => {
                Ok(Message::Goaway { after_ms: number(item, "reconnect_after_ms")? })
            }
            ("status", "snapshot") => Ok(Message::Status(Status {
                name: text(item, "symbol")?.to_owned(),
                instrument: market.find(text(item, "symbol")?),
                epoch: number(item, "epoch")?,
                seq: number(item, "seq")?,
                state: text(item, "state")?.to_owned(),
                ts_state: number(item, "ts_state")? as i64,
            })),
            (_, "snapshot" | "update") => {
                Item::parse(channel, kind == "snapshot", item, market).map(Message::Data)
            }
            _ => Err(format!("{channel} {kind} is unknown")),
        }
    }
}

impl Item {
    pub(crate) fn parse(
        channel: &str,
        is_snapshot: bool,
        item: &Map<String, Value>,
        market: &Market,
    ) -> Result<Item, String> {
        let (kind, body) = match channel {
            "ticker" => (Kind::Ticker, ticker(item)?),
            "trades" => (Kind::Trades, trades(item)?),
            "book" => (Kind::Book, book(item)?),
            "bars" => {
                let interval = text(item, "interval")?;
                let at = INTERVALS.iter().position(|known| *known == interval);
                (Kind::Bars(at.ok_or("an unknown interval")? as u8), bars(item)?)
            }
            _ => return Err(format!("{channel} is no channel")),
        };
        let prev = item.get("prev").map(|_| number(item, "prev")).transpose()?;
        if prev.is_some() == is_snapshot {
            return Err("an update has prev, a snapshot has none".to_owned());
        }
        let state = item.get("state").and_then(Value::as_str).map(str::to_owned);
        if state.is_some() != is_snapshot {
            return Err("a snapshot has its state, an update has none".to_owned());
        }
        let symbol = text(item, "symbol")?;
        Ok(Item {
            instrument: market.find(symbol).ok_or_else(|| format!("{symbol} is unknown"))?,
            kind,
            epoch: number(item, "epoch")?,
            prev,
            seq: number(item, "seq")?,
            state,
            ts_publish: number(item, "ts_publish")? as i64,
            body,
        })
    }
}

fn ticker(item: &Map<String, Value>) -> Result<Body, String> {
    let mut fields = Vec::new();
    for (at, name) in FIELDS.iter().enumerate() {
        match item.get(*name) {
            None => {}
            Some(Value::Null) => fields.push((at, None)),
            Some(_) => fields.push((at, Some(decimal(item, name)?))),
        }
    }
    number(item, "ts_event")?;
    Ok(Body::Ticker(fields))
}

fn book(item: &Map<String, Value>) -> Result<Body, String> {
    let mut levels = Vec::new();
    for (side, is_bid) in [("bids", true), ("asks", false)] {
        for level in list(item, side)? {
            let pair = level.as_array().and_then(|pair| Some((pair.first()?, pair.get(1)?)));
            let (Some(price), Some(size)) =
                pair.map_or((None, None), |(price, size)| (price.as_str(), size.as_str()))
            else {
                return Err(format!("{level} is no level"));
            };
            levels.push(Level {
                is_bid,
                price: Decimal::parse(price)?,
                size: Decimal::parse(size)?,
            });
        }
    }
    let checksum = number(item, "checksum")?;
    Ok(Body::Book { depth: number(item, "depth")? as u16, levels, checksum })
}

fn trades(item: &Map<String, Value>) -> Result<Body, String> {
    let trade = |trade: &Value| {
        let trade = object(trade)?;
        Ok(Trade {
            seq: number(trade, "seq")?,
            id: text(trade, "id")?.parse().map_err(|_| "an id is no number")?,
            price: decimal(trade, "price")?,
            size: decimal(trade, "size")?,
            is_buy: text(trade, "side")? == "buy",
            ts_event: number(trade, "ts_event")? as i64,
        })
    };
    list(item, "trades")?.iter().map(trade).collect::<Result<_, String>>().map(Body::Trades)
}

fn bars(item: &Map<String, Value>) -> Result<Body, String> {
    let bar = |bar: &Value| {
        let bar = object(bar)?;
        let mut hasher = FxHasher::default();
        for key in ["open", "high", "low", "close", "volume"] {
            decimal(bar, key)?.hash(&mut hasher);
        }
        number(bar, "trades")?.hash(&mut hasher);
        bar.get("closed").and_then(Value::as_bool).ok_or("no closed")?.hash(&mut hasher);
        let start = number(bar, "start")? as i64;
        start.hash(&mut hasher);
        Ok((start, hasher.finish()))
    };
    list(item, "bars")?.iter().map(bar).collect::<Result<_, String>>().map(Body::Bars)
}
