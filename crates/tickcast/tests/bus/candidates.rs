//! Who takes and who keeps the lease: a publisher that has prices, and one that has none only where
//! nobody else does.

use crate::SIM;
use crate::nats::Nats;
use crate::processes::Publisher;
use crate::service::{PATIENCE, get, until_ready};
use crate::source::Source;
use std::path::Path;
use std::time::Instant;

/// A publisher of a venue that cannot be reached.
fn without_prices(nats: &Nats) -> Publisher {
    let name = format!("unreachable-{}.toml", std::process::id());
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let venue = "[venues.kraken]\nws_url = \"ws://127.0.0.1:9/v2\"\nsymbols = [\"BTC-USD\"]\n";
    std::fs::write(&file, venue).expect("a writable target folder");
    let file = file.to_str().expect("a path of text");
    let publisher = Publisher::start(nats, &["--feed", "kraken", "--config", file]);
    std::fs::remove_file(file).expect("it was read before the address was told");
    publisher
}

#[test]
fn a_publisher_without_prices_leads_only_where_nobody_has_any() {
    let Some(nats) = Nats::start("candidates") else { return };
    let first = Publisher::start(&nats, &SIM);
    first.until_leader();
    let empty = without_prices(&nats);
    empty.until_metric("tickcast_bus_connected", |connected| connected == 1.0);
    let standby = Publisher::start(&nats, &SIM);
    until_ready(standby.admin);
    drop(first);
    standby.until_leader();
    assert_eq!(empty.metric("tickcast_bus_leader"), 0.0);
    // Better told that everything is stale than nothing.
    drop(standby);
    empty.until_leader();
}

#[test]
fn a_leader_that_loses_its_venues_gives_the_lease_to_one_that_has_prices() {
    let Some(nats) = Nats::start("relief") else { return };
    let silent = ["--feed", "nats", "--subject", "prices.>", "--feed-nats-silence", "300ms"];
    let (leader, mut source) = (Publisher::start(&nats, &silent), Source::connect(&nats));
    let price = br#"{"symbol":"A","instrument":{"price_scale":2},"quote":{"bid":["1.00","1"]}}"#;
    let mut until = |what: &str, condition: &dyn Fn() -> bool| {
        let deadline = Instant::now() + PATIENCE;
        while !condition() {
            source.publish("prices.a", price);
            assert!(Instant::now() < deadline, "not {what}");
        }
    };
    until("leading", &|| leader.metric("tickcast_bus_leader") == 1.0);
    let standby = Publisher::start(&nats, &SIM);
    let is_ready = |one: &Publisher| get(one.admin, "/readyz?strict").0 == 200;
    until("both ready", &|| is_ready(&leader) && is_ready(&standby));
    assert_eq!(leader.metric("tickcast_bus_leader"), 1.0, "it has prices, and keeps the lease");
    // Its source falls silent.
    leader.until_logged("lease: no venue is live here, ");
    standby.until_leader();
    leader.until_metric("tickcast_bus_leader", |leads| leads == 0.0);
}
