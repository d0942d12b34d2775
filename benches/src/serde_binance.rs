//! The Binance decoder that one would write first: `serde_json` into borrowed structs, the stream
//! name as discriminator, [`Decimal`] for the numbers. It does the work of the real handler on a
//! flawless recording (duplicates, the snapshot's join, scales, the same events) and none of what
//! happens otherwise.

use rustc_hash::FxHashMap;
use serde::Deserialize;
use tickcast_feed::{ConnectionIndex, Handler, Io, Limits};
use tickcast_market::{
    BookChange, BookSide, Decimal, Event, EventBody, InstrumentIndex, InstrumentSpec, Nanos, Price,
    Quote, Scales, Side, Size, Trade, Venue,
};

#[derive(Deserialize)]
struct Combined<T> {
    data: T,
}

#[derive(Deserialize)]
struct BookTicker<'a> {
    u: u64,
    s: &'a str,
    b: &'a str,
    #[serde(rename = "B")]
    bid_size: &'a str,
    a: &'a str,
    #[serde(rename = "A")]
    ask_size: &'a str,
}

#[derive(Deserialize)]
struct TradeMessage<'a> {
    s: &'a str,
    #[serde(alias = "a")]
    t: u64,
    p: &'a str,
    q: &'a str,
    #[serde(rename = "T")]
    time: i64,
    m: bool,
}

#[derive(Deserialize)]
struct Depth<'a> {
    #[serde(rename = "E")]
    time: i64,
    s: &'a str,
    #[serde(rename = "U")]
    first: u64,
    u: u64,
    #[serde(borrow)]
    b: Vec<[&'a str; 2]>,
    #[serde(borrow)]
    a: Vec<[&'a str; 2]>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Snapshot<'a> {
    last_update_id: u64,
    #[serde(borrow)]
    bids: Vec<[&'a str; 2]>,
    #[serde(borrow)]
    asks: Vec<[&'a str; 2]>,
}

#[derive(Debug)]
struct Symbol {
    instrument: InstrumentIndex,
    scales: Scales,
    quote_id: u64,
    trade_id: u64,
    book_id: Option<u64>,
    kept: Vec<(u64, Nanos, Scales, Vec<BookChange>)>,
}

/// The decoder.
#[derive(Debug, Default)]
pub struct SerdeBinance {
    by_name: FxHashMap<String, usize>,
    symbols: Vec<Symbol>,
    buffers: Buffers,
}

fn parse(text: &str) -> Decimal {
    Decimal::parse(text.as_bytes()).expect("a recorded number").trimmed()
}

impl Symbol {
    fn raise(&mut self, price: u8, size: u8) {
        self.scales = self.scales.finest(Scales { price, size, volume: size });
    }

    fn price(&self, number: Decimal) -> Price {
        Price(number.at(self.scales.price).expect("the scale was raised"))
    }

    fn size(&self, number: Decimal) -> Size {
        Size(number.at(self.scales.size).expect("the scale was raised"))
    }

    fn emit(&self, ts_event: Nanos, body: EventBody<'_>, io: &mut Io<'_>) {
        let (instrument, scales) = (self.instrument, self.scales);
        io.sink.event(&Event { instrument, ts_event, ts_recv: io.now, scales, body });
    }

    fn read_levels(&mut self, sides: [&[[&str; 2]]; 2], buffers: &mut Buffers) {
        buffers.parsed.clear();
        for (side, pairs) in [BookSide::Bid, BookSide::Ask].into_iter().zip(sides) {
            for [price, size] in pairs {
                let (price, size) = (parse(price), parse(size));
                self.raise(price.scale, size.scale);
                buffers.parsed.push((side, price, size));
            }
        }
        buffers.levels.clear();
        buffers.levels.extend(buffers.parsed.iter().map(|(side, price, size)| BookChange {
            side: *side,
            price: self.price(*price),
            size: self.size(*size),
        }));
    }
}

#[derive(Debug, Default)]
struct Buffers {
    parsed: Vec<(BookSide, Decimal, Decimal)>,
    levels: Vec<BookChange>,
}

impl SerdeBinance {
    fn symbol(&mut self, name: &str, io: &mut Io<'_>) -> usize {
        if let Some(index) = self.by_name.get(name) {
            return *index;
        }
        let spec = InstrumentSpec {
            venue: Venue::Binance,
            symbol: name.into(),
            venue_symbol: name.into(),
            tick_size: None,
            lot_size: None,
            scales: Scales::default(),
        };
        self.symbols.push(Symbol {
            instrument: io.sink.instrument(&spec),
            scales: spec.scales,
            quote_id: 0,
            trade_id: 0,
            book_id: None,
            kept: Vec::new(),
        });
        self.by_name.insert(name.into(), self.symbols.len() - 1);
        self.symbols.len() - 1
    }

    fn book_ticker(&mut self, message: &BookTicker<'_>, io: &mut Io<'_>) {
        let index = self.symbol(message.s, io);
        let symbol = &mut self.symbols[index];
        if message.u <= symbol.quote_id {
            return;
        }
        symbol.quote_id = message.u;
        let [b, bid_size, a, ask_size] =
            [message.b, message.bid_size, message.a, message.ask_size].map(parse);
        symbol.raise(b.scale.max(a.scale), bid_size.scale.max(ask_size.scale));
        let side = |price, size| {
            let (price, size) = (symbol.price(price), symbol.size(size));
            (size.0 > 0).then_some((price, size))
        };
        let quote = Quote { bid: side(b, bid_size), ask: side(a, ask_size) };
        symbol.emit(Nanos::ZERO, EventBody::Quote(quote), io);
    }

    fn trade(&mut self, message: &TradeMessage<'_>, io: &mut Io<'_>) {
        let index = self.symbol(message.s, io);
        let symbol = &mut self.symbols[index];
        if message.t <= symbol.trade_id {
            return;
        }
        symbol.trade_id = message.t;
        let (price, size) = (parse(message.p), parse(message.q));
        symbol.raise(price.scale, size.scale);
        let trade = Trade {
            id: message.t,
            price: symbol.price(price),
            size: symbol.size(size),
            side: if message.m { Side::Sell } else { Side::Buy },
            ts_event: Nanos::from_millis(message.time),
        };
        symbol.emit(trade.ts_event, EventBody::Trades(&[trade]), io);
    }

    fn depth(&mut self, message: &Depth<'_>, io: &mut Io<'_>) {
        let index = self.symbol(message.s, io);
        let symbol = &mut self.symbols[index];
        let ts_event = Nanos::from_millis(message.time);
        symbol.read_levels([&message.b, &message.a], &mut self.buffers);
        match symbol.book_id {
            None => {
                let levels = self.buffers.levels.clone();
                symbol.kept.push((message.u, ts_event, symbol.scales, levels));
            }
            Some(last) if message.u <= last => {}
            Some(last) => {
                assert!(message.first <= last + 1, "the recording has no gap");
                symbol.book_id = Some(message.u);
                symbol.emit(ts_event, EventBody::BookUpdate(&self.buffers.levels), io);
            }
        }
    }
}

impl Handler for SerdeBinance {
    fn venue(&self) -> Venue {
        Venue::Binance
    }

    fn message(&mut self, _: ConnectionIndex, bytes: &mut [u8], io: &mut Io<'_>) {
        let stream = bytes.iter().position(|byte| *byte == b'@').expect("a combined stream");
        match &bytes[stream + 1..stream + 5] {
            b"book" => {
                let message: Combined<BookTicker<'_>> =
                    serde_json::from_slice(bytes).expect("a recorded message");
                io.tally.message("bookTicker");
                self.book_ticker(&message.data, io);
            }
            b"trad" | b"aggT" => {
                let message: Combined<TradeMessage<'_>> =
                    serde_json::from_slice(bytes).expect("a recorded message");
                io.tally.message("trade");
                self.trade(&message.data, io);
            }
            b"dept" => {
                let message: Combined<Depth<'_>> =
                    serde_json::from_slice(bytes).expect("a recorded message");
                io.tally.message("depthUpdate");
                self.depth(&message.data, io);
            }
            _ => io.tally.message("other"),
        }
    }

    fn rest(&mut self, url: &str, body: &mut [u8], io: &mut Io<'_>) {
        let name = url.split_once("symbol=").map_or("", |(_, rest)| rest);
        let index = self.symbol(name.split('&').next().unwrap_or_default(), io);
        let snapshot: Snapshot<'_> = serde_json::from_slice(body).expect("a recorded snapshot");
        let symbol = &mut self.symbols[index];
        symbol.read_levels([&snapshot.bids, &snapshot.asks], &mut self.buffers);
        symbol.emit(Nanos::ZERO, EventBody::BookSnapshot(&self.buffers.levels), io);
        let mut last = snapshot.last_update_id;
        for (id, ts_event, scales, mut levels) in std::mem::take(&mut symbol.kept) {
            if id <= last {
                continue;
            }
            for level in &mut levels {
                let (price, size) = (symbol.scales.price, symbol.scales.size);
                level.price = level.price.rescaled(scales.price, price).expect("fits");
                level.size = level.size.rescaled(scales.size, size).expect("fits");
            }
            symbol.emit(ts_event, EventBody::BookUpdate(&levels), io);
            last = id;
        }
        symbol.book_id = Some(last);
    }

    fn limits(&self) -> Limits {
        unreachable!("only a driver asks")
    }

    fn is_complete(&self) -> bool {
        true
    }

    fn start(&mut self, _: &mut Io<'_>) {}
    fn opened(&mut self, _: ConnectionIndex, _: &str, _: &mut Io<'_>) {}
    fn rest_failed(&mut self, _: &str, _: u16, _: &mut Io<'_>) {}
    fn silent(&mut self, _: ConnectionIndex, _: &mut Io<'_>) {}
    fn closed(&mut self, _: ConnectionIndex, _: &mut Io<'_>) {}
    fn timer(&mut self, _: &mut Io<'_>) {}
    fn resync(&mut self, _: InstrumentIndex, _: &mut Io<'_>) {}
}
