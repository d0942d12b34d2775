//! As much of the client protocol as the contenders speak beside tickcast: a subscription to
//! tickers by exact names, its answer, a status (always live), snapshots and updates. No welcome.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use sha1::{Digest as _, Sha1};
use std::time::{SystemTime, UNIX_EPOCH};

/// What is spoken, as in `Sec-WebSocket-Protocol`.
pub const SUBPROTOCOL: &str = "tickcast.v1.json";

/// Where it is spoken.
pub const PATH: &str = "/v1/ws";

/// The epoch of every stream: none of these servers ever begins another.
pub const EPOCH: u64 = 7_249_421;

/// A request to subscribe.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// As it was written, to be given back.
    pub req_id: serde_json::Value,
    /// Exact names.
    pub symbols: Vec<String>,
}

#[derive(Deserialize)]
struct Request {
    method: String,
    #[serde(default)]
    req_id: serde_json::Value,
    params: Params,
}

#[derive(Deserialize)]
struct Params {
    channel: String,
    symbol: Symbols,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Symbols {
    One(String),
    Many(Vec<String>),
}

impl Asked {
    /// Reads a message; `None` if it is no subscription to tickers.
    pub fn read(message: &[u8]) -> Option<Asked> {
        let Request { method, req_id, params } = serde_json::from_slice(message).ok()?;
        if method != "subscribe" || params.channel != "ticker" {
            return None;
        }
        let symbols = match params.symbol {
            Symbols::One(symbol) => vec![symbol],
            Symbols::Many(symbols) => symbols,
        };
        Some(Asked { req_id, symbols })
    }

    /// The answer that grants these of its symbols.
    pub fn answer(&self, granted: &[&str]) -> String {
        let ungranted = |symbol: &&String| !granted.contains(&symbol.as_str());
        let failed: Vec<_> = self
            .symbols
            .iter()
            .filter(ungranted)
            .map(|symbol| serde_json::json!({"symbol": symbol, "code": 4404, "error": "unknown symbol"}))
            .collect();
        serde_json::json!({
            "method": "subscribe",
            "req_id": self.req_id,
            "success": true,
            "result": {"channel": "ticker", "symbol": granted, "globs": [], "failed": failed},
        })
        .to_string()
    }
}

/// The status that goes before a symbol's data.
pub fn status(symbol: &str) -> String {
    let now = now_micros();
    format!(
        "{{\"channel\":\"status\",\"type\":\"snapshot\",\"data\":[{{\"symbol\":\"{symbol}\",\
         \"epoch\":{EPOCH},\"seq\":1,\"state\":\"live\",\"ts_state\":{now}}}]}}"
    )
}

/// The `Sec-WebSocket-Accept` for a key (RFC 6455, 4.2.2).
pub fn accept_of(key: &[u8]) -> String {
    let mut sha1 = Sha1::new();
    sha1.update(key);
    sha1.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    STANDARD.encode(sha1.finalize())
}

/// Microseconds since the Unix epoch.
pub fn now_micros() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_micros() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accept_of_the_rfc_s_example_is_the_rfc_s() {
        assert_eq!(accept_of(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn one_name_or_a_list_may_be_asked_for_and_what_is_not_there_is_said() {
        let one =
            br#"{"method":"subscribe","req_id":7,"params":{"channel":"ticker","symbol":"a"}}"#;
        assert_eq!(Asked::read(one).unwrap().symbols, ["a"]);
        let two = br#"{"method":"subscribe","req_id":"x","params":{"channel":"ticker","symbol":["a","b"]}}"#;
        let asked = Asked::read(two).unwrap();
        let answer: serde_json::Value = serde_json::from_str(&asked.answer(&["b"])).unwrap();
        assert_eq!(answer["req_id"], "x");
        assert_eq!(answer["result"]["symbol"], serde_json::json!(["b"]));
        assert_eq!(answer["result"]["failed"][0]["symbol"], "a");
        assert_eq!(Asked::read(br#"{"method":"ping"}"#), None);
        assert_eq!(Asked::read(b"\xff"), None);
    }
}
