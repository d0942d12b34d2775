//! What a client has subscribed to, and which of its subscriptions an instrument belongs to.

use tickcast_market::{Interval, Since};
use tickcast_wire::{Channel, Pattern, Subscribe, Unsubscribe, View};

/// How long a request may become by what it claims in `since`, about; a service reads 64 KiB.
pub const REQUEST_BYTES_MAX: usize = 60 * 1024;

/// What one `since` entry takes beside the symbol: names, punctuation, two integers.
pub(crate) const SINCE_BYTES: usize = 64;

/// What an instrument is subscribed to on: a channel, of `bars` each interval by itself. The depth
/// of a book is an option that changes in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Stream {
    Ticker,
    Trades,
    Book,
    Bars(Interval),
}

impl Stream {
    pub(crate) const ALL: [Stream; 7] = [
        Stream::Ticker,
        Stream::Trades,
        Stream::Book,
        Stream::Bars(Interval::S1),
        Stream::Bars(Interval::M1),
        Stream::Bars(Interval::M5),
        Stream::Bars(Interval::H1),
    ];

    /// The stream that a view looks at; `status` cannot be subscribed to.
    pub(crate) const fn of(view: View) -> Option<Stream> {
        match view {
            View::Status => None,
            View::Ticker => Some(Stream::Ticker),
            View::Trades => Some(Stream::Trades),
            View::Book(_) => Some(Stream::Book),
            View::Bars(interval) => Some(Stream::Bars(interval)),
        }
    }

    /// The channel that it belongs to.
    pub(crate) const fn channel(self) -> Channel {
        match self {
            Stream::Ticker => Channel::Ticker,
            Stream::Trades => Channel::Trades,
            Stream::Book => Channel::Book,
            Stream::Bars(_) => Channel::Bars,
        }
    }
}

/// Subscriptions in the order in which they were made, without `since`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Subscriptions {
    list: Vec<Subscribe>,
}

impl Subscriptions {
    /// Adds a subscription; patterns that an earlier one had on the same stream move to it.
    pub(crate) fn add(&mut self, params: &Subscribe) {
        self.drop_patterns(Stream::of(params.view), &params.symbols);
        let mut params = params.clone();
        params.since.clear();
        self.list.push(params);
    }

    /// Ends what has one of these patterns on the stream.
    pub(crate) fn remove(&mut self, params: &Unsubscribe) {
        self.drop_patterns(Stream::of(params.view), &params.symbols);
    }

    fn drop_patterns(&mut self, stream: Option<Stream>, symbols: &[Pattern]) {
        let gone: std::collections::HashSet<&Pattern> = symbols.iter().collect();
        for params in self.list.iter_mut().filter(|params| Stream::of(params.view) == stream) {
            params.symbols.retain(|symbol| !gone.contains(symbol));
        }
        self.list.retain(|params| !params.symbols.is_empty());
    }

    /// The subscription that an instrument belongs to on a stream: an exact name's wins over a
    /// glob's, a later glob's over an earlier's.
    ///
    /// *Cost:* looks at all patterns; for the first item of an instrument and for asking again.
    pub(crate) fn find(&self, stream: Stream, symbol: &str) -> Option<usize> {
        let mut best = None;
        for (at, params) in self.list.iter().enumerate() {
            if Stream::of(params.view) != Some(stream) {
                continue;
            }
            for pattern in &params.symbols {
                match pattern {
                    Pattern::Exact(_) if pattern.matches(symbol) => return Some(at),
                    Pattern::Glob(_) if pattern.matches(symbol) => best = Some(at),
                    Pattern::Exact(_) | Pattern::Glob(_) => {}
                }
            }
        }
        best
    }

    /// Some stream on which the instrument is subscribed to.
    pub(crate) fn stream_of(&self, symbol: &str) -> Option<Stream> {
        let matches = |params: &&Subscribe| params.symbols.iter().any(|p| p.matches(symbol));
        self.list.iter().find(matches).and_then(|params| Stream::of(params.view))
    }

    /// Whether anything of the instrument is subscribed to.
    pub(crate) fn covers(&self, symbol: &str) -> bool {
        self.stream_of(symbol).is_some()
    }

    pub(crate) fn get(&self, at: usize) -> &Subscribe {
        &self.list[at]
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }
}

/// A subscription that is repeated, with what is claimed in it.
pub(crate) struct Claims {
    /// Which subscription.
    pub(crate) at: usize,
    pub(crate) params: Subscribe,
    /// How long the request is, about.
    bytes: usize,
}

impl Claims {
    pub(crate) fn new(subscriptions: &Subscriptions, at: usize) -> Claims {
        let params = subscriptions.get(at).clone();
        let bytes = params.symbols.iter().map(|symbol| symbol.as_str().len() + 3).sum();
        Claims { at, params, bytes }
    }

    /// Whether one more symbol fits; one always does.
    pub(crate) fn has_room(&self, symbol: &str) -> bool {
        let bytes = self.bytes + symbol.len() + SINCE_BYTES;
        self.params.since.is_empty() || bytes <= REQUEST_BYTES_MAX
    }

    pub(crate) fn insert(&mut self, symbol: String, since: Since) {
        self.bytes += symbol.len() + SINCE_BYTES;
        self.params.since.insert(symbol, since);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tickcast_wire::Depth;

    fn subscribe(view: View, symbols: &[&str]) -> Subscribe {
        Subscribe::new(view, symbols.iter().map(|symbol| Pattern::new(*symbol)).collect())
    }

    #[test]
    fn exact_names_win_over_globs_and_later_globs_over_earlier() {
        let mut subscriptions = Subscriptions::default();
        subscriptions.add(&subscribe(View::Ticker, &["sim:A", "BTC-USD"]));
        subscriptions.add(&subscribe(View::Ticker, &["sim:*"]));
        subscriptions.add(&subscribe(View::Ticker, &["*"]));
        for (symbol, expected) in
            [("sim:A", 0), ("kraken:BTC-USD", 0), ("sim:B", 2), ("kraken:BTC-USDT", 2)]
        {
            assert_eq!(subscriptions.find(Stream::Ticker, symbol), Some(expected), "{symbol}");
        }
        assert_eq!(subscriptions.find(Stream::Trades, "sim:A"), None);
        // Repeating a glob moves it behind the others.
        subscriptions.add(&subscribe(View::Ticker, &["sim:*"]));
        assert_eq!(subscriptions.find(Stream::Ticker, "sim:B"), Some(2));
    }

    #[test]
    fn subscribing_again_replaces_in_place_and_intervals_stand_apart() {
        let mut subscriptions = Subscriptions::default();
        subscriptions.add(&subscribe(View::Book(Depth::TEN), &["a:B", "a:C"]));
        let deeper = View::Book(Depth::new(100).unwrap());
        subscriptions.add(&subscribe(deeper, &["a:B"]));
        let at = subscriptions.find(Stream::Book, "a:B").unwrap();
        assert_eq!(subscriptions.get(at).view, deeper);
        subscriptions.add(&subscribe(View::Bars(Interval::M1), &["a:B"]));
        let all =
            Unsubscribe { view: View::Bars(Interval::S1), symbols: vec![Pattern::new("a:B")] };
        subscriptions.remove(&all);
        assert!(subscriptions.find(Stream::Bars(Interval::M1), "a:B").is_some());
        subscriptions.remove(&Unsubscribe { view: View::Book(Depth::TEN), ..all });
        assert!(subscriptions.find(Stream::Book, "a:B").is_none());
        assert!(subscriptions.find(Stream::Book, "a:C").is_some());
    }
}
