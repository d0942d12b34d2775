//! The bars streams: built from trades by their own time, stamped bar by bar.

use std::collections::VecDeque;
use tickcast_market::{Bar, Interval, Nanos, Scales, Seq, Trade, Volume};
use tickcast_wire::{BarPiece, Head, Kind};

/// How many bars of an interval are kept.
pub(crate) const KEPT_MAX: usize = 500;

/// A bar is closed so long after its end, by the market clock.
pub(crate) const CLOSE_DELAY: Nanos = Nanos::from_secs(2);

/// The state of one bars stream, oldest bar first.
#[derive(Debug)]
pub(crate) struct Bars {
    interval: Interval,
    ring: VecDeque<BarPiece>,
    /// The newest stamp that was thrown away with its bar: a `since` below it gets a snapshot.
    floor: Seq,
    /// The newest stamp of any bar but the last: above it only the last one has changed.
    inner: Seq,
    pub(crate) seq: Seq,
}

impl Bars {
    pub(crate) fn new(interval: Interval) -> Bars {
        Bars { interval, ring: VecDeque::new(), floor: Seq(0), inner: Seq(0), seq: Seq(0) }
    }

    /// Adds a trade of `volume` to its bar. Returns the start of a bar that this has opened and
    /// that has to be closed some time.
    pub(crate) fn trade(&mut self, trade: &Trade, volume: Volume) -> Option<Nanos> {
        let price = trade.price;
        let ts = trade.ts_event;
        // Nearly always the trade belongs to the last bar, which is told without a division.
        let last = self.ring.back().map(|last| last.bar.start);
        let is_in = |start: Nanos| ts >= start && ts < start.plus(self.interval.span());
        let (start, at) = match last.filter(|start| is_in(*start)) {
            Some(start) => (start, Ok(self.ring.len() - 1)),
            None => {
                let start = self.interval.start_of(ts);
                (start, self.ring.binary_search_by_key(&start, |piece| piece.bar.start))
            }
        };
        match at {
            Ok(at) => {
                let bar = &mut self.ring[at].bar;
                bar.high = bar.high.max(price);
                bar.low = bar.low.min(price);
                bar.close = price;
                bar.volume = Volume(bar.volume.0 + volume.0);
                bar.trades += 1;
                self.stamp(at);
                None
            }
            Err(0) if self.ring.len() == KEPT_MAX => None,
            Err(at) => {
                let bar = Bar {
                    start,
                    open: price,
                    high: price,
                    low: price,
                    close: price,
                    volume,
                    trades: 1,
                    closed: false,
                };
                self.insert(at, bar);
                Some(start)
            }
        }
    }

    /// Fills holes with bars that the venue had before; a bar that is there already stays.
    pub(crate) fn fill(&mut self, bars: impl Iterator<Item = Bar>) {
        for bar in bars {
            let found = self.ring.binary_search_by_key(&bar.start, |piece| piece.bar.start);
            let Err(at) = found else { continue };
            if at == 0 && self.ring.len() == KEPT_MAX {
                continue;
            }
            self.insert(at, bar);
        }
    }

    /// Takes over what was told of another stream: everything, or the bars that changed.
    pub(crate) fn adopt(&mut self, told: &[BarPiece], head: &Head) {
        if head.kind == Kind::Snapshot {
            self.ring.clear();
            self.floor = head.seq;
        }
        // Each of them is stamped with the seq that they have led to.
        let before = Seq(head.seq.0.saturating_sub(1));
        for BarPiece { bar, .. } in told {
            self.seq = before;
            match self.ring.binary_search_by_key(&bar.start, |piece| piece.bar.start) {
                Ok(at) => {
                    self.ring[at].bar = *bar;
                    self.stamp(at);
                }
                Err(0) if self.ring.len() == KEPT_MAX => {}
                Err(at) => self.insert(at, *bar),
            }
        }
        self.seq = head.seq;
    }

    /// Puts a new bar in its place; the oldest one goes when there are too many.
    fn insert(&mut self, at: usize, bar: Bar) {
        let last = self.ring.back().map_or(Seq(0), |last| last.seq);
        self.inner = self.inner.max(last);
        self.ring.insert(at, BarPiece { seq: Seq(0), bar });
        self.stamp(at);
        while self.ring.len() > KEPT_MAX {
            let Some(dropped) = self.ring.pop_front() else { return };
            self.floor = self.floor.max(dropped.seq);
        }
    }

    /// Marks a bar as changed now.
    fn stamp(&mut self, at: usize) {
        self.seq = Seq(self.seq.0 + 1);
        self.ring[at].seq = self.seq;
        if at + 1 < self.ring.len() {
            self.inner = self.seq;
        }
    }

    /// Closes the bar that began at `start`. Says whether that changed it.
    pub(crate) fn close(&mut self, start: Nanos) -> bool {
        let Ok(at) = self.ring.binary_search_by_key(&start, |piece| piece.bar.start) else {
            return false;
        };
        let piece = &mut self.ring[at];
        if piece.bar.closed {
            return false;
        }
        piece.bar.closed = true;
        self.stamp(at);
        true
    }

    /// Whether `since` can be answered by an update.
    pub(crate) fn reaches(&self, since: Seq) -> bool {
        since >= self.floor
    }

    /// Copies out the bars that changed after `since` (seq 0: all).
    pub(crate) fn diff(&self, since: Seq, out: &mut Vec<BarPiece>) {
        let from = if since >= self.inner { self.ring.len().saturating_sub(1) } else { 0 };
        out.extend(self.ring.range(from..).filter(|piece| piece.seq > since));
    }

    /// The bars that began at `from` or later, oldest first.
    pub(crate) fn from(&self, from: Nanos) -> impl Iterator<Item = &Bar> {
        let at = self.ring.partition_point(|piece| piece.bar.start < from);
        self.ring.range(at..).map(|piece| &piece.bar)
    }

    /// The latest bar's venue time, as good as the stream knows it.
    pub(crate) fn last_start(&self) -> Option<Nanos> {
        self.ring.back().map(|piece| piece.bar.start)
    }

    /// All bars at finer scales; `None` when a number does not fit.
    pub(crate) fn rescaled(&self, from: Scales, to: Scales) -> Option<VecDeque<BarPiece>> {
        let price = |p: tickcast_market::Price| p.rescaled(from.price, to.price).ok();
        self.ring
            .iter()
            .map(|piece| {
                let bar = Bar {
                    open: price(piece.bar.open)?,
                    high: price(piece.bar.high)?,
                    low: price(piece.bar.low)?,
                    close: price(piece.bar.close)?,
                    volume: piece.bar.volume.rescaled(from.volume, to.volume).ok()?,
                    ..piece.bar
                };
                Some(BarPiece { seq: piece.seq, bar })
            })
            .collect()
    }

    /// Puts rescaled bars in place, as the first change of a new epoch.
    pub(crate) fn begin_epoch(&mut self, ring: VecDeque<BarPiece>) {
        self.ring = ring;
        self.seq = Seq(self.seq.0 + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tickcast_market::{Price, Side, Size};

    fn trade(secs: i64, price: i64) -> Trade {
        let ts_event = Nanos::from_secs(secs);
        Trade { id: 1, price: Price(price), size: Size(1), side: Side::Buy, ts_event }
    }

    #[test]
    fn a_late_trade_changes_its_own_bar_and_sends_it_again() {
        let mut bars = Bars::new(Interval::M1);
        assert_eq!(bars.trade(&trade(60, 10), Volume(1)), Some(Nanos::from_secs(60)));
        assert_eq!(bars.trade(&trade(125, 20), Volume(1)), Some(Nanos::from_secs(120)));
        assert!(bars.close(Nanos::from_secs(60)));
        assert!(!bars.close(Nanos::from_secs(60)));
        let before = bars.seq;
        assert_eq!(bars.trade(&trade(119, 5), Volume(2)), None);
        let mut out = Vec::new();
        bars.diff(before, &mut out);
        assert_eq!(out.len(), 1);
        let bar = out[0].bar;
        assert_eq!((bar.open, bar.low, bar.close), (Price(10), Price(5), Price(5)));
        assert_eq!((bar.volume, bar.trades, bar.closed), (Volume(3), 2, true));
    }

    #[test]
    fn only_the_last_bars_are_kept_and_an_older_since_is_out_of_reach() {
        let mut bars = Bars::new(Interval::S1);
        for second in 0..KEPT_MAX as i64 + 10 {
            bars.trade(&trade(second, 1), Volume(1));
        }
        assert!(!bars.reaches(Seq(9)));
        assert!(bars.reaches(Seq(10)));
        let mut out = Vec::new();
        bars.diff(Seq(0), &mut out);
        assert_eq!(out.len(), KEPT_MAX);
        assert_eq!(bars.trade(&trade(0, 1), Volume(1)), None, "older than what is kept");
        assert_eq!(bars.seq, Seq(KEPT_MAX as u64 + 10));
    }
}
