//! Binance spot: quotes, trades, books joined from REST snapshots and numbered updates, day
//! statistics and bars.
//!
//! `handler` decides; `fast` reads the usual messages by their exact shape and `message` every
//! other; `number` brings a message's numbers to one scale; `book` joins snapshot and updates;
//! `requests` is what is asked of the REST side and `rest` what that side says; `lines` deals
//! streams to connections; `symbols` is what is known of each instrument.

mod book;
mod fast;
mod handler;
mod lines;
mod message;
mod number;
mod requests;
mod rest;
mod symbols;

pub use handler::{BinanceConfig, BinanceHandler};
