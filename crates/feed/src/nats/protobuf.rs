//! Reads the messages of `proto/tickcast/feed/v1.proto` where they lie: nothing is copied but the
//! numbers, nothing is allocated once the lists have grown.

use crate::nats::EVENTS_MAX;
use crate::nats::event::{
    Body, Declared, Lists, Number, Reason, Refusal, Written, WrittenLevel, WrittenTrade, refused,
};
use crate::roster::faults::excerpt;
use tickcast_market::{BookSide, Decimal, Side, TradingState};

/// Bytes of an event that are shown where it cannot be named.
const EVENT_SHOWN_BYTES: usize = 40;

/// The events of a message, whole as far as the outermost layer can tell.
///
/// *Errors:* bytes that are no fields, or too many events; then nothing of it may be used.
pub(crate) fn events(bytes: &[u8]) -> Result<impl Iterator<Item = &[u8]>, Refusal> {
    let (mut fields, mut count) = (Fields { rest: bytes, of: "message" }, 0);
    while let Some((number, value)) = fields.next()? {
        if number == 1 {
            value.bytes("events")?;
            count += 1;
        }
    }
    if count == 0 {
        // An Event that was published without its Message looks like this.
        return Err(refused(Reason::Missing, "events", "no event in this Message"));
    }
    if count > EVENTS_MAX {
        let most = format!("{count} of them, {EVENTS_MAX} at most");
        return Err(refused(Reason::TooMany, "events", &most));
    }
    let mut fields = Fields { rest: bytes, of: "message" };
    // Every field was read once above; it cannot fail now.
    let next = move || fields.next().ok().flatten();
    Ok(std::iter::from_fn(next).filter_map(|(number, value)| match value {
        Value::Bytes(event) if number == 1 => Some(event),
        _ => None,
    }))
}

/// Reads one event into `written` and `lists`; what was read before an error stays there.
pub(crate) fn read<'a>(
    bytes: &'a [u8],
    written: &mut Written<'a>,
    lists: &mut Lists,
) -> Result<(), Refusal> {
    event(bytes, written, lists).map_err(|mut refusal| {
        // Nothing else would lead to the place: it may be an Event that was published without its
        // Message, and then its venue is read as if it were one.
        if written.symbol.is_empty() {
            let start = excerpt(&bytes[..bytes.len().min(EVENT_SHOWN_BYTES)]);
            refusal.value = format!("{}, in an event that begins with {start}", refusal.value);
        }
        refusal
    })
}

fn event<'a>(bytes: &'a [u8], written: &mut Written<'a>, lists: &mut Lists) -> Result<(), Refusal> {
    let mut fields = Fields { rest: bytes, of: "event" };
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => written.venue = value.bytes("venue")?,
            2 => written.symbol = value.bytes("symbol")?,
            3 => written.seq = value.varint("seq")?,
            4 => written.ts_event = value.varint("ts_event")? as i64,
            5 => written.declared = Some(instrument(value.bytes("instrument")?)?),
            10 => {
                written.begin(Body::Trades)?;
                trades(value.bytes("trades")?, lists)?;
            }
            11 => {
                written.begin(Body::Quote)?;
                quote(value.bytes("quote")?, lists)?;
            }
            12 => {
                written.begin(Body::BookSnapshot)?;
                book(value.bytes("book_snapshot")?, "book_snapshot", lists)?;
            }
            13 => {
                written.begin(Body::BookChanges)?;
                book(value.bytes("book_changes")?, "book_changes", lists)?;
            }
            14 => {
                written.begin(Body::Status)?;
                written.status = match value.varint("status")? {
                    1 => TradingState::Live,
                    2 => TradingState::Halted,
                    3 => TradingState::Closed,
                    other => return Err(refused(Reason::Value, "status", &other.to_string())),
                };
            }
            15 => {
                written.begin(Body::Heartbeat)?;
                value.bytes("heartbeat")?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn instrument(bytes: &[u8]) -> Result<Declared, Refusal> {
    let (mut declared, mut fields) =
        (Declared::default(), Fields { rest: bytes, of: "instrument" });
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => declared.price_scale = value.varint("instrument.price_scale")?,
            2 => declared.size_scale = value.varint("instrument.size_scale")?,
            3 => declared.tick_size = increment(value, "instrument.tick_size")?,
            4 => declared.lot_size = increment(value, "instrument.lot_size")?,
            _ => {}
        }
    }
    Ok(declared)
}

fn increment(value: Value<'_>, field: &'static str) -> Result<Option<Decimal>, Refusal> {
    let text = value.bytes(field)?;
    if text.is_empty() {
        return Ok(None);
    }
    let number = Decimal::parse(text);
    number.map(Some).map_err(|_| refused(Reason::Value, field, &String::from_utf8_lossy(text)))
}

fn trades(bytes: &[u8], lists: &mut Lists) -> Result<(), Refusal> {
    let mut fields = Fields { rest: bytes, of: "trades" };
    while let Some((number, value)) = fields.next()? {
        if number == 1 {
            lists.trade(trade(value.bytes("trades")?)?)?;
        }
    }
    Ok(())
}

fn trade(bytes: &[u8]) -> Result<WrittenTrade, Refusal> {
    let (mut id, mut price, mut size, mut side, mut ts_event) = (0, 0, 0, 0, 0);
    let mut fields = Fields { rest: bytes, of: "trades" };
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => id = value.varint("trades.id")?,
            2 => price = value.signed("trades.price")?,
            3 => size = value.signed("trades.size")?,
            4 => side = value.varint("trades.side")?,
            5 => ts_event = value.varint("trades.ts_event")? as i64,
            _ => {}
        }
    }
    let side = match side {
        1 => Side::Buy,
        2 => Side::Sell,
        0 => return Err(refused(Reason::Missing, "trades.side", "")),
        other => return Err(refused(Reason::Value, "trades.side", &other.to_string())),
    };
    let (price, size) = (Number::Mantissa(price), Number::Mantissa(size));
    Ok(WrittenTrade { id, price, size, side, ts_event })
}

fn quote(bytes: &[u8], lists: &mut Lists) -> Result<(), Refusal> {
    let mut fields = Fields { rest: bytes, of: "quote" };
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => lists.level(level(value.bytes("quote.bid")?, BookSide::Bid)?, "quote")?,
            2 => lists.level(level(value.bytes("quote.ask")?, BookSide::Ask)?, "quote")?,
            _ => {}
        }
    }
    Ok(())
}

fn book(bytes: &[u8], name: &'static str, lists: &mut Lists) -> Result<(), Refusal> {
    let mut fields = Fields { rest: bytes, of: name };
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => lists.level(level(value.bytes("bids")?, BookSide::Bid)?, name)?,
            2 => lists.level(level(value.bytes("asks")?, BookSide::Ask)?, name)?,
            _ => {}
        }
    }
    Ok(())
}

fn level(bytes: &[u8], side: BookSide) -> Result<WrittenLevel, Refusal> {
    let (mut price, mut size) = (0, 0);
    let mut fields = Fields { rest: bytes, of: "level" };
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => price = value.signed("price")?,
            2 => size = value.signed("size")?,
            _ => {}
        }
    }
    Ok(WrittenLevel { side, price: Number::Mantissa(price), size: Number::Mantissa(size) })
}

/// A field's value.
#[derive(Clone, Copy, Debug)]
enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    /// Four or eight bytes: nothing of ours.
    Fixed,
}

impl<'a> Value<'a> {
    fn varint(self, field: &'static str) -> Result<u64, Refusal> {
        match self {
            Value::Varint(number) => Ok(number),
            _ => Err(refused(Reason::Value, field, "not a varint")),
        }
    }

    /// Zigzag.
    fn signed(self, field: &'static str) -> Result<i64, Refusal> {
        self.varint(field).map(|number| (number >> 1) as i64 ^ -((number & 1) as i64))
    }

    fn bytes(self, field: &'static str) -> Result<&'a [u8], Refusal> {
        match self {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(refused(Reason::Value, field, "not of a length of its own")),
        }
    }
}

/// The fields of one message, in order.
#[derive(Clone, Debug)]
struct Fields<'a> {
    rest: &'a [u8],
    of: &'static str,
}

impl<'a> Fields<'a> {
    fn next(&mut self) -> Result<Option<(u64, Value<'a>)>, Refusal> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            other => return Err(self.broken(&format!("wire type {other}"))),
        };
        match key >> 3 {
            0 => Err(self.broken("field number 0")),
            number => Ok(Some((number, value))),
        }
    }

    fn varint(&mut self) -> Result<u64, Refusal> {
        let mut number = 0u64;
        for (at, byte) in self.rest.iter().enumerate().take(10) {
            let part = u64::from(byte & 0x7f);
            if at == 9 && part > 1 {
                break;
            }
            number |= part << (7 * at);
            if byte & 0x80 == 0 {
                self.rest = &self.rest[at + 1..];
                return Ok(number);
            }
        }
        Err(self.broken("a varint without an end"))
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], Refusal> {
        let split = usize::try_from(length).ok().and_then(|at| self.rest.split_at_checked(at));
        let Some((taken, rest)) = split else {
            let cut = format!("{length} bytes where {} are left", self.rest.len());
            return Err(self.broken(&cut));
        };
        self.rest = rest;
        Ok(taken)
    }

    #[cold]
    fn broken(&self, what: &str) -> Refusal {
        refused(Reason::Protobuf, self.of, what)
    }
}
