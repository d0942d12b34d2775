//! A line: one group of symbols that is kept connected to one URL, by one connection and, during
//! a planned replacement, by two.

use crate::driver::backoff::{Backoff, Pacer};
use crate::driver::connection::{Connection, State};
use crate::handler::ConnectionIndex;
use std::collections::VecDeque;
use tickcast_market::Nanos;

/// A connection that has lived so long has shown that the line is healthy.
const HEALTHY_SPAN: Nanos = Nanos::from_secs(60);

/// A connection and what waits to be sent on it.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) connection: Connection,
    pub(crate) sends: VecDeque<String>,
    pub(crate) pacer: Pacer,
}

/// One line.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) number: u16,
    pub(crate) url: String,
    pub(crate) backoff: Backoff,
    next_generation: u16,
    /// Oldest first; the last one is the line's present.
    pub(crate) slots: Vec<Slot>,
    /// When something last came.
    pub(crate) heard_at: Nanos,
}

impl Line {
    pub(crate) fn new(number: u16, url: String, backoff: Backoff, now: Nanos) -> Line {
        Line { number, url, backoff, next_generation: 0, slots: Vec::new(), heard_at: now }
    }

    pub(crate) fn slot_mut(&mut self, index: ConnectionIndex) -> Option<&mut Slot> {
        self.slots.iter_mut().find(|slot| slot.connection.index == index)
    }

    /// The next generation, to be dialled from `until` on.
    pub(crate) fn open_next(&mut self, until: Nanos) -> ConnectionIndex {
        let index = ConnectionIndex { line: self.number, generation: self.next_generation };
        self.next_generation = self.next_generation.wrapping_add(1);
        self.slots.push(Slot {
            connection: Connection::new(index, until),
            sends: VecDeque::new(),
            pacer: Pacer::default(),
        });
        index
    }

    /// Whether anything serves it.
    pub(crate) fn is_open(&self) -> bool {
        self.slots.iter().any(|slot| slot.connection.is_open())
    }

    /// Whether it is still on its first connection.
    pub(crate) fn is_first(&self) -> bool {
        self.next_generation <= 1
    }

    /// Not to be dialled before `until`: the venue refuses connections for a while.
    pub(crate) fn hold(&mut self, until: Nanos) {
        for slot in &mut self.slots {
            if let State::Waiting { until: before } = slot.connection.state {
                slot.connection.state = State::Waiting { until: before.max(until) };
            }
        }
    }

    /// The older generations, if `index` is the present one and there are any.
    pub(crate) fn older_than(&self, index: ConnectionIndex) -> Vec<ConnectionIndex> {
        match self.slots.split_last() {
            Some((last, older)) if last.connection.index == index => {
                older.iter().map(|slot| slot.connection.index).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Forgets past failures once a connection has lived long enough.
    pub(crate) fn note_health(&mut self, now: Nanos) {
        let healthy = |slot: &Slot| match slot.connection.state {
            State::Open { since, .. } => now.since(since) >= HEALTHY_SPAN,
            _ => false,
        };
        if self.slots.iter().any(healthy) {
            self.backoff.reset();
        }
    }
}
