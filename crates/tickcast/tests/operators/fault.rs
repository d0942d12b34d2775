//! A venue is cut off, and the shipped alert fires and clears in a real Prometheus; a process drains
//! and starts anew, and the dashboards mark it.
//!
//! For the alert the rules are the shipped ones with every `for:` and window divided by [`DIVISOR`], so that a
//! minute is two seconds.

use crate::dashboards;
use crate::prometheus::{Prometheus, program};
use crate::service::place::own_address;
use crate::service::{self, Service, Socket};
use crate::shipped::Shipped;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tickcast_feed::mock::{MockConfig, MockVenue};
use tokio::runtime::Runtime;

const ALERT: &str = "TickcastFeedStale";
const VENUE: &str = "kraken";
const RECORDING: &str = "kraken_btcusd_d25_51s.rec.gz";
const DIVISOR: u64 = 30;

#[test]
fn an_alert_fires_when_the_venue_is_cut_off_and_clears_when_it_is_back() {
    let (Some(program), Some(feeds)) = (program(), service::feeds()) else { return };
    let recording = feeds.join("recordings").join(RECORDING);
    let runtime = Runtime::new().expect("a runtime");
    let address = own_address();
    let venue = open(&runtime, &recording, address);
    let file = configuration(&venue);
    let service = Service::start(&["--feed", "sim", "--feed", VENUE, "--config", &file]);
    std::fs::remove_file(&file).expect("it was read before the address was told");
    service.until_ready();
    let shipped = Shipped::copy_shortened("fault", &[service.admin], DIVISOR);
    let prometheus = Prometheus::start(&program, shipped);
    let live = format!("tickcast_feed_state{{venue=\"{VENUE}\",state=\"live\"}} == 1");
    let is_live = |prometheus: &Prometheus| {
        let found = prometheus.query(&live).expect("an expression");
        (!found.is_empty()).then_some(())
    };
    let is_quiet = |prometheus: &Prometheus| prometheus.firing(ALERT).is_empty().then_some(());
    prometheus.until("a venue that is live", is_live);
    prometheus.until("nothing that is wrong", is_quiet);

    drop(venue);
    let alert = prometheus.until("an alert", |prometheus| prometheus.firing(ALERT).pop());
    assert_eq!(alert["labels"]["venue"], VENUE);
    assert_eq!(alert["labels"]["instance"], service.admin.to_string());
    assert_eq!(alert["labels"]["severity"], "page");
    let summary = alert["annotations"]["summary"].as_str().expect("words");
    let expect = format!("The feed of {VENUE} on {} is not live", service.admin);
    assert_eq!(summary, expect);
    assert_eq!(prometheus.firing(ALERT).len(), 1, "the simulator's feed is well");

    let _venue = open(&runtime, &recording, address);
    prometheus.until("the end of the alert", is_quiet);
    prometheus.until("a venue that is live again", is_live);
}

/// Clients to be sent away, each at a moment of its own within the window.
const LEAVERS: usize = 20;

#[test]
fn a_drain_and_a_restart_are_marked() {
    let Some(program) = program() else { return };
    let args = ["--sim-instruments", "5", "--drain-window", "10s"];
    let (public, admin) = (own_address(), own_address());
    let mut service = Service::begin(public, admin, &args).listening();
    let prometheus = Prometheus::start(&program, Shipped::copy("marks", &[admin]));
    let mark = |name: &str| {
        let place = format!("tickcast-fresh / annotation / {name}");
        let asked = dashboards::asked().into_iter().find(|asked| asked.place == place);
        asked.expect("an annotation").expression
    };
    let is_marked = |expression: &str| {
        let found = prometheus.query(expression).expect("an expression");
        found.iter().any(|sample| sample["metric"]["instance"] == admin.to_string()).then_some(())
    };
    prometheus.until("a scrape", |_| is_marked("up == 1"));
    assert_eq!(is_marked(&mark("Restarts")), None);
    assert_eq!(is_marked(&mark("Drains")), None);

    let _leavers: Vec<Socket> = (0..LEAVERS).map(|_| service.websocket()).collect();
    service.ask_to_stop();
    prometheus.until("the mark of a drain", |_| is_marked(&mark("Drains")));
    assert_eq!(service.wait(), Some(0), "exit code of the service");
    let _anew = Service::begin(public, admin, &args).listening();
    prometheus.until("the mark of a restart", |_| is_marked(&mark("Restarts")));
}

/// A venue that plays a recording.
fn open(runtime: &Runtime, recording: &Path, listen: SocketAddr) -> MockVenue {
    let config = MockConfig { listen, ..MockConfig::new(recording) };
    runtime.block_on(MockVenue::start(config)).expect("a mock venue")
}

/// A file that sends the feed there.
fn configuration(venue: &MockVenue) -> String {
    let text = format!(
        "[venues.{VENUE}]\nws_url = \"{}\"\nrest_url = \"{}\"\nsymbols = [\"BTC-USD\"]\n",
        venue.ws_url(),
        venue.rest_url(),
    );
    let name = format!("operators-fault-{}.toml", std::process::id());
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&file, text).expect("a writable target folder");
    file.to_str().expect("a path of text").to_owned()
}
