//! Kraken, WebSocket version 2: `handler` decides about market data and `session` about everything
//! else; `decode` reads market data and `answers` the rest; `book` checks each book against the
//! venue's checksum.

mod answers;
mod book;
mod decode;
mod handler;
mod session;

pub use handler::{KrakenConfig, KrakenHandler};
