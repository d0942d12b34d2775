//! The four messages that make up almost all of Binance's traffic, read by their exact shape.
//!
//! The venue writes the same fields in the same order every time, so a message is a row of
//! literals with numbers between them: one pass, no tree, numbers straight to mantissas. Whatever
//! differs in one byte (a new field, an escape, another order, a finer number, a symbol that is
//! not known yet) is `None` here and goes to the general reader.

use crate::binance::book::DepthIds;
use crate::binance::message::{Message, venue_time};
use crate::binance::symbols::{Symbols, TradeKind};
use crate::decode::fixed_decimal::read_eight_decimals;
use tickcast_market::{BookChange, BookSide, Price, Quote, Scales, Side, Size, Trade};

/// Reads a message whose shape is one of the usual ones; the levels of a depth update are left in
/// `levels`.
///
/// *Cost:* one pass; allocates nothing but the growth of `levels`.
pub(crate) fn read(
    bytes: &[u8],
    symbols: &Symbols,
    levels: &mut Vec<BookChange>,
) -> Option<Message> {
    let mut cursor = Cursor(bytes);
    let is_combined = cursor.literal(b"{\"stream\":\"").is_some();
    if is_combined {
        cursor.text()?;
        cursor.literal(b",\"data\":")?;
    }
    cursor.literal(b"{\"")?;
    let message = match *cursor.0.first()? {
        b'u' => quote(&mut cursor, symbols)?,
        b'e' => {
            cursor.literal(b"e\":\"")?;
            match *cursor.0.first()? {
                b't' => trade(&mut cursor, symbols)?,
                b'd' => depth(&mut cursor, symbols, levels)?,
                b'a' => aggregate_trade(&mut cursor, symbols)?,
                _ => return None,
            }
        }
        _ => return None,
    };
    cursor.literal(if is_combined { b"}}" } else { b"}" })?;
    cursor.0.is_empty().then_some(message)
}

/// `u":1,"s":"BTCUSDT","b":"1.0","B":"1.0","a":"1.0","A":"1.0"`
fn quote(cursor: &mut Cursor<'_>, symbols: &Symbols) -> Option<Message> {
    cursor.literal(b"u\":")?;
    let id = cursor.whole()?;
    cursor.literal(b",\"s\":\"")?;
    let symbol = symbols.find(cursor.text()?)?;
    let Scales { price, size, .. } = symbols.get(symbol).scales;
    cursor.literal(b",\"b\":\"")?;
    let bid = cursor.decimal(price)?;
    cursor.literal(b"\",\"B\":\"")?;
    let bid_size = cursor.decimal(size)?;
    cursor.literal(b"\",\"a\":\"")?;
    let ask = cursor.decimal(price)?;
    cursor.literal(b"\",\"A\":\"")?;
    let ask_size = cursor.decimal(size)?;
    cursor.literal(b"\"")?;
    let side = |price, size| (size > 0).then_some((Price(price), Size(size)));
    let quote = Quote { bid: side(bid, bid_size), ask: side(ask, ask_size) };
    Some(Message::Quote { symbol, id, quote })
}

/// `trade","E":1,"s":"BTCUSDT","t":1,"p":"1.0","q":"1.0","T":1,"m":true,"M":true`
fn trade(cursor: &mut Cursor<'_>, symbols: &Symbols) -> Option<Message> {
    cursor.literal(b"trade\",\"E\":")?;
    cursor.whole()?;
    cursor.literal(b",\"s\":\"")?;
    let symbol = symbols.find(cursor.text()?)?;
    cursor.literal(b",\"t\":")?;
    let id = cursor.whole()?;
    let (price, size) = price_and_size(cursor, symbols.get(symbol).scales)?;
    trade_end(cursor, symbol, TradeKind::Single, id, price, size)
}

/// `aggTrade","E":1,"s":"BTCUSDT","a":1,"p":"1.0","q":"1.0","f":1,"l":1,"T":1,"m":true,"M":true`
fn aggregate_trade(cursor: &mut Cursor<'_>, symbols: &Symbols) -> Option<Message> {
    cursor.literal(b"aggTrade\",\"E\":")?;
    cursor.whole()?;
    cursor.literal(b",\"s\":\"")?;
    let symbol = symbols.find(cursor.text()?)?;
    cursor.literal(b",\"a\":")?;
    let id = cursor.whole()?;
    let (price, size) = price_and_size(cursor, symbols.get(symbol).scales)?;
    cursor.literal(b",\"f\":")?;
    cursor.whole()?;
    cursor.literal(b",\"l\":")?;
    cursor.whole()?;
    trade_end(cursor, symbol, TradeKind::Aggregate, id, price, size)
}

fn price_and_size(cursor: &mut Cursor<'_>, scales: Scales) -> Option<(Price, Size)> {
    cursor.literal(b",\"p\":\"")?;
    let price = cursor.decimal(scales.price)?;
    cursor.literal(b"\",\"q\":\"")?;
    let size = cursor.decimal(scales.size)?;
    cursor.literal(b"\"")?;
    Some((Price(price), Size(size)))
}

fn trade_end(
    cursor: &mut Cursor<'_>,
    symbol: usize,
    kind: TradeKind,
    id: u64,
    price: Price,
    size: Size,
) -> Option<Message> {
    cursor.literal(b",\"T\":")?;
    let ts_event = venue_time(cursor.whole()?);
    cursor.literal(b",\"m\":")?;
    let buyer_is_maker = cursor.boolean()?;
    cursor.literal(b",\"M\":")?;
    cursor.boolean()?;
    let side = if buyer_is_maker { Side::Sell } else { Side::Buy };
    Some(Message::Trade { symbol, kind, trade: Trade { id, price, size, side, ts_event } })
}

/// `depthUpdate","E":1,"s":"BTCUSDT","U":1,"u":2,"b":[["1.0","1.0"]],"a":[]`
fn depth(
    cursor: &mut Cursor<'_>,
    symbols: &Symbols,
    levels: &mut Vec<BookChange>,
) -> Option<Message> {
    cursor.literal(b"depthUpdate\",\"E\":")?;
    let ts_event = venue_time(cursor.whole()?);
    cursor.literal(b",\"s\":\"")?;
    let symbol = symbols.find(cursor.text()?)?;
    let scales = symbols.get(symbol).scales;
    cursor.literal(b",\"U\":")?;
    let first = cursor.whole()?;
    cursor.literal(b",\"u\":")?;
    let last = cursor.whole()?;
    levels.clear();
    cursor.literal(b",\"b\":[")?;
    side(cursor, BookSide::Bid, scales, levels)?;
    cursor.literal(b",\"a\":[")?;
    side(cursor, BookSide::Ask, scales, levels)?;
    (first <= last).then_some(Message::Depth { symbol, ids: DepthIds { first, last }, ts_event })
}

/// The rest of an array of `["price","size"]` after its opening bracket.
fn side(
    cursor: &mut Cursor<'_>,
    side: BookSide,
    scales: Scales,
    levels: &mut Vec<BookChange>,
) -> Option<()> {
    if cursor.literal(b"]").is_some() {
        return Some(());
    }
    loop {
        cursor.literal(b"[\"")?;
        let price = Price(cursor.decimal(scales.price)?);
        cursor.literal(b"\",\"")?;
        let size = Size(cursor.decimal(scales.size)?);
        cursor.literal(b"\"]")?;
        levels.push(BookChange { side, price, size });
        if cursor.literal(b",").is_none() {
            return cursor.literal(b"]");
        }
    }
}

/// What is left of the message.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    #[inline]
    fn literal(&mut self, expected: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(expected)?;
        Some(())
    }

    /// A text up to its closing quote, which is taken, too; printable ASCII without escapes.
    #[inline]
    fn text(&mut self) -> Option<&'a [u8]> {
        let ends = |byte: &u8| matches!(*byte, b'"' | b'\\') || !(b' '..=b'~').contains(byte);
        let end = self.0.iter().position(ends)?;
        let (text, rest) = self.0.split_at(end);
        self.0 = rest.strip_prefix(b"\"")?;
        Some(text)
    }

    /// A whole number of at most 19 digits, without sign or leading zeros.
    #[inline]
    fn whole(&mut self) -> Option<u64> {
        let mut value = 0u64;
        let mut length = 0;
        while let Some(digit) = self.0.get(length).map(|byte| byte.wrapping_sub(b'0')) {
            if digit > 9 {
                break;
            }
            value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
            length += 1;
        }
        let has_leading_zero = length > 1 && self.0[0] == b'0';
        self.0 = &self.0[length..];
        ((1..=19).contains(&length) && !has_leading_zero).then_some(value)
    }

    #[inline]
    fn decimal(&mut self, scale: u8) -> Option<i64> {
        let (mantissa, length) = read_eight_decimals(self.0, scale)?;
        self.0 = &self.0[length..];
        Some(mantissa)
    }

    #[inline]
    fn boolean(&mut self) -> Option<bool> {
        if self.literal(b"true").is_some() {
            return Some(true);
        }
        self.literal(b"false").map(|()| false)
    }
}
