//! Plays a recording back through a venue's handler: the same bytes, the same events.
//!
//! A [`Replay`] owns no thread, no clock and no sleep. Its caller asks when the next record is due
//! ([`Replay::next_due`]), waits as long as it likes, and calls [`Replay::step`]; that is how one
//! replay runs in a thread of its own, many in one simulation, and a test as fast as it can. There
//! is nobody to send to: what a handler asks of its driver is dropped, except its reports.

use crate::handler::{Command, ConnectionIndex, Handler, Io, Tally};
use crate::recording::reader::RecordingReader;
use crate::recording::{Record, RecordKind, RecordingClock, RecordingError, RecordingHeader};
use std::fmt;
use std::path::{Path, PathBuf};
use tickcast_market::{Event, InstrumentIndex, InstrumentSpec, Nanos, Sink, Venue};

/// How many reports are kept until they are taken; more are counted, not kept.
pub const REPORTS_MAX: usize = 256;
/// How many connections of a recording may be open at once; of more, the oldest ends.
const CONNECTIONS_MAX: usize = 1024;

/// How fast a recording is played.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ReplaySpeed {
    /// So many times as fast as it was recorded; above zero.
    Times(f64),
    /// Without waiting.
    Max,
}

impl std::str::FromStr for ReplaySpeed {
    type Err = String;

    fn from_str(text: &str) -> Result<ReplaySpeed, String> {
        if text == "max" {
            return Ok(ReplaySpeed::Max);
        }
        match text.parse::<f64>() {
            Ok(times) if times > 0.0 && times.is_finite() => Ok(ReplaySpeed::Times(times)),
            _ => Err(format!("{text:?} is neither max nor a number above 0")),
        }
    }
}

/// What one step did.
#[derive(Debug)]
pub enum Step {
    /// Gave one record to the handler.
    Fed {
        /// What it was.
        kind: RecordKind,
        /// How long its payload was.
        bytes: usize,
    },
    /// The recording is over: every open connection was closed, its instruments are stale. The
    /// error says where a damaged file ends early; everything before has been played. Further
    /// steps say the same without it, until [`Replay::restart`].
    Ended(Option<RecordingError>),
}

type HandlerFactory = Box<dyn Fn(Venue) -> Option<Box<dyn Handler>> + Send>;

/// A recording on its way through a handler.
pub struct Replay {
    path: PathBuf,
    make_handler: HandlerFactory,
    speed: ReplaySpeed,
    header: RecordingHeader,
    pass: Pass,
    reports: Vec<String>,
    reports_dropped: u64,
    tally: Tally,
    passes_ended: u64,
}

/// One time through the file.
struct Pass {
    reader: RecordingReader,
    handler: Box<dyn Handler>,
    open: Vec<ConnectionIndex>,
    commands: Vec<Command>,
    first_ts: Option<Nanos>,
    clock: Nanos,
    /// What to add to a stamp for the market clock; of a monotonic clock unknown until the first
    /// event with a venue time.
    clock_offset: Option<i64>,
    failed: Option<RecordingError>,
    ended: bool,
}

impl fmt::Debug for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay")
            .field("path", &self.path)
            .field("header", &self.header)
            .field("speed", &self.speed)
            .finish_non_exhaustive()
    }
}

impl Replay {
    /// Opens a recording and gets a handler of its venue from `make_handler`; it is asked again
    /// at every restart.
    ///
    /// *Errors:* those of [`RecordingReader::open`]; a venue that `make_handler` has no handler
    /// for. A damaged line further on is no error here but where it is reached.
    pub fn open(
        path: &Path,
        speed: ReplaySpeed,
        make_handler: impl Fn(Venue) -> Option<Box<dyn Handler>> + Send + 'static,
    ) -> Result<Replay, RecordingError> {
        let make_handler: HandlerFactory = Box::new(make_handler);
        let (pass, header) = Pass::open(path, &make_handler)?;
        Ok(Replay {
            path: path.to_path_buf(),
            make_handler,
            speed,
            header,
            pass,
            reports: Vec::new(),
            reports_dropped: 0,
            tally: Tally::default(),
            passes_ended: 0,
        })
    }

    /// Whose messages these are.
    pub fn venue(&self) -> Venue {
        self.header.venue
    }

    /// When the next record is due, counted from the moment at which the caller began this pass
    /// (opened or restarted) and with the speed applied; `None` when the recording is over and
    /// has said so. The end itself is due at once.
    pub fn next_due(&self) -> Option<Nanos> {
        let pass = &self.pass;
        if pass.ended {
            return None;
        }
        let (ReplaySpeed::Times(times), Some(first), Some(next)) =
            (self.speed, pass.first_ts, pass.reader.current_ts())
        else {
            return Some(Nanos::ZERO);
        };
        let span = next.since(first).0.max(0);
        Some(Nanos((span as f64 / times) as i64))
    }

    /// The market clock: the recording's time of the latest record, for timers such as the end of
    /// a bar (`EventBatch::clock`). Zero before the first record, and in a recording with a
    /// monotonic clock until the first event with a venue time, which it is then equal to.
    pub fn clock(&self) -> Nanos {
        self.pass.clock
    }

    /// Whether more instruments cannot be expected: the handler's list is complete, or the whole
    /// recording has been played once.
    pub fn is_complete(&self) -> bool {
        self.passes_ended > 0 || self.pass.handler.is_complete()
    }

    /// Gives the next record to the handler. `now` is the time of receipt that events carry.
    ///
    /// *Cost:* what the handler costs; nothing is allocated here but for longer lines than before.
    pub fn step(&mut self, now: Nanos, sink: &mut dyn Sink) -> Step {
        let pass = &mut self.pass;
        if pass.ended {
            return Step::Ended(None);
        }
        let fed = pass.feed(now, sink, &mut self.tally);
        let step = match fed {
            Some((kind, bytes)) => {
                pass.advance();
                Step::Fed { kind, bytes }
            }
            None => {
                pass.close_all(now, sink, &mut self.tally);
                pass.ended = true;
                self.passes_ended += 1;
                Step::Ended(pass.failed.take())
            }
        };
        for command in pass.commands.drain(..) {
            if let Command::Report { text } = command {
                if self.reports.len() < REPORTS_MAX {
                    self.reports.push(text);
                } else {
                    self.reports_dropped += 1;
                }
            }
        }
        step
    }

    /// Begins again at the first record with a new handler. The sink finds the same instruments
    /// again; the market clock goes back.
    ///
    /// *Errors:* those of [`Replay::open`].
    pub fn restart(&mut self) -> Result<(), RecordingError> {
        let (pass, header) = Pass::open(&self.path, &self.make_handler)?;
        self.pass = pass;
        self.header = header;
        Ok(())
    }

    /// Takes what the handler had to report, and how many reports found no room.
    pub fn take_reports(&mut self) -> (Vec<String>, u64) {
        (std::mem::take(&mut self.reports), std::mem::take(&mut self.reports_dropped))
    }

    /// Takes what the handler counted.
    pub fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }
}

impl Pass {
    fn open(
        path: &Path,
        make_handler: &HandlerFactory,
    ) -> Result<(Pass, RecordingHeader), RecordingError> {
        let reader = RecordingReader::open(path)?;
        let header = reader.header();
        let handler = make_handler(header.venue).ok_or_else(|| RecordingError::Field {
            file: path.display().to_string(),
            line: 1,
            field: "venue",
            value: header.venue.name().into(),
            problem: "cannot be replayed",
        })?;
        let mut pass = Pass {
            reader,
            handler,
            open: Vec::new(),
            commands: Vec::new(),
            first_ts: None,
            clock: Nanos::ZERO,
            clock_offset: (header.clock == RecordingClock::Unix).then_some(0),
            failed: None,
            ended: false,
        };
        pass.advance();
        pass.first_ts = pass.reader.current_ts();
        Ok((pass, header))
    }

    fn advance(&mut self) {
        if let Err(error) = self.reader.advance() {
            self.failed = Some(error);
        }
    }

    /// Gives the current record to the handler; `None` if there is none.
    fn feed(
        &mut self,
        now: Nanos,
        sink: &mut dyn Sink,
        tally: &mut Tally,
    ) -> Option<(RecordKind, usize)> {
        let Record { ts_recv, connection, kind, payload } = self.reader.current()?;
        let bytes = payload.len();
        let connection = ConnectionIndex {
            line: (connection & 0xffff) as u16,
            generation: (connection >> 16) as u16,
        };
        let mut sink = FirstTime { sink, ts_event: None };
        let mut io = Io { sink: &mut sink, commands: &mut self.commands, tally, now };
        let is_open = self.open.contains(&connection);
        if !is_open && matches!(kind, RecordKind::Open | RecordKind::Recv) {
            // A recording may begin in the middle of a connection.
            let url = match kind {
                RecordKind::Open => std::str::from_utf8(payload).unwrap_or_default(),
                _ => "",
            };
            if self.open.len() == CONNECTIONS_MAX {
                self.handler.closed(self.open.remove(0), &mut io);
            }
            self.open.push(connection);
            self.handler.opened(connection, url, &mut io);
        }
        match kind {
            RecordKind::Open | RecordKind::Send => {}
            RecordKind::Recv => self.handler.message(connection, payload, &mut io),
            RecordKind::Close => {
                self.open.retain(|open| *open != connection);
                if is_open {
                    self.handler.closed(connection, &mut io);
                }
            }
            RecordKind::Rest => {
                let space = payload.iter().position(|byte| *byte == b' ').unwrap_or(0);
                let (url, body) = payload.split_at_mut(space);
                if let (Ok(url), Some(body)) = (std::str::from_utf8(url), body.get_mut(1..)) {
                    self.handler.rest(url, body, &mut io);
                }
            }
        }
        if let (None, Some(ts_event)) = (self.clock_offset, sink.ts_event) {
            self.clock_offset = Some(ts_event.0.saturating_sub(ts_recv.0));
        }
        if let Some(offset) = self.clock_offset {
            self.clock = ts_recv.plus(Nanos(offset));
        }
        Some((kind, bytes))
    }

    fn close_all(&mut self, now: Nanos, sink: &mut dyn Sink, tally: &mut Tally) {
        let mut io = Io { sink, commands: &mut self.commands, tally, now };
        for connection in self.open.drain(..) {
            self.handler.closed(connection, &mut io);
        }
    }
}

/// Passes everything on and notes the first venue time.
struct FirstTime<'a> {
    sink: &'a mut dyn Sink,
    ts_event: Option<Nanos>,
}

impl Sink for FirstTime<'_> {
    fn instrument(&mut self, spec: &InstrumentSpec) -> InstrumentIndex {
        self.sink.instrument(spec)
    }

    fn event(&mut self, event: &Event<'_>) {
        if self.ts_event.is_none() && event.ts_event != Nanos::ZERO {
            self.ts_event = Some(event.ts_event);
        }
        self.sink.event(event);
    }
}
