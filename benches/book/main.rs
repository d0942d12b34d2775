//! Book: level changes applied a second, beside the two ordered maps that one would write first.
//!
//! `cargo bench -p tickcast-benches --bench book` prints divan's table and `ratio` lines from
//! interleaved rounds; the ratios are the result. Before anything is measured both books must hold
//! the same levels after the same changes.

use divan::Bencher;
use divan::counter::ItemsCount;
use fastrand::Rng;
use std::collections::BTreeMap;
use tickcast_benches::{Contender, ratio};
use tickcast_market::{Book, BookChange, BookSide, Price, Size};

/// Changes that are played round and round.
const CHANGES: usize = 100_000;

/// How deep the books are: a view, a usual book, the deepest that was seen.
const LEVELS: [i64; 3] = [25, 1000, 46_000];

const MIDDLE: i64 = 6_890_000;

/// A book as two maps by price.
#[derive(Default)]
struct Maps {
    bids: BTreeMap<i64, i64>,
    asks: BTreeMap<i64, i64>,
}

impl Maps {
    fn apply(&mut self, change: &BookChange) {
        let side = match change.side {
            BookSide::Bid => &mut self.bids,
            BookSide::Ask => &mut self.asks,
        };
        if change.size.0 > 0 {
            side.insert(change.price.0, change.size.0);
        } else {
            side.remove(&change.price.0);
        }
    }
}

fn change(side: BookSide, distance: i64, size: i64) -> BookChange {
    let price = match side {
        BookSide::Bid => MIDDLE - distance,
        BookSide::Ask => MIDDLE + distance,
    };
    BookChange { side, price: Price(price), size: Size(size) }
}

/// A whole book, and changes most of which are near its top: every power of ten of the distance is
/// as likely as any other.
fn market(levels: i64) -> (Vec<BookChange>, Vec<BookChange>) {
    let mut random = Rng::with_seed(7);
    let sides = [BookSide::Bid, BookSide::Ask];
    let opening = (1..=levels).flat_map(|distance| sides.map(|side| change(side, distance, 1000)));
    let changes = (0..CHANGES)
        .map(|_| {
            // As many changes between 1 and 10 levels from the top as between 10 and 100.
            let distance = (levels as f64).powf(random.f64()) as i64;
            let size = if random.u8(..4) == 0 { 0 } else { random.i64(1..1 << 30) };
            change(sides[usize::from(random.bool())], distance, size)
        })
        .collect();
    (opening.collect(), changes)
}

fn both(opening: &[BookChange]) -> (Book, Maps) {
    let (mut book, mut maps) = (Book::default(), Maps::default());
    book.replace(opening);
    opening.iter().for_each(|change| maps.apply(change));
    (book, maps)
}

fn assert_same(book: &Book, maps: &Maps) {
    let ours = |side| {
        let levels = book.worst_first(side).iter();
        levels.map(|level| (level.price.0, level.size.0)).collect::<Vec<_>>()
    };
    let bids: Vec<(i64, i64)> = maps.bids.iter().map(|(price, size)| (*price, *size)).collect();
    let asks: Vec<(i64, i64)> =
        maps.asks.iter().rev().map(|(price, size)| (*price, *size)).collect();
    assert_eq!((ours(BookSide::Bid), ours(BookSide::Ask)), (bids, asks));
}

#[divan::bench(args = LEVELS)]
fn apply(bencher: Bencher<'_, '_>, levels: i64) {
    let (opening, changes) = market(levels);
    let (mut book, _) = both(&opening);
    bencher.counter(ItemsCount::new(CHANGES)).bench_local(|| {
        changes.iter().filter(|change| book.apply(divan::black_box(change))).count()
    });
}

fn main() {
    divan::main();
    for levels in LEVELS {
        let (opening, changes) = market(levels);
        let (mut book, mut maps) = both(&opening);
        for change in &changes {
            book.apply(change);
            maps.apply(change);
        }
        assert_same(&book, &maps);
        let ours = || {
            for change in &changes {
                divan::black_box(book.apply(change));
            }
        };
        let plain = || changes.iter().for_each(|change| maps.apply(divan::black_box(change)));
        ratio(
            &format!("{levels} levels a side"),
            CHANGES,
            &mut [
                Contender { name: "tickcast", run: Box::new(ours) },
                Contender { name: "two ordered maps", run: Box::new(plain) },
            ],
        );
    }
}
