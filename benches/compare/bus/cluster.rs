//! The processes: three NATS servers for the whole measurement, a publisher and its gateways, or
//! the service in one process, for one trial each.

use super::network::Host;
use super::trial::{Layout, Trial};
use crate::failure::{Failure, Result, while_doing};
use crate::metrics;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use tickcast_benches::Server;

/// How many NATS servers there are.
pub(super) const NATS_SERVERS: usize = 3;

/// How long a process may take until it is ready.
const READY_MAX: Duration = Duration::from_secs(20);

/// How often it is looked.
pub(super) const LOOK: Duration = Duration::from_millis(50);

/// Three NATS servers as a cluster with JetStream; ended, and their stores removed, when dropped.
#[derive(Debug)]
pub(super) struct Nats {
    servers: Vec<Child>,
    store: PathBuf,
}

impl Nats {
    /// Starts them and waits until each listens.
    ///
    /// # Errors
    /// One cannot be started, or does not listen.
    pub(super) fn start(program: &str) -> Result<Nats> {
        let store =
            std::env::temp_dir().join(format!("tickcast-bench-nats-{}", std::process::id()));
        let mut nats = Nats { servers: Vec::new(), store };
        let address = |n: usize| Host::Nats(n).address();
        let routes: Vec<String> =
            (1..=NATS_SERVERS).map(|n| format!("nats://{}:6222", address(n))).collect();
        for n in 1..=NATS_SERVERS {
            let mut command = Host::Nats(n).command(program);
            command.args(["--addr", &address(n), "--port", "4222", "--cluster_name", "bench"]);
            command.args(["--server_name", &format!("n{n}"), "--jetstream"]);
            command.args(["--cluster", &routes[n - 1], "--routes", &routes.join(",")]);
            command.arg("--store_dir").arg(nats.store.join(n.to_string()));
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            nats.servers.push(command.spawn().map_err(while_doing(program))?);
        }
        for n in 1..=NATS_SERVERS {
            let address = format!("{}:4222", address(n));
            until(&format!("{program} at {address}"), || TcpStream::connect(&address).is_ok())?;
        }
        Ok(nats)
    }

    pub(super) fn pids(&self) -> impl Iterator<Item = u32> + '_ {
        self.servers.iter().map(Child::id)
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        for server in &mut self.servers {
            let _ = server.kill();
            let _ = server.wait();
        }
        let _ = std::fs::remove_dir_all(&self.store);
    }
}

/// The service in one of its layouts; ended when dropped.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) publisher: Option<Server>,
    /// What clients connect to; all in one is one of these.
    pub(super) gateways: Vec<(Server, Host)>,
}

impl Service {
    /// Starts it and waits until it may be given clients.
    ///
    /// # Errors
    /// A process cannot be started or does not get ready.
    pub(super) fn start(trial: &Trial, tickcast: &Path) -> Result<Service> {
        let sim = [
            "--feed=sim".to_owned(),
            format!("--sim-instruments={}", trial.instruments),
            format!("--sim-rate={}", trial.rate),
            "--sim-zipf=1.0".to_owned(),
            "--sim-pace=steady".to_owned(),
        ];
        let mut service = Service { publisher: None, gateways: Vec::new() };
        match trial.layout {
            Layout::Alone => {
                let args = [edge(Host::Alone), sim.to_vec()].concat();
                let server = start(Host::Alone, "serve", &args, tickcast)?;
                service.gateways.push((server, Host::Alone));
            }
            Layout::Bus { gateways } => {
                let host = Host::Publisher;
                let args = [vec![bus(1), format!("--admin={}:8081", host.address())], sim.to_vec()];
                service.publisher = Some(start(host, "publish", &args.concat(), tickcast)?);
                for n in 1..=gateways {
                    let host = Host::Gateway(n);
                    let args = [vec![bus(1 + n % NATS_SERVERS)], edge(host)].concat();
                    service.gateways.push((start(host, "gateway", &args, tickcast)?, host));
                }
            }
        }
        for (server, _) in &service.gateways {
            let admin = server.addresses[1];
            until(&format!("the gateway at {admin}"), || is_ready(admin))?;
        }
        Ok(service)
    }

    /// How many clients and subscriptions there are.
    pub(super) fn crowd(&self) -> (f64, f64) {
        let of = |name: &str| -> f64 {
            let texts =
                self.gateways.iter().filter_map(|(one, _)| metrics::fetch(one.addresses[1]));
            texts.filter_map(|text| metrics::sum(&text, name, "")).sum()
        };
        (of("tickcast_gateway_connections"), of("tickcast_gateway_subscriptions"))
    }
}

fn bus(server: usize) -> String {
    format!("--bus=nats://{}:4222", Host::Nats(server).address())
}

/// Where clients come in, with one thread for them and without limits for one address.
fn edge(host: Host) -> Vec<String> {
    let mut args = vec![
        format!("--listen={}:8080", host.address()),
        format!("--admin={}:8081", host.address()),
    ];
    let rest =
        ["--shards=1", "--canary=off", "--allow-anonymous", "--address-connections-max=100000"];
    args.extend(rest.map(String::from));
    args.push("--address-connections-per-second=100000".into());
    args.push("--address-connections-burst=100000".into());
    args
}

fn start(host: Host, command: &str, args: &[String], tickcast: &Path) -> Result<Server> {
    let words = host.command(&tickcast.display().to_string());
    let mut all: Vec<String> =
        words.get_args().map(|arg| arg.to_string_lossy().into_owned()).collect();
    all.push(command.into());
    all.extend_from_slice(args);
    // `ip netns exec` becomes the program: its process is the program's.
    Server::start(Path::new(words.get_program()), &all, &[])
        .map_err(|error| Failure(format!("tickcast {command}: {error}")))
}

/// Waits until it is so.
///
/// # Errors
/// It takes too long; `what` names it.
pub(super) fn until(what: &str, mut is_so: impl FnMut() -> bool) -> Result<()> {
    let deadline = Instant::now() + READY_MAX;
    while !is_so() {
        if Instant::now() > deadline {
            return Err(Failure(format!("{what}: not ready within {READY_MAX:?}")));
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}

fn is_ready(admin: SocketAddr) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(admin)?;
        stream.set_read_timeout(Some(READY_MAX))?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}
