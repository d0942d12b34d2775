//! What becomes of a message that has come, and what readers are told of it.

use crate::connection::{Event, Leaving};
use crate::rule::Verdict;
use crate::shared::State;
use crate::subscriptions::Stream;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tickcast_market::TradingState;
use tickcast_wire::Message;

impl State {
    /// Takes a message in. Whether the driver's times have changed, or something is to be sent.
    pub(crate) fn take(&mut self, message: &Message<'_>, now: Instant) -> bool {
        let stream = match message {
            Message::Answer { req_id, outcome } => {
                self.session.receive(message);
                self.answered(req_id.as_ref(), outcome, now);
                return true;
            }
            Message::Unopened { .. } => {
                self.session.receive(message);
                return true;
            }
            Message::Goaway(goaway) => {
                let at = now + Duration::from_millis(goaway.reconnect_after_ms);
                let leaving = Leaving { at, reason: goaway.reason.clone() };
                self.connection.leaving = Some(leaving.clone());
                self.tell(Event::Leaving(leaving));
                return true;
            }
            Message::Status(_) => None,
            Message::Ticker(push) => self.first(push.is_snapshot, Stream::Ticker, now),
            Message::Trades(push) => self.first(push.is_snapshot, Stream::Trades, now),
            Message::Book(push) => self.first(push.is_snapshot, Stream::Book, now),
            Message::Bars(push) => {
                let interval = push.items.first().map(|item| item.interval);
                let stream = interval.map(Stream::Bars);
                stream.and_then(|stream| self.first(push.is_snapshot, stream, now))
            }
            Message::Welcome(_) | Message::Heartbeat { .. } | Message::Unknown => return false,
        };
        let State { session, routes, handles, .. } = self;
        session.receive_each(message, |symbol, verdict| {
            if verdict != Verdict::Ignored {
                routes.mark(handles, stream, symbol);
            }
        });
        if let Message::Status(push) = message {
            for item in &push.items {
                let state = self.session.status(&item.symbol).map(|view| view.state());
                if let Some(state) = state {
                    self.tell(Event::Status { symbol: item.symbol.clone().into_owned(), state });
                }
            }
        }
        let counts = self.session.counts();
        self.connection.checksum_failures = counts.checksum_failures;
        self.connection.missed_trades = counts.missed_trades;
        self.session.must_ask_again()
    }

    /// While snapshots come the rest of what was asked for may still be on its way.
    fn first(&mut self, is_snapshot: bool, stream: Stream, now: Instant) -> Option<Stream> {
        if is_snapshot && self.sweep_at.is_some() {
            self.sweep_at = Some(now + self.sweep_after);
        }
        Some(stream)
    }

    /// What a reader is told of a stream: nothing is live without a connection, nor while something
    /// is known to be missing, nor without the right to it.
    pub(crate) fn reads_as(&self, stream: Stream, symbol: &str) -> TradingState {
        let told = self.session.status(symbol).map_or(TradingState::Resync, |view| view.state());
        if !self.connection.state.is_live() || self.is_withdrawn(stream, symbol) {
            TradingState::Stale
        } else if told == TradingState::Live && self.session.is_waited_for(stream, symbol) {
            TradingState::Resync
        } else {
            told
        }
    }

    fn is_withdrawn(&self, stream: Stream, symbol: &str) -> bool {
        let mut own = self.handles.values().filter(|handle| handle.stream == stream);
        own.any(|handle| !handle.failed.is_empty() && handle.failed.contains_key(symbol))
    }

    /// Every symbol reads differently now.
    pub(crate) fn mark_all(&mut self) {
        let State { session, routes, handles, .. } = self;
        session.symbols().for_each(|symbol| routes.mark(handles, None, symbol));
    }

    /// A symbol reads differently now.
    pub(crate) fn mark(&mut self, stream: Stream, symbol: &str) {
        self.routes.mark(&mut self.handles, Some(stream), symbol);
    }

    /// A later subscription to something begins with what an earlier one has.
    pub(crate) fn mark_held(&mut self, number: u64) {
        let Some(handle) = self.handles.get_mut(&number) else { return };
        for symbol in self.session.symbols() {
            if handle.matches(symbol) {
                handle.mark(&Arc::from(symbol));
            }
        }
    }
}
