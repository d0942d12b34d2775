//! What a session has to ask for again, and what it waits for.

use crate::instrument::Instrument;
use crate::rule::Verdict;
use crate::session::Session;
use crate::subscriptions::{Claims, Stream};
use crate::views::Take;
use std::collections::BTreeSet;
use tickcast_market::{Since, TradingState};
use tickcast_wire::{Channel, ErrorCode, Outcome, ReqId, Request};

impl Session {
    /// Whether something has to be asked for again.
    pub fn must_ask_again(&self) -> bool {
        !self.due.is_empty()
    }

    /// The requests that ask again for what is due: each repeats its subscription, same patterns
    /// and options, with `since` for the symbols concerned and no others. How often to ask is the
    /// caller's to pace: a service that answers wrongly each time would be asked each time.
    pub fn ask_again(&mut self) -> Vec<Request> {
        let mut requests: Vec<Claims> = Vec::new();
        for (stream, symbol) in std::mem::take(&mut self.due) {
            let Some(at) = self.subscriptions.find(stream, &symbol) else { continue };
            let held = self.instruments.get(&symbol).and_then(|held| held.held(stream));
            let open = requests.iter().rposition(|claims| claims.at == at);
            let open = match open.filter(|open| requests[*open].has_room(&symbol)) {
                Some(open) => &mut requests[open],
                None => {
                    requests.push(Claims::new(&self.subscriptions, at));
                    requests.last_mut().expect("one was pushed")
                }
            };
            open.insert(symbol, held.unwrap_or(Since::NOTHING));
        }
        let requests = self.written(requests);
        self.counts.asked_again += requests.len() as u64;
        for request in &requests {
            if let Request::Subscribe { req_id: Some(req_id), params } = request
                && let Some(stream) = Stream::of(params.view)
            {
                let symbols = params.since.keys().map(|symbol| (stream, symbol.clone()));
                self.asking.insert(req_id.clone(), symbols.collect());
            }
        }
        requests
    }

    /// Something came of the channel, but not of what: everything that is subscribed to there is
    /// due, unless it is being asked for already.
    pub(crate) fn unopened(&mut self, channel: Channel) -> Verdict {
        self.counts.gaps += 1;
        let asked: BTreeSet<&(Stream, String)> = self.asking.values().flatten().collect();
        for stream in Stream::ALL.into_iter().filter(|stream| stream.channel() == channel) {
            for symbol in self.instruments.keys() {
                let due = (stream, symbol.clone());
                if self.subscriptions.find(stream, symbol).is_some() && !asked.contains(&due) {
                    self.due.insert(due);
                }
            }
        }
        Verdict::AskAgain
    }

    /// A request that asked again and was refused for now (45xx) is due once more.
    pub(crate) fn answered(&mut self, req_id: &ReqId, outcome: &Outcome) {
        let asked = self.asking.remove(req_id).unwrap_or_default();
        if let Outcome::Refused { code, .. } = outcome
            && ErrorCode::from_number(*code).is_some_and(ErrorCode::may_come_back)
        {
            self.due.extend(asked);
        }
    }

    /// These will be told of by name, so that it is noticed if nothing comes.
    pub(crate) fn expect(&mut self, stream: Stream, symbols: &[String]) {
        for symbol in symbols {
            if !self.instruments.contains_key(symbol)
                && self.subscriptions.find(stream, symbol).is_some()
            {
                self.instruments.insert(symbol.clone(), Instrument::default());
            }
        }
    }

    /// Makes due what should have come by now and has not: streams that were asked for and have
    /// told nothing on this connection, and those that were asked for again without an answer.
    /// When that is, is the caller's to judge. Instruments in `resync` wait for their venue.
    ///
    /// *Cost:* looks at every instrument and every pattern.
    pub(crate) fn sweep(&mut self) {
        for (symbol, instrument) in &self.instruments {
            let status = &instrument.status.view;
            if status.rule().held().is_some() && status.state() == TradingState::Resync {
                continue;
            }
            for stream in Stream::ALL {
                if instrument.is_waited_for(stream)
                    && self.subscriptions.find(stream, symbol).is_some()
                {
                    self.due.insert((stream, symbol.clone()));
                }
            }
        }
    }

    /// Whether what is held of a stream is known to lack something.
    pub(crate) fn is_waited_for(&self, stream: Stream, symbol: &str) -> bool {
        self.instruments.get(symbol).is_none_or(|instrument| instrument.is_waited_for(stream))
    }
}
