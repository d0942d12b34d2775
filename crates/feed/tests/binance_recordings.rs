//! Real recordings end with exactly what an independent replay with plain dictionaries ended with.

mod binance_support;

use binance_support::{Follower, open, play, recordings};
use serde_json::Value;
use tickcast_feed::ReplaySpeed;
use tickcast_market::{BookSide, Decimal, TradingState};

fn decimal(value: &Value) -> Decimal {
    Decimal::parse(value.as_str().expect("a text").as_bytes()).expect("a number").trimmed()
}

fn levels(value: &Value) -> Vec<(Decimal, Decimal)> {
    let levels = value.as_array().expect("a list");
    levels.iter().map(|level| (decimal(&level[0]), decimal(&level[1]))).collect()
}

fn check(general_only: bool) {
    let Some(folder) = recordings() else { return };
    let expected = std::fs::read_to_string(folder.join("EXPECTED.json")).unwrap();
    let expected: Value = serde_json::from_str(&expected).unwrap();
    let recordings = expected.as_object().unwrap();
    let ours = recordings.iter().filter(|(_, recording)| recording["venue"] == "binance");
    let mut checked = 0;
    for (file, recording) in ours {
        let mut replay = open(&folder.join(file), ReplaySpeed::Max, general_only);
        let mut follower = Follower::default();
        let received = play(&mut replay, &mut follower);
        let tally = replay.take_tally();
        assert_eq!(tally.messages.iter().map(|(_, count)| count).sum::<u64>(), received, "{file}");
        assert_eq!(tally.decode_errors, [], "{file}");
        assert_eq!(tally.gaps, 0, "{file}");
        assert_eq!(replay.take_reports(), (vec![], 0), "{file}");
        for (name, symbol) in recording["symbols"].as_object().unwrap() {
            let (base, quote) = tickcast_market::split_venue_symbol(name).unwrap();
            let (followed, instrument) = follower.get(&format!("{base}-{quote}"));
            assert_eq!(instrument.spec.venue_symbol, *name);
            assert_eq!(followed.top(BookSide::Bid), levels(&symbol["bids"]), "{file} {name}");
            assert_eq!(followed.top(BookSide::Ask), levels(&symbol["asks"]), "{file} {name}");
            assert_eq!(followed.trades, symbol["trades"].as_u64().unwrap(), "{file} {name}");
            match symbol["final_bookticker"].as_array() {
                Some(quote) => {
                    let quote = [decimal(&quote[0]), decimal(&quote[1])];
                    assert_eq!(followed.quote_prices(), Some(quote), "{file} {name}");
                }
                None => assert_eq!(followed.quote, None, "{file} {name}"),
            }
            assert_eq!(followed.states, [TradingState::Live, TradingState::Stale], "{file} {name}");
            checked += 1;
        }
    }
    assert!(checked >= 9, "only {checked} symbols were checked");
}

#[test]
fn every_binance_recording_ends_as_an_independent_replay_says() {
    check(false);
}

#[test]
fn the_general_reader_alone_ends_the_same() {
    check(true);
}
