//! Data messages as JSON: what a `diff(since)` answers with, written the way section 6 of the
//! design and PROTOCOL.md show it.
//!
//! This is the hot path of the publisher: it allocates nothing but the growth of `out`.

use crate::channel::{Channel, TickerField, View};
use crate::pieces::{
    BarPiece, BookPieces, Head, Kind, LevelPiece, Pieces, TickerPieces, TradePiece,
};
use crate::text::{write_integer, write_list, write_number, write_string};
use tickcast_market::{BookSide, Nanos, Scales, Side, write_decimal};

/// Room that is made for a message before it is written; a full ticker snapshot fits.
const MESSAGE_BYTES_USUAL: usize = 512;

/// Appends a whole data message with one item: `{"channel":…,"type":…,"data":[{…}]}`.
///
/// *Cost:* proportional to the text; no allocation but `out`'s growth.
pub fn write_message(out: &mut Vec<u8>, symbol: &str, pieces: &Pieces, ts_publish: Nanos) {
    out.reserve(MESSAGE_BYTES_USUAL);
    open_message(out, pieces.head.view.channel(), pieces.head.kind);
    write_item(out, symbol, pieces, ts_publish);
    close_message(out);
}

/// Begins a data message that may hold several items: [`next_item`] before each [`write_item`],
/// [`close_message`] at the end. Of `kind` only snapshot or update matters.
pub fn open_message(out: &mut Vec<u8>, channel: Channel, kind: Kind) {
    out.extend_from_slice(b"{\"channel\":\"");
    out.extend_from_slice(channel.name().as_bytes());
    out.extend_from_slice(b"\",\"type\":\"");
    out.extend_from_slice(kind.name().as_bytes());
    out.extend_from_slice(b"\",\"data\":[");
}

/// Puts a comma where an item was written before.
pub fn next_item(out: &mut Vec<u8>) {
    if out.last() == Some(&b'}') {
        out.push(b',');
    }
}

/// Ends a data message.
pub fn close_message(out: &mut Vec<u8>) {
    out.extend_from_slice(b"]}");
}

/// Appends one data item `{…}` of the pieces' view.
///
/// A snapshot has `state`, an update `prev`; `status` always has its state. Of a ticker the
/// fields that are present are written, `null` where one has no value. A book level of size zero
/// is written as `"0"`, whatever the scale.
///
/// *Cost:* proportional to the text; no allocation but `out`'s growth.
pub fn write_item(out: &mut Vec<u8>, symbol: &str, pieces: &Pieces, ts_publish: Nanos) {
    let head = &pieces.head;
    write_head(out, symbol, head);
    match head.view {
        View::Status => {
            out.extend_from_slice(b",\"ts_state\":");
            write_integer(out, head.ts_event.micros());
            out.push(b'}');
            return;
        }
        View::Ticker => {
            write_ticker(out, &pieces.ticker, head.scales);
            write_ts_event(out, head.ts_event);
        }
        View::Book(_) => {
            write_book(out, &pieces.book, head.scales);
            write_ts_event(out, head.ts_event);
        }
        View::Trades => {
            out.extend_from_slice(b",\"trades\":");
            write_list(out, &pieces.trades, |out, trade| write_trade(out, trade, head.scales));
        }
        View::Bars(_) => {
            out.extend_from_slice(b",\"bars\":");
            write_list(out, &pieces.bars, |out, bar| write_bar(out, bar, head.scales));
        }
    }
    out.extend_from_slice(b",\"ts_publish\":");
    write_integer(out, ts_publish.micros());
    out.push(b'}');
}

fn write_head(out: &mut Vec<u8>, symbol: &str, head: &Head) {
    out.extend_from_slice(b"{\"symbol\":");
    write_string(out, symbol);
    match head.view {
        View::Book(depth) => {
            out.extend_from_slice(b",\"depth\":");
            write_integer(out, depth.levels());
        }
        View::Bars(interval) => {
            out.extend_from_slice(b",\"interval\":");
            write_string(out, interval.name());
        }
        View::Status | View::Ticker | View::Trades => {}
    }
    out.extend_from_slice(b",\"epoch\":");
    write_integer(out, head.epoch.0);
    if let Kind::Update { prev } = head.kind {
        out.extend_from_slice(b",\"prev\":");
        write_integer(out, prev.0);
    }
    out.extend_from_slice(b",\"seq\":");
    write_integer(out, head.seq.0);
    if head.kind == Kind::Snapshot || head.view == View::Status {
        out.extend_from_slice(b",\"state\":\"");
        out.extend_from_slice(head.state.name().as_bytes());
        out.push(b'"');
    }
}

fn write_ts_event(out: &mut Vec<u8>, ts_event: Nanos) {
    out.extend_from_slice(b",\"ts_event\":");
    write_integer(out, ts_event.micros());
}

/// `,"name":` of every ticker field in the order of the wire, padded to a constant length (whose
/// copy is a few moves, not a call), and the length that counts.
const TICKER_KEYS: [([u8; 16], u8); TickerField::COUNT] = {
    let mut keys = [([b' '; 16], 0); TickerField::COUNT];
    let mut field = 0;
    while field < TickerField::COUNT {
        let name = TickerField::ALL[field].name().as_bytes();
        let (key, len) = &mut keys[field];
        key[0] = b',';
        key[1] = b'"';
        let mut i = 0;
        while i < name.len() {
            key[2 + i] = name[i];
            i += 1;
        }
        key[2 + i] = b'"';
        key[3 + i] = b':';
        *len = 4 + i as u8;
        field += 1;
    }
    keys
};

fn write_ticker(out: &mut Vec<u8>, ticker: &TickerPieces, scales: Scales) {
    for field in ticker.present.iter() {
        let (key, len) = &TICKER_KEYS[field as usize];
        let end = out.len() + usize::from(*len);
        out.extend_from_slice(key);
        out.truncate(end);
        match ticker.mantissa(field) {
            Some(mantissa) => write_number(out, mantissa, field.scale(scales)),
            None => out.extend_from_slice(b"null"),
        }
    }
}

fn write_book(out: &mut Vec<u8>, book: &BookPieces, scales: Scales) {
    for (key, side) in [(&b",\"bids\":"[..], BookSide::Bid), (b",\"asks\":", BookSide::Ask)] {
        out.extend_from_slice(key);
        let levels = book.levels.iter().filter(|level| level.side == side);
        write_list(out, levels, |out, level| write_level(out, level, scales));
    }
    out.extend_from_slice(b",\"checksum\":");
    write_integer(out, book.checksum);
}

fn write_level(out: &mut Vec<u8>, level: &LevelPiece, scales: Scales) {
    out.extend_from_slice(b"[\"");
    write_decimal(out, level.price.0.into(), scales.price);
    out.extend_from_slice(b"\",\"");
    if level.size.0 == 0 {
        out.push(b'0');
    } else {
        write_decimal(out, level.size.0.into(), scales.size);
    }
    out.extend_from_slice(b"\"]");
}

fn write_trade(out: &mut Vec<u8>, piece: &TradePiece, scales: Scales) {
    let trade = &piece.trade;
    out.extend_from_slice(b"{\"seq\":");
    write_integer(out, piece.seq.0);
    out.extend_from_slice(b",\"id\":\"");
    write_integer(out, trade.id);
    out.extend_from_slice(b"\",\"price\":");
    write_number(out, trade.price.0, scales.price);
    out.extend_from_slice(b",\"size\":");
    write_number(out, trade.size.0, scales.size);
    out.extend_from_slice(match trade.side {
        Side::Buy => b",\"side\":\"buy\"".as_slice(),
        Side::Sell => b",\"side\":\"sell\"",
    });
    write_ts_event(out, trade.ts_event);
    out.push(b'}');
}

fn write_bar(out: &mut Vec<u8>, piece: &BarPiece, scales: Scales) {
    let bar = &piece.bar;
    out.extend_from_slice(b"{\"start\":");
    write_integer(out, bar.start.micros());
    for (key, price) in [
        (&b",\"open\":"[..], bar.open),
        (b",\"high\":", bar.high),
        (b",\"low\":", bar.low),
        (b",\"close\":", bar.close),
    ] {
        out.extend_from_slice(key);
        write_number(out, price.0, scales.price);
    }
    out.extend_from_slice(b",\"volume\":");
    write_number(out, bar.volume.0, scales.volume);
    out.extend_from_slice(b",\"trades\":");
    write_integer(out, bar.trades);
    out.extend_from_slice(if bar.closed {
        b",\"closed\":true}".as_slice()
    } else {
        b",\"closed\":false}"
    });
}
