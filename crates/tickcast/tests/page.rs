//! The dashboard in Chromium, served by the real binary: values, faults, halts, keyboard, access,
//! content policy, tokens, the slow link, frames, and the pictures of the README.
//!
//! The scripts `tests/clients/page_*.mjs` know the page and judge it; here are the services that they
//! look at.

mod scripts;
mod service;

use scripts::{Script, browser, root, skip};
use service::place::{ANY, own_address};
use service::{Service, feeds};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Enough rows that not all are in the document.
const SIXTY: [&str; 4] = ["--sim-instruments", "60", "--sim-rate", "300"];
/// What a page has to bear.
const BUSY: [&str; 4] = ["--sim-instruments", "500", "--sim-rate", "5000"];

#[test]
fn the_page_shows_what_the_service_shows() {
    let (Some(node), Some(feeds)) = (browser(), feeds()) else { return };
    let recording = |name: &str| feeds.join("recordings").join(name).display().to_string();
    let [one, two] =
        ["coinbase_exchange_2sym_10s.rec.gz", "binance_3sym_91s.rec.gz"].map(recording);
    let args = ["--replay", &one, "--replay", &two, "--replay-speed", "max"];
    let Some(service) = start(&args) else { return };
    looks_at(&service, Script::new(&node, "page_values.mjs"));
}

#[test]
fn the_page_survives_the_death_and_the_end_of_its_service() {
    let Some(node) = browser() else { return };
    let args = ["--sim-instruments", "20", "--sim-rate", "200", "--drain-window", "1s"];
    let public = own_address();
    let Some(mut service) = start_at(public, &args) else { return };
    let mut wishes = Vec::new();
    Script::new(&node, "page_faults.mjs").arg(service.url()).run(|wish| {
        wishes.push(wish.to_owned());
        match wish {
            "KILL" => {
                service.kill();
                Some("killed")
            }
            "START" => {
                service = Service::begin(public, ANY, &args).listening();
                Some("started")
            }
            "READY" => {
                service.ask_to_stop();
                None
            }
            _ => panic!("{wish} is not known"),
        }
    });
    assert_eq!(wishes, ["KILL", "START", "READY"]);
    assert_eq!(service.wait(), Some(0), "exit code of the service");
}

#[test]
fn a_halt_shows() {
    let Some(node) = browser() else { return };
    let recording = temporary("halt.rec.gz");
    let script = Script::new(&node, "page_halt.mjs");
    script.clone().arg("--recording").arg(&recording).run(unknown);
    let recording = recording.display().to_string();
    let Some(service) = start(&["--replay", &recording, "--replay-loop"]) else { return };
    looks_at(&service, script);
}

#[test]
fn a_keyboard_is_enough_and_the_address_keeps_the_layout() {
    looks_at_simulator("page_keyboard.mjs", &SIXTY);
}

#[test]
fn axe_finds_nothing_serious() {
    looks_at_simulator("page_axe.mjs", &SIXTY);
}

#[test]
fn the_page_lives_by_its_strict_content_policy() {
    looks_at_simulator("page_csp.mjs", &SIXTY);
}

#[test]
fn a_slow_link_gets_fewer_updates_and_recovers() {
    looks_at_simulator("page_slow_link.mjs", &BUSY);
}

#[test]
fn frames_at_five_thousand_updates_a_second() {
    looks_at_simulator("page_frames.mjs", &BUSY);
}

#[test]
fn the_page_asks_for_a_token() {
    let Some(node) = browser() else { return };
    let secret = temporary("page-secret");
    std::fs::write(&secret, "a secret that is long enough to be one, for tests").expect("a file");
    let secret = secret.display().to_string();
    let mut token = Command::new(env!("CARGO_BIN_EXE_tickcast"));
    token.args(["token", "--auth-secret", &secret, "--sub", "desk", "--entitlement", "sim:*"]);
    let token = token.output().expect("the binary starts").stdout;
    let token = String::from_utf8(token).expect("text").trim().to_owned();
    let Some(service) = start(&[&SIXTY[..], &["--auth-secret", &secret]].concat()) else { return };
    Script::new(&node, "page_token.mjs").arg(service.url()).arg(token).run(unknown);
}

/// With `TICKCAST_SCREENSHOTS=1` these are the pictures of the README.
#[test]
fn pictures_of_the_page() {
    let Some(node) = browser() else { return };
    let folder = match std::env::var("TICKCAST_SCREENSHOTS") {
        Ok(value) if value == "1" => root().join("docs"),
        _ => temporary("screenshots"),
    };
    std::fs::create_dir_all(&folder).expect("a folder");
    let Some(service) = start(&["--sim-instruments", "60", "--sim-rate", "600"]) else { return };
    Script::new(&node, "page_screenshots.mjs").arg(service.url()).arg(&folder).run(unknown);
    for name in ["dashboard.png", "dashboard-light.png", "dashboard-phone.png"] {
        let picture = folder.join(name);
        let png = std::fs::read(&picture).expect("the script made a picture");
        assert!(png.starts_with(b"\x89PNG"), "{} is a PNG", picture.display());
    }
}

/// A script that wants nothing but a page of the simulator.
fn looks_at_simulator(script: &'static str, args: &[&str]) {
    let Some(node) = browser() else { return };
    let Some(service) = start(args) else { return };
    looks_at(&service, Script::new(&node, script));
}

fn looks_at(service: &Service, script: Script) {
    script.arg(service.url()).run(unknown);
}

fn unknown(wish: &str) -> Option<&'static str> {
    panic!("{wish} is not known")
}

/// A service with these arguments, where the binary has the dashboard in it.
fn start(args: &[&str]) -> Option<Service> {
    start_at(ANY, args)
}

fn start_at(public: SocketAddr, args: &[&str]) -> Option<Service> {
    let service = Service::begin(public, ANY, args).listening();
    let (status, page) = service.get("/");
    assert_eq!(status, 200, "{page}");
    if page.contains("built without the dashboard") {
        return skip("the dashboard in the binary");
    }
    Some(service)
}

fn temporary(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}
