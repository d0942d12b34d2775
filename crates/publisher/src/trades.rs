//! The trades stream: every trade has its own dense seq; the last ones are kept.

use std::collections::VecDeque;
use tickcast_market::{Nanos, Price, Scales, Seq, Size, Trade};
use tickcast_wire::{Head, Kind, TradePiece};

/// How many trades a stream keeps; who missed more knows by the dense seq how many.
pub(crate) const KEPT_MAX: usize = 1024;

/// How many of the latest trades a snapshot shows.
const SNAPSHOT_MAX: usize = 50;

/// The state of one trades stream.
#[derive(Debug, Default)]
pub(crate) struct Trades {
    ring: VecDeque<TradePiece>,
    pub(crate) seq: Seq,
    pub(crate) ts_event: Nanos,
}

impl Trades {
    /// Adds a trade.
    pub(crate) fn push(&mut self, trade: &Trade) {
        self.seq = Seq(self.seq.0 + 1);
        self.ts_event = trade.ts_event;
        if self.ring.len() == KEPT_MAX {
            self.ring.pop_front();
        }
        self.ring.push_back(TradePiece { seq: self.seq, trade: *trade });
    }

    /// Copies out what came after `since` and is still kept (seq 0: the latest few).
    pub(crate) fn diff(&self, since: Seq, out: &mut Vec<TradePiece>) {
        let wanted = match since {
            Seq(0) => SNAPSHOT_MAX,
            Seq(since) => (self.seq.0 - since) as usize,
        };
        out.extend(self.ring.range(self.ring.len().saturating_sub(wanted)..));
    }

    /// Copies out all that are kept.
    pub(crate) fn all(&self, out: &mut Vec<TradePiece>) {
        out.extend(&self.ring);
    }

    /// Takes over what was told of another stream. The ring stays dense: where something is missing
    /// before what was told, that fills the whole ring.
    pub(crate) fn adopt(&mut self, told: &[TradePiece], head: &Head) {
        if head.kind == Kind::Snapshot {
            self.ring.clear();
        }
        let held = self.ring.back().map_or(Seq(0), |last| last.seq);
        for piece in told.iter().filter(|piece| piece.seq > held) {
            if self.ring.len() == KEPT_MAX {
                self.ring.pop_front();
            }
            self.ring.push_back(*piece);
        }
        self.seq = head.seq;
        self.ts_event = told.last().map_or(self.ts_event, |last| last.trade.ts_event);
    }

    /// All kept trades at finer scales; `None` when one does not fit.
    pub(crate) fn rescaled(&self, from: Scales, to: Scales) -> Option<VecDeque<TradePiece>> {
        self.ring
            .iter()
            .map(|piece| {
                let price: Price = piece.trade.price.rescaled(from.price, to.price).ok()?;
                let size: Size = piece.trade.size.rescaled(from.size, to.size).ok()?;
                Some(TradePiece { seq: piece.seq, trade: Trade { price, size, ..piece.trade } })
            })
            .collect()
    }

    /// Puts rescaled trades in place. Their seqs go on: they stay dense over a change of epoch.
    pub(crate) fn begin_epoch(&mut self, ring: VecDeque<TradePiece>) {
        self.ring = ring;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tickcast_market::Side;

    #[test]
    fn what_is_left_of_a_long_absence_tells_how_much_was_missed() {
        let mut trades = Trades::default();
        for id in 0..3000 {
            let (price, size) = (Price(1), Size(1));
            trades.push(&Trade { id, price, size, side: Side::Buy, ts_event: Nanos(1) });
        }
        let mut out = Vec::new();
        trades.diff(Seq(5), &mut out);
        assert_eq!(out.len(), KEPT_MAX);
        assert_eq!((out[0].seq, out[0].trade.id), (Seq(3000 - 1024 + 1), 3000 - 1024));
        out.clear();
        trades.diff(Seq(2998), &mut out);
        assert_eq!(out.iter().map(|t| t.seq.0).collect::<Vec<_>>(), [2999, 3000]);
        out.clear();
        trades.diff(Seq(0), &mut out);
        assert_eq!(out.len(), SNAPSHOT_MAX);
    }
}
