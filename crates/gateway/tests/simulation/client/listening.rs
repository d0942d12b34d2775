//! What a client hears: frames taken apart, messages read once for all who get the same bytes, and
//! the ends of connections, for which there has to be a reason.

use super::{Client, Role};
use crate::market::Market;
use crate::message::{Message, hash_of};
use crate::session::{Court, Flow, Judged};
use crate::websocket::{Frame, inflate, parse, write_masked};
use rustc_hash::FxHashMap;
use std::rc::Rc;
use tickcast_market::Nanos;

/// After ten seconds without progress a connection is closed, and five later it is given up.
const STUCK_MAX: Nanos = Nanos::from_secs(17);

/// A client whose line is free hears something every five seconds.
const SILENT_US_MAX: i64 = 6_500_000;

/// Messages that were parsed already: most are sent to many.
#[derive(Debug, Default)]
pub(crate) struct Parsed(FxHashMap<u64, Rc<Heard>>);

/// A message with its text.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) text: Box<[u8]>,
    message: Message,
}

/// How many parsed messages are kept.
const PARSED_MAX: usize = 4_096;

impl Parsed {
    fn hear(&mut self, text: &[u8], market: &Market) -> Judged<Rc<Heard>> {
        let hash = hash_of(text);
        if let Some(heard) = self.0.get(&hash).filter(|heard| *heard.text == *text) {
            return Ok(heard.clone());
        }
        let message = Message::parse(text, market)?;
        let heard = Rc::new(Heard { text: text.into(), message });
        if self.0.len() == PARSED_MAX {
            self.0.clear();
        }
        // A name may be known next time; an answer is nobody else's.
        let may_keep = match &heard.message {
            Message::Data(_) => true,
            Message::Status(status) => status.instrument.is_some(),
            _ => false,
        };
        if may_keep {
            self.0.insert(hash, heard.clone());
        }
        Ok(heard)
    }
}

impl Client {
    /// Takes what its line has for it and judges it.
    pub(crate) fn read(
        &mut self,
        parsed: &mut Parsed,
        court: Court<'_>,
        now: Nanos,
        quiet: bool,
    ) -> Judged {
        let Some(line) = &self.line else { return Ok(()) };
        let reads = !self.is_dead && (quiet || now >= self.read_at);
        if !reads && line.stuck_for() > STUCK_MAX && !line.is_let_go() {
            return Err("nothing moves and it is not closed".to_owned());
        }
        if self.is_dead {
            if line.is_let_go() {
                self.story.did(now, "is given up");
                self.given_up += 1;
                self.left(now);
            }
            return Ok(());
        }
        if line.is_at_end() {
            return self.ended(None, now);
        }
        if !line.has_bytes() {
            let heard_at = self.heard_at.micros().max(court.disturbed);
            if self.flow() == Flow::Prompt && court.now - heard_at > SILENT_US_MAX {
                return Err("no heartbeat comes".to_owned());
            }
            return Ok(());
        }
        if !reads {
            return Ok(());
        }
        self.heard_at = now;
        if quiet {
            line.widen();
        }
        let most = match self.role {
            Role::Slow if !quiet => {
                self.read_at = now.plus(Nanos::from_millis(self.random.i64(20..4_000)));
                self.random.usize(1..4_000)
            }
            _ if !quiet && self.random.u8(..50) == 0 => self.random.usize(1..5_000),
            _ => usize::MAX,
        };
        line.read(most, &mut self.buffer);
        let buffer = std::mem::take(&mut self.buffer);
        let mut at = 0;
        while let Some((frame, length)) = parse(&buffer[at..])? {
            at += length;
            match frame {
                Frame::Compressed(_) if !self.compresses => {
                    return Err("a message is compressed that should not be".to_owned());
                }
                Frame::Compressed(payload) => {
                    let plain = inflate(payload)?;
                    if plain.len() < 1 << 10 || plain.len() <= payload.len() {
                        return Err(format!("compressed in vain: {} bytes", plain.len()));
                    }
                    self.compressed += 1;
                    self.take_frame(&Frame::Text(&plain), parsed, court, now)?;
                }
                _ => self.take_frame(&frame, parsed, court, now)?,
            }
        }
        self.buffer = buffer;
        self.buffer.drain(..at.min(self.buffer.len()));
        Ok(())
    }

    fn take_frame(
        &mut self,
        frame: &Frame<'_>,
        parsed: &mut Parsed,
        court: Court<'_>,
        now: Nanos,
    ) -> Judged {
        match frame {
            Frame::Text(text) | Frame::Compressed(text) => {
                let flow = self.flow();
                let heard = parsed
                    .hear(text, court.market)
                    .map_err(|error| format!("{error}: {}", String::from_utf8_lossy(text)))?;
                self.story.got(now, heard.clone());
                self.session.take(&heard.message, flow, court)
            }
            Frame::Ping(payload) => {
                if self.role != Role::Mute && self.fatal.is_none() {
                    write_masked(&mut self.out, 0x8A, payload, [7; 4]);
                }
                Ok(())
            }
            Frame::Pong(payload) => {
                // Those that came too fast are answered together.
                let at = self.pings.iter().position(|ping| ping == payload);
                let at = at.ok_or_else(|| format!("a pong of {payload:?}"))?;
                self.pings.drain(..=at);
                Ok(())
            }
            Frame::Close(code, reason) => {
                let reason = String::from_utf8_lossy(reason);
                self.story.did(now, format!("is told {code} {reason}"));
                self.ended(Some(*code), now)
            }
        }
    }

    fn flow(&self) -> Flow {
        match (&self.line, self.role) {
            (Some(line), _) if line.shorts() > 0 => Flow::Halting,
            (_, Role::Slow | Role::Stalling) => Flow::Free,
            _ => Flow::Prompt,
        }
    }

    /// The connection is over: there has to be a reason.
    fn ended(&mut self, code: Option<u16>, now: Nanos) -> Judged {
        let Some(line) = self.line.take() else { return Ok(()) };
        let stuck = line.longest_stuck() >= Nanos::from_millis(9_900);
        let silent = self.silence.max(now.since(self.spoke_at)) >= Nanos::from_secs(25);
        let is_fine = match code {
            Some(4508) => stuck || silent,
            Some(1001) => self.session.goaway.is_some(),
            Some(1000) => self.said_close,
            Some(code) => self.fatal == Some(code),
            None => stuck || silent || self.said_close,
        };
        if !is_fine {
            self.line = Some(line);
            return Err(format!("the connection ends with {code:?}"));
        }
        match code {
            Some(4508) => self.given_up += 1,
            None if self.said_close => self.perhaps_given_up += 1,
            None => self.given_up += 1,
            Some(_) => {}
        }
        line.shut();
        self.left(now);
        Ok(())
    }
}
