//! The instruments of a decoder: scales that rise with what is seen, and the events of each.

use super::number;
use rustc_hash::FxHashMap;
use tickcast_feed::Io;
use tickcast_market::{
    BookChange, BookSide, DayStats, Decimal, Event, EventBody, InstrumentIndex, InstrumentSpec,
    Nanos, Price, Scales, Size, Trade, Venue, Volume,
};

/// All that were seen; `B` is what the venue's rules need besides.
#[derive(Debug, Default)]
pub(super) struct Symbols<B> {
    by_name: FxHashMap<String, usize>,
    list: Vec<Symbol<B>>,
}

impl<B: Default> Symbols<B> {
    pub(super) fn find_or_add(
        &mut self,
        venue: Venue,
        name: &str,
        io: &mut Io<'_>,
    ) -> &mut Symbol<B> {
        if let Some(at) = self.by_name.get(name) {
            return &mut self.list[*at];
        }
        let spec = InstrumentSpec {
            venue,
            symbol: name.into(),
            venue_symbol: name.into(),
            tick_size: None,
            lot_size: None,
            scales: Scales::default(),
        };
        self.by_name.insert(name.into(), self.list.len());
        self.list.push(Symbol {
            instrument: io.sink.instrument(&spec),
            scales: spec.scales,
            trade_id: 0,
            last: Last::default(),
            book: B::default(),
        });
        self.list.last_mut().expect("one was pushed")
    }
}

/// One instrument.
#[derive(Debug)]
pub(super) struct Symbol<B> {
    instrument: InstrumentIndex,
    pub(super) scales: Scales,
    pub(super) trade_id: u64,
    last: Last,
    pub(super) book: B,
}

/// What was last said of the day, and the price of a trade before the first one.
#[derive(Debug, Default)]
struct Last {
    day: Day,
    old_price: Option<Decimal>,
    is_traded: bool,
}

/// Day statistics as they were written.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Day {
    pub(super) open: Option<Decimal>,
    pub(super) high: Option<Decimal>,
    pub(super) low: Option<Decimal>,
    pub(super) last: Option<Decimal>,
    pub(super) volume: Option<Decimal>,
}

/// Levels of a message before and after its finest number is known.
#[derive(Debug, Default)]
pub(super) struct Levels {
    pub(super) parsed: Vec<(BookSide, Decimal, Decimal)>,
    pub(super) changes: Vec<BookChange>,
}

impl Levels {
    pub(super) fn push(&mut self, side: BookSide, price: &str, size: &str) {
        self.parsed.push((side, number(price).trimmed(), number(size).trimmed()));
    }
}

impl<B> Symbol<B> {
    pub(super) fn raise(&mut self, price: u8, size: u8) {
        self.scales = self.scales.finest(Scales { price, size, volume: size });
    }

    pub(super) fn price(&self, number: Decimal) -> Price {
        Price(number.at(self.scales.price).expect("the scale was raised"))
    }

    pub(super) fn size(&self, number: Decimal) -> Size {
        Size(number.at(self.scales.size).expect("the scale was raised"))
    }

    pub(super) fn emit(&self, ts_event: Nanos, body: EventBody<'_>, io: &mut Io<'_>) {
        let (instrument, scales) = (self.instrument, self.scales);
        io.sink.event(&Event { instrument, ts_event, ts_recv: io.now, scales, body });
    }

    /// Brings the parsed levels to the finest scale among them.
    pub(super) fn settle(&mut self, levels: &mut Levels) {
        for (_, price, size) in &levels.parsed {
            self.raise(price.scale, size.scale);
        }
        levels.changes.clear();
        levels.changes.extend(levels.parsed.iter().map(|(side, price, size)| BookChange {
            side: *side,
            price: self.price(*price),
            size: self.size(*size),
        }));
    }

    /// Emits those trades that are new; `raw` has their prices and sizes, and zero in `trades`.
    pub(super) fn trades(
        &mut self,
        raw: &[(Decimal, Decimal)],
        trades: &mut Vec<Trade>,
        io: &mut Io<'_>,
    ) {
        for (price, size) in raw {
            self.raise(price.scale, size.scale);
        }
        for (trade, (price, size)) in trades.iter_mut().zip(raw) {
            (trade.price, trade.size) = (self.price(*price), self.size(*size));
        }
        trades.sort_by_key(|trade| trade.id);
        trades.retain(|trade| trade.id > self.trade_id);
        if let Some(latest) = trades.last() {
            self.trade_id = latest.id;
            self.last.is_traded = true;
            self.emit(latest.ts_event, EventBody::Trades(trades), io);
        }
    }

    /// A trade from before the first one: the base of the ids, and the last price.
    pub(super) fn old_trade(&mut self, id: u64, price: Decimal, ts_event: Nanos, io: &mut Io<'_>) {
        self.trade_id = self.trade_id.max(id);
        if !self.last.is_traded {
            self.last.old_price = Some(price);
            self.day(self.last.day, ts_event, io);
        }
    }

    /// Emits day statistics where they changed.
    pub(super) fn day(&mut self, mut day: Day, ts_event: Nanos, io: &mut Io<'_>) {
        day.last = if self.last.is_traded { None } else { self.last.old_price.or(day.last) };
        if day == self.last.day {
            return;
        }
        self.last.day = day;
        for price in [day.open, day.high, day.low, day.last].into_iter().flatten() {
            self.raise(price.trimmed().scale, 0);
        }
        let volume = day.volume.map(Decimal::trimmed);
        self.scales.volume = self.scales.volume.max(volume.map_or(0, |volume| volume.scale));
        let price = |number: Option<Decimal>| number.map(|number| self.price(number));
        let volume = |number: Decimal| number.at(self.scales.volume).expect("it was raised");
        let stats = DayStats {
            open: price(day.open),
            high: price(day.high),
            low: price(day.low),
            volume: day.volume.map(|number| Volume(volume(number).into())),
            last: price(day.last),
        };
        self.emit(ts_event, EventBody::Day(stats), io);
    }
}
