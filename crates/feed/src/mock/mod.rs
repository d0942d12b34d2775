//! A venue that is not there: plays a recording over a real WebSocket server and REST on loopback,
//! speaking enough of the venue's protocol that the live handlers cannot tell, and makes trouble
//! on request.
//!
//! It keeps its own books, as decimal text in sorted maps, from the recording; snapshots for late
//! or repeated subscriptions are made from them. Nothing of the handlers' code is used here, so a
//! mistake in one is not repeated in the other. Behind the cargo feature `mock`.
//!
//! After the recording's end it keeps answering, sends heartbeats and re-sends levels unchanged,
//! so that every gap is noticed and every recovery ends in the recording's final books.

mod binance;
mod coinbase;
mod coinbase_exchange;
mod control;
mod fault;
mod kraken;
mod ladder;
mod persona;
mod script;
mod server;
mod stage;

pub use fault::{Fault, FaultPlan};
pub use server::{MockConfig, MockStatus, MockVenue, Speed};
