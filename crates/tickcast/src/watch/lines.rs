//! Messages as they come, one a line, for pipes. Does not reconnect: what reads it would not know.

use super::{Asked, WatchArgs};
use crate::output;
use anyhow::{Context, Result, bail};
use std::io::ErrorKind;
use tickcast_client::{Incoming, SocketReader, SocketWriter};
use tickcast_wire::Request;

/// Runs until the count is reached, the service closes, or a reader of the output goes away.
pub(super) async fn run(args: &WatchArgs, asked: Asked) -> Result<()> {
    let Asked { params, options } = asked;
    let opened = options.open().await;
    let (mut reader, mut writer) = opened.with_context(|| format!("cannot reach {}", args.url))?;
    let auth = args.token.clone().map(|token| Request::Auth { req_id: None, token });
    let subscribe = Request::Subscribe { req_id: None, params };
    for request in auth.into_iter().chain([subscribe]) {
        writer.send(&request).await.context("cannot send the request")?;
    }
    let mut left = args.count.unwrap_or(u64::MAX);
    while left > 0 {
        left -= u64::from(take(&mut reader, &mut writer, &args.channel).await?);
    }
    // The count is reached: leave in order. Whether the service still listens does not matter.
    let _ = writer.close(1000).await;
    Ok(())
}

/// Takes one message; whether it was data of the channel.
async fn take(reader: &mut SocketReader, writer: &mut SocketWriter, channel: &str) -> Result<bool> {
    match reader.next().await? {
        Incoming::Text(text) => show(text, channel),
        Incoming::Ping(bytes) => {
            writer.pong(bytes).await?;
            Ok(false)
        }
        Incoming::Pong => Ok(false),
        Incoming::Close(1005, _) => bail!("the service has closed the connection"),
        Incoming::Close(code, reason) => {
            bail!("the service has closed the connection: {code} {reason}")
        }
    }
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
    // These stand for binary messages that are not known, or whose beginning is missing.
    let is_none = message["type"] == "unopened" || message == serde_json::json!({});
    if !is_heartbeat && !is_none {
        match output::print(text) {
            // Whoever read the output has gone, as `head` does.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
            printed => printed.context("standard output")?,
        }
    }
    let is_data = message["channel"] == channel;
    Ok(is_data)
}
