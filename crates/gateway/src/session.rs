//! What a client says, and what it is answered: the third of a connection that talks.
//!
//! Input is read into the shard's one buffer, decoded, and answered at once; answers go before any
//! data that a request brings about. A fault of ours while handling one connection's input closes
//! that connection alone.

use crate::clients::session_name;
use crate::connection::{Framing, PONGS_MAX, Phase, Stamp, Token};
use crate::decoder::Event;
use crate::frame::{Opcode, write_frame};
use crate::shard::Shard;
use crate::socket::Socket;
use crate::sse;
use crate::tokens::Secret;
use std::io::ErrorKind;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use tickcast_market::Nanos;
use tickcast_wire::{
    Answer, Encoding, ErrorCode, Method, Pattern, Request, RequestError, Stats, Welcome,
    write_answer, write_answer_frame,
};

/// Sockets that one turn reads.
const READS_MAX: usize = 256;

/// Pairs of a glob and an instrument that count as one more request.
const PAIRS_A_REQUEST: usize = 20_000;

/// Buffers that are read from one socket before the others have their turn.
const READ_ROUNDS_MAX: usize = 4;

impl<S: Socket> Shard<S> {
    /// The second step of a turn: takes what clients have sent, and answers it.
    pub(crate) fn read_sockets(&mut self, readable: &[Token], writable: &[Token]) {
        for token in writable {
            let Some(connection) = self.get_mut(token.0) else { continue };
            if connection.blocked {
                self.resume(token.0);
            }
        }
        for token in readable {
            let Some(connection) = self.get_mut(token.0) else { continue };
            if !std::mem::replace(&mut connection.unread, true) {
                self.unread.push_back(token.0);
            }
        }
        for _ in 0..self.unread.len().min(READS_MAX) {
            let Some(token) = self.unread.pop_front() else { break };
            self.read(token);
        }
    }

    fn read(&mut self, token: u32) {
        let Some(connection) = self.get_mut(token) else { return };
        connection.unread = false;
        let mut buffer = std::mem::take(&mut self.read_buffer);
        let mut rounds = 0;
        while self.read_some(token, &mut buffer) {
            rounds += 1;
            if rounds == READ_ROUNDS_MAX {
                let Some(connection) = self.get_mut(token) else { break };
                if !std::mem::replace(&mut connection.unread, true) {
                    self.unread.push_back(token);
                }
                break;
            }
        }
        self.read_buffer = buffer;
        if rounds > 0 {
            self.flush(token);
        }
    }

    /// Reads and handles one buffer; whether there may be more.
    fn read_some(&mut self, token: u32, buffer: &mut [u8]) -> bool {
        let heard_at = Stamp::at(self.pace.now());
        let Some(connection) = self.get_mut(token) else { return false };
        if connection.phase == Phase::Open && connection.is_flooded() {
            connection.paused = true;
            return false;
        }
        match connection.socket.recv(buffer) {
            Ok(0) => {
                self.drop_connection(token, 1006, "the peer closed without a close frame");
                false
            }
            Ok(length) => {
                connection.heard_at = heard_at;
                connection.pinged = false;
                self.take_input(token, &mut buffer[..length]);
                true
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => true,
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            Err(_) => {
                self.drop_connection(token, 1006, "the line broke");
                false
            }
        }
    }

    /// Writes what it is to get of the pass: those frames were made before what it asks now. Each
    /// time takes some of them; who is blocked has none.
    pub(crate) fn flush_frames(&mut self, token: u32) {
        while !self.lanes[token as usize].is_empty() {
            self.flush(token);
        }
    }

    /// Decodes bytes and handles what they say.
    pub(crate) fn take_input(&mut self, token: u32, bytes: &mut [u8]) {
        self.flush_frames(token);
        let now = self.pace.now();
        let limits = self.message_limits(token);
        let Some(connection) = self.connections.get_mut(token as usize) else { return };
        if connection.phase != Phase::Open || connection.framing != Framing::WebSocket {
            return; // Nothing that it says matters any more, or ever did.
        }
        let mut inflater = self.inflater.take();
        let agreed = inflater.as_mut().filter(|_| connection.compresses);
        let mut decoder = std::mem::take(&mut connection.decoder);
        let handled = catch_unwind(AssertUnwindSafe(|| {
            let mut is_whole = false;
            let mut on = |event: Event<'_>| {
                is_whole |= matches!(event, Event::Text(_) | Event::Binary(_));
                self.take_event(token, event)
            };
            let result = decoder.feed(bytes, &limits, agreed, &mut on);
            (decoder, result, is_whole)
        }));
        self.inflater = inflater; // Whatever has happened: it begins anew with every message.
        let Ok((decoder, result, is_whole)) = handled else { return self.contain(token) };
        if let Err(violation) = result {
            self.close(token, violation.code, violation.reason);
            return;
        }
        let Some(connection) = self.get_mut(token) else { return };
        connection.begun_at = match (decoder.is_unfinished(), connection.begun_at) {
            (false, _) => Nanos::MAX,
            (true, begun_at) if begun_at < Nanos::MAX && !is_whole => begun_at,
            // What is unfinished has begun in these bytes.
            (true, _) => now,
        };
        connection.decoder = decoder;
    }

    /// Does something for one connection; a fault of ours in it closes that connection alone.
    pub(crate) fn guarded(&mut self, token: u32, act: impl FnOnce(&mut Self)) {
        if catch_unwind(AssertUnwindSafe(|| act(self))).is_err() {
            self.contain(token);
        }
    }

    /// Handling a connection has failed in the middle.
    fn contain(&mut self, token: u32) {
        self.tally.panics += 1;
        self.edit.clear();
        self.forget_gathered();
        self.close(token, ErrorCode::Internal.number(), "internal error");
    }

    fn take_event(&mut self, token: u32, event: Event<'_>) -> ControlFlow<()> {
        match event {
            Event::Text(text) => self.take_message(token, Encoding::Json, text.as_bytes()),
            Event::Binary(bytes) => self.take_message(token, Encoding::Protobuf, bytes),
            Event::Ping(payload) => self.take_ping(token, payload),
            Event::Pong(payload) => self.take_pong(token, payload),
            Event::Close(close) => {
                let (code, reason) = close.unwrap_or((1000, ""));
                self.close(token, code, reason);
            }
        }
        match self.get(token) {
            Some(connection) if connection.phase == Phase::Open => ControlFlow::Continue(()),
            _ => ControlFlow::Break(()),
        }
    }

    fn count_control(&mut self, token: u32) -> bool {
        let now = self.pace.now();
        let settings = &self.settings;
        let (most, seconds) = (settings.controls_per_second, settings.controls_over_seconds);
        let Some(connection) = self.get_mut(token) else { return false };
        let fine = connection.controls.count(now, most, seconds);
        if !fine {
            self.close(token, 1008, "too many control frames");
        }
        fine
    }

    fn take_ping(&mut self, token: u32, payload: &[u8]) {
        if !self.count_control(token) {
            return;
        }
        let Some(connection) = self.get_mut(token) else { return };
        if connection.pongs_waiting < PONGS_MAX {
            connection.pongs_waiting += 1;
            write_frame(&mut connection.waiting, Opcode::Pong, payload);
        } else {
            connection.rare.get_or_insert_default().newest_pong = Some(payload.to_vec());
        }
    }

    /// The payload of our pings is the moment at which they were sent.
    fn take_pong(&mut self, token: u32, payload: &[u8]) {
        if !self.count_control(token) {
            return;
        }
        let now = self.now;
        let Some(connection) = self.get_mut(token) else { return };
        if let Ok(sent_at) = <[u8; 8]>::try_from(payload) {
            let there_and_back = now.since(Nanos(i64::from_be_bytes(sent_at))).micros();
            // A payload of the peer's own making may say anything.
            if (0..60_000_000).contains(&there_and_back) {
                connection.account.rtt_us = there_and_back as u32;
            }
        }
    }

    /// A message in the form that has `encoding`: the connection's, or it is none of ours.
    fn take_message(&mut self, token: u32, encoding: Encoding, message: &[u8]) {
        match self.get(token).map(|connection| connection.encoding) {
            Some(agreed) if agreed == encoding => self.take_request(token, encoding, message),
            Some(Encoding::Json) => {
                self.close(token, 1003, "this subprotocol has text messages only");
            }
            Some(Encoding::Protobuf) => {
                self.close(token, 1003, "this subprotocol has binary messages only");
            }
            None => {}
        }
    }

    fn take_request(&mut self, token: u32, encoding: Encoding, message: &[u8]) {
        let now = self.pace.now();
        let (rate, burst) = (self.settings.requests_per_second, self.settings.requests_burst);
        let settings = &self.settings;
        let (most, seconds) = (settings.controls_per_second, settings.controls_over_seconds);
        let Some(connection) = self.get_mut(token) else { return };
        let connection_waits = connection.is_unknown();
        let allowed = connection.is_canary() || connection.requests.take(now, rate, burst);
        if !allowed && (connection.is_flooded() || !connection.controls.count(now, most, seconds)) {
            // It goes on for seconds, or does not even take the refusals.
            let code = ErrorCode::TooManyRequests;
            return self.close(token, code.number(), code.reason());
        }
        let request = match Request::read(encoding, message) {
            Ok(request) => request,
            Err(error) => return self.refuse(token, &error),
        };
        let (method, req_id) = (request.method(), request.req_id().cloned());
        if !allowed {
            let code = ErrorCode::TooManyRequests;
            let error = format!("more than {rate} requests a second");
            let error = RequestError { method: Some(method), req_id, code, error };
            return self.refuse(token, &error);
        }
        self.charge(token, &request);
        if connection_waits {
            return self.take_early(token, request, message);
        }
        self.fulfil(token, request);
    }

    /// Counts what a request costs that is matched against every instrument.
    fn charge(&mut self, token: u32, request: &Request) {
        let (now, rate) = (self.pace.now(), self.settings.requests_per_second);
        let known = self.hub.directory().len();
        let Some(connection) = self.get_mut(token) else { return };
        let is_glob = |pattern: &&Pattern| matches!(pattern, Pattern::Glob(_));
        let globs = match request {
            Request::Subscribe { params, .. } => params.symbols.iter().filter(is_glob).count(),
            Request::Unsubscribe { params, .. } => params.symbols.iter().filter(is_glob).count(),
            // With new rights the globs that it has are matched again.
            Request::Auth { .. } => {
                connection.subscriptions.wishes().map_or(0, |wishes| wishes.globs.len())
            }
            Request::Ping { .. } | Request::Stats { .. } => 0,
        };
        if globs * known >= PAIRS_A_REQUEST {
            connection.requests.charge(now, globs * known / PAIRS_A_REQUEST, rate);
        }
    }

    /// Does what somebody asks who may ask for it.
    pub(crate) fn fulfil(&mut self, token: u32, request: Request) {
        let method = request.method();
        match request {
            Request::Subscribe { req_id, params } => {
                self.subscribe(token, req_id.as_ref(), &params);
            }
            Request::Unsubscribe { req_id, params } => {
                self.unsubscribe(token, req_id.as_ref(), &params);
            }
            Request::Ping { req_id } => {
                let (req_id, ts_publish) = (req_id.as_ref(), self.now);
                self.say(token, "pong", &Answer::Pong { req_id, ts_publish });
            }
            Request::Stats { req_id } => {
                if let Some(result) = self.stats(token) {
                    let answer = Answer::Stats { req_id: req_id.as_ref(), result: &result };
                    self.say(token, "stats", &answer);
                }
            }
            Request::Auth { req_id, token: shown } => {
                return self.authenticate(token, req_id, Secret::new(shown));
            }
        }
        if !self.is_canary(token) {
            self.tally.request(Some(method), None);
        }
    }

    /// Answers a request that is not fulfilled.
    pub(crate) fn refuse(&mut self, token: u32, error: &RequestError) {
        if !self.is_canary(token) {
            self.tally.request(error.method, Some(error.code));
        }
        let event = error.method.map_or("error", Method::name);
        self.say(token, event, &Answer::Error(error));
    }

    /// Puts an answer before everything that the connection has not been given yet; `event` names
    /// it on an event stream.
    pub(crate) fn say(&mut self, token: u32, event: &str, answer: &Answer<'_>) {
        let Some(connection) = self.connections.get_mut(token as usize) else { return };
        if connection.phase != Phase::Open {
            return;
        }
        connection.account.messages += 1;
        match connection.framing {
            Framing::WebSocket => {
                let start = connection.waiting.len();
                write_answer_frame(&mut connection.waiting, connection.encoding, answer);
                self.compress_answer(token, start);
            }
            Framing::Sse { .. } => {
                self.message.clear();
                write_answer(&mut self.message, connection.encoding, answer);
                sse::write_event(&mut connection.waiting, event, None, &self.message);
            }
        }
    }

    pub(crate) fn welcome(&mut self, token: u32) {
        let Some(connection) = self.get(token) else { return };
        let welcome = Welcome {
            session: session_name(connection.account.session),
            version: self.settings.version.clone(),
            heartbeat_ms: self.settings.heartbeat_ms.into(),
            auth_required: connection.is_unknown(),
            limits: self.limits_of(token),
        };
        self.say(token, "system", &Answer::Welcome(&welcome));
    }

    fn stats(&self, token: u32) -> Option<Stats> {
        let connection = self.get(token)?;
        let account = &connection.account;
        Some(Stats {
            subscriptions: connection.subscriptions.count() as u64,
            instruments: connection.subscriptions.instruments() as u64,
            sent_messages: account.messages,
            sent_bytes: account.bytes,
            merged_updates: account.merged,
            lagging: connection.late_topics() > 0,
            owed_topics: connection.owing.as_ref().map_or(0, |owing| owing.topics() as u64),
            rtt_us: (account.rtt_us > 0).then_some(account.rtt_us.into()),
            connected_us: self.now.since(account.opened_at).micros().max(0) as u64,
        })
    }
}
