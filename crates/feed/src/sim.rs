//! The market simulator: seeded order flow that looks like a market and costs almost nothing.
//!
//! [`Sim`] has no clock, no thread and no socket: whoever drives it says what time it is, and the
//! same seed and the same times give the same events on every platform (prices are integers; the
//! few floats go through operations that IEEE 754 rounds exactly).
//!
//! Each **ticker update** is a group of events of one instrument at one time after which its
//! ticker has really changed: four of five are a `BookUpdate` that changes the best bid or ask,
//! the rest `Trades` that eat from the best level, with their `BookUpdate`. Changes of deeper
//! levels come along in the same `BookUpdate`, day statistics (about once a second, and at once
//! when a trade sets a new high or low) in the same group, so that neither counts as an update of
//! its own. There are no `Quote` events: the top of the book is the quote. Files: `config` (what
//! can be asked for), `random` and `activity` (numbers; who is next), `arrivals` (when), `listing`
//! (tick sizes and price levels), `ladder` and `market` (a side; an instrument), `volatility` (its steps), `day` and
//! `history` (statistics; bars before the start).

mod activity;
mod arrivals;
mod config;
mod day;
mod history;
mod ladder;
mod listing;
mod market;
mod random;
mod volatility;

pub use config::{Pace, SimConfig, SimError};

use activity::Activity;
use arrivals::{Arrival, Arrivals};
use day::Day;
use history::History;
use market::{Flow, Market};
use random::Random;
use tickcast_market::{EventBody, Nanos, Sink, TradingState};

/// What one call of [`Sim::advance`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SimAdvance {
    /// How many ticker updates it emitted, at most [`Sim::ADVANCE_UPDATES_MAX`].
    pub updates: u32,
    /// How much of the past was left out because the caller was too late; usually zero.
    pub skipped: Nanos,
}

/// A simulated market of up to [`SimConfig::INSTRUMENTS_MAX`] instruments.
///
/// *Cost:* about 1.5 KB of memory per instrument. After [`Sim::start`] nothing allocates.
#[derive(Debug)]
pub struct Sim {
    config: SimConfig,
    random: Random,
    activity: Activity,
    arrivals: Arrivals,
    markets: Vec<Market>,
    days: Vec<Day>,
    flow: Flow,
    next_due: Option<Nanos>,
    /// The instrument that the present burst is about.
    focus: Option<usize>,
    started: bool,
}

impl Sim {
    /// The most ticker updates that one [`Sim::advance`] emits; each is at most
    /// [`Sim::UPDATE_EVENTS_MAX`] events.
    pub const ADVANCE_UPDATES_MAX: u32 = 4_096;
    /// The most events of one ticker update: trades, a book update, day statistics.
    pub const UPDATE_EVENTS_MAX: u32 = 3;
    /// Who is later than this is not given what was missed.
    pub const BEHIND_MAX: Nanos = Nanos::from_secs(2);
    /// With more instruments than this there are no bars from before the start: charts begin
    /// empty, and the start stays cheap.
    pub const BARS_INSTRUMENTS_MAX: u32 = 200;

    /// Builds the market; nothing is said before [`Sim::start`].
    ///
    /// *Errors:* a value of `config` that is out of range. *Cost:* allocates; some 100 ms for
    /// 20,000 instruments.
    pub fn new(config: SimConfig) -> Result<Sim, SimError> {
        config.check()?;
        let activity = Activity::new(config.instruments, config.zipf);
        let mut build = Random::new(config.seed, random::Purpose::Build);
        let markets = (0..config.instruments)
            .map(|rank| {
                // A quiet market is built as if it had one update a second.
                let rate = if config.rate > 0.0 { config.rate } else { 1.0 };
                let listing = listing::list(rank, &mut build);
                Market::new(&listing, rate * activity.share(rank as usize), &mut build)
            })
            .collect();
        Ok(Sim {
            config,
            random: Random::new(config.seed, random::Purpose::Flow),
            activity,
            arrivals: Arrivals::new(config.rate, config.pace),
            markets,
            days: Vec::with_capacity(config.instruments as usize),
            flow: Flow::new(),
            next_due: None,
            focus: None,
            started: false,
        })
    }

    /// Declares all instruments, the most active first (`sim:S0-USD`, `sim:S1-USD`, …), and then
    /// for each its book, day statistics and bars of the past (60 each of 1m, 5m and 1h, up to
    /// [`Sim::BARS_INSTRUMENTS_MAX`] instruments) and the state `live`. The first update is due
    /// after `now`.
    ///
    /// *Panics* when called twice. *Cost:* allocates; grows with the instruments.
    pub fn start<S: Sink + ?Sized>(&mut self, now: Nanos, sink: &mut S) {
        assert!(!self.started, "a simulator is started once");
        self.started = true;
        for (rank, market) in self.markets.iter_mut().enumerate() {
            market.index = sink.instrument(&market.spec(rank));
            // Staggered by the golden ratio: whatever the number of instruments, the day
            // statistics of neighbours do not fall together.
            let fraction = u64::from((rank as u32).wrapping_mul(0x9E37_79B9));
            market.day_due = now.plus(Nanos(((fraction * 1_000_000_000) >> 32) as i64));
        }
        let with_bars = self.config.instruments <= Self::BARS_INSTRUMENTS_MAX;
        let mut history = History::new(self.config.seed, now, with_bars);
        for (rank, market) in self.markets.iter_mut().enumerate() {
            history.walk(rank, market);
            self.days.push(history.day());
            self.flow.clear();
            market.snapshot(&mut self.flow);
            let mut say = |body: EventBody<'_>| sink.event(&market.event(now, now, body));
            say(EventBody::BookSnapshot(self.flow.changes()));
            say(EventBody::Day(self.days[rank].stats(market.last())));
            if with_bars {
                history.bars(|interval, bars| say(EventBody::Bars(interval, bars)));
            }
            say(EventBody::State(TradingState::Live));
        }
        let first = self.arrivals.begin(now, &mut self.random);
        self.schedule(first);
    }

    /// When the next ticker update is due; `None` before the start and in a quiet market.
    pub fn next_due(&self) -> Option<Nanos> {
        self.next_due
    }

    /// Emits what is due up to and including `until`, in order: `ts_event` is the exact simulated
    /// time, `ts_recv` is `until`.
    ///
    /// At most [`Sim::ADVANCE_UPDATES_MAX`] ticker updates per call; more is due as long as
    /// [`Sim::next_due`] is not after `until`. Whoever comes more than [`Sim::BEHIND_MAX`] late (a
    /// stalled process, a laptop that slept) gets nothing of what was missed: the market stands
    /// still for that time and goes on after `until`; the span is returned.
    ///
    /// *Cost:* well under a microsecond per update with a sink that copies; no allocation.
    pub fn advance<S: Sink + ?Sized>(&mut self, until: Nanos, sink: &mut S) -> SimAdvance {
        let mut done = SimAdvance::default();
        if let Some(due) = self.next_due
            && until.since(due) > Self::BEHIND_MAX
        {
            done.skipped = until.since(due);
            let next = self.arrivals.begin(until, &mut self.random);
            self.schedule(next);
        }
        while done.updates < Self::ADVANCE_UPDATES_MAX
            && let Some(due) = self.next_due
            && due <= until
        {
            self.update(due, until, sink);
            let next = self.arrivals.next(&mut self.random);
            self.schedule(next);
            done.updates += 1;
        }
        done
    }

    fn schedule(&mut self, next: Option<Arrival>) {
        self.next_due = next.map(|arrival| arrival.at);
        match next {
            Some(arrival) if !arrival.burst => self.focus = None,
            // Drawn like everyone else, so that bursts leave the shares as they are.
            Some(_) if self.focus.is_none() => {
                self.focus = Some(self.activity.pick(self.random.next()));
            }
            _ => {}
        }
    }

    /// One ticker update of one instrument.
    fn update<S: Sink + ?Sized>(&mut self, at: Nanos, recv: Nanos, sink: &mut S) {
        let bits = self.random.next();
        let rank = match self.focus {
            Some(focus) if self.random.next() >> 63 == 0 => focus,
            _ => self.activity.pick(bits),
        };
        let market = &mut self.markets[rank];
        self.flow.clear();
        market.update(at, &mut self.random, &mut self.flow);
        let mut is_news = false;
        if !self.flow.trades().is_empty() {
            let day = &mut self.days[rank];
            for trade in self.flow.trades() {
                is_news |= day.trade(trade);
            }
            market.is_day_changed = true;
            sink.event(&market.event(at, recv, EventBody::Trades(self.flow.trades())));
        }
        sink.event(&market.event(at, recv, EventBody::BookUpdate(self.flow.changes())));
        if is_news || (market.is_day_changed && at >= market.day_due) {
            market.day_due = at.plus(Nanos::from_secs(1));
            market.is_day_changed = false;
            let day = &self.days[rank];
            sink.event(&market.event(at, recv, EventBody::Day(day.stats(market.last()))));
        }
    }
}
