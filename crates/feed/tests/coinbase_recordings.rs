//! Coinbase's recordings end with the books and trades of an independent replay; and a message
//! that is missing, repeated or unreadable is noticed.

#[path = "coinbase_kraken_witness/mod.rs"]
mod witness;

use tickcast_feed::{
    CoinbaseConfig, CoinbaseExchangeConfig, CoinbaseExchangeHandler, CoinbaseHandler, Replay,
    ReplaySpeed, Step, VenueConfig, handler_of,
};
use tickcast_market::{BookSide, Decimal, Nanos, Scales, Side, TradingState};
use witness::{Bench, Witness, assert_top_ten, feeds, replay};

const ADVANCED: &str = "coinbase_advanced_2sym_24s.rec.gz";

fn bench() -> Bench<CoinbaseHandler> {
    Bench::new(CoinbaseHandler::new(CoinbaseConfig::default()))
}

#[test]
fn the_recording_ends_with_the_expected_books_and_trades() {
    let mut bench = bench();
    let Some(expected) = replay(&mut bench, ADVANCED, |_, _| {}) else { return };
    for (symbol, expected) in expected.as_object().unwrap() {
        let name = format!("coinbase:{symbol}");
        assert_top_ten(&bench.witness, &name, expected);
        let seen = bench.witness.of(&name);
        assert_eq!(expected["trades"], seen.trades.len(), "{name}");
        assert!(seen.trades.is_sorted_by_key(|trade| trade.id), "oldest first");
        assert_eq!(seen.states, [TradingState::Live]);
        assert_eq!(seen.scales, Scales { price: 2, size: 8, volume: 8 });
        let spec = bench.witness.directory.find(&name).unwrap().spec.clone();
        assert_eq!(spec.tick_size, Some(Decimal { mantissa: 1, scale: 2 }));
        assert!(!seen.book.is_crossed());
    }
    assert_eq!(bench.tally.gaps, 0);
    assert_eq!(bench.decode_errors(), 0, "{:?}", bench.tally.decode_errors);
    assert_eq!(bench.messages("l2_data"), 775);
    let levels = |side| bench.witness.of("coinbase:BTC-USD").book.side(side).len();
    assert!(levels(BookSide::Bid) + levels(BookSide::Ask) > 45_000, "the whole book");
}

#[test]
fn the_published_side_is_the_aggressor_s() {
    let mut bench = bench();
    if replay(&mut bench, ADVANCED, |_, _| {}).is_none() {
        return;
    }
    // The recording's first new trade is at 65083.67, the best ask of the first snapshot, and
    // marked SELL: somebody bought.
    let trades = &bench.witness.of("coinbase:BTC-USD").trades;
    assert_eq!(
        (trades[0].id, trades[0].price.0, trades[0].side),
        (1_068_572_091, 6_508_367, Side::Buy)
    );
    assert!(trades[0].ts_event > Nanos::from_secs(1_786_309_548));
}

#[test]
fn a_message_that_is_missing_leaves_every_book_of_the_connection_in_doubt() {
    let mut bench = bench();
    // The number of one quiet message is changed, which is what its loss looks like.
    let replayed = replay(&mut bench, ADVANCED, |received, payload| {
        if received == 500 {
            let text = String::from_utf8(std::mem::take(payload)).unwrap();
            *payload = text.replace("\"sequence_num\":500,", "\"sequence_num\":501,").into_bytes();
        }
    });
    if replayed.is_none() {
        return;
    }
    for name in ["coinbase:BTC-USD", "coinbase:ETH-USD"] {
        let states = &bench.witness.of(name).states;
        assert_eq!(states, &[TradingState::Live, TradingState::Resync], "{name}");
    }
    assert!(bench.tally.gaps >= 1);
    let reconnects = bench.asked();
    assert_eq!(reconnects.iter().filter(|a| a.starts_with("reconnect 1.0")).count(), 1);
}

#[test]
fn a_snapshot_that_is_cut_is_counted_and_has_no_effect() {
    let mut bench = bench();
    let replayed = replay(&mut bench, ADVANCED, |_, payload| {
        if payload.len() > 4_000_000 {
            payload.truncate(4_000_000);
        }
    });
    if replayed.is_none() {
        return;
    }
    assert_eq!(bench.tally.decode_errors, [("not json", 1)]);
    assert!(bench.witness.of("coinbase:BTC-USD").book.is_empty());
    assert_eq!(bench.witness.of("coinbase:BTC-USD").states, []);
}

fn exchange() -> Bench<CoinbaseExchangeHandler> {
    Bench::new(CoinbaseExchangeHandler::new(CoinbaseExchangeConfig::default()))
}

#[test]
fn the_exchange_s_recordings_end_with_the_expected_books_and_trades() {
    for (recording, instruments, updates, matches) in [
        ("coinbase_exchange_10sym_31s.rec.gz", 10, 9719, 97),
        ("coinbase_exchange_2sym_10s.rec.gz", 2, 314, 61),
    ] {
        let mut bench = exchange();
        let Some(expected) = replay(&mut bench, recording, |_, _| {}) else { return };
        assert_eq!(expected.as_object().unwrap().len(), instruments);
        for (symbol, expected) in expected.as_object().unwrap() {
            let name = format!("coinbase-exchange:{symbol}");
            assert_top_ten(&bench.witness, &name, expected);
            let seen = bench.witness.of(&name);
            assert_eq!(expected["trades"], seen.trades.len(), "{name}");
            assert_eq!(seen.states, [TradingState::Live], "{name}");
            assert!(!seen.book.is_crossed());
        }
        assert_eq!(bench.messages("l2update"), updates);
        assert_eq!(bench.messages("match"), matches);
        assert_eq!(bench.tally.gaps, 0);
        assert_eq!(bench.decode_errors(), 0, "{:?}", bench.tally.decode_errors);
        assert!(bench.asked().is_empty());
    }
}

#[test]
fn a_match_that_is_missing_resyncs_its_product_alone() {
    let mut bench = exchange();
    let mut taken = 0;
    let replayed = replay(&mut bench, "coinbase_exchange_2sym_10s.rec.gz", |_, payload| {
        let text = std::str::from_utf8(payload).unwrap();
        if text.contains("\"type\":\"match\"") && text.contains("BTC-USD") {
            taken += 1;
            if taken == 10 {
                *payload = br#"{"type":"something new"}"#.to_vec();
            }
        }
    });
    if replayed.is_none() {
        return;
    }
    assert_eq!(bench.tally.gaps, 1);
    let states = |name| bench.witness.of(name).states.clone();
    let expected = [TradingState::Live, TradingState::Resync];
    assert_eq!(states("coinbase-exchange:BTC-USD"), expected);
    assert_eq!(states("coinbase-exchange:ETH-USD"), [TradingState::Live]);
    let asked = bench.asked().join("\n");
    assert!(asked.contains(
        r#"{"type":"unsubscribe","product_ids":["BTC-USD"],"channels":["level2_batch"]}"#
    ));
    assert!(!asked.contains("ETH-USD"), "{asked}");
}

#[test]
fn a_replay_ends_with_the_same_books_and_says_that_they_are_stale() {
    let Some(folder) = feeds() else { return };
    for (recording, name) in [
        (ADVANCED, "coinbase:ETH-USD"),
        ("coinbase_exchange_2sym_10s.rec.gz", "coinbase-exchange:ETH-USD"),
        ("kraken_btcusd_d25_51s.rec.gz", "kraken:BTC-USD"),
    ] {
        let handler = |venue| handler_of(venue, &VenueConfig::default());
        let path = folder.join("recordings").join(recording);
        let mut replay = Replay::open(&path, ReplaySpeed::Max, handler).unwrap();
        let mut witness = Witness::default();
        let end = loop {
            match replay.step(Nanos::from_secs(1_800_000_000), &mut witness) {
                Step::Fed { .. } => {}
                Step::Ended(error) => break error,
            }
        };
        assert!(end.is_none(), "{end:?}");
        let expected = std::fs::read(folder.join("recordings/EXPECTED.json")).unwrap();
        let expected: serde_json::Value = serde_json::from_slice(&expected).unwrap();
        let symbols = &expected[recording]["symbols"];
        let symbol = name.split_once(':').unwrap().1;
        let expected = symbols.get(symbol).unwrap_or(&symbols[symbol.replace('-', "/")]);
        assert_top_ten(&witness, name, expected);
        assert_eq!(witness.of(name).states, [TradingState::Live, TradingState::Stale]);
        assert_eq!(replay.take_tally().decode_errors, []);
    }
}
