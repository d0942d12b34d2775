//! A sampled client: it holds everything, decodes every byte, and says what it saw broken.

use crate::facts::{self, Facts};
use crate::tally::Correctness;
use std::collections::VecDeque;
use tickcast_client::{Session, Violation};
use tickcast_wire::{Message, Since, View};

/// How many past states of a stream are kept while a snapshot is on its way.
const HISTORY_MAX: usize = 64;

/// A whole client beside the places of its connection.
pub(crate) struct Sample {
    /// The number of its connection within the engine.
    pub(crate) conn: u32,
    pub(crate) session: Session,
    /// What it is to be compared in; empty until the comparison begins.
    pub(crate) watches: Vec<Watch>,
    violations: u64,
}

/// How far the comparison of a stream is.
#[derive(Debug)]
pub(crate) enum Look {
    /// Wants a snapshot of the service.
    Wanted,
    /// Has asked for it.
    Asked,
    /// Has it, of a moment that is not reached; and since when (the engine's clock).
    Ahead(Since, Facts, u64),
    /// Was too late or too early; looks again at the next change, or at this time.
    Missed(u64),
    Done,
}

/// A stream that is to be compared with the service.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) view: View,
    pub(crate) symbol: String,
    pub(crate) look: Look,
    /// States since the snapshot was wanted, oldest first.
    pub(crate) history: VecDeque<(Since, Facts)>,
}

impl Watch {
    pub(crate) fn new(view: View, symbol: String) -> Watch {
        Watch { view, symbol, look: Look::Missed(0), history: VecDeque::new() }
    }

    /// Wants a snapshot, beginning with what is held now.
    pub(crate) fn want(&mut self, session: &Session) {
        self.history.clear();
        self.look = Look::Wanted;
        self.remember(session);
    }

    /// Keeps the present state if it is another than the last.
    fn remember(&mut self, session: &Session) {
        let Some(held) = facts::held(session, self.view, &self.symbol) else { return };
        if self.history.back().is_some_and(|(last, _)| *last == held) {
            return;
        }
        let Some(facts) = facts::of(session, self.view, &self.symbol) else { return };
        if self.history.len() == HISTORY_MAX {
            self.history.pop_front();
        }
        self.history.push_back((held, facts));
    }

    fn changed(&mut self, session: &Session) {
        match self.look {
            Look::Wanted | Look::Asked | Look::Ahead(..) => self.remember(session),
            Look::Missed(_) => {
                let held = facts::held(session, self.view, &self.symbol);
                if held.is_some() && held != self.history.back().map(|(since, _)| *since) {
                    self.want(session);
                }
            }
            Look::Done => {}
        }
    }
}

impl Sample {
    pub(crate) fn new(conn: u32) -> Sample {
        Sample { conn, session: Session::new(), watches: Vec::new(), violations: 0 }
    }

    /// Takes a message in. What the connection's places see broken they count themselves; values
    /// are seen here alone.
    pub(crate) fn receive(&mut self, message: &Message<'_>, correctness: &mut Correctness) {
        self.session.receive(message);
        for watch in &mut self.watches {
            watch.changed(&self.session);
        }
        let violations = self.session.counts().violations;
        if violations == self.violations {
            return;
        }
        let kept = self.session.violations();
        let seen = usize::try_from(self.violations).unwrap_or(usize::MAX).min(kept.len());
        for (symbol, violation) in &kept[seen..] {
            if let Some(name) = name_of_value_fault(*violation) {
                correctness.broke(name, || format!("{symbol}: {violation}"));
            }
        }
        // Beyond those that are kept in words nothing tells their kinds.
        let unnamed = violations.saturating_sub((kept.len() as u64).max(self.violations));
        for _ in 0..unnamed {
            correctness.broke("session", || "more violations than are kept in words".into());
        }
        self.violations = violations;
    }
}

fn name_of_value_fault(violation: Violation) -> Option<&'static str> {
    match violation {
        Violation::Number => Some("number"),
        Violation::Checksum => Some("checksum"),
        Violation::Depth => Some("depth"),
        Violation::Density => Some("density"),
        Violation::State | Violation::Prev | Violation::DataBeforeStatus => None,
    }
}
