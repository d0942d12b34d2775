//! The rolling 24 hours of one instrument, in 24 parts of an hour: the present hour and the 23
//! before it. When an hour ends the oldest is forgotten as a whole, as many venues do.

use tickcast_market::{DayStats, Interval, Nanos, Price, Trade, Volume};

/// How many hours are remembered, the present one included.
pub(super) const HOURS: usize = 24;
const HOUR: Nanos = Interval::H1.span();

/// What one hour adds to the day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Hour {
    pub(super) open: Price,
    pub(super) high: Price,
    pub(super) low: Price,
    pub(super) volume: i64,
}

impl Hour {
    /// An hour in which nothing has been traded yet.
    pub(super) fn silent(price: Price) -> Hour {
        Hour { open: price, high: price, low: price, volume: 0 }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Day {
    hours: [Hour; HOURS],
    /// The present hour's place in the ring; the next place is the oldest hour's.
    present: usize,
    present_end: Nanos,
    high: Price,
    low: Price,
    volume: i64,
}

impl Day {
    /// `hours` oldest first; the last one contains `now`.
    pub(super) fn new(now: Nanos, hours: [Hour; HOURS]) -> Day {
        let mut day = Day {
            hours,
            present: HOURS - 1,
            present_end: Interval::H1.start_of(now).plus(HOUR),
            high: Price(0),
            low: Price(0),
            volume: 0,
        };
        day.sum();
        day
    }

    /// Adds a trade; whether it should be told at once: a new high or low, or the first trade
    /// after an hour was forgotten.
    pub(super) fn trade(&mut self, trade: &Trade) -> bool {
        let has_rolled = self.roll(trade.ts_event, trade.price);
        let hour = &mut self.hours[self.present];
        hour.high = hour.high.max(trade.price);
        hour.low = hour.low.min(trade.price);
        hour.volume += trade.size.0;
        self.volume += trade.size.0;
        let is_extreme = trade.price > self.high || trade.price < self.low;
        self.high = self.high.max(trade.price);
        self.low = self.low.min(trade.price);
        is_extreme || has_rolled
    }

    /// Forgets what is too old at `at`, and whether there was any; hours that nothing happened in
    /// stood at `price`.
    fn roll(&mut self, at: Nanos, price: Price) -> bool {
        if at < self.present_end {
            return false;
        }
        let ended = at.since(self.present_end).0 / HOUR.0 + 1;
        for _ in 0..ended.min(HOURS as i64) {
            self.present = (self.present + 1) % HOURS;
            self.hours[self.present] = Hour::silent(price);
        }
        self.present_end = self.present_end.plus(Nanos(ended * HOUR.0));
        self.sum();
        true
    }

    pub(super) fn stats(&self, last: Price) -> DayStats {
        DayStats {
            open: Some(self.hours[(self.present + 1) % HOURS].open),
            high: Some(self.high),
            low: Some(self.low),
            volume: Some(Volume(i128::from(self.volume))),
            last: Some(last),
        }
    }

    fn sum(&mut self) {
        let first = self.hours[0];
        (self.high, self.low, self.volume) = (first.high, first.low, 0);
        for hour in &self.hours {
            self.high = self.high.max(hour.high);
            self.low = self.low.min(hour.low);
            self.volume += hour.volume;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tickcast_market::{Side, Size};

    fn check(day: &Day, open: i64, high: i64, low: i64, volume: i128) {
        let stats = day.stats(Price(7));
        assert_eq!(stats.open, Some(Price(open)));
        assert_eq!((stats.high, stats.low), (Some(Price(high)), Some(Price(low))));
        assert_eq!((stats.volume, stats.last), (Some(Volume(volume)), Some(Price(7))));
    }

    #[test]
    fn the_day_rolls_by_the_hour_and_forgets_its_extremes() {
        let hour = |n: i64| Nanos(n * HOUR.0);
        let trade = |at: Nanos, price| Trade {
            id: 1,
            price: Price(price),
            size: Size(5),
            side: Side::Buy,
            ts_event: at,
        };
        let mut hours = [Hour { volume: 1, ..Hour::silent(Price(100)) }; HOURS];
        hours[0] = Hour { open: Price(90), high: Price(200), low: Price(50), volume: 10 };
        let mut day = Day::new(hour(1000), hours);
        check(&day, 90, 200, 50, 33);
        assert!(!day.trade(&trade(hour(1000), 150)));
        assert!(day.trade(&trade(hour(1000), 201)));
        check(&day, 90, 201, 50, 43);
        assert!(day.trade(&trade(hour(1001), 99)), "the old low has been forgotten with its hour");
        check(&day, 100, 201, 99, 38);
        day.roll(hour(1025), Price(99));
        check(&day, 99, 99, 99, 0);
        day.roll(hour(5000), Price(98));
        check(&day, 98, 98, 98, 0);
    }
}
