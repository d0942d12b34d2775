//! The lease as a bucket in JetStream keeps it, without JetStream.

use tickcast_market::Nanos;

/// As in `lease.rs` of the crate.
const TTL: Nanos = Nanos::from_secs(2);

/// A server may be behind the others by so much.
pub(crate) const LAG_MAX: Nanos = Nanos::from_millis(700);

#[derive(Debug)]
pub(crate) struct Bucket {
    holder: Option<(usize, u64, Nanos)>,
    revision: u64,
    /// It does not answer: its servers have no leader.
    pub(crate) is_away: bool,
    /// Who has ever held it, and from when on.
    pub(crate) runs: Vec<(u64, Nanos)>,
}

impl Bucket {
    pub(crate) fn new() -> Bucket {
        Bucket { holder: None, revision: 1_000, is_away: false, runs: Vec::new() }
    }

    pub(crate) fn step(&mut self, now: Nanos) {
        // Also while nobody can be asked.
        self.holder.take_if(|(_, _, renewed)| now.since(*renewed) > TTL);
    }

    /// Tries to get it; the run.
    pub(crate) fn acquire(&mut self, who: usize, now: Nanos) -> Option<u64> {
        if self.is_away || self.holder.is_some() {
            return None;
        }
        self.revision += 1;
        self.holder = Some((who, self.revision, now));
        self.runs.push((self.revision, now));
        Some(self.revision)
    }

    pub(crate) fn renew(&mut self, who: usize, run: u64, now: Nanos) -> bool {
        match &mut self.holder {
            Some((holder, held, renewed)) if (*holder, *held) == (who, run) && !self.is_away => {
                *renewed = now;
                self.revision += 1;
                true
            }
            _ => false,
        }
    }

    /// The run of who holds it, as one of its servers knows it: one that `lags` may tell of the last one.
    pub(crate) fn read(&self, lags: bool, now: Nanos) -> Option<u64> {
        let (_, run, _) = self.holder.filter(|_| !self.is_away)?;
        let last = self.runs.iter().rev().nth(1).filter(|_| lags && self.lags(now));
        Some(last.map_or(run, |(last, _)| *last))
    }

    fn lags(&self, now: Nanos) -> bool {
        self.runs.last().is_some_and(|(_, since)| now.since(*since) < LAG_MAX)
    }

    /// Who holds it, whether it answers or not.
    pub(crate) fn holder(&self) -> Option<(usize, u64)> {
        self.holder.map(|(who, run, _)| (who, run))
    }
}
