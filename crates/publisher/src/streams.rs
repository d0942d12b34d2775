//! All streams of one instrument, and how an event changes them. One writer.

use crate::bars::Bars;
use crate::book::BookStream;
use crate::day;
use crate::replica_streams::Awaited;
use crate::stream_numbers::StreamNumbers;
use crate::ticker::Ticker;
use crate::trades::Trades;
use tickcast_market::{
    BookChange, DayStats, Epoch, Event, EventBody, Interval, Nanos, NumberError, Quote, Scales,
    Seq, Trade, TradingState, Volume,
};

/// An instrument's status: what can be expected of its data, with an epoch and seq of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// The status stream's own epoch.
    pub epoch: Epoch,
    /// The status stream's own seq.
    pub seq: Seq,
    /// What can be expected of its data.
    pub state: TradingState,
    /// Since when.
    pub ts_state: Nanos,
}

/// What applying an event led to, besides the change of the streams.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Effects {
    /// The state is another.
    pub(crate) state_changed: bool,
    /// The book is crossed: the instrument needs a resync.
    pub(crate) crossed: bool,
    /// Bars that were opened, by their start, and have to be closed some time.
    pub(crate) opened: Vec<(Interval, Nanos)>,
}

/// The streams of one instrument.
#[derive(Debug)]
pub(crate) struct Streams {
    pub(crate) scales: Scales,
    /// The epoch of all data streams; `status` keeps its own.
    pub(crate) epoch: Epoch,
    /// What stands for them in protobuf, in this epoch.
    pub(crate) numbers: StreamNumbers,
    pub(crate) status: Status,
    pub(crate) ticker: Ticker,
    pub(crate) trades: Trades,
    pub(crate) book: BookStream,
    pub(crate) bars: [Bars; Interval::ALL.len()],
    /// When the newest event was received.
    pub(crate) ts_recv: Nanos,
    /// Of a replica: the channels that it has not been told of in this epoch. None of the
    /// publisher's own.
    pub(crate) awaited: Awaited,
    /// The venue sends quotes: the ticker no longer follows the top of the book.
    quoted: bool,
    /// The venue sends day statistics: they are no longer computed from bars.
    day_from_venue: bool,
}

impl Streams {
    pub(crate) fn new(run: Epoch, mut scales: Scales, numbers: StreamNumbers) -> Streams {
        scales.volume = scales.volume.max(scales.size);
        Streams {
            scales,
            epoch: run,
            numbers,
            status: Status {
                epoch: run,
                seq: Seq(1),
                state: TradingState::Resync,
                ts_state: Nanos::ZERO,
            },
            ticker: Ticker::default(),
            trades: Trades::default(),
            book: BookStream::default(),
            bars: Interval::ALL.map(Bars::new),
            ts_recv: Nanos::ZERO,
            awaited: Awaited::NONE,
            quoted: false,
            day_from_venue: false,
        }
    }

    /// Applies one event.
    ///
    /// *Errors:* a number that does not fit the instrument's scale; the event is then not applied
    /// at all. *Cost:* no allocation once the streams have grown.
    pub(crate) fn apply(
        &mut self,
        event: &Event<'_>,
        effects: &mut Effects,
    ) -> Result<(), NumberError> {
        let to = self.scales.finest(event.scales);
        let to = Scales { volume: to.volume.max(to.size), ..to };
        if to != self.scales {
            self.rescale(to).ok_or(NumberError::Overflow)?;
        }
        self.ts_recv = event.ts_recv;
        let from = event.scales;
        let ts = event.ts_event;
        match event.body {
            EventBody::Quote(quote) => {
                let quote = quote_at(quote, from, to)?;
                self.quoted = true;
                self.ticker.quote(&quote, ts);
            }
            EventBody::Trades(trades) => {
                for trade in trades {
                    trade_at(trade, from, to)?;
                }
                for trade in trades {
                    self.trade(&trade_at(trade, from, to)?, event.ts_recv, effects)?;
                }
            }
            EventBody::BookUpdate(changes) => {
                self.book(changes, from, ts, effects, |book, c| {
                    book.update(c, ts);
                })?;
            }
            EventBody::BookSnapshot(levels) => {
                self.book(levels, from, ts, effects, |book, l| book.replace(l, ts))?;
            }
            EventBody::Day(day) => {
                let day = day_at(day, from, to)?;
                self.day_from_venue |= day.high.is_some() || day.volume.is_some();
                self.ticker.day(&day, ts);
            }
            EventBody::Bars(interval, bars) => {
                for bar in bars {
                    bar_at(bar, from, to)?;
                }
                let bars = bars.iter().filter_map(|bar| bar_at(bar, from, to).ok());
                self.bars[interval as usize].fill(bars);
                self.day_from_bars(event.ts_recv);
            }
            EventBody::State(state) => self.state(state, event.ts_recv, effects),
        }
        Ok(())
    }

    fn book(
        &mut self,
        changes: &[BookChange],
        from: Scales,
        ts: Nanos,
        effects: &mut Effects,
        apply: impl FnOnce(&mut BookStream, &[BookChange]),
    ) -> Result<(), NumberError> {
        if (from.price, from.size) == (self.scales.price, self.scales.size) {
            apply(&mut self.book, changes);
        } else {
            let to = self.scales;
            let scaled = |change: &BookChange| {
                Ok(BookChange {
                    side: change.side,
                    price: change.price.rescaled(from.price, to.price)?,
                    size: change.size.rescaled(from.size, to.size)?,
                })
            };
            let changes = changes.iter().map(scaled).collect::<Result<Vec<_>, _>>()?;
            apply(&mut self.book, &changes);
        }
        if self.book.is_crossed() {
            effects.crossed = true;
        } else if !self.quoted {
            self.ticker.quote(&self.book.quote(), ts);
        }
        Ok(())
    }

    fn trade(
        &mut self,
        trade: &Trade,
        ts_recv: Nanos,
        effects: &mut Effects,
    ) -> Result<(), NumberError> {
        let volume =
            Volume(i128::from(trade.size.0)).rescaled(self.scales.size, self.scales.volume)?;
        self.trades.push(trade);
        self.ticker.trade(trade);
        let timed = match trade.ts_event {
            Nanos::ZERO => Trade { ts_event: ts_recv, ..*trade },
            _ => *trade,
        };
        let mut new_bar = false;
        for (bars, interval) in self.bars.iter_mut().zip(Interval::ALL) {
            let Some(start) = bars.trade(&timed, volume) else { continue };
            new_bar |= interval == day::INTERVAL;
            effects.opened.push((interval, start));
        }
        if self.day_from_venue {
        } else if new_bar {
            self.day_from_bars(timed.ts_event);
        } else {
            let stats = day::with_trade(self.ticker.values(), trade, volume);
            self.ticker.day(&stats, trade.ts_event);
        }
        Ok(())
    }

    fn day_from_bars(&mut self, now: Nanos) {
        if !self.day_from_venue
            && let Some(stats) = day::from_bars(&self.bars[day::INTERVAL as usize], now)
        {
            self.ticker.day(&stats, Nanos::ZERO);
        }
    }

    /// Sets the state; the only place where it changes.
    pub(crate) fn state(&mut self, state: TradingState, now: Nanos, effects: &mut Effects) {
        if self.status.state != state {
            self.status =
                Status { seq: Seq(self.status.seq.0 + 1), state, ts_state: now, ..self.status };
            effects.state_changed = true;
        }
    }

    /// Takes every number to finer scales and begins a new epoch; `None`, and nothing is changed,
    /// when a number does not fit. An instrument without data only takes note.
    fn rescale(&mut self, to: Scales) -> Option<()> {
        let from = self.scales;
        let values = self.ticker.rescaled(from, to)?;
        let ring = self.trades.rescaled(from, to)?;
        let book = self.book.rescaled(from, to)?;
        let mut bars = Vec::with_capacity(self.bars.len());
        for stream in &self.bars {
            bars.push(stream.rescaled(from, to)?);
        }
        self.scales = to;
        let seqs = [self.ticker.seq, self.trades.seq, self.book.seq];
        if seqs == [Seq(0); 3] && self.bars.iter().all(|bars| bars.seq == Seq(0)) {
            return Some(());
        }
        self.epoch = Epoch(self.epoch.0 + 1);
        self.numbers.begin_epoch();
        self.ticker.begin_epoch(values);
        self.trades.begin_epoch(ring);
        self.book.begin_epoch(book);
        for (stream, ring) in self.bars.iter_mut().zip(bars) {
            stream.begin_epoch(ring);
        }
        Some(())
    }
}

fn quote_at(quote: Quote, from: Scales, to: Scales) -> Result<Quote, NumberError> {
    let side = |side: Option<_>| {
        side.map(|(price, size): (tickcast_market::Price, tickcast_market::Size)| {
            Ok((price.rescaled(from.price, to.price)?, size.rescaled(from.size, to.size)?))
        })
        .transpose()
    };
    Ok(Quote { bid: side(quote.bid)?, ask: side(quote.ask)? })
}

fn trade_at(trade: &Trade, from: Scales, to: Scales) -> Result<Trade, NumberError> {
    Ok(Trade {
        price: trade.price.rescaled(from.price, to.price)?,
        size: trade.size.rescaled(from.size, to.size)?,
        ..*trade
    })
}

fn day_at(day: DayStats, from: Scales, to: Scales) -> Result<DayStats, NumberError> {
    let price = |price: Option<tickcast_market::Price>| {
        price.map(|price| price.rescaled(from.price, to.price)).transpose()
    };
    Ok(DayStats {
        open: price(day.open)?,
        high: price(day.high)?,
        low: price(day.low)?,
        volume: day.volume.map(|v| v.rescaled(from.volume, to.volume)).transpose()?,
        last: price(day.last)?,
    })
}

fn bar_at(
    bar: &tickcast_market::Bar,
    from: Scales,
    to: Scales,
) -> Result<tickcast_market::Bar, NumberError> {
    Ok(tickcast_market::Bar {
        open: bar.open.rescaled(from.price, to.price)?,
        high: bar.high.rescaled(from.price, to.price)?,
        low: bar.low.rescaled(from.price, to.price)?,
        close: bar.close.rescaled(from.price, to.price)?,
        volume: bar.volume.rescaled(from.volume, to.volume)?,
        ..*bar
    })
}
