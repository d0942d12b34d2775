//! The driver's decisions, tested without sockets: a small handler, a clock that the test moves.

use crate::driver::backoff::ConnectPacer;
use crate::driver::config::{DriverConfig, FeedState, Recorder};
use crate::driver::connection::REPLACED_SPAN_MAX;
use crate::driver::core::{At, Core, Effect};
use crate::driver::rest::GetError;
use crate::handler::{Command, ConnectionIndex, Handler, Io, Limits};
use crate::recording::RecordKind;
use parking_lot::Mutex;
use std::io;
use std::sync::Arc;
use tickcast_market::{Event, InstrumentIndex, InstrumentSpec, Nanos, Sink, Venue};

const LIMITS: Limits = Limits {
    send_gap: Nanos::from_millis(100),
    get_gap: Nanos::from_millis(50),
    connect_gap: Nanos::from_millis(10),
    silence_max: Nanos::from_secs(5),
    lifetime_max: Some(Nanos::from_secs(600)),
    message_bytes_max: 1 << 20,
};

/// Writes down what it is told, and says what the test wants said.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl Told {
    fn say(&self, text: String) {
        self.0.lock().push(text);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock())
    }
}

struct Small {
    told: Told,
    lines: u16,
}

impl Handler for Small {
    fn venue(&self) -> Venue {
        Venue::Sim
    }

    fn limits(&self) -> Limits {
        LIMITS
    }

    fn start(&mut self, io: &mut Io<'_>) {
        for line in 0..self.lines {
            io.commands.push(Command::Connect { line, url: format!("ws://venue/{line}") });
        }
    }

    fn is_complete(&self) -> bool {
        true
    }

    fn opened(&mut self, connection: ConnectionIndex, url: &str, io: &mut Io<'_>) {
        self.told.say(format!("opened {} {url}", connection.generation));
        for text in ["subscribe a", "subscribe b"] {
            io.commands.push(Command::Send { connection, text: text.into() });
        }
    }

    fn message(&mut self, connection: ConnectionIndex, bytes: &mut [u8], io: &mut Io<'_>) {
        let text = String::from_utf8_lossy(bytes).into_owned();
        self.told.say(format!("message {} {text}", connection.generation));
        match text.as_str() {
            "reconnect" => {
                io.commands.push(Command::Reconnect { connection, reason: "asked".into() });
            }
            "replace" => io.commands.push(Command::Replace { connection }),
            "get" => {
                let after = Nanos::from_secs(1);
                io.commands.push(Command::Get { url: "http://venue/depth".into(), after });
            }
            _ => {}
        }
        bytes.fill(b'x');
    }

    fn rest(&mut self, url: &str, body: &mut [u8], _io: &mut Io<'_>) {
        self.told.say(format!("rest {url} {}", body.len()));
    }

    fn rest_failed(&mut self, url: &str, status: u16, io: &mut Io<'_>) {
        self.told.say(format!("rest failed {url} {status}"));
        io.commands.push(Command::Get { url: url.into(), after: Nanos::ZERO });
    }

    fn silent(&mut self, connection: ConnectionIndex, _io: &mut Io<'_>) {
        self.told.say(format!("silent {}", connection.generation));
    }

    fn closed(&mut self, connection: ConnectionIndex, _io: &mut Io<'_>) {
        self.told.say(format!("closed {}", connection.generation));
    }

    fn is_served(&self, connection: ConnectionIndex) -> bool {
        self.told.0.lock().contains(&format!("message {} book", connection.generation))
    }

    fn timer(&mut self, _io: &mut Io<'_>) {}

    fn resync(&mut self, instrument: InstrumentIndex, _io: &mut Io<'_>) {
        self.told.say(format!("resync {}", instrument.0));
    }
}

struct NoSink;

impl Sink for NoSink {
    fn instrument(&mut self, _spec: &InstrumentSpec) -> InstrumentIndex {
        InstrumentIndex(0)
    }

    fn event(&mut self, _event: &Event<'_>) {}
}

struct Bench {
    core: Core,
    told: Told,
    now: Nanos,
}

impl Bench {
    fn new(lines: u16) -> Bench {
        Bench::with_recorder(lines, None)
    }

    fn with_recorder(lines: u16, recorder: Option<Box<dyn Recorder>>) -> Bench {
        let told = Told::default();
        let handler = Box::new(Small { told: told.clone(), lines });
        let config = DriverConfig {
            connect_pacer: ConnectPacer::default(),
            seed: 7,
            ..DriverConfig::new(Venue::Sim)
        };
        let mut bench =
            Bench { core: Core::new(handler, config, recorder), told, now: Nanos::from_secs(1000) };
        let at = bench.at();
        bench.core.start(at, &mut NoSink);
        bench
    }

    fn at(&self) -> At {
        At { mono: self.now, wall: self.now }
    }

    /// Moves the clock on, stopping at each deadline, and gives what was to be done meanwhile.
    fn run(&mut self, span: Nanos) -> Vec<Effect> {
        let until = self.now.plus(span);
        let mut effects: Vec<Effect> = self.core.effects().collect();
        while self.core.deadline() <= until {
            self.now = self.now.max(self.core.deadline());
            let at = self.at();
            self.core.tick(at, &mut NoSink);
            effects.extend(self.core.effects());
        }
        self.now = until;
        effects
    }

    fn open(&mut self, generation: u16) {
        let at = self.at();
        self.core.opened(of(generation), at, &mut NoSink);
    }

    fn message(&mut self, generation: u16, text: &str) {
        let at = self.at();
        self.core.message(of(generation), &mut text.as_bytes().to_vec(), at, &mut NoSink);
    }

    fn lost(&mut self, generation: u16) {
        let at = self.at();
        self.core.lost(of(generation), "cut", None, at, &mut NoSink);
    }
}

fn of(generation: u16) -> ConnectionIndex {
    ConnectionIndex { line: 0, generation }
}

fn dials(effects: &[Effect]) -> Vec<u16> {
    let generation = |effect: &Effect| match effect {
        Effect::Dial { index, .. } => Some(index.generation),
        _ => None,
    };
    effects.iter().filter_map(generation).collect()
}

#[test]
fn a_line_is_dialled_at_once_subscribed_in_paced_messages_and_dialled_again_when_lost() {
    let mut bench = Bench::new(1);
    assert_eq!(dials(&bench.run(Nanos::ZERO)), [0]);
    assert_eq!(bench.core.state(), FeedState::Starting);
    bench.open(0);
    assert_eq!(bench.core.state(), FeedState::Live);
    let write =
        |text: &str| vec![Effect::Write { index: of(0), text: format!("subscribe {text}") }];
    assert_eq!(bench.run(Nanos::from_millis(99)), write("a"));
    assert_eq!(bench.run(Nanos::from_millis(1)), write("b"));
    bench.lost(0);
    assert_eq!(bench.core.state(), FeedState::Down);
    assert_eq!(bench.told.take(), ["opened 0 ws://venue/0", "closed 0"]);
    let effects = bench.run(Nanos::from_secs(1));
    assert_eq!(effects[0], Effect::Close { index: of(0) });
    assert_eq!(dials(&effects), [1], "the first retry is nearly at once");
    bench.message(0, "late");
    assert_eq!(bench.told.take(), Vec::<String>::new(), "what was under way is not heard any more");
}

#[test]
fn failures_back_off_and_do_not_trouble_the_handler() {
    let mut bench = Bench::new(1);
    bench.run(Nanos::ZERO);
    let mut attempts = 0;
    let started = bench.now;
    for generation in 0..12 {
        bench.lost(generation);
        while dials(&bench.run(Nanos::from_millis(50))).is_empty() {
            assert!(bench.now.since(started) < Nanos::from_secs(600));
        }
        attempts += 1;
    }
    let spent = bench.now.since(started);
    assert!(spent > Nanos::from_secs(60), "{attempts} attempts within {spent:?}");
    assert_eq!(bench.told.take(), Vec::<String>::new());
}

#[test]
fn a_venue_that_says_when_to_come_back_is_believed() {
    let mut bench = Bench::new(1);
    bench.run(Nanos::ZERO);
    let at = bench.at();
    bench.core.lost(of(0), "429", Some(Nanos::from_secs(30)), at, &mut NoSink);
    assert_eq!(dials(&bench.run(Nanos::from_millis(29_999))), Vec::<u16>::new());
    assert_eq!(dials(&bench.run(Nanos::from_millis(1))), [1]);
}

#[test]
fn lines_of_a_venue_are_dialled_a_gap_apart() {
    let mut bench = Bench::new(4);
    let effects = bench.run(Nanos::ZERO);
    assert_eq!(dials(&effects).len(), 1);
    for _ in 1..4 {
        assert_eq!(dials(&bench.run(LIMITS.connect_gap)).len(), 1);
    }
    assert_eq!(dials(&bench.run(Nanos::from_secs(10))).len(), 0);
}

#[test]
fn a_silent_line_is_told_to_the_handler_and_opened_anew() {
    let mut bench = Bench::new(1);
    bench.run(Nanos::ZERO);
    bench.open(0);
    bench.run(Nanos::from_secs(4));
    let at = bench.at();
    assert!(bench.core.heard(of(0), at), "a ping is proof of life");
    bench.run(Nanos::from_millis(4_999));
    assert_eq!(bench.told.take(), ["opened 0 ws://venue/0"]);
    let effects = bench.run(Nanos::from_millis(500));
    assert_eq!(bench.told.take(), ["silent 0", "closed 0"]);
    assert_eq!(dials(&effects), [1]);
}

#[test]
fn what_we_did_not_read_ourselves_is_not_the_venues_silence() {
    let mut bench = Bench::new(1);
    bench.run(Nanos::ZERO);
    bench.open(0);
    bench.now = bench.now.plus(Nanos::from_secs(60));
    bench.core.excuse_silence(bench.now);
    bench.run(Nanos::from_secs(4));
    assert_eq!(bench.told.take(), ["opened 0 ws://venue/0"]);
}

#[test]
fn an_announced_shutdown_keeps_the_old_connection_until_the_new_one_serves() {
    let mut bench = Bench::new(1);
    bench.run(Nanos::ZERO);
    bench.open(0);
    bench.message(0, "replace");
    assert_eq!(dials(&bench.run(Nanos::from_secs(1))), [1]);
    bench.open(1);
    bench.message(1, "hello");
    bench.message(0, "still here");
    bench.told.take();
    bench.message(1, "book");
    assert_eq!(bench.told.take(), ["message 1 book", "closed 0"]);
    assert!(bench.run(Nanos::ZERO).contains(&Effect::Close { index: of(0) }));
    assert_eq!(bench.core.state(), FeedState::Live);
    bench.lost(1);
    assert_eq!(dials(&bench.run(Nanos::from_secs(1))), [2], "the line goes on as before");
}

#[test]
fn an_old_connection_is_replaced_with_overlap_before_the_venue_cuts_it() {
    let mut bench = Bench::new(1);
    bench.run(Nanos::ZERO);
    bench.open(0);
    let mut dialled = Vec::new();
    for _ in 0..600 {
        bench.message(0, "data");
        dialled.extend(dials(&bench.run(Nanos::from_secs(1))));
    }
    assert_eq!(dialled, [1]);
    bench.open(1);
    bench.told.take();
    bench.message(0, "data");
    assert_eq!(bench.told.take(), ["message 0 data"], "the old one still serves");
    for _ in 0..REPLACED_SPAN_MAX.0 / 1_000_000_000 {
        bench.message(0, "data");
        bench.message(1, "no book yet");
        bench.run(Nanos::from_secs(1));
    }
    assert!(bench.told.take().contains(&"closed 0".to_owned()), "but not for ever");
}

#[test]
fn a_handler_that_wants_a_new_connection_gets_one() {
    let mut bench = Bench::new(1);
    bench.run(Nanos::ZERO);
    bench.open(0);
    bench.message(0, "reconnect");
    assert_eq!(bench.told.take(), ["opened 0 ws://venue/0", "message 0 reconnect", "closed 0"]);
    assert_eq!(dials(&bench.run(Nanos::from_secs(1))), [1]);
}

#[test]
fn a_request_waits_its_time_and_a_refusal_holds_the_next() {
    let mut bench = Bench::new(1);
    bench.run(Nanos::ZERO);
    bench.open(0);
    bench.run(Nanos::from_millis(200));
    bench.message(0, "get");
    assert_eq!(bench.run(Nanos::from_millis(999)), []);
    let url = "http://venue/depth".to_owned();
    assert_eq!(bench.run(Nanos::from_millis(1)), [Effect::Get { url: url.clone() }]);
    let refused =
        GetError { status: 429, retry_after: Some(Nanos::from_secs(3)), reason: "no".into() };
    let at = bench.at();
    bench.core.answered(&url, Err(&refused), at, &mut NoSink);
    assert_eq!(bench.run(Nanos::from_millis(2_999)), []);
    assert_eq!(bench.run(Nanos::from_millis(1)), [Effect::Get { url: url.clone() }]);
    let at = bench.at();
    bench.core.answered(&url, Ok(&mut [1, 2, 3]), at, &mut NoSink);
    let told = bench.told.take();
    assert!(told.ends_with(&["rest http://venue/depth 3".to_owned()]), "{told:?}");
}

#[test]
fn a_resync_reaches_the_handler_and_a_stop_closes_everything() {
    let mut bench = Bench::new(1);
    bench.run(Nanos::ZERO);
    bench.open(0);
    let at = bench.at();
    bench.core.resync(InstrumentIndex(9), at, &mut NoSink);
    bench.core.stop(at, &mut NoSink);
    assert_eq!(bench.told.take(), ["opened 0 ws://venue/0", "resync 9", "closed 0"]);
    let effects = bench.run(Nanos::from_secs(100));
    assert!(effects.contains(&Effect::Close { index: of(0) }));
    assert_eq!(dials(&effects), Vec::<u16>::new(), "nothing is opened any more");
    assert_eq!(bench.core.state(), FeedState::Stopped);
}

#[derive(Clone, Default)]
struct Lines(Told);

impl Recorder for Lines {
    fn record(&mut self, _: Nanos, of: u32, kind: RecordKind, payload: &[u8]) -> io::Result<()> {
        let text = String::from_utf8_lossy(payload).into_owned();
        self.0.say(format!("{of} {} {text}", kind.name()));
        Ok(())
    }

    fn rest(&mut self, _: Nanos, _url: &str, _body: &[u8]) -> io::Result<()> {
        Err(io::Error::other("disk full"))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_recorder_gets_everything_before_the_parser_changes_it() {
    let lines = Lines::default();
    let mut bench = Bench::with_recorder(1, Some(Box::new(lines.clone())));
    bench.run(Nanos::ZERO);
    bench.open(0);
    bench.run(Nanos::from_secs(1));
    bench.message(0, "hello");
    bench.lost(0);
    assert_eq!(
        lines.0.take(),
        [
            "0 open ws://venue/0",
            "0 send subscribe a",
            "0 send subscribe b",
            "0 recv hello",
            "0 close cut"
        ]
    );
    bench.run(Nanos::from_secs(1));
    bench.open(1);
    assert_eq!(lines.0.take()[0], "65536 open ws://venue/0", "a later generation");
    let at = bench.at();
    bench.core.answered("http://venue/", Ok(&mut [0]), at, &mut NoSink);
    assert!(bench.core.take_recorder_error().is_some(), "a full disk is not hidden");
}
