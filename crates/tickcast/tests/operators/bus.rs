//! The bus as operators see it: a publisher and a gateway on a real nats-server, scraped by a real
//! Prometheus. What is expected to be empty beside one process has data here.

use crate::dashboards;
use crate::nats::Nats;
use crate::processes::{Publisher, gateway};
use crate::prometheus::{Prometheus, program};
use crate::proof::BUS;
use crate::service::{self, Service};
use crate::shipped::Shipped;
use std::collections::BTreeSet;
use std::net::SocketAddr;

/// Minutes of the rules are seconds here.
const DIVISOR: u64 = 60;
const SIM: [&str; 4] = ["--sim-instruments", "5", "--sim-rate", "100"];
const NO_LEADER: &str = "TickcastNoLeader";

#[test]
fn every_expression_of_the_bus_gives_data_and_a_bus_without_leader_is_an_alert() {
    let Some(program) = program() else { return };
    let Some(nats) = Nats::start("operators") else { return };
    let publisher = Publisher::start(&nats, &SIM);
    publisher.until_leader();
    let gateway = gateway(&nats);
    gateway.until_ready();
    let mut client = gateway.websocket();
    client.send(r#"{"method":"subscribe","params":{"channel":"ticker","symbol":["sim:*"]}}"#);
    let targets = [publisher.admin, gateway.admin];
    let prometheus = Prometheus::start(&program, Shipped::copy_shortened("bus", &targets, DIVISOR));

    for target in targets {
        assert_eq!(exported(target), BUS.into_iter().map(str::to_owned).collect(), "{target}");
    }
    for asked in dashboards::asked() {
        let is_of_bus = asked.place.starts_with("tickcast-bus / ")
            || asked.place.starts_with("tickcast-fresh / Bus");
        // Marks and lists of what there is are asked of one process already.
        if !is_of_bus || asked.label.is_some() || asked.place.contains(" / annotation / ") {
            continue;
        }
        prometheus.until(&asked.place, |prometheus| {
            let _still_served = client.next();
            let data = prometheus.query(&asked.expression).expect("an expression");
            (!data.is_empty()).then_some(())
        });
    }
    assert_eq!(prometheus.firing(NO_LEADER).len(), 0);

    let admin = publisher.admin;
    drop(publisher);
    prometheus.until("the alert", |prometheus| prometheus.firing(NO_LEADER).pop());
    let _again = again(&nats, admin);
    prometheus.until("its end", |prometheus| prometheus.firing(NO_LEADER).is_empty().then_some(()));
    let (status, _) = service::get(gateway.admin, "/readyz");
    assert_eq!(status, 200, "{:?}", Service::log(&gateway));
}

/// Another publisher at the address that is scraped.
fn again(nats: &Nats, admin: SocketAddr) -> Publisher {
    let admin = admin.to_string();
    let publisher = Publisher::start_at(nats, &admin, &SIM);
    publisher.until_leader();
    publisher
}

/// The metrics of the bus that a process has.
fn exported(admin: SocketAddr) -> BTreeSet<String> {
    let (_, text) = service::get(admin, "/metrics");
    let names = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    names.filter(|name| name.starts_with("tickcast_bus_")).map(str::to_owned).collect()
}
