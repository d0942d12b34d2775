//! From an event's numbers as they were written to the market's: all of them at the instrument's
//! scales, or none.

use crate::nats::event::{
    Declared, Lists, Number, Reason, Refusal, Written, WrittenLevel, refused,
};
use crate::nats::{SYMBOL_BYTES_MAX, VENUE_BYTES_MAX};
use crate::roster::faults::excerpt;
use tickcast_market::{
    BookChange, BookSide, Decimal, Nanos, NumberError, Price, Quote, SCALE_MAX, Scales, Size, Trade,
};

/// How far an event may lie ahead of our clock.
const AHEAD_MAX: Nanos = Nanos::from_secs(24 * 60 * 60);

/// The judged levels and trades of one event; they grow to the usual size once.
#[derive(Debug, Default)]
pub(crate) struct Judged {
    pub(crate) changes: Vec<BookChange>,
    pub(crate) trades: Vec<Trade>,
}

/// Where levels stand, and what a size of 0 means there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Levels {
    Whole,
    Changes,
}

/// Writes the instrument's symbol, `venue.SYMBOL` or `SYMBOL`, into `name`.
pub(crate) fn name(written: &Written<'_>, name: &mut Vec<u8>) -> Result<(), Refusal> {
    let is_venue = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(b);
    if written.venue.len() > VENUE_BYTES_MAX || !written.venue.iter().all(is_venue) {
        return Err(refused(Reason::Symbol, "venue", &excerpt(written.venue)));
    }
    let is_symbol = |b: &u8| b.is_ascii_graphic() && !b"\"'\\,:*".contains(b);
    if written.symbol.is_empty() {
        return Err(refused(Reason::Missing, "symbol", ""));
    }
    if written.symbol.len() > SYMBOL_BYTES_MAX || !written.symbol.iter().all(is_symbol) {
        return Err(refused(Reason::Symbol, "symbol", &excerpt(written.symbol)));
    }
    name.clear();
    name.extend_from_slice(written.venue);
    if !written.venue.is_empty() {
        name.push(b'.');
    }
    name.extend_from_slice(written.symbol);
    Ok(())
}

/// What an instrument's numbers are read by, as its latest declaration says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) scales: Scales,
    /// What prices of quotes and books are multiples of, at the scale of prices; none was said.
    tick_size: Option<i64>,
}

/// What a declaration asks for.
pub(crate) fn terms(declared: &Declared, before: Option<Scales>) -> Result<Terms, Refusal> {
    let Declared { price_scale, size_scale, tick_size, lot_size } = *declared;
    let price = scale(price_scale, "instrument.price_scale", before.map(|scales| scales.price))?;
    let size = scale(size_scale, "instrument.size_scale", before.map(|scales| scales.size))?;
    let tick_size = increment(tick_size, price, "instrument.tick_size")?;
    // Nothing is held against a lot size: odd lots are real.
    increment(lot_size, size, "instrument.lot_size")?;
    Ok(Terms { scales: Scales { price, size, volume: size }, tick_size })
}

fn scale(scale: u64, field: &'static str, before: Option<u8>) -> Result<u8, Refusal> {
    let wrong = |text: &str| refused(Reason::Scale, field, text);
    let fitting = u8::try_from(scale).ok().filter(|scale| *scale <= SCALE_MAX);
    let Some(scale) = fitting else {
        return Err(wrong(&format!("{scale} is above {SCALE_MAX}")));
    };
    match before {
        Some(before) if scale < before => {
            Err(wrong(&format!("{scale} is less than {before}, which was declared before")))
        }
        _ => Ok(scale),
    }
}

/// A smallest increment at the scale of what it is the increment of.
fn increment(
    written: Option<Decimal>,
    scale: u8,
    field: &'static str,
) -> Result<Option<i64>, Refusal> {
    let Some(written) = written else { return Ok(None) };
    match number(Number::Decimal(written), scale, field)? {
        0 => Err(refused(Reason::Value, field, &written.to_string())),
        mantissa => Ok(Some(mantissa)),
    }
}

/// When it happened; our own time where it is not said.
pub(crate) fn time(micros: i64, now: Nanos, field: &'static str) -> Result<Nanos, Refusal> {
    let wrong = |reason| refused(reason, field, &micros.to_string());
    if micros == 0 {
        return Ok(now);
    }
    if micros < 0 {
        return Err(wrong(Reason::Negative));
    }
    let nanos = micros.checked_mul(1000).ok_or_else(|| wrong(Reason::Misfit))?;
    if nanos > now.plus(AHEAD_MAX).0 {
        return Err(refused(Reason::Value, field, &format!("{micros} is more than a day ahead")));
    }
    Ok(Nanos(nanos))
}

fn number(number: Number, scale: u8, field: &'static str) -> Result<i64, Refusal> {
    let wrong = |reason| refused(reason, field, &number.shown(scale));
    match number.at(scale) {
        Ok(mantissa) if mantissa < 0 => Err(wrong(Reason::Negative)),
        Ok(mantissa) => Ok(mantissa),
        Err(NumberError::Finer) => {
            let text = format!("{} has more than {scale} decimals", number.shown(scale));
            Err(refused(Reason::Scale, field, &text))
        }
        Err(_) => Err(wrong(Reason::Misfit)),
    }
}

/// A price at which orders may stand. (Trades may lie between: at a midpoint, or agreed on.)
fn price(written: Number, terms: Terms, field: &'static str) -> Result<Price, Refusal> {
    let scale = terms.scales.price;
    let mantissa = number(written, scale, field)?;
    match terms.tick_size {
        Some(tick_size) if mantissa % tick_size != 0 => {
            let tick_size = Number::Mantissa(tick_size).shown(scale);
            let text = format!("{} is no multiple of {tick_size}", written.shown(scale));
            Err(refused(Reason::TickSize, field, &text))
        }
        _ => Ok(Price(mantissa)),
    }
}

/// A size that must be one.
fn size(size: Number, scale: u8, field: &'static str) -> Result<Size, Refusal> {
    match number(size, scale, field)? {
        0 => Err(refused(Reason::Value, field, "0")),
        mantissa => Ok(Size(mantissa)),
    }
}

/// Judges levels of a book.
pub(crate) fn levels(
    lists: &Lists,
    kind: Levels,
    terms: Terms,
    judged: &mut Judged,
) -> Result<(), Refusal> {
    let (price_field, size_field) = match kind {
        Levels::Whole => ("book_snapshot.price", "book_snapshot.size"),
        Levels::Changes => ("book_changes.price", "book_changes.size"),
    };
    let scales = terms.scales;
    judged.changes.clear();
    let (mut bid, mut ask) = (None, None);
    for WrittenLevel { side, price: written, size: total } in &lists.levels {
        let price = price(*written, terms, price_field)?;
        let size = match kind {
            Levels::Whole => size(*total, scales.size, size_field)?,
            Levels::Changes => Size(number(*total, scales.size, size_field)?),
        };
        match side {
            BookSide::Bid => bid = bid.max(Some(price)),
            BookSide::Ask => ask = Some(ask.map_or(price, |ask: Price| ask.min(price))),
        }
        judged.changes.push(BookChange { side: *side, price, size });
    }
    match (kind, bid, ask) {
        (Levels::Whole, Some(bid), Some(ask)) if bid > ask => {
            Err(crossed("book_snapshot", bid, ask, scales))
        }
        _ => Ok(()),
    }
}

/// Judges a quote.
pub(crate) fn quote(lists: &Lists, terms: Terms) -> Result<Quote, Refusal> {
    let scales = terms.scales;
    let mut quote = Quote::default();
    for WrittenLevel { side, price: written, size: total } in &lists.levels {
        let (of, field) = match side {
            BookSide::Bid => (&mut quote.bid, "quote.bid"),
            BookSide::Ask => (&mut quote.ask, "quote.ask"),
        };
        let price = price(*written, terms, field)?;
        let total = size(*total, scales.size, field)?;
        if of.replace((price, total)).is_some() {
            return Err(refused(Reason::Value, field, "twice in one quote"));
        }
    }
    match (quote.bid, quote.ask) {
        (Some((bid, _)), Some((ask, _))) if bid > ask => Err(crossed("quote", bid, ask, scales)),
        _ => Ok(quote),
    }
}

/// Judges trades.
pub(crate) fn trades(
    lists: &Lists,
    ts_event: Nanos,
    now: Nanos,
    scales: Scales,
    judged: &mut Judged,
) -> Result<(), Refusal> {
    judged.trades.clear();
    if lists.trades.is_empty() {
        return Err(refused(Reason::Missing, "trades", "none"));
    }
    for written in &lists.trades {
        let price = Price(number(written.price, scales.price, "trades.price")?);
        let size = size(written.size, scales.size, "trades.size")?;
        let ts_event = match written.ts_event {
            0 => ts_event,
            micros => time(micros, now, "trades.ts_event")?,
        };
        let (id, side) = (written.id, written.side);
        judged.trades.push(Trade { id, price, size, side, ts_event });
    }
    Ok(())
}

fn crossed(field: &'static str, bid: Price, ask: Price, scales: Scales) -> Refusal {
    let shown = |price: Price| Number::Mantissa(price.0).shown(scales.price);
    let text = format!("bid {} is above ask {}", shown(bid), shown(ask));
    refused(Reason::Crossed, field, &text)
}
