//! A sink that applies every event to a book of its own and checks what must always hold: an
//! independent witness of the simulator.

use std::collections::BTreeMap;
use tickcast_market::{
    Book, BookSide, DayStats, Event, EventBody, InstrumentIndex, InstrumentSpec, Interval, Nanos,
    Price, Side, Sink, TradingState,
};

/// What a subscriber's ticker shows; compared after every group of events.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Ticker {
    pub(crate) bid: (i64, i64),
    pub(crate) ask: (i64, i64),
    pub(crate) last: Option<(i64, i64)>,
    pub(crate) day: Option<DayStats>,
}

#[derive(Default)]
pub(crate) struct Watched {
    pub(crate) book: Book,
    pub(crate) ticker: Ticker,
    pub(crate) day: Option<DayStats>,
    /// When they last came.
    pub(crate) day_at: Nanos,
    /// What they were at the start.
    pub(crate) day_first: DayStats,
    /// Lowest and highest price traded, and volume.
    pub(crate) range: Option<(Price, Price)>,
    pub(crate) traded: i128,
    pub(crate) state: Option<TradingState>,
    pub(crate) bars: BTreeMap<Interval, usize>,
    pub(crate) trade_id: u64,
    pub(crate) updates: u64,
}

/// Applies everything, checks everything, and counts ticker updates.
#[derive(Default)]
pub(crate) struct Watch {
    pub(crate) specs: Vec<InstrumentSpec>,
    pub(crate) seen: Vec<Watched>,
    /// The group that is open: instrument and time.
    pub(crate) group: Option<(usize, Nanos)>,
    pub(crate) times: Vec<Nanos>,
    pub(crate) events: u64,
    pub(crate) trades: u64,
    pub(crate) walked: u64,
    pub(crate) days: u64,
    /// Hours end in this run: statistics are not those of the start and what came since.
    pub(crate) is_rolling: bool,
    pub(crate) unchanged: u64,
    pub(crate) hash: u64,
}

impl Watch {
    /// Takes every number of the event into the hash.
    fn note(&mut self, event: &Event<'_>) {
        let mut take = |numbers: &[i64]| {
            for number in numbers {
                self.hash = (self.hash ^ *number as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
                self.hash ^= self.hash >> 29;
            }
        };
        take(&[i64::from(event.instrument.0), event.ts_event.0, event.ts_recv.0]);
        match event.body {
            EventBody::Trades(trades) => trades.iter().for_each(|trade| {
                take(&[trade.id as i64, trade.price.0, trade.size.0, trade.side as i64]);
            }),
            EventBody::BookSnapshot(levels) | EventBody::BookUpdate(levels) => {
                levels.iter().for_each(|level| {
                    take(&[level.side as i64, level.price.0, level.size.0]);
                });
            }
            EventBody::Day(day) => {
                let price = |price: Option<Price>| price.expect("a price").0;
                take(&[price(day.open), price(day.high), price(day.low), price(day.last)]);
                take(&[day.volume.expect("a volume").0 as i64]);
            }
            EventBody::Bars(_, bars) => bars.iter().for_each(|bar| {
                take(&[bar.start.0, bar.open.0, bar.high.0, bar.low.0, bar.close.0]);
                take(&[bar.volume.0 as i64, i64::from(bar.trades)]);
            }),
            EventBody::State(state) => take(&[state as i64]),
            EventBody::Quote(_) => panic!("the top of the book is the quote"),
        }
    }

    /// Ends the open group: its ticker must have changed.
    pub(crate) fn close(&mut self) {
        let Some((at, time)) = self.group.take() else { return };
        let watched = &mut self.seen[at];
        let best = |side| watched.book.best(side).map(|l| (l.price.0, l.size.0));
        let ticker = Ticker {
            bid: best(BookSide::Bid).expect("a bid"),
            ask: best(BookSide::Ask).expect("an ask"),
            last: watched.ticker.last,
            day: watched.day,
        };
        assert!(ticker.bid.0 < ticker.ask.0, "locked or crossed: {ticker:?}");
        // Without the fields that only came along.
        let moved = (ticker.bid, ticker.ask) != (watched.ticker.bid, watched.ticker.ask);
        self.unchanged += u64::from(!moved);
        if let (Some((last, _)), Some(day)) = (ticker.last, ticker.day) {
            let (low, high) = (day.low.expect("a low").0, day.high.expect("a high").0);
            assert!((low..=high).contains(&last), "a new high or low is told at once");
        }
        watched.ticker = ticker;
        watched.updates += 1;
        self.times.push(time);
    }

    fn trades(&mut self, at: usize, event: &Event<'_>) {
        let EventBody::Trades(trades) = event.body else { unreachable!("called with trades") };
        assert!(!trades.is_empty());
        let watched = &mut self.seen[at];
        for (n, trade) in trades.iter().enumerate() {
            let side = match trade.side {
                Side::Buy => BookSide::Ask,
                Side::Sell => BookSide::Bid,
            };
            let level = watched.book.side(side).nth(n).expect("a level to trade with");
            assert_eq!(trade.price, level.price, "an order eats from the best level on");
            assert!(trade.size.0 > 0 && trade.size <= level.size);
            assert!(n + 1 == trades.len() || trade.size == level.size, "levels are eaten whole");
            assert_eq!(trade.ts_event, event.ts_event);
            assert_eq!(trade.id, watched.trade_id + 1, "trade ids are dense");
            watched.trade_id = trade.id;
            watched.traded += i128::from(trade.size.0);
            let (low, high) = watched.range.unwrap_or((trade.price, trade.price));
            watched.range = Some((low.min(trade.price), high.max(trade.price)));
            watched.ticker.last = Some((trade.price.0, trade.size.0));
            self.trades += 1;
        }
        self.walked += u64::from(trades.len() > 1);
    }

    fn day(&mut self, at: usize, event: &Event<'_>, day: DayStats) {
        let watched = &mut self.seen[at];
        if watched.state.is_none() {
            watched.day_first = day;
        } else if !self.is_rolling {
            let first = watched.day_first;
            let (low, high) = watched.range.expect("no statistics without a trade");
            assert_eq!(day.volume.unwrap().0, first.volume.unwrap().0 + watched.traded);
            assert_eq!(day.high, first.high.max(Some(high)));
            assert_eq!(day.low, first.low.min(Some(low)));
            assert_eq!(day.open, first.open);
        }
        if let Some((price, _)) = watched.ticker.last {
            assert_eq!(day.last, Some(Price(price)));
        }
        watched.day = Some(day);
        watched.day_at = event.ts_event;
        self.days += 1;
    }

    pub(crate) fn total(&self) -> u64 {
        self.seen.iter().map(|watched| watched.updates).sum()
    }
}

impl Sink for Watch {
    fn instrument(&mut self, spec: &InstrumentSpec) -> InstrumentIndex {
        self.specs.push(spec.clone());
        self.seen.push(Watched::default());
        InstrumentIndex(self.specs.len() as u32 - 1)
    }

    fn event(&mut self, event: &Event<'_>) {
        let at = event.instrument.index();
        self.events += 1;
        self.note(event);
        assert_eq!(event.scales, self.specs[at].scales);
        let is_running = self.seen[at].state.is_some();
        if is_running && self.group != Some((at, event.ts_event)) {
            self.close();
            self.group = Some((at, event.ts_event));
        }
        let tick = self.specs[at].tick_size.expect("a tick size").at(event.scales.price).unwrap();
        match event.body {
            EventBody::BookSnapshot(levels) => self.seen[at].book.replace(levels),
            EventBody::BookUpdate(levels) => {
                assert!(is_running && !levels.is_empty());
                for change in levels {
                    assert!(change.price.0 > 0 && change.price.0 % tick == 0);
                    self.seen[at].book.apply(change);
                    assert!(!self.seen[at].book.is_crossed(), "not even between two changes");
                }
                for side in [BookSide::Bid, BookSide::Ask] {
                    let levels = self.seen[at].book.side(side).len();
                    assert!((25..=60).contains(&levels), "{levels} levels");
                }
            }
            EventBody::Trades(_) => self.trades(at, event),
            EventBody::Day(day) => self.day(at, event, day),
            EventBody::Bars(interval, bars) => {
                self.seen[at].bars.insert(interval, bars.len());
            }
            EventBody::State(state) => self.seen[at].state = Some(state),
            EventBody::Quote(_) => {}
        }
    }
}
