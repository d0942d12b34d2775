//! A simulated client: its line, and what it sends. What comes to its mind is in `habits`, what it
//! hears in `listening`; what it is told is judged by its session.

mod habits;
mod listening;

pub(crate) use listening::{Heard, Parsed};

use crate::line::ClientEnd;
use crate::market::Market;
use crate::message::Kind;
use crate::request::{Request, Subscribe};
use crate::session::Session;
use crate::story::Story;
use crate::websocket::{deflate, write_masked};
use crate::wishes::Options;
use fastrand::Rng;
use tickcast_market::Nanos;

/// How a client behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Reads everything at once.
    Fast,
    /// Reads a little now and then.
    Slow,
    /// Stops reading for seconds, sometimes for too long.
    Stalling,
    /// Reads for a while and then never again.
    Dead,
    /// Wants everything.
    Greedy,
    /// Changes its mind.
    Fickle,
    /// Loses its line and comes back.
    Returning,
    /// Sends what is wrong.
    Rude,
    /// Says nothing after its requests, not even pong.
    Mute,
}

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) role: Role,
    /// It has agreed to compression.
    pub(crate) compresses: bool,
    /// Compressed messages that it was sent.
    pub(crate) compressed: u64,
    /// Of the shard that has its connection.
    pub(crate) shard: usize,
    pub(crate) random: Rng,
    pub(crate) line: Option<ClientEnd>,
    pub(crate) session: Session,
    pub(crate) story: Story,
    /// When it comes, or comes back.
    pub(crate) connect_at: Nanos,
    wanted: Vec<(Kind, String, Options)>,
    buffer: Vec<u8>,
    out: Vec<u8>,
    act_at: Nanos,
    read_at: Nanos,
    /// It never reads again.
    is_dead: bool,
    /// It has broken the protocol and expects this code.
    fatal: Option<u16>,
    said_close: bool,
    heard_at: Nanos,
    spoke_at: Nanos,
    /// The longest time in which it sent nothing.
    silence: Nanos,
    pings: Vec<Vec<u8>>,
    /// Ends of its connections that were the service's decision: no progress, or no sign of life.
    pub(crate) given_up: u64,
    /// It had closed itself and did not read the answer.
    pub(crate) perhaps_given_up: u64,
}

impl Client {
    pub(crate) fn new(role: Role, connect_at: Nanos, mut random: Rng) -> Client {
        Client {
            role,
            compresses: random.bool(),
            compressed: 0,
            shard: 0,
            random,
            line: None,
            session: Session::default(),
            story: Story::default(),
            connect_at,
            wanted: Vec::new(),
            buffer: Vec::new(),
            out: Vec::new(),
            act_at: connect_at,
            read_at: connect_at,
            is_dead: false,
            fatal: None,
            said_close: false,
            heard_at: connect_at,
            spoke_at: connect_at,
            silence: Nanos::ZERO,
            pings: Vec::new(),
            given_up: 0,
            perhaps_given_up: 0,
        }
    }

    /// How many bytes its line holds.
    pub(crate) fn capacity(&mut self) -> usize {
        match self.role {
            Role::Slow | Role::Stalling | Role::Dead => self.random.usize(200..8_000),
            _ => self.random.usize(30_000..200_000),
        }
    }

    /// Its line stands; asks for what it wants.
    pub(crate) fn connected(&mut self, line: ClientEnd, now: Nanos, market: &Market) {
        self.story.did(now, format!("connects to shard {} as {:?}", self.shard, self.role));
        self.session = self.session.next();
        self.line = Some(line);
        self.buffer.clear();
        self.out.clear();
        self.pings.clear();
        (self.fatal, self.said_close) = (None, false);
        (self.heard_at, self.spoke_at, self.silence) = (now, now, Nanos::ZERO);
        for (kind, pattern, options) in std::mem::take(&mut self.wanted) {
            let mut subscribe = Subscribe::again(kind, pattern, options);
            self.session.claim(&mut subscribe, market);
            self.ask(Request::Subscribe(subscribe), now, market);
        }
        if self.session.is_answered() {
            let count = if self.role == Role::Greedy { 8 } else { self.random.u8(1..4) };
            (0..count).for_each(|_| self.subscribe(now, market));
        }
        self.act_at = now.plus(Nanos::from_millis(self.random.i64(1..3_000)));
    }

    fn ask(&mut self, request: Request, now: Nanos, market: &Market) {
        let text = self.session.ask(request, market);
        self.send_text(&text, now);
    }

    fn send_text(&mut self, text: &str, now: Nanos) {
        self.story.did(now, format!("asks {}", &text[..text.len().min(600)]));
        let mask = self.random.u32(..).to_be_bytes();
        // The bit that says so, and the bytes.
        let (bit, bytes) = if self.compresses && self.random.bool() {
            (0x40, &deflate(text.as_bytes())[..])
        } else {
            (0, text.as_bytes())
        };
        if self.random.u8(..8) == 0 {
            // In two pieces with a ping in between.
            let (head, tail) = bytes.split_at(self.random.usize(..bytes.len()));
            write_masked(&mut self.out, bit | 0x01, head, mask);
            self.ping();
            write_masked(&mut self.out, 0x80, tail, mask);
        } else {
            write_masked(&mut self.out, bit | 0x81, bytes, mask);
        }
    }

    fn ping(&mut self) {
        let payload: Vec<u8> = (0..self.random.usize(..20)).map(|_| self.random.u8(..)).collect();
        write_masked(&mut self.out, 0x89, &payload, [1, 2, 3, 4]);
        self.pings.push(payload);
    }

    /// Does what comes to its mind; `quiet`: nothing new.
    pub(crate) fn act(&mut self, now: Nanos, market: &Market, quiet: bool, complete: bool) {
        if self.line.is_none() {
            return;
        }
        if !quiet && now >= self.act_at && self.fatal.is_none() && !self.said_close {
            self.act_at = now.plus(Nanos::from_millis(self.random.i64(100..4_000)));
            if !self.is_dead {
                self.act_once(now, market, complete);
            }
        }
        self.send_some(now);
    }

    fn say_close(&mut self, now: Nanos) {
        self.story.did(now, "closes");
        write_masked(&mut self.out, 0x88, &1000u16.to_be_bytes(), [3; 4]);
        self.said_close = true;
    }

    fn send_some(&mut self, now: Nanos) {
        let Some(line) = &self.line else { return };
        if self.out.is_empty() || self.is_dead {
            return;
        }
        let all = self.out.len();
        let some = if self.random.u8(..6) == 0 { self.random.usize(1..=all) } else { all };
        line.write(&self.out[..some]);
        self.out.drain(..some);
        self.silence = self.silence.max(now.since(self.spoke_at));
        self.spoke_at = now;
    }

    /// The line breaks.
    pub(crate) fn lose_line(&mut self, now: Nanos) {
        let Some(line) = self.line.take() else { return };
        self.story.did(now, "loses its line");
        line.cut();
        self.left(now);
    }

    fn left(&mut self, now: Nanos) {
        self.line = None;
        self.wanted = self.session.wishes.all();
        let away = Nanos::from_millis(self.random.i64(1..5_000));
        let for_good = self.is_dead || self.role == Role::Mute;
        self.connect_at = if for_good { Nanos::MAX } else { now.plus(away) };
    }

    /// Ends its connection in either way; it does not come back.
    pub(crate) fn leave(&mut self, now: Nanos) {
        if self.random.bool() {
            self.lose_line(now);
        } else if !self.said_close && self.fatal.is_none() {
            self.say_close(now);
            self.send_some(now);
        }
        self.connect_at = Nanos::MAX;
    }

    /// Asks for the figures of its connection.
    pub(crate) fn ask_stats(&mut self, now: Nanos, market: &Market) {
        if self.fatal.is_none() && !self.said_close && !self.is_dead {
            self.ask(Request::Stats, now, market);
        }
    }

    /// Whether it has nothing more to say and expects no end.
    pub(crate) fn is_calm(&self) -> bool {
        self.buffer.is_empty() && self.fatal.is_none() && !self.said_close
    }

    /// Whether it will never take part again.
    pub(crate) fn is_dead(&self) -> bool {
        self.is_dead
    }
}
