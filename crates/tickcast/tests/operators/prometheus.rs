//! A real Prometheus beside the service, and what is asked of it over its API.

use crate::scripts::tool;
use crate::service::PATIENCE;
use crate::service::place::own_address;
use crate::shipped::Shipped;
use serde_json::Value;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often somebody else may take the port between our finding it free and Prometheus' taking it.
const STARTS_MAX: usize = 5;

/// The program, where this machine has it.
pub(crate) fn program() -> Option<PathBuf> {
    tool("TICKCAST_PROMETHEUS", "/usr/bin/prometheus")
}

/// What checks rules and metrics; comes with Prometheus.
pub(crate) fn promtool() -> Option<PathBuf> {
    tool("TICKCAST_PROMTOOL", "/usr/bin/promtool")
}

/// A running Prometheus; ended with the test.
pub(crate) struct Prometheus {
    child: Child,
    pub(crate) address: SocketAddr,
    /// Its configuration and data, gone with it.
    _shipped: Arc<Shipped>,
}

impl Prometheus {
    /// Starts it with this configuration and waits until it is ready.
    pub(crate) fn start(program: &Path, shipped: Shipped) -> Prometheus {
        let shipped = Arc::new(shipped);
        for _ in 0..STARTS_MAX {
            let mut started = Prometheus::spawn(program, &shipped);
            if started.is_ready() {
                return started;
            }
        }
        panic!("{} does not start with {}", program.display(), shipped.folder.display())
    }

    fn spawn(program: &Path, shipped: &Arc<Shipped>) -> Prometheus {
        let address = own_address();
        let child = Command::new(program)
            .arg(format!("--config.file={}", shipped.folder.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", shipped.folder.join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--log.level=warn")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        Prometheus { child, address, _shipped: shipped.clone() }
    }

    /// Waits; false when it has ended instead.
    fn is_ready(&mut self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if self.child.try_wait().expect("the child can be asked").is_some() {
                return false;
            }
            if get(self.address, "/-/ready").is_ok_and(|(status, _)| status == 200) {
                return true;
            }
            pause();
        }
        false
    }

    /// The answer's `data`, or its error in words.
    pub(crate) fn ask(&self, path: &str, fields: &[(&str, &str)]) -> Result<Value, String> {
        let mut query = String::new();
        for (name, value) in fields {
            query.push(if query.is_empty() { '?' } else { '&' });
            let _ = write!(query, "{name}={}", encoded(value));
        }
        let (_, body) = get(self.address, &format!("/api/v1/{path}{query}"))
            .map_err(|error| format!("{path}: {error}"))?;
        let mut answer: Value =
            serde_json::from_str(&body).map_err(|error| format!("{path}: {error}: {body}"))?;
        match answer["status"].as_str() {
            Some("success") => Ok(answer["data"].take()),
            _ => Err(answer["error"].as_str().unwrap_or(&body).to_owned()),
        }
    }

    /// What an expression gives now: a list of samples.
    pub(crate) fn query(&self, expression: &str) -> Result<Vec<Value>, String> {
        let data = self.ask("query", &[("query", expression)])?;
        match (data["resultType"].as_str(), data["result"].as_array()) {
            // A scalar is one sample.
            (Some("scalar"), _) => Ok(vec![data["result"].clone()]),
            (_, Some(list)) => Ok(list.clone()),
            _ => Err(format!("no list: {data}")),
        }
    }

    /// The alerts of that name that fire.
    pub(crate) fn firing(&self, alert: &str) -> Vec<Value> {
        let data = self.ask("alerts", &[]).expect("it answers");
        let alerts = data["alerts"].as_array().expect("a list");
        let is_it = |one: &&Value| one["state"] == "firing" && one["labels"]["alertname"] == alert;
        alerts.iter().filter(is_it).cloned().collect()
    }

    /// Waits until `done` gives something.
    pub(crate) fn until<T>(&self, what: &str, done: impl FnMut(&Prometheus) -> Option<T>) -> T {
        self.until_within(PATIENCE, what, done)
    }

    /// The same with more patience, or less.
    pub(crate) fn until_within<T>(
        &self,
        patience: Duration,
        what: &str,
        mut done: impl FnMut(&Prometheus) -> Option<T>,
    ) -> T {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(found) = done(self) {
                return found;
            }
            if Instant::now() > deadline {
                let targets = self.ask("targets", &[]).map(|data| data["activeTargets"].clone());
                panic!("{what} does not come; targets: {targets:?}");
            }
            pause();
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Between two looks at a condition, so as not to keep Prometheus busy with them.
pub(crate) fn pause() {
    std::thread::sleep(Duration::from_millis(100));
}

/// GETs over HTTP/1.0, whose answers come in one piece: status and body.
fn get(address: SocketAddr, path: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Ok((status, body.to_owned()))
}

/// For a URL's query.
fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}
