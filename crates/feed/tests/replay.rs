//! A replay: when records are due, what time it is, how it ends and begins again.

use std::path::PathBuf;
use tickcast_feed::{
    BinanceConfig, BinanceHandler, RecordKind, RecordingClock, RecordingHeader, RecordingWriter,
    Replay, ReplaySpeed, Step,
};
use tickcast_market::{
    Directory, Event, EventBody, InstrumentIndex, InstrumentSpec, Nanos, Sink, TradingState, Venue,
};

const WALL: Nanos = Nanos::from_secs(1_900_000_000);

#[derive(Default)]
struct States {
    directory: Directory,
    states: Vec<(String, TradingState)>,
    received: Vec<Nanos>,
    events: u32,
}

impl Sink for States {
    fn instrument(&mut self, spec: &InstrumentSpec) -> InstrumentIndex {
        self.directory.add(spec)
    }

    fn event(&mut self, event: &Event<'_>) {
        self.events += 1;
        self.received.push(event.ts_recv);
        if let EventBody::State(state) = event.body {
            let name = self.directory.get(event.instrument).unwrap().spec.symbol.clone();
            self.states.push((name, state));
        }
    }
}

struct File(PathBuf);

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn quote(symbol: &str, id: u64) -> String {
    format!(r#"{{"u":{id},"s":"{symbol}","b":"1","B":"1","a":"2","A":"1"}}"#)
}

fn trade(symbol: &str, id: u64, millis: i64) -> String {
    format!(
        r#"{{"e":"trade","E":{millis},"s":"{symbol}","t":{id},"p":"1","q":"1","T":{millis},"m":true}}"#
    )
}

/// Two connections, one second apart, the second one without an `open`.
fn recording(name: &str, clock: RecordingClock, cut: bool) -> File {
    let header = RecordingHeader { venue: Venue::Binance, clock };
    let mut writer = RecordingWriter::new(Vec::new(), header).unwrap();
    let mut at = Nanos::from_secs(1_000);
    let mut line = |connection, kind, payload: &str| {
        writer.record(at, connection, kind, payload.as_bytes()).unwrap();
        at = at.plus(Nanos::from_secs(1));
    };
    line(0, RecordKind::Open, "wss://h");
    line(0, RecordKind::Recv, &quote("BTCUSDT", 1));
    line(1, RecordKind::Recv, &trade("ETHUSDT", 7, 1_700_000_000_000));
    line(0, RecordKind::Send, "{}");
    line(0, RecordKind::Recv, r#"{"code":2,"msg":"no"}"#);
    line(1, RecordKind::Recv, &trade("ETHUSDT", 8, 1_700_000_009_000));
    let mut bytes = writer.finish().unwrap();
    if cut {
        bytes.truncate(bytes.len() - 9);
    }
    let file = format!("tickcast-replay-{}-{name}.rec.gz", std::process::id());
    let path = std::env::temp_dir().join(file);
    std::fs::write(&path, bytes).unwrap();
    File(path)
}

fn open(file: &File, speed: ReplaySpeed) -> Replay {
    Replay::open(&file.0, speed, |venue| {
        assert_eq!(venue, Venue::Binance);
        Some(Box::new(BinanceHandler::new(BinanceConfig::default())))
    })
    .unwrap()
}

#[test]
fn records_are_due_when_they_were_received_at_the_speed_that_was_asked_for() {
    let file = recording("due", RecordingClock::Unix, false);
    for (speed, expected) in [
        ("1", [0, 1_000, 2_000, 3_000, 4_000, 5_000, 0].as_slice()),
        ("4", &[0, 250, 500, 750, 1_000, 1_250, 0]),
        ("0.5", &[0, 2_000, 4_000, 6_000, 8_000, 10_000, 0]),
        ("max", &[0, 0, 0, 0, 0, 0, 0]),
    ] {
        let mut replay = open(&file, speed.parse().unwrap());
        let mut sink = States::default();
        let mut due = Vec::new();
        while let Some(next) = replay.next_due() {
            due.push(next.0 / 1_000_000);
            replay.step(WALL, &mut sink);
        }
        assert_eq!(due, expected, "{speed}");
    }
    for speed in ["0", "-1", "inf", "NaN", "fast", ""] {
        assert!(speed.parse::<ReplaySpeed>().is_err(), "{speed}");
    }
}

#[test]
fn events_are_received_now_and_the_market_clock_follows_the_recording() {
    for (name, clock, expected) in [
        ("unix", RecordingClock::Unix, [1_000, 1_001, 1_002, 1_003, 1_004, 1_005, 1_005]),
        // Nothing before the first venue time, then that time and what has passed since.
        (
            "monotonic",
            RecordingClock::Monotonic,
            [0, 0, 1_700_000_000, 1_700_000_001, 1_700_000_002, 1_700_000_003, 1_700_000_003],
        ),
    ] {
        let file = recording(name, clock, false);
        let mut replay = open(&file, ReplaySpeed::Max);
        let mut sink = States::default();
        let clocks: Vec<_> = std::iter::from_fn(|| {
            replay.next_due()?;
            replay.step(WALL, &mut sink);
            Some(replay.clock().0 / 1_000_000_000)
        })
        .collect();
        assert_eq!(clocks, expected, "{name}");
        assert!(sink.received.iter().all(|received| *received == WALL));
    }
}

#[test]
fn at_the_end_everything_is_stale_and_a_restart_finds_the_same_instruments() {
    let file = recording("loop", RecordingClock::Unix, false);
    let mut replay = open(&file, ReplaySpeed::Max);
    let mut sink = States::default();
    let expected = [
        ("BTC-USDT", TradingState::Live),
        ("ETH-USDT", TradingState::Live),
        ("BTC-USDT", TradingState::Stale),
        ("ETH-USDT", TradingState::Stale),
    ];
    for pass in 1..=3u64 {
        sink.states.clear();
        sink.events = 0;
        while !matches!(replay.step(WALL, &mut sink), Step::Ended(None)) {}
        assert!(matches!(replay.step(WALL, &mut sink), Step::Ended(None)));
        assert!(replay.is_complete());
        let states: Vec<_> = sink.states.iter().map(|(n, s)| (n.as_str(), *s)).collect();
        assert_eq!(states, expected, "pass {pass}");
        assert_eq!(sink.events, 7, "pass {pass}: the same events, no duplicate dropped");
        assert_eq!(sink.directory.len(), 2);
        let (reports, dropped) = replay.take_reports();
        assert_eq!((reports.len(), dropped), (1, 0), "{reports:?}");
        let tally = replay.take_tally();
        assert_eq!(tally.messages.iter().map(|(_, count)| count).sum::<u64>(), 4);
        replay.restart().unwrap();
    }
}

#[test]
fn a_cut_recording_plays_to_the_cut_says_where_and_ends_stale() {
    let file = recording("cut", RecordingClock::Unix, true);
    let mut replay = open(&file, ReplaySpeed::Max);
    let mut sink = States::default();
    let error = loop {
        match replay.step(WALL, &mut sink) {
            Step::Fed { .. } => {}
            Step::Ended(error) => break error.expect("the file is cut"),
        }
    };
    assert!(error.to_string().contains(", line "), "{error}");
    assert!(matches!(replay.step(WALL, &mut sink), Step::Ended(None)));
    let stale = sink.states.iter().filter(|(_, state)| *state == TradingState::Stale).count();
    assert_eq!(stale, sink.directory.len());
}

#[test]
fn a_venue_without_a_handler_is_refused_in_words() {
    let file = recording("venue", RecordingClock::Unix, false);
    let error = Replay::open(&file.0, ReplaySpeed::Max, |_| None).unwrap_err().to_string();
    assert!(error.ends_with("line 1: venue: \"binance\" cannot be replayed"), "{error}");
}
