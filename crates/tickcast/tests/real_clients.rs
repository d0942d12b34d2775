//! Clients that we did not write, against the real binary: Python `websockets`, npm `ws`, headless
//! Chromium's own WebSocket and EventSource.
//!
//! The scripts in `tests/clients` know the protocol and judge it; here the service is started on
//! free ports, stopped with SIGTERM when a script says READY, and must end with exit code 0.
//! `cargo xtask test` brings what the scripts need and says where it is; otherwise it is looked
//! for in `.tools`.

mod scripts;
mod service;

use scripts::{Script, browser, node, python};
use service::{Service, tls};
use std::path::Path;
use std::process::Command;

/// A market of twenty instruments, and a quick end.
const ARGS: [&str; 6] = ["--sim-instruments", "20", "--sim-rate", "200", "--drain-window", "1s"];

#[test]
fn python_websockets_gets_what_the_protocol_promises() {
    let Some(python) = python() else { return };
    drains_after(&Script::new(&python, "python_client.py"));
}

#[test]
fn python_websockets_gets_it_encrypted() {
    let Some(python) = python() else { return };
    drains_encrypted_after(Script::new(&python, "python_client.py"));
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
    drains_encrypted_after(Script::new(&node, "browser_client.mjs"));
}

#[test]
fn a_page_of_another_origin_reads_what_it_may_and_why_it_may_not() {
    let Some(node) = browser() else { return };
    let secret = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cors-secret");
    std::fs::write(&secret, "a secret that is long enough to be one, for tests").expect("a file");
    let secret = secret.display().to_string();
    let token = Command::new(env!("CARGO_BIN_EXE_tickcast"))
        .args(["token", "--auth-secret", &secret, "--sub", "desk", "--entitlement", "sim:*"])
        .output()
        .expect("the binary starts");
    let token = String::from_utf8(token.stdout).expect("text").trim().to_owned();
    let guarded = ["--auth-secret", &secret, "--allow-origin", "http://desk.example"];
    let service = Service::start(&[&ARGS[..], &guarded].concat());
    service.until_ready();
    let script = Script::new(&node, "browser_cors.mjs").arg(service.url()).arg(token);
    script.run(|wish| panic!("{wish} is not known"));
}

/// Runs a script against a service of its own, which is told to stop when the script is READY.
fn drains_after(script: &Script) {
    drains(Service::start(&ARGS), script.clone());
}

/// The same with a certificate that the script trusts, or does not look at.
fn drains_encrypted_after(script: Script) {
    let files = tls::Files::new();
    let service = Service::start_tls(&files, &ARGS);
    assert!(service.url().starts_with("https://"), "{}", service.url());
    // What Python's OpenSSL looks for.
    drains(service, script.env("SSL_CERT_FILE", &files.certificate));
}

fn drains(mut service: Service, script: Script) {
    service.until_ready();
    let mut stops = 0;
    script.arg(service.url()).run(|wish| {
        assert_eq!(wish, "READY", "{wish} is not known");
        stops += 1;
        service.ask_to_stop();
        None
    });
    assert_eq!(stops, 1, "the script says READY once");
    assert_eq!(service.wait(), Some(0), "exit code of the service");
}
