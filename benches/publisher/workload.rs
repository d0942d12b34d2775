//! What the publisher is given: instruments chosen by Zipf's law, and batches of events that can be
//! played round and round and still change something every time.

use fastrand::Rng;
use tickcast_market::{
    BookChange, BookSide, Event, EventBatch, EventBody, InstrumentIndex, Nanos, Price, Quote,
    Scales, Side, Size, SourceIndex, Trade, TradingState,
};

/// How many instruments there are.
pub(crate) const INSTRUMENTS: u32 = 500;

/// Events of one batch; a turn takes one batch.
pub(crate) const BATCH_EVENTS: usize = 256;

/// Batches that are made once and then played round and round.
pub(crate) const BATCHES: usize = 400;

/// Levels a side of every book.
const LEVELS: i64 = 500;

/// Everything happens in this second, so that bars are built and none begins in the middle.
pub(crate) const NOW: Nanos = Nanos::from_secs(1_780_000_000);

pub(crate) const SCALES: Scales = Scales { price: 2, size: 8, volume: 8 };

/// What kind of event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Both sizes are others every time, the prices every third time.
    Quotes,
    /// Three levels near the top: most change, some leave, some are new.
    Books,
    /// One trade.
    Trades,
}

impl Kind {
    pub(crate) const ALL: [Kind; 3] = [Kind::Quotes, Kind::Books, Kind::Trades];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Kind::Quotes => "quotes",
            Kind::Books => "books",
            Kind::Trades => "trades",
        }
    }
}

fn event(instrument: u32, body: EventBody<'_>) -> Event<'_> {
    let instrument = InstrumentIndex(instrument);
    Event { instrument, ts_event: NOW, ts_recv: NOW, scales: SCALES, body }
}

pub(crate) fn empty() -> EventBatch {
    let mut batch = EventBatch::default();
    (batch.source, batch.clock) = (SourceIndex(0), NOW);
    batch
}

/// Makes every instrument live, with a book of [`LEVELS`] levels a side for those that take their
/// ticker from it.
pub(crate) fn opening(kind: Kind) -> EventBatch {
    let mut batch = empty();
    for instrument in 0..INSTRUMENTS {
        batch.push(&event(instrument, EventBody::State(TradingState::Live)));
        if kind != Kind::Quotes {
            let levels: Vec<_> = (1..=LEVELS)
                .flat_map(|distance| [BookSide::Bid, BookSide::Ask].map(|side| (side, distance)))
                .map(|(side, distance)| level(side, distance, 100_000_000 + distance))
                .collect();
            batch.push(&event(instrument, EventBody::BookSnapshot(&levels)));
        }
    }
    batch
}

fn level(side: BookSide, distance: i64, size: i64) -> BookChange {
    let price = match side {
        BookSide::Bid => 6_890_000 - distance,
        BookSide::Ask => 6_890_000 + distance,
    };
    BookChange { side, price: Price(price), size: Size(size) }
}

/// The batches of one kind; the same on every run.
pub(crate) fn batches(kind: Kind) -> Vec<EventBatch> {
    let mut random = Rng::with_seed(7);
    let zipf = zipf();
    let mut number = 0;
    (0..BATCHES)
        .map(|_| {
            let mut batch = empty();
            for _ in 0..BATCH_EVENTS {
                number += 1;
                let shot = random.f64();
                let instrument = zipf.partition_point(|upto| *upto < shot) as u32;
                push(&mut batch, kind, instrument, number, &mut random);
            }
            batch
        })
        .collect()
}

/// The chance that an instrument or a more active one is chosen.
fn zipf() -> Vec<f64> {
    let total: f64 = (1..=INSTRUMENTS).map(|rank| 1.0 / f64::from(rank)).sum();
    let mut upto = 0.0;
    let weight = |rank| {
        upto += 1.0 / f64::from(rank) / total;
        upto
    };
    let mut table: Vec<f64> = (1..=INSTRUMENTS).map(weight).collect();
    *table.last_mut().expect("there are instruments") = 1.0;
    table
}

fn push(batch: &mut EventBatch, kind: Kind, instrument: u32, number: i64, random: &mut Rng) {
    match kind {
        Kind::Quotes => {
            let bid = 6_890_000 + number / 3 % 50;
            let side = |price, size| Some((Price(price), Size(size)));
            let quote = Quote {
                bid: side(bid, 1_000_000 + number),
                ask: side(bid + 1, 90_000_000 - number),
            };
            batch.push(&event(instrument, EventBody::Quote(quote)));
        }
        Kind::Books => {
            let changes: [BookChange; 3] = std::array::from_fn(|_| {
                let side = if random.bool() { BookSide::Bid } else { BookSide::Ask };
                // Half of all changes are at the first two prices, few beyond the tenth.
                let distance = 1 + (random.f64() * random.f64() * 16.0) as i64;
                let size = if random.u8(..5) == 0 { 0 } else { random.i64(1..1 << 30) };
                level(side, distance, size)
            });
            batch.push(&event(instrument, EventBody::BookUpdate(&changes)));
        }
        Kind::Trades => {
            let side = if random.bool() { Side::Buy } else { Side::Sell };
            let price = Price(6_890_000 + random.i64(-50..50));
            let size = Size(random.i64(1..50_000_000));
            let trade = Trade { id: number as u64, price, size, side, ts_event: NOW };
            batch.push(&event(instrument, EventBody::Trades(&[trade])));
        }
    }
}
