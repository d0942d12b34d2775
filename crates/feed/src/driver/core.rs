//! The driver without its sockets: lines, their connections, pacing, and the handler between.
//!
//! Everything that happens comes in as a call with the time; everything to be done goes out as an
//! [`Effect`]. Nothing here can block or fail, so a test needs neither network nor clock.

mod steps;

use crate::driver::config::{DriverConfig, FeedState, Recorder};
use crate::driver::connection::{Input, State};
use crate::driver::line::{Line, Slot};
use crate::driver::rest::{GetError, GetQueue, HOLD_MAX};
use crate::handler::{Command, ConnectionIndex, Handler, Io, Limits, Tally};
use crate::recording::RecordKind;
use std::collections::VecDeque;
use std::io;
use tickcast_market::{InstrumentIndex, Nanos, Sink, Venue};

/// The most commands that one call of the handler may lead to, so that a handler that answers
/// every command with another one does not hold the driver.
const COMMANDS_MAX: usize = 65_536;
/// How often the handler's timer is called.
const TIMER_SPAN: Nanos = Nanos::from_secs(1);
/// How many reports reach the log each second; the rest is counted.
const REPORTS_PER_SECOND_MAX: u32 = 20;

/// When something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct At {
    /// By a clock that never steps: for deadlines.
    pub(crate) mono: Nanos,
    /// By the wall clock: for the handler and the recorder.
    pub(crate) wall: Nanos,
}

/// What the driver's outer half has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Open a socket.
    Dial { index: ConnectionIndex, url: String },
    /// Send a text message.
    Write { index: ConnectionIndex, text: String },
    /// Close the socket, if there is one.
    Close { index: ConnectionIndex },
    /// Fetch a resource.
    Get { url: String },
}

/// The handler and everything that is kept around it.
pub(crate) struct Core {
    handler: Box<dyn Handler>,
    venue: Venue,
    limits: Limits,
    config: DriverConfig,
    lines: Vec<Line>,
    gets: GetQueue,
    commands: Vec<Command>,
    waiting: VecDeque<Command>,
    tally: Tally,
    effects: Vec<Effect>,
    recorder: Option<Box<dyn Recorder>>,
    recorder_error: Option<io::Error>,
    reconnects: u64,
    reports: u32,
    timer_at: Nanos,
    stopping: bool,
}

impl Core {
    pub(crate) fn new(
        handler: Box<dyn Handler>,
        config: DriverConfig,
        recorder: Option<Box<dyn Recorder>>,
    ) -> Core {
        let (venue, limits) = (handler.venue(), config.limits.unwrap_or(handler.limits()));
        Core {
            handler,
            venue,
            limits,
            config,
            lines: Vec::new(),
            gets: GetQueue::default(),
            commands: Vec::new(),
            waiting: VecDeque::new(),
            tally: Tally::default(),
            effects: Vec::new(),
            recorder,
            recorder_error: None,
            reconnects: 0,
            reports: 0,
            timer_at: Nanos::ZERO,
            stopping: false,
        }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The handler begins.
    pub(crate) fn start(&mut self, at: At, sink: &mut dyn Sink) {
        self.timer_at = at.mono.plus(TIMER_SPAN);
        self.call(at, sink, |handler, io| handler.start(io));
        self.settle(at, sink);
    }

    /// The dialler succeeded.
    pub(crate) fn opened(&mut self, index: ConnectionIndex, at: At, sink: &mut dyn Sink) {
        self.step(index, Input::Opened, "", at, sink);
        self.settle(at, sink);
    }

    /// The dialler failed or the socket ended, in words.
    pub(crate) fn lost(
        &mut self,
        index: ConnectionIndex,
        reason: &str,
        retry_after: Option<Nanos>,
        at: At,
        sink: &mut dyn Sink,
    ) {
        self.step(index, Input::Lost, reason, at, sink);
        if let Some(span) = retry_after
            && let Some(line) = self.line_mut(index)
        {
            line.hold(at.mono.plus(span.clamp(Nanos::ZERO, HOLD_MAX)));
        }
        self.settle(at, sink);
    }

    /// A message has come; `at.wall` is when it was received.
    pub(crate) fn message(
        &mut self,
        index: ConnectionIndex,
        bytes: &mut [u8],
        at: At,
        sink: &mut dyn Sink,
    ) {
        if !self.heard(index, at) {
            // A connection that is over for us may still have had messages under way.
            return;
        }
        self.record(at.wall, index, RecordKind::Recv, bytes);
        self.call(at, sink, |handler, io| handler.message(index, bytes, io));
        self.settle(at, sink);
        self.retire_old(index, at, sink);
    }

    /// A ping or pong has come: proof of life. False when the connection is over for us.
    pub(crate) fn heard(&mut self, index: ConnectionIndex, at: At) -> bool {
        let limits = self.limits;
        let Some(line) = self.line_mut(index) else { return false };
        line.heard_at = at.mono;
        let Some(slot) = line.slot_mut(index) else { return false };
        slot.connection.step(Input::Heard, at.mono, &limits);
        slot.connection.is_open()
    }

    /// We did not listen ourselves until now: what we have not heard is not the venue's silence.
    pub(crate) fn excuse_silence(&mut self, now: Nanos) {
        let limits = self.limits;
        for line in &mut self.lines {
            line.heard_at = now;
            for slot in &mut line.slots {
                slot.connection.step(Input::Heard, now, &limits);
            }
        }
    }

    /// A REST request has ended.
    pub(crate) fn answered(
        &mut self,
        url: &str,
        answer: Result<&mut [u8], &GetError>,
        at: At,
        sink: &mut dyn Sink,
    ) {
        self.gets.ended(answer.as_ref().err().copied(), at.mono);
        match answer {
            Ok(body) => {
                if let Some(recorder) = &mut self.recorder {
                    keep_first(&mut self.recorder_error, recorder.rest(at.wall, url, body));
                }
                self.call(at, sink, |handler, io| handler.rest(url, body, io));
            }
            Err(error) => {
                tracing::warn!(venue = %self.venue, url, "{}", error.reason);
                self.call(at, sink, |handler, io| handler.rest_failed(url, error.status, io));
            }
        }
        self.settle(at, sink);
        self.pump(at);
    }

    /// Somebody downstream wants this instrument anew.
    pub(crate) fn resync(&mut self, instrument: InstrumentIndex, at: At, sink: &mut dyn Sink) {
        self.call(at, sink, |handler, io| handler.resync(instrument, io));
        self.settle(at, sink);
    }

    /// Time has passed: everything that was due is done.
    pub(crate) fn tick(&mut self, at: At, sink: &mut dyn Sink) {
        if at.mono >= self.timer_at {
            self.timer_at = at.mono.plus(TIMER_SPAN);
            if self.reports > REPORTS_PER_SECOND_MAX {
                let more = self.reports - REPORTS_PER_SECOND_MAX;
                tracing::warn!(venue = %self.venue, "{more} more reports in the last second");
            }
            self.reports = 0;
            self.call(at, sink, |handler, io| handler.timer(io));
        }
        // By index, because a step may open a connection (at the end) or remove its own.
        for line in 0..self.lines.len() {
            let due: Vec<ConnectionIndex> = self.lines[line]
                .slots
                .iter()
                .filter(|slot| slot.connection.deadline(&self.limits) <= at.mono)
                .map(|slot| slot.connection.index)
                .collect();
            for index in due {
                self.tick_one(index, at, sink);
            }
            self.lines[line].note_health(at.mono);
        }
        self.settle(at, sink);
        self.pump(at);
    }

    fn tick_one(&mut self, index: ConnectionIndex, at: At, sink: &mut dyn Sink) {
        let Some(slot) = self.slot_mut(index) else { return };
        if matches!(slot.connection.state, State::Waiting { until } if at.mono >= until)
            && let Err(until) = self.config.connect_pacer.take(at.mono, self.limits.connect_gap)
            && let Some(slot) = self.slot_mut(index)
        {
            slot.connection.state = State::Waiting { until };
            return;
        }
        self.step(index, Input::Tick, "", at, sink);
    }

    /// Closes everything; nothing is opened any more.
    pub(crate) fn stop(&mut self, at: At, sink: &mut dyn Sink) {
        self.stopping = true;
        let open: Vec<ConnectionIndex> = self
            .lines
            .iter()
            .flat_map(|line| line.slots.iter().map(|slot| slot.connection.index))
            .collect();
        for index in open {
            self.step(index, Input::Cut, "shutdown", at, sink);
        }
        self.settle(at, sink);
    }

    /// When [`Core::tick`] has something to do.
    pub(crate) fn deadline(&self) -> Nanos {
        let slots = self.lines.iter().flat_map(|line| &line.slots).map(|slot| {
            let sends = if slot.sends.is_empty() { Nanos::MAX } else { slot.pacer.free_at() };
            slot.connection.deadline(&self.limits).min(sends)
        });
        slots.fold(self.timer_at.min(self.gets.deadline()), Nanos::min)
    }

    /// What has to be done; take it after every call.
    pub(crate) fn effects(&mut self) -> std::vec::Drain<'_, Effect> {
        self.effects.drain(..)
    }

    /// What was counted since this was last called, and how often a line was opened anew.
    pub(crate) fn counted(&mut self) -> (&mut Tally, u64) {
        (&mut self.tally, std::mem::take(&mut self.reconnects))
    }

    /// Whether there is a recorder that failed.
    pub(crate) fn take_recorder_error(&mut self) -> Option<io::Error> {
        self.recorder_error.take()
    }

    /// Hands the recorder's bytes to its file.
    pub(crate) fn flush_recorder(&mut self) {
        if let Some(recorder) = &mut self.recorder {
            keep_first(&mut self.recorder_error, recorder.flush());
        }
    }

    /// Whether the handler's list of instruments is complete.
    pub(crate) fn is_complete(&self) -> bool {
        self.handler.is_complete()
    }

    /// How the lines stand, all in all.
    pub(crate) fn state(&self) -> FeedState {
        if self.stopping {
            return FeedState::Stopped;
        }
        let open = self.lines.iter().filter(|line| line.is_open()).count();
        match open {
            0 if self.lines.iter().all(Line::is_first) => FeedState::Starting,
            0 => FeedState::Down,
            _ if open == self.lines.len() => FeedState::Live,
            _ => FeedState::Degraded,
        }
    }

    /// The longest silence of any line.
    pub(crate) fn silence(&self, now: Nanos) -> Nanos {
        self.lines.iter().map(|line| now.since(line.heard_at)).max().unwrap_or_default()
    }

    fn line_mut(&mut self, index: ConnectionIndex) -> Option<&mut Line> {
        self.lines.iter_mut().find(|line| line.number == index.line)
    }

    fn slot_mut(&mut self, index: ConnectionIndex) -> Option<&mut Slot> {
        self.line_mut(index)?.slot_mut(index)
    }

    fn record(&mut self, at: Nanos, index: ConnectionIndex, kind: RecordKind, payload: &[u8]) {
        if let Some(recorder) = &mut self.recorder {
            let number = (u32::from(index.generation) << 16) | u32::from(index.line);
            keep_first(&mut self.recorder_error, recorder.record(at, number, kind, payload));
        }
    }

    /// Calls the handler; what it asks for waits for [`Core::settle`], because the call may itself
    /// be part of a command (a reconnect tells the handler that the old connection is closed).
    fn call(
        &mut self,
        at: At,
        sink: &mut dyn Sink,
        call: impl FnOnce(&mut dyn Handler, &mut Io<'_>),
    ) {
        let mut io =
            Io { sink, commands: &mut self.commands, tally: &mut self.tally, now: at.wall };
        call(self.handler.as_mut(), &mut io);
        if !self.commands.is_empty() {
            self.waiting.extend(self.commands.drain(..));
        }
    }

    /// Does what the handler has asked for, and what it asks for in consequence.
    fn settle(&mut self, at: At, sink: &mut dyn Sink) {
        if self.waiting.is_empty() {
            return;
        }
        let mut done = 0;
        while let Some(command) = self.waiting.pop_front() {
            self.run(command, at, sink);
            done += 1;
            if done >= COMMANDS_MAX && !self.waiting.is_empty() {
                let count = self.waiting.len();
                tracing::error!(venue = %self.venue, count, "the handler asks without end");
                self.waiting.clear();
            }
        }
        self.pump(at);
    }
}

fn keep_first(kept: &mut Option<io::Error>, outcome: io::Result<()>) {
    if let Err(error) = outcome {
        kept.get_or_insert(error);
    }
}
