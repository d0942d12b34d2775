//! Coinbase Advanced Trade: books, trades and day statistics.

use super::symbols::{Day, Levels, Symbol, Symbols};
use super::{Decode, number, read, time, word};
use serde::Deserialize;
use serde::de::IgnoredAny;
use tickcast_feed::Io;
use tickcast_market::{BookSide, Decimal, EventBody, Nanos, Price, Side, Size, Trade, Venue};

#[derive(Deserialize)]
struct Message<'a, T> {
    timestamp: &'a str,
    sequence_num: u64,
    events: Vec<T>,
}

#[derive(Deserialize)]
struct Book<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    product_id: &'a str,
    #[serde(borrow)]
    updates: Vec<Level<'a>>,
}

#[derive(Deserialize)]
struct Level<'a> {
    side: &'a str,
    event_time: &'a str,
    price_level: &'a str,
    new_quantity: &'a str,
}

#[derive(Deserialize)]
struct Trades<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(borrow)]
    trades: Vec<OneTrade<'a>>,
}

#[derive(Deserialize)]
struct OneTrade<'a> {
    product_id: &'a str,
    trade_id: &'a str,
    price: &'a str,
    size: &'a str,
    time: &'a str,
    side: &'a str,
}

#[derive(Deserialize)]
struct Tickers<'a> {
    #[serde(borrow)]
    tickers: Vec<Ticker<'a>>,
}

#[derive(Deserialize)]
struct Ticker<'a> {
    product_id: &'a str,
    price: &'a str,
    high_24_h: &'a str,
    low_24_h: &'a str,
    volume_24_h: &'a str,
}

/// Whether a snapshot was seen.
type IsLive = bool;

/// The decoder.
#[derive(Debug, Default)]
pub struct Coinbase {
    sequence: Option<u64>,
    symbols: Symbols<IsLive>,
    levels: Levels,
    raw_trades: Vec<(Decimal, Decimal)>,
    trades: Vec<Trade>,
}

impl Decode for Coinbase {
    const VENUE: Venue = Venue::Coinbase;

    fn message(&mut self, bytes: &[u8], io: &mut Io<'_>) {
        match word(bytes, b"{\"channel\":\"") {
            b"l2_data" => {
                let (timestamp, books) = self.open("l2_data", read(bytes), io);
                books.iter().for_each(|book: &Book<'_>| self.book(book, timestamp, io));
            }
            b"market_trades" => {
                let (_, parts) = self.open("market_trades", read(bytes), io);
                for part in &parts {
                    self.trades(part, io);
                }
            }
            b"ticker" => {
                let (timestamp, parts) = self.open("ticker", read(bytes), io);
                for Tickers { tickers } in &parts {
                    tickers.iter().for_each(|ticker| self.ticker(ticker, timestamp, io));
                }
            }
            _ => {
                self.open::<IgnoredAny>("other", read(bytes), io);
            }
        }
    }
}

impl Coinbase {
    /// Checks the sequence; the message's time and parts.
    fn open<T>(
        &mut self,
        kind: &'static str,
        message: Message<'_, T>,
        io: &mut Io<'_>,
    ) -> (Nanos, Vec<T>) {
        io.tally.message(kind);
        let last = self.sequence.replace(message.sequence_num);
        assert!(
            last.is_none_or(|last| last + 1 == message.sequence_num),
            "the recording has no gap"
        );
        (time(message.timestamp), message.events)
    }

    fn symbol(&mut self, name: &str, io: &mut Io<'_>) -> &mut Symbol<IsLive> {
        self.symbols.find_or_add(Venue::Coinbase, name, io)
    }

    fn book(&mut self, book: &Book<'_>, timestamp: Nanos, io: &mut Io<'_>) {
        self.levels.parsed.clear();
        for level in &book.updates {
            let side = if level.side == "bid" { BookSide::Bid } else { BookSide::Ask };
            self.levels.push(side, level.price_level, level.new_quantity);
        }
        // All levels of a message have the same time, or a snapshot none at all.
        let newest = book.updates.last().map_or(Nanos::ZERO, |level| time(level.event_time));
        let ts_event = if newest > Nanos::ZERO { newest } else { timestamp };
        let symbol = self.symbols.find_or_add(Venue::Coinbase, book.product_id, io);
        if book.kind == "snapshot" {
            symbol.book = true;
            symbol.settle(&mut self.levels);
            symbol.emit(ts_event, EventBody::BookSnapshot(&self.levels.changes), io);
        } else if symbol.book {
            symbol.settle(&mut self.levels);
            symbol.emit(ts_event, EventBody::BookUpdate(&self.levels.changes), io);
        }
    }

    fn trades(&mut self, part: &Trades<'_>, io: &mut Io<'_>) {
        for trades in part.trades.chunk_by(|a, b| a.product_id == b.product_id) {
            self.trades.clear();
            self.raw_trades.clear();
            for trade in trades {
                self.trades.push(Trade {
                    id: trade.trade_id.parse().expect("a recorded id"),
                    price: Price(0),
                    size: Size(0),
                    // The maker's side is named.
                    side: if trade.side == "SELL" { Side::Buy } else { Side::Sell },
                    ts_event: time(trade.time),
                });
                self.raw_trades.push((number(trade.price).trimmed(), number(trade.size).trimmed()));
            }
            let name = trades[0].product_id;
            let symbol = self.symbols.find_or_add(Venue::Coinbase, name, io);
            if part.kind == "snapshot" {
                let all = self.trades.iter().zip(&self.raw_trades);
                let newest = all.max_by_key(|(trade, _)| trade.id).expect("chunks are not empty");
                symbol.old_trade(newest.0.id, newest.1.0, newest.0.ts_event, io);
            } else {
                symbol.trades(&self.raw_trades, &mut self.trades, io);
            }
        }
    }

    fn ticker(&mut self, ticker: &Ticker<'_>, timestamp: Nanos, io: &mut Io<'_>) {
        let day = Day {
            open: None,
            high: Some(number(ticker.high_24_h)),
            low: Some(number(ticker.low_24_h)),
            last: Some(number(ticker.price)),
            volume: Some(number(ticker.volume_24_h)),
        };
        self.symbol(ticker.product_id, io).day(day, timestamp, io);
    }
}
