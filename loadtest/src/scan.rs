//! What the rule needs of a message, found without decoding it.
//!
//! Messages in the field order of `PROTOCOL.md` are read from both ends in one look; whatever
//! deviates by a byte goes to wire's decoder, so another order costs time and never truth. The
//! quick look takes the middle of an item (prices, sizes) on trust: the sampled sessions decode
//! every byte of theirs.

use memchr::{memchr, memrchr};
use tickcast_wire::{Channel, DecodeError, Interval, Message, TradingState};

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

impl Item<'_> {
    /// The same with this symbol.
    #[inline]
    pub(crate) fn of(self, symbol: &[u8]) -> Item<'_> {
        Item { symbol, ..self }
    }
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
    // Short, so that a search of many bytes at once would only begin and end.
    let end = rest.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
    let symbol = &rest[..end];
    // Escapes are the decoder's.
    if rest[end] == b'\\' {
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

/// The number that a text begins with, and what stands behind it.
#[inline]
fn number(text: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    let mut at = 0;
    while let Some(eight) = text[at..].first_chunk() {
        let (part, digits) = eight_digits(u64::from_le_bytes(*eight));
        value = value * POWERS[digits] + part;
        at += digits;
        if at > DIGITS_MAX {
            return None;
        }
        if digits < 8 {
            return (at > 0).then(|| (value, &text[at..]));
        }
    }
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

const POWERS: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/// The digits that eight characters begin with, read at once: their value and how many they are.
#[inline]
fn eight_digits(characters: u64) -> (u64, usize) {
    let digits = characters ^ 0x3030_3030_3030_3030;
    // The high bit of the first byte above nine; a carry only reaches bytes behind it.
    let others = (digits.wrapping_add(0x7676_7676_7676_7676) | digits) & 0x8080_8080_8080_8080;
    let count = (others.trailing_zeros() / 8) as usize;
    if count == 0 {
        return (0, 0);
    }
    // What is missing in front is zeros; then pairs, fours, and all eight are put together.
    let digits = digits << (64 - 8 * count);
    let pairs = (digits & 0x0f0f_0f0f_0f0f_0f0f).wrapping_mul(2_561) >> 8;
    let fours = (pairs & 0x00ff_00ff_00ff_00ff).wrapping_mul(6_553_601) >> 16;
    ((fours & 0x0000_ffff_0000_ffff).wrapping_mul(42_949_672_960_001) >> 32, count)
}

/// The number behind the last colon of a text, which ends with it, and what stands before it.
#[inline]
fn number_before(text: &[u8]) -> Option<(i64, &[u8])> {
    let colon = memrchr(b':', text)?;
    let (value, rest) = number(&text[colon + 1..])?;
    rest.is_empty().then_some((value as i64, &text[..=colon]))
}

/// The items of a decoded message.
///
/// *Errors:* what wire's decoder does not read.
pub(crate) fn decode(message: &[u8]) -> Result<Message<'_>, DecodeError> {
    Message::decode(message)
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What the decoder says of a message with one item.
    fn decoded(message: &[u8]) -> Option<String> {
        let message = decode(message).ok()?;
        let mut items = Vec::new();
        each_item(&message, |item| items.push(format!("{item:?}"))).then_some(())?;
        (items.len() == 1).then(|| items.remove(0))
    }

    /// The quick look, where it takes the message, says what the decoder says.
    fn agrees(message: &str) -> bool {
        let quick = quick(message.as_bytes());
        if let Some(item) = &quick {
            assert_eq!(Some(format!("{item:?}")), decoded(message.as_bytes()), "{message}");
        }
        quick.is_some()
    }

    #[test]
    fn every_data_line_of_the_protocol_is_read_quickly_and_as_the_decoder_reads_it() {
        let text = include_str!("../../PROTOCOL.md");
        let lines = text.lines().filter(|line| line.starts_with("{\"channel\""));
        let data: Vec<&str> = lines.filter(|line| line.contains("\"symbol\"")).collect();
        assert!(data.len() >= 7, "{data:?}");
        for line in data {
            assert!(agrees(line), "{line}");
        }
    }

    #[test]
    fn numbers_of_every_length_are_read_whatever_stands_behind() {
        for behind in
            ["", ",", "}", "}]}", ",\"ts_event\":1234567890123456", "x", ":", "/", "\u{ff}"]
        {
            let mut digits = String::new();
            for next in "901234567890123456".chars() {
                digits.push(next);
                let text = format!("{digits}{behind}");
                let (value, rest) = number(text.as_bytes()).expect("a number");
                assert_eq!((value, rest), (digits.parse().unwrap(), behind.as_bytes()), "{text}");
            }
            let text = format!("1234567890123456789{behind}");
            assert_eq!(number(text.as_bytes()), None, "too long for a quick look");
            assert!(number(behind.as_bytes()).is_none());
        }
    }

    #[test]
    fn what_deviates_goes_to_the_decoder() {
        let ticker = r#"{"channel":"ticker","type":"update","data":[{"symbol":"a:B","epoch":1,"prev":2,"seq":3,"bid":"1.0","ts_event":4,"ts_publish":5}]}"#;
        assert!(agrees(ticker));
        let item = &ticker[ticker.find("{\"symbol").unwrap()..ticker.len() - 2];
        for (from, to) in [
            (item, &*format!("{item},{item}")),
            ("\"seq\":3", "\"seq\": 3"),
            ("\"prev\":2,", ""),
            ("a:B", "a\\u003aB"),
            ("\"seq\":3", "\"seq\":9999999999999999999"),
            ("\"bid\":\"1.0\"", "\"new\":{\"x\":1}"),
            ("\"ts_publish\":5", "\"ts_publish\":5,\"new\":1"),
            ("}]}", "}],\"new\":1}"),
            ("\"ts_event\":4,", ""),
        ] {
            let changed = ticker.replace(from, to);
            assert_ne!(changed, ticker);
            assert!(!agrees(&changed), "{changed}");
        }
        let trades = r#"{"channel":"trades","type":"update","data":[{"symbol":"a:B","epoch":1,"prev":2,"seq":2,"trades":[],"ts_publish":5}]}"#;
        assert!(agrees(trades), "no trades are a list too");
        let brace = r#"{"channel":"trades","type":"update","data":[{"symbol":"a:B","epoch":1,"prev":2,"seq":3,"trades":[{"seq":3,"id":"x}y","price":"1","size":"1","side":"buy","ts_event":9}],"ts_publish":5}]}"#;
        assert!(!agrees(brace), "a brace in a text");
    }

    /// The fields of an item of each channel, in the usual order, with `{}` for numbers.
    const ITEMS: [(&str, &[&str]); 5] = [
        ("status", &["\"state\":\"live\"", "\"ts_state\":{}"]),
        ("ticker", &["\"bid\":\"1.5\"", "\"ask\":null", "\"ts_event\":{}", "\"ts_publish\":{}"]),
        (
            "book",
            &[
                "\"bids\":[[\"1.0\",\"2.0\"]]",
                "\"asks\":[]",
                "\"checksum\":7",
                "\"ts_event\":{}",
                "\"ts_publish\":{}",
            ],
        ),
        (
            "trades",
            &[
                "\"trades\":[{\"seq\":5,\"id\":\"i\",\"price\":\"1\",\"size\":\"2\",\"side\":\"sell\",\"ts_event\":{}}]",
                "\"ts_publish\":{}",
            ],
        ),
        (
            "bars",
            &[
                "\"bars\":[{\"start\":1,\"open\":\"1\",\"high\":\"1\",\"low\":\"1\",\"close\":\"1\",\"volume\":\"1\",\"trades\":1,\"closed\":false}]",
                "\"ts_publish\":{}",
            ],
        ),
    ];

    proptest! {
        #[test]
        fn whatever_the_order_of_fields_the_answer_is_the_decoders(
            channel in 0..ITEMS.len(),
            is_snapshot: bool,
            numbers in prop::array::uniform6(0..1u64 << 53),
            order in Just((0..10).collect::<Vec<usize>>()).prop_shuffle(),
            is_shuffled: bool,
            envelope_first: bool,
        ) {
            let (name, rest) = ITEMS[channel];
            let mut fields = vec!["\"symbol\":\"sim:S0-USD\"".to_owned()];
            match name {
                "book" => fields.push("\"depth\":25".into()),
                "bars" => fields.push("\"interval\":\"5m\"".into()),
                _ => {}
            }
            fields.push(format!("\"epoch\":{}", numbers[0]));
            if !is_snapshot {
                fields.push(format!("\"prev\":{}", numbers[1]));
            }
            fields.push(format!("\"seq\":{}", numbers[2]));
            if is_snapshot && name != "status" {
                fields.push("\"state\":\"stale\"".into());
            }
            let filled = rest.iter().zip(numbers[1..].iter().rev());
            fields.extend(filled.map(|(field, number)| field.replace("{}", &number.to_string())));
            if is_shuffled {
                let mut keyed: Vec<_> = fields.into_iter().zip(&order).collect();
                keyed.sort_by_key(|(_, key)| **key);
                fields = keyed.into_iter().map(|(field, _)| field).collect();
            }
            let kind = if is_snapshot { "snapshot" } else { "update" };
            let item = fields.join(",");
            let message = if is_shuffled && envelope_first {
                format!("{{\"type\":\"{kind}\",\"channel\":\"{name}\",\"data\":[{{{item}}}]}}")
            } else {
                format!("{{\"channel\":\"{name}\",\"type\":\"{kind}\",\"data\":[{{{item}}}]}}")
            };
            let is_quick = agrees(&message);
            if !is_shuffled {
                prop_assert!(is_quick, "{}", message);
            }
        }

        #[test]
        fn bytes_of_any_kind_are_survived(bytes: Vec<u8>, cut in 0..200usize) {
            let _ = quick(&bytes);
            let line = br#"{"channel":"ticker","type":"update","data":[{"symbol":"a:B","epoch":1,"prev":2,"seq":3,"bid":"1.0","ts_event":4,"ts_publish":5}]}"#;
            prop_assert!(cut == line.len() || quick(&line[..cut.min(line.len() - 1)]).is_none());
        }
    }
}
