//! The same subscription out of a URL's query, for server-sent events and REST; and the ids of
//! events.

use crate::params::{Params, Value};
use crate::request::{Method, RequestError, Subscribe};
use crate::text::{shown_quoted, write_integer};
use std::borrow::Cow;
use tickcast_market::{Epoch, Seq, Since};

/// Reads `channel=ticker&symbol=A,B&max_rate=4`; text after the `?`, still encoded. Lists are
/// separated by commas, encoded or not.
///
/// Keys in `also` are the caller's and are passed over; any other that is no option of a
/// subscription is refused. *Errors:* [`RequestError`] as for a JSON request, names without
/// `params.`.
pub fn parse_query(query: &str, also: &[&str]) -> Result<Subscribe, RequestError> {
    read(query, also).map_err(|error| RequestError {
        method: Some(Method::Subscribe),
        ..RequestError::new(error)
    })
}

fn read(query: &str, also: &[&str]) -> Result<Subscribe, String> {
    let mut params = Params::from_url();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let key = percent_decode(key)?;
        if !also.contains(&&*key) {
            params.set(&key, &Value::Url(percent_decode(value)?))?;
        }
    }
    params.finish()
}

/// Decodes a key or a value of a query: `%41` is a byte, `+` a space (WHATWG URL,
/// `application/x-www-form-urlencoded`). What decodes to no UTF-8, or is no encoding, is refused.
pub fn percent_decode(text: &str) -> Result<Cow<'_, str>, String> {
    if !text.contains(['%', '+']) {
        return Ok(Cow::Borrowed(text));
    }
    let refused = || format!("query: {} is not percent-encoded UTF-8", shown_quoted(text));
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let mut digit = || bytes.next().and_then(|byte| (byte as char).to_digit(16));
                let (Some(high), Some(low)) = (digit(), digit()) else { return Err(refused()) };
                (high << 4 | low) as u8
            }
            b'+' => b' ',
            _ => byte,
        });
    }
    String::from_utf8(decoded).map(Cow::Owned).map_err(|_| refused())
}

/// Appends the id of a server-sent event: `<epoch>-<seq>`.
pub fn write_event_id(out: &mut Vec<u8>, since: Since) {
    write_integer(out, since.epoch.0);
    out.push(b'-');
    write_integer(out, since.seq.0);
}

/// What a `Last-Event-ID` claims; `None` when it is none of ours.
pub fn parse_event_id(id: &str) -> Option<Since> {
    // Only digits: `u64`'s own parser would take a plus sign.
    let number = |text: &str| {
        text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
    };
    let (epoch, seq) = id.split_once('-')?;
    Some(Since { epoch: Epoch(number(epoch)?), seq: Seq(number(seq)?) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::{Depth, FieldSet, TickerField, View};
    use crate::pattern::Pattern;

    #[test]
    fn a_query_gives_the_same_subscription_as_json() {
        let symbols = || vec![Pattern::new("coinbase:BTC-USD"), Pattern::new("kraken:*")];
        let plain = "channel=ticker&symbol=coinbase:BTC-USD,kraken:*&max_rate=0.5&fields=bid,ask";
        let encoded = "&symbol=coinbase%3ABTC-USD%2Ckraken:%2a&ch%61nnel=ticker&&fields=bid%2Cask\
                       &max_rate=0.5&token=secret";
        let expected = Subscribe {
            max_rate: Some(0.5),
            fields: FieldSet::NONE.with(TickerField::Bid).with(TickerField::Ask),
            ..Subscribe::new(View::Ticker, symbols())
        };
        assert_eq!(parse_query(plain, &[]), Ok(expected.clone()));
        assert_eq!(parse_query(encoded, &["token"]), Ok(expected));
        assert_eq!(
            parse_query("channel=book&depth=25&symbol=coinbase:BTC-USD,kraken:*", &[]),
            Ok(Subscribe::new(View::Book(Depth::new(25).unwrap()), symbols()))
        );
        let trades = parse_query("channel=trades&symbol=a:B&snapshot=false", &[]).unwrap();
        assert!(!trades.snapshot);
    }

    #[test]
    fn what_is_wrong_with_a_query_is_named() {
        for (query, error) in [
            ("", "channel: missing; one of ticker, trades, book, bars"),
            ("channel=tikcer", "channel: \"tikcer\" is not one of ticker, trades, book, bars"),
            ("channel=ticker", "symbol: missing"),
            ("channel=ticker&symbol=", "symbol: empty"),
            ("channel=ticker&symbol=A,,B", "symbol[1]: empty"),
            ("channel=ticker&symbol=A&symbol=B", "symbol: given twice"),
            ("channel=book&symbol=A&depth=x", "depth: \"x\" is not one of 10, 25, 100, 500"),
            ("channel=bars&symbol=A&interval=2m", "interval: \"2m\" is not one of 1s, 1m, 5m, 1h"),
            ("channel=ticker&symbol=A&max_rate=inf", "max_rate: \"inf\" is not a number above 0"),
            ("channel=trades&symbol=A&snapshot=0", "snapshot: \"0\" is not true or false"),
            ("channel=bars&symbol=A&depth=10", "depth: an option of book, not of bars"),
            ("channel=ticker&symbol=%zz", "query: \"%zz\" is not percent-encoded UTF-8"),
            ("channel=ticker&symbol=%e", "query: \"%e\" is not percent-encoded UTF-8"),
            ("channel=ticker&symbol=%ff", "query: \"%ff\" is not percent-encoded UTF-8"),
            (
                "channel=ticker&symbol=A&since=1",
                "since: unknown; known are channel, symbol, max_rate, fields, depth, interval, \
                 snapshot",
            ),
        ] {
            assert_eq!(parse_query(query, &["token"]).unwrap_err().error, error, "{query}");
        }
    }

    #[test]
    fn event_ids_are_read_as_they_were_written() {
        let since = Since { epoch: Epoch(7_249_421), seq: Seq(118) };
        let mut out = Vec::new();
        write_event_id(&mut out, since);
        assert_eq!(out, b"7249421-118");
        assert_eq!(parse_event_id("7249421-118"), Some(since));
        for id in ["", "-", "1-", "-1", "1", "1-2-3", "+1-2", "a-b", "99999999999999999999-1"] {
            assert_eq!(parse_event_id(id), None, "{id}");
        }
    }
}
