//! A gateway behind a leaf node follows the publisher at the hub, with the configurations of
//! `deploy/nats`.

#[path = "../scripts/mod.rs"]
mod scripts;
#[path = "../service/mod.rs"]
mod service;

use scripts::{root, tool};
use serde_json::Value;
use service::place::own_address;
use service::{LOOK, PATIENCE, Service};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

/// Processes and files of a test; gone when dropped.
struct Region {
    processes: Vec<Child>,
    folder: PathBuf,
}

impl Region {
    /// A server with one of our configurations, its addresses replaced by these.
    fn nats(&mut self, program: &Path, name: &str, replace: &[(&str, String)], at: SocketAddr) {
        let ours = root().join("deploy/nats").join(name);
        let mut text = std::fs::read_to_string(&ours).expect("our configuration");
        for (from, to) in replace {
            assert!(text.contains(from), "{name} has {from:?}");
            text = text.replace(from, to);
        }
        let file = self.folder.join(name);
        std::fs::write(&file, text).expect("the folder can be written");
        self.start(Command::new(program).arg("-c").arg(file));
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(at).is_err() {
            assert!(Instant::now() < deadline, "{name}: it does not listen");
            std::thread::sleep(LOOK);
        }
    }

    fn start(&mut self, command: &mut Command) {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.processes.push(command.spawn().expect("it starts"));
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _already_ended = process.kill();
            let _nothing_to_wait_for = process.wait();
        }
        let _left_behind = std::fs::remove_dir_all(&self.folder);
    }
}

fn nats_server() -> Option<PathBuf> {
    let beside = root().join(".tools/venv/bin/nats-server");
    tool("TICKCAST_NATS_SERVER", beside.to_str().expect("a path of text"))
}

#[test]
fn nats_server_finds_nothing_wrong_with_the_configurations() {
    let Some(program) = nats_server() else { return };
    for name in ["hub.conf", "leaf.conf"] {
        let file = root().join("deploy/nats").join(name);
        let output = Command::new(&program).arg("-t").arg("-c").arg(file).output();
        let output = output.expect("nats-server runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_gateway_behind_a_leaf_node_serves_what_the_publisher_at_the_hub_says() {
    let Some(program) = nats_server() else { return };
    let folder = std::env::temp_dir().join(format!("tickcast-leaf-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let mut region = Region { processes: Vec::new(), folder };
    let [hub, leaf, line] = [own_address(), own_address(), own_address()];
    let store = region.folder.join("store").display().to_string();
    let hub_side = [
        ("0.0.0.0:4222", hub.to_string()),
        ("0.0.0.0:7422", line.to_string()),
        ("/var/lib/nats", store),
    ];
    region.nats(&program, "hub.conf", &hub_side, hub);
    let leaf_side = [("0.0.0.0:4222", leaf.to_string()), ("hub-1.internal:7422", line.to_string())];
    region.nats(&program, "leaf.conf", &leaf_side, leaf);
    region.start(
        Command::new(env!("CARGO_BIN_EXE_tickcast"))
            .args(["publish", "--bus", &format!("nats://{hub}"), "--admin", "127.0.0.1:0"])
            .args(["--sim-instruments", "5", "--sim-rate", "100"]),
    );
    let mut gateway = Command::new(env!("CARGO_BIN_EXE_tickcast"));
    gateway.args(["gateway", "--bus", &format!("nats://{leaf}")]).stdin(Stdio::null());
    let addresses = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    gateway.args(addresses);
    let gateway = Service::spawn(gateway).listening();
    let deadline = Instant::now() + PATIENCE;
    loop {
        // Live only once the lease was read, through the leaf node, from the hub's JetStream.
        let list = gateway.json("/v1/instruments");
        let list = list["instruments"].as_array().cloned().unwrap_or_default();
        if list.len() == 5 && list.iter().all(|one| one["state"] == "live") {
            break;
        }
        assert!(Instant::now() < deadline, "it does not follow: {list:?}");
        std::thread::sleep(LOOK);
    }
    loop {
        // Not at once: nobody has asked for it before, and it may have no bid for a moment.
        let (_, body) = gateway.get("/v1/snapshot?channel=ticker&symbol=sim:S0-USD");
        let snapshot: Value = serde_json::from_str(&body).expect("JSON");
        if snapshot["data"][0]["bid"].is_string() {
            break;
        }
        assert!(Instant::now() < deadline, "no bid: {snapshot}");
        std::thread::sleep(LOOK);
    }
}
