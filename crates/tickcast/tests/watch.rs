//! `tickcast watch` as its user sees it: in a terminal, against the real service, which is killed
//! and started again meanwhile.

mod service;

use service::place::own_address;
use service::{PATIENCE, Service};
use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const SIM: [&str; 4] = ["--sim-instruments", "5", "--sim-rate", "50"];

/// A terminal of 130 columns and 20 lines in which a command runs, made by util-linux's `script`.
struct Terminal {
    child: Child,
    keys: ChildStdin,
    written: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    fn run(command: &str) -> Option<Terminal> {
        let line = format!("stty rows 20 cols 130; exec {command}");
        let child = Command::new("script")
            .args(["-qefc", &line, "/dev/null"])
            .env("TERM", "xterm-256color")
            .env("SHELL", "/bin/sh")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let Ok(mut child) = child else {
            let in_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
            assert!(!in_ci, "script (util-linux) is missing");
            println!("SKIPPED: script (util-linux) is missing");
            return None;
        };
        let keys = child.stdin.take().expect("a pipe");
        let mut screen = child.stdout.take().expect("a pipe");
        let written = Arc::new(Mutex::new(Vec::new()));
        let into = written.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = screen.read(&mut buffer) {
                into.lock().expect("nobody panics with it").extend_from_slice(&buffer[..count]);
            }
        });
        Some(Terminal { child, keys, written })
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("it reads");
        self.keys.flush().expect("it reads");
    }

    /// What was written after a place.
    fn after(&self, from: usize) -> String {
        let written = self.written.lock().expect("nobody panics with it");
        String::from_utf8_lossy(&written[from..]).into_owned()
    }

    /// Waits until all of these were written after a place; gives the place behind.
    fn until(&self, from: usize, words: &[&str]) -> usize {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let behind = self.written.lock().expect("nobody panics with it").len();
            let rest = self.after(from);
            if words.iter().all(|word| rest.contains(word)) {
                return behind;
            }
            assert!(Instant::now() < deadline, "{words:?} are not in {rest:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn ended(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("it can be asked") {
                return status.code();
            }
            assert!(Instant::now() < deadline, "it ends: {:?}", self.after(0));
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_screen_survives_its_service_and_gives_the_terminal_back() {
    let (public, admin) = (own_address(), own_address());
    let mut service = Service::begin(public, admin, &SIM).listening();
    let binary = env!("CARGO_BIN_EXE_tickcast");
    let command = format!("{binary} watch ws://{public} ticker 'sim:*' --max-rate 4");
    let Some(mut terminal) = Terminal::run(&command) else { return };
    let seen = terminal.until(0, &["\x1b[?1049h", "symbols", "sim:S4-USD", "websocket", "live"]);
    service.kill();
    let seen = terminal.until(seen, &["reconnecting in", "stale"]);
    let _service = Service::begin(public, admin, &SIM).listening();
    let seen = terminal.until(seen, &["live"]);
    // The book of the selected symbol, and back.
    terminal.press("\r");
    let seen = terminal.until(seen, &["levels a side"]);
    terminal.press("q");
    assert_eq!(terminal.ended(), Some(0));
    terminal.until(seen, &["\x1b[?1049l", "\x1b[?25h"]);
}

#[test]
fn signals_give_the_terminal_back() {
    let public = own_address();
    let _service = Service::begin(public, own_address(), &SIM).listening();
    let binary = env!("CARGO_BIN_EXE_tickcast");
    for signal in ["INT", "TERM", "HUP"] {
        // Its number is told before it takes the terminal.
        let command =
            format!("sh -c 'echo pid=$$=; exec {binary} watch ws://{public} ticker \"sim:*\"'");
        let Some(mut terminal) = Terminal::run(&command) else { return };
        let seen = terminal.until(0, &["\x1b[?1049h", "sim:S4-USD", "live"]);
        let told = terminal.after(0);
        let pid = told.split('=').nth(1).expect("it is told");
        let sent = Command::new("kill").args([&format!("-{signal}"), pid]).status();
        assert!(sent.expect("kill runs").success(), "{signal} to {pid}");
        assert_eq!(terminal.ended(), Some(0), "{signal}");
        terminal.until(seen, &["\x1b[?1049l", "\x1b[?25h"]);
    }
}

#[test]
fn a_window_that_is_closed_ends_it_in_order() {
    let public = own_address();
    let _service = Service::begin(public, own_address(), &SIM).listening();
    let name = format!("code-of-a-closed-window-{}", std::process::id());
    let told = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_file(&told);
    let binary = env!("CARGO_BIN_EXE_tickcast");
    let command = format!(
        "sh -c 'trap \"\" HUP; {binary} watch ws://{public} ticker \"sim:*\"; echo $? > {}'",
        told.display()
    );
    let Some(mut terminal) = Terminal::run(&command) else { return };
    terminal.until(0, &["\x1b[?1049h", "sim:S4-USD", "live"]);
    terminal.child.kill().expect("script can be killed, and its terminal goes with it");
    let deadline = Instant::now() + PATIENCE;
    let code = loop {
        match std::fs::read_to_string(&told) {
            Ok(code) if code.ends_with('\n') => break code,
            _ => assert!(Instant::now() < deadline, "it ends"),
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(code, "0\n");
    std::fs::remove_file(&told).expect("it was read above");
}

#[test]
fn a_service_that_refuses_is_named_when_the_screen_is_left() {
    let public = own_address();
    let service = Service::begin(public, own_address(), &SIM).listening();
    let binary = env!("CARGO_BIN_EXE_tickcast");
    let command = format!("{binary} watch ws://{public}/nowhere ticker 'sim:*'");
    let Some(mut terminal) = Terminal::run(&command) else { return };
    let seen = terminal.until(0, &["closed: handshake: the service answered 404"]);
    terminal.press("q");
    assert_eq!(terminal.ended(), Some(1));
    terminal.until(seen, &["\x1b[?1049l", "tickcast: handshake: the service answered 404"]);
    drop(service);
}

#[test]
fn what_is_asked_wrongly_is_refused_in_the_words_of_the_service() {
    for (arguments, code, words) in [
        (
            &["ws://127.0.0.1:1", "tikcer", "sim:*"][..],
            2,
            "4400 params.channel: \"tikcer\" is not one of",
        ),
        (&["ws://127.0.0.1:1", "book", "sim:*", "--depth", "11"], 2, "4400 params.depth: 11"),
        (
            &["ws://127.0.0.1:1", "bars", "sim:*", "--interval", "2m"],
            2,
            "4400 params.interval: \"2m\"",
        ),
        (&["ws://127.0.0.1:1", "ticker", "sim:*", "--depth", "10"], 2, "4400 params.depth"),
        (&["ws://127.0.0.1:1", "ticker", "sim:*", "--max-rate", "0"], 2, "4400 params.max_rate"),
        (&["ws://127.0.0.1:1", "ticker", "sim:*", "--encoding", "morse"], 2, "morse"),
        (&["ws://127.0.0.1:1", "ticker", "sim:*", "--ca", "/nowhere"], 2, "ca: /nowhere"),
        (&["ftp://127.0.0.1:1", "ticker", "sim:*"], 2, "ftp://127.0.0.1:1"),
        // Nothing is wrong with that, but that nobody is there.
        (&["ws://127.0.0.1:1", "ticker", "sim:*"], 1, "cannot reach ws://127.0.0.1:1"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_tickcast"))
            .arg("watch")
            .args(arguments)
            .output()
            .expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
}
