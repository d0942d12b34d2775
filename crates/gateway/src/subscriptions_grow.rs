//! Instruments that appear while clients are already there: globs match them, and names that were
//! waited for are found, or fail once every feed has given its list.

use crate::shard::Shard;
use crate::socket::Socket;
use crate::subscriptions::{WaitingName, stream_of};
use crate::subscriptions_edit::Want;
use std::sync::Arc;
use tickcast_market::{Instrument, Since};
use tickcast_wire::{ErrorCode, Method, RequestError, View};

/// Pairs of a glob and a new instrument that one turn looks at.
const MATCHES_MAX: usize = 200_000;

/// How far the shard has got with new instruments.
#[derive(Debug, Default)]
pub(crate) struct Growth {
    /// Connections with names that nobody has mentioned yet.
    pub(crate) waiters: Vec<u32>,
    /// How many instruments all globs have been matched against.
    matched: usize,
    /// The instruments that are being matched end here, at present with this connection.
    round: Option<(usize, usize)>,
    /// How many instruments there were when the waiting names were last looked up.
    looked_up: usize,
    /// Instruments by their symbol without the venue, when they were last sorted.
    bare: Vec<u32>,
}

impl Growth {
    pub(crate) fn is_under_way(&self) -> bool {
        self.round.is_some()
    }
}

/// What a name stands for.
#[derive(Debug)]
pub(crate) enum Resolved {
    Known(Arc<Instrument>),
    /// A bare symbol that several venues have; their names.
    Ambiguous(Vec<String>),
    Unknown,
}

impl<S: Socket> Shard<S> {
    /// Takes notice of new instruments; an atomic load when there are none.
    pub(crate) fn notice_instruments(&mut self) {
        self.sync_instruments();
        // Names first: their options win over those of globs.
        self.look_up_waiting();
        self.match_globs();
    }

    /// Makes the shard's own list of instruments complete.
    pub(crate) fn sync_instruments(&mut self) {
        let known = self.instruments.len();
        if self.hub.directory().len() != known {
            self.instruments.extend(self.hub.directory().list_from(known));
            let new = &self.instruments[known..];
            new.iter().for_each(|instrument| self.tally.knows(instrument.spec.venue));
        }
    }

    /// Finds the instrument of a name, with or without its venue.
    pub(crate) fn resolve(&mut self, name: &str) -> Resolved {
        if name.contains(':') {
            return self.hub.directory().find(name).map_or(Resolved::Unknown, Resolved::Known);
        }
        let instruments = &self.instruments;
        let symbol = |at: &u32| instruments[*at as usize].spec.symbol.as_str();
        let bare = &mut self.growth.bare;
        if bare.len() != instruments.len() {
            *bare = (0..instruments.len() as u32).collect();
            bare.sort_by(|a, b| symbol(a).cmp(symbol(b)));
        }
        let from = bare.partition_point(|at| symbol(at) < name);
        let found: Vec<_> = bare[from..].iter().take_while(|at| symbol(at) == name).collect();
        match found[..] {
            [] => Resolved::Unknown,
            [at] => Resolved::Known(instruments[*at as usize].clone()),
            _ => {
                let name = |at: &&u32| instruments[**at as usize].name.to_string();
                Resolved::Ambiguous(found.iter().map(name).collect())
            }
        }
    }

    /// Says which instruments a bare symbol may mean, as far as the client may know them.
    pub(crate) fn ambiguous(&self, token: u32, names: &[String]) -> String {
        let who = self.get(token).map(|connection| connection.who());
        let is_seen = |name: &&String| who.is_some_and(|who| who.may_see(name));
        let seen: Vec<&str> = names.iter().filter(is_seen).map(String::as_str).collect();
        format!("more than one venue has it: {}", seen.join(", "))
    }

    /// Matches new instruments against the globs of all connections, a bounded number per turn.
    fn match_globs(&mut self) {
        let (to, mut next) = match self.growth.round {
            Some(round) => round,
            None if self.growth.matched < self.instruments.len() => (self.instruments.len(), 0),
            None => return,
        };
        let new = to - self.growth.matched;
        let mut budget = MATCHES_MAX;
        // Connections that come meanwhile are matched, too; those that are already are left alone.
        while next < self.lanes.len() && budget > 0 {
            let token = next as u32;
            next += 1;
            let wishes = self.get(token).and_then(|connection| connection.subscriptions.wishes());
            let globs = wishes.map_or(0, |wishes| wishes.globs.len());
            budget = budget.saturating_sub(1 + globs * new);
            if globs > 0 {
                let from = self.growth.matched;
                self.guarded(token, |shard| shard.match_globs_of(token, from, to));
            }
        }
        self.growth.round = (next < self.lanes.len()).then_some((to, next));
        if self.growth.round.is_none() {
            self.growth.matched = to;
        }
    }

    fn match_globs_of(&mut self, token: u32, from: usize, to: usize) {
        let Some(wishes) = self.get(token).and_then(|connection| connection.subscriptions.wishes())
        else {
            return;
        };
        let mut streams: Vec<View> =
            wishes.globs.iter().map(|held| stream_of(held.options.view)).collect();
        streams.sort_unstable();
        streams.dedup();
        self.begin_edit(token);
        for at in from..to {
            let instrument = self.instruments[at].clone();
            for stream in &streams {
                if self.edit.find(instrument.index, *stream).is_none() {
                    let start = Some(Since::NOTHING);
                    // Beyond the limit a glob gets no more; it was told so, or will find out.
                    self.want_by_glob(token, &instrument, *stream, start);
                }
            }
        }
        self.finish_edit(token);
        self.flush(token);
    }

    /// Looks the waiting names up again when there are new instruments, and gives them up when
    /// there will be none.
    pub(crate) fn look_up_waiting(&mut self) {
        if self.growth.waiters.is_empty() {
            return;
        }
        let is_complete = self.hub.directory().is_complete();
        // Complete was asked first: a name that was added before it is in the list now.
        self.sync_instruments();
        if !is_complete && self.growth.looked_up == self.instruments.len() {
            return;
        }
        self.growth.looked_up = self.instruments.len();
        for token in std::mem::take(&mut self.growth.waiters) {
            self.guarded(token, |shard| shard.settle_names(token, is_complete));
            if self.get(token).is_some_and(|connection| connection.subscriptions.is_waiting()) {
                self.growth.waiters.push(token);
            }
            self.flush(token);
        }
    }

    fn settle_names(&mut self, token: u32, is_complete: bool) {
        let Some(connection) = self.get_mut(token) else { return };
        let waiting = std::mem::take(&mut connection.subscriptions.wishes_mut().waiting);
        self.begin_edit(token);
        for name in waiting {
            self.settle_waiting(token, name, is_complete);
        }
        self.finish_edit(token);
    }

    fn settle_waiting(&mut self, token: u32, waiting: WaitingName, is_complete: bool) {
        let (code, error) = match self.resolve(&waiting.name) {
            Resolved::Known(instrument)
                if !self.may_receive(token, &instrument.name, waiting.options.view) =>
            {
                (ErrorCode::NotEntitled, "not entitled".to_owned())
            }
            Resolved::Known(instrument) => {
                let want = Want {
                    instrument: instrument.index,
                    options: waiting.options,
                    exact: true,
                    start: Some(waiting.since.unwrap_or(Since::NOTHING)),
                    bare: waiting.bare,
                };
                if self.want(token, &want) {
                    return;
                }
                let error = format!("more than {} instruments", self.settings.instruments_max);
                (ErrorCode::TooManySubscriptions, error)
            }
            Resolved::Ambiguous(names) => (ErrorCode::BadRequest, self.ambiguous(token, &names)),
            Resolved::Unknown if is_complete => {
                (ErrorCode::UnknownSymbol, "unknown symbol".to_owned())
            }
            Resolved::Unknown => {
                if let Some(connection) = self.get_mut(token) {
                    connection.subscriptions.wishes_mut().waiting.push(waiting);
                }
                return;
            }
        };
        let error = format!("params.symbol: {:?}: {error}", waiting.name);
        self.refuse(
            token,
            &RequestError { method: Some(Method::Subscribe), req_id: None, code, error },
        );
    }
}
