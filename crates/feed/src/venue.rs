//! Which handler speaks which venue's language.

use crate::binance::{BinanceConfig, BinanceHandler};
use crate::coinbase::{CoinbaseConfig, CoinbaseHandler};
use crate::coinbase_exchange::{CoinbaseExchangeConfig, CoinbaseExchangeHandler};
use crate::handler::Handler;
use crate::kraken::{KrakenConfig, KrakenHandler};
use crate::nats::{NatsConfig, NatsHandler};
use tickcast_market::Venue;

/// Where a venue is and what is wanted of it; what is not said is the venue's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VenueConfig {
    /// WebSocket URL.
    pub ws_url: Option<String>,
    /// REST base URL without a path.
    pub rest_url: Option<String>,
    /// Canonical symbols; none for a choice of busy ones.
    pub symbols: Vec<String>,
    /// For [`Venue::Nats`] in place of the URLs.
    pub nats: Option<NatsConfig>,
}

/// The handler of a venue; `None` for the simulator, which needs none.
pub fn handler_of(venue: Venue, config: &VenueConfig) -> Option<Box<dyn Handler>> {
    macro_rules! with {
        ($config:ident, $handler:ident) => {{
            let own = $config::default();
            Some(Box::new($handler::new($config {
                ws_url: config.ws_url.clone().unwrap_or(own.ws_url),
                rest_url: config.rest_url.clone().unwrap_or(own.rest_url),
                symbols: config.symbols.clone(),
            })))
        }};
    }
    match venue {
        Venue::Sim => None,
        Venue::Binance => with!(BinanceConfig, BinanceHandler),
        Venue::Coinbase => with!(CoinbaseConfig, CoinbaseHandler),
        Venue::CoinbaseExchange => with!(CoinbaseExchangeConfig, CoinbaseExchangeHandler),
        Venue::Kraken => with!(KrakenConfig, KrakenHandler),
        Venue::Nats => {
            let symbols = config.symbols.clone();
            let own = config.nats.clone().unwrap_or_default();
            Some(Box::new(NatsHandler::new(NatsConfig { symbols, ..own })))
        }
    }
}
