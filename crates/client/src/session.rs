//! Everything that one client holds, over all of its connections: subscriptions, views, counts,
//! and what has to be asked again.
//!
//! Knows no socket and no clock: decoded messages go in, requests come out.

use crate::book::BookView;
use crate::gather::gather;
use crate::instrument::{Instrument, Slot, Taken, take};
use crate::rule::Verdict;
use crate::subscriptions::{Claims, Stream, Subscriptions};
use crate::views::{BarsView, StatusView, Take, TickerView, TradesView};
use crate::violation::Violation;
use std::collections::{BTreeSet, HashMap};
use tickcast_market::{Interval, Since};
use tickcast_wire::{
    BarsItem, BookItem, FieldSet, Mark, Message, ReqId, Request, StatusItem, Subscribe, TickerItem,
    TradesItem, Unsubscribe,
};

/// How many violations are kept in words; all are counted.
pub const VIOLATIONS_KEPT_MAX: usize = 32;

/// What came in, by what became of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Data items of any kind.
    pub items: u64,
    /// Items that were applied.
    pub applied: u64,
    /// Items that were held already or older: overlap, which is harmless.
    pub ignored: u64,
    /// Items that could not be applied because something was missing before them.
    pub gaps: u64,
    /// Items that broke a promise of the protocol.
    pub violations: u64,
    /// Those of them that were books with another checksum.
    pub checksum_failures: u64,
    /// Trades that were certainly missed.
    pub missed_trades: u64,
    /// Items of something that was not subscribed to, as after an unsubscribe.
    pub unexpected: u64,
    /// Requests that asked again.
    pub asked_again: u64,
    /// Heartbeats.
    pub heartbeats: u64,
}

/// The state of one client.
#[derive(Debug, Default)]
pub struct Session {
    pub(crate) subscriptions: Subscriptions,
    pub(crate) instruments: HashMap<String, Instrument>,
    /// What has to be asked for again, in an order that does not depend on hashing.
    pub(crate) due: BTreeSet<(Stream, String)>,
    /// What was asked for again by which request, until that is answered.
    pub(crate) asking: HashMap<ReqId, Vec<(Stream, String)>>,
    pub(crate) counts: Counts,
    violations: Vec<(String, Violation)>,
    last_req_id: i64,
    leaves_books_unchecked: bool,
}

impl Session {
    /// A session without subscriptions.
    pub fn new() -> Session {
        Session::default()
    }

    /// Whether books are compared with their checksums, which they are unless this says no. Holds
    /// for books that come to be held from now on.
    pub const fn verify_checksums(&mut self, verify: bool) {
        self.leaves_books_unchecked = !verify;
    }

    /// Begins a subscription, or changes one in place, and gives the request to send.
    pub fn subscribe(&mut self, params: Subscribe) -> Request {
        self.subscriptions.add(&params);
        if params.fields != FieldSet::ALL {
            for (symbol, instrument) in &mut self.instruments {
                if let Some(ticker) = &mut instrument.ticker
                    && let Some(at) = self.subscriptions.find(Stream::Ticker, symbol)
                {
                    ticker.view.narrow(self.subscriptions.get(at).fields);
                }
            }
        }
        Request::Subscribe { req_id: self.next_req_id(), params }
    }

    /// Ends a subscription, lets go what only it needed, and gives the request to send.
    pub fn unsubscribe(&mut self, params: Unsubscribe) -> Request {
        self.subscriptions.remove(&params);
        let subscriptions = &self.subscriptions;
        self.instruments.retain(|symbol, instrument| {
            if !params.symbols.iter().any(|pattern| pattern.matches(symbol)) {
                return true;
            }
            instrument.release(|stream| subscriptions.find(stream, symbol).is_some());
            subscriptions.covers(symbol)
        });
        self.due.retain(|(stream, symbol)| subscriptions.find(*stream, symbol).is_some());
        Request::Unsubscribe { req_id: self.next_req_id(), params }
    }

    /// Begins a new connection: every subscription is to be sent again, with what is held claimed
    /// by `since`; those with equal options in one request. Status is never resumed.
    pub fn reconnected(&mut self) -> Vec<Request> {
        self.due.clear();
        self.asking.clear();
        for instrument in self.instruments.values_mut() {
            instrument.reconnected();
        }
        let mut requests: Vec<Claims> =
            (0..self.subscriptions.len()).map(|at| Claims::new(&self.subscriptions, at)).collect();
        let mut symbols: Vec<&String> = self.instruments.keys().collect();
        symbols.sort_unstable();
        for symbol in symbols {
            let instrument = &self.instruments[symbol];
            for stream in Stream::ALL {
                let Some(at) = self.subscriptions.find(stream, symbol) else { continue };
                // What does not fit comes as a snapshot: a second request would come too late.
                let claims = &mut requests[at];
                if let Some(since) = instrument.claim(&claims.params)
                    && claims.has_room(symbol)
                {
                    claims.insert(symbol.clone(), since);
                }
            }
        }
        self.written(requests)
    }

    /// Takes a message in. The verdict is the gravest of its items; messages without data are
    /// ignored. After [`Verdict::AskAgain`] send what [`Session::ask_again`] gives.
    pub fn receive(&mut self, message: &Message<'_>) -> Verdict {
        self.receive_each(message, |_, _| {})
    }

    /// The same; `each` is told the symbol of every item and what became of it.
    pub(crate) fn receive_each(
        &mut self,
        message: &Message<'_>,
        mut each: impl FnMut(&str, Verdict),
    ) -> Verdict {
        macro_rules! each {
            ($push:expr, $route:ident) => {{
                let mut gravest = Verdict::Ignored;
                for item in &$push.items {
                    let verdict = self.$route(item, $push.is_snapshot);
                    each(&item.symbol, verdict);
                    gravest = gravest.max(verdict);
                }
                gravest
            }};
        }
        match message {
            Message::Status(push) => each!(push, status_item),
            Message::Ticker(push) => each!(push, ticker_item),
            Message::Trades(push) => each!(push, trades_item),
            Message::Book(push) => each!(push, book_item),
            Message::Bars(push) => each!(push, bars_item),
            Message::Heartbeat { .. } => {
                self.counts.heartbeats += 1;
                Verdict::Ignored
            }
            Message::Answer { req_id: Some(req_id), outcome } => {
                self.answered(req_id, outcome);
                Verdict::Ignored
            }
            Message::Unopened { channel } => self.unopened(*channel),
            Message::Welcome(_)
            | Message::Goaway(_)
            | Message::Answer { req_id: None, .. }
            | Message::Unknown => Verdict::Ignored,
        }
    }

    /// What is held of a stream.
    pub(crate) fn held(&self, stream: Stream, symbol: &str) -> Option<Since> {
        self.instruments.get(symbol)?.held(stream)
    }

    /// What came in.
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// The first violations with their symbols, at most [`VIOLATIONS_KEPT_MAX`].
    pub fn violations(&self) -> &[(String, Violation)] {
        &self.violations
    }

    /// The symbols of which anything is held, in no order.
    pub fn symbols(&self) -> impl Iterator<Item = &str> {
        self.instruments.keys().map(String::as_str)
    }

    /// The status of an instrument.
    pub fn status(&self, symbol: &str) -> Option<&StatusView> {
        self.instruments.get(symbol).map(|instrument| &instrument.status.view)
    }

    /// The ticker of an instrument.
    pub fn ticker(&self, symbol: &str) -> Option<&TickerView> {
        self.instruments.get(symbol)?.ticker.as_ref().map(|slot| &slot.view)
    }

    /// The trades of an instrument.
    pub fn trades(&self, symbol: &str) -> Option<&TradesView> {
        self.instruments.get(symbol)?.trades.as_ref().map(|slot| &slot.view)
    }

    /// The book of an instrument.
    pub fn book(&self, symbol: &str) -> Option<&BookView> {
        self.instruments.get(symbol)?.book.as_ref().map(|slot| &slot.view)
    }

    /// The bars of an instrument and an interval.
    pub fn bars(&self, symbol: &str, interval: Interval) -> Option<&BarsView> {
        let instrument = self.instruments.get(symbol)?;
        instrument.bars[interval as usize].as_ref().map(|slot| &slot.view)
    }

    pub(crate) fn written(&mut self, requests: Vec<Claims>) -> Vec<Request> {
        let requests = gather(requests.into_iter().map(|claims| claims.params));
        let request = |params| Request::Subscribe { req_id: self.next_req_id(), params };
        requests.into_iter().map(request).collect()
    }

    pub(crate) fn next_req_id(&mut self) -> Option<ReqId> {
        self.last_req_id += 1;
        Some(ReqId::from_integer(self.last_req_id))
    }

    fn status_item(&mut self, item: &StatusItem<'_>, is_snapshot: bool) -> Verdict {
        self.counts.items += 1;
        let symbol = &*item.symbol;
        if !self.instruments.contains_key(symbol) {
            if !self.subscriptions.covers(symbol) {
                self.counts.unexpected += 1;
                return Verdict::Ignored;
            }
            self.instruments.insert(symbol.to_owned(), Instrument::default());
        }
        let instrument = self.instruments.get_mut(symbol).expect("it was there or was inserted");
        let taken = take(&mut instrument.status, item, item.mark(), is_snapshot);
        let stream = self.subscriptions.stream_of(symbol);
        self.count(stream, symbol, &taken)
    }

    fn ticker_item(&mut self, item: &TickerItem<'_>, is_snapshot: bool) -> Verdict {
        self.data_item(Stream::Ticker, item, &item.symbol, item.mark(), is_snapshot, |i| {
            &mut i.ticker
        })
    }

    fn trades_item(&mut self, item: &TradesItem<'_>, is_snapshot: bool) -> Verdict {
        let before = self.trades(&item.symbol).map_or(0, TradesView::missed);
        let verdict =
            self.data_item(Stream::Trades, item, &item.symbol, item.mark(), is_snapshot, |i| {
                &mut i.trades
            });
        let missed = self.trades(&item.symbol).map_or(0, TradesView::missed);
        self.counts.missed_trades += missed.saturating_sub(before);
        verdict
    }

    fn book_item(&mut self, item: &BookItem<'_>, is_snapshot: bool) -> Verdict {
        if self.leaves_books_unchecked
            && let Some(instrument) = self.instruments.get_mut(&*item.symbol)
            && instrument.book.is_none()
            && self.subscriptions.find(Stream::Book, &item.symbol).is_some()
        {
            instrument.book.get_or_insert_default().view.leave_unchecked();
        }
        self.data_item(Stream::Book, item, &item.symbol, item.mark(), is_snapshot, |i| &mut i.book)
    }

    fn bars_item(&mut self, item: &BarsItem<'_>, is_snapshot: bool) -> Verdict {
        let interval = item.interval;
        let stream = Stream::Bars(interval);
        self.data_item(stream, item, &item.symbol, item.mark(), is_snapshot, |i| {
            &mut i.bars[interval as usize]
        })
    }

    fn data_item<Item, V: Take<Item> + Default>(
        &mut self,
        stream: Stream,
        item: &Item,
        symbol: &str,
        mark: Mark,
        is_snapshot: bool,
        slot_of: impl Fn(&mut Instrument) -> &mut Option<Slot<V>>,
    ) -> Verdict {
        self.counts.items += 1;
        let has_slot = self.instruments.get_mut(symbol).is_some_and(|i| slot_of(i).is_some());
        if !has_slot && self.subscriptions.find(stream, symbol).is_none() {
            self.counts.unexpected += 1;
            return Verdict::Ignored;
        }
        // Most symbols are known; only a new one is copied.
        if !self.instruments.contains_key(symbol) {
            self.instruments.insert(symbol.to_owned(), Instrument::default());
        }
        let instrument = self.instruments.get_mut(symbol).expect("it was there or was inserted");
        let has_status = instrument.status.view.rule().held().is_some();
        let slot = slot_of(instrument).get_or_insert_default();
        let taken = take(slot, item, mark, is_snapshot);
        if !has_status {
            self.violated(symbol, Violation::DataBeforeStatus);
        }
        self.count(Some(stream), symbol, &taken)
    }

    /// Counts an item; `AskAgain` comes once until something was received that helps.
    fn count(&mut self, stream: Option<Stream>, symbol: &str, taken: &Taken) -> Verdict {
        match taken.judged {
            Ok(Verdict::Applied) => self.counts.applied += 1,
            Ok(Verdict::Ignored) => self.counts.ignored += 1,
            Ok(Verdict::AskAgain) => self.counts.gaps += 1,
            Err(violation) => self.violated(symbol, violation),
        }
        if taken.must_ask
            && let Some(stream) = stream
        {
            self.due.insert((stream, symbol.to_owned()));
        }
        taken.judged.unwrap_or(Verdict::AskAgain)
    }

    fn violated(&mut self, symbol: &str, violation: Violation) {
        self.counts.violations += 1;
        self.counts.checksum_failures += u64::from(violation == Violation::Checksum);
        if self.violations.len() < VIOLATIONS_KEPT_MAX {
            self.violations.push((symbol.to_owned(), violation));
        }
    }
}
