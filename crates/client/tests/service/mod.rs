//! The real binary: started on a port of the test's own, ended with the test.
//!
//! It is not a dependency of this crate, so it is looked for: `TICKCAST_BIN`, else the `tickcast`
//! that the same build has put beside this test. Where there is none a test says so and passes;
//! with `CI=true` it fails.

// Each test binary uses its own part of this.
#![allow(dead_code)]

#[path = "../../../tickcast/tests/service/place.rs"]
mod place;

pub(crate) use place::own_address;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Nothing that is waited for takes longer, on any machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// Where the binary is.
pub(crate) fn binary() -> Option<PathBuf> {
    let beside = std::env::current_exe().ok().and_then(|test| {
        test.ancestors().skip(1).map(|folder| folder.join("tickcast")).find(|path| path.is_file())
    });
    let named = std::env::var_os("TICKCAST_BIN").map(PathBuf::from);
    if let Some(found) = named.filter(|path| path.is_file()).or(beside) {
        return Some(found);
    }
    let in_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(!in_ci, "no tickcast binary: build it, or name it with TICKCAST_BIN");
    println!("SKIPPED: no tickcast binary; `cargo build -p tickcast` makes one");
    None
}

/// A running `tickcast serve`.
#[derive(Debug)]
pub(crate) struct Service {
    child: Child,
    pub(crate) address: SocketAddr,
    admin: SocketAddr,
}

impl Service {
    /// Starts it at an address and waits until it listens.
    pub(crate) fn start_at(binary: &Path, address: SocketAddr, arguments: &[&str]) -> Service {
        let admin = own_address();
        let mut child = Command::new(binary)
            .args(["serve", "--listen", &address.to_string(), "--admin", &admin.to_string()])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("it says where it listens");
        assert!(line.contains("://"), "it says where it listens, not {line:?}");
        Service { child, address, admin }
    }

    /// Starts it somewhere.
    pub(crate) fn start(binary: &Path, arguments: &[&str]) -> Service {
        Service::start_at(binary, own_address(), arguments)
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// Waits until it knows what there is; before that whatever is asked for may still come.
    pub(crate) fn until_ready(&self) {
        let deadline = Instant::now() + PATIENCE;
        while !get(self.admin, "/readyz").contains("\"ready\":true") {
            assert!(Instant::now() < deadline, "it does not get ready");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends it at once (SIGKILL).
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it can be waited for");
    }

    /// Asks it to stop (SIGTERM): it sends its clients away.
    pub(crate) fn ask_to_stop(&self) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs");
        assert!(status.success());
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while self.child.try_wait().expect("it can be asked").is_none() {
            assert!(Instant::now() < deadline, "it ends");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The item of a symbol in what `/v1/snapshot` says.
    pub(crate) fn snapshot(&self, query: &str) -> serde_json::Value {
        let body = get(self.address, &format!("/v1/snapshot?{query}"));
        let message: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        message["data"][0].clone()
    }

    /// How many requests of a method it has answered.
    pub(crate) fn requests(&self, method: &str) -> u64 {
        let label = format!("method=\"{method}\"");
        let metrics = get(self.admin, "/metrics");
        let of_method = metrics.lines().filter(|line| {
            line.starts_with("tickcast_gateway_requests_total{") && line.contains(&label)
        });
        let count = |line: &str| line.rsplit(' ').next()?.parse::<u64>().ok();
        of_method.filter_map(count).sum()
    }
}

/// What it answers to a GET.
fn get(address: SocketAddr, target: &str) -> String {
    let mut socket = TcpStream::connect(address).expect("it listens");
    let request = format!("GET {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).expect("it reads");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("it answers");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    body.to_owned()
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for something that comes by itself.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(PATIENCE, future).await;
    waited.unwrap_or_else(|_| panic!("{what} does not come"))
}

/// Looks again and again until something is so.
pub(crate) async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    soon(what, async {
        loop {
            if let Some(found) = look() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
}
