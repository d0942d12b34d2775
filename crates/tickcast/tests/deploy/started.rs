//! Every process of ours, started as the files of `deploy` say: with the image's variables, those of
//! compose or the pod, the settings files and the units' commands. It has to get ready.
//!
//! Only what belongs to another machine is replaced: ports by free ones, the bus by a real NATS here,
//! paths below /etc and /run by files here.

use crate::container::environment;
use crate::files::{deployed, temporary, texts};
use crate::kubernetes::{name, of_kind, resources};
use crate::service::place::{own_address, own_ip};
use crate::service::{LOOK, PATIENCE, get};
use crate::tools::nats_server;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

/// A process of ours as some file wants it.
#[derive(Debug)]
struct Wanted {
    name: String,
    words: Vec<String>,
    variables: Vec<(String, String)>,
    /// The text of its settings file.
    settings: String,
}

/// A running process; it ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _already_ended = self.0.kill();
        let _nothing_to_wait_for = self.0.wait();
    }
}

/// The bus as compose starts it, at free ports: where it listens, and where it says how it is.
fn bus(folder: &Path) -> Option<(Running, [SocketAddr; 2])> {
    let program = nats_server()?;
    let compose = crate::compose::services("split")?;
    let free = [own_address(), own_address()];
    let words = texts(&compose["nats"]["command"]).into_iter().map(|word| match word.as_str() {
        "/data" => folder.join("nats").to_str().expect("text").to_owned(),
        "8222" => free[1].port().to_string(),
        _ => word,
    });
    let mut command = Command::new(program);
    command.args(words).args(["-a", &own_ip().to_string(), "-p", &free[0].port().to_string()]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut running = Running(command.spawn().expect("NATS starts"));
    let deadline = Instant::now() + PATIENCE;
    while free.iter().any(|address| TcpStream::connect(address).is_err()) {
        assert!(running.0.try_wait().expect("it is our child").is_none(), "NATS has ended");
        assert!(Instant::now() < deadline, "NATS does not listen");
        std::thread::sleep(LOOK);
    }
    Some((running, free))
}

#[test]
fn the_bus_is_asked_what_it_answers() {
    let folder = temporary("bus");
    std::fs::create_dir_all(&folder).expect("a writable folder");
    let Some((_nats, [_, monitor])) = bus(&folder) else { return };
    let Some(all) = resources("base") else { return };
    let container = &of_kind(&all, "StatefulSet")[0]["spec"]["template"]["spec"]["containers"][0];
    let probes = ["startupProbe", "readinessProbe", "livenessProbe"];
    let paths = probes.map(|probe| container[probe]["httpGet"]["path"].as_str().expect("a path"));
    let compose = crate::compose::services("split").expect("the same tools");
    let check = texts(&compose["nats"]["healthcheck"]["test"]).pop().expect("an address");
    let (_, path) = check.split_once(":8222").expect("the port that its command says");
    let deadline = Instant::now() + PATIENCE;
    for path in paths.into_iter().chain([path]) {
        let status = || {
            let stream = TcpStream::connect(monitor).expect("it listens");
            first_line(stream, path)
        };
        while !status().contains(" 200 ") {
            assert!(Instant::now() < deadline, "{path}: {}", status());
            std::thread::sleep(LOOK);
        }
    }
    std::fs::remove_dir_all(&folder).expect("it was made above");
}

/// The first line of the answer.
fn first_line(mut stream: TcpStream, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: bus\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).expect("it answers");
    line
}

impl Wanted {
    /// Starts it and waits until it is ready.
    fn start(&self, folder: &Path, bus: SocketAddr) -> Running {
        let here = |text: &str| {
            let text = free_port(text).replace("nats://nats:4222", &format!("nats://{bus}"));
            let text = text.replace("nats://tickcast-nats:4222", &format!("nats://{bus}"));
            text.replace("nats://127.0.0.1:4222", &format!("nats://{bus}"))
        };
        let secret = folder.join("secret");
        std::fs::write(&secret, "0123456789abcdef0123456789abcdef").expect("a writable folder");
        let secret = secret.to_str().expect("text");
        let file = folder.join(format!("{}.toml", self.name));
        let settings = self.settings.replace("/etc/tickcast/auth/secret", secret);
        std::fs::write(&file, settings).expect("a writable folder");
        let words = self.words.iter().map(|word| match word.as_str() {
            path if path.ends_with(".toml") => file.to_str().expect("text").to_owned(),
            path if path.starts_with("/run/") => {
                folder.join("takeover").to_str().expect("text").to_owned()
            }
            word => here(word),
        });
        let mut command = Command::new(env!("CARGO_BIN_EXE_tickcast"));
        command.args(words).stdin(Stdio::null()).stdout(Stdio::piped());
        // Units leave addresses to the binary, whose ports may be taken here.
        command.envs([("TICKCAST_LISTEN", "127.0.0.1:0"), ("TICKCAST_ADMIN", "127.0.0.1:0")]);
        command.envs(self.variables.iter().map(|(variable, value)| (variable, here(value))));
        let mut running = Running(command.spawn().expect("the binary starts"));
        let mut line = String::new();
        let stdout = running.0.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("it can be read");
        let (_, admin) = line.trim().split_once("admin http://").unwrap_or_else(|| {
            panic!("{} does not start: {line:?} {:?}", self.name, running.0.wait())
        });
        let admin: SocketAddr = admin.parse().expect("an address");
        let admin = SocketAddr::from(([127, 0, 0, 1], admin.port()));
        let deadline = Instant::now() + PATIENCE;
        while get(admin, "/readyz").0 != 200 {
            assert!(Instant::now() < deadline, "{} does not get ready", self.name);
            std::thread::sleep(LOOK);
        }
        running
    }
}

/// An address with the port that the system chooses.
fn free_port(text: &str) -> String {
    match text.parse::<SocketAddr>() {
        Ok(address) => SocketAddr::new(address.ip(), 0).to_string(),
        Err(_) => text.to_owned(),
    }
}

/// Starts all; publishers first, as gateways wait for them.
fn all_get_ready(mut wanted: Vec<Wanted>, of: &str) {
    let folder = temporary(&format!("started-{of}"));
    std::fs::create_dir_all(&folder).expect("a writable folder");
    let Some((_nats, [bus, _])) = bus(&folder) else { return };
    wanted.sort_by_key(|one| one.words[0] != "publish");
    let running: Vec<_> = wanted.iter().map(|one| one.start(&folder, bus)).collect();
    println!("{of}: ready: {:?}", wanted.iter().map(|one| &one.name).collect::<Vec<_>>());
    drop(running);
    std::fs::remove_dir_all(&folder).expect("it was made above");
}

#[test]
fn the_containers_of_compose_get_ready() {
    let Some(split) = crate::compose::services("split") else { return };
    let single = crate::compose::services("single").expect("the same program");
    let ours = single.iter().chain(&split).filter(|(_, service)| crate::compose::is_ours(service));
    let wanted: Vec<_> = ours
        .map(|(name, service)| {
            let set = service["environment"].as_object().expect("variables").iter();
            let set =
                set.map(|(key, value)| (key.clone(), value.as_str().expect("text").to_owned()));
            Wanted {
                name: name.clone(),
                words: texts(&service["command"]),
                variables: environment().into_iter().chain(set).collect(),
                settings: String::new(),
            }
        })
        .collect();
    assert_eq!(wanted.len(), 5);
    all_get_ready(wanted, "compose");
}

#[test]
fn the_pods_get_ready() {
    let Some(all) = resources("base") else { return };
    let wanted = of_kind(&all, "Deployment").into_iter().map(|deployment| {
        let container = &deployment["spec"]["template"]["spec"]["containers"][0];
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let set = container["env"].as_array().expect("variables").iter();
        let set = set.map(|one| (text(&one["name"]), text(&one["value"])));
        Wanted {
            name: name(deployment).to_owned(),
            words: texts(&container["args"]),
            variables: environment().into_iter().chain(set).collect(),
            settings: crate::kubernetes::settings_text(&all, name(deployment)),
        }
    });
    all_get_ready(wanted.collect(), "kubernetes");
}

#[test]
fn the_units_get_ready() {
    let wanted = crate::systemd::SERVICES.iter().map(|unit| {
        let text = deployed(&format!("systemd/{unit}"));
        let started = text.lines().find_map(|line| line.strip_prefix("ExecStart="));
        let words = started.expect("a command").split_whitespace().skip(1);
        Wanted {
            name: (*unit).to_owned(),
            words: words.map(str::to_owned).collect(),
            variables: Vec::new(),
            settings: String::new(),
        }
    });
    all_get_ready(wanted.collect(), "systemd");
}

#[test]
fn it_runs_as_nobody_on_a_file_system_that_is_only_read() {
    let Some(unshare) = crate::scripts::tool("TICKCAST_UNSHARE", "/usr/bin/unshare") else {
        return;
    };
    let script = "mount --make-rprivate / && mount -o remount,bind,ro / && \
                  exec setpriv --reuid 65532 --regid 65532 --clear-groups --no-new-privs \
                  --bounding-set -all --inh-caps -all \"$0\" serve";
    // The binary is copied to where everybody may read it.
    let binary = PathBuf::from(format!("/tmp/tickcast-deploy-{}", std::process::id()));
    std::fs::copy(env!("CARGO_BIN_EXE_tickcast"), &binary).expect("a writable folder");
    let mut command = Command::new(unshare);
    command.args(["--mount", "sh", "-c", script]).arg(&binary);
    command.envs(environment()).env("TICKCAST_ALLOW_ANONYMOUS", "true");
    command.env("TICKCAST_LISTEN", "127.0.0.1:0").env("TICKCAST_ADMIN", "127.0.0.1:0");
    let mut running =
        Running(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("it starts"));
    let mut line = String::new();
    let stdout = running.0.stdout.take().expect("a pipe");
    BufReader::new(stdout).read_line(&mut line).expect("it can be read");
    std::fs::remove_file(&binary).expect("it was copied above");
    let admin = line.trim().split_once("admin http://").map(|(_, admin)| admin);
    let Some(admin) = admin else {
        crate::scripts::skip::<()>("the right to a file system of one's own (root)");
        return;
    };
    let admin: SocketAddr = admin.parse().expect("an address");
    let deadline = Instant::now() + PATIENCE;
    while get(admin, "/readyz").0 != 200 {
        assert!(Instant::now() < deadline, "it does not get ready");
        std::thread::sleep(LOOK);
    }
    let status = format!("/proc/{}/status", running.0.id());
    let status = std::fs::read_to_string(status).expect("it runs");
    let has = |key: &str, value: &str| {
        let line = status.lines().find(|line| line.starts_with(key)).expect("the kernel tells it");
        assert!(line.split_whitespace().nth(1).is_some_and(|said| said == value), "{line}");
    };
    has("Uid:", "65532");
    has("CapBnd:", "0000000000000000");
    has("NoNewPrivs:", "1");
    let mounts = std::fs::read_to_string(format!("/proc/{}/mounts", running.0.id()));
    let mounts = mounts.expect("it runs");
    let root = mounts.lines().rfind(|line| line.split(' ').nth(1) == Some("/")).expect("a root");
    assert!(root.split(' ').nth(3).is_some_and(|how| how.starts_with("ro")), "{root}");
}
