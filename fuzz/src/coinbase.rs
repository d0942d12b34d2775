//! Coinbase's handler, driven by a script (`script.rs`), its events published.

use crate::script::play;
use tickcast_feed::handler_of;
use tickcast_market::Venue;

/// Tries one input: a script.
pub fn run(data: &[u8]) {
    play(data, &|config| handler_of(Venue::Coinbase, config).expect("a live venue has one"));
}
