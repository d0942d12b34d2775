//! Messages as a client reads them: into the text that a JSON client would have been sent.
//!
//! Keeps what the numbers of streams stand for on one connection. Data goes through the pieces that
//! it was encoded from, so that the text is the service's own, byte for byte.

use super::data::tag;
use super::field::{FieldValue, Fields, ProtobufFault, Read, unzigzag};
use super::reader_answer::{write_answer, write_goaway, write_welcome};
use super::words::{INTERVALS, STATES, word};
use crate::channel::{Channel, Depth, FieldSet, TickerField, View};
use crate::decode::DecodeError;
use crate::pieces::{BarPiece, Head, Kind, LevelPiece, Pieces, StreamNumber, TradePiece};
use crate::text::write_integer;
use std::collections::HashMap;
use tickcast_market::{
    Bar, BookSide, Epoch, Nanos, Price, Scales, Seq, Side, Size, Trade, TradingState, Volume,
};

/// The finest scale of an instrument that can be; more digits than an `i64` has are a fault.
const SCALE_MAX: u32 = 38;

/// What a stream's number stands for.
#[derive(Clone, Debug)]
struct Opened {
    symbol: Box<str>,
    view: View,
    epoch: Epoch,
    scales: Scales,
}

/// Reads the messages of one connection, in their order.
#[derive(Debug, Default)]
pub struct ProtobufReader {
    opened: HashMap<u32, Opened>,
    pieces: Pieces,
    text: Vec<u8>,
}

/// What the data messages begin with, and the opening where there is one.
#[derive(Default)]
struct Place<'a> {
    stream: u32,
    seq: u64,
    skipped: i64,
    ts: i64,
    ts_publish_delta: i64,
    opening: Option<Fields<'a>>,
}

impl ProtobufReader {
    /// A reader for a new connection: no stream is open.
    pub fn new() -> ProtobufReader {
        ProtobufReader::default()
    }

    /// Reads one binary message and gives it as JSON, to be decoded as that; an empty object where
    /// it is of a kind that is not known here.
    ///
    /// An update of a stream that was not opened on this connection belongs to an epoch that had
    /// ended before, or its opening is missing: it becomes a message of the type `unopened`, which
    /// is decoded as [`crate::Message::Unopened`].
    ///
    /// *Errors:* bytes that are no `Message` of the schema. *Cost:* linear; allocates for a new stream, and until its buffers have grown.
    pub fn read(&mut self, message: &[u8]) -> Result<&[u8], DecodeError> {
        self.text.clear();
        let mut fields = Fields::new(message);
        let mut known = false;
        while let Some((field, value)) = fields.next()? {
            known |= self.read_body(field, value)?;
        }
        if !known {
            self.text.clear();
            self.text.extend_from_slice(b"{}");
        }
        Ok(&self.text)
    }

    fn read_body(&mut self, field: u32, value: FieldValue<'_>) -> Read<bool> {
        if !(1..=9).contains(&field) {
            return Ok(false);
        }
        let body = value.fields("message")?;
        // Of several bodies the last counts.
        self.text.clear();
        match field {
            1..=4 => self.read_data(field, body)?,
            5 => self.read_status(body)?,
            6 => write_heartbeat(&mut self.text, body)?,
            7 => write_answer(&mut self.text, body)?,
            8 => write_welcome(&mut self.text, body)?,
            _ => write_goaway(&mut self.text, body)?,
        }
        Ok(true)
    }

    /// Reads a data message of one stream into pieces, for who keeps a stream's state rather than
    /// its text, and when it was published; `None` where it is an update of a stream that was not
    /// opened before, or no data.
    ///
    /// *Errors* and *cost* as those of [`ProtobufReader::read`].
    pub fn read_pieces(&mut self, message: &[u8]) -> Result<Option<(&Pieces, Nanos)>, DecodeError> {
        let mut fields = Fields::new(message);
        let mut item = None;
        while let Some((field, value)) = fields.next()? {
            if (1..=4).contains(&field) {
                item = self.read_item(field, value.fields("message")?)?;
            }
        }
        Ok(item.map(|(_, ts_publish)| (&self.pieces, ts_publish)))
    }

    fn read_data(&mut self, body: u32, fields: Fields<'_>) -> Read<()> {
        let Some((stream, ts_publish)) = self.read_item(body, fields)? else {
            return write_unopened(&mut self.text, body);
        };
        if let Some(opened) = self.opened.get(&stream) {
            crate::encode::write_message(&mut self.text, &opened.symbol, &self.pieces, ts_publish);
        }
        Ok(())
    }

    /// Fills the pieces; the stream's number and when it was published, `None` where that number
    /// stands for nothing.
    fn read_item(&mut self, body: u32, fields: Fields<'_>) -> Read<Option<(u32, Nanos)>> {
        let place = read_place(fields)?;
        let kind = match place.opening {
            Some(opening) => self.open(body, place.stream, opening)?,
            None => None,
        };
        let opened =
            self.opened.get(&place.stream).filter(|opened| super::data::body(opened.view) == body);
        let Some(opened) = opened else { return Ok(None) };
        let prev = place.seq.wrapping_sub(1).wrapping_sub(place.skipped as u64);
        let is_opening = kind.is_some();
        let (kind, state) =
            kind.unwrap_or((Kind::Update { prev: Seq(0) }, TradingState::default()));
        let ts_publish = match body {
            1 | 2 => place.ts.wrapping_add(place.ts_publish_delta),
            _ => place.ts,
        };
        self.pieces.head = Head {
            view: opened.view,
            kind: match kind {
                Kind::Snapshot => Kind::Snapshot,
                Kind::Update { .. } => Kind::Update { prev: Seq(prev) },
            },
            epoch: opened.epoch,
            seq: Seq(place.seq),
            state,
            scales: opened.scales,
            ts_event: Nanos::from_micros(place.ts),
            stream: StreamNumber(place.stream),
            opens: is_opening,
        };
        let pieces = &mut self.pieces;
        match body {
            1 => read_ticker(pieces, fields)?,
            2 => read_book(pieces, fields)?,
            3 => read_trades(pieces, fields, ts_publish)?,
            _ => read_bars(pieces, fields)?,
        }
        Ok(Some((place.stream, Nanos::from_micros(ts_publish))))
    }

    /// Takes note of what a number stands for; what the item is, and its state.
    fn open(
        &mut self,
        body: u32,
        stream: u32,
        mut fields: Fields<'_>,
    ) -> Read<Option<(Kind, TradingState)>> {
        let mut snapshot = false;
        let (mut symbol, mut epoch, mut state) = ("", 0, TradingState::default());
        let (mut scales, mut depth, mut interval) = ([0u32; 3], 0, 0);
        while let Some((field, value)) = fields.next()? {
            match field {
                1 => snapshot = value.varint("snapshot")? != 0,
                2 => symbol = value.text("symbol")?,
                3 => epoch = value.varint("epoch")?,
                4 => state = word(&STATES, value.varint("state")?).unwrap_or(state),
                5..=7 => scales[field as usize - 5] = value.small("scale")?,
                8 => depth = value.varint("depth")?,
                9 => interval = value.varint("interval")?,
                _ => {}
            }
        }
        if let Some(scale) = scales.iter().find(|scale| **scale > SCALE_MAX) {
            return Err(ProtobufFault::new(format_args!("scale: {scale} is above {SCALE_MAX}")));
        }
        let view =
            match body {
                1 => View::Ticker,
                2 => {
                    View::Book(u16::try_from(depth).ok().and_then(Depth::new).ok_or_else(|| {
                        ProtobufFault::new(format_args!("depth: {depth} is none"))
                    })?)
                }
                3 => View::Trades,
                _ => View::Bars(word(&INTERVALS, interval).ok_or_else(|| {
                    ProtobufFault::new(format_args!("interval: {interval} is none"))
                })?),
            };
        let scales =
            Scales { price: scales[0] as u8, size: scales[1] as u8, volume: scales[2] as u8 };
        let opened = Opened { symbol: symbol.into(), view, epoch: Epoch(epoch), scales };
        self.opened.insert(stream, opened);
        let kind = if snapshot { Kind::Snapshot } else { Kind::Update { prev: Seq(0) } };
        Ok(Some((kind, state)))
    }

    fn read_status(&mut self, mut fields: Fields<'_>) -> Read<()> {
        let mut symbol = "";
        let mut head = Head { view: View::Status, kind: Kind::Snapshot, ..self.pieces.head };
        while let Some((field, value)) = fields.next()? {
            match field {
                1 => symbol = value.text("symbol")?,
                2 => head.epoch = Epoch(value.varint("epoch")?),
                3 => head.seq = Seq(value.varint("seq")?),
                4 => head.kind = Kind::Update { prev: Seq(value.varint("prev")?) },
                5 => head.state = word(&STATES, value.varint("state")?).unwrap_or_default(),
                6 => head.ts_event = Nanos::from_micros(value.signed("ts_state")?),
                _ => {}
            }
        }
        self.pieces.head = head;
        crate::encode::write_message(&mut self.text, symbol, &self.pieces, Nanos::ZERO);
        Ok(())
    }
}

fn write_unopened(out: &mut Vec<u8>, body: u32) -> Read<()> {
    let channel = match body {
        1 => Channel::Ticker,
        2 => Channel::Book,
        3 => Channel::Trades,
        _ => Channel::Bars,
    };
    out.extend_from_slice(b"{\"channel\":\"");
    out.extend_from_slice(channel.name().as_bytes());
    out.extend_from_slice(b"\",\"type\":\"unopened\"}");
    Ok(())
}

fn read_place(mut fields: Fields<'_>) -> Read<Place<'_>> {
    let mut place = Place::default();
    while let Some((field, value)) = fields.next()? {
        match field {
            tag::STREAM => place.stream = value.small("stream")?,
            tag::SEQ => place.seq = value.varint("seq")?,
            tag::SKIPPED => place.skipped = value.zigzag("skipped")?,
            tag::TS_EVENT => place.ts = value.signed("ts")?,
            tag::TS_PUBLISH_DELTA => place.ts_publish_delta = value.zigzag("ts_publish_delta")?,
            tag::OPENING => place.opening = Some(value.fields("opening")?),
            _ => {}
        }
    }
    Ok(place)
}

fn write_heartbeat(out: &mut Vec<u8>, mut fields: Fields<'_>) -> Read<()> {
    let mut ts_publish = 0;
    while let Some((field, value)) = fields.next()? {
        if field == 1 {
            ts_publish = value.signed("ts_publish")?;
        }
    }
    out.extend_from_slice(b"{\"channel\":\"heartbeat\",\"ts_publish\":");
    write_integer(out, ts_publish);
    out.push(b'}');
    Ok(())
}

fn read_ticker(pieces: &mut Pieces, mut fields: Fields<'_>) -> Read<()> {
    const LAST: u32 = tag::CONTENT + TickerField::COUNT as u32 - 1;
    let ticker = &mut pieces.ticker;
    let (mut values, mut emptied, mut volume_high) = ([None; TickerField::COUNT], 0, 0);
    while let Some((field, value)) = fields.next()? {
        match field {
            tag::CONTENT..=LAST => {
                values[(field - tag::CONTENT) as usize] = Some(value.varint("ticker")?);
            }
            tag::VOLUME_HIGH => volume_high = value.varint("volume_high")?,
            tag::EMPTIED => emptied = value.varint("emptied")?,
            _ => {}
        }
    }
    ticker.present = FieldSet::NONE;
    for field in TickerField::ALL {
        if values[field as usize].is_some() || emptied & (1 << field as u32) != 0 {
            ticker.present = ticker.present.with(field);
        }
    }
    let price = |field: TickerField| values[field as usize].map(|value| Price(value as i64));
    let size = |field: TickerField| values[field as usize].map(|value| Size(value as i64));
    ticker.last = price(TickerField::Last);
    ticker.last_size = size(TickerField::LastSize);
    ticker.bid = price(TickerField::Bid);
    ticker.bid_size = size(TickerField::BidSize);
    ticker.ask = price(TickerField::Ask);
    ticker.ask_size = size(TickerField::AskSize);
    ticker.open = price(TickerField::Open);
    ticker.high = price(TickerField::High);
    ticker.low = price(TickerField::Low);
    ticker.volume = values[TickerField::Volume as usize].map(|low| volume(volume_high, low));
    Ok(())
}

fn volume(high: u64, low: u64) -> Volume {
    Volume((u128::from(high) << 64 | u128::from(low)) as i128)
}

fn read_book(pieces: &mut Pieces, fields: Fields<'_>) -> Read<()> {
    let book = &mut pieces.book;
    book.levels.clear();
    book.checksum = 0;
    for (list, side) in [(tag::CONTENT, BookSide::Bid), (tag::ASKS, BookSide::Ask)] {
        let mut fields = fields;
        let (mut price, mut is_price) = (0i64, true);
        while let Some((field, value)) = fields.next()? {
            if field == tag::CHECKSUM {
                book.checksum = value.fixed32("checksum")?;
            }
            if field != list {
                continue;
            }
            value.each("levels", |number| {
                let number = unzigzag(number);
                if is_price {
                    price = price.wrapping_add(number);
                } else {
                    let level = LevelPiece { side, price: Price(price), size: Size(number) };
                    book.levels.push(level);
                }
                is_price = !is_price;
                Ok(())
            })?;
        }
        if !is_price {
            return Err(ProtobufFault::new("levels: a price without a size"));
        }
    }
    Ok(())
}

fn read_trades(pieces: &mut Pieces, mut fields: Fields<'_>, ts_publish: i64) -> Read<()> {
    pieces.trades.clear();
    while let Some((field, value)) = fields.next()? {
        if field != tag::CONTENT {
            continue;
        }
        let mut fields = value.fields("trades")?;
        let (mut seq_back, mut id, mut is_sell, mut delta) = (0, 0, false, 0);
        let (mut price, mut size) = (0, 0);
        while let Some((field, value)) = fields.next()? {
            match field {
                1 => seq_back = value.varint("trades.seq_back")?,
                2 => id = value.varint("trades.id")?,
                3 => price = value.signed("trades.price")?,
                4 => size = value.signed("trades.size")?,
                5 => is_sell = value.varint("trades.side")? == 1,
                6 => delta = value.zigzag("trades.ts_publish_delta")?,
                _ => {}
            }
        }
        let trade = Trade {
            id,
            price: Price(price),
            size: Size(size),
            side: if is_sell { Side::Sell } else { Side::Buy },
            ts_event: Nanos::from_micros(ts_publish.wrapping_sub(delta)),
        };
        let seq = Seq(pieces.head.seq.0.wrapping_sub(seq_back));
        pieces.trades.push(TradePiece { seq, trade });
    }
    Ok(())
}

fn read_bars(pieces: &mut Pieces, mut fields: Fields<'_>) -> Read<()> {
    pieces.bars.clear();
    while let Some((field, value)) = fields.next()? {
        if field != tag::CONTENT {
            continue;
        }
        let mut fields = value.fields("bars")?;
        let (mut start_s, mut prices, mut low, mut high) = (0i64, [Price(0); 4], 0, 0);
        let (mut trades, mut closed) = (0, false);
        while let Some((field, value)) = fields.next()? {
            match field {
                1 => start_s = value.signed("bars.start_s")?,
                2..=5 => prices[field as usize - 2] = Price(value.signed("bars.price")?),
                6 => low = value.varint("bars.volume")?,
                7 => high = value.varint("bars.volume_high")?,
                8 => trades = value.small("bars.trades")?,
                9 => closed = value.varint("bars.closed")? != 0,
                _ => {}
            }
        }
        let [open, highest, lowest, close] = prices;
        let bar = Bar {
            start: Nanos::from_micros(start_s.saturating_mul(1_000_000)),
            open,
            high: highest,
            low: lowest,
            close,
            volume: volume(high, low),
            trades,
            closed,
        };
        pieces.bars.push(BarPiece { seq: pieces.head.seq, bar });
    }
    Ok(())
}
