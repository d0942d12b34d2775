//! Coinbase Exchange: books, matches and day statistics.

use super::symbols::{Day, Levels, Symbols};
use super::{Decode, number, read, time, word};
use serde::Deserialize;
use serde::de::IgnoredAny;
use tickcast_feed::Io;
use tickcast_market::{BookSide, EventBody, Nanos, Price, Side, Size, Trade, Venue};

#[derive(Deserialize)]
struct Snapshot<'a> {
    product_id: &'a str,
    #[serde(borrow)]
    asks: Vec<[&'a str; 2]>,
    #[serde(borrow)]
    bids: Vec<[&'a str; 2]>,
}

#[derive(Deserialize)]
struct Update<'a> {
    product_id: &'a str,
    #[serde(borrow)]
    changes: Vec<[&'a str; 3]>,
    time: &'a str,
}

#[derive(Deserialize)]
struct Match<'a> {
    trade_id: u64,
    side: &'a str,
    size: &'a str,
    price: &'a str,
    product_id: &'a str,
    time: &'a str,
}

#[derive(Deserialize)]
struct Ticker<'a> {
    product_id: &'a str,
    price: &'a str,
    open_24h: &'a str,
    volume_24h: &'a str,
    low_24h: &'a str,
    high_24h: &'a str,
    time: &'a str,
}

/// Whether a snapshot was seen.
type IsLive = bool;

/// The decoder.
#[derive(Debug, Default)]
pub struct CoinbaseExchange {
    symbols: Symbols<IsLive>,
    levels: Levels,
    trades: Vec<Trade>,
}

impl Decode for CoinbaseExchange {
    const VENUE: Venue = Venue::CoinbaseExchange;

    fn message(&mut self, bytes: &[u8], io: &mut Io<'_>) {
        match word(bytes, b"{\"type\":\"") {
            b"l2update" => {
                io.tally.message("l2update");
                self.update(&read(bytes), io);
            }
            b"match" => {
                io.tally.message("match");
                self.trade(&read(bytes), true, io);
            }
            b"last_match" => {
                io.tally.message("last_match");
                self.trade(&read(bytes), false, io);
            }
            b"ticker" => {
                io.tally.message("ticker");
                self.ticker(&read(bytes), io);
            }
            b"snapshot" => {
                io.tally.message("snapshot");
                self.snapshot(&read(bytes), io);
            }
            _ => {
                io.tally.message("other");
                let IgnoredAny = read(bytes);
            }
        }
    }
}

impl CoinbaseExchange {
    fn snapshot(&mut self, message: &Snapshot<'_>, io: &mut Io<'_>) {
        let symbol = self.symbols.find_or_add(Self::VENUE, message.product_id, io);
        self.levels.parsed.clear();
        // In the order in which the venue sends them.
        for (side, pairs) in [(BookSide::Ask, &message.asks), (BookSide::Bid, &message.bids)] {
            pairs.iter().for_each(|[price, size]| self.levels.push(side, price, size));
        }
        symbol.book = true;
        symbol.settle(&mut self.levels);
        symbol.emit(Nanos::ZERO, EventBody::BookSnapshot(&self.levels.changes), io);
    }

    fn update(&mut self, message: &Update<'_>, io: &mut Io<'_>) {
        let symbol = self.symbols.find_or_add(Self::VENUE, message.product_id, io);
        self.levels.parsed.clear();
        for [side, price, size] in &message.changes {
            let side = if *side == "buy" { BookSide::Bid } else { BookSide::Ask };
            self.levels.push(side, price, size);
        }
        let ts_event = time(message.time);
        if symbol.book {
            symbol.settle(&mut self.levels);
            symbol.emit(ts_event, EventBody::BookUpdate(&self.levels.changes), io);
        }
    }

    fn trade(&mut self, message: &Match<'_>, is_new: bool, io: &mut Io<'_>) {
        let (price, size) = (number(message.price).trimmed(), number(message.size).trimmed());
        let (id, ts_event) = (message.trade_id, time(message.time));
        let symbol = self.symbols.find_or_add(Self::VENUE, message.product_id, io);
        if !is_new {
            return symbol.old_trade(id, price, ts_event, io);
        }
        // The maker's side is named.
        let side = if message.side == "sell" { Side::Buy } else { Side::Sell };
        self.trades.clear();
        self.trades.push(Trade { id, price: Price(0), size: Size(0), side, ts_event });
        symbol.trades(&[(price, size)], &mut self.trades, io);
    }

    fn ticker(&mut self, message: &Ticker<'_>, io: &mut Io<'_>) {
        let day = Day {
            open: Some(number(message.open_24h)),
            high: Some(number(message.high_24h)),
            low: Some(number(message.low_24h)),
            last: Some(number(message.price)),
            volume: Some(number(message.volume_24h)),
        };
        let symbol = self.symbols.find_or_add(Self::VENUE, message.product_id, io);
        symbol.day(day, time(message.time), io);
    }
}
