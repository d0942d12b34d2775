//! The whole service against a venue that makes trouble: a mock venue plays a recording over real
//! sockets and loses, repeats, reorders, cuts, refuses; the real binary follows it live. Whatever
//! happens, the subscriber ends with the recording's books, was told that data was missing, and
//! never met a gap that the client's rule does not catch: the canary saw no promise broken.

mod held;
mod service;

use held::{Expected, Held, levels, take};
use service::{PATIENCE, Service, Socket};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;
use tickcast_feed::mock::{Fault, FaultPlan, MockConfig, MockVenue};

/// A run of the service beside a mock venue.
struct Run {
    what: String,
    expected: Expected,
    mock: MockVenue,
    service: Service,
    socket: Socket,
    held: BTreeMap<String, Held>,
    /// Our names by the venue's symbols.
    names: BTreeMap<String, String>,
    _runtime: tokio::runtime::Runtime,
}

impl Run {
    /// Starts both and waits until the subscriber has every book live, which is where the mock
    /// holds.
    fn start(recording: &str, fault: Option<Fault>, after: u64) -> Option<Run> {
        let feeds = service::feeds()?;
        let expected = Expected::of(&feeds, recording);
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let mut config = MockConfig::new(feeds.join("recordings").join(recording));
        config.hold_at = usize::try_from(after).ok();
        // A fault that makes the handler ask for something new, so that it can be refused.
        let faults = match fault {
            Some(Fault::Refuse) => vec![Fault::Refuse, Fault::Cut],
            other => other.into_iter().collect(),
        };
        config.faults = faults.into_iter().map(|fault| FaultPlan { fault, after }).collect();
        let mock = runtime.block_on(MockVenue::start(config)).expect("a mock venue");
        let what = format!("{recording} {fault:?} after {after}");
        let service = serve(&expected, &mock, &what);
        let mut socket = service.websocket();
        for channel in ["trades", "book"] {
            socket.send(&format!(
                r#"{{"method":"subscribe","params":{{"channel":"{channel}","symbol":"{}:*"}}}}"#,
                expected.venue
            ));
        }
        let mut run = Run {
            what,
            expected,
            mock,
            service,
            socket,
            held: BTreeMap::new(),
            names: BTreeMap::new(),
            _runtime: runtime,
        };
        run.until("every book is live", |run| {
            run.all(|held, _| held.state == "live" && !held.bids.is_empty())
        });
        Some(run)
    }

    /// Reads messages until `done`.
    fn until(&mut self, what: &str, done: impl Fn(&Run) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done(self) {
            if let Some(text) = self.socket.next() {
                take(&mut self.held, &text);
            } else {
                self.read_names();
            }
            if Instant::now() > deadline {
                let states: Vec<_> = self.held.iter().map(|(n, h)| (n, &h.states)).collect();
                let log = self.service.log().join("\n");
                panic!("{}: {what} does not come: {states:?}\n{log}", self.what);
            }
        }
    }

    fn read_names(&mut self) {
        let list = self.service.json("/v1/instruments");
        for instrument in list["instruments"].as_array().expect("a list") {
            let text = |key: &str| instrument[key].as_str().expect("text").to_owned();
            self.names.insert(text("venue_symbol"), text("symbol"));
        }
    }

    fn all(&self, test: impl Fn(&Held, &serde_json::Value) -> bool) -> bool {
        self.expected.symbols.iter().all(|(venue_symbol, truth)| {
            let held = self.names.get(venue_symbol).and_then(|name| self.held.get(name));
            held.is_some_and(|held| test(held, truth))
        })
    }

    /// Lets the venue play to its end and judges.
    fn finish(mut self, must_be_told: bool) {
        let told_before: BTreeMap<String, usize> =
            self.held.iter().map(|(name, held)| (name.clone(), held.states.len())).collect();
        self.mock.release();
        self.until("the recording's final books", |run| {
            run.mock.status().is_finished()
                && run.all(|held, truth| {
                    held.state == "live"
                        && ["bids", "asks"]
                            .iter()
                            .all(|side| held.levels(side) == levels(&truth[*side]))
                })
        });
        for (venue_symbol, truth) in &self.expected.symbols {
            let name = &self.names[venue_symbol];
            let path = format!("/v1/snapshot?channel=book&depth=10&symbol={name}");
            let snapshot = self.service.json(&path);
            for side in ["bids", "asks"] {
                let shown = levels(&snapshot["data"][0][side]);
                assert_eq!(shown, levels(&truth[side]), "{}: {name} {side} over REST", self.what);
            }
        }
        let was_told = self.held.iter().any(|(name, held)| {
            let before = told_before.get(name).copied().unwrap_or(0);
            held.states[before..].iter().any(|state| ["stale", "resync"].contains(&state.as_str()))
        });
        assert!(was_told || !must_be_told, "{}: nobody was told that data was missing", self.what);
        let broken = self.service.metric("tickcast_canary_violations_total", "");
        let log = || self.service.log().join("\n");
        assert_eq!(broken, 0.0, "{}: the canary saw our own stream at fault\n{}", self.what, log());
        let fired = self.mock.status().fired;
        assert_eq!(fired.is_empty(), !self.what.contains("Some"), "{}: {fired:?}", self.what);
    }
}

/// The real binary with the venue's URLs in its configuration.
fn serve(expected: &Expected, mock: &MockVenue, what: &str) -> Service {
    let symbols: Vec<String> = expected
        .symbols
        .keys()
        .filter_map(|symbol| tickcast_market::split_venue_symbol(symbol))
        .map(|(base, quote)| format!("{base}-{quote}"))
        .collect();
    let config = format!(
        "[venues.{}]\nws_url = \"{}\"\nrest_url = \"{}\"\nsymbols = {symbols:?}\n",
        expected.venue,
        mock.ws_url(),
        mock.rest_url(),
    );
    let name: String = what.chars().filter(char::is_ascii_alphanumeric).collect();
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.toml"));
    std::fs::write(&file, config).expect("a writable target folder");
    let file = file.to_str().expect("a path of text");
    Service::start(&["--feed", &expected.venue, "--config", file])
}

/// A run without trouble, then each kind of trouble at a moment from a seed.
fn check(recording: &str, messages: u64) {
    let mut random = fastrand::Rng::with_seed(7);
    let Some(run) = Run::start(recording, None, messages / 2) else { return };
    run.finish(false);
    for fault in [
        Fault::Drop(3),
        Fault::Duplicate,
        Fault::Reorder,
        Fault::Silence(None),
        Fault::Cut,
        Fault::Garbage,
        Fault::Refuse,
        Fault::Crossed,
    ] {
        let after = random.u64(messages / 4..messages / 2);
        let run = Run::start(recording, Some(fault), after).expect("the feeds were there before");
        let must_be_told = match fault {
            Fault::Silence(_) | Fault::Cut | Fault::Refuse | Fault::Crossed => true,
            // A lost Kraken update may be one that the next ones make good.
            Fault::Drop(_) => !recording.starts_with("kraken"),
            _ => false,
        };
        run.finish(must_be_told);
    }
}

#[test]
fn binance_ends_right_whatever_happens() {
    check("binance_4sym_30s.rec.gz", 265);
}

#[test]
fn coinbase_ends_right_whatever_happens() {
    check("coinbase_advanced_2sym_24s.rec.gz", 1000);
}

#[test]
fn coinbase_exchange_ends_right_whatever_happens() {
    check("coinbase_exchange_2sym_10s.rec.gz", 400);
}

#[test]
fn kraken_ends_right_whatever_happens() {
    check("kraken_btcusd_d25_51s.rec.gz", 2000);
}

/// The other recordings, without trouble.
#[test]
fn the_other_recordings_end_right_through_the_venue() {
    for (recording, messages) in [
        ("binance_3sym_91s.rec.gz", 4716),
        ("binance_btcusdt_650s.rec.gz", 99_573),
        ("binance_ethusdt_650s.rec.gz", 79_743),
        ("coinbase_exchange_10sym_31s.rec.gz", 9946),
        ("kraken_btcusd_d10_resub_60s.rec.gz", 377),
        ("kraken_ethusd_d25_39s.rec.gz", 1170),
    ] {
        let Some(run) = Run::start(recording, None, messages / 2) else { return };
        run.finish(false);
    }
}
