//! What the rule needs of a message, found without decoding it.
//!
//! Messages in the field order of `PROTOCOL.md` are read from both ends in one look; whatever
//! deviates by a byte goes to wire's decoder, so another order costs time and never truth. The
//! quick look takes the middle of an item (prices, sizes) on trust: the sampled sessions decode
//! every byte of theirs.

use memchr::memchr;
use tickcast_wire::{Channel, DecodeError, Encoding, Interval, Message, TradingState};

/// An item's place in its stream, and its times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Item<'a> {
    pub(crate) channel: Channel,
    pub(crate) is_snapshot: bool,
    pub(crate) symbol: &'a [u8],
    /// The depth of a book, the index of an interval of bars, otherwise 0.
    pub(crate) variant: u16,
    pub(crate) epoch: u64,
    pub(crate) prev: Option<u64>,
    pub(crate) seq: u64,
    pub(crate) has_state: bool,
    /// Microseconds since the Unix epoch; of trades that of the last one; bars have none.
    pub(crate) ts_event: Option<i64>,
    /// Microseconds since the Unix epoch; `ts_state` of a status.
    pub(crate) ts_publish: i64,
}

/// Reads a message that holds exactly one item in the usual order; `None` for anything else.
///
/// *Cost:* some 60 ns for a ticker update; no allocation.
pub(crate) fn quick(message: &[u8]) -> Option<Item<'_>> {
    let rest = message.strip_prefix(b"{\"channel\":\"")?;
    let (channel, rest) = match rest.first()? {
        b't' => match rest.strip_prefix(b"ticker\"") {
            Some(rest) => (Channel::Ticker, rest),
            None => (Channel::Trades, rest.strip_prefix(b"trades\"")?),
        },
        b'b' => match rest.strip_prefix(b"book\"") {
            Some(rest) => (Channel::Book, rest),
            None => (Channel::Bars, rest.strip_prefix(b"bars\"")?),
        },
        _ => (Channel::Status, rest.strip_prefix(b"status\"")?),
    };
    let (is_snapshot, rest) = match rest.strip_prefix(b",\"type\":\"update\"") {
        Some(rest) => (false, rest),
        None => (true, rest.strip_prefix(b",\"type\":\"snapshot\"")?),
    };
    let rest = rest.strip_prefix(b",\"data\":[{\"symbol\":\"")?;
    let end = memchr(b'"', rest)?;
    let symbol = &rest[..end];
    // Escapes are the decoder's.
    if memchr(b'\\', symbol).is_some() {
        return None;
    }
    let (variant, rest) = variant(channel, &rest[end + 1..])?;
    let (epoch, rest) = number(rest.strip_prefix(b",\"epoch\":")?)?;
    let (prev, rest) = match rest.strip_prefix(b",\"prev\":") {
        Some(rest) => number(rest).map(|(prev, rest)| (Some(prev), rest))?,
        None => (None, rest),
    };
    let (seq, rest) = number(rest.strip_prefix(b",\"seq\":")?)?;
    // What is missing at its place may stand at another.
    if prev.is_none() != is_snapshot {
        return None;
    }
    let has_state = is_snapshot || channel == Channel::Status;
    let rest = if has_state { state(rest)? } else { rest };
    let (ts_event, ts_publish) = times(channel, rest)?;
    let item = Item {
        channel,
        is_snapshot,
        symbol,
        variant,
        epoch,
        prev,
        seq,
        has_state,
        ts_event,
        ts_publish,
    };
    Some(item)
}

fn variant(channel: Channel, rest: &[u8]) -> Option<(u16, &[u8])> {
    match channel {
        Channel::Book => {
            let (depth, rest) = number(rest.strip_prefix(b",\"depth\":")?)?;
            Some((u16::try_from(depth).ok()?, rest))
        }
        Channel::Bars => {
            let rest = rest.strip_prefix(b",\"interval\":\"")?;
            let end = memchr(b'"', rest)?;
            let name = std::str::from_utf8(&rest[..end]).ok()?;
            Some((Interval::from_name(name)? as u16, &rest[end + 1..]))
        }
        Channel::Status | Channel::Ticker | Channel::Trades => Some((0, rest)),
    }
}

fn state(rest: &[u8]) -> Option<&[u8]> {
    let rest = rest.strip_prefix(b",\"state\":\"")?;
    let end = memchr(b'"', rest)?;
    TradingState::from_name(std::str::from_utf8(&rest[..end]).ok()?)?;
    Some(&rest[end + 1..])
}

/// The times at the end, where the message ends with its only item.
fn times(channel: Channel, rest: &[u8]) -> Option<(Option<i64>, i64)> {
    match channel {
        Channel::Status => {
            let (ts_state, rest) = number(rest.strip_prefix(b",\"ts_state\":")?)?;
            (rest == b"}]}").then_some((None, ts_state as i64))
        }
        Channel::Ticker | Channel::Book => {
            // Neither has objects inside: the first brace closes the item, and the message with it.
            let end = memchr(b'}', rest)?;
            if &rest[end..] != b"}]}" {
                return None;
            }
            let (ts_publish, rest) = number_before(&rest[..end])?;
            let rest = rest.strip_suffix(b",\"ts_publish\":")?;
            let (ts_event, rest) = number_before(rest)?;
            rest.ends_with(b",\"ts_event\":").then_some((Some(ts_event), ts_publish))
        }
        Channel::Trades => {
            let (last, rest) = objects(rest.strip_prefix(b",\"trades\":[")?)?;
            let ts_event = match last {
                Some(last) => {
                    let (ts_event, rest) = number_before(last)?;
                    rest.ends_with(b",\"ts_event\":").then_some(Some(ts_event))?
                }
                None => None,
            };
            Some((ts_event, tail(rest)?))
        }
        Channel::Bars => {
            let (_, rest) = objects(rest.strip_prefix(b",\"bars\":[")?)?;
            Some((None, tail(rest)?))
        }
    }
}

/// Walks flat objects up to the bracket that ends their list; the inside of the last one.
fn objects(mut rest: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    let mut last = None;
    if let Some(rest) = rest.strip_prefix(b"]") {
        return Some((last, rest));
    }
    loop {
        rest = rest.strip_prefix(b"{")?;
        let end = memchr(b'}', rest)?;
        last = Some(&rest[..end]);
        match rest.get(end + 1)? {
            b',' => rest = &rest[end + 2..],
            b']' => return Some((last, &rest[end + 2..])),
            _ => return None,
        }
    }
}

fn tail(rest: &[u8]) -> Option<i64> {
    let (ts_publish, rest) = number(rest.strip_prefix(b",\"ts_publish\":")?)?;
    (rest == b"}]}").then_some(ts_publish as i64)
}

/// At most so many digits are read quickly: they fit an `i64` whatever they are.
const DIGITS_MAX: usize = 18;

fn number(text: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    let mut at = 0;
    while let Some(digit) = text.get(at).map(|byte| byte.wrapping_sub(b'0'))
        && digit < 10
    {
        value = value * 10 + u64::from(digit);
        at += 1;
        if at > DIGITS_MAX {
            return None;
        }
    }
    (at > 0).then(|| (value, &text[at..]))
}

/// The number that a text ends with, and what stands before it.
fn number_before(text: &[u8]) -> Option<(i64, &[u8])> {
    let mut start = text.len();
    while start > 0 && text[start - 1].is_ascii_digit() {
        start -= 1;
    }
    let (value, rest) = number(&text[start..])?;
    rest.is_empty().then_some((value as i64, &text[..start]))
}

/// The items of a decoded message.
///
/// *Errors:* what wire's decoder does not read.
pub(crate) fn decode(message: &[u8]) -> Result<Message<'_>, DecodeError> {
    Message::decode(Encoding::Json, message)
}

/// Gives each item of a data message to `each`; whether it was a data message.
pub(crate) fn each_item(message: &Message<'_>, mut each: impl FnMut(&Item<'_>)) -> bool {
    macro_rules! items {
        ($channel:expr, $push:expr, |$item:ident| $variant:expr, $event:expr, $publish:expr) => {{
            for $item in &$push.items {
                each(&Item {
                    channel: $channel,
                    is_snapshot: $push.is_snapshot,
                    symbol: $item.symbol.as_bytes(),
                    variant: $variant,
                    epoch: $item.epoch.0,
                    prev: $item.prev.map(|prev| prev.0),
                    seq: $item.seq.0,
                    has_state: $item.state.is_some(),
                    ts_event: $event,
                    ts_publish: $publish.micros(),
                });
            }
            true
        }};
    }
    match message {
        Message::Status(push) => items!(Channel::Status, push, |i| 0, None, i.ts_state),
        Message::Ticker(push) => {
            items!(Channel::Ticker, push, |i| 0, Some(i.ts_event.micros()), i.ts_publish)
        }
        Message::Trades(push) => {
            let last = |i: &tickcast_wire::TradesItem<'_>| {
                i.trades.last().map(|trade| trade.ts_event.micros())
            };
            items!(Channel::Trades, push, |i| 0, last(i), i.ts_publish)
        }
        Message::Book(push) => {
            let depth = |i: &tickcast_wire::BookItem<'_>| i.depth.levels() as u16;
            items!(Channel::Book, push, |i| depth(i), Some(i.ts_event.micros()), i.ts_publish)
        }
        Message::Bars(push) => {
            items!(Channel::Bars, push, |i| i.interval as u16, None, i.ts_publish)
        }
        _ => false,
    }
}
