//! Kraken's rules, one by one, with small messages of our own.

mod book;
mod data;
mod line;
mod stage;
#[path = "../coinbase_kraken_witness/mod.rs"]
mod witness;
