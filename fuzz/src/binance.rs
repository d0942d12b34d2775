//! Binance's handler, driven by a script (`script.rs`), its events published; and the handler
//! without its fast way must say the same.

use crate::script::play;
use tickcast_feed::{BinanceConfig, BinanceHandler, VenueConfig};

fn make(config: &VenueConfig) -> BinanceHandler {
    let symbols = config.symbols.clone();
    BinanceHandler::new(BinanceConfig { symbols, ..BinanceConfig::default() })
}

/// Tries one input: a script.
pub fn run(data: &[u8]) {
    let fast = play(data, &|config| Box::new(make(config)));
    let general = play(data, &|config| Box::new(make(config).general_only()));
    assert_eq!(fast, general, "the fast way (first) says something else");
}
