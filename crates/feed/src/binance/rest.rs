//! Binance's REST side: which resource a URL names, what its body says, and how fast we may ask.
//! Source: binance-spot-api-docs, `rest-api.md`.

use crate::binance::message::{read_levels, venue_time};
use crate::binance::number::{Fault, Numbers};
use simd_json::prelude::{ValueAsScalar, ValueIntoString, ValueObjectAccessAsScalar};
use simd_json::tape::Value;
use tickcast_market::{Bar, BookChange, Decimal, InstrumentSpec, Interval, Nanos, Scales, Venue};

/// How many bars are asked for at start.
const BARS_COUNT: u32 = 500;
/// How many symbols a request for the list may name; for more the whole list is asked for.
const LISTED_BY_NAME_MAX: usize = 100;
/// With so few symbols their books are asked for as deep as they go.
const DEEP_SYMBOLS_MAX: usize = 12;

/// A REST resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resource<'a> {
    /// `exchangeInfo`: the list of symbols; whether it was asked for by name.
    List { is_by_name: bool },
    /// `depth`: one symbol's book.
    Depth { symbol: &'a str },
    /// `klines`: one symbol's bars.
    Bars { symbol: &'a str, interval: Interval },
}

impl<'a> Resource<'a> {
    /// What a URL asks for, whatever its host and version.
    pub(crate) fn of(url: &'a str) -> Option<Resource<'a>> {
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let field = |name: &str| {
            query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
        };
        match path.rsplit('/').next()? {
            "exchangeInfo" => {
                Some(Resource::List { is_by_name: field("symbols").or(field("symbol")).is_some() })
            }
            "depth" => Some(Resource::Depth { symbol: field("symbol")? }),
            "klines" => Some(Resource::Bars {
                symbol: field("symbol")?,
                interval: Interval::from_name(field("interval")?)?,
            }),
            _ => None,
        }
    }
}

/// The URL of the list of symbols, with its weight.
pub(crate) fn list_url(rest_url: &str, names: &[String], by_name: bool) -> (String, u32) {
    const WEIGHT: u32 = 20;
    if !by_name || names.len() > LISTED_BY_NAME_MAX {
        return (format!("{rest_url}/api/v3/exchangeInfo?showPermissionSets=false"), WEIGHT);
    }
    let mut list = String::new();
    for name in names {
        // A symbol that is not plain ASCII is percent-encoded, byte by byte.
        let separator = if list.is_empty() { "%22" } else { ",%22" };
        list.push_str(separator);
        encode(name, &mut list);
        list.push_str("%22");
    }
    (
        format!("{rest_url}/api/v3/exchangeInfo?symbols=%5B{list}%5D&showPermissionSets=false"),
        WEIGHT,
    )
}

/// The URL of one symbol's book, with its weight.
pub(crate) fn depth_url(rest_url: &str, symbol: &str, symbols: usize) -> (String, u32) {
    let (limit, weight) = if symbols <= DEEP_SYMBOLS_MAX { (5000, 250) } else { (1000, 50) };
    let mut name = String::new();
    encode(symbol, &mut name);
    (format!("{rest_url}/api/v3/depth?symbol={name}&limit={limit}"), weight)
}

/// The URL of one symbol's last bars, with its weight.
pub(crate) fn bars_url(rest_url: &str, symbol: &str, interval: Interval) -> (String, u32) {
    let mut name = String::new();
    encode(symbol, &mut name);
    let interval = interval.name();
    (format!("{rest_url}/api/v3/klines?symbol={name}&interval={interval}&limit={BARS_COUNT}"), 2)
}

/// Appends `text` percent-encoded for a URL.
pub(crate) fn encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}

/// A symbol as it stood in a URL, decoded.
pub(crate) fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let code = (*first == b'%')
            .then(|| std::str::from_utf8(tail.get(..2)?).ok())
            .flatten()
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// One symbol of the list.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) spec: InstrumentSpec,
    /// The venue says that it trades.
    pub(crate) is_trading: bool,
}

/// Reads the list of symbols and hands each to `take`; one that cannot be read is left out.
///
/// *Errors:* it is no list at all.
pub(crate) fn read_list(value: Value<'_, '_>, mut take: impl FnMut(Listed)) -> Result<(), Fault> {
    let symbols = value.get("symbols").and_then(|list| list.as_array());
    let symbols = symbols.ok_or_else(|| refused_or(value, "symbols"))?;
    for symbol in symbols.iter() {
        let text = |field: &str| symbol.get(field).and_then(ValueIntoString::into_string);
        let (Some(name), Some(base), Some(quote)) =
            (text("symbol"), text("baseAsset"), text("quoteAsset"))
        else {
            continue;
        };
        let increment = |kind: &str, field: &str| -> Option<Decimal> {
            let filters = symbol.get("filters")?.as_array()?;
            let filter = filters.iter().find(|f| f.get_str("filterType") == Some(kind))?;
            let text = filter.get(field)?.into_string()?;
            Decimal::parse(text.as_bytes()).ok().map(Decimal::trimmed).filter(|d| d.mantissa > 0)
        };
        let tick_size = increment("PRICE_FILTER", "tickSize");
        let lot_size = increment("LOT_SIZE", "stepSize");
        let size = lot_size.map_or(0, |lot| lot.scale);
        take(Listed {
            spec: InstrumentSpec {
                venue: Venue::Binance,
                symbol: format!("{base}-{quote}"),
                venue_symbol: name.to_string(),
                tick_size,
                lot_size,
                scales: Scales {
                    price: tick_size.map_or(0, |tick| tick.scale),
                    size,
                    volume: size,
                },
            },
            is_trading: text("status").is_none_or(|status| status == "TRADING"),
        });
    }
    Ok(())
}

/// Reads a book into `levels`; its `lastUpdateId`.
///
/// *Errors:* what is missing or not a number.
pub(crate) fn read_snapshot(
    value: Value<'_, '_>,
    scales: &mut Scales,
    levels: &mut Vec<BookChange>,
) -> Result<u64, Fault> {
    let id = value.get_u64("lastUpdateId").ok_or_else(|| refused_or(value, "lastUpdateId"))?;
    read_levels(value, ["bids", "asks"], scales, levels)?;
    Ok(id)
}

/// Reads bars, oldest first, without those in which nothing was traded. The last one of the answer
/// is still open.
///
/// *Errors:* what is missing or not a number.
pub(crate) fn read_bars(value: Value<'_, '_>, scales: &mut Scales) -> Result<Vec<Bar>, Fault> {
    let rows = value.as_array().ok_or_else(|| refused_or(value, "klines"))?;
    Numbers::read(scales, |numbers| {
        let mut bars = Vec::with_capacity(rows.len());
        for (index, row) in rows.iter().enumerate() {
            let row = row.as_array().ok_or_else(|| Fault::shape("kline"))?;
            let text = |at: usize, field: &'static str| {
                row.get(at)
                    .and_then(ValueIntoString::into_string)
                    .ok_or_else(|| Fault::shape(field))
            };
            let whole = |at: usize, field: &'static str| {
                row.get(at).and_then(|item| item.as_u64()).ok_or_else(|| Fault::shape(field))
            };
            bars.push(Bar {
                start: venue_time(whole(0, "open time")?),
                open: numbers.price("open", text(1, "open")?)?,
                high: numbers.price("high", text(2, "high")?)?,
                low: numbers.price("low", text(3, "low")?)?,
                close: numbers.price("close", text(4, "close")?)?,
                volume: numbers.volume("volume", text(5, "volume")?)?,
                trades: u32::try_from(whole(8, "trades")?).unwrap_or(u32::MAX),
                closed: index + 1 < rows.len(),
            });
        }
        bars.retain(|bar| bar.trades > 0);
        Ok(bars)
    })
}

/// The venue's own words where the body is an error, else the missing field.
fn refused_or(value: Value<'_, '_>, field: &'static str) -> Fault {
    let is_object = value.as_object().is_some();
    match is_object.then(|| (value.get_i64("code"), value.get_str("msg"))) {
        Some((Some(code), message)) => {
            let message: String = message.unwrap_or_default().chars().take(200).collect();
            Fault { reason: "refused", text: format!("error {code}: {message}") }
        }
        _ => Fault::shape(field),
    }
}

/// Spreads requests by their weight: a burst at once, then a steady rate.
///
/// The venue allows 6,000 a minute; burst and rate together stay within it in every minute.
#[derive(Debug, Default)]
pub(crate) struct WeightPacer {
    /// When everything that was spent will have been earned again.
    earned_at: Nanos,
}

impl WeightPacer {
    const NANOS_PER_WEIGHT: i64 = 20_000_000;
    const BURST: Nanos = Nanos(2_500 * Self::NANOS_PER_WEIGHT);

    /// How long a request of this weight has to wait; it is spent.
    pub(crate) fn spend(&mut self, now: Nanos, weight: u32) -> Nanos {
        self.earned_at = self.earned_at.max(now.plus(Nanos(-Self::BURST.0)));
        let wait = self.earned_at.since(now).max(Nanos::ZERO);
        self.earned_at = self.earned_at.plus(Nanos(i64::from(weight) * Self::NANOS_PER_WEIGHT));
        wait
    }

    /// The venue asked us to slow down.
    pub(crate) fn hold(&mut self, until: Nanos) {
        self.earned_at = self.earned_at.max(until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_its_resource_whatever_host_and_version() {
        for (url, expect) in [
            (
                "https://www.binance.com/api/v1/depth?symbol=DOTUSDT&limit=1000",
                Some(Resource::Depth { symbol: "DOTUSDT" }),
            ),
            ("https://h/api/v3/exchangeInfo", Some(Resource::List { is_by_name: false })),
            ("https://h/api/v3/exchangeInfo?symbol=X", Some(Resource::List { is_by_name: true })),
            (
                "https://h/api/v3/klines?symbol=A&interval=5m&limit=500",
                Some(Resource::Bars { symbol: "A", interval: Interval::M5 }),
            ),
            ("https://h/api/v3/klines?symbol=A&interval=3d", None),
            ("https://h/api/v3/depth", None),
            ("https://h/api/v3/ping", None),
            ("", None),
        ] {
            assert_eq!(Resource::of(url), expect, "{url}");
        }
    }

    #[test]
    fn urls_are_made_of_ascii_and_read_back() {
        let names = vec!["BTCUSDT".to_string(), "币USDT".to_string()];
        let (url, _) = list_url("https://h", &names, true);
        let expected = "https://h/api/v3/exchangeInfo?symbols=%5B%22BTCUSDT%22,%22%E5%B8%81USDT\
                        %22%5D&showPermissionSets=false";
        assert_eq!(url, expected);
        assert_eq!(Resource::of(&url), Some(Resource::List { is_by_name: true }));
        let (url, weight) = depth_url("https://h", "币USDT", 1);
        assert_eq!(weight, 250);
        let Some(Resource::Depth { symbol }) = Resource::of(&url) else { panic!("{url}") };
        assert_eq!(decode(symbol), "币USDT");
        assert_eq!(decode("A%zz%"), "A%zz%");
        assert_eq!(depth_url("https://h", "A", 13).1, 50);
    }

    #[test]
    fn requests_stay_within_six_thousand_a_minute() {
        let mut pacer = WeightPacer::default();
        let start = Nanos::from_secs(1_700_000_000);
        let mut sent: Vec<(i64, u32)> = Vec::new();
        for _ in 0..400 {
            sent.push((pacer.spend(start, 50).0 / 1_000_000, 50));
        }
        assert_eq!(sent[0].0, 0, "the first goes at once");
        assert_eq!(sent[49].0, 0, "so does a burst");
        assert!(sent[60].0 > 0, "later ones wait");
        for (from, _) in &sent {
            let minute = sent.iter().filter(|(at, _)| (*from..from + 60_000).contains(at));
            assert!(minute.map(|(_, weight)| weight).sum::<u32>() <= 6_000);
        }
        pacer.hold(start.plus(Nanos::from_secs(1_000)));
        assert_eq!(pacer.spend(start, 1), Nanos::from_secs(1_000));
    }
}
