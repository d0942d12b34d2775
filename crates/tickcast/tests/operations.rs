//! `docs/operations.md` beside what a running service exports and logs: the table of metrics cannot
//! drift, and the log names connections and venues as `/clients` and the metrics do.

mod service;

use serde_json::{Value, json};
use service::{LOOK, PATIENCE, Service, get};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Instant;

/// A metric's type and labels.
type Shape = (String, BTreeSet<String>);

/// What the table says, and in which row.
fn documented() -> BTreeMap<String, Shape> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operations.md");
    let text = std::fs::read_to_string(path).expect("the document is there");
    let mut metrics = BTreeMap::new();
    for row in text.lines() {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, labels, meaning] = cells[..] else { continue };
        let is_metric = ["`tickcast_", "`process_"].iter().any(|start| name.starts_with(start));
        if !is_metric {
            continue;
        }
        assert!(!meaning.is_empty(), "{name} means something");
        let labels = labels.split(',').map(|label| label.trim().trim_matches('`').to_owned());
        let labels = labels.filter(|label| label != "–").collect();
        let before = metrics.insert(name.trim_matches('`').to_owned(), (kind.to_owned(), labels));
        assert!(before.is_none(), "{name} stands there twice");
    }
    metrics
}

/// What `/metrics` says.
fn exported(text: &str) -> BTreeMap<String, Shape> {
    let mut metrics: BTreeMap<String, Shape> = BTreeMap::new();
    let mut present = String::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a name and a type");
            present = name.to_owned();
            metrics.insert(present.clone(), (kind.to_owned(), BTreeSet::new()));
        } else if let Some(help) = line.strip_prefix("# HELP ") {
            let words = help.split(' ').count();
            assert!(words >= 3 && help.ends_with(['.', ';']), "a help that explains: {help}");
        } else {
            let labels = line.split_once('{').and_then(|(_, rest)| rest.rsplit_once('}'));
            let Some((labels, _)) = labels else { continue };
            // No label value of ours has a comma or a quote in it.
            let names = labels.split(',').filter_map(|pair| Some(pair.split_once('=')?.0));
            let names = names.filter(|name| *name != "le").map(str::to_owned);
            metrics.get_mut(&present).expect("a type comes first").1.extend(names);
        }
    }
    metrics
}

/// Parts of the process that are not part of every process.
fn part_of(name: &str) -> Option<&'static str> {
    ["tickcast_bus_", "tickcast_canary_"].into_iter().find(|part| name.starts_with(part))
}

#[test]
fn every_metric_is_documented_and_every_documented_metric_is_exported() {
    let folder = std::env::temp_dir().join(format!("tickcast-operations-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for the test");
    let file = folder.join("config.toml");
    // A venue that cannot be reached has its series all the same.
    let venue = "[venues.kraken]\nws_url = \"ws://127.0.0.1:9/v2\"\nsymbols = [\"BTC-USD\"]\n";
    std::fs::write(&file, venue).expect("a file for the test");
    let file = file.to_str().expect("UTF-8");
    let service = Service::start(&["--config", file, "--feed", "sim", "--feed", "kraken"]);
    let documented = documented();
    let deadline = Instant::now() + PATIENCE;
    // The canary is a thread of its own, which begins its series a moment later.
    loop {
        let (status, text) = get(service.admin, "/metrics");
        assert_eq!(status, 200);
        let faults = faults(&documented, &exported(&text));
        if faults.is_empty() && text.contains("tickcast_canary_up{") {
            break;
        }
        assert!(Instant::now() < deadline, "docs/operations.md: {faults:#?}");
        std::thread::sleep(LOOK);
    }
    std::fs::remove_dir_all(&folder).expect("the test's own folder");
}

/// Where the two differ.
fn faults(documented: &BTreeMap<String, Shape>, exported: &BTreeMap<String, Shape>) -> Vec<String> {
    let mut faults = Vec::new();
    for (name, shape) in exported.iter().filter(|(name, of)| documented.get(*name) != Some(*of)) {
        faults.push(format!("{name} is {shape:?}, not {:?}", documented.get(name)));
    }
    let parts: BTreeSet<_> = exported.keys().map(|name| part_of(name)).collect();
    for name in documented.keys().filter(|name| parts.contains(&part_of(name))) {
        if !exported.contains_key(name) {
            faults.push(format!("{name} is documented and not exported"));
        }
    }
    faults
}

#[test]
fn the_log_names_a_connection_as_clients_and_its_welcome_do() {
    let service = Service::start_with_env(
        &["--log-format", "json", "--shards", "2"],
        &[("TICKCAST_LOG", "info,tickcast::connection=debug")],
    );
    service.until_ready();
    let mut socket = service.websocket();
    let mut session = String::new();
    socket.until("a welcome", |text| {
        let welcome: Value = serde_json::from_str(text).expect("JSON");
        session = welcome["data"][0]["session"].as_str().unwrap_or_default().to_owned();
        !session.is_empty()
    });
    let clients: Value = serde_json::from_str(&get(service.admin, "/clients").1).expect("JSON");
    let all = clients["clients"].as_array().expect("a list");
    let client = all.iter().find(|client| client["session"] == session.as_str());
    let client = client.unwrap_or_else(|| panic!("{session} in {clients}"));
    assert_eq!(get(service.public, "/v1/snapshot?channel=nope").0, 400);
    drop(socket);
    let (mut log, until) = (Vec::<Value>::new(), Instant::now() + PATIENCE);
    // The service's own canary connects and leaves as well.
    let told = |log: &[Value], message: &str| {
        let is_ours = |line: &&Value| match &line["fields"]["session"] {
            Value::String(of) => *of == session,
            _ => true,
        };
        log.iter().filter(is_ours).find(|line| line["fields"]["message"] == message).cloned()
    };
    while ["refused", "closed"].iter().any(|message| told(&log, message).is_none()) {
        let lines = service.log();
        log.extend(lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok()));
        assert!(Instant::now() < until, "lines of who is refused and closed: {log:?}");
        std::thread::sleep(LOOK);
    }
    for message in ["opened", "closed"] {
        let line = told(&log, message).expect("a line for each");
        let fields = &line["fields"];
        assert_eq!(line["target"], "tickcast::connection", "{line}");
        for field in ["session", "shard", "connection", "address"] {
            assert_eq!(fields[field], client[field], "{field} in {line} and {client}");
        }
    }
    let refused = told(&log, "refused").expect("a line for who is refused");
    assert_eq!(refused["fields"]["reason"], json!("bad_request"), "{refused}");
    let closed = &told(&log, "closed").expect("as above")["fields"]["code"];
    assert_eq!(closed, &json!(1006));
    // It is counted a moment after it is logged.
    while service.metric("tickcast_gateway_connections_closed_total", "\"1006\"") < 1.0 {
        assert!(Instant::now() < until, "it is not counted");
        std::thread::sleep(LOOK);
    }
}
