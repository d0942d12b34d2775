//! A part of the comparison: entries that are run in turn, round by round, and what came out.

use crate::contender::{Contender, Programs, Seen};
use crate::failure::Failure;
use crate::figures::{Figures, Spread};
use crate::load;
use crate::workload::{About, Workload};

/// One contender at one workload.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) contender: Contender,
    pub(crate) workload: Workload,
    /// By round; `None` where it failed.
    pub(crate) rounds: Vec<Option<Figures>>,
    /// Why it failed the last time.
    pub(crate) failure: Option<Failure>,
}

/// Entries that are compared with each other.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Section {
    /// How it is chosen with `--only`.
    pub(crate) name: &'static str,
    pub(crate) title: String,
    pub(crate) entries: Vec<Entry>,
    /// The entry that ratios are to.
    pub(crate) base: Option<usize>,
}

/// Which of the figures.
pub(crate) type Pick = fn(&Figures) -> Option<f64>;

impl Entry {
    pub(crate) fn new(contender: Contender, workload: &Workload) -> Entry {
        Entry { contender, workload: workload.clone(), rounds: Vec::new(), failure: None }
    }

    /// A figure over all rounds.
    pub(crate) fn spread(&self, pick: Pick) -> Option<Spread> {
        let values: Vec<f64> = self.rounds.iter().flatten().filter_map(pick).collect();
        Spread::of(&values)
    }

    /// How a figure compares with another entry's in the same rounds.
    pub(crate) fn ratio(&self, base: &Entry, pick: Pick) -> Option<Spread> {
        let value = |figures: &Option<Figures>| pick(figures.as_ref()?);
        let ratios: Vec<f64> = self
            .rounds
            .iter()
            .zip(&base.rounds)
            .filter_map(|(own, base)| Some(value(own)? / value(base)?))
            .filter(|ratio| ratio.is_finite())
            .collect();
        Spread::of(&ratios)
    }
}

impl Section {
    /// One more round of every entry.
    pub(crate) fn play(&mut self, programs: &Programs, say: &mut dyn FnMut(&str)) {
        let mut seen = None;
        for entry in &mut self.entries {
            let is_floor = matches!(entry.contender, Contender::Floor { .. });
            let workload = &entry.workload;
            let needs = is_floor && workload.about == About::Deliveries && workload.symbols > 1;
            let done = match (needs, seen) {
                (true, None) => Err(Failure("there was no run of tickcast to compare with".into())),
                (true, some) => load::run(&entry.contender, workload, some, programs),
                (false, _) => load::run(&entry.contender, workload, None, programs),
            };
            match done {
                Ok(figures) => {
                    say(&format!("{}, {}: {}", self.name, entry.contender.name(), short(&figures)));
                    if matches!(entry.contender, Contender::Tickcast { .. }) {
                        seen = saw(&figures, workload);
                    }
                    entry.rounds.push(Some(figures));
                }
                Err(failure) => {
                    say(&format!("{}: FAILED: {failure}", self.name));
                    entry.rounds.push(None);
                    entry.failure = Some(failure);
                }
            }
        }
    }

    /// The base, if it has any rounds.
    pub(crate) fn base(&self) -> Option<&Entry> {
        self.entries.get(self.base?)
    }
}

/// What the floor has to do after such a run.
fn saw(figures: &Figures, workload: &Workload) -> Option<Seen> {
    Some(Seen {
        frames_per_send: figures.frames_per_send?,
        rate: figures.per_second? / f64::from(workload.connections),
        message_bytes: figures.message_bytes?,
    })
}

fn short(figures: &Figures) -> String {
    let mut parts = Vec::new();
    let mut part = |value: Option<f64>, unit: &str, digits: usize| {
        if let Some(value) = value {
            parts.push(format!("{value:.digits$} {unit}"));
        }
    };
    part(figures.cpu_us, "us/delivery", 3);
    part(figures.p99_ms, "ms p99", 2);
    part(figures.per_second, "deliveries/s", 0);
    part(figures.frames_per_send, "frames/send", 2);
    part(figures.cores, "cores", 2);
    part(figures.load_cores, "cores of the load tester", 2);
    part(figures.rss_bytes, "B/connection", 0);
    part(figures.connect_us, "us/connect", 1);
    part(figures.connects_per_second, "connects/s", 0);
    if figures.wrong > 0.0 {
        parts.push(format!("{} WRONG", figures.wrong));
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(cpu: &[Option<f64>]) -> Entry {
        let mut entry = Entry::new(Contender::FLOOR, &Workload::w1a());
        let figures = |cpu_us| Figures { cpu_us: Some(cpu_us), ..Figures::default() };
        entry.rounds = cpu.iter().map(|cpu| cpu.map(figures)).collect();
        entry
    }

    #[test]
    fn ratios_are_of_the_same_round_and_their_median_counts() {
        let floor = entry(&[Some(2.0), Some(4.0), Some(4.0), None]);
        let ours = entry(&[Some(2.0), Some(8.0), Some(6.0), Some(9.0)]);
        let ratio = ours.ratio(&floor, |figures| figures.cpu_us).unwrap();
        assert_eq!((ratio.min, ratio.median, ratio.max), (1.0, 1.5, 2.0));
        assert_eq!(ours.spread(|figures| figures.cpu_us).unwrap().median, 7.0);
        assert_eq!(ours.ratio(&floor, |figures| figures.p99_ms), None);
        assert_eq!(entry(&[None]).ratio(&floor, |figures| figures.cpu_us), None);
    }
}
