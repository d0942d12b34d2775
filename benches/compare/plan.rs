//! What is run: the sections, and who takes part in each.

use crate::contender::{Batch, Contender, Flush, Programs};
use crate::section::{Entry, Section};
use crate::workload::{Choice, Workload};

/// How thorough a run is.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Extent {
    /// Only these sections; all if empty.
    pub(crate) only: Vec<String>,
    /// One second each, fewer clients where memory is measured.
    pub(crate) is_quick: bool,
    /// nats-server, by program or URL.
    pub(crate) nats: Option<String>,
}

/// The names of all sections.
pub(crate) const NAMES: [&str; 10] =
    ["W1a", "W2S", "W2", "W2X", "flush", "slow", "tls", "idle", "idle20", "connect"];

/// The sections of a run.
pub(crate) fn sections(extent: &Extent, programs: &Programs) -> Vec<Section> {
    let mut all = vec![w1a(extent, programs)];
    for (name, rate, batch) in [
        ("W2S", 200.0, Batch::One),
        ("W2", 5_000.0, Batch::LikeTickcast),
        ("W2X", 10_000.0, Batch::LikeTickcast),
    ] {
        all.push(w2(name, rate, batch, extent, programs));
    }
    all.extend([flush(), slow(), tls()]);
    for (name, symbols) in [("idle", 0), ("idle20", 20)] {
        let workload = Workload::idle(name, symbols);
        let everybody =
            [Contender::FLOOR, Contender::TICKCAST, Contender::Broadcast, Contender::Channel];
        all.push(section(name, &workload, &everybody, None));
    }
    let everybody =
        [Contender::FLOOR, Contender::TICKCAST, Contender::Broadcast, Contender::Channel];
    all.push(section("connect", &Workload::connects(), &everybody, Some(0)));
    if !extent.only.is_empty() {
        all.retain(|section| extent.only.iter().any(|only| only == section.name));
    }
    if extent.is_quick {
        all.iter_mut().flat_map(|section| &mut section.entries).for_each(shorten);
    }
    all
}

fn shorten(entry: &mut Entry) {
    let workload = &mut entry.workload;
    workload.seconds = 1;
    workload.connections = workload.connections.min(2000);
}

fn section(
    name: &'static str,
    workload: &Workload,
    contenders: &[Contender],
    base: Option<usize>,
) -> Section {
    let entries = contenders.iter().map(|one| Entry::new(one.clone(), workload)).collect();
    Section { name, title: format!("{name}: {}", workload.words()), entries, base }
}

/// tickcast in each of its modes.
fn ours(programs: &Programs) -> Vec<Contender> {
    let modes = [Flush::Send, Flush::Uring].map(Contender::tickcast);
    if modes.iter().any(|mode| mode.obstacle(programs).is_none()) {
        modes.into()
    } else {
        vec![Contender::TICKCAST]
    }
}

fn others(extent: &Extent) -> Vec<Contender> {
    let mut others = vec![Contender::Broadcast, Contender::Channel];
    others.extend(extent.nats.clone().map(Contender::Nats));
    others
}

fn w1a(extent: &Extent, programs: &Programs) -> Section {
    let mut contenders = vec![Contender::FLOOR];
    contenders.push(Contender::Floor { flush: Flush::Uring, batch: Batch::One });
    contenders.extend(ours(programs));
    contenders.extend(others(extent));
    section("W1a", &Workload::w1a(), &contenders, Some(0))
}

/// The floor follows tickcast, whose rate and number of frames in a send it takes over.
fn w2(
    name: &'static str,
    rate: f64,
    batch: Batch,
    extent: &Extent,
    programs: &Programs,
) -> Section {
    let mut contenders = ours(programs);
    let base = contenders.len();
    contenders.push(Contender::Floor { flush: Flush::Send, batch });
    contenders.extend(others(extent).into_iter().filter(|other| {
        // Beyond what its own limits let through on one core there is nothing to compare.
        name != "W2X" || !matches!(other, Contender::Nats(_))
    }));
    section(name, &Workload::w2(name, rate), &contenders, Some(base))
}

fn flush() -> Section {
    let interval = Some("20ms");
    let ours = Contender::Tickcast { flush: Flush::Auto, interval, tls: false, shards: 1 };
    let floor = Contender::Floor { flush: Flush::Send, batch: Batch::LikeTickcast };
    let contenders = [ours, floor, Contender::TICKCAST];
    section("flush", &Workload::w2("flush", 5_000.0), &contenders, Some(1))
}

fn slow() -> Section {
    let plain = Workload::w2("slow", 200.0);
    let stalled = Workload { stalled: 0.1, ..plain };
    let mut slow = section("slow", &plain, &[Contender::TICKCAST], Some(0));
    slow.entries.push(Entry::new(Contender::TICKCAST, &stalled));
    slow
}

fn tls() -> Section {
    let tls = Contender::Tickcast { flush: Flush::Auto, interval: None, tls: true, shards: 1 };
    let workload = Workload { name: "tls", choice: Choice::All, ..Workload::w1a() };
    section("tls", &workload, &[Contender::TICKCAST, tls], Some(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn every_name_is_a_section_and_can_be_chosen_alone() {
        let programs = Programs::new(Path::new("/nonexistent"), &[]);
        let names: Vec<_> =
            sections(&Extent::default(), &programs).iter().map(|section| section.name).collect();
        assert_eq!(names, NAMES);
        let only = vec!["W2".to_owned(), "idle".to_owned()];
        let extent = Extent { only, is_quick: true, nats: Some("x".into()) };
        let some = sections(&extent, &programs);
        assert_eq!(some.iter().map(|section| section.name).collect::<Vec<_>>(), ["W2", "idle"]);
        assert!(some[0].entries.iter().any(|entry| entry.contender.name() == "nats-server"));
        assert!(some.iter().flat_map(|one| &one.entries).all(|entry| entry.workload.seconds == 1));
    }

    #[test]
    fn ratios_are_to_a_floor_wherever_there_is_one() {
        let programs = Programs::new(Path::new("/nonexistent"), &[]);
        for section in sections(&Extent::default(), &programs) {
            let is_floor = |entry: &Entry| matches!(entry.contender, Contender::Floor { .. });
            if let (Some(base), true) = (section.base(), section.entries.iter().any(is_floor)) {
                assert!(is_floor(base), "{}", section.name);
            }
        }
    }
}
