//! The inside of a subscription: which symbols have news for it, and what became of its request.

use crate::error::Error;
use crate::gather::REQUEST_SYMBOLS_MAX;
use crate::subscriptions::{REQUEST_BYTES_MAX, SINCE_BYTES, Stream};
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use tickcast_market::Since;
use tickcast_wire::{Failed, Granted, Pattern, ReqId, Subscribe};
use tokio::sync::Notify;

/// What a symbol takes in a request beside its own text, as a name and as a key of `since`.
const SYMBOL_BYTES: usize = 3 + SINCE_BYTES;

/// One subscription as its driver sees it.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) stream: Stream,
    pub(crate) params: Subscribe,
    /// Symbols with news, each once: newer state replaces older in the views, so this grows with
    /// the number of symbols and with nothing else.
    fresh: VecDeque<Arc<str>>,
    queued: HashSet<Arc<str>>,
    /// What was given last of each symbol, on channels where that matters.
    seen: HashMap<Arc<str>, Since>,
    pub(crate) answers_due: HashSet<ReqId>,
    pub(crate) is_placed: bool,
    pub(crate) ended: Option<Error>,
    pub(crate) granted: Vec<Granted>,
    pub(crate) failed: BTreeMap<String, Failed>,
    pub(crate) news: Arc<Notify>,
}

impl Handle {
    pub(crate) fn new(stream: Stream, params: Subscribe) -> Handle {
        Handle {
            stream,
            params,
            fresh: VecDeque::new(),
            queued: HashSet::new(),
            seen: HashMap::new(),
            answers_due: HashSet::new(),
            is_placed: false,
            ended: None,
            granted: Vec::new(),
            failed: BTreeMap::new(),
            news: Arc::default(),
        }
    }

    /// There is something new of a symbol.
    pub(crate) fn mark(&mut self, symbol: &Arc<str>) {
        if !self.queued.contains(symbol) {
            self.queued.insert(symbol.clone());
            self.fresh.push_back(symbol.clone());
            self.news.notify_one();
        }
    }

    /// The symbol that has waited longest.
    pub(crate) fn take(&mut self) -> Option<Arc<str>> {
        let symbol = self.fresh.pop_front()?;
        self.queued.remove(&symbol);
        Some(symbol)
    }

    /// What was given last of a symbol; of trades and bars, whose news is a part of the state.
    pub(crate) fn seen(&self, symbol: &str) -> Option<Since> {
        self.seen.get(symbol).copied()
    }

    pub(crate) fn gave(&mut self, symbol: Arc<str>, held: Option<Since>) {
        if let (Stream::Trades | Stream::Bars(_), Some(held)) = (self.stream, held) {
            self.seen.insert(symbol, held);
        }
    }

    /// Whether a request is about any of its symbols.
    pub(crate) fn is_concerned(&self, stream: Stream, symbols: &HashSet<&Pattern>) -> bool {
        self.stream == stream && self.params.symbols.iter().any(|own| symbols.contains(own))
    }

    pub(crate) fn matches(&self, symbol: &str) -> bool {
        self.params.symbols.iter().any(|pattern| pattern.matches(symbol))
    }

    /// Whether it is told that a symbol, named as it was asked for or in full, is not served.
    pub(crate) fn wants(&self, symbol: &str) -> bool {
        self.params.symbols.iter().any(|own| own.as_str() == symbol || own.matches(symbol))
    }

    /// Nothing more comes.
    pub(crate) fn end(&mut self, why: &Error) {
        self.ended.get_or_insert_with(|| why.clone());
        self.news.notify_one();
    }

    /// Keeps what was granted of its own symbols; `names` are the granted names by how they may
    /// have been asked for.
    pub(crate) fn grant(&mut self, granted: &Granted, names: &HashMap<&str, Vec<&str>>) {
        let own: HashSet<&str> = self.params.symbols.iter().map(Pattern::as_str).collect();
        let named = self.params.symbols.iter().filter_map(|own| names.get(own.as_str()));
        let part = Granted {
            symbol: named.flatten().map(|&name| name.to_owned()).collect(),
            globs: granted
                .globs
                .iter()
                .filter(|one| own.contains(&*one.pattern))
                .cloned()
                .collect(),
            failed: granted
                .failed
                .iter()
                .filter(|one| own.contains(&*one.symbol))
                .cloned()
                .collect(),
            ..granted.clone()
        };
        for symbol in &part.symbol {
            self.failed.remove(symbol);
        }
        self.granted.retain_mut(|old| {
            old.symbol.retain(|symbol| !part.symbol.contains(symbol));
            old.globs.retain(|glob| part.globs.iter().all(|new| new.pattern != glob.pattern));
            old.failed.retain(|name| part.failed.iter().all(|new| new.symbol != name.symbol));
            !(old.symbol.is_empty() && old.globs.is_empty() && old.failed.is_empty())
        });
        self.granted.push(part);
    }
}

/// A subscription in as many requests as its list of symbols needs, each of which can be repeated
/// with all that is held of it.
pub(crate) fn requests(params: &Subscribe) -> Vec<Subscribe> {
    let with = |symbols| Subscribe { symbols, ..params.clone() };
    let mut requests = Vec::new();
    let mut symbols: Vec<Pattern> = Vec::new();
    let mut bytes = 0;
    for symbol in &params.symbols {
        let more = 2 * symbol.as_str().len() + SYMBOL_BYTES;
        let is_full = symbols.len() == REQUEST_SYMBOLS_MAX || bytes + more > REQUEST_BYTES_MAX;
        if is_full && !symbols.is_empty() {
            requests.push(with(std::mem::take(&mut symbols)));
            bytes = 0;
        }
        bytes += more;
        symbols.push(symbol.clone());
    }
    requests.push(with(symbols));
    requests
}

#[cfg(test)]
mod tests {
    use super::*;
    use tickcast_wire::{Encoding, Epoch, Request, Seq, View, write_request};

    fn handle(symbols: usize) -> Handle {
        let symbols = (0..symbols).map(|at| Pattern::new(format!("venue:SYMBOL{at:05}-USD")));
        Handle::new(Stream::Ticker, Subscribe::new(View::Ticker, symbols.collect()))
    }

    #[test]
    fn a_symbol_waits_once_however_often_it_changes() {
        let mut handle = handle(1);
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        for symbol in [&a, &b, &a, &a, &b] {
            handle.mark(symbol);
        }
        assert_eq!((handle.take(), handle.take(), handle.take()), (Some(a.clone()), Some(b), None));
        handle.mark(&a);
        assert_eq!(handle.take(), Some(a));
    }

    #[test]
    fn a_long_list_goes_in_requests_that_have_room_for_what_is_held() {
        let handle = handle(2_500);
        let requests = requests(&handle.params);
        assert!(requests.len() > 2, "{}", requests.len());
        let all: usize = requests.iter().map(|params| params.symbols.len()).sum();
        assert_eq!(all, 2_500);
        for mut params in requests {
            let since = Since { epoch: Epoch(7_000_000_000_000), seq: Seq(1 << 40) };
            let held = params.symbols.iter().map(|name| (name.as_str().to_owned(), since));
            params.since = held.collect();
            let mut text = Vec::new();
            let request = Request::Subscribe { req_id: None, params };
            write_request(&mut text, Encoding::Json, &request);
            assert!(text.len() <= 65_536, "{}", text.len());
        }
    }
}
