//! Subscribes with equal options put together: as few requests as possible, each no longer than a
//! service reads.

use crate::subscriptions::{REQUEST_BYTES_MAX, SINCE_BYTES, Stream};
use std::collections::HashSet;
use tickcast_wire::{Pattern, Request, Subscribe, Unsubscribe};

/// Names and patterns in one request; longer lists go in several.
pub(crate) const REQUEST_SYMBOLS_MAX: usize = 1_000;

/// What a name takes beside its text: quotes and a comma.
const NAME_BYTES: usize = 3;

/// What a request takes beside names and claims, generously.
const FRAME_BYTES: usize = 400;

/// Puts subscribes together, in the order in which a service has to hear of them. Names go wherever
/// there is room; globs only beside their neighbours, since of two globs the later one wins.
pub(crate) fn gather(requests: impl IntoIterator<Item = Subscribe>) -> Vec<Subscribe> {
    let mut gathered: Vec<Subscribe> = Vec::new();
    let mut last_globs = None;
    for params in requests {
        let is_glob = has_globs(&params);
        let open = gathered.iter().rposition(|open| is_alike(open, &params));
        let open = open.filter(|at| !is_glob || last_globs.is_none_or(|last| last == *at));
        let at = match open {
            Some(at) if join(&mut gathered[at], &params) => at,
            _ => {
                gathered.push(params);
                gathered.len() - 1
            }
        };
        if is_glob {
            last_globs = Some(at);
        }
    }
    gathered
}

/// Says `more` with `params`, where that asks for the same and has room for it.
pub(crate) fn join(params: &mut Subscribe, more: &Subscribe) -> bool {
    let symbols = params.symbols.len() + more.symbols.len();
    let fits = symbols <= REQUEST_SYMBOLS_MAX
        && FRAME_BYTES + bytes(params) + bytes(more) <= REQUEST_BYTES_MAX;
    if !fits || !is_alike(params, more) {
        return false;
    }
    params.symbols.extend_from_slice(&more.symbols);
    params.since.extend(more.since.iter().map(|(symbol, since)| (symbol.clone(), *since)));
    true
}

/// The same of what is ended.
pub(crate) fn join_ended(params: &mut Unsubscribe, more: &Unsubscribe) -> bool {
    let symbols = params.symbols.len() + more.symbols.len();
    let size = FRAME_BYTES + names(&params.symbols) + names(&more.symbols);
    let fits = symbols <= REQUEST_SYMBOLS_MAX && size <= REQUEST_BYTES_MAX;
    if !fits || Stream::of(params.view) != Stream::of(more.view) {
        return false;
    }
    params.symbols.extend_from_slice(&more.symbols);
    true
}

fn is_alike(one: &Subscribe, other: &Subscribe) -> bool {
    one.view == other.view
        && one.max_rate == other.max_rate
        && one.fields == other.fields
        && one.snapshot == other.snapshot
}

fn has_globs(params: &Subscribe) -> bool {
    params.symbols.iter().any(|symbol| matches!(symbol, Pattern::Glob(_)))
}

fn names(symbols: &[Pattern]) -> usize {
    symbols.iter().map(|symbol| symbol.as_str().len() + NAME_BYTES).sum()
}

fn bytes(params: &Subscribe) -> usize {
    let claims = params.since.keys().map(|symbol| symbol.len() + SINCE_BYTES);
    names(&params.symbols) + claims.sum::<usize>()
}

/// What requests that stay where they are say; what says something of the same may not be said
/// before them.
#[derive(Debug, Default)]
pub(crate) struct Passed {
    symbols: HashSet<(Option<Stream>, Pattern)>,
    globs: HashSet<Option<Stream>>,
}

impl Passed {
    /// This stays where it is.
    pub(crate) fn note(&mut self, request: &Request) {
        let (stream, symbols) = match request {
            Request::Subscribe { params, .. } => {
                let stream = Stream::of(params.view);
                if has_globs(params) {
                    self.globs.insert(stream);
                }
                (stream, &params.symbols)
            }
            Request::Unsubscribe { params, .. } => (Stream::of(params.view), &params.symbols),
            _ => return,
        };
        self.symbols.extend(symbols.iter().map(|symbol| (stream, symbol.clone())));
    }

    /// Whether a subscribe may be said before all of them.
    pub(crate) fn lets(&self, params: &Subscribe) -> bool {
        let stream = Stream::of(params.view);
        self.are_others(stream, &params.symbols)
            && !(has_globs(params) && self.globs.contains(&stream))
    }

    /// The same of an unsubscribe.
    pub(crate) fn lets_end(&self, params: &Unsubscribe) -> bool {
        self.are_others(Stream::of(params.view), &params.symbols)
    }

    fn are_others(&self, stream: Option<Stream>, symbols: &[Pattern]) -> bool {
        symbols.iter().all(|symbol| !self.symbols.contains(&(stream, symbol.clone())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tickcast_wire::{Epoch, Seq, Since, View};

    fn subscribe(symbol: &str, max_rate: f64) -> Subscribe {
        let max_rate = Some(max_rate);
        Subscribe { max_rate, ..Subscribe::new(View::Ticker, vec![Pattern::new(symbol)]) }
    }

    fn said(requests: &[Subscribe]) -> Vec<Vec<&str>> {
        let said = requests.iter().map(|params| params.symbols.iter().map(Pattern::as_str));
        said.map(Iterator::collect).collect()
    }

    #[test]
    fn names_go_where_there_is_room_and_globs_stay_in_order() {
        let wishes =
            [("a:*", 1.0), ("a:X", 1.0), ("*", 4.0), ("b:*", 1.0), ("a:Y", 4.0), ("c:*", 1.0)];
        let requests = gather(wishes.map(|(symbol, rate)| subscribe(symbol, rate)));
        assert_eq!(said(&requests), [vec!["a:*", "a:X"], vec!["*", "a:Y"], vec!["b:*", "c:*"]]);
    }

    #[test]
    fn a_request_stays_as_short_as_a_service_reads_with_a_claim_for_each_name() {
        let since = Since { epoch: Epoch(7_000_000_000_000), seq: Seq(1 << 40) };
        let wishes = (0..2_000).map(|at| {
            let symbol = format!("venue:SYMBOL{at:05}-USD");
            let mut params = subscribe(&symbol, 4.0);
            params.since.insert(symbol, since);
            params
        });
        let requests = gather(wishes);
        assert!((2..6).contains(&requests.len()), "{}", requests.len());
        for params in requests {
            assert_eq!(params.since.len(), params.symbols.len());
            let mut text = Vec::new();
            let request = Request::Subscribe { req_id: None, params };
            tickcast_wire::write_request(&mut text, tickcast_wire::Encoding::Json, &request);
            assert!(text.len() <= REQUEST_BYTES_MAX, "{}", text.len());
        }
    }
}
