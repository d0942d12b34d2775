//! haproxy before two gateways, as `haproxy/split.cfg` has it: whoever comes is served by the one that
//! is there, while the other drains and after it has gone.
//!
//! The gateways here are two whole services, which answer the proxy alike. nginx and haproxy before one
//! service are in `behind_proxy.rs`.

use crate::files::{deployed, temporary};
use crate::scripts::tool;
use crate::service::place::own_address;
use crate::service::{LOOK, PATIENCE, Service, get};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

struct Haproxy {
    child: Child,
    public: SocketAddr,
    file: PathBuf,
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _already_ended = self.child.kill();
        let _nothing_to_wait_for = self.child.wait();
        let _already_removed = std::fs::remove_file(&self.file);
    }
}

fn replace(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from} stands in the configuration");
    text.replace(from, to)
}

/// Starts it before these two; the port that was free a moment ago may be taken now.
fn start(program: &PathBuf, gateways: [&Service; 2]) -> Haproxy {
    let file = temporary("split.cfg");
    for _ in 0..5 {
        let public = own_address();
        let mut text =
            replace(&deployed("haproxy/split.cfg"), "bind :8080", &format!("bind {public}"));
        text = replace(&text, "check port 8081 ", "check ");
        for (name, gateway) in ["gateway-a", "gateway-b"].iter().zip(gateways) {
            let to = format!("{name} {} port {}\n", gateway.public, gateway.admin.port());
            text = replace(&text, &format!("{name} {name}:8080\n"), &to);
        }
        // A gateway that stands still for a second with its machine has not gone.
        text = replace(&text, "timeout connect 5s", "timeout connect 5s\n    timeout check 60s");
        // As many descriptors as this machine gives it.
        text = replace(&text, "maxconn 200000", "maxconn 1000\n    noreuseport");
        std::fs::write(&file, text).expect("a writable folder");
        let mut command = Command::new(program);
        command.arg("-f").arg(&file).stdin(Stdio::null()).stdout(Stdio::null());
        let mut child = command.stderr(Stdio::null()).spawn().expect("haproxy starts");
        let deadline = Instant::now() + PATIENCE;
        while child.try_wait().expect("it is our child").is_none() {
            if TcpStream::connect(public).is_ok() {
                return Haproxy { child, public, file };
            }
            assert!(Instant::now() < deadline, "haproxy does not listen");
            std::thread::sleep(LOOK);
        }
    }
    panic!("haproxy does not start");
}

/// Whom this service has let in, so far.
fn opened(service: &Service) -> u64 {
    let (_, metrics) = get(service.admin, "/metrics");
    let lines = metrics
        .lines()
        .filter(|line| line.starts_with("tickcast_gateway_connections_opened_total"));
    let counts = lines.filter_map(|line| line.split(' ').next_back()?.parse::<f64>().ok());
    counts.sum::<f64>() as u64
}

/// Comes in through the proxy and reads until it has an update.
fn is_served(proxy: SocketAddr) {
    let stream = TcpStream::connect(proxy).expect("haproxy listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time");
    let (mut socket, _) =
        tungstenite::client(format!("ws://{proxy}/v1/ws"), stream).expect("a handshake");
    let subscribe = r#"{"method":"subscribe","params":{"channel":"ticker","symbol":"sim:*"}}"#;
    socket.send(tungstenite::Message::text(subscribe)).expect("it reads");
    loop {
        let message = socket.read().expect("messages come");
        if message.to_text().is_ok_and(|text| text.contains("\"type\":\"update\"")) {
            return;
        }
    }
}

#[test]
fn haproxy_accepts_the_file_as_it_stands() {
    let Some(haproxy) = tool("TICKCAST_HAPROXY", "/usr/sbin/haproxy") else { return };
    let file = crate::scripts::root().join("deploy/haproxy/split.cfg");
    let checked = Command::new(haproxy).arg("-c").arg("-f").arg(file).output().expect("it runs");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

#[test]
fn clients_find_the_gateway_that_is_there() {
    let Some(haproxy) = tool("TICKCAST_HAPROXY", "/usr/sbin/haproxy") else { return };
    let args = ["--trust-proxy", "127.0.0.1", "--allow-anonymous", "--sim-rate", "500"];
    let gateways =
        [Service::start(&args), Service::start(&[&args[..], &["--drain-window", "0s"]].concat())];
    gateways.iter().for_each(Service::until_ready);
    let proxy = start(&haproxy, [&gateways[0], &gateways[1]]);
    // Until its checks have found both, and each has been given somebody.
    let deadline = Instant::now() + PATIENCE;
    while gateways.iter().any(|gateway| opened(gateway) == 0) {
        is_served(proxy.public);
        assert!(Instant::now() < deadline, "only one of them is used");
    }
    let [stays, mut goes] = gateways;
    goes.ask_to_stop();
    assert_eq!(goes.wait(), Some(0));
    // From the first moment on: the proxy may still think that both are there. (Before it, whoever was
    // let in would be sent away again.)
    let before = opened(&stays);
    for _ in 0..20 {
        is_served(proxy.public);
    }
    assert!(opened(&stays) > before);
}
