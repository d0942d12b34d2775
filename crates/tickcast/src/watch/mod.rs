//! `tickcast watch`: a subscription in the terminal; or, for pipes, its messages one a line.
//!
//! `screen.rs` runs the terminal, `app.rs` is what its user has chosen, `model.rs` is what is
//! shown of the client's state, and the others draw it. `lines.rs` prints.

mod app;
mod bars;
mod book;
mod columns;
mod draw;
#[cfg(test)]
mod draw_tests;
mod lines;
mod model;
mod parts;
mod screen;
mod status_line;
mod trades;
mod watchlist;

use anyhow::{Context, Result, bail};
use std::io::IsTerminal;
use std::path::PathBuf;
use tickcast_client::{Encoding, Options, Subscribe};
use tickcast_wire::Request;

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
    #[arg(long, value_parser = rate)]
    max_rate: Option<f64>,
    /// Levels of a book: 10, 25, 100 or 500
    #[arg(long)]
    depth: Option<u16>,
    /// Length of bars: 1s, 1m, 5m or 1h
    #[arg(long)]
    interval: Option<String>,
    /// What is spoken on the line; what is shown is the same
    #[arg(long, default_value = "json", value_name = "json|protobuf", value_parser = encoding)]
    encoding: Encoding,
    /// PEM file with the certificates to trust instead of the public authorities
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Token to authenticate with
    #[arg(long, env = "TICKCAST_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: Option<String>,
    /// Print messages, one a line, also where standard output is a terminal
    #[arg(long)]
    json: bool,
    /// Print messages, and end after so many of the channel
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
}

/// What the service would not be told: JSON has no such numbers.
fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse::<f64>().ok().filter(|rate| rate.is_finite());
    rate.ok_or_else(|| "is not a number".to_owned())
}

fn encoding(name: &str) -> Result<Encoding, String> {
    let names = Encoding::ALL.map(Encoding::name).join(", ");
    let found = Encoding::ALL.into_iter().find(|encoding| encoding.name() == name);
    found.ok_or_else(|| format!("is not one of {names}"))
}

impl WatchArgs {
    /// What is to be subscribed to, read as the service reads it, so that what is wrong with it is
    /// said in the same words.
    fn params(&self) -> Result<Subscribe> {
        let mut params = serde_json::json!({ "channel": self.channel, "symbol": self.symbols });
        for (key, value) in [
            ("max_rate", self.max_rate.map(serde_json::Value::from)),
            ("depth", self.depth.map(serde_json::Value::from)),
            ("interval", self.interval.clone().map(serde_json::Value::from)),
        ] {
            if let Some(value) = value {
                params[key] = value;
            }
        }
        let text = serde_json::json!({ "method": "subscribe", "params": params }).to_string();
        match Request::parse(text.as_bytes()) {
            Ok(Request::Subscribe { params, .. }) => Ok(params),
            Ok(_) => bail!("not a subscribe"),
            Err(error) => bail!("{} {}", error.code.number(), error.error),
        }
    }

    fn options(&self) -> Result<Options> {
        let mut options = Options::new(&self.url).encoding(self.encoding).verify_checksums(true);
        if let Some(ca) = &self.ca {
            let pem = std::fs::read(ca).with_context(|| format!("ca: {}", ca.display()))?;
            options = options.trust_pem(pem);
        }
        Ok(options)
    }
}

/// What the arguments ask for, as far as it can be judged before anything is asked.
#[derive(Debug)]
pub(crate) struct Asked {
    params: Subscribe,
    options: Options,
}

/// Reads the arguments.
///
/// *Errors:* what is wrong with their use.
pub(crate) fn prepare(args: &WatchArgs) -> Result<Asked> {
    Ok(Asked { params: args.params()?, options: args.options()? })
}

/// Whether an error is one of usage after all: the address is looked at when it is connected to.
pub(crate) fn is_misuse(error: &anyhow::Error) -> bool {
    let is_url = |cause: &(dyn std::error::Error + 'static)| {
        matches!(cause.downcast_ref(), Some(tickcast_client::Error::Url { .. }))
    };
    error.chain().any(is_url)
}

/// Runs until its user, the count or a reader of the output that goes away ends it.
pub(crate) fn run(args: &WatchArgs, asked: Asked) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if args.json || args.count.is_some() || !std::io::stdout().is_terminal() {
        runtime.block_on(lines::run(args, asked))
    } else {
        let ran = runtime.block_on(screen::run(args, asked));
        // The thread that reads keys waits for one.
        runtime.shutdown_background();
        ran
    }
}
