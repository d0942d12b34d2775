//! A real nats-server, with JetStream, started by the test and ended with it.

// Each test binary uses its own part of this.
#![allow(dead_code)]

use crate::scripts::{root, tool};
use crate::service::place::own_address;
use crate::service::{LOOK, get};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// It listens within this, on any machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// One server.
pub(crate) struct Nats {
    program: PathBuf,
    child: Child,
    address: SocketAddr,
    /// Its configuration and what it stores.
    folder: PathBuf,
    guard: Option<&'static str>,
    /// Where a server of a cluster says how it is.
    monitor: Option<SocketAddr>,
    scheme: &'static str,
}

/// Who may come in, and with what.
const USER: &str = "desk";

impl Nats {
    /// Starts one with an empty store; `None` where there is no nats-server, which is said.
    pub(crate) fn start(name: &str) -> Option<Nats> {
        Nats::start_with(name, "")
    }

    /// The same with a password for the one user that may come in.
    pub(crate) fn start_guarded(name: &str, password: &'static str) -> Option<Nats> {
        let users = format!("authorization {{ user: {USER}, password: {password} }}");
        let mut nats = Nats::start_with(name, &users)?;
        nats.guard = Some(password);
        Some(nats)
    }

    /// The same with more lines of configuration.
    pub(crate) fn start_with(name: &str, more: &str) -> Option<Nats> {
        let nats = Nats::spawned(name, own_address(), more)?;
        nats.until_listening();
        Some(nats)
    }

    /// Encrypted, with this certificate, which is of this process's own address, and key.
    pub(crate) fn start_tls(name: &str, certificate: &Path, key: &Path) -> Option<Nats> {
        let tls = format!("tls {{ cert_file: {certificate:?}, key_file: {key:?} }}");
        let mut nats = Nats::start_with(name, &tls)?;
        nats.scheme = "tls";
        Some(nats)
    }

    /// Three that are one cluster.
    pub(crate) fn cluster(name: &str) -> Option<[Nats; 3]> {
        let routes = [own_address(), own_address(), own_address()];
        let all = routes.map(|address| format!("\"nats://{address}\"")).join(", ");
        let [first, second, third] = [0, 1, 2].map(|number: usize| {
            let (own, monitor) = (routes[number], own_address());
            let more = format!(
                "server_name: {name}-{number}\nhttp: \"{monitor}\"\n\
                 cluster {{ name: {name}, listen: \"{own}\", routes: [{all}] }}"
            );
            let mut nats = Nats::spawned(&format!("{name}-{number}"), own_address(), &more)?;
            nats.monitor = Some(monitor);
            Some(nats)
        });
        let servers = [first?, second?, third?];
        servers.iter().for_each(Nats::until_listening);
        Some(servers)
    }

    fn spawned(name: &str, address: SocketAddr, more: &str) -> Option<Nats> {
        let beside = root().join(".tools/venv/bin/nats-server");
        let program = tool("TICKCAST_NATS_SERVER", beside.to_str().expect("a path of text"))?;
        let folder =
            std::env::temp_dir().join(format!("tickcast-nats-{name}-{}", std::process::id()));
        let _nothing_there = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("a writable folder");
        configure(&folder, address, more);
        let child = run(&program, &folder);
        Some(Nats { program, child, address, folder, guard: None, monitor: None, scheme: "nats" })
    }

    fn until_listening(&self) {
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(self.address()).is_err() {
            assert!(Instant::now() < deadline, "nats-server does not listen: {}", self.log());
            std::thread::sleep(LOOK);
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn url(&self) -> String {
        let guard = self.guard.map_or(String::new(), |password| format!("{USER}:{password}@"));
        format!("{}://{guard}{}", self.scheme, self.address())
    }

    /// Goes on with these lines of configuration instead, without a restart.
    pub(crate) fn reload(&self, more: &str) {
        configure(&self.folder, self.address, more);
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-HUP", &pid]).status().expect("kill runs").success());
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Starts it again on what it has stored.
    pub(crate) fn start_again(&mut self) {
        self.child = run(&self.program, &self.folder);
        self.until_listening();
    }

    /// Waits until it has caught up with its cluster: before that the loss of another one is the
    /// second loss.
    pub(crate) fn until_caught_up(&self) {
        let monitor = self.monitor.expect("it is of a cluster");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (status, said) = get(monitor, "/healthz");
            if status == 200 {
                return;
            }
            assert!(Instant::now() < deadline, "it does not catch up: {said}");
            std::thread::sleep(LOOK);
        }
    }

    /// Removes what it has stored; while it runs it may be storing more.
    pub(crate) fn lose_store(&self) {
        let store = self.folder.join("store");
        assert!(store.exists(), "it has stored something");
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = std::fs::remove_dir_all(&store) {
            if !store.exists() {
                return;
            }
            assert!(Instant::now() < deadline, "{}: {error}", store.display());
        }
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        let _already_ended = self.child.kill();
        let _nothing_to_wait_for = self.child.wait();
    }
}

fn configure(folder: &Path, address: SocketAddr, more: &str) {
    let (store, log) = (folder.join("store"), folder.join("log"));
    let text = format!(
        "listen: \"{address}\"\njetstream {{ store_dir: {store:?} }}\nlog_file: {log:?}\n{more}\n"
    );
    std::fs::write(folder.join("nats.conf"), text).expect("a writable folder");
}

fn run(program: &Path, folder: &Path) -> Child {
    let mut command = Command::new(program);
    command.arg("--config").arg(folder.join("nats.conf")).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("nats-server starts")
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            println!("nats-server {} had logged: {}", self.address, self.log());
        }
        let _left_behind = std::fs::remove_dir_all(&self.folder);
    }
}
