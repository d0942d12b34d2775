//! A sampled client: it holds everything, decodes every byte, and says what it saw broken.

use crate::tally::Correctness;
use tickcast_client::{Session, Violation};
use tickcast_wire::Message;

/// A whole client beside the places of its connection.
pub(crate) struct Sample {
    /// The number of its connection within the engine.
    pub(crate) conn: u32,
    pub(crate) session: Session,
    violations: u64,
}

impl Sample {
    pub(crate) fn new(conn: u32) -> Sample {
        Sample { conn, session: Session::new(), violations: 0 }
    }

    /// Takes a message in. What the connection's places see broken they count themselves; values
    /// are seen here alone.
    pub(crate) fn receive(&mut self, message: &Message<'_>, correctness: &mut Correctness) {
        self.session.receive(message);
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
