//! What a client holds of one instrument: status, ticker, trades and bars. The book has a file of
//! its own.
//!
//! Values are kept as the decimal text that was sent; who computes parses.

use crate::rule::{Rule, Verdict};
use crate::violation::Violation;
use std::collections::{BTreeMap, VecDeque};
use tickcast_market::{Nanos, Seq, Side, TradingState};
use tickcast_wire::{
    BarItem, BarsItem, Field, FieldSet, Mark, StatusItem, TickerField, TickerItem, TradeItem,
    TradesItem,
};

/// How many trades a [`TradesView`] keeps; older ones are let go.
pub const TRADES_MAX: usize = 1_000;

/// How many bars a [`BarsView`] keeps; older ones are let go.
pub const BARS_MAX: usize = 5_000;

/// Takes items of one channel in.
pub trait Take<Item> {
    /// Judges an item by the client's rule and applies it where it says so.
    ///
    /// *Errors:* a broken promise. What was held is then given up, and asking again gets a
    /// snapshot.
    fn take(&mut self, item: &Item, is_snapshot: bool) -> Result<Verdict, Violation>;

    /// Its place in the stream.
    fn rule(&self) -> &Rule;

    /// The same, for the session.
    fn rule_mut(&mut self) -> &mut Rule;
}

/// What every item must satisfy, whatever is held.
pub(crate) fn check_mark(
    mark: Mark,
    state: Option<TradingState>,
    is_snapshot: bool,
) -> Result<(), Violation> {
    match (is_snapshot, mark.prev, state) {
        (true, _, None) => Err(Violation::State),
        (false, None, _) => Err(Violation::Prev),
        (false, Some(prev), _) if prev > mark.seq => Err(Violation::Prev),
        _ => Ok(()),
    }
}

/// Implements [`Take`] by `check_mark`, the rule and the view's own `apply`, which is called only
/// for what the rule applies, with the seq that was held before within the same epoch.
macro_rules! take {
    ($view:ident, $item:ident) => {
        impl crate::views::Take<$item<'_>> for $view {
            fn take(&mut self, item: &$item<'_>, is_snapshot: bool) -> Result<Verdict, Violation> {
                let mark = item.mark();
                let before = self.rule.held().filter(|held| held.epoch == mark.epoch);
                let taken =
                    crate::views::check_mark(mark, item.state, is_snapshot).and_then(|()| {
                        let verdict = self.rule.judge(mark, is_snapshot, self.shows(item));
                        if verdict == Verdict::Applied {
                            self.apply(item, is_snapshot, before.map(|held| held.seq))?;
                        }
                        Ok(verdict)
                    });
                if taken.is_err() {
                    self.rule.forget();
                }
                taken
            }

            fn rule(&self) -> &Rule {
                &self.rule
            }

            fn rule_mut(&mut self) -> &mut Rule {
                &mut self.rule
            }
        }
    };
}
pub(crate) use take;

/// The status of an instrument.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatusView {
    rule: Rule,
    state: TradingState,
    ts_state: Nanos,
}

impl StatusView {
    /// What can be expected of the instrument's data; `resync` before anything was told.
    pub fn state(&self) -> TradingState {
        if self.rule.held().is_some() { self.state } else { TradingState::Resync }
    }

    /// When that state began.
    pub const fn ts_state(&self) -> Nanos {
        self.ts_state
    }

    fn shows(&self, _: &StatusItem<'_>) -> bool {
        true
    }

    fn apply(&mut self, item: &StatusItem<'_>, _: bool, _: Option<Seq>) -> Result<(), Violation> {
        self.state = item.state.ok_or(Violation::State)?;
        self.ts_state = item.ts_state;
        Ok(())
    }
}

take!(StatusView, StatusItem);

/// The ticker of an instrument.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TickerView {
    rule: Rule,
    fields: FieldSet,
    values: [Option<String>; TickerField::COUNT],
    ts_event: Nanos,
    ts_publish: Nanos,
}

impl TickerView {
    /// A field's value as it was sent; `None` when it has none now, or is not subscribed to.
    pub fn get(&self, field: TickerField) -> Option<&str> {
        self.values[field as usize].as_deref()
    }

    /// The fields that the last snapshot had, with or without a value.
    pub const fn fields(&self) -> FieldSet {
        self.fields
    }

    /// The venue's time of the last change.
    pub const fn ts_event(&self) -> Nanos {
        self.ts_event
    }

    /// When the last item was encoded.
    pub const fn ts_publish(&self) -> Nanos {
        self.ts_publish
    }

    /// Lets go the fields that are not subscribed to any more: nothing is told of them.
    pub(crate) fn narrow(&mut self, to: FieldSet) {
        self.fields = self.fields.and(to);
        for field in TickerField::ALL.into_iter().filter(|field| !to.contains(*field)) {
            self.values[field as usize] = None;
        }
    }

    fn shows(&self, _: &TickerItem<'_>) -> bool {
        true
    }

    fn apply(
        &mut self,
        item: &TickerItem<'_>,
        is_snapshot: bool,
        _: Option<Seq>,
    ) -> Result<(), Violation> {
        if is_snapshot {
            self.fields = FieldSet::NONE;
        }
        for field in TickerField::ALL {
            // An update from before the fields were changed may still have others.
            if !is_snapshot && !self.fields.contains(field) {
                continue;
            }
            let value = &mut self.values[field as usize];
            match item.field(field) {
                Field::Absent if is_snapshot => *value = None,
                Field::Absent => continue,
                Field::Null => *value = None,
                Field::Value(number) => {
                    // The text that is there already keeps its memory.
                    let text = value.get_or_insert_default();
                    text.clear();
                    text.push_str(number.text());
                }
            }
            if is_snapshot && item.field(field) != Field::Absent {
                self.fields = self.fields.with(field);
            }
        }
        self.ts_event = item.ts_event;
        self.ts_publish = item.ts_publish;
        Ok(())
    }
}

take!(TickerView, TickerItem);

/// One trade as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TradeRow {
    /// Its place in the stream.
    pub seq: Seq,
    /// The venue's id.
    pub id: String,
    /// At which price.
    pub price: String,
    /// How much.
    pub size: String,
    /// Who crossed.
    pub side: Side,
    /// When it traded, by the venue's clock.
    pub ts_event: Nanos,
}

impl From<&TradeItem<'_>> for TradeRow {
    fn from(item: &TradeItem<'_>) -> TradeRow {
        TradeRow {
            seq: item.seq,
            id: item.id.clone().into_owned(),
            price: item.price.text().to_owned(),
            size: item.size.text().to_owned(),
            side: item.side,
            ts_event: item.ts_event,
        }
    }
}

/// The trades of an instrument.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TradesView {
    rule: Rule,
    recent: VecDeque<TradeRow>,
    taken: u64,
    missed: u64,
}

impl TradesView {
    /// The latest trades, oldest first; at most [`TRADES_MAX`].
    pub fn recent(&self) -> impl ExactSizeIterator<Item = &TradeRow> {
        self.recent.iter()
    }

    /// How many trades were taken in, each once within its epoch.
    pub const fn taken(&self) -> u64 {
        self.taken
    }

    /// How many trades were certainly missed. What a new epoch leaves out cannot be known.
    pub const fn missed(&self) -> u64 {
        self.missed
    }

    fn shows(&self, _: &TradesItem<'_>) -> bool {
        true
    }

    fn apply(
        &mut self,
        item: &TradesItem<'_>,
        is_snapshot: bool,
        before: Option<Seq>,
    ) -> Result<(), Violation> {
        let dense =
            item.trades.windows(2).all(|pair| pair[0].seq.0.checked_add(1) == Some(pair[1].seq.0));
        let complete = item.trades.last().is_none_or(|last| last.seq == item.seq);
        if !dense || !complete {
            return Err(Violation::Density);
        }
        // Within one epoch the first trade that is new tells exactly how many are not there.
        let first_new = before.and_then(|mine| item.trades.iter().find(|trade| trade.seq > mine));
        if let Some(mine) = before {
            let upto = first_new.map_or(item.seq.0, |trade| trade.seq.0 - 1);
            self.missed += upto.saturating_sub(mine.0);
        }
        if is_snapshot {
            self.recent.clear();
        }
        for trade in &item.trades {
            let is_new = Some(trade.seq) > before;
            if is_new || is_snapshot {
                self.recent.push_back(trade.into());
            }
            self.taken += u64::from(is_new);
        }
        let excess = self.recent.len().saturating_sub(TRADES_MAX);
        self.recent.drain(..excess);
        Ok(())
    }
}

take!(TradesView, TradesItem);

/// One bar as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // Each is the wire's field of that name.
pub struct BarRow {
    pub start: Nanos,
    pub open: String,
    pub high: String,
    pub low: String,
    pub close: String,
    pub volume: String,
    pub trades: u32,
    pub closed: bool,
}

impl From<&BarItem<'_>> for BarRow {
    fn from(item: &BarItem<'_>) -> BarRow {
        BarRow {
            start: item.start,
            open: item.open.text().to_owned(),
            high: item.high.text().to_owned(),
            low: item.low.text().to_owned(),
            close: item.close.text().to_owned(),
            volume: item.volume.text().to_owned(),
            trades: item.trades,
            closed: item.closed,
        }
    }
}

/// The bars of an instrument and an interval.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BarsView {
    rule: Rule,
    /// Each with the change with which it came.
    bars: BTreeMap<Nanos, (Seq, BarRow)>,
}

impl BarsView {
    /// The bars, oldest first; at most [`BARS_MAX`].
    pub fn bars(&self) -> impl ExactSizeIterator<Item = &BarRow> {
        self.bars.values().map(|(_, bar)| bar)
    }

    /// The bars that came after a change, oldest first.
    ///
    /// *Cost:* looks at every bar.
    pub fn since(&self, seq: Seq) -> impl Iterator<Item = &BarRow> {
        self.bars.values().filter(move |(changed, _)| *changed > seq).map(|(_, bar)| bar)
    }

    /// The session keeps a view for each interval, so an item is always of the view's own.
    fn shows(&self, _: &BarsItem<'_>) -> bool {
        true
    }

    fn apply(
        &mut self,
        item: &BarsItem<'_>,
        is_snapshot: bool,
        _: Option<Seq>,
    ) -> Result<(), Violation> {
        if is_snapshot {
            self.bars.clear();
        }
        self.bars.extend(item.bars.iter().map(|bar| (bar.start, (item.seq, bar.into()))));
        while self.bars.len() > BARS_MAX {
            self.bars.pop_first();
        }
        Ok(())
    }
}

take!(BarsView, BarsItem);
