//! Kraken v2: books, each message checked against its checksum. Numbers are JSON numbers whose
//! digits matter, so they are taken as raw tokens.

use super::symbols::{Levels, Symbols};
use super::{Decode, number, read, time, word};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use std::fmt::Write as _;
use tickcast_feed::Io;
use tickcast_market::{Book, BookChange, BookSide, EventBody, Nanos, Size, Venue};

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(borrow)]
    data: Vec<Part<'a>>,
}

#[derive(Deserialize)]
struct Part<'a> {
    symbol: &'a str,
    #[serde(borrow)]
    bids: Vec<Level<'a>>,
    #[serde(borrow)]
    asks: Vec<Level<'a>>,
    checksum: u32,
    timestamp: Option<&'a str>,
}

#[derive(Deserialize)]
struct Level<'a> {
    #[serde(borrow)]
    price: &'a RawValue,
    #[serde(borrow)]
    qty: &'a RawValue,
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    result: Subscription<'a>,
}

#[derive(Deserialize)]
struct Subscription<'a> {
    depth: usize,
    symbol: &'a str,
}

/// A book as it is checked against the venue, and how deep it is.
#[derive(Debug, Default)]
struct Checked {
    book: Book,
    depth: usize,
}

/// The decoder.
#[derive(Debug, Default)]
pub struct Kraken {
    symbols: Symbols<Checked>,
    levels: Levels,
    digits: String,
}

impl Decode for Kraken {
    const VENUE: Venue = Venue::Kraken;

    fn message(&mut self, bytes: &[u8], io: &mut Io<'_>) {
        if word(bytes, b"{\"channel\":\"") == b"book" {
            io.tally.message("book");
            let message: Message<'_> = read(bytes);
            for part in &message.data {
                self.book(part, message.kind == "snapshot", io);
            }
        } else if word(bytes, b"{\"method\":\"") == b"subscribe" {
            io.tally.message("answer");
            let Answer { result } = read(bytes);
            let symbol = self.symbols.find_or_add(Self::VENUE, result.symbol, io);
            symbol.book.depth = result.depth;
        } else {
            io.tally.message("other");
            let IgnoredAny = read(bytes);
        }
    }
}

impl Kraken {
    fn book(&mut self, part: &Part<'_>, is_snapshot: bool, io: &mut Io<'_>) {
        let symbol = self.symbols.find_or_add(Self::VENUE, part.symbol, io);
        self.levels.parsed.clear();
        for (side, levels) in [(BookSide::Bid, &part.bids), (BookSide::Ask, &part.asks)] {
            for level in levels {
                // Trailing zeros are digits here: the checksum is over them.
                let (price, size) = (number(level.price.get()), number(level.qty.get()));
                self.levels.parsed.push((side, price, size));
            }
        }
        let ts_event = part.timestamp.map_or(Nanos::ZERO, time);
        let before = symbol.scales;
        symbol.settle(&mut self.levels);
        let changes = &mut self.levels.changes;
        let Checked { book, depth } = &mut symbol.book;
        if is_snapshot {
            book.replace(changes);
        } else {
            assert_eq!(symbol.scales, before, "the snapshot has all digits");
            apply(book, *depth, changes);
        }
        assert_eq!(checksum(book, &mut self.digits), part.checksum, "the recording is right");
        if is_snapshot {
            symbol.emit(ts_event, EventBody::BookSnapshot(changes), io);
        } else {
            symbol.emit(ts_event, EventBody::BookUpdate(changes), io);
        }
    }
}

/// Applies changes and cuts to the depth; what was cut is appended as removals.
fn apply(book: &mut Book, depth: usize, changes: &mut Vec<BookChange>) {
    for change in changes.iter() {
        book.apply(change);
    }
    for side in [BookSide::Bid, BookSide::Ask] {
        book.truncate(side, depth, |left| {
            changes.push(BookChange { side, price: left.price, size: Size(0) });
        });
    }
}

/// CRC-32 over the digits of the top ten.
fn checksum(book: &Book, digits: &mut String) -> u32 {
    digits.clear();
    for side in [BookSide::Ask, BookSide::Bid] {
        for level in book.side(side).take(10) {
            write!(digits, "{}{}", level.price.0, level.size.0).expect("a String takes all");
        }
    }
    crc32fast::hash(digits.as_bytes())
}
