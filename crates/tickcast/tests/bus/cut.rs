//! Publishers and gateways that are cut from NATS alone, or read too slowly from it.

use crate::line::Line;
use crate::nats::Nats;
use crate::processes::{Publisher, gateway, gateway_on};
use crate::seen::{LIVE, Seen, assert_undisturbed, assert_unviolated, subscribe, until};
use crate::service::{LOOK, PATIENCE, Service};
use crate::{ALL, SIM, names};
use serde_json::Value;
use std::collections::HashMap;
use std::process::Command;
use std::time::Instant;

/// Waits until both have shown every stream at the same epoch and seq, and was the same there.
pub(crate) fn assert_same_states(one: &Service, other: &Service) {
    let symbols = names(one).join(",");
    for (channel, options) in ALL {
        let path = format!("/v1/snapshot?channel={channel}&symbol={symbols}{options}");
        let (mut seen, mut compared) = (HashMap::<String, Value>::new(), Vec::<String>::new());
        let deadline = Instant::now() + PATIENCE;
        while compared.len() < names(one).len() {
            assert!(Instant::now() < deadline, "{channel}: only {compared:?} at the same seq");
            for (is_other, service) in [(false, one), (true, other)] {
                let (status, body) = service.get(&path);
                // A stream that it has not been told of yet.
                if status == 503 {
                    continue;
                }
                assert_eq!(status, 200, "{path}: {body}");
                let answer: Value = serde_json::from_str(&body).expect("JSON");
                for item in answer["data"].as_array().expect("a list of items") {
                    let mut item = item.clone();
                    let fields = item.as_object_mut().expect("an item");
                    // How sure a gateway is of what it holds is its own affair.
                    ["ts_publish", "state"].iter().for_each(|field| drop(fields.remove(*field)));
                    let symbol = fields["symbol"].as_str().expect("text").to_owned();
                    let at = format!("{is_other} {symbol} {} {}", fields["epoch"], fields["seq"]);
                    let there = at.replacen(&is_other.to_string(), &(!is_other).to_string(), 1);
                    if let Some(held) = seen.get(&there) {
                        assert_eq!(held, &item, "{channel}: two states at one seq");
                        if !compared.contains(&symbol) {
                            compared.push(symbol);
                        }
                    }
                    seen.insert(at, item);
                }
            }
        }
    }
}

#[test]
fn a_publisher_cut_from_nats_is_deposed_and_not_heard_when_it_is_back() {
    let Some(nats) = Nats::start("cut-publisher") else { return };
    let line = Line::to(nats.address());
    let first = Publisher::start_on(&line.url(), &SIM);
    first.until_leader();
    let second = Publisher::start(&nats, &SIM);
    let gateway = gateway(&nats);
    gateway.until_ready();
    let (mut socket, mut seen) = (subscribe(&gateway), Seen::default());
    first.until_leader_before(&second);
    until(&mut socket, &mut seen, "prices of the first publisher", LIVE);
    let epoch = seen.epoch;

    // It is cut, and its venues go on: what it sends waits on the line.
    let told = seen.states.len();
    line.silence();
    let cut = Instant::now();
    until(&mut socket, &mut seen, "prices of the second publisher", |seen| {
        seen.epoch > epoch && LIVE(seen)
    });
    println!("prices of the standby {:?} after the cut", cut.elapsed());
    assert!(seen.states[told..].iter().any(|state| state == "stale"), "{:?}", seen.states);
    second.until_leader();
    first.until_metric("tickcast_bus_leader", |leader| leader == 0.0);

    // What had waited arrives, of a run that has ended; `Seen` would tell of any of it.
    let (epoch, fresh) = (seen.epoch, seen.fresh);
    line.heal();
    first.until_metric("tickcast_bus_connected", |connected| connected == 1.0);
    until(&mut socket, &mut seen, "further prices", |seen| seen.fresh > fresh + 50);
    // The second one has lost it again only where the machine stood still for so long.
    let is_as_before = !first.is_leader() && seen.epoch == epoch;
    assert!(is_as_before || !second.is_leader(), "{} after {epoch}", seen.epoch);

    // It is a standby as any other.
    drop(second);
    first.until_leader();
    until(&mut socket, &mut seen, "prices of the first one again", |seen| {
        seen.epoch > epoch && LIVE(seen)
    });
    assert_unviolated(&gateway);
}

#[test]
fn a_gateway_cut_from_nats_alone_is_stale_and_recovers() {
    let Some(nats) = Nats::start("cut-gateway") else { return };
    let _publisher = Publisher::start(&nats, &SIM);
    let line = Line::to(nats.address());
    let (cut, other) = (gateway_on(&line.url(), &[]), gateway(&nats));
    cut.until_ready();
    other.until_ready();
    let (mut socket, mut seen) = (subscribe(&cut), Seen::default());
    let (mut untouched, mut others) = (subscribe(&other), Seen::default());
    until(&mut untouched, &mut others, "prices", LIVE);
    for fault in [Line::silence, Line::cut] {
        until(&mut socket, &mut seen, "prices", LIVE);
        let before = seen.stale();
        fault(&line);
        until(&mut socket, &mut seen, "stale", |seen| seen.stale() > before);
        let fresh = others.fresh;
        until(&mut untouched, &mut others, "prices elsewhere", |seen| seen.fresh > fresh + 20);
        line.heal();
    }
    until(&mut socket, &mut seen, "prices after all", LIVE);
    // The publisher is the same for both.
    let epoch = seen.epoch;
    until(&mut untouched, &mut others, "prices as there", |others| others.epoch >= epoch);
    assert_undisturbed(&other, &others);
    assert_same_states(&cut, &other);
    assert_unviolated(&cut);
}

#[test]
fn a_gateway_that_nats_drops_as_a_slow_consumer_ends_with_the_publishers_state() {
    // The server waits so long for room on a connection, then it ends it.
    let Some(nats) = Nats::start_with("slow", "write_deadline: \"1s\"") else { return };
    let busy = ["--sim-instruments", "10", "--sim-rate", "5000"];
    let _publisher = Publisher::start(&nats, &busy);
    let line = Line::to(nats.address());
    let (slow, other) = (gateway_on(&line.url(), &[]), gateway(&nats));
    slow.until_ready();
    other.until_ready();
    let mut socket = subscribe(&slow);
    let mut seen = Seen::default();
    for channel in ["book", "trades"] {
        let depth = if channel == "book" { r#","depth":25"# } else { "" };
        socket.send(&format!(
            r#"{{"method":"subscribe","params":{{"channel":"{channel}","symbol":["sim:*"]{depth}}}}}"#
        ));
    }
    until(&mut socket, &mut seen, "prices", LIVE);
    let before = seen.stale();
    let signal = |name: &str| {
        let pid = slow.pid().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().expect("kill runs").success());
    };
    // On a busy machine it may have been dropped before.
    let dropped = || nats.log().matches("Slow Consumer").count();
    let dropped_before = dropped();
    let stopped = Instant::now();
    signal("-STOP");
    let deadline = Instant::now() + PATIENCE;
    while dropped() == dropped_before {
        assert!(Instant::now() < deadline, "not dropped: {}", nats.log());
        std::thread::sleep(LOOK);
    }
    println!("dropped after {:?}", stopped.elapsed());
    signal("-CONT");
    until(&mut socket, &mut seen, "stale", |seen| seen.stale() > before);
    until(&mut socket, &mut seen, "prices again", LIVE);
    println!("live again after {:?}", stopped.elapsed());
    assert_same_states(&slow, &other);
    assert_unviolated(&slow);
}
