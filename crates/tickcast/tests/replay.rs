//! Every recording through the real binary: what subscribers and REST see in the end is what an
//! independent replay with plain dictionaries ended with.

mod held;
mod service;

use held::{Expected, Held, levels, take};
use service::{PATIENCE, Service, Socket};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

/// Replays one recording for one subscriber and compares.
fn check(name: &str) {
    let Some(feeds) = service::feeds() else { return };
    let expected = Expected::of(&feeds, name);
    let venue = &expected.venue;
    let file = feeds.join("recordings").join(name);
    let service = start(&file);

    let mut socket = service.websocket();
    for channel in ["trades", "book"] {
        socket.send(&format!(
            r#"{{"method":"subscribe","params":{{"channel":"{channel}","symbol":"{venue}:*"}}}}"#
        ));
    }
    let symbols = &expected.symbols;
    let mut held = BTreeMap::new();
    let names = until_over(&service, &mut socket, &mut held, symbols.keys());

    for (venue_symbol, truth) in symbols {
        let symbol = &names[venue_symbol];
        let of = &held[symbol];
        assert_eq!(of.state, "stale", "{symbol} at the end of a recording");
        let snapshot = service.json(&format!("/v1/snapshot?channel=book&depth=10&symbol={symbol}"));
        let item = &snapshot["data"][0];
        for side in ["bids", "asks"] {
            assert_eq!(levels(&item[side]), levels(&truth[side]), "{symbol} {side} over REST");
            assert_eq!(of.levels(side), levels(&truth[side]), "{symbol} {side} of a subscriber");
        }
        assert_eq!(item["checksum"], of.checksum, "{symbol}");
        // A change below the view makes no frame there.
        assert!(item["seq"].as_u64() >= Some(of.book.seq), "{symbol}");
        if let Some(trades) = truth["trades"].as_u64() {
            let missed = (1..=of.trades.seq).filter(|seq| !of.seen.contains(seq)).count() as u64;
            assert_eq!(of.seen.len() as u64 + missed, trades, "{symbol} trades, {missed} missed");
        }
        if let Some(right) = truth["checksums_ok"].as_u64() {
            let books = service.metric("tickcast_feed_messages_total", "kind=\"book\"");
            let wrong = service.metric("tickcast_feed_checksum_failures_total", "");
            assert_eq!((books as u64, wrong as u64), (right, 0), "{symbol}");
            assert_eq!(item["checksum"], truth["last_checksum"], "{symbol}");
        }
    }
    assert_eq!(service.metric("tickcast_feed_decode_errors_total", ""), 0.0);
}

fn start(file: &Path) -> Service {
    let file = file.to_str().expect("a path of text");
    Service::start(&["--replay", file, "--replay-speed", "max", "--replay-wait"])
}

/// Reads until the recording is over and the subscriber holds what REST shows: a status comes before
/// the data that are owed with it. The names of the venue's symbols.
fn until_over<'a>(
    service: &Service,
    socket: &mut Socket,
    held: &mut BTreeMap<String, Held>,
    wanted: impl Iterator<Item = &'a String>,
) -> BTreeMap<String, String> {
    let wanted: Vec<&String> = wanted.collect();
    let deadline = Instant::now() + PATIENCE;
    loop {
        while let Some(text) = socket.next() {
            take(held, &text);
        }
        assert!(Instant::now() < deadline, "it does not end, or not here: {:?}", service.log());
        // Books may be stale in the midst of a recording too.
        if service.metric("tickcast_feed_state", "state=\"stopped\"") == 0.0 {
            continue;
        }
        let mut names = BTreeMap::new();
        for instrument in service.json("/v1/instruments")["instruments"].as_array().expect("a list")
        {
            let text = |key: &str| instrument[key].as_str().expect("text").to_owned();
            names.insert(text("venue_symbol"), text("symbol"));
        }
        let is_over = wanted.iter().all(|symbol| {
            names.get(*symbol).and_then(|name| held.get(name)).is_some_and(|of| of.state == "stale")
        });
        if is_over && wanted.iter().all(|symbol| holds_all(service, &names[*symbol], held)) {
            return names;
        }
    }
}

/// Whether a subscriber has got the last trade and the last change of the book that it sees.
fn holds_all(service: &Service, symbol: &str, held: &BTreeMap<String, Held>) -> bool {
    let asked = |channel: &str| {
        let path = format!("/v1/snapshot?channel={channel}&symbol={symbol}");
        service.json(&path)["data"][0].take()
    };
    let (book, of) = (asked("book"), &held[symbol]);
    let has = |side: &str| of.levels(side) == levels(&book[side]);
    has("bids") && has("asks") && asked("trades")["seq"].as_u64() == Some(of.trades.seq)
}

macro_rules! recordings {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                check(concat!(stringify!($name), ".rec.gz"));
            }
        )*
    };
}

recordings! {
    binance_3sym_91s
    binance_4sym_30s
    binance_btcusdt_650s
    binance_ethusdt_650s
    coinbase_advanced_2sym_24s
    coinbase_exchange_10sym_31s
    coinbase_exchange_2sym_10s
    kraken_btcusd_d10_resub_60s
    kraken_btcusd_d25_51s
    kraken_ethusd_d25_39s
}
