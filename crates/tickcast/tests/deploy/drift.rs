//! Every mention of the binary anywhere in `deploy`, comments and prose included: variables, flags,
//! subcommands, ports, paths and metrics that it does not have are found here.

use crate::command_line::CommandLine;
use crate::files::{all, deployed, read};
use crate::scripts::root;
use crate::service::{PATIENCE, Service, get};
use std::collections::BTreeSet;
use std::time::Instant;

/// Variables of others that begin like ours, and who reads them.
const OTHERS_VARIABLES: &[(&str, &str)] = &[
    ("TICKCAST_IMAGE", "deploy/compose.yaml"),
    ("TICKCAST_PROMETHEUS_URL", "grafana/provisioning/datasources/prometheus.yml"),
    ("TICKCAST_BLESS", "crates/tickcast/tests/deploy/monitoring.rs"),
];

/// Names in the proxies' files that look like metrics, and are theirs.
const OTHERS_NAMES: &[&str] = &["tickcast_connection", "tickcast_http", "tickcast_tcp"];

/// Flags of other programs that the documents speak of.
const OTHERS_FLAGS: &[&str] = &["--profile"];

/// Metrics that only a process with a bus has; the tests `operators` hold those to their list.
const WITH_A_BUS: &str = "tickcast_bus_";

/// Words that consist of what belongs in names, wherever they begin with `begin`.
fn words<'a>(text: &'a str, begin: &'a str) -> impl Iterator<Item = &'a str> {
    let is_inside = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.match_indices(begin).filter_map(move |(at, _)| {
        let before = text[..at].chars().next_back();
        let end = text[at..].find(|c| !is_inside(c)).unwrap_or(text.len() - at);
        (!before.is_some_and(is_inside) && end > begin.len()).then(|| &text[at..at + end])
    })
}

#[test]
fn every_variable_is_one_of_the_binarys() {
    let binary = CommandLine::get();
    let mut found = BTreeSet::new();
    for (file, text) in all() {
        for variable in words(&text, "TICKCAST_") {
            let other = OTHERS_VARIABLES.iter().find(|(name, _)| *name == variable);
            if let Some((name, reader)) = other {
                assert!(read(&root().join(reader)).contains(name), "{reader} does not read {name}");
            } else {
                assert!(binary.has_variable(variable), "{file}: {variable}");
            }
            found.insert(variable.to_owned());
        }
    }
    assert!(found.len() >= 8, "{found:?}");
}

/// What is called as a command: the words behind `tickcast` up to the end of the command.
fn calls(text: &str) -> Vec<Vec<String>> {
    let joined = text.replace("\\\n", " ");
    let mut calls = Vec::new();
    for line in joined.lines() {
        // cargo's crate, Kubernetes' namespace and systemd's unit have the same name.
        let is_other = |before: &str| ["-p ", "-n ", "-u "].iter().any(|end| before.ends_with(end));
        let is_call = |(at, _): &(usize, &str)| !is_other(&line[..*at]);
        for (at, _) in line.match_indices("tickcast ").filter(is_call) {
            let rest = &line[at + "tickcast ".len()..];
            let end = rest.find(['`', '|', ';', '#', '>', '&', '"', ')']).unwrap_or(rest.len());
            calls.push(rest[..end].split_whitespace().map(str::to_owned).collect());
        }
    }
    calls
}

#[test]
fn every_command_has_its_flags() {
    let binary = CommandLine::get();
    let mut found = 0;
    for (file, text) in all() {
        for call in calls(&text) {
            // Prose speaks of tickcast too, and then of flags of any subcommand.
            let Some(subcommand) = call.first() else { continue };
            let flags = call.iter().filter(|word| word.starts_with("--"));
            let flags: Vec<_> = flags.map(|flag| flag.split('=').next().expect("a name")).collect();
            let known = binary.subcommand(subcommand);
            for flag in flags {
                let flag = flag.trim_end_matches([',', '.', ':']);
                let has = known.map_or(binary.has_flag(flag), |known| known.flags.contains(flag));
                assert!(has, "{file}: tickcast {subcommand} has no {flag}");
                found += 1;
            }
        }
    }
    assert!(found >= 10, "{found} flags are too few to have looked");
}

#[test]
fn every_line_that_is_a_command_names_a_subcommand() {
    let binary = CommandLine::get();
    let mut found = 0;
    for (file, text) in all() {
        for line in text.lines() {
            // A command in a comment is indented; in a document it stands among others in code.
            let comment = line.strip_prefix("#   tickcast ");
            let command = comment.or_else(|| line.strip_prefix("tickcast "));
            let Some(subcommand) = command.and_then(|rest| rest.split(' ').next()) else {
                continue;
            };
            let is_known = binary.subcommand(subcommand).is_some();
            assert!(is_known, "{file}: there is no tickcast {subcommand}");
            found += 1;
        }
    }
    assert!(found >= 4, "{found} commands are too few to have looked");
}

#[test]
fn what_the_documents_quote_is_there() {
    let binary = CommandLine::get();
    for name in ["README.md", "runbook.md"] {
        let text = deployed(name);
        let (mut is_code, mut quoted) = (false, 0);
        for line in text.lines() {
            if line.starts_with("```") {
                is_code = !is_code;
                continue;
            }
            for span in line.split('`').skip(1).step_by(2).filter(|_| !is_code) {
                let first = span.split([' ', '=']).next().expect("split gives something");
                if first.starts_with("--") {
                    let is_known = binary.has_flag(first) || OTHERS_FLAGS.contains(&first);
                    assert!(is_known, "{name}: {first}");
                    quoted += 1;
                }
                if let Some(rest) = span.strip_prefix("tickcast ") {
                    let subcommand = rest.split(' ').next().expect("split gives something");
                    assert!(binary.subcommand(subcommand).is_some(), "{name}: {span}");
                    quoted += 1;
                }
            }
        }
        assert!(quoted >= 3, "{name}: {quoted} are too few to have looked");
        let links = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
        for link in links.filter(|link| !link.is_empty() && !link.contains("://")) {
            assert!(root().join("deploy").join(link).exists(), "{name}: {link}");
        }
    }
}

/// Paths that follow an address or a method in a text.
fn asked_paths(text: &str, admin: u16) -> Vec<String> {
    let behind = [format!("127.0.0.1:{admin}/"), "httpchk GET /".to_owned()];
    let found = behind.iter().flat_map(|begin| text.split(begin.as_str()).skip(1));
    found
        .map(|rest| {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && !"/?=_".contains(c));
            format!("/{}", &rest[..end.unwrap_or(rest.len())])
        })
        .collect()
}

#[test]
fn paths_and_ports_are_those_of_a_running_service() {
    let binary = CommandLine::get();
    let (public, admin) = (binary.port_of("--listen"), binary.port_of("--admin"));
    let service = Service::start(&["--sim-instruments", "3"]);
    service.until_ready();
    let mut found = 0;
    for (file, text) in all() {
        for path in asked_paths(&text, admin) {
            // On a machine that is busy the canary may be late for a moment.
            let deadline = Instant::now() + PATIENCE;
            while get(service.admin, &path).0 != 200 {
                assert!(Instant::now() < deadline, "{file}: {path}");
            }
            found += 1;
        }
    }
    assert!(found >= 3, "{found} paths are too few to have looked");

    // The proxies reach it where it listens by default.
    let has = |file: &str, words: &str| {
        assert!(deployed(file).contains(words), "{file}: {words}");
    };
    has("nginx/tickcast.conf", &format!("server 127.0.0.1:{public};"));
    has("haproxy/haproxy.cfg", &format!("127.0.0.1:{public} check port {admin}"));
    has("haproxy/split.cfg", &format!("check port {admin}"));
    has("haproxy/split.cfg", &format!("server gateway-a gateway-a:{public}\n"));
    has("haproxy/split.cfg", &format!("bind :{public}\n"));
}

/// Files with metrics in them, and the metrics. Prometheus' own files and the runbook are held to a
/// real Prometheus by the tests `operators`.
fn mentioned_metrics() -> BTreeSet<(String, String)> {
    let is_prometheus = |file: &str| {
        file.starts_with("prometheus/")
            || file.ends_with("prometheus-rule.yaml")
            || file == "runbook.md"
    };
    let files = all().into_iter().filter(|(file, _)| !is_prometheus(file));
    let mentioned = files.flat_map(|(file, text)| {
        let names = words(&text, "tickcast_").filter(|name| !OTHERS_NAMES.contains(name));
        let names = names.filter(|name| !name.starts_with(WITH_A_BUS));
        names.map(|name| (file.clone(), name.to_owned())).collect::<Vec<_>>()
    });
    mentioned.collect()
}

#[test]
fn metrics_are_those_of_a_running_service() {
    let mentioned = mentioned_metrics();
    assert!(mentioned.len() >= 5, "{mentioned:?}");
    let service = Service::start(&["--sim-instruments", "3"]);
    let mut client = service.websocket();
    client.send(r#"{"method":"subscribe","params":{"channel":"ticker","symbol":"sim:*"}}"#);
    client.until("an update", |text| text.contains("\"type\":\"update\""));
    let deadline = Instant::now() + PATIENCE;
    loop {
        // A shard tells its figures a moment after what they count.
        let (_, exported) = get(service.admin, "/metrics");
        let is_there = |name: &str| exported.contains(&format!("# TYPE {name} "));
        let is_exported = |name: &str| {
            let parts = ["_bucket", "_sum", "_count"];
            let stem = parts.iter().find_map(|end| name.strip_suffix(end));
            is_there(name) || stem.is_some_and(is_there)
        };
        let missing: Vec<_> = mentioned.iter().filter(|(_, name)| !is_exported(name)).collect();
        if missing.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "no such metrics: {missing:?}");
    }
}
