//! Day statistics from bars, for venues that do not send them.

use crate::bars::Bars;
use tickcast_market::{DayStats, Interval, Nanos, Trade, Volume};
use tickcast_wire::TickerPieces;

/// The bars that the rolling 24 hours are added up from: 288 of them, fewer than are kept.
pub(crate) const INTERVAL: Interval = Interval::M5;

const DAY: Nanos = Nanos::from_secs(24 * 3600);

/// The last 24 hours up to `now`; `None` without any bar.
pub(crate) fn from_bars(bars: &Bars, now: Nanos) -> Option<DayStats> {
    let mut day = bars.from(Nanos(now.0 - DAY.0));
    let first = day.next()?;
    let (mut high, mut low, mut volume) = (first.high, first.low, first.volume.0);
    for bar in day {
        high = high.max(bar.high);
        low = low.min(bar.low);
        volume += bar.volume.0;
    }
    Some(DayStats {
        open: Some(first.open),
        high: Some(high),
        low: Some(low),
        volume: Some(Volume(volume)),
        last: None,
    })
}

/// The statistics with one more trade in a bar that was counted before.
pub(crate) fn with_trade(values: &TickerPieces, trade: &Trade, volume: Volume) -> DayStats {
    let price = trade.price;
    DayStats {
        open: values.open.or(Some(price)),
        high: Some(values.high.map_or(price, |high| high.max(price))),
        low: Some(values.low.map_or(price, |low| low.min(price))),
        volume: Some(Volume(values.volume.map_or(0, |v| v.0) + volume.0)),
        last: None,
    }
}
