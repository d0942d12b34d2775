//! The shipped configuration of Prometheus in a folder of the test's own, where it differs in what
//! a test must change, and in nothing else.
//!
//! Always: the address of the target, and how often is scraped and evaluated. For the fault test
//! also every `for:` and every window `[…]` of the rules, divided by the same number.

use crate::scripts::root;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Where it is kept.
pub(crate) const FOLDER: &str = "deploy/prometheus";
pub(crate) const RULES: [&str; 2] = ["tickcast.rules.yml", "tickcast.alerts.yml"];

/// How often the test scrapes and evaluates.
const INTERVAL: &str = "1s";
/// No window may be shorter: two scrapes must fall into it, also when one is late.
const WINDOW_SECONDS_MIN: u64 = 5;

/// A copy, removed with the test.
pub(crate) struct Shipped {
    pub(crate) folder: PathBuf,
}

impl Shipped {
    /// With the rules as they are.
    pub(crate) fn copy(name: &str, targets: &[SocketAddr]) -> Shipped {
        Shipped::copy_shortened(name, targets, 1)
    }

    /// With all durations of the rules divided by `divisor`.
    pub(crate) fn copy_shortened(name: &str, targets: &[SocketAddr], divisor: u64) -> Shipped {
        let name = format!("prometheus-{name}-{}", std::process::id());
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _an_earlier_run = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(folder.join("targets")).expect("a writable target folder");
        let write = |name: &str, text: &str| {
            std::fs::write(folder.join(name), text).expect("a writable target folder");
        };
        write("prometheus.yml", &hurried(&read("prometheus.yml")));
        let text = read("targets/tickcast.yml");
        assert!(text.contains("127.0.0.1:8081"), "the admin listener's default: {text}");
        let targets: Vec<String> = targets.iter().map(SocketAddr::to_string).collect();
        write("targets/tickcast.yml", &text.replace("127.0.0.1:8081", &targets.join(", ")));
        for name in RULES {
            let text = read(name);
            write(name, &if divisor == 1 { text } else { shortened(&text, divisor) });
        }
        Shipped { folder }
    }
}

impl Drop for Shipped {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A file of the folder.
pub(crate) fn read(name: &str) -> String {
    let path = root().join(FOLDER).join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The configuration with other intervals.
fn hurried(text: &str) -> String {
    let names = ["scrape_interval:", "scrape_timeout:", "evaluation_interval:"];
    let mut changed = 0;
    let lines = text.lines().map(|line| {
        match names.iter().find(|name| line.trim_start().starts_with(**name)) {
            Some(name) => {
                changed += 1;
                let indent = &line[..line.len() - line.trim_start().len()];
                format!("{indent}{name} {INTERVAL}\n")
            }
            None => format!("{line}\n"),
        }
    });
    let text = lines.collect();
    assert_eq!(changed, names.len(), "each interval stands there once");
    text
}

/// Rules with every `for:` and every window divided.
fn shortened(text: &str, divisor: u64) -> String {
    let mut out = String::new();
    for line in text.lines() {
        if let Some((before, duration)) = line.split_once("for: ")
            && before.trim().is_empty()
        {
            let seconds = seconds(duration).unwrap_or_else(|| panic!("a duration: {line}"));
            out.push_str(&format!("{before}for: {}s\n", (seconds / divisor).max(1)));
            continue;
        }
        let mut rest = line;
        while let Some((before, after)) = rest.split_once('[') {
            let (window, behind) = after.split_once(']').expect("a bracket is closed");
            out.push_str(before);
            match seconds(window) {
                Some(seconds) => {
                    let seconds = (seconds / divisor).max(WINDOW_SECONDS_MIN);
                    out.push_str(&format!("[{seconds}s]"));
                }
                None => out.push_str(&format!("[{window}]")),
            }
            rest = behind;
        }
        out.push_str(rest);
        out.push('\n');
    }
    out
}

/// Of a duration such as `5m`.
fn seconds(duration: &str) -> Option<u64> {
    let unit = match duration.chars().next_back()? {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return None,
    };
    Some(duration[..duration.len() - 1].parse::<u64>().ok()? * unit)
}

#[test]
fn only_durations_are_shortened() {
    let rules = "  - alert: A\n    expr: rate(a_total[15m]) > 3 and b[1h] > 1\n    for: 10m\n";
    let expect = "  - alert: A\n    expr: rate(a_total[30s]) > 3 and b[120s] > 1\n    for: 20s\n";
    assert_eq!(shortened(rules, 30), expect);
    assert_eq!(shortened("summary: \"the [log] says\"\n", 30), "summary: \"the [log] says\"\n");
}
