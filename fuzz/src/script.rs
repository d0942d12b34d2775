//! A venue's day as a script: what its driver would tell a handler, line by line.
//!
//! A line begins with a letter and a digit; what follows is the message or body.
//!
//! | line | what happens |
//! |---|---|
//! | `s0`, `s1` | (first line only) a live start with two symbols; else it is a replay without one |
//! | `o3` | connection 3 opens, on the URL that was asked for or what follows |
//! | `m3…` | a message on connection 3 |
//! | `g0…` | the first REST request that waits is answered |
//! | `f0429` | it fails with that status |
//! | `rURL BODY` | a REST answer out of turn |
//! | `t3` | 10³ milliseconds pass; the handler's timer runs |
//! | `q3`, `c3` | connection 3 is silent, has closed |
//! | `y0` | somebody found the first instrument's book crossed |
//!
//! A connection's number is its line (modulo 4) and its generation (the rest).

use crate::publication::Publication;
use tickcast_feed::{Command, ConnectionIndex, Handler, Io, Tally, VenueConfig};
use tickcast_market::{InstrumentIndex, Nanos};

/// Lines that are played of one script.
const LINES_MAX: usize = 256;
/// REST requests that may wait to be answered.
const REQUESTS_MAX: usize = 64;

type MakeHandler<'a> = &'a dyn Fn(&VenueConfig) -> Box<dyn Handler>;

/// Plays a script with a new handler; what was published, as text.
pub(crate) fn play(data: &[u8], make: MakeHandler<'_>) -> Vec<String> {
    let is_live = data.starts_with(b"s");
    let symbols = match is_live {
        true => ["BTC-USD", "BTC-USDT", "ETH-USD", "ETH-USDT"].map(str::to_owned).to_vec(),
        false => Vec::new(),
    };
    let handler = make(&VenueConfig { symbols, ..VenueConfig::default() });
    let mut stage = Stage::new(handler);
    if is_live {
        stage.with(|handler, io| handler.start(io));
    }
    for line in data.split(|byte| *byte == b'\n').take(LINES_MAX) {
        stage.line(line);
        for instrument in stage.publication.take_crossed() {
            stage.resync(instrument);
        }
    }
    stage.end()
}

/// A handler and what is around it.
struct Stage {
    handler: Box<dyn Handler>,
    publication: Publication,
    now: Nanos,
    commands: Vec<Command>,
    tally: Tally,
    requests: Vec<String>,
    urls: Vec<(u16, String)>,
    open: Vec<ConnectionIndex>,
}

impl Stage {
    fn new(handler: Box<dyn Handler>) -> Stage {
        Stage {
            handler,
            publication: Publication::new(),
            now: Publication::START,
            commands: Vec::new(),
            tally: Tally::default(),
            requests: Vec::new(),
            urls: Vec::new(),
            open: Vec::new(),
        }
    }

    /// Calls the handler, publishes what it said and does what it asked for.
    fn with(&mut self, call: impl FnOnce(&mut dyn Handler, &mut Io<'_>)) {
        let mut io = Io {
            sink: &mut self.publication,
            commands: &mut self.commands,
            tally: &mut self.tally,
            now: self.now,
        };
        call(&mut *self.handler, &mut io);
        for command in self.commands.drain(..) {
            match command {
                Command::Connect { line, url } => self.urls.push((line, url)),
                Command::Get { url, after } => {
                    assert!(after >= Nanos::ZERO, "{url} is asked for in the past");
                    if self.requests.len() < REQUESTS_MAX {
                        self.requests.push(url);
                    }
                }
                Command::Send { text, .. } => assert!(!text.is_empty()),
                Command::Reconnect { reason, .. } => assert!(!reason.is_empty()),
                Command::Replace { .. } => {}
                Command::Report { text } => assert!(!text.is_empty()),
            }
        }
        self.publication.publish(self.now);
    }

    fn line(&mut self, line: &[u8]) {
        let [kind, rest @ ..] = line else { return };
        let digit = rest.first().filter(|byte| byte.is_ascii_digit()).map(|byte| byte - b'0');
        let text = rest.get(1..).unwrap_or_default();
        match (kind, digit) {
            (b'o', Some(digit)) => self.open(connection(digit), text),
            (b'm', Some(digit)) => self.message(connection(digit), text),
            (b'g', Some(digit)) => self.answer(digit, text),
            (b'f', Some(digit)) => self.fail(digit, text),
            (b'r', _) => {
                let space = rest.iter().position(|byte| *byte == b' ').unwrap_or(rest.len());
                let (url, body) = rest.split_at(space);
                let url = String::from_utf8_lossy(url).into_owned();
                let mut body = body.get(1..).unwrap_or_default().to_vec();
                self.with(|handler, io| handler.rest(&url, &mut body, io));
            }
            (b't', Some(digit)) => {
                self.now = self.now.plus(Nanos::from_millis(10_i64.pow(u32::from(digit))));
                self.with(|handler, io| handler.timer(io));
            }
            (b'q', Some(digit)) => self.with(|handler, io| handler.silent(connection(digit), io)),
            (b'c', Some(digit)) => self.close(connection(digit)),
            (b'y', Some(digit)) => self.resync(InstrumentIndex(u32::from(digit))),
            _ => {}
        }
    }

    fn open(&mut self, connection: ConnectionIndex, text: &[u8]) {
        if self.open.contains(&connection) {
            return;
        }
        let asked = self.urls.iter().find(|(line, _)| *line == connection.line);
        let url = match asked {
            Some((_, url)) if text.is_empty() => url.clone(),
            _ => String::from_utf8_lossy(text).into_owned(),
        };
        self.open.push(connection);
        self.with(|handler, io| handler.opened(connection, &url, io));
    }

    fn message(&mut self, connection: ConnectionIndex, text: &[u8]) {
        self.open(connection, b"");
        let mut text = text.to_vec();
        self.with(|handler, io| handler.message(connection, &mut text, io));
        let _ = self.handler.is_served(connection);
    }

    fn answer(&mut self, digit: u8, body: &[u8]) {
        if usize::from(digit) < self.requests.len() {
            let url = self.requests.remove(usize::from(digit));
            let mut body = body.to_vec();
            self.with(|handler, io| handler.rest(&url, &mut body, io));
        }
    }

    fn fail(&mut self, digit: u8, status: &[u8]) {
        if usize::from(digit) < self.requests.len() {
            let url = self.requests.remove(usize::from(digit));
            let status = std::str::from_utf8(status).ok().and_then(|text| text.parse().ok());
            self.with(|handler, io| handler.rest_failed(&url, status.unwrap_or(0), io));
        }
    }

    fn close(&mut self, connection: ConnectionIndex) {
        if self.open.contains(&connection) {
            self.open.retain(|open| *open != connection);
            self.with(|handler, io| handler.closed(connection, io));
        }
    }

    fn resync(&mut self, instrument: InstrumentIndex) {
        if self.publication.knows(instrument) {
            self.with(|handler, io| handler.resync(instrument, io));
        }
    }

    /// Closes what is open.
    fn end(mut self) -> Vec<String> {
        while let Some(connection) = self.open.pop() {
            self.with(|handler, io| handler.closed(connection, io));
        }
        self.publication.end()
    }
}

fn connection(digit: u8) -> ConnectionIndex {
    ConnectionIndex { line: u16::from(digit % 4), generation: u16::from(digit / 4) }
}
