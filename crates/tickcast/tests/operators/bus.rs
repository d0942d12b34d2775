//! The bus as operators see it: a publisher and a gateway on a real nats-server, scraped by a real
//! Prometheus. What is expected to be empty beside one process has data here.

use crate::dashboards;
use crate::nats::Nats;
use crate::processes::{Publisher, gateway};
use crate::prometheus::{Prometheus, program};
use crate::proof::BUS;
use crate::service::place::own_address;
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
    // Another one will be there in its place.
    let admin = own_address();
    let publisher = start_at(&nats, admin);
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
    let is_quiet = |prometheus: &Prometheus| prometheus.firing(NO_LEADER).is_empty().then_some(());
    // On a machine that stands still for seconds the lease is lost for a moment.
    prometheus.until("no alert", is_quiet);

    drop(publisher);
    prometheus.until("the alert", |prometheus| prometheus.firing(NO_LEADER).pop());
    let _again = start_at(&nats, admin);
    prometheus.until("its end", is_quiet);
    let (status, _) = service::get(gateway.admin, "/readyz");
    assert_eq!(status, 200, "{:?}", Service::log(&gateway));
}

/// A publisher at the address that is scraped.
fn start_at(nats: &Nats, admin: SocketAddr) -> Publisher {
    let publisher = Publisher::start_at(nats, &admin.to_string(), &SIM);
    publisher.until_leader();
    publisher
}

/// The metrics of the bus that a process has.
fn exported(admin: SocketAddr) -> BTreeSet<String> {
    let (_, text) = service::get(admin, "/metrics");
    let names = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    names.filter(|name| name.starts_with("tickcast_bus_")).map(str::to_owned).collect()
}
