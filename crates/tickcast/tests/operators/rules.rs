//! The shipped rules: accepted by promtool, each alert tested firing and not firing, each with its
//! heading in the runbook and its words for whoever is woken.

use crate::prometheus::promtool;
use crate::scripts::root;
use crate::shipped::{FOLDER, RULES, read};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// The names of all alerts.
fn alerts() -> Vec<String> {
    let text = read("tickcast.alerts.yml");
    let names = text.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    names.map(str::to_owned).collect()
}

/// Runs promtool in the folder of the rules; what it said.
fn run(promtool: &Path, args: &[&str]) -> String {
    let output = Command::new(promtool)
        .current_dir(root().join(FOLDER))
        .args(args)
        .output()
        .expect("promtool starts");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "promtool {args:?}: {}\n{said}", output.status);
    said
}

#[test]
fn promtool_accepts_configuration_and_rules() {
    let Some(promtool) = promtool() else { return };
    let said = run(&promtool, &["check", "config", "prometheus.yml"]);
    assert!(said.contains("2 rule files found"), "{said}");
    run(&promtool, &[&["check", "rules"], &RULES[..]].concat());
}

#[test]
fn every_alert_fires_in_its_tests_and_is_quiet_before() {
    let Some(promtool) = promtool() else { return };
    let folder = root().join(FOLDER).join("tests");
    let mut tested = Vec::new();
    for entry in std::fs::read_dir(&folder).expect("a folder with tests") {
        let path = entry.expect("an entry").path();
        let text = std::fs::read_to_string(&path).expect("text");
        tested.extend(cases(&text));
        run(&promtool, &["test", "rules", path.to_str().expect("a path of text")]);
    }
    let tested: BTreeSet<String> = tested.into_iter().collect();
    assert_eq!(tested, alerts().into_iter().collect());
}

/// The alerts that are first quiet in a test of their name (nothing fires), and fire later.
fn cases(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    for case in text.split("  - name: ").skip(1) {
        let name = case.lines().next().expect("a name").trim();
        let (_, after) = case.split_once("exp_samples: []").unwrap_or_else(|| {
            panic!("{name} is never quiet");
        });
        let fires = format!("{{alertname=\"{name}\"");
        assert!(after.contains(&fires), "{name} does not fire");
        all.push(name.to_owned());
    }
    all
}

#[test]
fn every_alert_has_its_heading_in_the_runbook() {
    let runbook = std::fs::read_to_string(root().join("deploy/runbook.md")).expect("a runbook");
    let mut headings = BTreeSet::new();
    for part in runbook.split("\n## ").skip(1) {
        let (name, body) = part.split_once('\n').expect("text below a heading");
        if name.starts_with("Tickcast") {
            for word in ["**Means**", "**First look**"] {
                assert!(body.contains(word), "{name}: {word}");
            }
            assert!(body.to_lowercase().contains("**remedy**"), "{name}: what to do");
            assert!(headings.insert(name.to_owned()), "{name} is there twice");
        }
    }
    assert_eq!(headings, alerts().into_iter().collect());
}

#[test]
fn every_alert_says_whom_it_concerns_and_where_to_read_on() {
    let text = read("tickcast.alerts.yml");
    // Of the whole service or of all instances together.
    let of_none = ["TickcastNoLeader", "TickcastTwoLeaders"];
    for alert in text.split("- alert: ").skip(1) {
        let name = alert.lines().next().expect("a name");
        let field = |key: &str| {
            let line = alert.lines().find_map(|line| line.trim().strip_prefix(key));
            line.unwrap_or_else(|| panic!("{name}: no {key}"))
        };
        assert!(["{ severity: page }", "{ severity: ticket }"].contains(&field("labels: ")));
        let summary = field("summary: ");
        let names_one = summary.contains("$labels.instance") || summary.contains("$labels.venue");
        assert!(names_one || of_none.contains(&name), "{name}: {summary}");
        let url = field("runbook_url: ");
        assert!(url.ends_with(&format!("#{}", name.to_lowercase())), "{name}: {url}");
        let dashboard = field("dashboard: tickcast-");
        assert!(crate::dashboards::NAMES.contains(&dashboard), "{name}: {dashboard}");
    }
}
