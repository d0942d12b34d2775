//! What follows from a handler's command and from a connection's transition.

use super::{At, Core, Effect, REPORTS_PER_SECOND_MAX};
use crate::driver::connection::{Act, Input};
use crate::driver::line::Line;
use crate::driver::rest::GETS_MAX;
use crate::handler::{Command, ConnectionIndex};
use crate::recording::RecordKind;
use tickcast_market::Sink;

/// The most lines that one handler may keep.
const LINES_MAX: usize = 1024;
/// The most messages that wait for their turn on one connection.
const SENDS_MAX: usize = 4096;

impl Core {
    pub(super) fn run(&mut self, command: Command, at: At, sink: &mut dyn Sink) {
        match command {
            Command::Connect { line, url } => self.connect(line, url, at, sink),
            Command::Send { connection, text } => {
                let Some(slot) = self.slot_mut(connection) else { return };
                if !slot.connection.is_open() {
                    return;
                }
                if slot.sends.len() < SENDS_MAX {
                    slot.sends.push_back(text);
                } else {
                    self.report(&format!("{SENDS_MAX} messages wait to be sent; one more is lost"));
                }
            }
            Command::Get { url, after } => {
                if !self.gets.push(at.mono.plus(after), url) {
                    self.report(&format!("{GETS_MAX} requests wait; one more is lost"));
                }
            }
            Command::Reconnect { connection, reason } => {
                self.step(connection, Input::Cut, &reason, at, sink);
            }
            Command::Replace { connection } => {
                self.step(connection, Input::Replace, "", at, sink);
            }
            Command::Report { text } => self.report(&text),
        }
    }

    fn report(&mut self, text: &str) {
        self.reports = self.reports.saturating_add(1);
        if self.reports <= REPORTS_PER_SECOND_MAX {
            tracing::warn!(venue = %self.venue, "{text}");
        }
    }

    fn connect(&mut self, number: u16, url: String, at: At, sink: &mut dyn Sink) {
        if let Some(line) = self.lines.iter_mut().find(|line| line.number == number) {
            if line.url == url {
                return;
            }
            line.url = url;
            if let Some(index) = line.slots.last().map(|slot| slot.connection.index) {
                self.step(index, Input::Replace, "", at, sink);
            }
            return;
        }
        if self.lines.len() >= LINES_MAX {
            self.report(&format!("line {number}: more than {LINES_MAX} lines"));
            return;
        }
        if self.stopping {
            return;
        }
        let mut line = Line::new(number, url, self.config.backoff(number), at.mono);
        let first = line.open_next(at.mono);
        self.lines.push(line);
        // Dialled at once where pacing allows it, not at the next tick.
        self.tick_one(first, at, sink);
    }

    /// Moves one connection on and does what that asks for.
    pub(super) fn step(
        &mut self,
        index: ConnectionIndex,
        input: Input,
        reason: &str,
        at: At,
        sink: &mut dyn Sink,
    ) {
        let limits = self.limits;
        let Some(slot) = self.slot_mut(index) else { return };
        let act = slot.connection.step(input, at.mono, &limits);
        match act {
            Act::Nothing => {}
            Act::Dial => {
                let url = self.url_of(index);
                self.effects.push(Effect::Dial { index, url });
            }
            Act::Subscribe => {
                let url = self.url_of(index);
                tracing::info!(venue = %self.venue, url, line = index.line, "open");
                self.record(at.wall, index, RecordKind::Open, url.as_bytes());
                self.call(at, sink, |handler, io| handler.opened(index, &url, io));
            }
            Act::OpenNext => {
                let venue = self.venue;
                if let Some(line) = self.line_mut(index) {
                    tracing::info!(%venue, line = index.line, "replaced with overlap");
                    line.open_next(at.mono);
                }
            }
            Act::CloseSilent => {
                self.call(at, sink, |handler, io| handler.silent(index, io));
                self.close(index, "silent for too long", true, at, sink);
            }
            Act::Close => self.close(index, reason, true, at, sink),
            Act::CloseOld => self.close(index, reason, false, at, sink),
            Act::Retry => {
                // The dialler may still be at work.
                self.retry(index, reason, at);
                self.effects.push(Effect::Close { index });
            }
        }
    }

    fn url_of(&mut self, index: ConnectionIndex) -> String {
        self.line_mut(index).map(|line| line.url.clone()).unwrap_or_default()
    }

    fn close(
        &mut self,
        index: ConnectionIndex,
        reason: &str,
        again: bool,
        at: At,
        sink: &mut dyn Sink,
    ) {
        self.effects.push(Effect::Close { index });
        self.record(at.wall, index, RecordKind::Close, reason.as_bytes());
        if again && !self.stopping {
            self.retry(index, reason, at);
        } else {
            self.forget(index);
        }
        self.call(at, sink, |handler, io| handler.closed(index, io));
    }

    /// Puts the line's next connection in the place of one that has ended.
    fn retry(&mut self, index: ConnectionIndex, reason: &str, at: At) {
        self.forget(index);
        if self.stopping {
            return;
        }
        self.reconnects += 1;
        let venue = self.venue;
        let Some(line) = self.line_mut(index) else { return };
        let delay = line.backoff.next_delay();
        line.open_next(at.mono.plus(delay));
        let (url, delay_ms) = (&line.url, delay.0 / 1_000_000);
        tracing::warn!(%venue, url, line = index.line, delay_ms, reason, "connection ended");
    }

    fn forget(&mut self, index: ConnectionIndex) {
        if let Some(line) = self.line_mut(index) {
            line.slots.retain(|slot| slot.connection.index != index);
        }
        // What was still to be done with it has lost its object, except to close it.
        self.effects.retain(|effect| match effect {
            Effect::Dial { index: of, .. } | Effect::Write { index: of, .. } => *of != index,
            Effect::Close { .. } | Effect::Get { .. } => true,
        });
    }

    /// Closes the older generation once the newer one serves.
    pub(super) fn retire_old(&mut self, index: ConnectionIndex, at: At, sink: &mut dyn Sink) {
        let older = match self.line_mut(index) {
            Some(line) if line.slots.len() > 1 => line.older_than(index),
            _ => return,
        };
        if older.is_empty() || !self.handler.is_served(index) {
            return;
        }
        for old in older {
            self.step(old, Input::Superseded, "a newer connection serves", at, sink);
        }
        self.settle(at, sink);
    }

    /// Lets out what waits for its turn.
    pub(super) fn pump(&mut self, at: At) {
        let limits = self.limits;
        let mut sent: Vec<(ConnectionIndex, String)> = Vec::new();
        for slot in self.lines.iter_mut().flat_map(|line| &mut line.slots) {
            while !slot.sends.is_empty() && slot.pacer.take(at.mono, limits.send_gap) {
                sent.extend(slot.sends.pop_front().map(|text| (slot.connection.index, text)));
            }
        }
        for (index, text) in sent {
            self.record(at.wall, index, RecordKind::Send, text.as_bytes());
            self.effects.push(Effect::Write { index, text });
        }
        while let Some(url) = self.gets.pop(at.mono, limits.get_gap) {
            self.effects.push(Effect::Get { url });
        }
    }
}
