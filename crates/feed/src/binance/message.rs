//! What a Binance message says, read from any order of fields: the general reader behind
//! `fast`. Uses `simd-json`'s tape; decides nothing about sequence or state.

use crate::binance::book::DepthIds;
use crate::binance::number::{Fault, Numbers, Stop};
use crate::binance::symbols::{Symbols, TradeKind};
use crate::handler::Io;
use simd_json::prelude::{ValueAsScalar, ValueIntoString, ValueObjectAccessAsScalar};
use simd_json::tape::{Array, Value};
use tickcast_market::{
    BookChange, BookSide, DayStats, Nanos, Price, Quote, Scales, Side, Size, Trade,
};

/// A message in our own terms; `symbol` is a number in [`Symbols`].
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Message {
    /// `@bookTicker`, with its update id.
    Quote { symbol: usize, id: u64, quote: Quote },
    /// `@trade` or `@aggTrade`.
    Trade { symbol: usize, kind: TradeKind, trade: Trade },
    /// `@depth`; its levels are in the buffer that the reader was given.
    Depth { symbol: usize, ids: DepthIds, ts_event: Nanos },
    /// `@ticker`.
    Day { symbol: usize, ts_event: Nanos, stats: DayStats },
    /// A request was granted.
    Ack,
    /// A request was refused: why, in words.
    Refused(String),
    /// The venue will close this connection soon.
    Shutdown,
    /// Something that is not used here.
    Ignored(&'static str),
}

/// A time in the venue's milliseconds, or microseconds where the URL asked for them.
pub(crate) fn venue_time(number: u64) -> Nanos {
    /// In milliseconds the year 5138; in microseconds 1973.
    const MILLIS_MAX: u64 = 100_000_000_000_000;
    let number_or_max = i64::try_from(number).unwrap_or(i64::MAX);
    if number < MILLIS_MAX {
        Nanos::from_millis(number_or_max)
    } else {
        Nanos::from_micros(number_or_max)
    }
}

/// Reads a message of any shape. `may_add` says whether a symbol that was not asked for is made
/// known, as in a replay.
///
/// *Errors:* what is missing, of the wrong type, not a number, or an unknown symbol.
pub(crate) fn read(
    value: Value<'_, '_>,
    symbols: &mut Symbols,
    may_add: bool,
    levels: &mut Vec<BookChange>,
    io: &mut Io<'_>,
) -> Result<Message, Fault> {
    if value.as_array().is_some() {
        return Ok(Message::Ignored("other"));
    }
    if value.as_object().is_none() {
        return Err(Fault { reason: "shape", text: "the message is no object".into() });
    }
    let data = match value.get("data") {
        Some(data) if value.get_str("stream").is_some() => data,
        _ => value,
    };
    let kind = data.get_str("e");
    if kind == Some("serverShutdown") || value.get_str("stream") == Some("!serverShutdown") {
        return Ok(Message::Shutdown);
    }
    let is_quote = kind.is_none() && data.get("u").is_some() && data.get("B").is_some();
    let kind = match kind {
        Some(kind @ ("trade" | "aggTrade" | "depthUpdate" | "24hrTicker")) => kind,
        Some("kline") => return Ok(Message::Ignored("kline")),
        Some(_) => return Ok(Message::Ignored("other")),
        None if is_quote => "bookTicker",
        None => return Ok(answer(value)),
    };
    let name = data.get_str("s").ok_or_else(|| Fault::shape("s"))?;
    let symbol = match symbols.find(name.as_bytes()) {
        Some(symbol) => symbol,
        None => may_add.then(|| symbols.find_or_add(name, io)).flatten().ok_or_else(|| {
            let name: String = name.chars().take(60).collect();
            Fault { reason: "symbol", text: format!("field \"s\": {name:?} was not asked for") }
        })?,
    };
    let scales = &mut symbols.get_mut(symbol).scales;
    match kind {
        "bookTicker" => read_quote(data, symbol, scales),
        "trade" => read_trade(data, symbol, TradeKind::Single, scales),
        "aggTrade" => read_trade(data, symbol, TradeKind::Aggregate, scales),
        "depthUpdate" => read_depth(data, symbol, scales, levels),
        _ => read_day(data, symbol, scales),
    }
}

/// An answer to a request of ours, or something without a name.
fn answer(value: Value<'_, '_>) -> Message {
    let error = value.get("error").filter(|error| error.as_object().is_some()).unwrap_or(value);
    if let (Some(code), message) = (error.get("code"), error.get_str("msg").unwrap_or("")) {
        let code = code.as_i64().map_or_else(|| "?".to_string(), |code| code.to_string());
        let message: String = message.chars().take(200).collect();
        let id = value.get_i64("id").map(|id| format!(" (request {id})")).unwrap_or_default();
        return Message::Refused(format!("error {code}: {message}{id}"));
    }
    if value.get("result").is_some() || value.get("id").is_some() {
        return Message::Ack;
    }
    Message::Ignored("other")
}

fn whole(data: Value<'_, '_>, field: &'static str) -> Result<u64, Fault> {
    data.get_u64(field).ok_or_else(|| Fault::shape(field))
}

fn text<'input>(data: Value<'_, 'input>, field: &'static str) -> Result<&'input str, Fault> {
    data.get(field).and_then(ValueIntoString::into_string).ok_or_else(|| Fault::shape(field))
}

fn read_quote(data: Value<'_, '_>, symbol: usize, scales: &mut Scales) -> Result<Message, Fault> {
    let id = whole(data, "u")?;
    let quote = Numbers::read(scales, |numbers| {
        let mut side = |price, size| -> Result<Option<(Price, Size)>, Stop> {
            let level =
                (numbers.price(price, text(data, price)?)?, numbers.size(size, text(data, size)?)?);
            Ok((level.1.0 > 0).then_some(level))
        };
        Ok(Quote { bid: side("b", "B")?, ask: side("a", "A")? })
    })?;
    Ok(Message::Quote { symbol, id, quote })
}

fn read_trade(
    data: Value<'_, '_>,
    symbol: usize,
    kind: TradeKind,
    scales: &mut Scales,
) -> Result<Message, Fault> {
    let id = whole(data, if kind == TradeKind::Single { "t" } else { "a" })?;
    let ts_event = venue_time(whole(data, "T")?);
    let buyer_is_maker = data.get_bool("m").ok_or_else(|| Fault::shape("m"))?;
    let (price, size) = Numbers::read(scales, |numbers| {
        Ok((numbers.price("p", text(data, "p")?)?, numbers.size("q", text(data, "q")?)?))
    })?;
    let side = if buyer_is_maker { Side::Sell } else { Side::Buy };
    Ok(Message::Trade { symbol, kind, trade: Trade { id, price, size, side, ts_event } })
}

fn read_depth(
    data: Value<'_, '_>,
    symbol: usize,
    scales: &mut Scales,
    levels: &mut Vec<BookChange>,
) -> Result<Message, Fault> {
    let ids = DepthIds { first: whole(data, "U")?, last: whole(data, "u")? };
    if ids.first > ids.last {
        let text = format!("field \"U\": {} is above \"u\": {}", ids.first, ids.last);
        return Err(Fault { reason: "shape", text });
    }
    let ts_event = venue_time(whole(data, "E")?);
    read_levels(data, ["b", "a"], scales, levels)?;
    Ok(Message::Depth { symbol, ids, ts_event })
}

/// Reads two arrays of `["price","size"]`, bids and asks, into `levels`.
pub(crate) fn read_levels(
    data: Value<'_, '_>,
    fields: [&'static str; 2],
    scales: &mut Scales,
    levels: &mut Vec<BookChange>,
) -> Result<(), Fault> {
    let array = |field| {
        data.get(field).and_then(|value| value.as_array()).ok_or_else(|| Fault::shape(field))
    };
    let sides = [
        (BookSide::Bid, fields[0], array(fields[0])?),
        (BookSide::Ask, fields[1], array(fields[1])?),
    ];
    Numbers::read(scales, |numbers| {
        levels.clear();
        for (side, field, array) in &sides {
            read_side(*side, field, array, numbers, levels)?;
        }
        Ok(())
    })
}

fn read_side(
    side: BookSide,
    field: &'static str,
    array: &Array<'_, '_>,
    numbers: &mut Numbers,
    levels: &mut Vec<BookChange>,
) -> Result<(), Stop> {
    for pair in array.iter() {
        let mut items = pair.as_array().ok_or_else(|| Fault::shape(field))?.iter();
        let mut item = || {
            items.next().and_then(ValueIntoString::into_string).ok_or_else(|| Fault::shape(field))
        };
        let price = numbers.price(field, item()?)?;
        let size = numbers.size(field, item()?)?;
        levels.push(BookChange { side, price, size });
    }
    Ok(())
}

fn read_day(data: Value<'_, '_>, symbol: usize, scales: &mut Scales) -> Result<Message, Fault> {
    let ts_event = venue_time(whole(data, "E")?);
    let stats = Numbers::read(scales, |numbers| {
        let mut price = |field| numbers.price(field, text(data, field)?).map(Some);
        let (open, high, low, last) = (price("o")?, price("h")?, price("l")?, price("c")?);
        let volume = Some(numbers.volume("v", text(data, "v")?)?);
        Ok(DayStats { open, high, low, volume, last })
    })?;
    Ok(Message::Day { symbol, ts_event, stats })
}
