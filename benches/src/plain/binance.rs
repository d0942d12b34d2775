//! Binance: quotes, trades and books whose snapshots arrive over REST amid the updates. The stream's
//! name is the discriminator.

use super::symbols::{Levels, Symbol, Symbols};
use super::{Decode, number, read};
use serde::Deserialize;
use tickcast_feed::Io;
use tickcast_market::{BookChange, BookSide, EventBody, Nanos, Quote, Scales, Side, Trade, Venue};

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

/// How far an instrument's messages have been counted, and what waits for the snapshot.
#[derive(Debug, Default)]
struct Counts {
    quote_id: u64,
    book_id: Option<u64>,
    kept: Vec<(u64, Nanos, Scales, Vec<BookChange>)>,
}

/// The decoder.
#[derive(Debug, Default)]
pub struct Binance {
    symbols: Symbols<Counts>,
    levels: Levels,
}

impl Levels {
    fn sides(&mut self, sides: [&[[&str; 2]]; 2]) {
        self.parsed.clear();
        for (side, pairs) in [BookSide::Bid, BookSide::Ask].into_iter().zip(sides) {
            pairs.iter().for_each(|[price, size]| self.push(side, price, size));
        }
    }
}

impl Binance {
    fn symbol(&mut self, name: &str, io: &mut Io<'_>) -> &mut Symbol<Counts> {
        self.symbols.find_or_add(Self::VENUE, name, io)
    }

    fn book_ticker(&mut self, message: &BookTicker<'_>, io: &mut Io<'_>) {
        let symbol = self.symbol(message.s, io);
        if message.u <= symbol.book.quote_id {
            return;
        }
        symbol.book.quote_id = message.u;
        let [b, bid_size, a, ask_size] = [message.b, message.bid_size, message.a, message.ask_size]
            .map(|text| number(text).trimmed());
        symbol.raise(b.scale.max(a.scale), bid_size.scale.max(ask_size.scale));
        let side = |price, size| {
            let (price, size) = (symbol.price(price), symbol.size(size));
            (size.0 > 0).then_some((price, size))
        };
        let quote = Quote { bid: side(b, bid_size), ask: side(a, ask_size) };
        symbol.emit(Nanos::ZERO, EventBody::Quote(quote), io);
    }

    fn trade(&mut self, message: &TradeMessage<'_>, io: &mut Io<'_>) {
        let symbol = self.symbol(message.s, io);
        if message.t <= symbol.trade_id {
            return;
        }
        symbol.trade_id = message.t;
        let (price, size) = (number(message.p).trimmed(), number(message.q).trimmed());
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
        let symbol = self.symbols.find_or_add(Self::VENUE, message.s, io);
        let ts_event = Nanos::from_millis(message.time);
        self.levels.sides([&message.b, &message.a]);
        symbol.settle(&mut self.levels);
        match symbol.book.book_id {
            None => {
                let levels = self.levels.changes.clone();
                symbol.book.kept.push((message.u, ts_event, symbol.scales, levels));
            }
            Some(last) if message.u <= last => {}
            Some(last) => {
                assert!(message.first <= last + 1, "the recording has no gap");
                symbol.book.book_id = Some(message.u);
                symbol.emit(ts_event, EventBody::BookUpdate(&self.levels.changes), io);
            }
        }
    }
}

impl Decode for Binance {
    const VENUE: Venue = Venue::Binance;

    fn message(&mut self, bytes: &[u8], io: &mut Io<'_>) {
        let stream = bytes.iter().position(|byte| *byte == b'@').expect("a combined stream");
        match &bytes[stream + 1..stream + 5] {
            b"book" => {
                io.tally.message("bookTicker");
                self.book_ticker(&read::<Combined<_>>(bytes).data, io);
            }
            b"trad" | b"aggT" => {
                io.tally.message("trade");
                self.trade(&read::<Combined<_>>(bytes).data, io);
            }
            b"dept" => {
                io.tally.message("depthUpdate");
                self.depth(&read::<Combined<_>>(bytes).data, io);
            }
            _ => io.tally.message("other"),
        }
    }

    fn rest(&mut self, url: &str, body: &[u8], io: &mut Io<'_>) {
        let name = url.split_once("symbol=").map_or("", |(_, rest)| rest);
        let name = name.split('&').next().unwrap_or_default();
        let symbol = self.symbols.find_or_add(Self::VENUE, name, io);
        let snapshot: Snapshot<'_> = read(body);
        self.levels.sides([&snapshot.bids, &snapshot.asks]);
        symbol.settle(&mut self.levels);
        symbol.emit(Nanos::ZERO, EventBody::BookSnapshot(&self.levels.changes), io);
        let mut last = snapshot.last_update_id;
        for (id, ts_event, scales, mut levels) in std::mem::take(&mut symbol.book.kept) {
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
        symbol.book.book_id = Some(last);
    }
}
