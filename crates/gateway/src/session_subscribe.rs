//! The requests `subscribe` and `unsubscribe`: which streams a connection gets, at which options.
//!
//! An exact name's options win over a glob's, a later glob's over an earlier's. What begins a
//! subscription is always served a first message; what is repeated is served again only where the
//! client says `since`.

use crate::shard::Shard;
use crate::socket::Socket;
use crate::subscriptions::{GlobSubscription, Options, WaitingName, stream_of};
use crate::subscriptions_edit::Want;
use crate::subscriptions_grow::Resolved;
use tickcast_market::{Instrument, Since, TradingState};
use tickcast_publisher::Status;
use tickcast_wire::{
    Answer, Channel, ErrorCode, Failed, FieldSet, Glob, Granted, Matched, Pattern, ReqId,
    Subscribe, Unsubscribe, View,
};

/// A `subscribe` on its way: what was asked for and what is granted.
#[derive(Debug)]
struct Wanted<'a> {
    params: &'a Subscribe,
    options: Options,
    /// Whether what the client holds is of use: it may lack fields that were granted beyond those
    /// that it asked for.
    resumes: bool,
    granted: Granted,
    /// Names that nobody has mentioned yet.
    waiting: Vec<String>,
    /// How many subscriptions the connection may have.
    subscriptions_max: usize,
}

/// A glob of a request.
#[derive(Debug)]
struct Asked<'g> {
    glob: &'g Glob,
    /// The connection did not have it before.
    is_new: bool,
    /// Whether it matches the instrument that is looked at.
    matches: bool,
    /// How many instruments it matches.
    matched: u64,
}

impl Wanted<'_> {
    /// Where the client says that it stands with an instrument.
    fn since(&self, asked: &str, name: &str) -> Option<Since> {
        let since = self.params.since.get(asked).or_else(|| self.params.since.get(name))?;
        Some(if self.resumes { *since } else { Since::NOTHING })
    }

    fn fail(&mut self, symbol: &str, code: ErrorCode, error: impl Into<String>) {
        self.granted.failed.push(Failed::new(symbol, code, error));
    }
}

impl<S: Socket> Shard<S> {
    /// Begins subscriptions, or changes them in place.
    pub(crate) fn subscribe(&mut self, token: u32, req_id: Option<&ReqId>, params: &Subscribe) {
        let Some(connection) = self.get(token) else { return };
        let tiers = self.hub.tiers();
        let tier = match connection.who().identity() {
            Some(identity) => identity.grant(tiers, params.max_rate),
            None => tiers.grant(params.max_rate),
        };
        let fields = match params.view {
            View::Ticker => self.hub.grant_fields(params.fields),
            _ => FieldSet::ALL,
        };
        let encoding = connection.encoding;
        let rate = self.hub.tiers().rate(tier);
        let mut wanted = Wanted {
            params,
            options: Options { view: params.view, tier, fields, encoding },
            resumes: params.view != View::Ticker || params.fields.covers(fields),
            granted: Granted::subscribed(params.view, rate, fields),
            waiting: Vec::new(),
            subscriptions_max: self.subscriptions_max(token),
        };
        self.sync_instruments();
        self.look_up_waiting();
        self.begin_edit(token);
        let mut globs = Vec::new();
        for pattern in &params.symbols {
            match pattern {
                Pattern::Exact(name) => self.subscribe_name(token, name, &mut wanted),
                Pattern::Glob(glob) => globs.extend(self.keep_glob(token, glob, &mut wanted)),
            }
        }
        self.subscribe_globs(token, globs, &mut wanted);
        self.say(token, "subscribe", &Answer::Subscribed { req_id, result: &wanted.granted });
        for name in &wanted.waiting {
            self.say_waiting(token, name);
        }
        self.finish_edit(token);
    }

    fn subscribe_name(&mut self, token: u32, asked: &str, wanted: &mut Wanted<'_>) {
        let instrument = match self.resolve(asked) {
            Resolved::Known(instrument) => instrument,
            Resolved::Ambiguous(names) => {
                let error = self.ambiguous(token, &names);
                return wanted.fail(asked, ErrorCode::BadRequest, error);
            }
            Resolved::Unknown if self.hub.directory().is_complete() => {
                return wanted.fail(asked, ErrorCode::UnknownSymbol, "unknown symbol");
            }
            Resolved::Unknown => return self.wait_for_name(token, asked, wanted),
        };
        if !self.may_receive(token, &instrument.name, wanted.options.view) {
            return wanted.fail(asked, ErrorCode::NotEntitled, "not entitled");
        }
        let is_new = !self.is_exact(token, &instrument, wanted.options.view);
        if is_new && self.edit.count >= wanted.subscriptions_max {
            let error = format!("more than {} subscriptions", wanted.subscriptions_max);
            return wanted.fail(asked, ErrorCode::TooManySubscriptions, error);
        }
        let start = wanted.since(asked, &instrument.name);
        let want = Want {
            instrument: instrument.index,
            options: wanted.options,
            exact: true,
            start: if is_new { start.or(Some(Since::NOTHING)) } else { start },
            bare: !wanted.params.snapshot,
        };
        if !self.want(token, &want) {
            let error = format!("more than {} instruments", self.settings.instruments_max);
            return wanted.fail(asked, ErrorCode::TooManySubscriptions, error);
        }
        self.edit.count += usize::from(is_new);
        wanted.granted.symbol.push(instrument.name.to_string());
    }

    fn is_exact(&self, token: u32, instrument: &Instrument, view: View) -> bool {
        let (Some(number), Some(connection)) =
            (self.edit.find(instrument.index, view), self.get(token))
        else {
            return false;
        };
        connection.subscriptions.memberships[number as usize].is_exact()
    }

    fn wait_for_name(&mut self, token: u32, asked: &str, wanted: &mut Wanted<'_>) {
        let (count, count_max) = (self.edit.count, wanted.subscriptions_max);
        let Some(connection) = self.get_mut(token) else { return };
        let wishes = connection.subscriptions.wishes_mut();
        let stream = stream_of(wanted.options.view);
        let waiting = WaitingName {
            name: asked.into(),
            options: wanted.options,
            since: wanted.since(asked, asked),
            bare: !wanted.params.snapshot,
        };
        match wishes.find_waiting(asked, stream) {
            Some(at) => wishes.waiting[at] = waiting,
            None if count >= count_max => {
                let error = format!("more than {count_max} subscriptions");
                return wanted.fail(asked, ErrorCode::TooManySubscriptions, error);
            }
            None => {
                wishes.waiting.push(waiting);
                self.edit.count += 1;
                if !self.growth.waiters.contains(&token) {
                    self.growth.waiters.push(token);
                }
            }
        }
        wanted.granted.symbol.push(asked.to_owned());
        wanted.waiting.push(asked.to_owned());
    }

    /// Says that nothing can be said yet of a name that nobody has mentioned.
    fn say_waiting(&mut self, token: u32, name: &str) {
        let status = Status {
            epoch: self.hub.run(),
            seq: tickcast_market::Seq(1),
            state: TradingState::Resync,
            ts_state: self.now,
        };
        let Some(connection) = self.connections.get_mut(token as usize) else { return };
        self.message.clear();
        let (encoding, now) = (connection.encoding, self.now);
        let (scratch, message) = (&mut self.scratch, &mut self.message);
        let head_len = self.hub.status_frame(name, &status, encoding, now, scratch, message);
        let framing = connection.framing;
        framing.put(&mut connection.waiting, Channel::Status, None, head_len, message);
        connection.account.messages += 1;
    }

    /// Keeps a glob among the connection's subscriptions; `None` when it may have no more.
    fn keep_glob<'g>(
        &mut self,
        token: u32,
        glob: &'g Glob,
        wanted: &mut Wanted<'_>,
    ) -> Option<Asked<'g>> {
        let stream = stream_of(wanted.options.view);
        let (count, count_max) = (self.edit.count, wanted.subscriptions_max);
        let globs_max = self.settings.globs_max;
        let connection = self.connections.get_mut(token as usize)?;
        let wishes = connection.subscriptions.wishes_mut();
        let bare = !wanted.params.snapshot;
        let held = GlobSubscription { glob: glob.clone(), options: wanted.options, bare };
        let found = wishes.find(glob, stream);
        match found {
            Some(at) => wishes.globs[at] = held,
            None if count >= count_max || wishes.globs.len() >= globs_max => {
                let error = format!("more than {count_max} subscriptions or {globs_max} globs");
                wanted.fail(glob.as_str(), ErrorCode::TooManySubscriptions, error);
                return None;
            }
            None => wishes.globs.push(held),
        }
        self.edit.count += usize::from(found.is_none());
        Some(Asked { glob, is_new: found.is_none(), matches: false, matched: 0 })
    }

    /// Gives the connection what the globs of one request match: the instruments are gone through
    /// once, however many globs there are.
    fn subscribe_globs(&mut self, token: u32, mut globs: Vec<Asked<'_>>, wanted: &mut Wanted<'_>) {
        let stream = stream_of(wanted.options.view);
        let known = if globs.is_empty() { 0 } else { self.instruments.len() };
        for at in 0..known {
            let instrument = self.instruments[at].clone();
            if !self.may_receive(token, &instrument.name, wanted.options.view) {
                continue;
            }
            let (mut first, mut is_new) = (None, false);
            for asked in &mut globs {
                asked.matches = asked.glob.matches(&instrument.name);
                if asked.matches {
                    first.get_or_insert(asked.glob);
                    is_new |= asked.is_new;
                }
            }
            let Some(first) = first else { continue };
            let start = wanted.since(&instrument.name, &instrument.name);
            let start = if is_new { start.or(Some(Since::NOTHING)) } else { start };
            if !self.want_by_glob(token, &instrument, stream, start) {
                let error = format!("more than {} instruments", self.settings.instruments_max);
                wanted.fail(first.as_str(), ErrorCode::TooManySubscriptions, error);
                break;
            }
            globs.iter_mut().for_each(|asked| asked.matched += u64::from(asked.matches));
        }
        let matched = globs.iter().map(|asked| Matched {
            pattern: asked.glob.as_str().to_owned(),
            matched: asked.matched,
        });
        wanted.granted.globs.extend(matched);
    }

    /// Gives a connection what its globs want of a stream; an exact name's options stay.
    pub(crate) fn want_by_glob(
        &mut self,
        token: u32,
        instrument: &Instrument,
        stream: View,
        start: Option<Since>,
    ) -> bool {
        let Some(connection) = self.get(token) else { return false };
        let number = self.edit.find(instrument.index, stream);
        let membership = number.map(|at| connection.subscriptions.memberships[at as usize]);
        let wishes = connection.subscriptions.wishes();
        let winner = wishes.and_then(|wishes| wishes.winner(&instrument.name, stream));
        let Some(winner) = winner else { return true };
        if !connection.who().may_receive(&instrument.name, stream.channel()) {
            return true; // The glob matches it, and may not.
        }
        let bare = winner.bare;
        let (options, exact) = match membership {
            Some(membership) if membership.is_exact() => {
                let key = self.topics.at(membership.place().slot).key;
                let (view, tier) = (key.view, key.tier);
                (Options { view, tier, fields: key.fields, encoding: key.encoding }, true)
            }
            _ => (winner.options, false),
        };
        self.want(token, &Want { instrument: instrument.index, options, exact, start, bare })
    }

    /// Ends subscriptions; what others of the connection still want stays, at their options.
    pub(crate) fn unsubscribe(&mut self, token: u32, req_id: Option<&ReqId>, params: &Unsubscribe) {
        let mut granted = Granted::unsubscribed(params.view);
        let stream = stream_of(params.view);
        self.sync_instruments();
        self.look_up_waiting();
        self.begin_edit(token);
        for pattern in &params.symbols {
            let ended = match pattern {
                Pattern::Exact(name) => self.unsubscribe_name(token, name, stream).map(|name| {
                    granted.symbol.push(name);
                }),
                Pattern::Glob(glob) => self.unsubscribe_glob(token, glob, stream).map(|matched| {
                    granted.globs.push(Matched { pattern: glob.as_str().to_owned(), matched });
                }),
            };
            if ended.is_none() {
                let code = ErrorCode::UnknownSymbol;
                granted.failed.push(Failed::new(pattern.as_str(), code, "not subscribed"));
            }
        }
        self.say(token, "unsubscribe", &Answer::Unsubscribed { req_id, result: &granted });
        self.finish_edit(token);
    }

    fn unsubscribe_name(&mut self, token: u32, asked: &str, stream: View) -> Option<String> {
        let Resolved::Known(instrument) = self.resolve(asked) else {
            let subscriptions = &mut self.get_mut(token)?.subscriptions;
            let at = subscriptions.wishes()?.find_waiting(asked, stream)?;
            subscriptions.wishes_mut().waiting.remove(at);
            if !subscriptions.is_waiting() {
                self.growth.waiters.retain(|waiter| *waiter != token);
            }
            return Some(asked.to_owned());
        };
        if !self.is_exact(token, &instrument, stream) {
            return None;
        }
        let number = self.edit.find(instrument.index, stream)?;
        self.get_mut(token)?.subscriptions.memberships[number as usize].set_exact(false);
        self.fall_back(token, number, &instrument, stream);
        Some(instrument.name.to_string())
    }

    fn unsubscribe_glob(&mut self, token: u32, glob: &Glob, stream: View) -> Option<u64> {
        let subscriptions = &mut self.get_mut(token)?.subscriptions;
        let at = subscriptions.wishes()?.find(glob, stream)?;
        subscriptions.wishes_mut().globs.remove(at);
        let mut matched = 0;
        for at in 0..self.instruments.len() {
            let instrument = self.instruments[at].clone();
            let Some(number) = self.edit.find(instrument.index, stream) else { continue };
            if glob.matches(&instrument.name) {
                matched += 1;
                if !self.is_exact(token, &instrument, stream) {
                    self.fall_back(token, number, &instrument, stream);
                }
            }
        }
        Some(matched)
    }

    /// A subscription to a stream has ended: what globs still want of it stays.
    fn fall_back(&mut self, token: u32, number: u32, instrument: &Instrument, stream: View) {
        let wishes = self.get(token).and_then(|connection| connection.subscriptions.wishes());
        if wishes.is_some_and(|wishes| wishes.winner(&instrument.name, stream).is_some()) {
            self.want_by_glob(token, instrument, stream, None);
        } else {
            self.unwant(token, number);
        }
    }
}
