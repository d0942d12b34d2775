//! Every example is short, and runs as it stands against the real binary: the prices that it prints
//! are prices that the service has published.

mod scripts;
mod service;

use scripts::{browser, example, javascript_sdk, lines, modules, node, python_sdk, root, tool};
use service::{PATIENCE, Service, Socket};
use std::collections::BTreeSet;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Instant;

/// Whoever reads one sees all of it.
const LINES_MAX: usize = 30;
/// Different prices that an example has to show: the first alone could be no more than a snapshot.
const PRICES_MIN: usize = 3;
const SYMBOL: &str = "sim:S0-USD";

#[test]
fn no_example_is_longer_than_thirty_lines() {
    let mut found = 0;
    for folder in root().join("examples").read_dir().expect("a folder of examples") {
        for file in folder.expect("an entry").path().read_dir().expect("a folder").flatten() {
            let name = file.file_name().to_string_lossy().into_owned();
            let is_source =
                [".html", ".mjs", ".py", ".rs", ".sh"].iter().any(|end| name.ends_with(end));
            if is_source {
                let text = std::fs::read_to_string(file.path()).expect("text");
                let lines = text.lines().count();
                assert!(lines <= LINES_MAX, "{}: {lines} lines", file.path().display());
                found += 1;
            }
        }
    }
    assert_eq!(found, 5, "a browser, Node, Python, Rust and a shell");
}

#[test]
fn a_shell() {
    let Some(_curl) = tool("TICKCAST_CURL", "/usr/bin/curl") else { return };
    shows_prices("http", Command::new("bash").arg(root().join("examples/shell/ticker.sh")));
}

#[test]
fn node_js() {
    let (Some(node), Some(_sdk)) = (node(), javascript_sdk()) else { return };
    shows_prices("ws", Command::new(node).arg(root().join("examples/node/ticker.mjs")));
}

#[test]
fn python_asyncio() {
    let Some(python) = python_sdk() else { return };
    let mut command = Command::new(python);
    command.env("PYTHONPATH", root().join("clients/python/src")).env("PYTHONUNBUFFERED", "1");
    shows_prices("ws", command.arg(root().join("examples/python/ticker.py")));
}

#[test]
fn rust_tokio() {
    let Some(example) = example("ticker") else { return };
    shows_prices("ws", &mut Command::new(example));
}

#[test]
fn a_browser() {
    let (Some(node), Some(_sdk)) = (browser(), javascript_sdk()) else { return };
    let mut command = Command::new(node);
    command.arg(root().join("tests/clients/example_browser.mjs"));
    shows_prices("ws", command.env("TICKCAST_NODE_PATH", modules()));
}

/// Runs it until it has shown enough prices, each of which a subscriber has got too.
fn shows_prices(scheme: &str, command: &mut Command) {
    let service = Service::start(&["--sim-instruments", "3", "--sim-rate", "60"]);
    service.until_ready();
    let mut witness = service.websocket();
    witness.send(&format!(
        r#"{{"method":"subscribe","params":{{"channel":"ticker","symbol":["{SYMBOL}"],"fields":["last"]}}}}"#
    ));
    let mut published = BTreeSet::new();
    until_published(&mut witness, &mut published, |published| !published.is_empty());

    let example = Example::start(command.arg(format!("{scheme}://{}", service.public)).arg(SYMBOL));
    let mut shown = BTreeSet::new();
    let deadline = Instant::now() + PATIENCE;
    while shown.len() < PRICES_MIN {
        // Whoever answers no ping meanwhile is sent away.
        until_published(&mut witness, &mut published, |_| true);
        assert!(Instant::now() < deadline, "it shows no more prices: {shown:?}");
        let Some(line) = example.line() else { continue };
        let mut words = line.split_whitespace();
        let is_price = |word: &&str| word.contains('.') && word.parse::<f64>().is_ok();
        if let Some(price) = words.find(|word| *word == SYMBOL).and_then(|_| words.find(is_price)) {
            shown.insert(price.to_owned());
        }
    }
    until_published(&mut witness, &mut published, |published| shown.is_subset(published));
    println!("shown: {shown:?}");
}

/// Reads what is published until that will do.
fn until_published(
    witness: &mut Socket,
    published: &mut BTreeSet<String>,
    will_do: impl Fn(&BTreeSet<String>) -> bool,
) {
    witness.until("a price that the example has shown", |text| {
        let message: serde_json::Value = serde_json::from_str(text).expect("JSON");
        let prices = message["data"].as_array().into_iter().flatten();
        let prices = prices.filter_map(|item| item["last"].as_str());
        published.extend(prices.map(str::to_owned));
        will_do(published)
    });
}

/// A running example; it ends with the test.
struct Example {
    child: Child,
    said: Receiver<String>,
}

impl Example {
    fn start(command: &mut Command) -> Example {
        let mut child = command
            .current_dir(root())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            // A shell's pipeline and a browser end with it.
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", command.get_program().display()));
        let said = lines(child.stdout.take().expect("a pipe"));
        Example { child, said }
    }

    /// The next line that it has printed.
    fn line(&self) -> Option<String> {
        match self.said.try_recv() {
            Ok(line) => Some(line),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => panic!("it has ended"),
        }
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let group = format!("-{}", self.child.id());
        let _already_ended = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _nothing_to_wait_for = self.child.wait();
    }
}
