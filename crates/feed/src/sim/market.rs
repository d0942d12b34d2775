//! One simulated instrument: where its price wants to go, its two sides, and what happens to them.
//!
//! *Invariant:* an update always changes the best bid or ask (price or size); the book is never
//! locked or crossed, not even between two changes of one update; each side keeps
//! [`LEVELS_MIN`] to [`LEVELS_MAX`] levels.

use super::ladder::{LEVELS_MAX, LEVELS_MIN, Ladder, Pen, SLOTS};
use super::listing::Listing;
use super::random::Random;
use super::volatility::{DAY_VOLATILITY, Volatility};
use tickcast_market::{
    BookChange, BookSide, Decimal, Event, EventBody, InstrumentIndex, InstrumentSpec, Nanos, Price,
    Scales, Side, Size, Trade, Venue,
};

/// The most levels that one order eats from.
const TRADES_MAX: usize = 4;
/// The most tick sizes that a quote improves by.
const IMPROVE_MAX: i32 = 8;
/// Of 256 updates so many are trades: one in five.
const TRADE_WEIGHT: u64 = 51;
/// Below so many levels a side is filled up little by little.
const LEVELS_FEW: u32 = 38;
/// The price cannot run away from its quotes by more than this, in tick sizes.
const LAG_MAX: i64 = 40;
/// What one update says: kept and used again, never grown after the start.
#[derive(Debug)]
pub(super) struct Flow {
    changes: Vec<BookChange>,
    trades: Vec<Trade>,
}

/// Room for a whole book.
const CHANGES_MAX: usize = 2 * LEVELS_MAX as usize;
// An update: four levels eaten or eight dropped, a few deeper changes, and each side filled up to
// its minimum again, whatever it has lost.
const _: () = assert!(2 * (TRADES_MAX + IMPROVE_MAX as usize) + 16 <= CHANGES_MAX);
const _: () = assert!(TRADES_MAX < LEVELS_MIN as usize && LEVELS_MAX < SLOTS);

impl Flow {
    pub(super) fn new() -> Flow {
        Flow { changes: Vec::with_capacity(CHANGES_MAX), trades: Vec::with_capacity(TRADES_MAX) }
    }

    pub(super) fn clear(&mut self) {
        self.changes.clear();
        self.trades.clear();
    }

    pub(super) fn changes(&self) -> &[BookChange] {
        &self.changes
    }

    pub(super) fn trades(&self) -> &[Trade] {
        &self.trades
    }
}

#[derive(Clone, Debug)]
pub(super) struct Market {
    pub(super) index: InstrumentIndex,
    pub(super) is_day_changed: bool,
    /// When its day statistics are next to be said.
    pub(super) day_due: Nanos,
    scales: Scales,
    /// The tick size's mantissa.
    tick: i64,
    /// Where the price wants to be, in 2^-16 tick sizes, and its bounds.
    fair: i64,
    fair_min: i64,
    fair_max: i64,
    volatility: Volatility,
    spread_wanted: i32,
    size_unit: u32,
    /// The latest trade's id.
    trade_id: u64,
    last: Price,
    updates_per_second: f64,
    bids: Ladder,
    asks: Ladder,
}

impl Market {
    pub(super) fn new(listing: &Listing, updates_per_second: f64, random: &mut Random) -> Market {
        let price = f64::from(listing.price);
        let per_update = DAY_VOLATILITY * price / (86_400.0 * updates_per_second).sqrt();
        let mut market = Market {
            index: InstrumentIndex(u32::MAX),
            is_day_changed: false,
            day_due: Nanos::ZERO,
            scales: listing.scales,
            tick: listing.tick,
            fair: i64::from(listing.price) << 16,
            fair_min: i64::from(listing.price / 8) << 16,
            fair_max: i64::from(listing.price) << 19,
            // Rare updates cannot carry a day's volatility in steps that look like quotes.
            volatility: Volatility::new(per_update.clamp(0.05, 1.2), 4.0),
            spread_wanted: listing.spread,
            size_unit: listing.size_unit,
            trade_id: 0,
            last: Price(i64::from(listing.price) * listing.tick),
            updates_per_second,
            bids: Ladder::new(-listing.price, listing.size_unit),
            asks: Ladder::new(listing.price + listing.spread, listing.size_unit),
        };
        market.fill(random);
        market
    }

    /// The first book: two of three prices have a level.
    fn fill(&mut self, random: &mut Random) {
        let mut flow = Flow::new();
        for side in [BookSide::Bid, BookSide::Ask] {
            for offset in 1..SLOTS {
                if random.below(3) < 2 && self.ladder(side).len() < LEVELS_MAX {
                    let size = self.level_size(offset, random.next());
                    flow.clear();
                    let (ladder, mut pen) = self.side(side, &mut flow.changes);
                    ladder.put(offset, size, &mut pen);
                }
            }
            flow.clear();
            self.settle(side, random, &mut flow);
        }
    }

    /// How the instrument of that rank is announced.
    pub(super) fn spec(&self, rank: usize) -> InstrumentSpec {
        let symbol = format!("S{rank}-USD");
        InstrumentSpec {
            venue: Venue::Sim,
            venue_symbol: symbol.clone(),
            symbol,
            tick_size: Some(Decimal { mantissa: self.tick, scale: self.scales.price }),
            lot_size: Some(Decimal { mantissa: 1, scale: self.scales.size }),
            scales: self.scales,
        }
    }

    pub(super) fn event<'a>(&self, at: Nanos, recv: Nanos, body: EventBody<'a>) -> Event<'a> {
        let instrument = self.index;
        Event { instrument, ts_event: at, ts_recv: recv, scales: self.scales, body }
    }

    /// The latest trade's price; before the first trade the price that the past ended with.
    pub(super) fn last(&self) -> Price {
        self.last
    }

    pub(super) fn tick(&self) -> i64 {
        self.tick
    }

    pub(super) fn size_unit(&self) -> u32 {
        self.size_unit
    }

    /// How many trades it has in a minute.
    pub(super) fn trades_per_minute(&self) -> f64 {
        self.updates_per_second * 60.0 * TRADE_WEIGHT as f64 / 256.0
    }

    /// Writes the whole book down, bids first, best levels first.
    pub(super) fn snapshot(&mut self, flow: &mut Flow) {
        for side in [BookSide::Bid, BookSide::Ask] {
            let (ladder, mut pen) = self.side(side, &mut flow.changes);
            ladder.write_all(&mut pen);
        }
    }

    /// One ticker update.
    pub(super) fn update(&mut self, at: Nanos, random: &mut Random, flow: &mut Flow) {
        self.drift(random);
        let bits = random.next();
        if bits & 0xFF < TRADE_WEIGHT {
            self.trade(at, bits >> 8, random, flow);
        } else {
            self.quote(bits >> 8, random, flow);
        }
        self.deepen(random, flow);
        self.settle(BookSide::Bid, random, flow);
        self.settle(BookSide::Ask, random, flow);
        debug_assert!(self.spread() > 0 && flow.changes.len() <= CHANGES_MAX);
    }

    fn ladder(&self, side: BookSide) -> &Ladder {
        match side {
            BookSide::Bid => &self.bids,
            BookSide::Ask => &self.asks,
        }
    }

    fn side<'a>(
        &mut self,
        side: BookSide,
        changes: &'a mut Vec<BookChange>,
    ) -> (&mut Ladder, Pen<'a>) {
        match side {
            BookSide::Bid => (&mut self.bids, Pen { changes, side, price_per_key: -self.tick }),
            BookSide::Ask => (&mut self.asks, Pen { changes, side, price_per_key: self.tick }),
        }
    }

    /// In tick sizes; keys of bids are mirrored.
    fn spread(&self) -> i32 {
        self.asks.best() + self.bids.best()
    }

    /// How far the price wants to go from the middle of its quotes, in half tick sizes.
    fn lean(&self) -> i32 {
        (self.fair >> 15) as i32 - (self.asks.best() - self.bids.best())
    }

    fn drift(&mut self, random: &mut Random) {
        let middle = i64::from(self.asks.best() - self.bids.best()) << 15;
        let lag = LAG_MAX << 16;
        self.fair = (self.fair + self.volatility.step(random))
            .clamp(middle - lag, middle + lag)
            .clamp(self.fair_min, self.fair_max);
    }

    /// Sizes are larger away from the top and have a tail: each doubling is half as frequent.
    fn level_size(&self, offset: u32, bits: u64) -> u32 {
        let usual = (u64::from(self.size_unit) * u64::from(8 + offset)) >> 4;
        let doublings = (bits >> 8).trailing_zeros().min(3);
        (((usual * (32 + (bits & 0xFF))) >> 7) << doublings) as u32
    }

    /// An order's size, with a long tail: from a hundredth of a level to many levels.
    fn order_size(&self, bits: u64) -> u32 {
        let doublings = (bits >> 8).trailing_zeros().min(9);
        (((u64::from(self.size_unit >> 4) * (32 + (bits & 0xFF))) >> 7) << doublings) as u32
    }

    /// An order that crosses the spread: it eats from the best level, and on if it is large.
    fn trade(&mut self, at: Nanos, bits: u64, random: &mut Random, flow: &mut Flow) {
        let lean = self.lean();
        let is_buy = if lean.abs() >= 2 && bits & 3 != 0 { lean > 0 } else { bits & 4 != 0 };
        let mut left = self.order_size(random.next()).max(1);
        let (side, aggressor) =
            if is_buy { (BookSide::Ask, Side::Buy) } else { (BookSide::Bid, Side::Sell) };
        let (mut last, mut id) = (self.last, self.trade_id);
        let (ladder, mut pen) = self.side(side, &mut flow.changes);
        for _ in 0..TRADES_MAX {
            let resting = ladder.best_size();
            let size = left.min(resting);
            last = pen.price(ladder.best());
            id += 1;
            let size_traded = Size(i64::from(size));
            flow.trades.push(Trade {
                id,
                price: last,
                size: size_traded,
                side: aggressor,
                ts_event: at,
            });
            left -= size;
            if size < resting {
                ladder.put(0, resting - size, &mut pen);
            } else {
                ladder.retreat(&mut pen);
            }
            if left == 0 {
                break;
            }
        }
        // Part of a trade's impact stays.
        let impact = (flow.trades.len() as i64) << 14;
        self.fair += if is_buy { impact } else { -impact };
        (self.last, self.trade_id) = (last, id);
    }

    /// Somebody changes a quote: towards where the price wants to be, towards the usual spread, or
    /// only its size.
    fn quote(&mut self, bits: u64, random: &mut Random, flow: &mut Flow) {
        let lean = self.lean();
        let is_pulled = lean.abs() >= 2;
        let is_up = if is_pulled { lean > 0 } else { bits & 1 == 1 };
        let is_heads = bits & 2 == 2;
        let spread = self.spread();
        let (behind, ahead) =
            if is_up { (BookSide::Bid, BookSide::Ask) } else { (BookSide::Ask, BookSide::Bid) };
        if spread > self.spread_wanted && (is_pulled || is_heads) {
            self.improve(behind, random, flow);
        } else if is_pulled {
            self.retreat(ahead, flow);
            if is_heads {
                self.improve(behind, random, flow);
            }
        } else if spread < self.spread_wanted && bits & 0x1C == 0 {
            self.retreat(ahead, flow);
        } else {
            let size = self.level_size(0, random.next());
            let (ladder, mut pen) = self.side(behind, &mut flow.changes);
            // Whatever is drawn, it is a change.
            let size = size + u32::from(size == ladder.best_size());
            ladder.put(0, size, &mut pen);
        }
    }

    fn retreat(&mut self, side: BookSide, flow: &mut Flow) {
        let (ladder, mut pen) = self.side(side, &mut flow.changes);
        ladder.retreat(&mut pen);
    }

    /// A better quote inside the spread, which must be wider than one tick size.
    fn improve(&mut self, side: BookSide, random: &mut Random, flow: &mut Flow) {
        let spread = self.spread();
        let wanted = (self.lean().abs() / 2).max(spread - self.spread_wanted).clamp(1, IMPROVE_MAX);
        let by = wanted.min(spread - 1) as u32;
        let size = self.level_size(0, random.next());
        let (ladder, mut pen) = self.side(side, &mut flow.changes);
        ladder.improve(by, size, &mut pen);
    }

    /// None, one or two changes behind the top, mostly near it.
    fn deepen(&mut self, random: &mut Random, flow: &mut Flow) {
        let mut bits = random.next();
        let count = [0, 1, 1, 2][(bits & 3) as usize];
        for _ in 0..count {
            bits >>= 16;
            let side = if bits & 1 == 0 { BookSide::Bid } else { BookSide::Ask };
            // The and of two numbers is mostly small.
            let offset = (1 + (bits >> 1 & bits >> 7 & 63) as u32).min(SLOTS - 1);
            let (held, len) = (self.ladder(side).has(offset), self.ladder(side).len());
            if held && len > LEVELS_MIN && bits & 1 << 13 == 0 {
                let (ladder, mut pen) = self.side(side, &mut flow.changes);
                ladder.remove(offset, &mut pen);
            } else if held || len < LEVELS_MAX {
                let size = self.level_size(offset, random.next());
                let (ladder, mut pen) = self.side(side, &mut flow.changes);
                ladder.put(offset, size, &mut pen);
            }
        }
    }

    /// Fills a side that has few levels: at once up to the minimum, then now and then.
    fn settle(&mut self, side: BookSide, random: &mut Random, flow: &mut Flow) {
        let missing = LEVELS_MIN.saturating_sub(self.ladder(side).len());
        let few = u32::from(self.ladder(side).len() < LEVELS_FEW);
        for _ in 0..missing.max(few) {
            let bits = random.next();
            if missing == 0 && bits >> 63 == 0 {
                return;
            }
            let offset = self.ladder(side).vacancy(1 + (bits >> 32) as u32 % (SLOTS - 1));
            let size = self.level_size(offset, bits);
            let (ladder, mut pen) = self.side(side, &mut flow.changes);
            ladder.put(offset, size, &mut pen);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::listing;
    use super::super::random::Purpose;
    use super::*;

    #[test]
    fn the_price_moves_its_quotes_and_the_spread_comes_back() {
        for (rank, rate) in [(0, 1.0), (0, 10_000.0), (500, 0.1)] {
            let mut random = Random::new(u64::from(rank), Purpose::Flow);
            let listing = listing::list(rank, &mut random);
            let mut market = Market::new(&listing, rate, &mut random);
            let mut flow = Flow::new();
            let (mut spreads, mut moves) = (0i64, 0);
            for _ in 0..20_000 {
                let before = (market.bids.best(), market.asks.best());
                flow.clear();
                market.update(Nanos::ZERO, &mut random, &mut flow);
                moves += u32::from(before != (market.bids.best(), market.asks.best()));
                spreads += i64::from(market.spread());
                for ladder in [&market.bids, &market.asks] {
                    assert!((LEVELS_MIN..=LEVELS_MAX).contains(&ladder.len()), "{}", ladder.len());
                }
                assert!(market.lean().abs() < 2 * (LAG_MAX as i32 + 64));
            }
            let mean = spreads as f64 / 20_000.0;
            let wanted = f64::from(listing.spread);
            assert!(mean >= wanted * 0.5 && mean <= wanted + 3.0, "{mean} around {wanted}");
            assert!((2_000..18_000).contains(&moves), "{moves} of 20000 updates moved a price");
        }
    }
}
