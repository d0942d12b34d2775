//! Data messages: what a `diff(since)` answers with, as a `Message` of the schema.
//!
//! This is the hot path of the publisher: it allocates nothing but the growth of `out`.

use super::field::{
    write_fixed32, write_nested, write_present, write_signed, write_text, write_unsigned,
    write_varint, write_zigzag, zigzag,
};
use super::words::{INTERVALS, STATES, number};
use crate::channel::{TickerField, View};
use crate::pieces::{BarPiece, BookPieces, Head, Kind, Pieces, TickerPieces, TradePiece};
use tickcast_market::{BookSide, Nanos, Side};

/// Room that is made for a message before it is written; a full ticker snapshot fits.
const MESSAGE_BYTES_USUAL: usize = 256;

/// Field numbers that several messages of the schema share.
pub(super) mod tag {
    pub(crate) const STREAM: u32 = 1;
    pub(crate) const SEQ: u32 = 2;
    pub(crate) const SKIPPED: u32 = 3;
    /// `ts_publish` in trades and bars.
    pub(crate) const TS_EVENT: u32 = 4;
    pub(crate) const TS_PUBLISH_DELTA: u32 = 5;
    /// The first of what the message is about: `last`, `bids`, `trades`, `bars`.
    pub(crate) const CONTENT: u32 = 6;
    pub(crate) const ASKS: u32 = 7;
    pub(crate) const CHECKSUM: u32 = 8;
    pub(crate) const VOLUME_HIGH: u32 = 16;
    pub(crate) const EMPTIED: u32 = 17;
    pub(crate) const OPENING: u32 = 18;
}

/// The field of `Message` that each channel's data is.
pub(super) const fn body(view: View) -> u32 {
    match view {
        View::Ticker => 1,
        View::Book(_) => 2,
        View::Trades => 3,
        View::Bars(_) => 4,
        View::Status => 5,
    }
}

/// Appends a whole data message with one item.
///
/// *Cost:* proportional to the bytes; no allocation but `out`'s growth.
pub(crate) fn write_message(out: &mut Vec<u8>, symbol: &str, pieces: &Pieces, ts_publish: Nanos) {
    out.reserve(MESSAGE_BYTES_USUAL);
    let head = &pieces.head;
    write_nested(out, body(head.view), |out| {
        if head.view == View::Status {
            write_status(out, symbol, head);
            return;
        }
        write_place(out, head);
        match head.view {
            View::Ticker => {
                write_times(out, head, ts_publish);
                write_ticker(out, &pieces.ticker);
            }
            View::Book(_) => {
                write_times(out, head, ts_publish);
                write_book(out, &pieces.book);
            }
            View::Trades => {
                write_signed(out, tag::TS_EVENT, ts_publish.micros());
                for trade in &pieces.trades {
                    write_nested(out, tag::CONTENT, |out| {
                        write_trade(out, trade, head, ts_publish);
                    });
                }
            }
            View::Bars(_) => {
                write_signed(out, tag::TS_EVENT, ts_publish.micros());
                for bar in &pieces.bars {
                    write_nested(out, tag::CONTENT, |out| write_bar(out, bar));
                }
            }
            View::Status => {}
        }
        if head.opens {
            write_nested(out, tag::OPENING, |out| write_opening(out, symbol, head));
        }
    });
}

/// Which stream, and where in it.
fn write_place(out: &mut Vec<u8>, head: &Head) {
    write_unsigned(out, tag::STREAM, head.stream.0.into());
    write_unsigned(out, tag::SEQ, head.seq.0);
    if let Kind::Update { prev } = head.kind {
        let skipped = head.seq.0.wrapping_sub(prev.0).wrapping_sub(1);
        write_zigzag(out, tag::SKIPPED, skipped as i64);
    }
}

fn write_times(out: &mut Vec<u8>, head: &Head, ts_publish: Nanos) {
    let ts_event = head.ts_event.micros();
    write_signed(out, tag::TS_EVENT, ts_event);
    write_zigzag(out, tag::TS_PUBLISH_DELTA, ts_publish.micros().wrapping_sub(ts_event));
}

fn write_opening(out: &mut Vec<u8>, symbol: &str, head: &Head) {
    write_unsigned(out, 1, u64::from(head.kind == Kind::Snapshot));
    write_text(out, 2, symbol);
    write_unsigned(out, 3, head.epoch.0);
    write_unsigned(out, 4, number(&STATES, head.state));
    write_unsigned(out, 5, head.scales.price.into());
    write_unsigned(out, 6, head.scales.size.into());
    write_unsigned(out, 7, head.scales.volume.into());
    match head.view {
        View::Book(depth) => write_unsigned(out, 8, depth.levels() as u64),
        View::Bars(interval) => write_unsigned(out, 9, number(&INTERVALS, interval)),
        View::Status | View::Ticker | View::Trades => {}
    }
}

fn write_ticker(out: &mut Vec<u8>, ticker: &TickerPieces) {
    let mut emptied = 0;
    let mut volume_high = 0;
    for field in ticker.present.iter() {
        let Some(mantissa) = ticker.mantissa(field) else {
            emptied |= 1 << field as u32;
            continue;
        };
        // The lower 64 bits are the whole of it for everything but a volume beyond them.
        write_present(out, tag::CONTENT + field as u32, mantissa as u64);
        if field == TickerField::Volume {
            volume_high = (mantissa as u128 >> 64) as u64;
        }
    }
    write_unsigned(out, tag::VOLUME_HIGH, volume_high);
    write_unsigned(out, tag::EMPTIED, emptied);
}

fn write_book(out: &mut Vec<u8>, book: &BookPieces) {
    for (field, side) in [(tag::CONTENT, BookSide::Bid), (tag::ASKS, BookSide::Ask)] {
        let mut levels = book.levels.iter().filter(|level| level.side == side).peekable();
        if levels.peek().is_none() {
            continue;
        }
        write_nested(out, field, |out| {
            let mut before = 0i64;
            for level in levels {
                write_varint(out, zigzag(level.price.0.wrapping_sub(before)));
                write_varint(out, zigzag(level.size.0));
                before = level.price.0;
            }
        });
    }
    write_fixed32(out, tag::CHECKSUM, book.checksum);
}

fn write_trade(out: &mut Vec<u8>, piece: &TradePiece, head: &Head, ts_publish: Nanos) {
    let trade = &piece.trade;
    write_unsigned(out, 1, head.seq.0.wrapping_sub(piece.seq.0));
    write_unsigned(out, 2, trade.id);
    write_signed(out, 3, trade.price.0);
    write_signed(out, 4, trade.size.0);
    write_unsigned(out, 5, u64::from(trade.side == Side::Sell));
    write_zigzag(out, 6, ts_publish.micros().wrapping_sub(trade.ts_event.micros()));
}

fn write_bar(out: &mut Vec<u8>, piece: &BarPiece) {
    let bar = &piece.bar;
    write_signed(out, 1, bar.start.micros() / 1_000_000);
    for (field, price) in (2..).zip([bar.open, bar.high, bar.low, bar.close]) {
        write_signed(out, field, price.0);
    }
    write_unsigned(out, 6, bar.volume.0 as u64);
    write_unsigned(out, 7, (bar.volume.0 as u128 >> 64) as u64);
    write_unsigned(out, 8, bar.trades.into());
    write_unsigned(out, 9, bar.closed.into());
}

fn write_status(out: &mut Vec<u8>, symbol: &str, head: &Head) {
    write_text(out, 1, symbol);
    write_unsigned(out, 2, head.epoch.0);
    write_unsigned(out, 3, head.seq.0);
    if let Kind::Update { prev } = head.kind {
        write_present(out, 4, prev.0);
    }
    write_unsigned(out, 5, number(&STATES, head.state));
    write_signed(out, 6, head.ts_event.micros());
}
