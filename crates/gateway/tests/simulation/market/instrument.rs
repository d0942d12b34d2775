//! One instrument: what can happen to it, and what is true of its book and its trades.

use crate::message::{DEPTHS, Decimal, Trade, level_hash};
use fastrand::Rng;
use std::collections::BTreeMap;
use tickcast_market::{
    Bar, BookChange, BookSide, DayStats, Event, EventBatch, EventBody, InstrumentIndex, Interval,
    Nanos, Price, Quote, Scales, Side, Size, TradingState, Volume,
};

/// The scales that every instrument begins with; a tick and a lot are one of them.
pub(super) const BASE: Scales = Scales { price: 1, size: 0, volume: 0 };

/// Digits that an instrument may gain.
const FINER_MAX: u8 = 3;

/// A trade as it happened.
#[derive(Clone, Copy, Debug)]
struct Fact {
    id: u64,
    ticks: i64,
    lots: i64,
    is_buy: bool,
    ts_event: Nanos,
}

#[derive(Debug)]
pub(crate) struct Instrument {
    pub(super) index: InstrumentIndex,
    pub(crate) name: String,
    pub(super) source: usize,
    scales: Scales,
    /// Its venue sends quotes of their own.
    quoted: bool,
    deep: bool,
    mid: i64,
    bids: BTreeMap<i64, i64>,
    asks: BTreeMap<i64, i64>,
    facts: Vec<Fact>,
    /// Its book is crossed or its feed was asked for a new one.
    broken: bool,
    /// Its book is another than when this was last asked.
    book_changed: bool,
}

fn geometric(random: &mut Rng) -> i64 {
    (random.f64().ln() * -4.0) as i64
}

impl Instrument {
    pub(super) fn new(
        index: InstrumentIndex,
        name: String,
        source: usize,
        random: &mut Rng,
    ) -> Instrument {
        Instrument {
            index,
            name,
            source,
            scales: BASE,
            quoted: random.u8(..3) == 0,
            deep: random.u8(..8) == 0,
            mid: random.i64(900..5_000),
            bids: BTreeMap::new(),
            asks: BTreeMap::new(),
            facts: Vec::new(),
            broken: false,
            book_changed: true,
        }
    }

    /// How many trades there have been.
    pub(super) fn trades(&self) -> u64 {
        self.facts.len() as u64
    }

    /// The truth about a trade.
    pub(super) fn check_trade(&self, trade: &Trade) -> Result<(), String> {
        let Some(fact) = self.facts.get((trade.seq as usize).wrapping_sub(1)) else {
            return Err(format!("trade {trade:?} never happened"));
        };
        let at = |base: i64, scale: u8, base_scale: u8| {
            i128::from(base) * 10i128.pow(u32::from(scale - base_scale))
        };
        let is_true = trade.id == fact.id
            && trade.price.scale >= BASE.price
            && trade.price.mantissa == at(fact.ticks, trade.price.scale, BASE.price)
            && trade.size.mantissa == at(fact.lots, trade.size.scale, BASE.size)
            && trade.is_buy == fact.is_buy
            && trade.ts_event == fact.ts_event.micros();
        if is_true { Ok(()) } else { Err(format!("{trade:?} was {fact:?}")) }
    }

    fn price(&self, ticks: i64, scales: Scales) -> Price {
        Price(ticks * 10i64.pow(u32::from(scales.price - BASE.price)))
    }

    fn size(&self, lots: i64, scales: Scales) -> Size {
        Size(lots * 10i64.pow(u32::from(scales.size - BASE.size)))
    }

    /// Lets something happen to it.
    pub(super) fn act(
        &mut self,
        now: Nanos,
        batch: &mut EventBatch,
        random: &mut Rng,
        trade_id: &mut u64,
    ) {
        // Venues write no more digits than they need.
        let scales = if random.u8(..4) == 0 { BASE } else { self.scales };
        let instrument = self.index;
        let mut say = |scales: Scales, body: EventBody<'_>| {
            batch.push(&Event { instrument, ts_event: now, ts_recv: now, scales, body });
        };
        if self.broken || self.bids.is_empty() {
            let levels = self.new_book(random, scales);
            say(scales, EventBody::BookSnapshot(&levels));
            say(scales, EventBody::State(TradingState::Live));
            self.broken = false;
            return;
        }
        match random.u32(..1000) {
            0..600 => {
                let changes = self.change_book(random, scales);
                say(scales, EventBody::BookUpdate(&changes));
            }
            600..680 if self.quoted => {
                let quote = self.quote(random, scales);
                say(scales, EventBody::Quote(quote));
            }
            600..820 => {
                let trades = self.trade(random, now, scales, trade_id);
                say(scales, EventBody::Trades(&trades));
            }
            820..880 => {
                let high = Some(self.price(self.mid + random.i64(0..50), scales));
                let volume = Some(Volume(random.i128(1..1_000_000)));
                let scales = Scales { volume: 0, ..scales };
                say(scales, EventBody::Day(DayStats { high, volume, ..DayStats::default() }));
            }
            880..925 => {
                let states = [
                    TradingState::Live,
                    TradingState::Live,
                    TradingState::Halted,
                    TradingState::Closed,
                    TradingState::Stale,
                ];
                say(scales, EventBody::State(states[random.usize(..states.len())]));
            }
            925..955 => {
                let levels = self.new_book(random, scales);
                say(scales, EventBody::BookSnapshot(&levels));
            }
            955..975 => {
                // The best bid above the best ask.
                let best = *self.asks.keys().next().expect("a book has both sides");
                let price = self.price(best + 1, scales);
                let size = self.size(3, scales);
                self.bids.insert(best + 1, 3);
                (self.broken, self.book_changed) = (true, true);
                let change = BookChange { side: BookSide::Bid, price, size };
                say(scales, EventBody::BookUpdate(&[change]));
            }
            975..980 => {
                // Digits that no number has room for.
                let scales = Scales { price: 18, ..self.scales };
                let (side, price) = (BookSide::Bid, Price(1));
                self.broken = true;
                say(scales, EventBody::BookUpdate(&[BookChange { side, price, size: Size(1) }]));
            }
            980..985 => {
                let count = if random.u8(..8) == 0 { 600 } else { 20 };
                let bars = self.history(now, count, scales);
                let interval = if count == 20 { Interval::M1 } else { Interval::S1 };
                say(scales, EventBody::Bars(interval, &bars));
            }
            _ => {
                if random.bool() {
                    self.scales.price = (self.scales.price + 1).min(BASE.price + FINER_MAX);
                } else {
                    self.scales.size = (self.scales.size + 1).min(BASE.size + FINER_MAX);
                }
                self.book_changed = true;
                let changes = self.change_book(random, self.scales);
                say(self.scales, EventBody::BookUpdate(&changes));
            }
        }
    }

    fn new_book(&mut self, random: &mut Rng, scales: Scales) -> Vec<BookChange> {
        let levels = if self.deep { random.i64(90..150) } else { random.i64(3..30) };
        self.bids.clear();
        self.asks.clear();
        for _ in 0..levels {
            self.bids.insert(self.mid - 1 - random.i64(0..levels * 2), random.i64(1..9));
            self.asks.insert(self.mid + 1 + random.i64(0..levels * 2), random.i64(1..9));
        }
        self.book_changed = true;
        let bids = self.bids.iter().map(|(ticks, lots)| (BookSide::Bid, *ticks, *lots));
        let asks = self.asks.iter().map(|(ticks, lots)| (BookSide::Ask, *ticks, *lots));
        bids.chain(asks).map(|level| self.wire_change(level, scales)).collect()
    }

    fn wire_change(&self, (side, ticks, lots): (BookSide, i64, i64), at: Scales) -> BookChange {
        BookChange { side, price: self.price(ticks, at), size: self.size(lots, at) }
    }

    /// Some levels near the top; the middle moves now and then and takes levels with it.
    fn change_book(&mut self, random: &mut Rng, scales: Scales) -> Vec<BookChange> {
        let mut changes = Vec::new();
        if random.u8(..4) == 0 {
            let to = self.mid + random.i64(-2..=2);
            changes.extend(self.bids.range(to..).map(|(at, _)| (BookSide::Bid, *at, 0)));
            changes.extend(self.asks.range(..=to).map(|(at, _)| (BookSide::Ask, *at, 0)));
            self.mid = to;
        }
        for _ in 0..random.u8(1..6) {
            let lots = if random.u8(..3) == 0 { 0 } else { random.i64(1..9) };
            if random.bool() {
                changes.push((BookSide::Bid, self.mid - 1 - geometric(random), lots));
            } else {
                changes.push((BookSide::Ask, self.mid + 1 + geometric(random), lots));
            }
        }
        // Neither side is ever empty for long.
        changes.push((BookSide::Bid, self.mid - 1 - random.i64(0..5), random.i64(1..9)));
        changes.push((BookSide::Ask, self.mid + 1 + random.i64(0..5), random.i64(1..9)));
        for (side, ticks, lots) in &changes {
            let levels = if *side == BookSide::Bid { &mut self.bids } else { &mut self.asks };
            if *lots == 0 {
                levels.remove(ticks)
            } else {
                levels.insert(*ticks, *lots)
            };
        }
        self.book_changed = true;
        changes.into_iter().map(|change| self.wire_change(change, scales)).collect()
    }

    fn quote(&self, random: &mut Rng, scales: Scales) -> Quote {
        let mut side = |ticks| {
            let lots = random.i64(1..9);
            let there = random.u8(..6) != 0;
            there.then(|| (self.price(ticks, scales), self.size(lots, scales)))
        };
        Quote { bid: side(self.mid - 1), ask: side(self.mid + 1) }
    }

    /// Mostly a few; now and then more than are kept, or some that come very late.
    fn trade(
        &mut self,
        random: &mut Rng,
        now: Nanos,
        scales: Scales,
        trade_id: &mut u64,
    ) -> Vec<tickcast_market::Trade> {
        let (count, apart) = match random.u32(..150) {
            0 => (random.i64(700..1_400), Nanos::ZERO),
            1 => (600, Nanos::from_secs(1)),
            2..12 => (random.i64(1..4), Nanos::from_secs(45)),
            _ => (random.i64(1..4), Nanos::ZERO),
        };
        let mut trades = Vec::new();
        for at in 0..count {
            *trade_id += 1;
            let fact = Fact {
                id: *trade_id,
                ticks: self.mid + at % 3 - 1,
                lots: 1 + at % 5,
                is_buy: random.bool(),
                ts_event: Nanos(now.0 - apart.0 * (count - at)),
            };
            self.facts.push(fact);
            trades.push(tickcast_market::Trade {
                id: fact.id,
                price: self.price(fact.ticks, scales),
                size: self.size(fact.lots, scales),
                side: if fact.is_buy { Side::Buy } else { Side::Sell },
                ts_event: fact.ts_event,
            });
        }
        trades
    }

    fn history(&self, now: Nanos, count: i64, scales: Scales) -> Vec<Bar> {
        let interval = if count == 20 { Interval::M1 } else { Interval::S1 };
        let price = self.price(self.mid, scales);
        let volume = Volume(i128::from(self.size(7, scales).0));
        let bar = |back: i64| Bar {
            start: Nanos(interval.start_of(now).0 - back * interval.span().0),
            open: price,
            high: price,
            low: price,
            close: price,
            volume,
            trades: 3,
            closed: true,
        };
        (1..=count).rev().map(bar).collect()
    }

    /// Whether the book is another than at the last call.
    pub(crate) fn take_book_changed(&mut self) -> bool {
        std::mem::take(&mut self.book_changed)
    }

    fn levels(&self, is_bid: bool) -> impl Iterator<Item = (Decimal, Decimal)> {
        let bids = self.bids.iter().rev().filter(move |_| is_bid);
        let asks = self.asks.iter().filter(move |_| !is_bid);
        let Scales { price, size, .. } = self.scales;
        bids.chain(asks).map(move |(ticks, lots)| {
            let mantissa = self.price(*ticks, self.scales).0.into();
            let lots = self.size(*lots, self.scales).0.into();
            (Decimal { mantissa, scale: price }, Decimal { mantissa: lots, scale: size })
        })
    }

    /// The sum of the hashes of the levels that each depth shows, and the checksum.
    pub(crate) fn book(&self) -> ([u64; DEPTHS.len()], u64) {
        let mut sums = [0u64; DEPTHS.len()];
        for is_bid in [true, false] {
            for (rank, (price, size)) in self.levels(is_bid).enumerate() {
                let hash = level_hash(is_bid, price, size);
                for (sum, depth) in sums.iter_mut().zip(DEPTHS) {
                    *sum = sum.wrapping_add(if rank < depth.into() { hash } else { 0 });
                }
            }
        }
        let mut text = String::new();
        for (price, size) in self.levels(false).take(10).chain(self.levels(true).take(10)) {
            text += &format!("{}{}", price.mantissa, size.mantissa);
        }
        (sums, crc32(text.as_bytes()).into())
    }
}

/// The CRC-32 of zip and PNG, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 }
        })
    })
}
