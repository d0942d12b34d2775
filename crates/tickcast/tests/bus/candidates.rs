//! Who takes the lease: a publisher that has prices, and one that has none where nobody else does.

use crate::SIM;
use crate::nats::Nats;
use crate::processes::Publisher;
use crate::service::{LOOK, PATIENCE, get};
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

fn until_strictly_ready(publisher: &Publisher) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (status, said) = get(publisher.admin, "/readyz?strict");
        if status == 200 {
            return;
        }
        assert!(Instant::now() < deadline, "not ready: {said}");
        std::thread::sleep(LOOK);
    }
}

#[test]
fn a_publisher_without_prices_leads_only_where_nobody_has_any() {
    let Some(nats) = Nats::start("candidates") else { return };
    let first = Publisher::start(&nats, &SIM);
    first.until_leader();
    let empty = without_prices(&nats);
    empty.until_metric("tickcast_bus_connected", |connected| connected == 1.0);
    let standby = Publisher::start(&nats, &SIM);
    until_strictly_ready(&standby);
    drop(first);
    standby.until_leader();
    assert_eq!(empty.metric("tickcast_bus_leader"), 0.0);
    // Better told that everything is stale than nothing.
    drop(standby);
    empty.until_leader();
}
