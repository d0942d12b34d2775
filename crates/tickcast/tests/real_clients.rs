//! Clients that we did not write, against the real binary: Python `websockets`, npm `ws`, headless
//! Chromium's own WebSocket and EventSource, and the dashboard in it.
//!
//! The scripts in `tests/clients` know the protocol and judge it; here the service is started on
//! free ports, stopped with SIGTERM when a script says READY, and must end with exit code 0.
//! `cargo xtask test` brings what the scripts need and says where it is; otherwise it is looked
//! for in `.tools`.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

const START_MAX: Duration = Duration::from_secs(30);
/// Longer than any script's own deadline.
const SCRIPT_MAX: Duration = Duration::from_secs(150);
/// The drain window of one second, and time to spare on a busy machine.
const STOP_MAX: Duration = Duration::from_secs(30);

#[test]
fn python_websockets_gets_what_the_protocol_promises() {
    let Some(python) = tool("TICKCAST_PYTHON", ".tools/venv/bin/python") else { return };
    drains_after(&Script::new(&python, "python_client.py"));
}

#[test]
fn python_websockets_gets_it_encrypted() {
    let Some(python) = tool("TICKCAST_PYTHON", ".tools/venv/bin/python") else { return };
    drains_encrypted_after(&Script::new(&python, "python_client.py"));
}

#[test]
fn npm_ws_gets_what_the_protocol_promises() {
    let Some(node) = node() else { return };
    drains_after(&Script::new(&node, "node_client.mjs"));
}

#[test]
fn chromium_gets_what_the_protocol_promises() {
    let Some(node) = browser() else { return };
    drains_after(&Script::new(&node, "browser_client.mjs"));
}

#[test]
fn chromium_gets_it_encrypted() {
    let Some(node) = browser() else { return };
    drains_encrypted_after(&Script::new(&node, "browser_client.mjs"));
}

#[test]
fn the_dashboard_survives_lost_updates_dead_connections_and_a_restart() {
    let Some(node) = browser() else { return };
    drains_after(&Script::new(&node, "page_faults.mjs"));
}

/// With `TICKCAST_UPDATE_PICTURE=1` this makes the picture of the README.
#[test]
fn the_dashboard_shows_live_prices_of_every_instrument() {
    let Some(node) = browser() else { return };
    let picture = match std::env::var("TICKCAST_UPDATE_PICTURE") {
        Ok(value) if value == "1" => root().join("docs/dashboard.png"),
        _ => Path::new(env!("CARGO_TARGET_TMPDIR")).join("dashboard.png"),
    };
    let mut service = Service::start();
    let script =
        Script { more: vec![picture.clone()], ..Script::new(&node, "page_screenshot.mjs") };
    script.run(&service, |service| panic!("{} is not to be stopped yet", service.url));
    let png = std::fs::read(&picture).expect("the script made a picture");
    assert!(png.starts_with(b"\x89PNG"), "{} is a PNG", picture.display());
    service.terminate();
    service.must_end_well();
}

/// Runs a script against a service of its own, which is told to stop when the script is READY.
fn drains_after(script: &Script) {
    drains(Service::start(), script);
}

/// The same with a certificate that the script trusts, or does not look at.
fn drains_encrypted_after(script: &Script) {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let pair = rcgen::generate_simple_self_signed(names).expect("a pair");
    let file = |kind: &str| {
        let name = format!("{}-{kind}.pem", script.name);
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
    };
    let (certificate, key) = (file("certificate"), file("key"));
    std::fs::write(&certificate, pair.cert.pem()).expect("a writable target folder");
    std::fs::write(&key, pair.signing_key.serialize_pem()).expect("a writable target folder");
    let args: [&OsStr; 4] =
        ["--tls-cert".as_ref(), certificate.as_os_str(), "--tls-key".as_ref(), key.as_os_str()];
    let mut service = Service::start_with(&args);
    service.trusted = Some(certificate);
    assert!(service.url.starts_with("https://"), "{}", service.url);
    drains(service, script);
}

fn drains(mut service: Service, script: &Script) {
    let mut stops = 0;
    script.run(&service, |service| {
        stops += 1;
        service.terminate();
    });
    assert_eq!(stops, 1, "the script says READY once");
    service.must_end_well();
}

/// `tickcast serve` with the simulator on free ports.
struct Service {
    child: Child,
    url: String,
    /// The certificate that scripts are to trust.
    trusted: Option<PathBuf>,
    output: Receiver<String>,
}

impl Service {
    fn start() -> Service {
        Service::start_with(&[])
    }

    fn start_with(args: &[&OsStr]) -> Service {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tickcast"))
            .args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .args(["--sim-instruments", "20", "--sim-rate", "200", "--drain-window", "1s"])
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("the binary that cargo built can be started");
        let output = lines(child.stdout.take().expect("stdout is a pipe"));
        let mut service = Service { child, url: String::new(), trusted: None, output };
        let end = Instant::now() + START_MAX;
        while service.url.is_empty() {
            let left = end.saturating_duration_since(Instant::now());
            let line = service.output.recv_timeout(left);
            let line = line.expect("`tickcast serve` prints where it listens");
            if let Some(rest) = line.strip_prefix("tickcast listening on ") {
                service.url = rest.split(' ').next().unwrap_or_default().into();
            }
        }
        service
    }

    /// As an operator does it; the standard library only knows SIGKILL.
    fn terminate(&self) {
        let pid = self.child.id().to_string();
        let sent = Command::new("sh").args(["-c", "kill -TERM \"$0\"", &pid]).status();
        assert!(sent.is_ok_and(|status| status.success()), "SIGTERM was sent to {pid}");
    }

    /// Its pipe closes when the process ends, so that nothing has to be polled.
    fn must_end_well(&mut self) {
        let end = Instant::now() + STOP_MAX;
        loop {
            match self.output.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(_line) => {}
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    panic!("the service has not ended {STOP_MAX:?} after SIGTERM")
                }
            }
        }
        let status = self.child.wait().expect("it is our child");
        assert_eq!(status.code(), Some(0), "exit code of the service: {status}");
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // A test that failed leaves it running; one that passed has seen its end.
        let _already_ended = self.child.kill();
        let _nothing_to_wait_for = self.child.wait();
    }
}

/// One of `tests/clients`.
struct Script {
    program: PathBuf,
    name: &'static str,
    more: Vec<PathBuf>,
}

impl Script {
    fn new(program: &Path, name: &'static str) -> Script {
        Script { program: program.into(), name, more: Vec::new() }
    }

    /// Runs it to its end, which must be a good one; `on_ready` hears that it said READY.
    fn run(&self, service: &Service, mut on_ready: impl FnMut(&Service)) {
        let mut child = Command::new(&self.program)
            .arg(root().join("tests/clients").join(self.name))
            .arg(&service.url)
            .args(&self.more)
            .env("TICKCAST_NODE_PATH", modules())
            // What Python's OpenSSL looks for.
            .envs(service.trusted.iter().map(|file| ("SSL_CERT_FILE", file)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", self.program.display()));
        let said = lines(child.stdout.take().expect("stdout is a pipe"));
        let complaints = lines(child.stderr.take().expect("stderr is a pipe"));
        let end = Instant::now() + SCRIPT_MAX;
        loop {
            match said.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) if line == "READY" => on_ready(service),
                Ok(line) => println!("{}: {line}", self.name),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    let _already_ended = child.kill();
                    panic!("{} has not ended in {SCRIPT_MAX:?}", self.name);
                }
            }
        }
        let status = child.wait().expect("it is our child");
        let complaints: Vec<String> = complaints.iter().collect();
        assert!(status.success(), "{}: {status}\n{}", self.name, complaints.join("\n"));
    }
}

/// The lines of a pipe, read by a thread so that the writer never waits for us.
fn lines(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            // Also when nobody listens any more: the writer must not wait.
            let _nobody_listens = sender.send(line);
        }
    });
    receiver
}

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("crates/tickcast lies two folders below the root").into()
}

fn modules() -> PathBuf {
    let usual = || root().join(".tools/npm/node_modules");
    std::env::var_os("TICKCAST_NODE_PATH").map_or_else(usual, PathBuf::from)
}

fn node() -> Option<PathBuf> {
    let node = tool("TICKCAST_NODE", "/usr/bin/node")?;
    if modules().join("ws").is_dir() { Some(node) } else { skip("npm's ws and playwright-core") }
}

/// Node with what drives Chromium, where there is a Chromium.
fn browser() -> Option<PathBuf> {
    tool("TICKCAST_CHROMIUM", "/usr/bin/chromium")?;
    node()
}

/// A program that the environment names, or that lies where it usually does.
fn tool(variable: &str, usual: &str) -> Option<PathBuf> {
    let path = std::env::var_os(variable).map_or_else(|| root().join(usual), PathBuf::from);
    if path.is_file() { Some(path) } else { skip(&path.display().to_string()) }
}

/// Says that a test is skipped; with `CI=true` none is.
fn skip<T>(missing: &str) -> Option<T> {
    let is_ci = std::env::var("CI").is_ok_and(|value| value == "true" || value == "1");
    assert!(!is_ci, "{missing} is missing, and with CI=true nothing is skipped");
    println!("SKIPPED: {missing} is missing; `cargo xtask test` brings it");
    None
}
