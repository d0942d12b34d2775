//! Whoever is not ready says why, on its admin page and in its log, and tells no secret.

use crate::SIM;
use crate::nats::Nats;
use crate::processes::{Publisher, gateway, gateway_on};
use crate::service::{LOOK, PATIENCE, get};
use std::net::SocketAddr;
use std::time::Instant;

/// Nobody listens there.
const NOBODY: &str = "127.0.0.1:1";

/// Waits until both pages say these words, and that it is not ready.
fn until_said(admin: SocketAddr, words: &str) {
    for page in ["/readyz", "/readyz?strict"] {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (status, body) = get(admin, page);
            assert!(!body.contains("sesame"), "a password: {body}");
            let body: serde_json::Value = serde_json::from_str(&body).expect("JSON");
            if status == 503 && body["why"].to_string().contains(words) {
                break;
            }
            assert!(Instant::now() < deadline, "{page} does not say {words:?}: {body}");
            std::thread::sleep(LOOK);
        }
    }
}

#[test]
fn who_may_not_come_in_says_so() {
    let Some(nats) = Nats::start_guarded("strangers", "mellon") else { return };
    let url = format!("nats://desk:sesame@{}", nats.address());
    let said = format!("bus: nats://{}: authorization violation", nats.address());
    let gateway = gateway_on(&url, &[]);
    let publisher = Publisher::start_on(&url, &SIM);
    for admin in [gateway.admin, publisher.admin] {
        until_said(admin, &said);
    }
    gateway.until_logged("authorization violation");
    publisher.until_logged("authorization violation");
    assert!(!gateway.log().iter().any(|line| line.contains("sesame")), "{:?}", gateway.log());
}

#[test]
fn who_cannot_reach_nats_says_so() {
    let url = format!("nats://desk:sesame@{NOBODY}");
    let said = format!("bus: nats://{NOBODY}: IO error: Connection refused");
    let (gateway, publisher) = (gateway_on(&url, &[]), Publisher::start_on(&url, &SIM));
    for admin in [gateway.admin, publisher.admin] {
        until_said(admin, &said);
    }
    gateway.until_logged("Connection refused");
    publisher.until_logged("Connection refused");
    assert!(!gateway.log().iter().any(|line| line.contains("sesame")), "{:?}", gateway.log());
}

#[test]
fn who_finds_no_jetstream_says_so() {
    let Some(nats) = Nats::start_with("no-jetstream", "jetstream: disabled") else { return };
    let (gateway, publisher) = (gateway(&nats), Publisher::start(&nats, &SIM));
    let said = "lease bucket tickcast: JetStream is not enabled on this server";
    for admin in [gateway.admin, publisher.admin] {
        until_said(admin, &format!("bus: {said}"));
    }
    gateway.until_logged(said);
    publisher.until_logged(said);
    assert_eq!(publisher.metric("tickcast_bus_leader"), 0.0);
}

#[test]
fn a_gateway_without_a_publisher_says_so_until_there_is_one() {
    let Some(nats) = Nats::start("nobody") else { return };
    let gateway = gateway(&nats);
    until_said(
        gateway.admin,
        "bus: lease bucket tickcast: there is none, no publisher has made it",
    );
    let publisher = Publisher::start(&nats, &SIM);
    gateway.until_ready();
    drop(publisher);
    let deadline = Instant::now() + PATIENCE;
    while !get(gateway.admin, "/readyz?strict").1.contains("no publisher holds the lease") {
        assert!(Instant::now() < deadline, "{:?}", get(gateway.admin, "/readyz?strict"));
    }
    assert_eq!(get(gateway.admin, "/readyz").0, 200, "it has had data, and serves it as stale");
    let _another = Publisher::start(&nats, &SIM);
    gateway.until_ready();
}
