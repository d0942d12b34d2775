//! Coinbase Advanced Trade: `handler` decides, `decode` reads a message, `products` is the list of
//! instruments, which Coinbase Exchange has in nearly the same form.

pub(crate) mod decode;
mod handler;
pub(crate) mod products;

pub use handler::{CoinbaseConfig, CoinbaseHandler};
