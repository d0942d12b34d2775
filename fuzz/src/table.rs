//! The list of targets, for whoever runs all of them.

use crate::{
    binance, coinbase, coinbase_exchange, configuration, decoder, deflate, handshake, keys, kraken,
    nats, protobuf, proxy_header, query, recording, request, token,
};

/// A target by its name; that of its file, its libFuzzer program and its corpus.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The name.
    pub name: &'static str,
    /// Tries one input. *Panics* when it shows a fault.
    pub run: fn(&[u8]),
}

/// All of them.
pub const TARGETS: [Target; 16] = [
    Target { name: "binance", run: binance::run },
    Target { name: "coinbase", run: coinbase::run },
    Target { name: "coinbase_exchange", run: coinbase_exchange::run },
    Target { name: "configuration", run: configuration::run },
    Target { name: "decoder", run: decoder::run },
    Target { name: "deflate", run: deflate::run },
    Target { name: "handshake", run: handshake::run },
    Target { name: "keys", run: keys::run },
    Target { name: "kraken", run: kraken::run },
    Target { name: "nats", run: nats::run },
    Target { name: "protobuf", run: protobuf::run },
    Target { name: "proxy_header", run: proxy_header::run },
    Target { name: "query", run: query::run },
    Target { name: "recording", run: recording::run },
    Target { name: "request", run: request::run },
    Target { name: "token", run: token::run },
];
