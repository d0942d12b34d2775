//! One stream of a session: what is held of it, and how its messages have to look.

use super::Judged;
use crate::held::Held;
use crate::message::{Body, Item};
use crate::truth::Mark;
use crate::wishes::Options;

/// How the first message of a subscription has to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum First {
    /// It has come.
    Done,
    /// A snapshot, or an update from `since`, or where it `goes_on` from what is held. A snapshot of
    /// trades shows none where it is `bare`, if that can be told.
    Awaited { since: Option<Mark>, goes_on: bool, bare: Option<bool> },
}

#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) held: Held,
    pub(crate) options: Options,
    pub(super) first: First,
    /// `ts_publish` of its last message.
    pub(super) last: i64,
}

impl Stream {
    pub(super) fn new(options: Options, since: Option<Mark>) -> Stream {
        let first = First::Awaited { since, goes_on: false, bare: None };
        Stream { held: Held::default(), options, first, last: i64::MAX }
    }

    /// Whether it holds what its options say, so that it can go on from there.
    pub(super) fn is_whole(&self) -> bool {
        self.first == First::Done && self.held.seq > 0
    }

    /// It was asked for by name, with or without the trades before.
    pub(super) fn expect_bare(&mut self, is_bare: bool) {
        if let First::Awaited { since: None, bare, .. } = &mut self.first {
            *bare = Some(is_bare);
        }
    }

    pub(super) fn check_options(&self, item: &Item) -> Judged {
        match &item.body {
            Body::Book { depth, .. } if *depth != self.options.depth => {
                Err(format!("depth {depth} where {} was granted", self.options.depth))
            }
            Body::Ticker(fields) => {
                let sent = fields.iter().fold(0u16, |sent, (at, _)| sent | 1 << at);
                let granted = self.options.fields;
                let fine = sent & !granted == 0 && (item.prev.is_some() || sent == granted);
                if fine { Ok(()) } else { Err(format!("fields {sent:#x} of {granted:#x}")) }
            }
            _ => Ok(()),
        }
    }

    /// Two messages that came undisturbed are as far apart as was granted.
    pub(super) fn check_rate(&mut self, item: &Item, flows: bool, calm_from: i64) -> Judged {
        let last = std::mem::replace(&mut self.last, item.ts_publish);
        let apart = item.ts_publish - last;
        let calm = flows && self.first == First::Done && last > calm_from;
        if calm && apart < self.options.apart - 1_000 {
            let granted = self.options.apart;
            return Err(format!("{apart} us after the last where {granted} us were granted"));
        }
        Ok(())
    }

    pub(super) fn check_first(&mut self, item: &Item) -> Judged {
        let fine = match (self.first, item.prev) {
            (First::Done, _) | (_, None) => true,
            (First::Awaited { goes_on: true, .. }, Some(_)) => true,
            (First::Awaited { since, .. }, Some(prev)) => since == Some((item.epoch, prev)),
        };
        let shows_any = matches!(&item.body, Body::Trades(trades) if !trades.is_empty());
        let fits = match self.first {
            First::Awaited { bare: Some(bare), .. } if item.prev.is_none() && item.seq > 0 => {
                bare != shows_any
            }
            _ => true,
        };
        let awaited = std::mem::replace(&mut self.first, First::Done);
        if fine && fits { Ok(()) } else { Err(format!("is the first message where {awaited:?}")) }
    }
}
