//! Streams that follow another process's: what they are told, under its own epochs and seqs.
//!
//! A channel of a replica is *awaited* until its snapshot has come: it then answers nothing at all,
//! and its subscribers get that snapshot as the topic's first frame. When any channel is told of a
//! new epoch the others are awaited again, so that one instrument never shows two epochs.

use crate::bars::Bars;
use crate::book::BookStream;
use crate::streams::Streams;
use crate::ticker::Ticker;
use crate::trades::Trades;
use tickcast_market::{BookChange, Epoch, Interval, Nanos, Seq, Since};
use tickcast_wire::{Kind, Pieces, View};

/// A set of channels; all depths of the book are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Awaited(u8);

impl Awaited {
    pub(crate) const NONE: Awaited = Awaited(0);
    pub(crate) const ALL: Awaited = Awaited(u8::MAX);

    const fn bit(view: View) -> u8 {
        match view {
            View::Status => 0,
            View::Ticker => 1,
            View::Trades => 2,
            View::Book(_) => 4,
            View::Bars(interval) => 8 << interval as u8,
        }
    }

    pub(crate) const fn has(self, view: View) -> bool {
        self.0 & Awaited::bit(view) != 0
    }
}

/// What became of something that a replica was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adopted {
    /// It is part of the stream's state now.
    Applied,
    /// The stream holds it already, or it is of an epoch that has ended.
    Known,
    /// Something in between is missing: this is what the stream holds.
    Gap(Since),
}

impl Streams {
    /// Takes over what was told of a stream, by the client's rule.
    pub(crate) fn adopt(&mut self, told: &Pieces, ts_recv: Nanos) -> Adopted {
        let head = &told.head;
        if head.epoch < self.epoch {
            return Adopted::Known;
        }
        let held = self.held(head.view);
        let is_next =
            |prev: Seq| head.epoch == held.epoch && held.seq != Seq(0) && prev <= held.seq;
        // Whatever it is: within an epoch seqs only rise, and what was asked for twice comes twice.
        if head.epoch == held.epoch && head.seq < held.seq {
            return Adopted::Known;
        }
        match head.kind {
            Kind::Update { prev } if !is_next(prev) => return Adopted::Gap(held),
            Kind::Update { .. } if head.seq == held.seq => return Adopted::Known,
            Kind::Update { .. } => {}
            Kind::Snapshot => self.begin(head.epoch, head.view),
        }
        self.scales = head.scales;
        self.ts_recv = ts_recv;
        match head.view {
            View::Status => {}
            View::Ticker => self.ticker.adopt(&told.ticker, head),
            View::Trades => self.trades.adopt(&told.trades, head),
            View::Bars(interval) => self.bars[interval as usize].adopt(&told.bars, head),
            View::Book(_) => {
                let change = |level: &tickcast_wire::LevelPiece| BookChange {
                    side: level.side,
                    price: level.price,
                    size: level.size,
                };
                let changes: Vec<BookChange> = told.book.levels.iter().map(change).collect();
                self.book.adopt(&changes, head);
            }
        }
        Adopted::Applied
    }

    /// What is held of a channel; nothing while it is awaited.
    pub(crate) fn held(&self, view: View) -> Since {
        if self.awaited.has(view) { Since::NOTHING } else { self.now(view) }
    }

    /// A snapshot of this epoch and view is about to be taken over.
    fn begin(&mut self, epoch: Epoch, view: View) {
        if self.epoch != epoch {
            self.forget_all();
            self.epoch = epoch;
            self.numbers.begin_epoch();
        }
        self.awaited = Awaited(self.awaited.0 & !Awaited::bit(view));
    }

    /// Lets go of a channel's state: nobody follows it any more.
    pub(crate) fn forget(&mut self, view: View) {
        self.awaited = Awaited(self.awaited.0 | Awaited::bit(view));
        match view {
            View::Status => {}
            View::Ticker => self.ticker = Ticker::default(),
            View::Trades => self.trades = Trades::default(),
            View::Book(_) => self.book.empty(),
            View::Bars(interval) => self.bars[interval as usize] = Bars::new(interval),
        }
    }

    fn forget_all(&mut self) {
        self.ticker = Ticker::default();
        self.trades = Trades::default();
        self.book.empty();
        self.bars = Interval::ALL.map(Bars::new);
        self.awaited = Awaited::ALL;
    }

    /// Gives the data a new epoch, as the first of a run. Seqs go on, as in every new epoch.
    pub(crate) fn begin_run(&mut self, first: Epoch) {
        self.epoch = first;
        self.numbers.begin_epoch();
    }
}

impl BookStream {
    /// Empties the book; views that are kept stay, empty.
    fn empty(&mut self) {
        let head = tickcast_wire::Head { kind: Kind::Snapshot, ..Pieces::default().head };
        self.adopt(&[], &head);
    }
}
