//! The units, as systemd reads them: without a fault, as confined as they say, with commands and times
//! that are the binary's.

use crate::command_line::{CommandLine, DRAIN_GRACE_SECONDS, seconds};
use crate::files::{deployed, temporary};
use crate::tools::{content, run, systemd_analyze};
use std::path::PathBuf;

pub(crate) const SERVICES: [&str; 4] = [
    "tickcast.service",
    "tickcast@.service",
    "tickcast-publish.service",
    "tickcast-gateway.service",
];
const SOCKET: &str = "tickcast.socket";
/// Where the units expect the binary.
const INSTALLED: &str = "/usr/local/bin/tickcast";

fn unit(name: &str) -> String {
    deployed(&format!("systemd/{name}"))
}

/// What is set, in order; a line that begins with a hash says nothing.
fn set<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    let lines = unit.lines().filter_map(|line| line.split_once('='));
    lines.filter(|(name, _)| *name == key).map(|(_, value)| value).collect()
}

/// The units in a folder of their own, with the binary where it is on this machine.
fn installed() -> PathBuf {
    let folder = temporary(&format!("units-{:?}", std::thread::current().id()));
    std::fs::create_dir_all(&folder).expect("a writable folder");
    for name in SERVICES.iter().chain([&SOCKET]) {
        let text = unit(name).replace(INSTALLED, env!("CARGO_BIN_EXE_tickcast"));
        std::fs::write(folder.join(name), text).expect("a writable folder");
    }
    folder
}

#[test]
fn systemd_finds_no_fault_in_them() {
    let Some(analyze) = systemd_analyze() else { return };
    let folder = installed();
    for name in SERVICES.iter().chain([&SOCKET]) {
        let path = folder.join(name);
        let path = path.to_str().expect("text");
        let verify = ["verify", "--man=no", "--recursive-errors=no", path];
        let output = run(&analyze, &verify, "");
        let said = String::from_utf8_lossy(&output.stderr);
        let about = said.lines().filter(|line| line.contains("tickcast")).collect::<Vec<_>>();
        assert!(output.status.success() && about.is_empty(), "{name}: {said}");
    }
    let damaged = unit(SERVICES[0]).replace("ProtectHome=yes", "ProtectHouse=yes");
    let path = folder.join("damaged.service");
    std::fs::write(&path, damaged).expect("a writable folder");
    let verify = ["verify", "--man=no", "--recursive-errors=no", path.to_str().expect("text")];
    let said = run(&analyze, &verify, "").stderr;
    assert!(String::from_utf8_lossy(&said).contains("ProtectHouse"), "it finds nothing");
    std::fs::remove_dir_all(&folder).expect("it was made above");
}

#[test]
fn they_are_as_confined_as_they_say() {
    let Some(analyze) = systemd_analyze() else { return };
    let folder = installed();
    for name in SERVICES {
        let text = unit(name);
        let (_, rest) = text.split_once("how exposed it is: ").expect("it says so");
        let said: f64 =
            rest.split(", ").next().and_then(|said| said.parse().ok()).expect("a number");
        assert!(said < 2.0, "{name}: {said} is not confined");
        let threshold = format!("--threshold={}", (said * 10.0).round());
        let path = folder.join(name);
        let args = ["security", "--offline=true", &threshold, path.to_str().expect("text")];
        let report = content(&analyze, &args, "");
        let (_, found) = report.split_once("Overall exposure level for ").expect("a verdict");
        let found = found.split(": ").nth(1).and_then(|found| found.split(' ').next());
        assert_eq!(found.and_then(|found| found.parse().ok()), Some(said), "{name}");
    }
    std::fs::remove_dir_all(&folder).expect("it was made above");
}

#[test]
fn they_run_what_the_binary_knows_and_let_it_drain() {
    let binary = CommandLine::get();
    for name in SERVICES {
        let text = unit(name);
        let started = set(&text, "ExecStart");
        let words: Vec<&str> = started[0].split_whitespace().collect();
        assert_eq!((started.len(), words[0]), (1, INSTALLED), "{name}");
        let known = binary.subcommand(words[1]);
        let known = known.unwrap_or_else(|| panic!("{name}: a subcommand {}", words[1]));
        for flag in words.iter().filter(|word| word.starts_with("--")) {
            assert!(known.flags.contains(*flag), "{name}: {flag}");
        }
        let said = words.iter().position(|word| *word == "--drain-window");
        let drain =
            said.map_or(binary.drain_seconds(), |at| seconds(words[at + 1]) + DRAIN_GRACE_SECONDS);
        let [stop] = set(&text, "TimeoutStopSec")[..] else { panic!("{name}: one TimeoutStopSec") };
        assert!(seconds(stop) > drain, "{name}: {stop} ends a drain of {drain} s");
        let files: u64 = set(&text, "LimitNOFILE")[0].parse().expect("a number");
        assert!(files > 100_000, "{name}");
        // It says that it is ready, and reads its settings again on SIGHUP.
        assert_eq!(set(&text, "Type"), ["notify"], "{name}");
        assert_eq!(set(&text, "ExecReload"), ["/bin/kill -HUP $MAINPID"], "{name}");
    }
}

#[test]
fn the_socket_listens_where_the_service_would() {
    let binary = CommandLine::get();
    let text = unit(SOCKET);
    let addresses = set(&text, "ListenStream");
    assert_eq!(addresses, [binary.default_of("--listen"), binary.default_of("--admin")]);
    assert_eq!(set(&text, "Service"), [SERVICES[0]]);
}
