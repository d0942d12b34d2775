//! The messages of `proto/tickcast/feed/v1.proto` as a publisher has them, field by field, and the
//! same events as lines of JSON. A second opinion: the service reads them with code of its own.

// Each test binary uses its own part of this.
#![allow(dead_code)]

use std::fmt::Write;

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Message {
    #[prost(message, repeated, tag = "1")]
    pub(crate) events: Vec<Event>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Event {
    #[prost(string, tag = "1")]
    pub(crate) venue: String,
    #[prost(string, tag = "2")]
    pub(crate) symbol: String,
    #[prost(uint64, tag = "3")]
    pub(crate) seq: u64,
    #[prost(int64, tag = "4")]
    pub(crate) ts_event: i64,
    #[prost(message, optional, tag = "5")]
    pub(crate) instrument: Option<Instrument>,
    #[prost(oneof = "Body", tags = "10, 11, 12, 13, 14, 15")]
    pub(crate) body: Option<Body>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Instrument {
    #[prost(uint32, tag = "1")]
    pub(crate) price_scale: u32,
    #[prost(uint32, tag = "2")]
    pub(crate) size_scale: u32,
    #[prost(string, tag = "3")]
    pub(crate) tick_size: String,
    #[prost(string, tag = "4")]
    pub(crate) lot_size: String,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum Body {
    #[prost(message, tag = "10")]
    Trades(Trades),
    #[prost(message, tag = "11")]
    Quote(Quote),
    #[prost(message, tag = "12")]
    BookSnapshot(Book),
    #[prost(message, tag = "13")]
    BookChanges(Book),
    #[prost(enumeration = "Status", tag = "14")]
    Status(i32),
    #[prost(message, tag = "15")]
    Heartbeat(Heartbeat),
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Trades {
    #[prost(message, repeated, tag = "1")]
    pub(crate) trades: Vec<Trade>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct Trade {
    #[prost(uint64, tag = "1")]
    pub(crate) id: u64,
    #[prost(sint64, tag = "2")]
    pub(crate) price: i64,
    #[prost(sint64, tag = "3")]
    pub(crate) size: i64,
    #[prost(enumeration = "Side", tag = "4")]
    pub(crate) side: i32,
    #[prost(int64, tag = "5")]
    pub(crate) ts_event: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub(crate) enum Side {
    Unspecified = 0,
    Buy = 1,
    Sell = 2,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct Quote {
    #[prost(message, optional, tag = "1")]
    pub(crate) bid: Option<Level>,
    #[prost(message, optional, tag = "2")]
    pub(crate) ask: Option<Level>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Book {
    #[prost(message, repeated, tag = "1")]
    pub(crate) bids: Vec<Level>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) asks: Vec<Level>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct Level {
    #[prost(sint64, tag = "1")]
    pub(crate) price: i64,
    #[prost(sint64, tag = "2")]
    pub(crate) size: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub(crate) enum Status {
    Unspecified = 0,
    Live = 1,
    Halted = 2,
    Closed = 3,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct Heartbeat {}

/// Levels of a side.
pub(crate) fn levels(levels: &[(i64, i64)]) -> Vec<Level> {
    levels.iter().map(|(price, size)| Level { price: *price, size: *size }).collect()
}

/// Digits behind the point of prices and of sizes.
pub(crate) type Scales = (u32, u32);

/// The same event as a line of JSON.
pub(crate) fn line(event: &Event, scales: Scales) -> String {
    let mut out = String::from("{");
    if !event.venue.is_empty() {
        let _ = write!(out, r#""venue":"{}","#, event.venue);
    }
    let _ = write!(out, r#""symbol":"{}","seq":{}"#, event.symbol, event.seq);
    let _ = write!(out, r#","ts_event":{}"#, event.ts_event);
    if let Some(it) = &event.instrument {
        let (price, size) = (it.price_scale, it.size_scale);
        let _ = write!(out, r#","instrument":{{"price_scale":{price},"size_scale":{size}"#);
        for (name, text) in [("tick_size", &it.tick_size), ("lot_size", &it.lot_size)] {
            if !text.is_empty() {
                let _ = write!(out, r#","{name}":"{text}""#);
            }
        }
        out.push('}');
    }
    match &event.body {
        None => {}
        Some(Body::Trades(Trades { trades })) => {
            let trade = |trade: &Trade| {
                let side = if trade.side == Side::Buy as i32 { "buy" } else { "sell" };
                let (price, size) = (decimal(trade.price, scales.0), decimal(trade.size, scales.1));
                let (id, ts_event) = (trade.id, trade.ts_event);
                format!(
                    r#"{{"id":"{id}","price":"{price}","size":"{size}","side":"{side}","ts_event":{ts_event}}}"#
                )
            };
            let all: Vec<_> = trades.iter().map(trade).collect();
            let _ = write!(out, r#","trades":[{}]"#, all.join(","));
        }
        Some(Body::Quote(quote)) => {
            let side = |side: Option<Level>| side.map_or("null".into(), |side| pair(side, scales));
            let (bid, ask) = (side(quote.bid), side(quote.ask));
            let _ = write!(out, r#","quote":{{"bid":{bid},"ask":{ask}}}"#);
        }
        Some(Body::BookSnapshot(book)) => {
            let _ = write!(out, r#","book_snapshot":{}"#, sides(book, scales));
        }
        Some(Body::BookChanges(book)) => {
            let _ = write!(out, r#","book_changes":{}"#, sides(book, scales));
        }
        Some(Body::Status(status)) => {
            let name = ["", "live", "halted", "closed"][*status as usize];
            let _ = write!(out, r#","status":"{name}""#);
        }
        Some(Body::Heartbeat(Heartbeat {})) => out.push_str(r#","heartbeat":{}"#),
    }
    out.push('}');
    out
}

fn sides(book: &Book, scales: Scales) -> String {
    let side = |levels: &[Level]| {
        let all: Vec<_> = levels.iter().map(|level| pair(*level, scales)).collect();
        all.join(",")
    };
    format!(r#"{{"bids":[{}],"asks":[{}]}}"#, side(&book.bids), side(&book.asks))
}

fn pair(level: Level, scales: Scales) -> String {
    format!(r#"["{}","{}"]"#, decimal(level.price, scales.0), decimal(level.size, scales.1))
}

fn decimal(mantissa: i64, scale: u32) -> String {
    let (sign, digits) = (if mantissa < 0 { "-" } else { "" }, mantissa.unsigned_abs());
    let padded = format!("{digits:0>width$}", width = scale as usize + 1);
    let (whole, fraction) = padded.split_at(padded.len() - scale as usize);
    if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}
