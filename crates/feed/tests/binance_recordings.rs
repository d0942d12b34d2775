//! Real recordings end with exactly what an independent replay with plain dictionaries ended with.

mod binance_support;

use binance_support::{Follower, handler, open, play, recordings};
use serde_json::Value;
use std::path::Path;
use tickcast_feed::{
    Command, ConnectionIndex, Io, RecordKind, RecordingReader, ReplaySpeed, Tally,
};
use tickcast_market::{BookSide, Decimal, Nanos, TradingState};

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

/// Plays a recording with each message given `times` times by as many connections, without those
/// depth events whose number `drop` names.
fn played(path: &Path, times: u16, drop: impl Fn(u32) -> bool) -> (Follower, Tally, Vec<Command>) {
    let mut reader = RecordingReader::open(path).unwrap();
    let (mut handler, mut follower) = (handler(false), Follower::default());
    let (mut commands, mut tally) = (Vec::new(), Tally::default());
    let mut depth_events = 0;
    while let Some(record) = reader.next().unwrap() {
        let mut io = Io {
            sink: &mut follower,
            commands: &mut commands,
            tally: &mut tally,
            now: record.ts_recv,
        };
        let text = std::str::from_utf8(record.payload).unwrap().to_string();
        if text.contains("\"depthUpdate\"") {
            depth_events += 1;
            if drop(depth_events) {
                continue;
            }
        }
        for generation in 0..times {
            let connection = ConnectionIndex { line: 0, generation };
            match record.kind {
                RecordKind::Open => handler.opened(connection, &text, &mut io),
                RecordKind::Recv => {
                    handler.message(connection, &mut text.clone().into_bytes(), &mut io);
                }
                RecordKind::Rest => {
                    let (url, body) = text.split_once(' ').unwrap();
                    handler.rest(url, &mut body.as_bytes().to_vec(), &mut io);
                }
                RecordKind::Send | RecordKind::Close => {}
            }
        }
    }
    (follower, tally, commands)
}

fn names(follower: &Follower) -> Vec<String> {
    follower.directory.list_from(0).iter().map(|i| i.spec.symbol.clone()).collect()
}

#[test]
fn overlapping_connections_that_say_everything_three_times_end_the_same() {
    let Some(folder) = recordings() else { return };
    for file in ["binance_3sym_91s.rec.gz", "binance_4sym_30s.rec.gz"] {
        let (once, _, _) = played(&folder.join(file), 1, |_| false);
        let (thrice, tally, commands) = played(&folder.join(file), 3, |_| false);
        assert_eq!((tally.gaps, commands.len()), (0, 0), "{file}");
        assert_eq!(once.events, thrice.events, "{file}");
        for name in names(&once) {
            let ((once, _), (thrice, _)) = (once.get(&name), thrice.get(&name));
            assert_eq!(once.book, thrice.book, "{file} {name}");
            assert_eq!(once.trades, thrice.trades, "{file} {name}");
            assert_eq!(once.quote, thrice.quote, "{file} {name}");
        }
    }
}

#[test]
fn a_lost_event_voids_the_book_of_its_symbol_alone() {
    let Some(folder) = recordings() else { return };
    let (follower, tally, _) =
        played(&folder.join("binance_3sym_91s.rec.gz"), 1, |number| number == 1_000);
    assert_eq!(tally.gaps, 1);
    let mut states: Vec<_> =
        names(&follower).iter().map(|name| follower.get(name).0.states.clone()).collect();
    states.sort();
    let live = vec![TradingState::Live];
    assert_eq!(states, [live.clone(), live, vec![TradingState::Live, TradingState::Resync]]);
    assert!(follower.followed.iter().all(|followed| followed.ts_event > Nanos::ZERO));
}
