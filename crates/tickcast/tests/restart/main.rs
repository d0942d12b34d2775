//! Restarts of the real binary: clients are sent away each at its own moment, and a new process
//! takes over without a connection that is refused.

mod drain;
mod managed;
#[path = "../service/mod.rs"]
mod service;
mod takeover;

use serde_json::Value;
use service::place::{ANY, own_address};
use service::{PATIENCE, Service, Socket, get};
use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const SUBSCRIBE: &str =
    r#"{"method":"subscribe","params":{"channel":"ticker","symbol":["sim:*"]}}"#;

/// Busy enough that every client hears something several times a second.
const SIMULATED: [&str; 4] = ["--sim-instruments", "10", "--sim-rate", "200"];

/// A file's path of its own for each use.
fn own_path(kind: &str) -> PathBuf {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed); // Only a number.
    // A socket's path must be short, and a target folder's may be long.
    std::env::temp_dir().join(format!("tickcast-{kind}-{}-{number}", std::process::id()))
}

/// The path of a socket, removed with the test.
struct Meeting(PathBuf);

impl Meeting {
    fn new() -> Meeting {
        Meeting(own_path("takeover"))
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("a path of text")
    }

    /// Arguments of a service that can be succeeded.
    fn args<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        [&SIMULATED[..], &["--takeover", self.path()], more].concat()
    }
}

impl Drop for Meeting {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn subscribed(service: &Service) -> Socket {
    let mut socket = service.websocket();
    socket.send(SUBSCRIBE);
    socket.until("a snapshot", |text| {
        text.contains("\"type\":\"snapshot\",\"data\":[{\"symbol\":\"sim:")
    });
    socket
}

/// What a client saw of a drain.
#[derive(Debug)]
struct Farewell {
    told_ms: u64,
    ended: Instant,
    /// When the updates after the `goaway` were published, in microseconds of the wall clock.
    published: BTreeSet<u64>,
    code: u16,
}

/// Reads to the end, and goes: the service waits a while for those that stay.
fn until_sent_away(mut socket: Socket) -> Farewell {
    let mut told = None;
    let mut published = BTreeSet::new();
    let code = socket.until_closed(|text| {
        let message: Value = serde_json::from_str(text).expect("JSON");
        let item = &message["data"][0];
        if message["type"] == "goaway" {
            told = Some(item["reconnect_after_ms"].as_u64().expect("a delay"));
        } else if message["channel"] == "ticker" && told.is_some() {
            published.insert(item["ts_publish"].as_u64().expect("a time"));
        }
    });
    let told_ms = told.expect("a goaway comes before the end");
    Farewell { told_ms, ended: Instant::now(), published, code }
}
