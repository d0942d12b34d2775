//! A client's book: both sides in order, checked against the service's checksum.

use crate::rule::{Rule, Verdict};
use crate::views::take;
use crate::violation::Violation;
use std::collections::BTreeMap;
use tickcast_market::{Decimal, Nanos, Price, Seq, Size};
use tickcast_wire::{BookItem, Depth, LevelItem, Number, book_checksum};

/// The book of an instrument down to a depth. A client never truncates: what leaves the view is
/// sent with size 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BookView {
    rule: Rule,
    depth: Depth,
    price_scale: Option<u8>,
    size_scale: Option<u8>,
    bids: BTreeMap<Price, Size>,
    asks: BTreeMap<Price, Size>,
    checksum: u32,
    is_unchecked: bool,
    ts_event: Nanos,
    ts_publish: Nanos,
}

impl BookView {
    /// The depth of the snapshot that is held.
    pub const fn depth(&self) -> Depth {
        self.depth
    }

    /// Bids, best first.
    pub fn bids(&self) -> impl DoubleEndedIterator<Item = (Decimal, Decimal)> {
        self.bids.iter().rev().map(|(price, size)| self.level(*price, *size))
    }

    /// Asks, best first.
    pub fn asks(&self) -> impl DoubleEndedIterator<Item = (Decimal, Decimal)> {
        self.asks.iter().map(|(price, size)| self.level(*price, *size))
    }

    /// The checksum of what is held, which is the one that was sent last.
    pub const fn checksum(&self) -> u32 {
        self.checksum
    }

    /// The venue's time of the last change.
    pub const fn ts_event(&self) -> Nanos {
        self.ts_event
    }

    /// When the last item was encoded.
    pub const fn ts_publish(&self) -> Nanos {
        self.ts_publish
    }

    /// Believes every checksum from now on.
    pub(crate) const fn leave_unchecked(&mut self) {
        self.is_unchecked = true;
    }

    fn level(&self, price: Price, size: Size) -> (Decimal, Decimal) {
        (
            Decimal { mantissa: price.0, scale: self.price_scale.unwrap_or_default() },
            Decimal { mantissa: size.0, scale: self.size_scale.unwrap_or_default() },
        )
    }

    fn shows(&self, item: &BookItem<'_>) -> bool {
        item.depth == self.depth
    }

    fn apply(
        &mut self,
        item: &BookItem<'_>,
        is_snapshot: bool,
        _: Option<Seq>,
    ) -> Result<(), Violation> {
        if is_snapshot {
            self.depth = item.depth;
            (self.price_scale, self.size_scale) = (None, None);
            self.bids.clear();
            self.asks.clear();
        }
        for level in &item.bids {
            apply_level(&mut self.bids, level, &mut self.price_scale, &mut self.size_scale)?;
        }
        for level in &item.asks {
            apply_level(&mut self.asks, level, &mut self.price_scale, &mut self.size_scale)?;
        }
        if self.bids.len().max(self.asks.len()) > self.depth.levels() {
            return Err(Violation::Depth);
        }
        if !self.is_unchecked {
            let pair = |(price, size): (&Price, &Size)| (*price, *size);
            let held = book_checksum(self.bids.iter().rev().map(pair), self.asks.iter().map(pair));
            if held != item.checksum {
                return Err(Violation::Checksum);
            }
        }
        self.checksum = item.checksum;
        self.ts_event = item.ts_event;
        self.ts_publish = item.ts_publish;
        Ok(())
    }
}

take!(BookView, BookItem);

fn apply_level(
    side: &mut BTreeMap<Price, Size>,
    (price, size): &LevelItem<'_>,
    price_scale: &mut Option<u8>,
    size_scale: &mut Option<u8>,
) -> Result<(), Violation> {
    let price = Price(mantissa(*price, price_scale)?);
    // The only number that is not padded to the scale, so it says nothing of it.
    if size.text() == "0" {
        side.remove(&price);
    } else {
        side.insert(price, Size(mantissa(*size, size_scale)?));
    }
    Ok(())
}

/// The mantissa at the epoch's scale, which is that of the first number seen.
fn mantissa(number: Number<'_>, scale: &mut Option<u8>) -> Result<i64, Violation> {
    let decimal = number.decimal().map_err(|_| Violation::Number)?;
    match *scale.get_or_insert(decimal.scale) {
        scale if scale == decimal.scale => Ok(decimal.mantissa),
        _ => Err(Violation::Number),
    }
}
