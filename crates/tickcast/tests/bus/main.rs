//! Publisher and gateways as processes of their own, on a real nats-server.

mod candidates;
mod cluster;
mod credentials;
mod cut;
mod line;
mod loaded;
mod nats;
mod permissions;
mod processes;
mod readiness;
#[path = "../scripts/mod.rs"]
mod scripts;
mod seen;
#[path = "../service/mod.rs"]
mod service;
#[path = "../feed_nats/source.rs"]
mod source;
mod versions;

use nats::Nats;
use processes::{Publisher, gateway};
use seen::{LIVE, Seen, assert_unviolated, subscribe, until};
use serde_json::Value;
use service::{LOOK, PATIENCE, Service, Socket};
use std::process::Command;
use std::time::Instant;

const SIM: [&str; 4] = ["--sim-instruments", "5", "--sim-rate", "100"];
const ALL: [(&str, &str); 4] =
    [("ticker", ""), ("trades", ""), ("book", "&depth=25"), ("bars", "&interval=1s")];

/// A snapshot's items without what differs between two processes; `None` where a gateway has not been
/// told of it in time.
fn state(service: &Service, channel: &str, options: &str, symbols: &str) -> Option<Vec<Value>> {
    let path = format!("/v1/snapshot?channel={channel}&symbol={symbols}{options}");
    let (status, body) = service.get(&path);
    if status == 503 {
        return None;
    }
    assert_eq!(status, 200, "{path}: {body}");
    let mut answer: Value = serde_json::from_str(&body).expect("JSON");
    let items = answer["data"].as_array_mut().expect("a list of items").split_off(0);
    let strip = |mut item: Value| {
        let fields = item.as_object_mut().expect("an item");
        for field in ["epoch", "ts_publish", "state"] {
            fields.remove(field);
        }
        item
    };
    Some(items.into_iter().map(strip).collect())
}

/// Waits for the end of its replay, where every instrument is stale.
fn until_over(service: &Service) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let list = service.json("/v1/instruments");
        let list = list["instruments"].as_array().expect("a list");
        if list.len() == 10 && list.iter().all(|one| one["state"] == "stale") {
            return;
        }
        assert!(Instant::now() < deadline, "it does not end: {list:?}");
        std::thread::sleep(LOOK);
    }
}

/// It serves what there was, and says that nothing of it is current.
fn assert_ready_but_not_live(service: &Service, why: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (ready, _) = service::get(service.admin, "/readyz");
        let (strictly, body) = service::get(service.admin, "/readyz?strict");
        if (ready, strictly) == (200, 503) && body.contains(why) {
            return;
        }
        assert!(Instant::now() < deadline, "{ready}, strictly {strictly}: {body}");
    }
}

fn names(service: &Service) -> Vec<String> {
    let list = service.json("/v1/instruments");
    let list = list["instruments"].as_array().expect("a list").clone();
    list.iter().map(|one| one["symbol"].as_str().expect("text").to_owned()).collect()
}

#[test]
fn a_gateway_ends_with_what_a_recording_says() {
    let Some(feeds) = service::feeds() else { return };
    let Some(nats) = Nats::start("replay") else { return };
    let file = feeds.join("recordings/coinbase_exchange_10sym_31s.rec.gz");
    let replay = ["--replay", file.to_str().expect("a path of text"), "--replay-speed", "max"];
    let whole = Service::start(&replay);
    let _publisher = Publisher::start(&nats, &replay);
    let gateway = gateway(&nats);
    for service in [&whole, &gateway] {
        until_over(service);
    }
    assert_ready_but_not_live(&whole, "not live");
    assert_ready_but_not_live(&gateway, "bus: no instrument of coinbase-exchange is live");
    let symbols = names(&whole).join(",");
    for (channel, options) in ALL {
        // What was told last may be under way still, and a bar is closed some time after its end.
        let deadline = Instant::now() + PATIENCE;
        loop {
            let wanted = state(&whole, channel, options, &symbols).expect("it has a publisher");
            let told = state(&gateway, channel, options, &symbols).unwrap_or_default();
            if told == wanted && wanted.len() == 10 {
                break;
            }
            let other = wanted.iter().zip(&told).find(|(wanted, told)| wanted != told);
            assert!(Instant::now() < deadline, "{channel}: {} of 10: {other:?}", told.len());
            std::thread::sleep(LOOK);
        }
    }
}

/// A publisher, a gateway, and a client that gets prices of both.
fn live(nats: &Nats) -> (Publisher, Service, Socket, Seen) {
    let publisher = Publisher::start(nats, &SIM);
    let gateway = gateway(nats);
    gateway.until_ready();
    let (mut socket, mut seen) = (subscribe(&gateway), Seen::default());
    until(&mut socket, &mut seen, "prices", LIVE);
    (publisher, gateway, socket, seen)
}

#[test]
fn the_canary_of_a_gateway_without_clients_follows_instruments_of_its_own() {
    let Some(nats) = Nats::start("alone") else { return };
    let _publisher = Publisher::start(&nats, &SIM);
    let gateway = gateway(&nats);
    let deadline = Instant::now() + PATIENCE;
    while gateway.metric("tickcast_canary_age_seconds_count", "") == 0.0 {
        assert!(Instant::now() < deadline, "it sees nothing: {:?}", gateway.log());
    }
    // Ticker and book of four of the five.
    let streams = gateway.metric("tickcast_bus_streams", "");
    assert!((1.0..=8.0).contains(&streams), "{streams}");
    assert_unviolated(&gateway);
}

#[test]
fn another_publisher_takes_over_and_the_deposed_one_is_not_heard() {
    let Some(nats) = Nats::start("takeover") else { return };
    let first = Publisher::start(&nats, &SIM);
    first.until_leader();
    let second = Publisher::start(&nats, &SIM);
    let gateway = gateway(&nats);
    gateway.until_ready();
    let (mut socket, mut seen) = (subscribe(&gateway), Seen::default());
    first.until_leader_before(&second);
    until(&mut socket, &mut seen, "prices of the first publisher", LIVE);
    let epoch = seen.epoch;

    // It does not notice what happens to it.
    first.signal("-STOP");
    until(&mut socket, &mut seen, "prices of the second publisher", |seen| {
        seen.epoch > epoch && LIVE(seen)
    });
    assert!(seen.states.iter().any(|state| state == "stale"), "{:?}", seen.states);
    second.until_leader();
    let (epoch, fresh) = (seen.epoch, seen.fresh);
    first.signal("-CONT");
    // It goes on under its old run for a moment; nothing of it comes through (`Seen` would tell).
    until(&mut socket, &mut seen, "further prices", |seen| seen.fresh > fresh + 50);
    // The second one has lost it again only where the machine stood still for so long.
    let is_as_before = !first.is_leader() && seen.epoch == epoch;
    assert!(is_as_before || !second.is_leader(), "{} after {epoch}", seen.epoch);

    drop(second);
    first.until_leader();
    until(&mut socket, &mut seen, "prices of the first one again", |seen| {
        seen.epoch > epoch && LIVE(seen)
    });
    assert_unviolated(&gateway);
}

#[test]
fn a_restarted_nats_server_needs_no_restart_of_ours() {
    let Some(mut nats) = Nats::start("restart") else { return };
    let (_publisher, gateway, mut socket, mut seen) = live(&nats);
    let stale = |seen: &Seen| seen.states.iter().filter(|state| *state == "stale").count();
    let before = stale(&seen);
    nats.kill();
    until(&mut socket, &mut seen, "stale", |seen| stale(seen) > before);
    nats.start_again();
    until(&mut socket, &mut seen, "prices after the restart", LIVE);
    assert_unviolated(&gateway);
}

#[test]
fn a_nats_server_that_has_lost_its_store_begins_with_a_later_run() {
    let Some(mut nats) = Nats::start("lost") else { return };
    let (_publisher, gateway, mut socket, mut seen) = live(&nats);
    let (epoch, told) = (seen.epoch, seen.states.len());
    nats.kill();
    nats.lose_store();
    nats.start_again();
    until(&mut socket, &mut seen, "prices of a later run", |seen| seen.epoch > epoch && LIVE(seen));
    assert!(seen.states[told..].iter().any(|state| state == "stale"), "{:?}", seen.states);
    assert_unviolated(&gateway);
}

#[test]
fn a_store_that_is_removed_under_a_running_server_does_not_keep_another_from_taking_over() {
    let Some(nats) = Nats::start("removed") else { return };
    let (first, gateway, mut socket, mut seen) = live(&nats);
    let second = Publisher::start(&nats, &SIM);
    second.until_metric("tickcast_bus_connected", |is_connected| is_connected == 1.0);
    let epoch = seen.epoch;
    nats.lose_store();
    drop(first);
    second.until_leader();
    until(&mut socket, &mut seen, "prices of a later run", |seen| seen.epoch > epoch && LIVE(seen));
    assert_unviolated(&gateway);
}

#[test]
fn a_user_and_password_in_the_url_are_used() {
    let Some(nats) = Nats::start_guarded("guarded", "sesame") else { return };
    let publisher = Publisher::start(&nats, &SIM);
    publisher.until_leader();
    gateway(&nats).until_ready();
}

#[test]
fn what_another_publisher_does_not_have_is_stale() {
    let Some(nats) = Nats::start("fewer") else { return };
    let more = Publisher::start(&nats, &["--sim-instruments", "9", "--sim-rate", "100"]);
    let gateway = gateway(&nats);
    gateway.until_ready();
    let deadline = Instant::now() + PATIENCE;
    while names(&gateway).len() < 9 {
        assert!(Instant::now() < deadline, "only {:?}", names(&gateway));
        std::thread::sleep(LOOK);
    }
    drop(more);
    let _fewer = Publisher::start(&nats, &SIM);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let list = gateway.json("/v1/instruments");
        let list = list["instruments"].as_array().expect("a list").iter();
        let states: Vec<&str> = list.map(|one| one["state"].as_str().expect("text")).collect();
        let count = |state| states.iter().filter(|other| **other == state).count();
        if (count("live"), count("stale")) == (5, 4) {
            return;
        }
        assert!(Instant::now() < deadline, "{states:?}");
    }
}

#[test]
fn what_a_publisher_lists_later_is_asked_for_again() {
    let Some(feeds) = service::feeds() else { return };
    let Some(nats) = Nats::start("later") else { return };
    let (publisher, gateway, mut socket, mut seen) = live(&nats);
    let epoch = seen.epoch;
    drop(publisher);
    // This one has another venue's instruments, and then is another process with ours.
    let file = feeds.join("recordings/coinbase_exchange_2sym_10s.rec.gz");
    let other = Publisher::start(&nats, &["--replay", file.to_str().expect("a path of text")]);
    other.until_leader();
    until(&mut socket, &mut seen, "stale", |seen| !seen.is_live());
    drop(other);
    let _ours = Publisher::start(&nats, &SIM);
    until(&mut socket, &mut seen, "prices again", |seen| seen.epoch > epoch && LIVE(seen));
    assert_unviolated(&gateway);
}

#[test]
fn a_process_without_a_bus_says_what_it_needs() {
    for shape in ["publish", "gateway"] {
        for (args, words) in [
            (vec![shape], "bus: say where it is"),
            (vec![shape, "--bus", "here"], "bus.url: \"here\" is not an address"),
        ] {
            let mut command = Command::new(env!("CARGO_BIN_EXE_tickcast"));
            let output = command.args(&args).output().expect("the binary starts");
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
            assert!(said.contains(words), "{args:?}: {said}");
        }
    }
}
