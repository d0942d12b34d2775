//! The kinds of messages and the reasons of decode errors that each venue's handler knows: they have
//! series from the start, so that the first one is seen as one.
//!
//! One that is missing here gets its series when it first happens.

use crate::decode::scan::Fault;
use crate::roster::{MISFIT, NO_INSTRUMENT};
use tickcast_market::Venue;

/// The kinds of a venue's messages.
pub(crate) const fn message_kinds(venue: Venue) -> &'static [&'static str] {
    match venue {
        Venue::Sim => &[],
        Venue::Binance => &[
            "24hrTicker",
            "ack",
            "aggTrade",
            "bookTicker",
            "depthUpdate",
            "error",
            "kline",
            "other",
            "serverShutdown",
            "trade",
        ],
        Venue::Coinbase => &[
            "error",
            "heartbeats",
            "l2_data",
            "late",
            "market_trades",
            "other",
            "repeated",
            "subscriptions",
            "ticker",
        ],
        Venue::CoinbaseExchange => &[
            "error",
            "heartbeat",
            "l2update",
            "last_match",
            "late",
            "match",
            "other",
            "snapshot",
            "subscriptions",
            "ticker",
        ],
        Venue::Kraken => &[
            "answer",
            "book",
            "heartbeat",
            "instrument",
            "late",
            "other",
            "pong",
            "status",
            "ticker",
            "trade",
        ],
        Venue::Nats => &[
            "book_changes",
            "book_snapshot",
            "heartbeat",
            "instrument",
            "late",
            "other",
            "quote",
            "status",
            "trades",
        ],
    }
}

/// The reasons why a venue's message may not be decoded.
pub(crate) fn decode_reasons(venue: Venue) -> Vec<&'static str> {
    match venue {
        Venue::Sim => Vec::new(),
        Venue::Binance => vec!["json", "number", "refused", "shape", "symbol"],
        Venue::Coinbase | Venue::CoinbaseExchange => {
            [&Fault::REASONS[..], &[MISFIT, NO_INSTRUMENT, "not a list of products"]].concat()
        }
        Venue::Kraken => [&Fault::REASONS[..], &[MISFIT, NO_INSTRUMENT]].concat(),
        Venue::Nats => crate::nats::REASONS.to_vec(),
    }
}
