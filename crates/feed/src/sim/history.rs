//! What was before the start: a random walk back from the first price, by the minute where bars
//! are wanted, else by the quarter of an hour; bars and the first day statistics come from it.

use super::day::{Day, HOURS, Hour};
use super::market::Market;
use super::random::{Purpose, Random};
use super::volatility::{DAY_VOLATILITY, Volatility};
use tickcast_market::{Bar, Interval, Nanos, Price, Volume};

/// How many bars of each interval there are.
const BARS: usize = 60;
/// Minutes: `BARS` whole hours and what has passed of the present one.
const FINE_STEPS: usize = (BARS + 1) * 60;
/// Quarters of an hour: a day and what has passed of the present hour.
const COARSE_STEPS: usize = (HOURS + 1) * 4;

/// The past of one instrument after another, in buffers that are used again.
#[derive(Debug)]
pub(super) struct History {
    seed: u64,
    now: Nanos,
    /// In minutes.
    step_span: i64,
    /// Bars of one step each, oldest first, the last one ending before `now`.
    steps: Vec<Bar>,
    /// The price that it all leads to.
    last: Price,
    bars: Vec<Bar>,
}

impl History {
    pub(super) fn new(seed: u64, now: Nanos, is_fine: bool) -> History {
        let (step_span, count) = if is_fine { (1, FINE_STEPS) } else { (15, COARSE_STEPS) };
        History {
            seed,
            now,
            step_span,
            steps: Vec::with_capacity(count),
            last: Price(0),
            bars: Vec::with_capacity(BARS),
        }
    }

    /// Walks back from where the market of that rank stands.
    pub(super) fn walk(&mut self, rank: usize, market: &Market) {
        let mut random = Random::new(self.seed, Purpose::History(rank as u32));
        self.last = market.last();
        let (tick, span) = (market.tick(), Nanos::from_secs(60 * self.step_span));
        let price = self.last.0 / tick;
        let per_step = price as f64 * DAY_VOLATILITY * (self.step_span as f64 / 1_440.0).sqrt();
        let mut volatility = Volatility::new(per_step, 6.0 * per_step);
        // A chart of a market with few trades is still a chart.
        let trades_mean = (market.trades_per_minute() * self.step_span as f64).clamp(2.0, 1e8);
        let (mut close, mut start) = (price, Nanos(self.now.0.div_euclid(span.0) * span.0));
        self.steps.clear();
        for _ in 0..self.steps.capacity() {
            start = start.since(span);
            let step = volatility.step(&mut random) >> 16;
            let open = (close - step).clamp(price / 2, price * 2);
            // How far it went beyond both ends in between.
            let wick = step.abs() / 4 + 1;
            let up = i64::from(random.below(wick as u32 + 1));
            let down = i64::from(random.below(wick as u32 + 1));
            let trades = (trades_mean * f64::from(64 + random.below(129)) / 128.0) as u32;
            let size_mean = market.size_unit() * (32 + random.below(64)) / 128;
            let at = |ticks: i64| Price(ticks * tick);
            self.steps.push(Bar {
                start,
                open: at(open),
                high: at(open.max(close) + up),
                low: at(open.min(close) - down),
                close: at(close),
                volume: Volume(i128::from(trades) * i128::from(size_mean)),
                trades,
                closed: true,
            });
            close = open;
        }
        self.steps.reverse();
    }

    /// The last 24 hours, the present one included.
    pub(super) fn day(&self) -> Day {
        let mut hours = [Hour::silent(self.last); HOURS];
        let present = Interval::H1.start_of(self.now);
        for step in &self.steps {
            let start = Interval::H1.start_of(step.start);
            let ago = present.since(start).0 / Interval::H1.span().0;
            // Steps before the oldest hour lie too long ago.
            let Some(at) = (HOURS - 1).checked_sub(ago as usize) else { continue };
            let volume = step.volume.0 as i64;
            if step.start == start {
                hours[at] = Hour { open: step.open, high: step.high, low: step.low, volume };
            } else {
                let hour = &mut hours[at];
                hour.high = hour.high.max(step.high);
                hour.low = hour.low.min(step.low);
                hour.volume += volume;
            }
        }
        Day::new(self.now, hours)
    }

    /// Hands out the closed bars of 1m, 5m and 1h, oldest first. Only after a fine walk.
    pub(super) fn bars(&mut self, mut take: impl FnMut(Interval, &[Bar])) {
        for interval in [Interval::M1, Interval::M5, Interval::H1] {
            let end = interval.start_of(self.now);
            let begin = end.since(Nanos(BARS as i64 * interval.span().0));
            self.bars.clear();
            for step in self.steps.iter().filter(|step| (begin..end).contains(&step.start)) {
                let start = interval.start_of(step.start);
                match self.bars.last_mut().filter(|bar| bar.start == start) {
                    Some(bar) => {
                        bar.high = bar.high.max(step.high);
                        bar.low = bar.low.min(step.low);
                        bar.close = step.close;
                        bar.volume.0 += step.volume.0;
                        bar.trades = bar.trades.saturating_add(step.trades);
                    }
                    None => self.bars.push(Bar { start, ..*step }),
                }
            }
            take(interval, &self.bars);
        }
    }
}
