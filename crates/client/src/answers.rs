//! What becomes of the service's answers: who waits for them is told, what was not granted is told
//! to the subscriptions that asked for it.

use crate::connection::Event;
use crate::error::{Error, is_final};
use crate::shared::{Pending, Saying, State};
use crate::subscriptions::Stream;
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};
use tickcast_wire::{
    Channel, Failed, Granted, Outcome, Pattern, ReqId, Request, Subscribe, Unsubscribe, View,
};

/// A request that was refused for now is sent again after this.
const RETRY_AFTER: Duration = Duration::from_secs(1);

impl State {
    pub(crate) fn answered(&mut self, req_id: Option<&ReqId>, outcome: &Outcome, now: Instant) {
        let pending = req_id.and_then(|req_id| Some((req_id, self.pending.remove(req_id)?)));
        match (pending, outcome) {
            (Some((req_id, Pending::Subscribe { params, again })), outcome) => match outcome {
                Outcome::Subscribed(granted) => {
                    self.granted(&params, granted, req_id);
                }
                Outcome::Refused { code, error } => {
                    self.refused(params, again, (*code, error), req_id, now);
                }
                _ => {}
            },
            // Who asked may have gone.
            (Some((_, Pending::Stats(asker))), outcome) => drop(asker.send(match outcome {
                Outcome::Stats(stats) => Ok(*stats),
                outcome => Err(refusal(outcome)),
            })),
            (Some((_, Pending::Auth(asker))), outcome) => drop(asker.send(match outcome {
                Outcome::Authenticated(who) => Ok(who.clone()),
                outcome => Err(refusal(outcome)),
            })),
            (Some((_, Pending::Unsubscribe)), _) => {}
            // Rights have ended with a new token.
            (None, Outcome::Subscribed(granted)) => self.fail(stream_of(granted), &granted.failed),
            (None, Outcome::Refused { code, error }) => self.refused_late(*code, error),
            (None, _) => {}
        }
    }

    fn granted(&mut self, params: &Subscribe, granted: &Granted, req_id: &ReqId) {
        let Some(stream) = Stream::of(params.view) else { return };
        self.session.expect(stream, &granted.symbol);
        let symbols: HashSet<&Pattern> = params.symbols.iter().collect();
        let mut names: HashMap<&str, Vec<&str>> = HashMap::new();
        for name in &granted.symbol {
            let bare = name.split_once(':').map(|(_, bare)| bare);
            for asked in [Some(name.as_str()), bare].into_iter().flatten() {
                names.entry(asked).or_default().push(name);
            }
        }
        for handle in self.handles.values_mut() {
            if !handle.is_concerned(stream, &symbols) {
                continue;
            }
            handle.grant(granted, &names);
            if handle.answers_due.remove(req_id) && handle.answers_due.is_empty() {
                handle.is_placed = true;
                handle.news.notify_one();
            }
        }
        self.fail(Some(stream), &granted.failed);
    }

    /// Symbols that are not served, or not any more.
    fn fail(&mut self, stream: Option<Stream>, failed: &[Failed]) {
        let Some(stream) = stream else { return };
        for failed in failed {
            let mut is_news = false;
            for handle in self.handles.values_mut() {
                if handle.stream == stream && handle.wants(&failed.symbol) {
                    let before = handle.failed.insert(failed.symbol.clone(), failed.clone());
                    is_news |= before.is_none_or(|before| before.code != failed.code);
                    handle.news.notify_one();
                }
            }
            self.mark(stream, &failed.symbol);
            if is_news {
                self.tell(Event::Failed {
                    channel: stream.channel().name(),
                    symbol: failed.symbol.clone(),
                    code: failed.code,
                    error: failed.error.clone(),
                });
            }
        }
    }

    /// A subscribe as a whole. One that was refused for now is sent again; otherwise it is over for
    /// those who wait for it.
    fn refused(
        &mut self,
        params: Subscribe,
        again: bool,
        (code, error): (u16, &str),
        req_id: &ReqId,
        now: Instant,
    ) {
        let waiting = self.handles.values().filter(|one| one.answers_due.contains(req_id)).count();
        if is_final(code) && !again && waiting > 1 && params.symbols.len() > 1 {
            return self.halve(params, req_id);
        }
        self.tell(Event::Refused { code, error: error.to_owned() });
        if again {
            return; // The session has taken note of it.
        }
        if !is_final(code) {
            let req_id = req_id.clone();
            self.retries
                .push((now + RETRY_AFTER, Request::Subscribe { req_id: Some(req_id), params }));
            return;
        }
        let why = Error::Request { code, error: error.to_owned() };
        for handle in self.handles.values_mut() {
            if handle.answers_due.remove(req_id) {
                handle.end(&why);
            }
        }
        let Subscribe { view, symbols, .. } = params;
        // The service has nothing to be told: it has not begun.
        self.session.unsubscribe(Unsubscribe { view, symbols });
    }

    /// A request for several subscriptions was refused, and whose fault it is was not said: each
    /// half is asked for by itself.
    fn halve(&mut self, mut params: Subscribe, req_id: &ReqId) {
        for handle in self.handles.values_mut() {
            handle.answers_due.remove(req_id);
        }
        let symbols = params.symbols.split_off(params.symbols.len() / 2);
        let mut rest = Subscribe { symbols, ..params.clone() };
        for half in [&mut params, &mut rest] {
            let Subscribe { symbols, since, .. } = half;
            since.retain(|name, _| symbols.iter().any(|symbol| symbol.matches(name)));
        }
        for params in [params, rest] {
            let req_id = self.session.next_req_id();
            self.send_subscribe(Request::Subscribe { req_id, params }, Saying::Alone);
        }
    }

    /// A name that had to wait for its venue's list turns out to be none. Such an answer repeats
    /// no `req_id`; it names the symbol in its text.
    fn refused_late(&mut self, code: u16, error: &str) {
        let named = error.strip_prefix("params.symbol: \"").and_then(|rest| rest.split_once('"'));
        let Some((name, why)) = named else {
            return self.tell(Event::Refused { code, error: error.to_owned() });
        };
        let why = why.trim_start_matches(": ").to_owned();
        let failed = Failed { symbol: name.to_owned(), code, error: why };
        let exact = Pattern::Exact(name.to_owned());
        let streams: HashSet<Stream> = self
            .handles
            .values()
            .filter(|handle| handle.params.symbols.contains(&exact))
            .map(|handle| handle.stream)
            .collect();
        for stream in streams {
            self.fail(Some(stream), std::slice::from_ref(&failed));
        }
    }
}

fn refusal(outcome: &Outcome) -> Error {
    match outcome {
        Outcome::Refused { code, error } => Error::Request { code: *code, error: error.clone() },
        _ => Error::Lost("an answer to something else".into()),
    }
}

fn stream_of(granted: &Granted) -> Option<Stream> {
    Stream::of(match granted.channel {
        Channel::Status => View::Status,
        Channel::Ticker => View::Ticker,
        Channel::Trades => View::Trades,
        Channel::Book => View::Book(granted.depth.unwrap_or_default()),
        Channel::Bars => View::Bars(granted.interval?),
    })
}
