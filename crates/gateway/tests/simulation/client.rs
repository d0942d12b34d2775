//! A simulated client: what it does with its line. What it is told is judged by its session.

use crate::line::ClientEnd;
use crate::market::Market;
use crate::message::{Kind, Message, hash_of};
use crate::request::{Request, Subscribe, WRONG};
use crate::session::{Court, Flow, Judged, NEVER, Session};
use crate::story::Story;
use crate::websocket::{Frame, parse, write_masked};
use crate::wishes::Options;
use fastrand::Rng;
use rustc_hash::FxHashMap;
use std::rc::Rc;
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

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) role: Role,
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
    pub(crate) fn new(role: Role, connect_at: Nanos, random: Rng) -> Client {
        Client {
            role,
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
        let bytes = text.as_bytes();
        if self.random.u8(..8) == 0 {
            // In two pieces with a ping in between.
            let (head, tail) = bytes.split_at(self.random.usize(..bytes.len()));
            write_masked(&mut self.out, 0x01, head, mask);
            self.ping();
            write_masked(&mut self.out, 0x80, tail, mask);
        } else {
            write_masked(&mut self.out, 0x81, bytes, mask);
        }
    }

    fn ping(&mut self) {
        let payload: Vec<u8> = (0..self.random.usize(..20)).map(|_| self.random.u8(..)).collect();
        write_masked(&mut self.out, 0x89, &payload, [1, 2, 3, 4]);
        self.pings.push(payload);
    }

    fn subscribe(&mut self, now: Nanos, market: &Market) {
        let kind = match self.random.u8(..20) {
            0..8 => Kind::Ticker,
            8..12 => Kind::Trades,
            12..17 => Kind::Book,
            _ => Kind::Bars(self.random.u8(..4)),
        };
        let count = if self.role == Role::Greedy { 1 } else { self.random.usize(1..5) };
        let mut symbols: Vec<String> = (0..count).map(|_| self.symbol(market)).collect();
        symbols.sort();
        symbols.dedup();
        let mut subscribe = Subscribe::random(kind, symbols, &mut self.random);
        if self.random.u8(..3) == 0 {
            self.session.claim(&mut subscribe, market);
            subscribe.lies = self.random.u8(..4) == 0;
            if subscribe.lies {
                let ahead = self.random.bool();
                subscribe.since.values_mut().for_each(|(epoch, seq)| {
                    if ahead { *seq += 1 << 40 } else { *epoch += 1 << 20 }
                });
            }
        }
        self.ask(Request::Subscribe(subscribe), now, market);
    }

    fn symbol(&mut self, market: &Market) -> String {
        let globs = ["*", "sim:*", "kraken:*", "*:S1*", "*-USD", "kraken:S*2-USD"];
        let known = |random: &mut Rng| {
            let instruments = &market.instruments;
            instruments[random.usize(..instruments.len())].name.clone()
        };
        match self.random.u8(..40) {
            _ if self.role == Role::Greedy => globs[self.random.usize(..3)].to_owned(),
            0 => NEVER.to_owned(),
            1..4 => market.next_name().unwrap_or_else(|| NEVER.to_owned()),
            4..7 => known(&mut self.random).split(':').nth(1).unwrap_or_default().to_owned(),
            7..11 => globs[self.random.usize(..globs.len())].to_owned(),
            _ => known(&mut self.random),
        }
    }

    /// Asks for names that nobody knows: the answers are long, and it does not read them.
    fn ask_for_much(&mut self, now: Nanos, market: &Market) {
        for _ in 0..self.random.u8(1..4) {
            let symbols = (0..400).map(|at| format!("sim:UNKNOWN{at}-USD")).collect();
            let subscribe = Subscribe::random(Kind::Trades, symbols, &mut self.random);
            self.ask(Request::Subscribe(subscribe), now, market);
        }
        self.ask(Request::Ping, now, market);
    }

    fn unsubscribe(&mut self, now: Nanos, market: &Market) {
        let all = self.session.wishes.all();
        if let Some((kind, pattern, _)) = all.get(self.random.usize(..all.len().max(1))) {
            let symbols = vec![pattern.clone()];
            self.ask(Request::Unsubscribe { kind: *kind, symbols }, now, market);
        }
    }

    /// Asks again for one thing that it has.
    fn ask_again(&mut self, now: Nanos, market: &Market) {
        let all = self.session.wishes.all();
        if let Some((kind, pattern, options)) = all.get(self.random.usize(..all.len().max(1))) {
            let mut subscribe = Subscribe::again(*kind, pattern.clone(), *options);
            self.session.claim(&mut subscribe, market);
            self.ask(Request::Subscribe(subscribe), now, market);
        }
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

    fn act_once(&mut self, now: Nanos, market: &Market, complete: bool) {
        let chance = self.random.u8(..100);
        match self.role {
            Role::Dead if chance < 40 => {
                self.story.did(now, "dies");
                self.is_dead = true;
            }
            Role::Stalling => {
                if complete && chance.is_multiple_of(4) {
                    self.ask_for_much(now, market);
                }
                let ms = if chance < 10 { 16_000 } else { self.random.i64(500..9_000) };
                self.read_at = now.plus(Nanos::from_millis(ms));
                self.act_at = self.read_at.plus(Nanos::from_millis(self.random.i64(1..4_000)));
                self.story.did(now, format!("does not read for {ms} ms"));
            }
            Role::Returning if chance < 30 => self.lose_line(now),
            Role::Rude => self.be_rude(now, chance),
            Role::Mute | Role::Dead => {}
            Role::Fickle => match chance {
                0..40 => self.subscribe(now, market),
                40..65 => self.unsubscribe(now, market),
                65..90 => self.ask_again(now, market),
                _ => self.ping(),
            },
            _ => match chance {
                0..4 => self.subscribe(now, market),
                4..8 => self.unsubscribe(now, market),
                8..12 => self.ask_again(now, market),
                12..15 => self.ask(Request::Ping, now, market),
                15..18 => self.ping(),
                18..20 => self.say_close(now),
                _ => {}
            },
        }
    }

    fn be_rude(&mut self, now: Nanos, chance: u8) {
        if chance < 80 {
            let wrong = WRONG[self.random.usize(..WRONG.len())];
            let text = self.session.ask_wrongly(wrong);
            return self.send_text(&text, now);
        }
        let text = b"{\"method\":\"ping\"}";
        let code = match chance % 7 {
            0 => {
                self.out.extend_from_slice(&[0x81, text.len() as u8]);
                self.out.extend_from_slice(text);
                1002
            }
            1 => {
                write_masked(&mut self.out, 0x82, text, [9; 4]);
                1003
            }
            2 => {
                write_masked(&mut self.out, 0x81, b"{\"method\":\"\xFF\"}", [9; 4]);
                1007
            }
            3 => {
                write_masked(&mut self.out, 0x81, &vec![b' '; 70_000], [9; 4]);
                1009
            }
            4 => {
                write_masked(&mut self.out, 0x83, text, [9; 4]);
                1002
            }
            5 => {
                // Begun and never finished.
                write_masked(&mut self.out, 0x01, text, [9; 4]);
                1008
            }
            _ => {
                (0..2_500).for_each(|_| write_masked(&mut self.out, 0x81, text, [9; 4]));
                self.session.floods = true;
                4529
            }
        };
        self.story.did(now, format!("does what is answered by {code}"));
        self.fatal = Some(code);
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
            self.take_frame(&frame, parsed, court, now)?;
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
            Frame::Text(text) => {
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
