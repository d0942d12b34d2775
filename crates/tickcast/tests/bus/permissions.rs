//! Users of NATS that may not do what they must, until the server's configuration is put right.

use crate::SIM;
use crate::nats::Nats;
use crate::processes::{Publisher, gateway_on};
use crate::seen::{LIVE, SYMBOL, Seen, assert_unviolated, subscribe, until};
use crate::service::{LOOK, PATIENCE, Service, get};
use std::net::SocketAddr;
use std::time::Instant;

/// A publisher's and a gateway's user, the one with these denials and the other with those.
fn users(publisher: &str, gateway: &str) -> String {
    let user =
        |name, denied| format!("{{ user: {name}, password: sesame, permissions: {{ {denied} }} }}");
    let allowed = "publish: \">\", subscribe: \">\"";
    let or_all = |denied: &str| if denied.is_empty() { allowed.to_owned() } else { denied.into() };
    let users = [user("publisher", or_all(publisher)), user("gateway", or_all(gateway))];
    format!("authorization {{ users: [ {} ] }}", users.join(", "))
}

fn url(nats: &Nats, user: &str) -> String {
    format!("nats://{user}:sesame@{}", nats.address())
}

fn until_not_ready(admin: SocketAddr) {
    let deadline = Instant::now() + PATIENCE;
    while get(admin, "/readyz?strict").0 == 200 {
        assert!(Instant::now() < deadline, "it says that it is ready");
        std::thread::sleep(LOOK);
    }
}

/// Waits until the gateway knows the instrument that clients ask for.
fn until_listed(gateway: &Service) {
    let deadline = Instant::now() + PATIENCE;
    while !gateway.json("/v1/instruments").to_string().contains(SYMBOL) {
        assert!(Instant::now() < deadline, "{SYMBOL} does not come");
        std::thread::sleep(LOOK);
    }
}

#[test]
fn a_gateway_that_may_not_subscribe_is_stale_until_it_may() {
    let denied = "publish: \">\", subscribe: { deny: \"tickcast.v1.sim.*.ticker\" }";
    let Some(nats) = Nats::start_with("no-subscribe", &users("", denied)) else { return };
    let _publisher = Publisher::start_on(&url(&nats, "publisher"), &SIM);
    let gateway = gateway_on(&url(&nats, "gateway"), &[]);
    until_listed(&gateway);
    let (mut socket, mut seen) = (subscribe(&gateway), Seen::default());
    gateway.until_logged("Permissions Violation for Subscription to");
    until(&mut socket, &mut seen, "stale", |seen| seen.stale() > 0 && !seen.is_live());
    until_not_ready(gateway.admin);
    nats.reload(&users("", ""));
    until(&mut socket, &mut seen, "prices", LIVE);
    gateway.until_ready();
    assert_unviolated(&gateway);
}

#[test]
fn a_publisher_that_may_not_publish_is_stale_until_it_may() {
    let denied = "publish: { deny: \"tickcast.v1.sim.*.ticker\" }, subscribe: \">\"";
    let Some(nats) = Nats::start_with("no-publish", &users(denied, "")) else { return };
    let publisher = Publisher::start_on(&url(&nats, "publisher"), &SIM);
    let gateway = gateway_on(&url(&nats, "gateway"), &[]);
    until_listed(&gateway);
    let (mut socket, mut seen) = (subscribe(&gateway), Seen::default());
    publisher.until_logged("Permissions Violation for Publish to");
    until(&mut socket, &mut seen, "stale", |seen| seen.stale() > 0 && !seen.is_live());
    until_not_ready(publisher.admin);
    nats.reload(&users("", ""));
    until(&mut socket, &mut seen, "prices", LIVE);
    gateway.until_ready();
    assert_unviolated(&gateway);
}

#[test]
fn a_publisher_that_may_not_use_the_lease_waits_until_it_may() {
    let denied = "publish: { deny: [\"$JS.API.>\", \"$KV.>\"] }, subscribe: \">\"";
    let Some(nats) = Nats::start_with("no-lease", &users(denied, "")) else { return };
    let publisher = Publisher::start_on(&url(&nats, "publisher"), &SIM);
    publisher.until_logged("Permissions Violation for Publish to \"$JS.API.");
    until_not_ready(publisher.admin);
    assert_eq!(publisher.metric("tickcast_bus_leader"), 0.0);
    nats.reload(&users("", ""));
    publisher.until_leader();
    let gateway = gateway_on(&url(&nats, "gateway"), &[]);
    gateway.until_ready();
}
