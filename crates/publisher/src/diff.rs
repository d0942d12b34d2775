//! `diff(since)`: the one question that every stream answers.

use crate::streams::Streams;
use tickcast_market::{Interval, Nanos, Seq, Since};
use tickcast_wire::{FieldSet, Head, Kind, Pieces, View};

impl Streams {
    /// The seq that a view's stream is at.
    pub(crate) fn seq(&self, view: View) -> Seq {
        match view {
            View::Status => self.status.seq,
            View::Ticker => self.ticker.seq,
            View::Trades => self.trades.seq,
            View::Book(_) => self.book.seq,
            View::Bars(interval) => self.bars[interval as usize].seq,
        }
    }

    /// What somebody who has everything of a view holds.
    pub(crate) fn now(&self, view: View) -> Since {
        match view {
            View::Status => Since { epoch: self.status.epoch, seq: self.status.seq },
            _ => Since { epoch: self.epoch, seq: self.seq(view) },
        }
    }

    /// Copies into `out` what changed after `since`: nothing (and says so), an update from it, or
    /// a snapshot when that is the only true answer. With `always` even nothing new is an update,
    /// empty, that says "you are up to date".
    ///
    /// *Cost:* proportional to the answer; allocates nothing once `out` has grown.
    pub(crate) fn diff(
        &self,
        view: View,
        fields: FieldSet,
        since: Since,
        always: bool,
        out: &mut Pieces,
    ) -> bool {
        if self.awaited.has(view) {
            return false;
        }
        let now = self.now(view);
        let known = since.seq != Seq(0)
            && since.epoch == now.epoch
            && since.seq <= now.seq
            && self.reaches(view, since.seq);
        if known && since.seq == now.seq && !always {
            return false;
        }
        out.book.levels.clear();
        out.trades.clear();
        out.bars.clear();
        let after = if known { since.seq } else { Seq(0) };
        let any = match view {
            View::Status => true,
            View::Ticker => self.ticker.diff(after, fields, &mut out.ticker),
            View::Trades => {
                self.trades.diff(after, &mut out.trades);
                !out.trades.is_empty()
            }
            View::Book(depth) => {
                let any = self.book.diff(depth, after, &mut out.book);
                if !any && always {
                    out.book.checksum = self.book.checksum();
                }
                any
            }
            View::Bars(interval) => {
                let bars = &self.bars[interval as usize];
                bars.diff(after, &mut out.bars);
                !out.bars.is_empty()
            }
        };
        if known && !any && !always {
            return false;
        }
        out.head = Head {
            view,
            kind: if known { Kind::Update { prev: since.seq } } else { Kind::Snapshot },
            epoch: now.epoch,
            seq: now.seq,
            state: self.status.state,
            scales: self.scales,
            ts_event: self.ts_event(view),
            stream: self.numbers.of(view),
            opens: always || !known,
        };
        true
    }

    /// A snapshot with everything that is kept, for a replica: also the trades that a client's has not.
    pub(crate) fn whole(&self, view: View, out: &mut Pieces) {
        self.diff(view, FieldSet::ALL, Since::NOTHING, true, out);
        if view == View::Trades {
            out.trades.clear();
            self.trades.all(&mut out.trades);
        }
    }

    /// A snapshot of `trades` without any: the present seq alone. Says whether there is one.
    pub(crate) fn bare(&self, out: &mut Pieces) -> bool {
        let is_there = self.diff(View::Trades, FieldSet::ALL, Since::NOTHING, true, out);
        out.trades.clear();
        is_there
    }

    fn reaches(&self, view: View, since: Seq) -> bool {
        match view {
            View::Status => false,
            View::Ticker => since >= self.ticker.floor,
            View::Trades => true,
            View::Book(depth) => self.book.reaches(depth, since),
            View::Bars(interval) => self.bars[interval as usize].reaches(since),
        }
    }

    fn ts_event(&self, view: View) -> Nanos {
        match view {
            View::Status => self.status.ts_state,
            View::Ticker => self.ticker.ts_event,
            View::Trades => self.trades.ts_event,
            View::Book(_) => self.book.ts_event,
            View::Bars(interval) => {
                self.bars[interval as usize].last_start().unwrap_or(Nanos::ZERO)
            }
        }
    }

    /// Closes a bar. Says whether that changed it.
    pub(crate) fn close_bar(&mut self, interval: Interval, start: Nanos) -> bool {
        self.bars[interval as usize].close(start)
    }
}
