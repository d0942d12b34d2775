//! `tickcast health` beside the real service: what a container's health check sees before the
//! service is there, while it serves, while it drains, and when something else answers.

mod service;

use service::place::own_address;
use service::{LOOK, PATIENCE, Service, get};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output};
use std::time::Instant;

/// For who must answer: the machine may be busy for as long as the default is.
const PATIENT: &str = "--within=60s";

fn health(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tickcast"));
    command.arg("health").args(args).env_remove("TICKCAST_ADMIN").output().expect("it runs")
}

/// Exit code, standard output, standard error.
fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_service_that_is_ready_is_healthy_wherever_its_address_is_said() {
    let service = Service::start(&["--sim-instruments", "3"]);
    service.until_ready();
    let admin = service.admin.to_string();
    for more in [&[][..], &["--strict"], &["--live"]] {
        let (code, out, err) = said(&health(&[&["--admin", &admin, PATIENT], more].concat()));
        assert_eq!((code, err.as_str()), (Some(0), ""), "{more:?}");
        assert!(out.contains(if more == ["--live"] { "\"alive\":true" } else { "\"ready\":true" }));
    }

    let mut command = Command::new(env!("CARGO_BIN_EXE_tickcast"));
    let everywhere = format!("0.0.0.0:{}", service.admin.port());
    command.args(["health", PATIENT]).env("TICKCAST_ADMIN", everywhere);
    let output = command.output().expect("it runs");
    assert_eq!(said(&output).0, Some(0), "the service's own variable");

    let name = format!("health-{}.toml", std::process::id());
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&file, format!("admin = \"{admin}\"\n")).expect("a writable folder");
    let output = health(&["--config", file.to_str().expect("text"), PATIENT]);
    assert_eq!(said(&output).0, Some(0), "the service's own file");
    std::fs::remove_file(&file).expect("it is there");
}

#[test]
fn a_service_that_drains_is_alive_and_not_ready() {
    let service = Service::start(&["--sim-instruments", "3", "--drain-window", "1h"]);
    service.until_ready();
    let _client = service.websocket();
    let admin = service.admin.to_string();
    service.ask_to_stop();
    let deadline = Instant::now() + PATIENCE;
    while get(service.admin, "/readyz").0 == 200 {
        assert!(Instant::now() < deadline, "it does not drain");
        std::thread::sleep(LOOK);
    }
    let (code, out, err) = said(&health(&["--admin", &admin, PATIENT]));
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.contains("/readyz: 503") && err.contains("\"draining\":true"), "{err}");
    assert_eq!(said(&health(&["--admin", &admin, "--live", PATIENT])).0, Some(0));
}

#[test]
fn nobody_there_and_nobody_of_ours_are_not_healthy() {
    // Of an address that nobody else listens at when it is gone.
    let listener = TcpListener::bind(own_address()).expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    let other = std::thread::spawn(move || {
        // One that never answers, and one that speaks something else.
        let (held, _) = listener.accept().expect("the first question");
        let (mut stream, _) = listener.accept().expect("the second question");
        drop(held);
        let _the_question = stream.read(&mut [0; 4096]).expect("a question");
        stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").expect("it reads");
    });
    let (code, _, err) = said(&health(&["--admin", &address, "--within", "50ms"]));
    assert_eq!(code, Some(1));
    assert!(err.contains(&address) && err.contains("no whole answer in time"), "{err}");
    let (code, _, err) = said(&health(&["--admin", &address, PATIENT]));
    assert_eq!(code, Some(1));
    assert!(err.contains("not an answer of HTTP"), "{err}");
    other.join().expect("both were asked");

    let (code, _, err) = said(&health(&["--admin", &address, PATIENT]));
    assert_eq!(code, Some(1));
    assert!(err.contains(&address) && err.contains("refused"), "{err}");
    let (code, _, err) = said(&health(&["--within", "soon"]));
    assert_eq!(code, Some(2));
    assert!(err.contains("within: \"soon\""), "{err}");
}
