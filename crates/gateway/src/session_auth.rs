//! Authentication in band: a token is shown, judged at the door, and what it allows is enforced.
//!
//! *Invariant:* no signature is verified here, and nothing waits for a verdict but the requests of
//! a client that is nobody yet.

use crate::auth::Admitted;
use crate::auth_desk::{AuthAsk, Verdict};
use crate::connection::{Connection, Framing, Phase, Stamp, Standing, Token};
use crate::decoder::MessageLimits;
use crate::identity::Who;
use crate::shard::Shard;
use crate::socket::Socket;
use crate::subscriptions::stream_of;
use crate::tokens::Secret;
use std::collections::BTreeMap;
use std::sync::Arc;
use tickcast_market::{Nanos, Since};
use tickcast_wire::{
    Answer, Authenticated, ErrorCode, Failed, FieldSet, Granted, Limits, Method, ReqId, Request,
    RequestError, View,
};

/// What may wait behind a token that is being judged, in bytes of requests.
const PENDING_BYTES_MAX: usize = MessageLimits::BEFORE_AUTH.bytes_max;

impl<S: Socket> Shard<S> {
    /// How much a connection may say at once.
    pub(crate) fn message_limits(&self, token: u32) -> MessageLimits {
        let limits = self.settings.message_limits;
        match self.get(token) {
            Some(connection) if connection.is_unknown() => MessageLimits {
                bytes_max: limits.bytes_max.min(MessageLimits::BEFORE_AUTH.bytes_max),
                ..limits
            },
            _ => limits,
        }
    }

    /// How many subscriptions a connection may have.
    pub(crate) fn subscriptions_max(&self, token: u32) -> usize {
        if self.is_canary(token) {
            return usize::MAX;
        }
        let identity = self.get(token).and_then(|connection| connection.who().identity());
        let own = identity.and_then(|identity| identity.subscriptions_max).unwrap_or(usize::MAX);
        own.min(self.settings.subscriptions_max)
    }

    /// Whether it is the service's own witness, for which limits of clients do not hold.
    pub(crate) fn is_canary(&self, token: u32) -> bool {
        self.get(token).is_some_and(Connection::is_canary)
    }

    pub(crate) fn limits_of(&self, token: u32) -> Limits {
        Limits {
            subscriptions: Some(self.subscriptions_max(token) as u64),
            instruments: Some(self.settings.instruments_max as u64),
            message_bytes: Some(self.message_limits(token).bytes_max as u64),
        }
    }

    /// Whether a connection may receive a stream of the instrument of that full name.
    pub(crate) fn may_receive(&self, token: u32, name: &str, view: View) -> bool {
        self.get(token).is_some_and(|one| one.who().may_receive(name, view.channel()))
    }

    /// A request of somebody who is nobody yet: what follows a token waits for its verdict.
    pub(crate) fn take_early(&mut self, token: u32, request: Request, message: &[u8]) {
        if matches!(request, Request::Auth { .. } | Request::Ping { .. }) {
            return self.fulfil(token, request);
        }
        let Some(standing) = self.standing_mut(token) else { return };
        let waiting: usize = standing.pending.iter().map(|message| message.len()).sum();
        let (code, error) = match standing.asking {
            Some(_) if waiting + message.len() <= PENDING_BYTES_MAX => {
                return standing.pending.push(message.into());
            }
            Some(_) => (
                ErrorCode::TooManyRequests,
                format!("more than {PENDING_BYTES_MAX} bytes behind a token that is being judged"),
            ),
            None => (ErrorCode::NotAuthenticated, "authenticate first".to_owned()),
        };
        let (method, req_id) = (Some(request.method()), request.req_id().cloned());
        self.refuse(token, &RequestError { method, req_id, code, error });
    }

    /// Brings a token to where it is judged.
    pub(crate) fn authenticate(&mut self, token: u32, req_id: Option<ReqId>, shown: Secret) {
        let (shard, now) = (self.index.0, self.pace.now());
        let Some(connection) = self.connections.get_mut(token as usize) else { return };
        let session = connection.account.session;
        let refusal = match &self.settings.auth_desk {
            None => Some((ErrorCode::BadRequest, "auth: this service takes no tokens")),
            Some(desk) => {
                let rare = connection.rare.get_or_insert_default();
                let standing = rare.standing.get_or_insert_with(|| Standing {
                    who: Who::Anybody,
                    seat: None,
                    asking: None,
                    pending: Vec::new(),
                    begun_at: Stamp::at(now),
                });
                let (connection, held) = (Token(token), standing.who.clone());
                if standing.asking.is_some() {
                    Some((ErrorCode::BadRequest, "auth: another token is being judged"))
                } else if desk.ask(AuthAsk { shard, connection, session, token: shown, held }) {
                    standing.asking = Some(req_id.clone());
                    None
                } else {
                    Some((ErrorCode::Overloaded, "auth: too many tokens wait to be judged"))
                }
            }
        };
        if let Some((code, error)) = refusal {
            let error = error.to_owned();
            let method = Some(Method::Auth);
            self.refuse(token, &RequestError { method, req_id, code, error });
        }
    }

    /// Hears what is said to a token that a client has shown.
    pub fn hear(&mut self, now: Nanos, verdict: Verdict) {
        self.set_time(now);
        let Token(token) = verdict.connection;
        self.guarded(token, |shard| shard.take_verdict(verdict));
    }

    fn take_verdict(&mut self, verdict: Verdict) {
        let Verdict { connection: Token(token), session, result } = verdict;
        let is_there = self
            .get(token)
            .is_some_and(|one| one.account.session == session && one.phase == Phase::Open);
        if !is_there {
            return; // Its number may be somebody else's by now.
        }
        self.flush_frames(token);
        let Some(encoding) = self.get(token).map(|connection| connection.encoding) else { return };
        let Some(standing) = self.standing_mut(token) else { return };
        let (was_unknown, req_id) =
            (matches!(standing.who, Who::Unknown), standing.asking.take().flatten());
        let pending = std::mem::take(&mut standing.pending);
        match result {
            Ok(admitted) => {
                self.rise(token, admitted, req_id.as_ref());
                for message in pending {
                    // It was understood when it came.
                    let Ok(request) = Request::read(encoding, &message) else { continue };
                    self.fulfil(token, request);
                }
            }
            Err(error) => {
                let (code, method) = (error.code(), Some(Method::Auth));
                let why = error.to_string();
                self.refuse(token, &RequestError { method, req_id, code, error: why.clone() });
                if was_unknown {
                    self.close(token, code.number(), &why);
                }
            }
        }
        self.flush(token);
    }

    /// Makes a connection somebody's.
    fn rise(&mut self, token: u32, admitted: Admitted, req_id: Option<&ReqId>) {
        let Admitted { who, seat } = admitted;
        let Some(identity) = who.identity().map(Arc::clone) else { return };
        let Some(standing) = self.standing_mut(token) else { return };
        standing.who = who;
        if seat.is_some() {
            standing.seat = seat;
        }
        let result = Authenticated {
            sub: identity.sub.to_string(),
            expires: identity.expires_at.0 / 1_000_000_000,
            limits: self.limits_of(token),
        };
        self.tally.request(Some(Method::Auth), None);
        self.say(token, "auth", &Answer::Authenticated { req_id, result: &result });
        self.revise_rights(token);
    }

    /// Takes away what a connection may not receive any more, and gives it what its globs match and
    /// it may receive now.
    fn revise_rights(&mut self, token: u32) {
        self.sync_instruments();
        self.begin_edit(token);
        let mut lost: BTreeMap<View, Vec<Failed>> = BTreeMap::new();
        let Some(connection) = self.get(token) else { return };
        let memberships = 0..connection.subscriptions.memberships.len() as u32;
        for number in memberships {
            let Some(connection) = self.get(token) else { return };
            let place = connection.subscriptions.memberships[number as usize].place();
            let key = self.topics.at(place.slot).key;
            let name = &self.instruments[key.instrument.index()].name;
            if !connection.who().may_receive(name, key.view.channel()) {
                let why = "no longer entitled";
                let failed = Failed::new(&**name, ErrorCode::NotEntitled, why);
                lost.entry(stream_of(key.view)).or_default().push(failed);
                self.unwant(token, number);
            }
        }
        self.regrow(token);
        for (view, failed) in lost {
            let granted = Granted::subscribed(view, None, FieldSet::ALL);
            let result = Granted { failed, fields: None, depth: None, ..granted };
            self.say(token, "subscribe", &Answer::Subscribed { req_id: None, result: &result });
        }
        self.finish_edit(token);
    }

    fn regrow(&mut self, token: u32) {
        let wishes = self.get(token).and_then(|connection| connection.subscriptions.wishes());
        let globs = wishes.iter().flat_map(|wishes| &wishes.globs);
        let mut streams: Vec<View> = globs.map(|held| stream_of(held.options.view)).collect();
        streams.sort_unstable();
        streams.dedup();
        for at in 0..if streams.is_empty() { 0 } else { self.instruments.len() } {
            let instrument = self.instruments[at].clone();
            for stream in &streams {
                if self.edit.find(instrument.index, *stream).is_none() {
                    // Beyond the limit a glob gets no more, as when an instrument appears.
                    self.want_by_glob(token, &instrument, *stream, Some(Since::NOTHING));
                }
            }
        }
    }

    /// The time of a connection's rights is over, or it has never had any.
    pub(crate) fn end_rights(&mut self, token: u32, why: &str) {
        let code = ErrorCode::NotAuthenticated;
        let Some(connection) = self.get(token) else { return };
        if connection.framing != Framing::WebSocket {
            // Events have no close frame to say it with.
            let error = why.to_owned();
            self.refuse(token, &RequestError { method: None, req_id: None, code, error });
        }
        self.close(token, code.number(), why);
    }

    fn standing_mut(&mut self, token: u32) -> Option<&mut Standing> {
        self.get_mut(token)?.rare.as_mut()?.standing.as_mut()
    }
}
