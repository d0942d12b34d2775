//! A witness for tests of handlers: takes what they say, keeps a book per instrument as a consumer
//! would, and writes everything down as lines of text.

#![allow(dead_code, unreachable_pub, reason = "every test binary uses its own part")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use tickcast_feed::{Command, ConnectionIndex, Handler, Io, RecordKind, RecordingReader, Tally};
use tickcast_market::{
    Book, BookChange, BookSide, Decimal, Directory, Event, EventBody, InstrumentIndex,
    InstrumentSpec, Nanos, Price, Scales, Sink, Size, Trade, TradingState, write_decimal,
};

/// What is known of one instrument after everything it was told.
#[derive(Debug, Default)]
pub struct Seen {
    pub book: Book,
    pub scales: Scales,
    pub trades: Vec<Trade>,
    pub states: Vec<TradingState>,
    pub snapshots: u64,
    pub updates: u64,
    pub last_ts_event: Nanos,
}

/// The sink.
#[derive(Debug, Default)]
pub struct Witness {
    pub directory: Directory,
    pub seen: BTreeMap<u32, Seen>,
    /// Every event in words, if wanted.
    pub lines: Option<Vec<String>>,
}

fn decimal(mantissa: impl Into<i128>, scale: u8) -> String {
    let mut out = Vec::new();
    write_decimal(&mut out, mantissa.into(), scale);
    String::from_utf8(out).unwrap()
}

fn levels(changes: &[BookChange], scales: Scales) -> String {
    let one = |change: &BookChange| {
        let side = if change.side == BookSide::Bid { "bid" } else { "ask" };
        let (price, size) =
            (decimal(change.price.0, scales.price), decimal(change.size.0, scales.size));
        format!(" {side} {price}x{size}")
    };
    changes.iter().map(one).collect()
}

impl Witness {
    /// One that writes events down.
    pub fn writing() -> Witness {
        Witness { lines: Some(Vec::new()), ..Witness::default() }
    }

    /// What is known of an instrument by its full name.
    pub fn of(&self, name: &str) -> &Seen {
        let instrument = self.directory.find(name).unwrap_or_else(|| panic!("{name} is unknown"));
        &self.seen[&instrument.index.0]
    }

    /// The best levels of a side as price and size text.
    pub fn top(&self, name: &str, side: BookSide, depth: usize) -> Vec<[String; 2]> {
        let seen = self.of(name);
        let text = |price: Price, size: Size| {
            [decimal(price.0, seen.scales.price), decimal(size.0, seen.scales.size)]
        };
        seen.book.side(side).take(depth).map(|level| text(level.price, level.size)).collect()
    }

    fn describe(&self, event: &Event<'_>) -> String {
        let name = self.directory.get(event.instrument).unwrap().spec.symbol.clone();
        let s = event.scales;
        let price = |price: Option<Price>| price.map_or("-".into(), |p| decimal(p.0, s.price));
        let body = match event.body {
            EventBody::Quote(quote) => {
                let side = |side: Option<(Price, Size)>| {
                    side.map_or("-".into(), |(p, q)| {
                        format!("{}x{}", decimal(p.0, s.price), decimal(q.0, s.size))
                    })
                };
                format!("quote {} {}", side(quote.bid), side(quote.ask))
            }
            EventBody::Trades(trades) => {
                let one = |t: &Trade| {
                    let (p, q) = (decimal(t.price.0, s.price), decimal(t.size.0, s.size));
                    format!(" {} {:?} {p}x{q}", t.id, t.side)
                };
                format!("trades{}", trades.iter().map(one).collect::<String>())
            }
            EventBody::BookSnapshot(changes) => format!("snapshot{}", levels(changes, s)),
            EventBody::BookUpdate(changes) => format!("update{}", levels(changes, s)),
            EventBody::Day(day) => format!(
                "day open {} high {} low {} last {} volume {}",
                price(day.open),
                price(day.high),
                price(day.low),
                price(day.last),
                day.volume.map_or("-".into(), |v| decimal(v.0, s.volume)),
            ),
            EventBody::Bars(interval, bars) => format!("bars {} {}", interval.name(), bars.len()),
            EventBody::State(state) => format!("state {}", state.name()),
        };
        format!("{name} {body}")
    }
}

impl Sink for Witness {
    fn instrument(&mut self, spec: &InstrumentSpec) -> InstrumentIndex {
        let index = self.directory.add(spec);
        self.seen.entry(index.0).or_default();
        index
    }

    fn event(&mut self, event: &Event<'_>) {
        let line = self.lines.is_some().then(|| self.describe(event));
        if let (Some(lines), Some(line)) = (&mut self.lines, line) {
            lines.push(line);
        }
        let seen = self.seen.get_mut(&event.instrument.0).expect("made known first");
        let (old, new) = (seen.scales, event.scales);
        assert_eq!(old.finest(new), new, "scales never get coarser");
        if old != new {
            for level in seen.book.levels_mut() {
                level.price = level.price.rescaled(old.price, new.price).unwrap();
                level.size = level.size.rescaled(old.size, new.size).unwrap();
            }
            for trade in &mut seen.trades {
                trade.price = trade.price.rescaled(old.price, new.price).unwrap();
                trade.size = trade.size.rescaled(old.size, new.size).unwrap();
            }
            seen.scales = new;
        }
        if event.ts_event != Nanos::ZERO {
            seen.last_ts_event = event.ts_event;
        }
        match event.body {
            EventBody::BookSnapshot(levels) => {
                seen.book.replace(levels);
                seen.snapshots += 1;
            }
            EventBody::BookUpdate(changes) => {
                for change in changes {
                    seen.book.apply(change);
                }
                seen.updates += 1;
            }
            EventBody::Trades(trades) => seen.trades.extend_from_slice(trades),
            EventBody::State(state) => seen.states.push(state),
            EventBody::Quote(_) | EventBody::Day(_) | EventBody::Bars(..) => {}
        }
    }
}

/// A handler with a witness at its sink, and a clock that the test moves.
pub struct Bench<H> {
    pub handler: H,
    pub witness: Witness,
    pub commands: Vec<Command>,
    pub tally: Tally,
    pub now: Nanos,
}

/// The first connection of the first line.
pub const FIRST: ConnectionIndex = ConnectionIndex { line: 0, generation: 0 };

impl<H: Handler> Bench<H> {
    pub fn new(handler: H) -> Bench<H> {
        Bench {
            handler,
            witness: Witness::writing(),
            commands: Vec::new(),
            tally: Tally::default(),
            now: Nanos::from_secs(1_800_000_000),
        }
    }

    /// Calls the handler.
    pub fn call(&mut self, call: impl FnOnce(&mut H, &mut Io<'_>)) -> &mut Self {
        let mut io = Io {
            sink: &mut self.witness,
            commands: &mut self.commands,
            tally: &mut self.tally,
            now: self.now,
        };
        call(&mut self.handler, &mut io);
        self
    }

    pub fn start(&mut self) -> &mut Self {
        self.call(|handler, io| handler.start(io))
    }

    pub fn open(&mut self, connection: ConnectionIndex) -> &mut Self {
        self.call(|handler, io| handler.opened(connection, "ws://venue", io))
    }

    pub fn on(&mut self, connection: ConnectionIndex, message: &str) -> &mut Self {
        self.bytes(connection, message.as_bytes())
    }

    pub fn bytes(&mut self, connection: ConnectionIndex, message: &[u8]) -> &mut Self {
        let mut bytes = message.to_vec();
        self.call(|handler, io| handler.message(connection, &mut bytes, io))
    }

    pub fn close(&mut self, connection: ConnectionIndex) -> &mut Self {
        self.call(|handler, io| handler.closed(connection, io))
    }

    pub fn rest(&mut self, url: &str, body: &str) -> &mut Self {
        let mut bytes = body.as_bytes().to_vec();
        self.call(|handler, io| handler.rest(url, &mut bytes, io))
    }

    /// Lets time pass, with the timer's call every second.
    pub fn wait(&mut self, secs: u64) -> &mut Self {
        for _ in 0..secs {
            self.now = self.now.plus(Nanos::from_secs(1));
            self.call(|handler, io| handler.timer(io));
        }
        self
    }

    /// What was said since the last look.
    pub fn said(&mut self) -> Vec<String> {
        std::mem::take(self.witness.lines.as_mut().expect("a writing witness"))
    }

    /// What was asked for since the last look, in words.
    pub fn asked(&mut self) -> Vec<String> {
        let connection = |c: ConnectionIndex| format!("{}.{}", c.line, c.generation);
        let word = |command: Command| match command {
            Command::Connect { line, url } => format!("connect {line} {url}"),
            Command::Send { connection: c, text } => format!("send {} {text}", connection(c)),
            Command::Get { url, after } => format!("get {url} after {}s", after.0 / 1_000_000_000),
            Command::Reconnect { connection: c, reason } => {
                format!("reconnect {}: {reason}", connection(c))
            }
            Command::Replace { connection: c } => format!("replace {}", connection(c)),
            Command::Report { text } => format!("report {text}"),
        };
        self.commands.drain(..).map(word).collect()
    }

    pub fn decode_errors(&self) -> u64 {
        self.tally.decode_errors.iter().map(|(_, count)| count).sum()
    }

    pub fn messages(&self, kind: &str) -> u64 {
        self.tally.messages.iter().filter(|(k, _)| *k == kind).map(|(_, count)| count).sum()
    }
}

/// Where the recordings are, or `None` with a visible line. With `CI=true` they must be there.
pub fn feeds() -> Option<PathBuf> {
    let folder = std::env::var_os("TICKCAST_FEEDS")
        .map(PathBuf::from)
        .unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/feeds"));
    if folder.join("recordings/EXPECTED.json").exists() {
        return Some(folder);
    }
    let folder = folder.display();
    assert!(std::env::var("CI").as_deref() != Ok("true"), "no recordings in {folder}");
    println!("SKIPPED: no recordings in {folder} (set TICKCAST_FEEDS)");
    None
}

/// Replays a recording into a handler, every received message through `change` first.
pub fn replay<H: Handler>(
    bench: &mut Bench<H>,
    recording: &str,
    mut change: impl FnMut(u64, &mut Vec<u8>),
) -> Option<serde_json::Value> {
    let folder = feeds()?.join("recordings");
    let expected = std::fs::read(folder.join("EXPECTED.json")).unwrap();
    let expected: serde_json::Value = serde_json::from_slice(&expected).unwrap();
    let mut reader = RecordingReader::open(&folder.join(recording)).unwrap();
    bench.witness.lines = None;
    let mut received = 0;
    while let Some(record) = reader.next().unwrap() {
        bench.now = record.ts_recv;
        let connection = ConnectionIndex {
            line: record.connection as u16,
            generation: (record.connection >> 16) as u16,
        };
        let mut payload = record.payload.to_vec();
        match record.kind {
            RecordKind::Open => bench.open(connection),
            RecordKind::Close => bench.close(connection),
            RecordKind::Send => bench,
            RecordKind::Recv => {
                change(received, &mut payload);
                received += 1;
                bench.bytes(connection, &payload)
            }
            RecordKind::Rest => {
                let text = String::from_utf8(payload).unwrap();
                let (url, body) = text.split_once(' ').unwrap();
                bench.rest(url, body)
            }
        };
    }
    Some(expected[recording]["symbols"].clone())
}

/// Asserts that an instrument's top ten are what an independent replay ended with, as numbers.
pub fn assert_top_ten(witness: &Witness, name: &str, expected: &serde_json::Value) {
    for (field, side) in [("bids", BookSide::Bid), ("asks", BookSide::Ask)] {
        let number = |text: &str| Decimal::parse(text.as_bytes()).unwrap().trimmed();
        let expected: Vec<[Decimal; 2]> = expected[field]
            .as_array()
            .unwrap()
            .iter()
            .map(|level| [0, 1].map(|at| number(level[at].as_str().unwrap())))
            .collect();
        let ours: Vec<[Decimal; 2]> = witness
            .top(name, side, 10)
            .iter()
            .map(|level| [number(&level[0]), number(&level[1])])
            .collect();
        assert_eq!(ours, expected, "{name} {field}");
    }
}

/// Gives each message to the handler and compares what it says with what is expected.
pub fn check<H: Handler>(bench: &mut Bench<H>, steps: &[(&str, &[&str])]) {
    bench.said();
    for (message, expected) in steps {
        bench.on(FIRST, message);
        assert_eq!(bench.said(), *expected, "after {message}");
    }
}

/// Gives every prefix of a message, and the message with single bytes changed, to a handler that
/// `make` has made ready: none may panic, and every prefix is counted as a decode error and
/// changes no book.
pub fn torture<H: Handler>(make: impl Fn() -> Bench<H>, message: &str) {
    let books = |bench: &Bench<H>| -> Vec<Book> {
        bench.witness.seen.values().map(|seen| seen.book.clone()).collect()
    };
    let bytes = message.as_bytes();
    for len in 0..bytes.len() {
        let mut bench = make();
        let (errors, before) = (bench.decode_errors(), books(&bench));
        bench.bytes(FIRST, &bytes[..len]);
        assert_eq!(bench.decode_errors(), errors + 1, "cut at {len}: {message}");
        assert_eq!(books(&bench), before, "cut at {len}: {message}");
    }
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..2_000 {
        let mut changed = bytes.to_vec();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..changed.len());
            match random.u8(..4) {
                0 => changed[at] = random.u8(..),
                1 => changed[at] = *random.choice(b"\"\\{}[],:0e-.".iter()).unwrap(),
                2 => drop(changed.remove(at)),
                _ => changed.insert(at, bytes[random.usize(..bytes.len())]),
            }
        }
        let mut bench = make();
        // Whatever it did, the handler goes on.
        bench.bytes(FIRST, &changed).bytes(FIRST, bytes);
    }
}
