//! What the gateway's end knows of instruments: the list, and the state of each.

use crate::follower::{Command, Follower};
use crate::messages::{Beat, Instrument, List, StatusChange};
use crate::stream::{StreamKey, VIEWS, name_of_status};
use prost::Message;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tickcast_market::{
    Decimal, InstrumentIndex, InstrumentSpec, Nanos, Scales, TradingState, Venue,
};

/// What is wrong where the lease tells of a run that was over already.
pub(crate) const LOWER_RUN: &str = "the lease was acquired at a lower revision than the last one: its \
    bucket was made by hand or by another version. Everything stays stale; restart the gateways";

/// How the bus is doing, for `/readyz`.
#[derive(Debug, Default)]
pub struct BusHealth {
    pub(crate) has_list: AtomicBool,
    pub(crate) is_live: AtomicBool,
    /// The run that is followed; 0 before the first.
    pub(crate) run: AtomicU64,
    /// The lease is of a run that was over already.
    pub(crate) is_run_lower: AtomicBool,
}

impl BusHealth {
    /// Whether the whole list of instruments has come.
    pub fn has_list(&self) -> bool {
        // A flag that is read now and then; it orders nothing.
        self.has_list.load(Ordering::Relaxed)
    }

    /// Whether a publisher that counts is heard at this moment.
    pub fn is_live(&self) -> bool {
        self.is_live.load(Ordering::Relaxed)
    }

    /// What is missing, on a line that stands and beside a lease that can be read.
    pub fn trouble(&self) -> Option<String> {
        let run = self.run.load(Ordering::Relaxed);
        if self.is_run_lower.load(Ordering::Relaxed) {
            return Some(format!("{LOWER_RUN} (run {run} is followed)"));
        }
        if !self.is_live() {
            return Some(format!("the publisher of run {run} is not heard"));
        }
        let missing = "the publisher's list of instruments has not come whole yet";
        (!self.has_list()).then(|| missing.to_owned())
    }
}

impl Follower {
    pub(crate) fn beat(&mut self, beat: Beat, now: Nanos) {
        if self.run != Some(beat.run) || !self.is_lease_read || self.is_late(now) {
            return;
        }
        let was_silent = self.heard.replace(self.waits_since).is_none();
        if was_silent {
            tracing::info!(run = beat.run, "bus: the publisher is heard");
            self.health.is_live.store(true, Ordering::Relaxed);
            self.losses.1 = beat.losses;
            self.show_states(now);
        }
        if std::mem::replace(&mut self.losses.1, beat.losses) != beat.losses {
            self.doubt_all(now);
            self.health.is_live.store(true, Ordering::Relaxed);
        }
        if self.status_changes.is_some_and(|seen| seen < beat.status_changes) {
            // A change was lost: all states are fetched again.
            self.metrics.gaps.inc();
            self.listed = 0;
            self.status_changes = None;
        }
        if self.listed < beat.instruments || self.status_changes.is_none() {
            self.fetch_list();
        } else if beat.complete {
            self.hub.directory().set_complete();
            self.health.has_list.store(true, Ordering::Relaxed);
        }
    }

    fn fetch_list(&mut self) {
        if let Some(run) = self.run
            && !self.is_listing
        {
            self.is_listing = true;
            self.metrics.requests.inc();
            self.commands.push(Command::List(run, self.listed));
        }
    }

    pub(crate) fn list(&mut self, run: u64, payload: Option<bytes::Bytes>, now: Nanos) {
        if self.run != Some(run) {
            return;
        }
        self.is_listing = false;
        let Some(payload) = payload else { return self.metrics.request_failures.inc() };
        self.metrics.received(payload.len());
        let Some(list) = self.decoded(List::decode(payload)) else { return };
        if list.from != self.listed {
            return;
        }
        if list.from == 0 {
            self.status_changes = Some(list.status_changes);
        }
        self.listed += list.instruments.len() as u64;
        for told in &list.instruments {
            let Some(spec) = spec(told) else {
                self.metrics.decode_errors.inc();
                tracing::debug!(venue = told.venue, symbol = told.symbol, "bus: not known here");
                continue;
            };
            let index = self.hub.directory().add(&spec);
            self.set_told(index, tickcast_wire::state_numbered(told.state), now);
            self.ask_unsure(index);
        }
    }

    pub(crate) fn status_change(&mut self, subject: &str, change: StatusChange, now: Nanos) {
        if self.run != Some(change.run) {
            return;
        }
        match self.status_changes {
            Some(seen) if change.number == seen + 1 => self.status_changes = Some(change.number),
            Some(seen) if change.number <= seen => return,
            // The next beat says that one is missing.
            _ => {}
        }
        let found = name_of_status(subject).and_then(|name| self.hub.directory().find(&name));
        if let Some(instrument) = found {
            self.set_told(instrument.index, tickcast_wire::state_numbered(change.state), now);
        }
    }

    fn set_told(&mut self, index: InstrumentIndex, state: Option<TradingState>, now: Nanos) {
        if self.states.len() <= index.index() {
            self.states.resize(index.index() + 1, TradingState::Resync);
        }
        self.states[index.index()] = state.unwrap_or(TradingState::Stale);
        self.show_state(index, now);
    }

    pub(crate) fn show_states(&mut self, now: Nanos) {
        for index in 0..self.states.len() {
            self.show_state(InstrumentIndex(index as u32), now);
        }
    }

    /// The worse of what the publisher says and of what is known of the bus.
    pub(crate) fn show_state(&mut self, instrument: InstrumentIndex, now: Nanos) {
        let told = self.states.get(instrument.index()).copied().unwrap_or_default();
        let is_unsure = |view| {
            let followed = self.streams.get(&StreamKey { instrument, view });
            followed.is_some_and(|followed| !followed.is_sure)
        };
        let is_sure = self.heard.is_some() && !VIEWS.into_iter().any(is_unsure);
        let bus = if is_sure { TradingState::Live } else { TradingState::Stale };
        self.replica.set_state(instrument, told.max(bus), now);
    }
}

fn spec(told: &Instrument) -> Option<InstrumentSpec> {
    let scale = |scale: u32| u8::try_from(scale).ok();
    let increment = |text: &str| {
        if text.is_empty() { Some(None) } else { Decimal::parse(text.as_bytes()).ok().map(Some) }
    };
    Some(InstrumentSpec {
        venue: Venue::from_name(&told.venue)?,
        symbol: told.symbol.clone(),
        venue_symbol: told.venue_symbol.clone(),
        tick_size: increment(&told.tick_size)?,
        lot_size: increment(&told.lot_size)?,
        scales: Scales {
            price: scale(told.price_scale)?,
            size: scale(told.size_scale)?,
            volume: scale(told.volume_scale)?,
        },
    })
}
