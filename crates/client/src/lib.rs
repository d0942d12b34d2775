//! The Rust client of tickcast: live market data in a few lines.
//!
//! ```no_run
//! # async fn example() -> Result<(), tickcast_client::Error> {
//! let tick = tickcast_client::connect("ws://127.0.0.1:8080").await?;
//! let mut btc = tick.ticker(["coinbase:BTC-USD"]).max_rate(5.0).subscribe().await?;
//! while let Some(t) = btc.next().await {
//!     println!("{} {:?} {:?}", t.symbol, t.last, t.state);
//! }
//! # Ok(()) }
//! ```
//!
//! It has two layers. A [`Session`] takes decoded messages and keeps a view of each instrument on
//! each channel. One rule decides for all of them ([`Rule`]): a snapshot replaces, an update that
//! connects is applied, one that is held already is ignored, and anything else means that something
//! is missing, for which the session writes one request that asks again for those symbols alone.
//!
//! A [`Tickcast`] is a session with a connection that makes itself anew: one task reads, writes and
//! watches the time; subscriptions, views and events are read from what it shares under one lock.
//!
//! *Invariant:* no socket and no clock in the session and the views; no task outlives its owner.

#![deny(missing_docs)]

mod address;
mod answers;
mod arrivals;
mod asking;
mod backoff;
mod book;
mod client;
mod connection;
mod dial;
mod driver;
mod error;
mod gather;
mod handle;
mod instrument;
mod items;
mod life;
mod options;
mod outbox;
mod pace;
mod routes;
mod rule;
mod session;
mod shared;
mod socket;
mod subscribing;
mod subscription;
mod subscriptions;
mod texts;
mod token;
mod views;
mod violation;

pub use backoff::Backoff;

pub use book::BookView;
pub use client::{Events, Latest, Tickcast};
pub use connection::{Connection, ConnectionState, Event, Leaving};
pub use error::{Error, ErrorKind};
pub use items::{Bars, Book, Item, Level, Ticker, Trades};
pub use options::{Options, connect};
pub use rule::{Rule, Verdict};
pub use session::{Counts, Session, VIOLATIONS_KEPT_MAX};
pub use socket::{Incoming, MESSAGE_BYTES_MAX, SocketReader, SocketWriter};
pub use subscribing::Subscribing;
pub use subscription::Subscription;
pub use subscriptions::REQUEST_BYTES_MAX;
pub use views::{
    BARS_MAX, BarRow, BarsView, StatusView, TRADES_MAX, Take, TickerView, TradeRow, TradesView,
};
pub use violation::Violation;

// The words of the protocol that stand in this crate's own types.
pub use tickcast_market::{Decimal, Side};
pub use tickcast_wire::{
    Channel, Depth, Encoding, Epoch, Failed, FieldSet, Granted, Interval, Limits, Matched, Nanos,
    Pattern, Request, Seq, Since, Stats, Subscribe, TickerField, TradingState, View,
};

// What the guide shows compiles.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/rust.md")]
#[derive(Debug)]
pub struct Guide;
