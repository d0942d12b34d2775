//! The handler of events from NATS: tells lines of JSON from protobuf, takes event by event, and
//! refuses what cannot be used by name.

use crate::handler::{Command, ConnectionIndex, Handler, Io, Limits};
use crate::nats::event::{Body, Lists, Reason, Refusal, Written, refused};
use crate::nats::instruments::{Instruments, Judgement};
use crate::nats::judge::{self, Judged, Levels, Terms};
use crate::nats::{EVENTS_MAX, NATS_MESSAGE_BYTES_MAX, json, protobuf};
use crate::roster::faults::excerpt;
use rustc_hash::FxHashSet;
use tickcast_market::{InstrumentIndex, InstrumentSpec, Nanos, Quote, Venue};

/// There is no list of instruments; what was declared within this time after the first connection
/// counts as one.
const LIST_SPAN: Nanos = Nanos::from_secs(3);
/// Lines of the log between two calls of the timer; the rest is counted.
const REPORTS_MAX: u32 = 20;

/// Bytes of a message that are shown where it is neither protobuf nor JSON.
const PAYLOAD_SHOWN_BYTES: usize = 40;

/// What is wanted of NATS; where it is the driver knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatsConfig {
    /// Where NATS is, for the log: without what is secret in it.
    pub url: String,
    /// Subjects to subscribe to, wildcards allowed; no message may match two of them.
    pub subjects: Vec<String>,
    /// Symbols to take; none for all.
    pub symbols: Vec<String>,
    /// Without any message for so long, a publisher's heartbeats included, everything is stale.
    pub silence_max: Nanos,
}

impl Default for NatsConfig {
    fn default() -> Self {
        NatsConfig {
            url: "nats://127.0.0.1:4222".into(),
            subjects: Vec::new(),
            symbols: Vec::new(),
            silence_max: Nanos::from_secs(30),
        }
    }
}

/// The handler of normalised events.
#[derive(Debug)]
pub struct NatsHandler {
    config: NatsConfig,
    wanted: FxHashSet<Box<[u8]>>,
    serving: Option<ConnectionIndex>,
    instruments: Instruments,
    lists: Lists,
    judged: Judged,
    name: Vec<u8>,
    reports: u32,
    opened_at: Option<Nanos>,
    is_complete: bool,
}

impl NatsHandler {
    /// A handler that knows nothing yet.
    pub fn new(config: NatsConfig) -> NatsHandler {
        let wanted = config.symbols.iter().map(|symbol| symbol.as_bytes().into()).collect();
        NatsHandler {
            config,
            wanted,
            serving: None,
            instruments: Instruments::default(),
            lists: Lists::default(),
            judged: Judged::default(),
            name: Vec::new(),
            reports: 0,
            opened_at: None,
            is_complete: false,
        }
    }

    fn events(&mut self, subject: &[u8], payload: &[u8], io: &mut Io<'_>) -> Result<(), Refusal> {
        if payload.len() > NATS_MESSAGE_BYTES_MAX {
            let text = format!("{} bytes, {NATS_MESSAGE_BYTES_MAX} at most", payload.len());
            return Err(refused(Reason::TooLarge, "message", &text));
        }
        // No field of Message has a key that looks like a brace.
        if payload.first() == Some(&b'{') {
            let lines = || payload.split(|byte| *byte == b'\n').filter(|line| !is_blank(line));
            let count = lines().take(EVENTS_MAX + 1).count();
            if count > EVENTS_MAX {
                let text = format!("more than {EVENTS_MAX} lines");
                return Err(refused(Reason::TooMany, "message", &text));
            }
            lines().for_each(|line| self.event(subject, json::read, line, io));
        } else {
            protobuf::events(payload)
                .map_err(|refusal| shown_with(refusal, payload))?
                .for_each(|event| self.event(subject, protobuf::read, event, io));
        }
        Ok(())
    }

    fn event<'a>(
        &mut self,
        subject: &[u8],
        read: impl Fn(&'a [u8], &mut Written<'a>, &mut Lists) -> Result<(), Refusal>,
        bytes: &'a [u8],
        io: &mut Io<'_>,
    ) {
        let mut written = Written::default();
        self.lists.clear();
        let outcome = match read(bytes, &mut written, &mut self.lists) {
            Ok(()) => self.take(&written, io),
            Err(refusal) => {
                if written.body == Body::Nothing {
                    written.body = Body::Unclear;
                }
                Err(refusal)
            }
        };
        if let Err(refusal) = outcome {
            self.refuse(subject, &written, &refusal, io);
        }
    }

    /// Judges an event and applies it, whole or not at all.
    fn take(&mut self, written: &Written<'_>, io: &mut Io<'_>) -> Result<(), Refusal> {
        if written.body == Body::Heartbeat && written.symbol.is_empty() {
            io.tally.message(written.body.name());
            self.instruments.heartbeat(written.venue, io);
            return Ok(());
        }
        judge::name(written, &mut self.name)?;
        if !self.wanted.is_empty() && !self.wanted.contains(self.name.as_slice()) {
            io.tally.message("other");
            return Ok(());
        }
        let known =
            self.instruments.find(&self.name).map(|entry| (entry.terms, entry.is_undeclared));
        let terms = match (&written.declared, known) {
            (Some(it), known) => judge::terms(it, known.map(|(terms, _)| terms.scales))?,
            (None, Some((terms, false))) => terms,
            (None, Some(_)) => {
                let why = "its last declaration was refused, or the event that it came with";
                return Err(refused(Reason::Unknown, "symbol", why));
            }
            (None, None) => return Err(refused(Reason::Unknown, "symbol", "not declared")),
        };
        let ts_event = judge::time(written.ts_event, io.now, "ts_event")?;
        let (lists, judged) = (&self.lists, &mut self.judged);
        let mut quote = Quote::default();
        match written.body {
            Body::Quote => quote = judge::quote(lists, terms)?,
            Body::Trades => judge::trades(lists, ts_event, io.now, terms.scales, judged)?,
            Body::BookSnapshot => judge::levels(lists, Levels::Whole, terms, judged)?,
            Body::BookChanges => judge::levels(lists, Levels::Changes, terms, judged)?,
            Body::Nothing if written.declared.is_none() => {
                return Err(refused(Reason::Missing, "body", "neither a body nor an instrument"));
            }
            Body::Nothing | Body::Status | Body::Heartbeat | Body::Unclear => {}
        }
        if known.is_none() {
            self.declare(written, terms, io)?;
        }
        self.instruments.heard(&self.name, io);
        let Some(entry) = self.instruments.find(&self.name) else {
            return Err(refused(Reason::Unknown, "symbol", "not declared"));
        };
        (entry.terms, entry.is_undeclared) = (terms, false);
        io.tally.message(written.body.name());
        let Written { body, seq, status, .. } = *written;
        let judged = &self.judged;
        let is_gap = entry.apply(Judgement { body, seq, ts_event, quote, status, judged }, io);
        io.tally.gaps += u64::from(is_gap);
        Ok(())
    }

    /// Makes the instrument known whose symbol is in `name`.
    fn declare(
        &mut self,
        written: &Written<'_>,
        terms: Terms,
        io: &mut Io<'_>,
    ) -> Result<(), Refusal> {
        if self.instruments.is_full() {
            let text = format!("more than {} instruments", crate::roster::INSTRUMENTS_MAX);
            return Err(refused(Reason::TooMany, "instrument", &text));
        }
        let declared = written.declared.unwrap_or_default();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let spec = InstrumentSpec {
            venue: Venue::Nats,
            symbol: text(&self.name),
            venue_symbol: text(written.symbol),
            tick_size: declared.tick_size,
            lot_size: declared.lot_size,
            scales: terms.scales,
        };
        self.instruments.add(written.venue, &spec, terms, io);
        Ok(())
    }

    /// Counts and names what is not taken; what it would have changed is in doubt.
    fn refuse(
        &mut self,
        subject: &[u8],
        written: &Written<'_>,
        refusal: &Refusal,
        io: &mut Io<'_>,
    ) {
        let Refusal { reason, field, value } = refusal;
        io.tally.decode_error(reason.name());
        let is_named = judge::name(written, &mut self.name).is_ok();
        if is_named && let Some(entry) = self.instruments.find(&self.name) {
            // Nothing of a refused event is taken, and what follows it is at the scales that it says.
            let held = Ok(entry.terms);
            let terms = |it| judge::terms(it, Some(entry.terms.scales));
            entry.is_undeclared |= refusal.is_of_declaration()
                || written.declared.as_ref().is_some_and(|it| terms(it) != held);
            let is_gap = entry.refused(written.seq, written.body, io);
            io.tally.gaps += u64::from(is_gap);
        }
        self.reports = self.reports.saturating_add(1);
        if self.reports <= REPORTS_MAX {
            let symbol = if is_named { excerpt(&self.name) } else { "?".into() };
            let (subject, reason) = (excerpt(subject), reason.name());
            let value = excerpt(value.as_bytes());
            let text =
                format!("refused: {reason}: subject {subject}: nats:{symbol}: {field}: {value:?}");
            io.commands.push(Command::Report { text });
        }
    }

    /// Names those of which something in doubt is not said again.
    fn tell_overdue(&mut self, io: &mut Io<'_>) {
        let (span, reports, commands) =
            (self.config.silence_max, &mut self.reports, &mut io.commands);
        self.instruments.overdue(span, io.now, |text| {
            *reports = reports.saturating_add(1);
            if *reports <= REPORTS_MAX {
                commands.push(Command::Report { text });
            }
        });
    }
}

/// With the beginning of what is no Message: it may be text that was meant to be JSON.
#[cold]
fn shown_with(mut refusal: Refusal, payload: &[u8]) -> Refusal {
    if refusal.reason == Reason::Protobuf {
        let start = &payload[..payload.len().min(PAYLOAD_SHOWN_BYTES)];
        refusal.value = format!("{}, in what begins with {}", refusal.value, excerpt(start));
    }
    refusal
}

fn is_blank(line: &[u8]) -> bool {
    line.iter().all(u8::is_ascii_whitespace)
}

impl Handler for NatsHandler {
    fn venue(&self) -> Venue {
        Venue::Nats
    }

    fn limits(&self) -> Limits {
        Limits {
            send_gap: Nanos::ZERO,
            get_gap: Nanos::from_secs(1),
            connect_gap: Nanos::from_millis(50),
            silence_max: self.config.silence_max,
            lifetime_max: None,
            message_bytes_max: NATS_MESSAGE_BYTES_MAX,
        }
    }

    fn start(&mut self, io: &mut Io<'_>) {
        io.commands.push(Command::Connect { line: 0, url: self.config.url.clone() });
    }

    fn is_complete(&self) -> bool {
        self.is_complete
    }

    fn opened(&mut self, connection: ConnectionIndex, _url: &str, io: &mut Io<'_>) {
        self.serving = Some(connection);
        self.opened_at.get_or_insert(io.now);
        self.instruments.begin(io);
        // What is sent to NATS is a subject to subscribe to.
        for subject in &self.config.subjects {
            io.commands.push(Command::Send { connection, text: subject.clone() });
        }
    }

    fn message(&mut self, connection: ConnectionIndex, bytes: &mut [u8], io: &mut Io<'_>) {
        if self.serving != Some(connection) {
            io.tally.message("late");
            return;
        }
        let space = bytes.iter().position(|byte| *byte == b' ').unwrap_or(bytes.len());
        let (subject, payload) = bytes.split_at(space);
        if let Err(refusal) = self.events(subject, payload.get(1..).unwrap_or_default(), io) {
            self.refuse(subject, &Written::default(), &refusal, io);
        }
    }

    fn rest(&mut self, _url: &str, _body: &mut [u8], _io: &mut Io<'_>) {}

    fn rest_failed(&mut self, _url: &str, _status: u16, _io: &mut Io<'_>) {}

    fn silent(&mut self, connection: ConnectionIndex, io: &mut Io<'_>) {
        if self.serving == Some(connection) {
            self.instruments.turn_stale(io);
        }
    }

    fn closed(&mut self, connection: ConnectionIndex, io: &mut Io<'_>) {
        if self.serving == Some(connection) {
            self.serving = None;
            self.instruments.turn_stale(io);
        }
    }

    fn timer(&mut self, io: &mut Io<'_>) {
        let since = self.opened_at.map(|at| io.now.since(at));
        if self.serving.is_some() {
            self.instruments.watch(self.config.silence_max, io);
            self.tell_overdue(io);
        }
        self.is_complete |= since.is_some_and(|since| since >= LIST_SPAN);
        if self.reports > REPORTS_MAX {
            let text = format!("not told: {} more in the last second", self.reports - REPORTS_MAX);
            io.commands.push(Command::Report { text });
        }
        self.reports = 0;
    }

    fn resync(&mut self, instrument: InstrumentIndex, io: &mut Io<'_>) {
        if let Some(entry) = self.instruments.of_index(instrument) {
            entry.doubt(io);
        }
    }
}
