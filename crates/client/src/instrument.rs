//! All views of one instrument, and which of them wait for an answer.

use crate::book::BookView;
use crate::rule::Verdict;
use crate::subscriptions::Stream;
use crate::views::{BarsView, StatusView, Take, TickerView, TradesView};
use crate::violation::Violation;
use tickcast_market::{Interval, Since};
use tickcast_wire::{BarsItem, BookItem, Mark, Subscribe, TickerItem, TradesItem, View};

/// A view, and whether it was asked for again and nothing has come yet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slot<V> {
    pub(crate) view: V,
    asked: bool,
}

/// All views of one instrument.
#[derive(Clone, Debug, Default)]
pub(crate) struct Instrument {
    pub(crate) status: Slot<StatusView>,
    pub(crate) ticker: Option<Slot<TickerView>>,
    pub(crate) trades: Option<Slot<TradesView>>,
    pub(crate) book: Option<Slot<BookView>>,
    pub(crate) bars: [Option<Slot<BarsView>>; Interval::ALL.len()],
}

/// What became of an item, and whether its stream is to be asked for again now.
pub(crate) struct Taken {
    pub(crate) judged: Result<Verdict, Violation>,
    pub(crate) must_ask: bool,
}

pub(crate) fn take<Item, V: Take<Item>>(
    slot: &mut Slot<V>,
    item: &Item,
    mark: Mark,
    is_snapshot: bool,
) -> Taken {
    let judged = slot.view.take(item, is_snapshot);
    let mut must_ask = false;
    match judged {
        Ok(Verdict::Applied) => slot.asked = false,
        // The answer to a `since` that is up to date is an update without any change.
        Ok(Verdict::Ignored) if mark.prev == Some(mark.seq) => slot.asked = false,
        Ok(Verdict::Ignored) => {}
        // While an answer is on its way, what comes before it says the same again. A broken
        // promise may be the answer itself.
        Ok(Verdict::AskAgain) => must_ask = !std::mem::replace(&mut slot.asked, true),
        Err(_) => {
            must_ask = true;
            slot.asked = true;
        }
    }
    Taken { judged, must_ask }
}

impl Instrument {
    /// What is held of a stream.
    pub(crate) fn held(&self, stream: Stream) -> Option<Since> {
        match stream {
            Stream::Ticker => self.ticker.as_ref()?.view.rule().held(),
            Stream::Trades => self.trades.as_ref()?.view.rule().held(),
            Stream::Book => self.book.as_ref()?.view.rule().held(),
            Stream::Bars(interval) => self.bars[interval as usize].as_ref()?.view.rule().held(),
        }
    }

    /// Whether a stream has told nothing on this connection, or was asked for again and nothing
    /// that helps has come.
    pub(crate) fn is_waited_for(&self, stream: Stream) -> bool {
        fn waits<Item, V: Take<Item>>(slot: Option<&Slot<V>>) -> bool {
            slot.is_none_or(|slot| slot.asked || !slot.view.rule().is_confirmed())
        }
        match stream {
            Stream::Ticker => waits::<TickerItem<'_>, _>(self.ticker.as_ref()),
            Stream::Trades => waits::<TradesItem<'_>, _>(self.trades.as_ref()),
            Stream::Book => waits::<BookItem<'_>, _>(self.book.as_ref()),
            Stream::Bars(interval) => {
                waits::<BarsItem<'_>, _>(self.bars[interval as usize].as_ref())
            }
        }
    }

    /// What may be claimed in a subscribe: only what is held at just the depth, the interval and
    /// with the fields that it asks for.
    pub(crate) fn claim(&self, request: &Subscribe) -> Option<Since> {
        let as_asked = match request.view {
            View::Ticker => self.ticker.as_ref()?.view.fields().covers(request.fields),
            View::Book(depth) => self.book.as_ref()?.view.depth() == depth,
            View::Trades | View::Bars(_) => true,
            View::Status => false,
        };
        self.held(Stream::of(request.view)?).filter(|_| as_asked)
    }

    /// Begins a new connection in every view.
    pub(crate) fn reconnected(&mut self) {
        // Status has an epoch of the gateway's and is never resumed.
        self.status = Slot::default();
        fn renew<Item, V: Take<Item>>(slot: &mut Option<Slot<V>>) {
            if let Some(slot) = slot {
                slot.view.rule_mut().reconnected();
                slot.asked = false;
            }
        }
        renew::<TickerItem<'_>, _>(&mut self.ticker);
        renew::<TradesItem<'_>, _>(&mut self.trades);
        renew::<BookItem<'_>, _>(&mut self.book);
        self.bars.iter_mut().for_each(renew::<BarsItem<'_>, _>);
    }

    /// Lets go the views that are not needed any more.
    pub(crate) fn release(&mut self, is_needed: impl Fn(Stream) -> bool) {
        if !is_needed(Stream::Ticker) {
            self.ticker = None;
        }
        if !is_needed(Stream::Trades) {
            self.trades = None;
        }
        if !is_needed(Stream::Book) {
            self.book = None;
        }
        for interval in Interval::ALL {
            if !is_needed(Stream::Bars(interval)) {
                self.bars[interval as usize] = None;
            }
        }
    }
}
