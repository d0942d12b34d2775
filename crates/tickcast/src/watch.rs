//! `tickcast watch`: a subscription in the terminal, one message a line.

use anyhow::{Context, Result, bail};

/// Arguments of `tickcast watch`.
#[derive(Debug, clap::Args)]
pub(crate) struct WatchArgs {
    /// The service, such as ws://127.0.0.1:8080
    url: String,
    /// ticker, trades, book or bars
    channel: String,
    /// Names or patterns, such as sim:S0-USD or 'sim:*'
    #[arg(required = true)]
    symbols: Vec<String>,
    /// Updates per second and symbol
    #[arg(long)]
    max_rate: Option<f64>,
    /// Levels of a book: 10, 25, 100 or 500
    #[arg(long)]
    depth: Option<u16>,
    /// Length of bars: 1s, 1m, 5m or 1h
    #[arg(long)]
    interval: Option<String>,
    /// End after so many messages
    #[arg(long)]
    count: Option<u64>,
}
