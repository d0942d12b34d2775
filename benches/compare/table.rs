//! Tables as Markdown, padded so that they can be read in a terminal too.

use crate::figures::Spread;
use crate::section::{Entry, Pick, Section};
use crate::workload::About;

/// Rows of cells below a head.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(head: &[&str]) -> Table {
        Table { rows: vec![head.iter().map(ToString::to_string).collect()] }
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    pub(crate) fn text(&self) -> String {
        let columns = self.rows[0].len();
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut out = String::new();
        for (at, row) in self.rows.iter().enumerate() {
            for (column, width) in widths.iter().enumerate() {
                let cell = row.get(column).map_or("", String::as_str);
                out.push_str(&format!("| {cell:<width$} "));
            }
            out.push_str("|\n");
            if at == 0 {
                let lines: Vec<String> = widths.iter().map(|width| "-".repeat(width + 2)).collect();
                out.push_str(&format!("|{}|\n", lines.join("|")));
            }
        }
        out
    }
}

/// A number with about three digits that count.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 1e6 => format!("{:.2} M", value / 1e6),
        size if size >= 1e4 => format!("{:.0} k", value / 1e3),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// A median, and what the rounds were between.
pub(crate) fn spread(spread: Option<Spread>) -> String {
    match spread {
        None => "–".into(),
        Some(Spread { median, min, max }) if min == max => number(median),
        Some(Spread { median, min, max }) => {
            format!("{} ({}–{})", number(median), number(min), number(max))
        }
    }
}

fn median(spread: Option<Spread>) -> String {
    spread.map_or_else(|| "–".into(), |spread| number(spread.median))
}

/// Columns of a kind of workload: head, figure, whether its ratio to the base follows.
fn columns(about: About) -> &'static [(&'static str, Pick, bool)] {
    match about {
        About::Deliveries => &[
            ("CPU µs/delivery", |figures| figures.cpu_us, true),
            ("p99 ms", |figures| figures.p99_ms, true),
            ("deliveries/s", |figures| figures.per_second, false),
            ("cores", |figures| figures.cores, false),
            ("frames/send", |figures| figures.frames_per_send, false),
            ("client cores", |figures| figures.load_cores, false),
        ],
        About::Memory => &[("bytes/connection", |figures| figures.rss_bytes, false)],
        About::Connects => &[
            ("CPU µs/connect", |figures| figures.connect_us, true),
            ("connects/s", |figures| figures.connects_per_second, true),
        ],
    }
}

/// The table of a section.
pub(crate) fn of_section(section: &Section) -> String {
    let about = section.entries.first().map_or(About::Deliveries, |entry| entry.workload.about);
    let has_base = section.base.is_some();
    let base = section.base().map_or_else(String::new, |base| base.contender.name());
    let short = base.split(',').next().unwrap_or_default().to_owned();
    let mut head = vec!["server".to_owned()];
    for (name, _, has_ratio) in columns(about) {
        head.push((*name).to_owned());
        if *has_ratio && has_base {
            head.push(format!("÷ {short}"));
        }
    }
    head.push("wrong".into());
    let mut table = Table::new(&head.iter().map(String::as_str).collect::<Vec<_>>());
    for entry in &section.entries {
        table.row(row(entry, section, about));
    }
    let mut text = table.text();
    for entry in &section.entries {
        if let Some(failure) = &entry.failure {
            let failed = entry.rounds.iter().filter(|round| round.is_none()).count();
            text += &format!("\nFailed in {failed} of {} rounds: {failure}\n", entry.rounds.len());
        }
    }
    text
}

fn row(entry: &Entry, section: &Section, about: About) -> Vec<String> {
    let mut name = entry.contender.name();
    if entry.workload.stalled > 0.0 {
        name += &format!(", {:.0} % of clients stalled", entry.workload.stalled * 100.0);
    }
    let mut row = vec![name];
    for (_, pick, has_ratio) in columns(about) {
        row.push(spread(entry.spread(*pick)));
        if let (true, Some(base)) = (*has_ratio, section.base()) {
            row.push(median(entry.ratio(base, *pick)));
        }
    }
    let wrong: f64 = entry.rounds.iter().flatten().map(|figures| figures.wrong).sum();
    row.push(number_of(wrong));
    row
}

fn number_of(count: f64) -> String {
    if count == 0.0 { "0".into() } else { format!("**{count}**") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contender::{Contender, Flush};
    use crate::failure::Failure;
    use crate::figures::Figures;
    use crate::workload::Workload;

    #[test]
    fn a_section_s_table_has_ratios_to_its_base_and_names_who_failed() {
        let w1a = Workload::w1a();
        let figures = |cpu_us, p99_ms| {
            let (cpu_us, p99_ms) = (Some(cpu_us), Some(p99_ms));
            Some(Figures { cpu_us, p99_ms, per_second: Some(100_000.0), ..Figures::default() })
        };
        let mut floor = Entry::new(Contender::FLOOR, &w1a);
        floor.rounds = vec![figures(3.0, 4.0), figures(3.2, 4.0), figures(3.4, 4.0)];
        let mut ours = Entry::new(Contender::tickcast(Flush::Send), &w1a);
        ours.rounds = vec![figures(3.3, 4.4), figures(3.52, 4.4), figures(3.74, 4.4)];
        let mut broken = Entry::new(Contender::Broadcast, &w1a);
        broken.rounds = vec![None, None, None];
        broken.failure = Some(Failure("axum + broadcast: no".into()));
        let entries = vec![floor, ours, broken];
        let text =
            of_section(&Section { name: "W1a", title: "W1a".into(), entries, base: Some(0) });
        let lines: Vec<Vec<&str>> =
            text.lines().map(|line| line.split('|').map(str::trim).collect()).collect();
        assert_eq!(lines[0][1..5], ["server", "CPU µs/delivery", "÷ floor", "p99 ms"]);
        assert_eq!(lines[3][1..6], ["tickcast, send", "3.52 (3.30–3.74)", "1.10", "4.40", "1.10"]);
        assert_eq!(lines[4][1..4], ["axum + broadcast", "–", "–"]);
        assert!(text.contains("Failed in 3 of 3 rounds: axum + broadcast: no"), "{text}");
    }
}
