//! How the cost of a delivery changes as the work grows: clients, instruments, subscriptions.
//!
//! Along each axis the rate of updates is chosen such that the deliveries a second stay the same,
//! so that what changes is the work's shape and not how many messages gather in a send.

use crate::contender::{Contender, Flush, Programs};
use crate::goals::{Goal, Side};
use crate::plot::{self, Line, Panel};
use crate::section::{Entry, Pick, Section};
use crate::table::Table;
use crate::workload::{Choice, Workload};

/// Deliveries a second of every point.
const DELIVERIES: f64 = 100_000.0;

/// What a machine that does other work too cannot tell from flat.
const FLAT_MAX: f64 = 1.10;

const CPU: Pick = |figures| figures.cpu_us;

/// One axis: its sections' name, what grows, and the points.
struct Axis {
    name: &'static str,
    what: &'static str,
    shards: u32,
    points: &'static [u32],
    workload: fn(u32) -> Workload,
}

const AXES: [Axis; 4] = [
    Axis {
        name: "clients",
        what: "clients, each with the same 20 instruments",
        shards: 1,
        points: &[100, 1000, 3000, 10_000],
        workload: by_clients,
    },
    Axis {
        name: "clients, 2 shards",
        what: "clients, each with the same 20 instruments, 2 shards",
        shards: 2,
        points: &[100, 1000, 3000, 10_000],
        workload: by_clients,
    },
    Axis {
        name: "instruments",
        what: "instruments, 1,000 clients with the 20 most active",
        shards: 1,
        points: &[20, 100, 1000, 10_000],
        workload: by_instruments,
    },
    Axis {
        name: "subscriptions",
        what: "subscriptions of each of 1,000 clients, 200 instruments",
        shards: 1,
        points: &[1, 10, 50, 200],
        workload: by_subscriptions,
    },
];

/// Clients with the most active `symbols` of `instruments`.
fn shape(name: &'static str, connections: u32, instruments: u32, symbols: u32) -> Workload {
    let harmonic = |count: u32| (1..=count).map(|rank| 1.0 / f64::from(rank)).sum::<f64>();
    // The share of updates that are about the symbols that clients have.
    let share = harmonic(symbols) / harmonic(instruments);
    let rate = DELIVERIES / f64::from(connections) / share;
    let choice = Choice::All;
    Workload { name, connections, instruments, symbols, rate, choice, ..Workload::w1a() }
}

fn by_clients(clients: u32) -> Workload {
    shape("clients", clients, 20, 20)
}

fn by_instruments(instruments: u32) -> Workload {
    shape("instruments", 1000, instruments, 20)
}

fn by_subscriptions(subscriptions: u32) -> Workload {
    shape("subscriptions", 1000, 200, subscriptions)
}

/// A section for each axis; ratios are to its first point.
pub(crate) fn sections(is_quick: bool) -> Vec<Section> {
    let section = |axis: &Axis| {
        let contender = Contender::Tickcast {
            flush: Flush::Auto,
            interval: None,
            tls: false,
            shards: axis.shards,
        };
        let entry = |point: &u32| {
            let mut entry = Entry::new(contender.clone(), &(axis.workload)(*point));
            if is_quick {
                entry.workload.seconds = 1;
            }
            entry
        };
        let entries = axis.points.iter().map(entry).collect();
        Section { name: axis.name, title: axis.what.to_owned(), entries, base: Some(0) }
    };
    AXES.iter().map(section).collect()
}

/// Whether each axis is flat or falling.
pub(crate) fn goals(sections: &[Section]) -> Vec<Goal> {
    let goal = |section: &Section| {
        let last = section.entries.last().and_then(|entry| entry.ratio(section.base()?, CPU));
        let last = last.map(|ratio| ratio.median);
        let measure = format!("CPU per delivery, most ÷ least {}", section.title);
        Goal { measure, side: Side::AtMost, limit: FLAT_MAX, value: last }
    };
    sections.iter().map(goal).collect()
}

/// The table of all points.
pub(crate) fn table(sections: &[Section]) -> String {
    let head =
        ["what grows", "", "CPU µs/delivery", "÷ first", "p99 ms", "deliveries/s", "frames/send"];
    let mut table = Table::new(&head);
    for (section, axis) in sections.iter().zip(&AXES) {
        for (entry, point) in section.entries.iter().zip(axis.points) {
            let mut row = vec![section.title.clone(), point.to_string()];
            let ratio = section.base().and_then(|base| entry.ratio(base, CPU));
            let per_second: Pick = |figures| figures.per_second;
            for spread in [
                entry.spread(CPU),
                ratio,
                entry.spread(|figures| figures.p99_ms),
                entry.spread(per_second),
                entry.spread(|figures| figures.frames_per_send),
            ] {
                row.push(crate::table::spread(spread));
            }
            table.row(row);
        }
    }
    table.text()
}

/// The same as a picture.
pub(crate) fn svg(sections: &[Section]) -> String {
    let line = |section: &Section, axis: &Axis| Line {
        name: format!("{} shard{}", axis.shards, if axis.shards == 1 { "" } else { "s" }),
        points: section
            .entries
            .iter()
            .zip(axis.points)
            .filter_map(|(entry, point)| Some((f64::from(*point), entry.spread(CPU)?)))
            .collect(),
    };
    let mut panels: Vec<Panel> = Vec::new();
    for (section, axis) in sections.iter().zip(&AXES) {
        let title = axis.name.split(',').next().unwrap_or_default();
        match panels.last_mut().filter(|panel| panel.title == title) {
            Some(panel) => panel.lines.push(line(section, axis)),
            None => {
                let lines = vec![line(section, axis)];
                panels.push(Panel { title: title.to_owned(), lines });
            }
        }
    }
    plot::svg("CPU of the server for each delivery, µs", &panels)
}

/// Plays all rounds.
pub(crate) fn play(rounds: u32, is_quick: bool, programs: &Programs) -> Vec<Section> {
    let mut sections = sections(is_quick);
    for round in 1..=rounds {
        for section in &mut sections {
            section.play(programs, &mut |line| eprintln!("round {round} of {rounds}: {line}"));
        }
    }
    sections
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Figures;

    #[test]
    fn deliveries_stay_the_same_along_every_axis() {
        for axis in &AXES {
            for point in axis.points {
                let workload = (axis.workload)(*point);
                let harmonic = |count: u32| (1..=count).map(|i| 1.0 / f64::from(i)).sum::<f64>();
                let share = harmonic(workload.symbols) / harmonic(workload.instruments);
                let deliveries = workload.rate * f64::from(workload.connections) * share;
                assert!((deliveries - DELIVERIES).abs() < 1.0, "{} {point}", axis.name);
                assert!(workload.symbols <= workload.instruments);
            }
        }
    }

    #[test]
    fn an_axis_that_rises_is_told_and_drawn() {
        let mut sections = sections(true);
        for section in &mut sections {
            for (at, entry) in section.entries.iter_mut().enumerate() {
                let cpu_us = if section.name == "instruments" { 1.0 + at as f64 } else { 1.0 };
                entry.rounds = vec![Some(Figures { cpu_us: Some(cpu_us), ..Figures::default() })];
            }
        }
        let reached: Vec<_> = goals(&sections).iter().map(Goal::is_reached).collect();
        assert_eq!(reached, [Some(true), Some(true), Some(false), Some(true)]);
        let svg = svg(&sections);
        assert_eq!(svg.matches("<polyline").count(), 4, "{svg}");
        assert!(svg.contains("2 shards") && table(&sections).contains("10000"));
    }
}
