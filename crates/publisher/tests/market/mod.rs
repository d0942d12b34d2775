//! A small market: what happens to one instrument, out of two numbers.

use tickcast_market::{
    BookChange, BookSide, Event, EventBatch, EventBody, InstrumentIndex, Nanos, Price, Quote,
    Scales, Side, Size, SourceIndex, Trade,
};

/// A batch of one event.
pub(crate) fn batch(
    instrument: InstrumentIndex,
    now: Nanos,
    scales: Scales,
    body: EventBody<'_>,
) -> EventBatch {
    let mut batch = EventBatch::default();
    (batch.source, batch.clock) = (SourceIndex(0), now);
    batch.push(&Event { instrument, ts_event: now, ts_recv: now, scales, body });
    batch
}

/// A change of one of `levels` prices on either side of the middle; never crossed.
pub(crate) fn change((a, b): (u16, u16), middle: i64, levels: u16, scales: Scales) -> BookChange {
    let side = if a.is_multiple_of(2) { BookSide::Bid } else { BookSide::Ask };
    let offset = i64::from(a / 2 % levels) + 1;
    let price = if side == BookSide::Bid { middle - offset } else { middle + offset };
    let unit = 10i64.pow(u32::from(scales.price) - 1);
    BookChange { side, price: Price(price * unit), size: Size(i64::from(b % 4)) }
}

/// Best bid and ask; now and then a side is empty.
pub(crate) fn quote(a: u16, b: u16) -> Quote {
    let side = |n: u16| (!n.is_multiple_of(5)).then_some((Price(i64::from(n)), Size(1)));
    Quote { bid: side(a), ask: side(b) }
}

/// So many trades around a price, from an id on.
pub(crate) fn trades(count: u64, first_id: u64, price: u16, ts_event: Nanos) -> Vec<Trade> {
    let trade = |i: u64| Trade {
        id: first_id + i,
        price: Price(i64::from(price) + i as i64 % 7),
        size: Size(1 + i as i64 % 3),
        side: if i.is_multiple_of(2) { Side::Buy } else { Side::Sell },
        ts_event,
    };
    (0..count).map(trade).collect()
}
