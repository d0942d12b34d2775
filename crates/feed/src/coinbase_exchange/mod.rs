//! Coinbase Exchange: `handler` decides, `decode` reads a message. The list of instruments is
//! Advanced Trade's (`coinbase`).

mod decode;
mod handler;

pub use handler::{CoinbaseExchangeConfig, CoinbaseExchangeHandler};
