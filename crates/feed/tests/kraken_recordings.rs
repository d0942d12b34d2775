//! Kraken's recordings end with the books of an independent replay, every checksum right; and
//! the ways in which they would not are noticed.

#[path = "coinbase_kraken_witness/mod.rs"]
mod witness;

use std::io::Read;
use tickcast_feed::{Handler, KrakenConfig, KrakenHandler};
use tickcast_market::{Scales, TradingState};
use witness::{Bench, FIRST, assert_top_ten, feeds, replay};

fn bench() -> Bench<KrakenHandler> {
    Bench::new(KrakenHandler::new(KrakenConfig::default()))
}

#[test]
fn every_checksum_of_the_recordings_is_right_and_they_end_with_the_expected_books() {
    for (recording, symbol, messages, scales) in [
        ("kraken_btcusd_d25_51s.rec.gz", "BTC/USD", 2052, (1, 8)),
        ("kraken_ethusd_d25_39s.rec.gz", "ETH/USD", 1129, (2, 8)),
        ("kraken_btcusd_d10_resub_60s.rec.gz", "BTC/USD", 301, (1, 8)),
    ] {
        let mut bench = bench();
        let mut last_checksum = String::new();
        let expected = replay(&mut bench, recording, |_, payload| {
            let text = std::str::from_utf8(payload).unwrap();
            if let Some(at) = text.find("\"checksum\":") {
                let digits = text[at + 11..].chars().take_while(char::is_ascii_digit);
                last_checksum = digits.collect();
            }
        });
        let Some(expected) = expected else { return };
        let expected = &expected[symbol];
        let name = format!("kraken:{}", symbol.replace('/', "-"));
        assert_eq!(bench.messages("book"), messages, "{recording}");
        assert_eq!(expected["checksums_ok"], messages, "{recording}");
        assert_eq!(bench.tally.checksum_failures, 0, "{recording}");
        assert_eq!(bench.decode_errors(), 0, "{:?}", bench.tally.decode_errors);
        assert_eq!(expected["last_checksum"].to_string(), last_checksum, "{recording}");
        let seen = bench.witness.of(&name);
        assert_eq!(seen.snapshots + seen.updates, messages, "each was checked and published");
        assert_eq!(seen.states.last(), Some(&TradingState::Live));
        let (price, size) = scales;
        assert_eq!(seen.scales, Scales { price, size, volume: size }, "as padded");
        assert_top_ten(&bench.witness, &name, expected);
        assert!(bench.asked().iter().all(|asked| asked.contains("instrument")), "{recording}");
    }
}

#[test]
fn a_resubscription_turns_the_pair_resync_until_its_snapshot_replaces_the_book() {
    let mut bench = bench();
    if replay(&mut bench, "kraken_btcusd_d10_resub_60s.rec.gz", |_, _| {}).is_none() {
        return;
    }
    let seen = bench.witness.of("kraken:BTC-USD");
    assert_eq!(seen.snapshots, 5);
    let expected = [TradingState::Live, TradingState::Resync];
    assert_eq!(seen.states, expected.repeat(5)[..9]);
}

#[test]
fn without_cutting_to_the_depth_checksums_fail() {
    let mut bench = bench();
    // Told a depth of 1000, the handler cuts nothing.
    let replayed = replay(&mut bench, "kraken_btcusd_d25_51s.rec.gz", |_, payload| {
        let text = String::from_utf8(std::mem::take(payload)).unwrap();
        *payload = text.replace("\"depth\":25", "\"depth\":1000").into_bytes();
    });
    if replayed.is_none() {
        return;
    }
    assert_eq!(bench.tally.checksum_failures, 1, "the book is dropped at the first one");
    assert_eq!(bench.witness.of("kraken:BTC-USD").states.last(), Some(&TradingState::Resync));
    assert!(bench.witness.of("kraken:BTC-USD").updates < 2051 - 1000);
}

#[test]
fn one_wrong_digit_anywhere_in_the_top_ten_is_noticed() {
    for (nth, from, to) in [(3, "63388.7", "63388.6"), (3, "0.25761908", "0.2576190")] {
        let mut bench = bench();
        let replayed = replay(&mut bench, "kraken_btcusd_d25_51s.rec.gz", |received, payload| {
            if received < nth {
                let text = String::from_utf8(std::mem::take(payload)).unwrap();
                *payload = text.replacen(from, to, 1).into_bytes();
            }
        });
        if replayed.is_none() {
            return;
        }
        assert_eq!(bench.tally.checksum_failures, 1);
        assert_eq!(bench.handler.venue().name(), "kraken");
        assert_eq!(bench.witness.of("kraken:BTC-USD").states.last(), None, "resync from the start");
    }
}

#[test]
fn the_recorded_list_of_pairs_is_registered_whole() {
    let Some(folder) = feeds() else { return };
    let file = folder.join("kraken/v2_instrument_snapshot_2024.json.gz");
    let mut list = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(file).unwrap())
        .read_to_string(&mut list)
        .unwrap();
    let config = KrakenConfig { symbols: vec!["*".into()], ..KrakenConfig::default() };
    let mut bench = Bench::new(KrakenHandler::new(config));
    bench.start().open(FIRST).on(FIRST, &list);
    assert_eq!(bench.decode_errors(), 0);
    assert!(bench.handler.is_complete());
    assert_eq!(bench.witness.directory.len(), 683);
    let spec = |name: &str| bench.witness.directory.find(name).unwrap().spec.clone();
    let euro = spec("kraken:EUR-USD");
    assert_eq!(euro.scales, Scales { price: 5, size: 8, volume: 8 });
    assert_eq!(euro.lot_size.unwrap().to_string(), "0.00000001", "from 1E-8");
    assert_eq!(spec("kraken:ETH2.S-ETH").venue_symbol, "ETH2.S/ETH");
    assert_eq!(bench.asked().iter().filter(|a| a.starts_with("connect")).count(), 1 + 6);
}
