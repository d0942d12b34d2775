//! The market of a simulation: instruments of two venues, everything that can happen to them, and
//! what is true of their books and trades whatever the publisher makes of it.

mod instrument;

pub(crate) use instrument::Instrument;

use crate::message::Trade;
use fastrand::Rng;
use instrument::BASE;
use rustc_hash::FxHashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tickcast_market::{Directory, EventBatch, InstrumentSpec, Nanos, SourceIndex, Venue};

const VENUES: [Venue; 2] = [Venue::Sim, Venue::Kraken];

/// What can be asked of the market at the beginning.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) listed: usize,
    /// How many more will be listed.
    pub(crate) later: usize,
    /// Events a step, on average.
    pub(crate) pace: f64,
}

#[derive(Debug)]
pub(crate) struct Market {
    random: Rng,
    pub(crate) directory: Arc<Directory>,
    pub(crate) instruments: Vec<Instrument>,
    names: FxHashMap<String, u32>,
    unlisted: Vec<(usize, String)>,
    pace: f64,
    trade_id: u64,
    /// Feeds can be asked for new books.
    pub(crate) can_be_asked: Arc<AtomicBool>,
}

/// The batches of one step: for each partition, one of each venue.
pub(crate) type Step = Vec<Vec<EventBatch>>;

impl Market {
    pub(crate) fn new(plan: Plan, mut random: Rng) -> Market {
        // A few symbols trade on both venues, the others on one.
        let number = |at: usize| if at % 8 < 2 { at / 2 * 2 } else { at };
        let symbol = |at: usize| (at % 2, format!("S{}-USD", number(at)));
        let mut unlisted: Vec<_> = (0..plan.listed + plan.later).map(symbol).collect();
        random.shuffle(&mut unlisted);
        let mut market = Market {
            random,
            directory: Arc::default(),
            instruments: Vec::new(),
            names: FxHashMap::default(),
            unlisted,
            pace: plan.pace,
            trade_id: 0,
            can_be_asked: Arc::new(AtomicBool::new(true)),
        };
        for _ in 0..plan.listed {
            market.list_one();
        }
        market
    }

    pub(crate) fn find(&self, name: &str) -> Option<u32> {
        self.names.get(name).copied()
    }

    /// A name that will be listed, or has just been.
    pub(crate) fn next_name(&self) -> Option<String> {
        self.unlisted.last().map(|(source, symbol)| format!("{}:{symbol}", VENUES[*source]))
    }

    fn list_one(&mut self) {
        let Some((source, symbol)) = self.unlisted.pop() else { return };
        let name = format!("{}:{symbol}", VENUES[source]);
        let index = self.directory.add(&InstrumentSpec {
            venue: VENUES[source],
            venue_symbol: symbol.clone(),
            symbol,
            tick_size: None,
            lot_size: None,
            scales: BASE,
        });
        self.names.insert(name.clone(), index.0);
        self.instruments.push(Instrument::new(index, name, source, &mut self.random));
    }

    /// Lists all that is left, and says that this is all.
    pub(crate) fn complete(&mut self) {
        while !self.unlisted.is_empty() {
            self.list_one();
        }
        self.directory.set_complete();
    }

    /// What happens until `now`; nothing at all where it is `quiet`, but time goes on.
    pub(crate) fn step(&mut self, now: Nanos, partitions: usize, quiet: bool) -> Step {
        let batch = |source| {
            let mut batch = EventBatch::default();
            (batch.source, batch.clock) = (SourceIndex(source as u16), now);
            batch
        };
        let mut step: Step =
            (0..partitions).map(|_| (0..VENUES.len()).map(batch).collect()).collect();
        if quiet {
            return step;
        }
        self.can_be_asked.store(self.random.u8(..4) != 0, Ordering::Relaxed); // One thread.
        if self.random.u8(..60) == 0 {
            self.list_one();
        }
        let whole = self.pace.floor();
        let count = whole as usize + usize::from(self.random.f64() < self.pace - whole);
        let mut happened = Vec::new();
        for _ in 0..count {
            // The first ones are the busiest.
            let all = self.instruments.len();
            let at = self.random.usize(..all).min(self.random.usize(..all));
            // One thing at a time: its status then changes at most once a step.
            if happened.contains(&at) {
                continue;
            }
            happened.push(at);
            let instrument = &mut self.instruments[at];
            let batch = &mut step[instrument.index.partition(partitions)][instrument.source];
            instrument.act(now, batch, &mut self.random, &mut self.trade_id);
        }
        step
    }

    /// The truth about a trade.
    pub(crate) fn check_trade(&self, instrument: u32, trade: &Trade) -> Result<(), String> {
        self.instruments[instrument as usize].check_trade(trade)
    }

    pub(crate) fn trades(&self, instrument: u32) -> u64 {
        self.instruments[instrument as usize].trades()
    }
}
