//! The Rust client of tickcast: what it holds, and the rule by which it applies what comes.
//!
//! A [`Session`] takes decoded messages and keeps a view of each instrument on each channel. One
//! rule decides for all of them ([`Rule`]): a snapshot replaces, an update that connects is
//! applied, one that is held already is ignored, and anything else means that something is
//! missing, for which the session writes one request that asks again for those symbols alone.
//!
//! *Invariant:* no socket and no clock in these parts; connecting and reconnecting stand beside
//! them and drive them.

#![deny(missing_docs)]

mod book;
mod instrument;
mod rule;
mod session;
mod subscriptions;
mod views;
mod violation;

pub use book::BookView;
pub use rule::{Rule, Verdict};
pub use session::{Counts, Session, VIOLATIONS_KEPT_MAX};
pub use subscriptions::REQUEST_BYTES_MAX;
pub use views::{
    BARS_MAX, BarRow, BarsView, StatusView, TRADES_MAX, Take, TickerView, TradeRow, TradesView,
};
pub use violation::Violation;
