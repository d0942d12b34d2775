//! Every expression of every panel, variable, annotation and rule gives data in a real Prometheus
//! that has scraped the real service under load; every name in them is exported, and every
//! exported metric is in one of them. The picture of the first page is drawn from the same answers.

use crate::clients::Clients;
use crate::dashboards::{self, Asked};
use crate::prometheus::{Prometheus, pause, program, promtool};
use crate::promql::selectors;
use crate::scripts::{Script, browser, root};
use crate::service::{self, Service, tls};
use crate::shipped::Shipped;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Scrapes before the answers are looked at: a window of `$__rate_interval` is full.
const SCRAPES: u64 = 25;
/// For the picture of the documentation: enough for lines that say something.
const SCRAPES_OF_A_PICTURE: u64 = 240;
/// What is waited for takes no longer, on any machine.
const SCRAPES_PATIENCE: Duration = Duration::from_secs(600);

/// For so long, all in all, it is asked again where nothing came: a busy machine may miss a scrape.
const SECOND_LOOKS: Duration = Duration::from_secs(60);

/// Metrics of Prometheus' own.
const PROMETHEUS: [&str; 2] = ["up", "ALERTS"];

/// The metrics of the bus: only `tickcast publish` and `tickcast gateway` export them.
pub(crate) const BUS: [&str; 13] = [
    "tickcast_bus_connected",
    "tickcast_bus_leader",
    "tickcast_bus_reconnects_total",
    "tickcast_bus_messages_sent_total",
    "tickcast_bus_messages_received_total",
    "tickcast_bus_bytes_sent_total",
    "tickcast_bus_bytes_received_total",
    "tickcast_bus_gaps_total",
    "tickcast_bus_requests_total",
    "tickcast_bus_request_failures_total",
    "tickcast_bus_decode_errors_total",
    "tickcast_bus_streams",
    "tickcast_bus_age_seconds",
];

/// Beginnings of places that give nothing while all is well in one process, and why. One that does
/// give data, or is nowhere, is a fault of this list. Those of the bus give data in `bus.rs`.
const EMPTY: [(&str, &str); 5] = [
    ("tickcast-bus / ", "one process has no bus"),
    ("tickcast-fresh / Bus: is it up? / A", "one process has no bus"),
    ("tickcast-fresh / Which alerts are firing? / A", "nothing is wrong"),
    ("* / annotation / Restarts", "it was not restarted"),
    ("* / annotation / Drains", "nobody asked it to stop"),
];
/// Alerts that fire at once where the machine is busy with something else, while all is well.
const OF_A_BUSY_MACHINE: [&str; 1] = ["TickcastShardOverruns"];
/// Though they begin like one of [`EMPTY`].
const NOT_EMPTY: [&str; 2] =
    ["tickcast-bus / variable / instance", "tickcast-bus / variable / venue"];

#[test]
fn every_expression_gives_data_and_every_metric_is_shown() {
    let (Some(program), Some(promtool)) = (program(), promtool()) else { return };
    let files = tls::Files::new();
    let service = Service::start_tls(&files, &arguments());
    let prometheus = Prometheus::start(&program, Shipped::copy("proof", &[service.admin]));
    let _clients = Clients::start(&service);
    let is_picture_kept = std::env::var("TICKCAST_SCREENSHOTS").is_ok_and(|value| value == "1");
    let scrapes = if is_picture_kept { SCRAPES_OF_A_PICTURE } else { SCRAPES };
    let enough = format!("count_over_time(up{{job=\"tickcast\"}}[1h]) >= {scrapes}");
    prometheus.until_within(SCRAPES_PATIENCE, "enough scrapes", |prometheus| {
        let found = prometheus.query(&enough).expect("an expression");
        (!found.is_empty()).then_some(())
    });

    let (_, exported) = service::get(service.admin, "/metrics");
    let mut faults = metrics_faults(&promtool, &exported);
    let deadline = Instant::now() + SECOND_LOOKS;
    let mut proof =
        Proof { prometheus: &prometheus, deadline, used: BTreeSet::new(), faults: Vec::new() };
    let mut recorded = proof.rules();
    for asked in dashboards::asked() {
        proof.asked(&asked);
    }
    recorded.extend(PROMETHEUS.map(str::to_owned));
    faults.append(&mut proof.faults);
    faults.extend(name_faults(&proof.used, &exported, &recorded));
    draw(&prometheus, scrapes, is_picture_kept);
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

/// The simulator beside two venues from recordings, where this machine has them.
fn arguments() -> Vec<&'static str> {
    let mut arguments = vec!["--feed", "sim", "--sim-instruments", "30", "--sim-rate", "300"];
    if let Some(feeds) = service::feeds() {
        for name in ["kraken_btcusd_d25_51s.rec.gz", "binance_btcusdt_650s.rec.gz"] {
            let path = feeds.join("recordings").join(name).display().to_string();
            // Arguments live as long as the test.
            arguments.extend(["--replay", Box::leak(path.into_boxed_str())]);
        }
        arguments.push("--replay-loop");
    }
    arguments
}

/// What is asked of one Prometheus, and what was wrong with it.
struct Proof<'a> {
    prometheus: &'a Prometheus,
    /// Until then it is asked again when it has no data.
    deadline: Instant,
    /// Names that occur in any expression.
    used: BTreeSet<String>,
    faults: Vec<String>,
}

impl Proof<'_> {
    /// An expression of a dashboard.
    fn asked(&mut self, asked: &Asked) {
        let Some(names) = self.take(&asked.place, &asked.expression) else { return };
        let reason = reason_to_be_empty(&asked.place);
        let look = || match &asked.label {
            None => self.prometheus.query(&asked.expression),
            Some(label) => {
                let path = format!("label/{label}/values");
                let values = self.prometheus.ask(&path, &[("match[]", &asked.expression)]);
                values.map(|values| values.as_array().cloned().unwrap_or_default())
            }
        };
        let answer = if reason.is_some() { look() } else { self.patiently(look) };
        match (answer, reason) {
            (Err(error), _) => self.fault(&asked.place, &asked.expression, &error),
            (Ok(data), None) if data.is_empty() => {
                self.fault(&asked.place, &asked.expression, &format!("no data ({names:?})"));
            }
            (Ok(data), Some(reason)) if !data.iter().all(is_of_a_busy_machine) => {
                let error = format!("expected empty ({reason}), but it is not: {data:?}");
                self.fault(&asked.place, &asked.expression, &error);
            }
            _ => {}
        }
    }

    /// Every rule that Prometheus has loaded; the names that are recorded. A recording rule gives
    /// data, and so does each selector of an alert, whose condition is not met while all is well.
    fn rules(&mut self) -> BTreeSet<String> {
        let data = self.prometheus.ask("rules", &[]).expect("it answers");
        let rules = data["groups"].as_array().expect("groups").iter().flat_map(|group| {
            group["rules"].as_array().expect("rules").iter().map(|rule| {
                let text = |key: &str| rule[key].as_str().expect("text").to_owned();
                (text("type"), text("name"), text("query"))
            })
        });
        let mut recorded = BTreeSet::new();
        for (kind, name, expression) in rules {
            let Some(selectors) = self.take(&name, &expression) else { continue };
            if kind == "recording" {
                let now = self.patiently(|| self.prometheus.query(&name));
                let error = format!("records nothing: {now:?}");
                if now.is_ok_and(|samples| samples.is_empty()) {
                    self.fault(&name, &expression, &error);
                }
                recorded.insert(name);
                continue;
            }
            for selector in selectors {
                let is_of_bus = BUS.iter().any(|bus| selector.starts_with(bus));
                if is_of_bus {
                    continue;
                }
                let data = self.patiently(|| self.prometheus.query(&selector));
                if !data.is_ok_and(|samples| !samples.is_empty()) {
                    self.fault(&name, &selector, "no data");
                }
            }
        }
        recorded
    }

    /// Looks again while there is nothing.
    fn patiently(
        &self,
        look: impl Fn() -> Result<Vec<Value>, String>,
    ) -> Result<Vec<Value>, String> {
        loop {
            let answer = look();
            let is_empty = answer.as_ref().is_ok_and(Vec::is_empty);
            if !is_empty || Instant::now() > self.deadline {
                return answer;
            }
            pause();
        }
    }

    /// Has Prometheus parse it, and notes the names in it; its selectors.
    fn take(&mut self, place: &str, expression: &str) -> Option<Vec<String>> {
        let formatted = self.prometheus.ask("format_query", &[("query", expression)]);
        match formatted {
            Err(error) => {
                self.fault(place, expression, &error);
                None
            }
            Ok(formatted) => {
                let found = selectors(formatted.as_str().expect("text"));
                self.used.extend(found.iter().flat_map(|one| one.names.iter().cloned()));
                Some(found.into_iter().map(|one| one.text).collect())
            }
        }
    }

    fn fault(&mut self, place: &str, expression: &str, error: &str) {
        self.faults.push(format!("{place}: {error}: {expression}"));
    }
}

fn is_of_a_busy_machine(sample: &Value) -> bool {
    OF_A_BUSY_MACHINE.iter().any(|alert| sample["metric"]["alertname"] == *alert)
}

fn reason_to_be_empty(place: &str) -> Option<&'static str> {
    let elsewhere = place.split_once(' ').map_or("", |(_, rest)| rest);
    let fits = |pattern: &str| match pattern.strip_prefix("* ") {
        Some(rest) => elsewhere == rest,
        None => place.starts_with(pattern),
    };
    let found = EMPTY.iter().find(|(pattern, _)| fits(pattern));
    found.filter(|_| !NOT_EMPTY.contains(&place)).map(|(_, reason)| *reason)
}

#[test]
fn what_is_expected_to_be_empty_is_asked_for() {
    let places: Vec<String> = dashboards::asked().into_iter().map(|asked| asked.place).collect();
    for (pattern, reason) in EMPTY {
        let is_there = places.iter().any(|place| reason_to_be_empty(place) == Some(reason));
        let is_there = is_there && {
            let end = pattern.strip_prefix("* ").unwrap_or(pattern);
            places.iter().any(|place| place.contains(end))
        };
        assert!(is_there, "{pattern} ({reason}) is nowhere");
    }
    for place in NOT_EMPTY {
        assert!(places.iter().any(|known| known == place), "{place} is nowhere");
    }
}

/// Names that nothing exports, and metrics that nothing shows.
fn name_faults(
    used: &BTreeSet<String>,
    exported: &str,
    recorded: &BTreeSet<String>,
) -> Vec<String> {
    let families: BTreeMap<&str, &str> =
        exported.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    let family = |name: &str| -> String {
        let ends = ["_bucket", "_sum", "_count"];
        let whole = ends.iter().find_map(|end| name.strip_suffix(end)).filter(|whole| {
            families.get(whole).is_some_and(|kind| *kind == "histogram") || BUS.contains(whole)
        });
        whole.unwrap_or(name).to_owned()
    };
    let used_families: BTreeSet<String> = used.iter().map(|name| family(name)).collect();
    let is_known = |name: &String| {
        families.contains_key(name.as_str())
            || recorded.contains(name)
            || BUS.contains(&name.as_str())
    };
    let unknown = used_families.iter().filter(|name| !is_known(name));
    let mut faults: Vec<String> =
        unknown.map(|name| format!("{name} is asked for, and nothing exports it")).collect();
    let every_family = families.keys().copied().chain(BUS);
    faults.extend(
        every_family
            .filter(|name| !used_families.contains(*name))
            .map(|name| format!("{name} is exported, and nothing shows it")),
    );
    faults
}

/// What `promtool check metrics` says of the live endpoint.
fn metrics_faults(promtool: &Path, exported: &str) -> Vec<String> {
    let mut child = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(exported.as_bytes()).expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let mut faults: Vec<String> =
        said.lines().map(|line| format!("promtool check metrics: {line}")).collect();
    if !output.status.success() && faults.is_empty() {
        faults.push(format!("promtool check metrics: {}", output.status));
    }
    faults
}

/// Draws the first page, and each of the others, from Prometheus' answers. With
/// `TICKCAST_SCREENSHOTS=1` the first one is the picture of the documentation.
fn draw(prometheus: &Prometheus, seconds: u64, is_kept: bool) {
    let Some(node) = browser() else { return };
    let temporary = Path::new(env!("CARGO_TARGET_TMPDIR")).join("grafana");
    std::fs::create_dir_all(&temporary).expect("a writable target folder");
    let mut script = Script::new(&node, "page_grafana.mjs")
        .arg(format!("http://{}", prometheus.address))
        .arg(seconds.to_string())
        .arg(&temporary);
    for name in dashboards::NAMES {
        script = script.arg(root().join("grafana/dashboards").join(format!("{name}.json")));
    }
    script.run(|wish: &str| panic!("{wish} is not known"));
    for name in dashboards::NAMES {
        let picture = temporary.join(format!("{name}.png"));
        let png = std::fs::read(&picture).expect("the script made a picture");
        assert!(png.starts_with(b"\x89PNG"), "{} is a PNG", picture.display());
        if is_kept && name == "fresh" {
            std::fs::write(root().join("docs/grafana-fresh.png"), png).expect("a folder docs");
        }
    }
}

#[test]
fn metrics_that_nothing_exports_or_shows_are_found() {
    let exported = "# TYPE a_seconds histogram\n# TYPE b_total counter\n# TYPE c gauge\n";
    let used = ["a_seconds_bucket", "b_total", "d"].map(str::to_owned);
    let used = used.into_iter().chain(BUS.map(str::to_owned)).collect();
    let faults = name_faults(&used, exported, &BTreeSet::new());
    let expect = ["d is asked for, and nothing exports it", "c is exported, and nothing shows it"];
    assert_eq!(faults, expect);
}
