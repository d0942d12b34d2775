//! `tickcast watch`: a subscription in the terminal, one message a line.

use anyhow::{Context, Result, bail};
use fastwebsockets::{Frame, OpCode, Payload};
use std::io::Write;
use std::path::PathBuf;

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
    /// PEM file with the certificates to trust instead of the public authorities
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Token to authenticate with
    #[arg(long, env = "TICKCAST_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: Option<String>,
    /// End after so many messages of the channel
    #[arg(long)]
    count: Option<u64>,
}

impl WatchArgs {
    /// Only what was said: the service checks it and answers in words.
    fn request(&self) -> String {
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
        serde_json::json!({ "method": "subscribe", "req_id": 1, "params": params }).to_string()
    }
}

/// Runs until the count is reached, the service closes, or a reader of the output goes away.
pub(crate) fn run(args: &WatchArgs) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(watch(args))
}

async fn watch(args: &WatchArgs) -> Result<()> {
    let url = match args.url.trim_end_matches('/') {
        base if base.ends_with("/v1/ws") => base.to_owned(),
        base => format!("{base}/v1/ws"),
    };
    let socket = match &args.ca {
        None => tickcast_feed::dial(&url).await,
        Some(ca) => {
            let pem = std::fs::read(ca).with_context(|| format!("ca: {}", ca.display()))?;
            tickcast_feed::dial_trusting(&url, &pem).await
        }
    };
    let mut socket = socket.with_context(|| format!("cannot reach {url}"))?;
    let auth = args.token.as_ref().map(|token| {
        serde_json::json!({ "method": "auth", "params": { "token": token } }).to_string()
    });
    for request in auth.into_iter().chain([args.request()]) {
        socket
            .write_frame(Frame::text(Payload::Owned(request.into_bytes())))
            .await
            .context("cannot send the request")?;
    }
    let mut left = args.count.unwrap_or(u64::MAX);
    while left > 0 {
        let frame = socket.read_frame().await.context("the connection has failed")?;
        match frame.opcode {
            OpCode::Text => {
                let text = std::str::from_utf8(&frame.payload).context("a message is not text")?;
                left -= u64::from(show(text, &args.channel)?);
            }
            OpCode::Close => {
                bail!("the service has closed the connection{}", reason(&frame.payload))
            }
            _ => {}
        }
    }
    // The count is reached: leave in order. Whether the service still listens does not matter.
    let _ = socket.write_frame(Frame::close(1000, b"")).await;
    Ok(())
}

/// Prints one message; whether it was data of the channel.
fn show(text: &str, channel: &str) -> Result<bool> {
    let message: serde_json::Value = serde_json::from_str(text).context("a message is not JSON")?;
    if message["success"] == false {
        bail!("{} {}", message["code"], message["error"].as_str().unwrap_or(text));
    }
    let result = &message["result"];
    let nothing = ["symbol", "globs"].iter().all(|key| result[*key] == serde_json::json!([]));
    if nothing && let Some(failed) = result["failed"].get(0) {
        bail!("{} {}: {}", failed["code"], failed["symbol"], failed["error"]);
    }
    let is_heartbeat = message["channel"] == "heartbeat";
    if !is_heartbeat && writeln!(std::io::stdout(), "{text}").is_err() {
        // Whoever read the output has gone, as `head` does.
        std::process::exit(0);
    }
    let is_data = message["channel"] == channel;
    Ok(is_data)
}

fn reason(close: &[u8]) -> String {
    match close {
        [high, low, text @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            format!(": {code} {}", String::from_utf8_lossy(text))
        }
        _ => String::new(),
    }
}
