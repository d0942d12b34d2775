//! The ticker stream: ten fields, each stamped with the seq at which it last changed.

use tickcast_market::{DayStats, Nanos, Price, Quote, Scales, Seq, Size, Trade, Volume};
use tickcast_wire::{FieldSet, Head, Kind, TickerField, TickerPieces};

/// The state of one ticker stream.
#[derive(Debug, Default)]
pub(crate) struct Ticker {
    values: TickerPieces,
    stamps: [Seq; TickerField::COUNT],
    pub(crate) seq: Seq,
    /// What changed up to here cannot be told apart any more; 0 but in a replica.
    pub(crate) floor: Seq,
    pub(crate) ts_event: Nanos,
}

impl Ticker {
    /// Takes best bid and ask. Says whether anything changed.
    pub(crate) fn quote(&mut self, quote: &Quote, ts_event: Nanos) -> bool {
        self.change(ts_event, |values| {
            values.bid = quote.bid.map(|(price, _)| price);
            values.bid_size = quote.bid.map(|(_, size)| size);
            values.ask = quote.ask.map(|(price, _)| price);
            values.ask_size = quote.ask.map(|(_, size)| size);
        })
    }

    /// Takes the latest trade.
    pub(crate) fn trade(&mut self, trade: &Trade) -> bool {
        self.change(trade.ts_event, |values| {
            values.last = Some(trade.price);
            values.last_size = Some(trade.size);
        })
    }

    /// Takes day statistics; what they do not say stays. `last` counts only before any trade.
    pub(crate) fn day(&mut self, day: &DayStats, ts_event: Nanos) -> bool {
        self.change(ts_event, |values| {
            values.open = day.open.or(values.open);
            values.high = day.high.or(values.high);
            values.low = day.low.or(values.low);
            values.volume = day.volume.or(values.volume);
            values.last = values.last.or(day.last);
        })
    }

    /// Lets `set` write the values and stamps each one that is then another.
    fn change(&mut self, ts_event: Nanos, set: impl FnOnce(&mut TickerPieces)) -> bool {
        let before = self.values;
        set(&mut self.values);
        let after = &self.values;
        if *after == before {
            return false;
        }
        let seq = Seq(self.seq.0 + 1);
        let changed = [
            before.last != after.last,
            before.last_size != after.last_size,
            before.bid != after.bid,
            before.bid_size != after.bid_size,
            before.ask != after.ask,
            before.ask_size != after.ask_size,
            before.open != after.open,
            before.high != after.high,
            before.low != after.low,
            before.volume != after.volume,
        ];
        for (stamp, changed) in self.stamps.iter_mut().zip(changed) {
            if changed {
                *stamp = seq;
            }
        }
        self.seq = seq;
        if ts_event != Nanos::ZERO {
            self.ts_event = ts_event;
        }
        true
    }

    /// Takes over what was told of another one: everything, or the fields that are present.
    pub(crate) fn adopt(&mut self, told: &TickerPieces, head: &Head) {
        let is_whole = head.kind == Kind::Snapshot;
        if is_whole {
            self.floor = head.seq;
        }
        for field in TickerField::ALL {
            if is_whole || told.present.contains(field) {
                self.values.set(field, told);
                self.stamps[field as usize] = head.seq;
            }
        }
        (self.seq, self.ts_event) = (head.seq, head.ts_event);
    }

    /// Copies out the chosen fields that changed after `since` (seq 0: all of them). Says whether
    /// there are any.
    pub(crate) fn diff(&self, since: Seq, fields: FieldSet, out: &mut TickerPieces) -> bool {
        *out = self.values;
        out.present = if since == Seq(0) {
            fields
        } else {
            let newer = |field: &TickerField| self.stamps[*field as usize] > since;
            fields.iter().filter(newer).fold(FieldSet::NONE, FieldSet::with)
        };
        !out.present.is_empty()
    }

    /// The present values.
    pub(crate) fn values(&self) -> &TickerPieces {
        &self.values
    }

    /// Takes all numbers to finer scales; `None` when one does not fit.
    pub(crate) fn rescaled(&self, from: Scales, to: Scales) -> Option<TickerPieces> {
        let price = |p: Option<Price>| p.map(|p| p.rescaled(from.price, to.price)).transpose().ok();
        let size = |s: Option<Size>| s.map(|s| s.rescaled(from.size, to.size)).transpose().ok();
        let volume =
            |v: Option<Volume>| v.map(|v| v.rescaled(from.volume, to.volume)).transpose().ok();
        let old = &self.values;
        Some(TickerPieces {
            present: old.present,
            last: price(old.last)?,
            last_size: size(old.last_size)?,
            bid: price(old.bid)?,
            bid_size: size(old.bid_size)?,
            ask: price(old.ask)?,
            ask_size: size(old.ask_size)?,
            open: price(old.open)?,
            high: price(old.high)?,
            low: price(old.low)?,
            volume: volume(old.volume)?,
        })
    }

    /// Puts rescaled values in place, as the first change of a new epoch.
    pub(crate) fn begin_epoch(&mut self, values: TickerPieces) {
        self.values = values;
        self.seq = Seq(self.seq.0 + 1);
        self.stamps = [self.seq; TickerField::COUNT];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quote(bid: i64, ask: i64) -> Quote {
        Quote { bid: Some((Price(bid), Size(1))), ask: Some((Price(ask), Size(1))) }
    }

    #[test]
    fn a_diff_has_just_the_chosen_fields_that_changed() {
        let mut ticker = Ticker::default();
        let mut out = TickerPieces::default();
        assert!(ticker.quote(&quote(1, 2), Nanos(5)));
        assert!(!ticker.quote(&quote(1, 2), Nanos(6)), "nothing changed");
        assert_eq!((ticker.seq, ticker.ts_event), (Seq(1), Nanos(5)));
        assert!(ticker.quote(&Quote { bid: None, ..quote(1, 2) }, Nanos::ZERO));
        assert!(ticker.diff(Seq(1), FieldSet::ALL, &mut out));
        let bid_side = FieldSet::NONE.with(TickerField::Bid).with(TickerField::BidSize);
        assert_eq!((out.present, out.bid), (bid_side, None));
        assert!(!ticker.diff(Seq(1), FieldSet::NONE.with(TickerField::Ask), &mut out));
        assert!(!ticker.diff(Seq(2), FieldSet::ALL, &mut out));
        assert!(ticker.diff(Seq(0), FieldSet::ALL, &mut out));
        assert_eq!(out.present, FieldSet::ALL);
    }
}
