//! Fuzz targets: what must never panic, whatever comes, and what must hold besides.
//!
//! A target is a function over bytes in a file of its own; a panic is a finding. `targets/` makes
//! a libFuzzer program of each (feature `libfuzzer`), `tests/corpus.rs` replays what was found.
//! `README.md` says how to run them and how to add one.

#![deny(missing_docs)]

pub mod binance;
pub mod coinbase;
pub mod coinbase_exchange;
pub mod configuration;
pub mod decoder;
mod decoder_shape;
pub mod deflate;
mod file;
pub mod handshake;
pub mod keys;
pub mod kraken;
pub mod nats;
pub mod protobuf;
pub mod proxy_header;
mod publication;
pub mod query;
pub mod recording;
pub mod request;
mod script;
mod table;
pub mod token;

// The binary's own files, so that what is tried is what runs.
#[allow(dead_code, unused_imports, reason = "the binary uses the rest of it")]
#[path = "../../crates/tickcast/src/settings.rs"]
mod settings;
#[allow(dead_code, reason = "the binary uses the rest of it")]
#[path = "../../crates/tickcast/src/settings_auth.rs"]
mod settings_auth;
#[allow(dead_code, reason = "the binary uses the rest of it")]
#[path = "../../crates/tickcast/src/settings_bus.rs"]
mod settings_bus;
#[allow(dead_code, reason = "the binary uses the rest of it")]
#[path = "../../crates/tickcast/src/settings_limits.rs"]
mod settings_limits;
#[allow(dead_code, reason = "the binary uses the rest of it")]
#[path = "../../crates/tickcast/src/settings_nats.rs"]
mod settings_nats;
#[allow(dead_code, reason = "the binary uses the rest of it")]
#[path = "../../crates/tickcast/src/settings_resolve.rs"]
mod settings_resolve;
#[allow(dead_code, reason = "the binary uses the rest of it")]
#[path = "../../crates/tickcast/src/settings_takeover.rs"]
mod settings_takeover;

pub use table::{TARGETS, Target};
