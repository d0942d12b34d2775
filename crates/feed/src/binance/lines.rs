//! Which streams of which symbols go over which Binance connection, in the venue's limits.
//! Source: binance-spot-api-docs, `web-socket-streams.md`, "WebSocket Limits".

use crate::binance::rest::{decode, encode};

/// The most streams on one connection.
const STREAMS_MAX: usize = 1024;
/// The longest URL that is used; what finds no room in it is subscribed to by message.
const URL_BYTES_MAX: usize = 4_000;
/// The most streams in one subscribe message.
const SUBSCRIBE_STREAMS_MAX: usize = 100;
/// What is asked for of every symbol.
const STREAMS: [&str; 4] = ["bookTicker", "trade", "depth@100ms", "ticker"];

/// One connection's part of the symbols.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Where to connect.
    pub(crate) url: String,
    /// Venue symbols, upper case.
    pub(crate) symbols: Vec<String>,
    /// How many of them the URL already subscribes to.
    in_url: usize,
}

/// Deals symbols to lines.
pub(crate) fn lines(ws_url: &str, symbols: &[String]) -> Vec<Line> {
    symbols.chunks(STREAMS_MAX / STREAMS.len()).map(|chunk| line(ws_url, chunk)).collect()
}

fn line(ws_url: &str, symbols: &[String]) -> Line {
    let mut url = format!("{ws_url}/stream?streams=");
    let mut in_url = 0;
    for symbol in symbols {
        let mut name = String::new();
        encode(&symbol.to_lowercase(), &mut name);
        let streams: Vec<_> = STREAMS.iter().map(|stream| format!("{name}@{stream}")).collect();
        let separator = if in_url == 0 { "" } else { "/" };
        let part = format!("{separator}{}", streams.join("/"));
        if url.len() + part.len() > URL_BYTES_MAX {
            break;
        }
        url.push_str(&part);
        in_url += 1;
    }
    Line { url, symbols: symbols.to_vec(), in_url }
}

impl Line {
    /// The messages that subscribe to what found no room in the URL.
    pub(crate) fn subscribe_messages(&self) -> Vec<String> {
        let streams: Vec<String> = self.symbols[self.in_url..]
            .iter()
            .flat_map(|symbol| {
                let name = symbol.to_lowercase();
                STREAMS.iter().map(move |stream| format!("{name}@{stream}"))
            })
            .collect();
        let messages = streams.chunks(SUBSCRIBE_STREAMS_MAX).enumerate().map(|(index, chunk)| {
            serde_json::json!({ "method": "SUBSCRIBE", "params": chunk, "id": index + 1 })
        });
        messages.map(|message| message.to_string()).collect()
    }
}

/// The streams that a URL names, as venue symbol and stream: what a recording says of its
/// connections.
pub(crate) fn streams_of(url: &str) -> impl Iterator<Item = (String, &str)> {
    let list = match url.split_once("streams=") {
        Some((_, list)) => list.split('&').next().unwrap_or_default(),
        None => url.split_once("/ws/").map_or("", |(_, list)| list),
    };
    list.split('/').filter_map(|stream| {
        let (name, stream) = stream.split_once('@')?;
        (!name.is_empty()).then(|| (decode(name).to_uppercase(), stream))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("SYMBOL{number}USDT")).collect()
    }

    #[test]
    fn few_symbols_are_subscribed_to_by_the_url_alone() {
        let lines = lines("wss://h", &["BTCUSDT".into(), "币USDT".into()]);
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0].subscribe_messages(), Vec::<String>::new());
        let streams: Vec<_> = streams_of(&lines[0].url).collect();
        let of = |symbol: &str| STREAMS.map(|stream| (symbol.to_string(), stream));
        assert_eq!(streams, [of("BTCUSDT"), of("币USDT")].concat());
        assert!(lines[0].url.is_ascii());
    }

    #[test]
    fn many_symbols_stay_within_streams_and_url_and_none_is_forgotten() {
        let symbols = names(600);
        let lines = lines("wss://h", &symbols);
        assert_eq!(lines.len(), 3);
        let mut seen = Vec::new();
        for line in &lines {
            assert!(line.url.len() <= URL_BYTES_MAX);
            let mut streams: Vec<_> = streams_of(&line.url)
                .map(|(symbol, stream)| format!("{symbol}@{stream}"))
                .collect();
            for message in line.subscribe_messages() {
                let message: serde_json::Value = serde_json::from_str(&message).unwrap();
                assert_eq!(message["method"], "SUBSCRIBE");
                let params = message["params"].as_array().unwrap();
                assert!(params.len() <= SUBSCRIBE_STREAMS_MAX);
                streams.extend(params.iter().map(|p| {
                    let (symbol, stream) = p.as_str().unwrap().split_once('@').unwrap();
                    format!("{}@{stream}", symbol.to_uppercase())
                }));
            }
            assert!(streams.len() <= STREAMS_MAX);
            seen.extend(streams);
        }
        let expected: Vec<_> = symbols
            .iter()
            .flat_map(|symbol| STREAMS.iter().map(move |stream| format!("{symbol}@{stream}")))
            .collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_recording_may_name_streams_in_either_form_or_not_at_all() {
        let of = |url| streams_of(url).map(|(s, t)| format!("{s} {t}")).collect::<Vec<_>>();
        assert_eq!(of("wss://h/ws/btcusdt@trade"), ["BTCUSDT trade"]);
        let url = "wss://h/stream?streams=a@depth@100ms/b@trade&timeUnit=MICROSECOND";
        assert_eq!(of(url), ["A depth@100ms", "B trade"]);
        for url in ["", "wss://h", "wss://h/stream?streams=", "wss://h/stream?streams=@//x"] {
            assert_eq!(of(url), Vec::<String>::new(), "{url}");
        }
    }
}
