//! What a scrape costs with 10,000 connections and 5,000 instruments: its size is asserted, its time
//! is shown (`cargo nextest run -p loadtest --test scrape --success-output immediate`).

mod kit;

use kit::{Running, Service, has_room_for};
use std::time::{Duration, Instant};

const CLIENTS: usize = 10_000;

/// A scraper should not notice it.
const SCRAPE_BYTES_MAX: usize = 1_000_000;

const SCRAPES: usize = 50;

#[test]
fn a_scrape_with_ten_thousand_connections_and_five_thousand_instruments_is_small() {
    if !has_room_for(CLIENTS as u64) {
        return;
    }
    let service = Service::start(&["--sim-instruments=5000", "--sim-rate=1000", "--shards=2"]);
    let connections = format!("--connections={CLIENTS}");
    let url = service.url();
    let args = ["steady", &url, &connections, "--symbols-per-connection=5", "--seconds=20"];
    let mut running = Running::start(&args);
    running.until_measuring();
    let (mut took, mut bytes) = (Vec::new(), 0);
    for _ in 0..SCRAPES {
        let begun = Instant::now();
        let text = service.scrape();
        took.push(begun.elapsed());
        bytes = bytes.max(text.len());
    }
    let connected = service.metric("tickcast_gateway_connections");
    let instruments = service.metric("tickcast_feed_instruments");
    let ran = running.end();
    took.sort_unstable();
    let at = |share: usize| took[(SCRAPES - 1) * share / 100];
    let [p50, p90, most] = [at(50), at(90), at(100)].map(|took: Duration| took.as_secs_f64() * 1e3);
    println!(
        "{SCRAPES} scrapes with {connected} connections and {instruments} instruments: {bytes} bytes; \
         p50 {p50:.2} ms, p90 {p90:.2} ms, at most {most:.2} ms"
    );
    assert_eq!(connected, CLIENTS as f64);
    assert_eq!(instruments, 5_000.0);
    assert!(bytes < SCRAPE_BYTES_MAX, "{bytes} bytes");
    ran.is_right();
}
