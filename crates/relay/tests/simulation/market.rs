//! What happens on a simulated market.

use fastrand::Rng;
use tickcast_market::{
    BookChange, BookSide, Event, EventBatch, EventBody, InstrumentIndex, InstrumentSpec, Nanos,
    Price, Quote, Scales, Side, Size, SourceIndex, Trade, TradingState, Venue,
};

pub(crate) const INSTRUMENTS: usize = 3;

pub(crate) fn spec(number: usize) -> InstrumentSpec {
    InstrumentSpec {
        venue: Venue::Sim,
        symbol: format!("S{number}-USD"),
        venue_symbol: format!("S{number}"),
        tick_size: None,
        lot_size: None,
        scales: Scales { price: 1, size: 0, volume: 0 },
    }
}

/// One publisher's view of the markets: what it has heard.
#[derive(Debug)]
pub(crate) struct Market {
    pub(crate) random: Rng,
    trade_id: u64,
    scale: [u8; INSTRUMENTS],
}

impl Market {
    pub(crate) fn new(random: Rng) -> Market {
        Market { random, trade_id: 1, scale: [1; INSTRUMENTS] }
    }

    fn batch(&self, instrument: usize, now: Nanos, body: EventBody<'_>) -> EventBatch {
        let scales = Scales { price: self.scale[instrument], size: 0, volume: 0 };
        let instrument = InstrumentIndex(instrument as u32);
        let mut batch = EventBatch::default();
        (batch.source, batch.clock) = (SourceIndex(0), now);
        batch.push(&Event { instrument, ts_event: now, ts_recv: now, scales, body });
        batch
    }

    fn change(&mut self, levels: i64) -> BookChange {
        let offset = self.random.i64(1..=levels);
        let side = if self.random.bool() { BookSide::Bid } else { BookSide::Ask };
        let price = if side == BookSide::Bid { 1_000 - offset } else { 1_000 + offset };
        BookChange { side, price: Price(price), size: Size(self.random.i64(0..4)) }
    }

    /// The data is current from here on.
    pub(crate) fn open(&self, instrument: usize, now: Nanos) -> EventBatch {
        self.batch(instrument, now, EventBody::State(TradingState::Live))
    }

    /// Something happens to one of the first `listed` instruments.
    pub(crate) fn next(&mut self, listed: usize, now: Nanos) -> EventBatch {
        let instrument = self.random.usize(..listed);
        match self.random.u8(..40) {
            0..=14 => {
                let mut side =
                    || (self.random.u8(..6) > 0).then(|| (Price(self.random.i64(1..500)), Size(1)));
                let quote = Quote { bid: side(), ask: side() };
                self.batch(instrument, now, EventBody::Quote(quote))
            }
            15..=24 => {
                let changes: Vec<_> = (0..3).map(|_| self.change(60)).collect();
                self.batch(instrument, now, EventBody::BookUpdate(&changes))
            }
            25 => {
                // More of them than the deepest view has.
                let levels: Vec<_> = (0..1_400).map(|_| self.change(700)).collect();
                self.batch(instrument, now, EventBody::BookSnapshot(&levels))
            }
            26 => {
                let levels: Vec<_> = (0..40).map(|_| self.change(60)).collect();
                self.batch(instrument, now, EventBody::BookSnapshot(&levels))
            }
            27..=36 => self.trades(instrument, now),
            37 => {
                let states = [TradingState::Stale, TradingState::Halted, TradingState::Resync];
                let state = states[self.random.usize(..3)];
                self.batch(instrument, now, EventBody::State(state))
            }
            38 if self.scale[instrument] < 5 && self.random.u8(..4) == 0 => {
                // A finer price: a new epoch.
                self.scale[instrument] += 1;
                let quote = Quote { bid: Some((Price(7), Size(1))), ask: None };
                self.batch(instrument, now, EventBody::Quote(quote))
            }
            _ => self.open(instrument, now),
        }
    }

    fn trades(&mut self, instrument: usize, now: Nanos) -> EventBatch {
        // Rarely more than are kept.
        let count = if self.random.u8(..60) == 0 { 1_200 } else { self.random.u64(1..4) };
        let trades: Vec<Trade> = (0..count)
            .map(|at| Trade {
                id: self.trade_id + at,
                price: Price(self.random.i64(400..420)),
                size: Size(1),
                side: if self.random.bool() { Side::Buy } else { Side::Sell },
                ts_event: now,
            })
            .collect();
        self.trade_id += count;
        self.batch(instrument, now, EventBody::Trades(&trades))
    }
}
