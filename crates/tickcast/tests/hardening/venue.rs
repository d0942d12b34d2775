//! Row 18: what goes wrong at a venue is told, in time, and hurts only whom it concerns.

use crate::hostile::unharmed;
use crate::service::{PATIENCE, Service, Socket, feeds};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tickcast_feed::mock::{Fault, FaultPlan, MockConfig, MockVenue};

/// After how much silence a feed is stale, in seconds (the handler's deadline).
const KRAKEN_SILENCE_MAX: u64 = 10;

/// A service that follows a mock venue which holds at a message, where a fault waits.
struct Run {
    mock: MockVenue,
    service: Service,
    socket: Socket,
    states: BTreeMap<String, Vec<String>>,
    /// When the newest book was published and the newest state began, by the service's clock.
    published_us: u64,
    state_us: u64,
    symbols: usize,
    _runtime: tokio::runtime::Runtime,
}

impl Run {
    fn start(
        venue: &str,
        recording: &str,
        symbols: &[&str],
        fault: Fault,
        after: u64,
    ) -> Option<Run> {
        let folder = feeds()?;
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let mut config = MockConfig::new(folder.join("recordings").join(recording));
        config.hold_at = usize::try_from(after).ok();
        config.faults = vec![FaultPlan { fault, after }];
        let mock = runtime.block_on(MockVenue::start(config)).expect("a mock venue");
        let text = format!(
            "[venues.{venue}]\nws_url = \"{}\"\nrest_url = \"{}\"\nsymbols = {symbols:?}\n",
            mock.ws_url(),
            mock.rest_url(),
        );
        let name = format!("hardening-{venue}-{}.toml", fault.name());
        let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::write(&file, text).expect("a writable target folder");
        let file = file.to_str().expect("a path of text");
        let service = Service::start(&["--feed", venue, "--config", file]);
        let mut socket = service.websocket();
        socket.send(&format!(
            r#"{{"method":"subscribe","params":{{"channel":"book","symbol":"{venue}:*"}}}}"#
        ));
        let states = BTreeMap::new();
        let symbols = symbols.len();
        let mut run = Run {
            mock,
            service,
            socket,
            states,
            published_us: 0,
            state_us: 0,
            symbols,
            _runtime: runtime,
        };
        let deadline = Instant::now() + PATIENCE;
        let is_live = |run: &Run| {
            let live = run.states.values().filter(|told| told.last().is_some_and(|s| s == "live"));
            live.count() == run.symbols
        };
        while !is_live(&run) {
            assert!(Instant::now() < deadline, "{:?} {:?}", run.states, run.service.log());
            run.read();
        }
        Some(run)
    }

    /// Takes a message if one has come; what kind it was.
    fn read(&mut self) -> Option<String> {
        let text = self.socket.next()?;
        let message: Value = serde_json::from_str(&text).expect("a message is JSON");
        let channel = message["channel"].as_str().unwrap_or_default().to_owned();
        for item in message["data"].as_array().into_iter().flatten() {
            let Some(symbol) = item["symbol"].as_str() else { continue };
            let told = self.states.entry(symbol.to_owned()).or_default();
            if channel == "status" {
                told.push(item["state"].as_str().expect("a state").to_owned());
                self.state_us = item["ts_state"].as_u64().expect("a time");
            } else {
                self.published_us = item["ts_publish"].as_u64().expect("a time");
                // Who is not told that it is live knows that a price may be old.
                assert!(!told.is_empty(), "a price without its status: {text}");
            }
        }
        Some(channel)
    }
}

#[test]
fn row_18_a_silent_venue_is_told_as_stale_within_two_seconds_of_its_deadline() {
    let recording = "kraken_btcusd_d25_51s.rec.gz";
    let silence = Fault::Silence(None);
    let Some(mut run) = Run::start("kraken", recording, &["BTC-USD"], silence, 1_000) else {
        return;
    };
    run.mock.release();
    let mut last = Instant::now();
    while run.states["kraken:BTC-USD"].last().is_some_and(|state| state == "live") {
        assert!(last.elapsed() < PATIENCE, "it is told");
        if run.read().is_some_and(|channel| channel == "book") {
            last = Instant::now();
        }
    }
    let took = last.elapsed();
    assert_eq!(run.mock.status().fired, [silence]);
    let told = run.states["kraken:BTC-USD"].last().cloned();
    assert_eq!(told.as_deref(), Some("stale"));
    let snapshot = run.service.json("/v1/snapshot?channel=book&depth=10&symbol=kraken:BTC-USD");
    assert_ne!(snapshot["data"][0]["state"], "live", "a snapshot has the flag");
    let promised = Duration::from_secs(KRAKEN_SILENCE_MAX);
    println!(
        "row 18: stale told {took:.1?} after the last message, the deadline being {promised:?}"
    );
    // By the service's clock: a book may be read late here.
    let silent = Duration::from_micros(run.state_us - run.published_us);
    assert!(silent > promised - Duration::from_secs(2), "{silent:?}: not before its deadline");
    assert!(took < promised + Duration::from_secs(30), "{took:?}");
    unharmed(&run.service);
}

#[test]
fn row_18_a_gap_or_a_crossed_book_resyncs_that_instrument_alone() {
    let symbols = ["DOT-USDT", "BTC-USDT", "ETH-USDT"];
    for fault in [Fault::Drop(3), Fault::Crossed] {
        let run = Run::start("binance", "binance_3sym_91s.rec.gz", &symbols, fault, 2_400);
        let Some(mut run) = run else { return };
        let before: BTreeMap<String, usize> =
            run.states.iter().map(|(symbol, told)| (symbol.clone(), told.len())).collect();
        run.mock.release();
        let deadline = Instant::now() + PATIENCE;
        let concerned = |run: &Run| -> BTreeSet<String> {
            let told = run.states.iter().filter(|(symbol, told)| told.len() > before[*symbol]);
            told.map(|(symbol, _)| symbol.clone()).collect()
        };
        let is_over = |run: &Run| {
            let well = |told: &Vec<String>| told.last().is_some_and(|state| state == "live");
            run.mock.status().is_finished()
                && !concerned(run).is_empty()
                && run.states.values().all(well)
        };
        while !is_over(&run) {
            assert!(
                Instant::now() < deadline,
                "{fault:?} {:?} {:?}",
                run.states,
                run.service.log()
            );
            run.read();
        }
        assert_eq!(run.mock.status().fired, [fault]);
        let concerned = concerned(&run);
        println!(
            "row 18: {fault:?}: of {} instruments {concerned:?} was told and is live again",
            symbols.len()
        );
        assert_eq!(concerned.len(), 1, "{:?}", run.states);
        unharmed(&run.service);
    }
}
