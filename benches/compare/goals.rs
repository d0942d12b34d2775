//! The goals, and whether they were reached: computed from the sections, never typed.

use crate::contender::{Contender, Flush};
use crate::section::{Entry, Pick, Section};
use crate::table::{Table, number};

/// Which side of the limit is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    AtMost,
    AtLeast,
}

/// One goal and what came out.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Goal {
    pub(crate) measure: String,
    pub(crate) side: Side,
    pub(crate) limit: f64,
    pub(crate) value: Option<f64>,
}

impl Goal {
    pub(crate) fn is_reached(&self) -> Option<bool> {
        Some(match self.side {
            Side::AtMost => self.value? <= self.limit,
            Side::AtLeast => self.value? >= self.limit,
        })
    }
}

const CPU: Pick = |figures| figures.cpu_us;
const P99: Pick = |figures| figures.p99_ms;

/// The sections by name.
struct All<'a>(&'a [Section]);

impl All<'_> {
    fn entry(&self, section: &str, is_it: impl Fn(&Entry) -> bool) -> Option<&Entry> {
        let section = self.0.iter().find(|one| one.name == section)?;
        section.entries.iter().find(|entry| is_it(entry))
    }

    /// tickcast in the first of these modes that was run.
    fn ours(&self, section: &str, modes: &[Flush]) -> Option<&Entry> {
        let is_mode = |entry: &Entry, mode: Flush| {
            matches!(entry.contender, Contender::Tickcast { flush, tls: false, .. } if flush == mode)
                && entry.workload.stalled == 0.0
                && entry.rounds.iter().any(Option::is_some)
        };
        modes.iter().find_map(|mode| self.entry(section, |entry| is_mode(entry, *mode)))
    }

    fn ratio(&self, section: &str, modes: &[Flush], pick: Pick) -> Option<f64> {
        let base = self.0.iter().find(|one| one.name == section)?.base()?;
        Some(self.ours(section, modes)?.ratio(base, pick)?.median)
    }

    fn value(&self, section: &str, modes: &[Flush], pick: Pick) -> Option<f64> {
        Some(self.ours(section, modes)?.spread(pick)?.median)
    }
}

/// All goals that the sections can say something about.
pub(crate) fn of_sections(sections: &[Section]) -> Vec<Goal> {
    use Side::{AtLeast, AtMost};
    // What a server without the choice does is send.
    const SEND: &[Flush] = &[Flush::Send, Flush::Auto];
    const URING: &[Flush] = &[Flush::Uring];
    const BEST: &[Flush] = &[Flush::Uring, Flush::Auto, Flush::Send];
    let all = All(sections);
    let stalled = || {
        let plain = all.ours("slow", BEST)?;
        let stalled = all.entry("slow", |entry| entry.workload.stalled > 0.0)?;
        Some(stalled.ratio(plain, P99)?.median)
    };
    let tls = || {
        let plain = all.ours("tls", BEST)?;
        let is_tls =
            |entry: &Entry| matches!(entry.contender, Contender::Tickcast { tls: true, .. });
        Some(all.entry("tls", is_tls)?.ratio(plain, CPU)?.median)
    };
    let rate: Pick = |figures| figures.per_second;
    let memory: Pick = |figures| figures.rss_bytes;
    let goals = [
        (
            "W1a, CPU per delivery ÷ floor at one frame a send, io_uring",
            AtMost,
            1.0,
            all.ratio("W1a", URING, CPU),
        ),
        ("the same, send", AtMost, 1.15, all.ratio("W1a", SEND, CPU)),
        ("W1a, p99 ÷ floor's, io_uring", AtMost, 1.15, all.ratio("W1a", URING, P99)),
        ("the same, send", AtMost, 1.15, all.ratio("W1a", SEND, P99)),
        (
            "W2S, CPU per delivery ÷ floor at one frame a send, io_uring",
            AtMost,
            1.0,
            all.ratio("W2S", URING, CPU),
        ),
        ("the same, send", AtMost, 1.15, all.ratio("W2S", SEND, CPU)),
        ("W2S, p99, ms", AtMost, 10.0, all.value("W2S", BEST, P99)),
        ("W2, carried on one core, deliveries/s", AtLeast, 3.7e6, all.value("W2", BEST, rate)),
        ("W2, p99, ms", AtMost, 20.0, all.value("W2", BEST, P99)),
        (
            "W2 with a 20 ms flush, CPU per delivery ÷ floor at the same frames a send",
            AtMost,
            1.4,
            all.ratio("flush", BEST, CPU),
        ),
        ("W2 with a 20 ms flush, p99, ms", AtMost, 30.0, all.value("flush", BEST, P99)),
        ("W2X, carried on one core, deliveries/s", AtLeast, 7e6, all.value("W2X", BEST, rate)),
        (
            "resident memory of an idle connection, bytes",
            AtMost,
            256.0,
            all.value("idle", BEST, memory),
        ),
        ("the same with 20 subscriptions, bytes", AtMost, 640.0, all.value("idle20", BEST, memory)),
        (
            "CPU of a connect with one subscription, µs",
            AtMost,
            22.0,
            all.value("connect", BEST, |figures| figures.connect_us),
        ),
        (
            "connects on one core, a second",
            AtLeast,
            22_000.0,
            all.value("connect", BEST, |figures| figures.connects_per_second),
        ),
        ("10 % of clients stalled, the others' p99 ÷ without", AtMost, 1.1, stalled()),
        ("W1a over wss://, CPU per delivery ÷ plain", AtMost, 1.6, tls()),
    ];
    let goal = |(measure, side, limit, value): (&str, _, _, _)| Goal {
        measure: measure.to_owned(),
        side,
        limit,
        value,
    };
    goals.into_iter().map(goal).collect()
}

/// The goals as a table.
pub(crate) fn table(goals: &[Goal]) -> String {
    let mut table = Table::new(&["measure", "goal", "here", "reached"]);
    for goal in goals {
        let sign = match goal.side {
            Side::AtMost => "≤",
            Side::AtLeast => "≥",
        };
        table.row(vec![
            goal.measure.clone(),
            format!("{sign} {}", number(goal.limit)),
            goal.value.map_or_else(|| "–".into(), number),
            match goal.is_reached() {
                Some(true) => "yes".into(),
                Some(false) => "**no**".into(),
                None => "not measured".into(),
            },
        ]);
    }
    table.text()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Figures;
    use crate::workload::Workload;

    fn section(ours: f64, rate: f64) -> Section {
        let entry = |contender, cpu_us: f64| {
            let mut entry = Entry::new(contender, &Workload::w1a());
            let figures = |cpu_us| Figures {
                cpu_us: Some(cpu_us),
                per_second: Some(rate),
                ..Figures::default()
            };
            entry.rounds = vec![Some(figures(cpu_us)), Some(figures(cpu_us * 2.0))];
            entry
        };
        let entries = vec![
            entry(Contender::FLOOR, 3.0),
            entry(Contender::tickcast(Flush::Send), ours),
            entry(Contender::Broadcast, 99.0),
        ];
        Section { name: "W1a", title: String::new(), entries, base: Some(0) }
    }

    #[test]
    fn a_goal_is_reached_or_not_as_the_ratio_says() {
        for (ours, reached) in [(3.0, true), (3.44, true), (3.46, false)] {
            let goals = of_sections(&[section(ours, 1.0)]);
            assert_eq!(goals[1].is_reached(), Some(reached), "{ours}: {:?}", goals[1]);
            assert_eq!(goals[0].is_reached(), None, "io_uring was not run");
        }
        let mut carried = section(3.0, 7.1e6);
        carried.name = "W2X";
        carried.entries[1].contender = Contender::TICKCAST;
        let goals = of_sections(&[carried]);
        let goal = goals.iter().find(|goal| goal.measure.starts_with("W2X")).unwrap();
        assert_eq!((goal.value, goal.is_reached()), (Some(7.1e6), Some(true)));
        let text = table(&goals);
        assert!(text.contains("not measured") && text.contains("7.10 M"), "{text}");
    }
}
