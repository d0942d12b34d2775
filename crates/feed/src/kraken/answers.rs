//! Kraken v2's rare messages: answers to requests, the venue's own state, the list of pairs. Reads
//! them; what follows from them is the handler's.

use crate::decode::fields::increment;
use crate::decode::scan::{Fault, Scan};
use crate::roster::listings::{Listing, canonical};
use serde_json::Value;
use tickcast_market::{Decimal, InstrumentSpec, SCALE_MAX, Scales, TradingState, Venue};

/// An answer to a request, as far as it concerns anybody.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) method: String,
    pub(crate) success: bool,
    pub(crate) channel: String,
    pub(crate) symbol: String,
    pub(crate) depth: Option<usize>,
    pub(crate) error: String,
    pub(crate) warnings: Vec<String>,
}

/// Reads an answer; what is absent stays empty.
///
/// *Errors:* [`Fault::Syntax`].
pub(crate) fn read_answer(bytes: &[u8]) -> Result<Answer, Fault> {
    let answer: Value = serde_json::from_slice(bytes).map_err(|_| Fault::Syntax)?;
    let result = answer.get("result").unwrap_or(&Value::Null);
    let text = |value: &Value, name: &str| {
        value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    // A refusal names the symbol beside the error, a success within the result.
    let either = |name: &str| {
        let within = text(result, name);
        if within.is_empty() { text(&answer, name) } else { within }
    };
    let warnings = result.get("warnings").and_then(Value::as_array);
    Ok(Answer {
        method: text(&answer, "method"),
        success: answer.get("success").and_then(Value::as_bool).unwrap_or(false),
        channel: either("channel"),
        symbol: either("symbol"),
        depth: result.get("depth").and_then(Value::as_u64).and_then(|d| usize::try_from(d).ok()),
        error: text(&answer, "error"),
        warnings: warnings
            .into_iter()
            .flatten()
            .map(|warning| warning.as_str().map_or_else(|| warning.to_string(), str::to_owned))
            .collect(),
    })
}

/// The venue's own state from its `status` message: the word as sent, and what it means for every
/// pair; `None` when the message does not say.
pub(crate) fn read_system(bytes: &[u8]) -> Option<(String, TradingState)> {
    let status: Value = serde_json::from_slice(bytes).ok()?;
    let word = status.get("data")?.get(0)?.get("system")?.as_str()?;
    Some((word.to_owned(), trading_state(word.as_bytes())))
}

/// What a word of the venue, or of one pair, says about trading.
///
/// `halted` is every state in which no trade can happen: maintenance, only cancelling, only
/// orders that do not cross. Limits on who may trade how (`limit_only`, `reduce_only`) are not.
fn trading_state(word: &[u8]) -> TradingState {
    match word {
        b"delisted" => TradingState::Closed,
        b"maintenance" | b"cancel_only" | b"post_only" | b"work_in_progress" | b"disabled" => {
            TradingState::Halted
        }
        _ => TradingState::Live,
    }
}

/// Reads the list of pairs, whole or changed ones.
///
/// *Errors:* the first [`Fault`].
pub(crate) fn read_pairs(bytes: &[u8]) -> Result<Vec<Listing>, Fault> {
    let mut pairs = Vec::new();
    let mut scan = Scan::new(bytes);
    scan.object()?;
    while let Some(key) = scan.key()? {
        if key != b"data" {
            scan.skip()?;
            continue;
        }
        scan.object()?;
        while let Some(key) = scan.key()? {
            if key != b"pairs" {
                scan.skip()?;
                continue;
            }
            scan.array()?;
            while scan.item()? {
                pairs.push(read_pair(&mut scan)?);
            }
        }
    }
    scan.end()?;
    Ok(pairs)
}

fn read_pair(scan: &mut Scan<'_>) -> Result<Listing, Fault> {
    let (mut symbol, mut tick_size, mut lot_size) = (None, None, None);
    let (mut price_digits, mut size_digits) = (None, None);
    let mut state = TradingState::Live;
    scan.object()?;
    while let Some(key) = scan.key()? {
        match key {
            b"symbol" => symbol = Some(scan.text()?),
            b"status" => state = trading_state(scan.text()?),
            b"price_precision" => price_digits = digits(scan)?,
            b"qty_precision" => size_digits = digits(scan)?,
            b"price_increment" => tick_size = increment(scan)?,
            b"qty_increment" => lot_size = increment(scan)?,
            _ => scan.skip()?,
        }
    }
    let symbol = std::str::from_utf8(symbol.ok_or(Fault::Missing)?).map_err(|_| Fault::Value)?;
    let scale = |increment: Option<Decimal>| increment.map_or(0, |number| number.scale);
    // Prices and sizes are padded to the precisions; the increments may be coarser.
    let size = size_digits.unwrap_or_else(|| scale(lot_size));
    Ok(Listing {
        spec: InstrumentSpec {
            venue: Venue::Kraken,
            symbol: canonical(symbol),
            venue_symbol: symbol.to_owned(),
            tick_size,
            lot_size,
            scales: Scales {
                price: price_digits.unwrap_or_else(|| scale(tick_size)),
                size,
                volume: size,
            },
        },
        state,
    })
}

fn digits(scan: &mut Scan<'_>) -> Result<Option<u8>, Fault> {
    let digits = scan.integer()?;
    Ok(u8::try_from(digits).ok().filter(|digits| *digits <= SCALE_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_with_their_errors_and_warnings() {
        let refused = br#"{"error":"Currency pair not supported XBT\/USD","method":"subscribe","req_id":3,"success":false,"symbol":"XBT/USD"}"#;
        let answer = read_answer(refused).unwrap();
        assert_eq!(
            (answer.method.as_str(), answer.success, answer.error.as_str(), answer.symbol.as_str()),
            ("subscribe", false, "Currency pair not supported XBT/USD", "XBT/USD")
        );
        let granted = br#"{"method":"subscribe","result":{"channel":"book","depth":25,"snapshot":true,"symbol":"BTC/USD","warnings":["depth is changing",7]},"success":true}"#;
        let answer = read_answer(granted).unwrap();
        assert_eq!(
            (answer.success, answer.depth, answer.channel.as_str()),
            (true, Some(25), "book")
        );
        assert_eq!(answer.warnings, ["depth is changing", "7"]);
        assert_eq!(read_answer(b"{}").unwrap(), Answer::default());
        assert_eq!(read_answer(b"{"), Err(Fault::Syntax));
    }

    #[test]
    fn states_of_the_venue_are_told_apart() {
        for (word, expected) in [
            ("online", TradingState::Live),
            ("limit_only", TradingState::Live),
            ("reduce_only", TradingState::Live),
            ("maintenance", TradingState::Halted),
            ("cancel_only", TradingState::Halted),
            ("post_only", TradingState::Halted),
            ("delisted", TradingState::Closed),
        ] {
            let text = format!(
                r#"{{"channel":"status","type":"update","data":[{{"system":"{word}","connection_id":15413894943188002760}}]}}"#
            );
            assert_eq!(read_system(text.as_bytes()), Some((word.to_owned(), expected)));
        }
        for broken in ["", "[]", r#"{"data":[]}"#, r#"{"data":[{"system":7}]}"#] {
            assert_eq!(read_system(broken.as_bytes()), None, "{broken}");
        }
    }

    #[test]
    fn pairs_are_read_whatever_the_form_of_their_numbers() {
        let list = read_pairs(
            br#"{"channel":"instrument","type":"snapshot","data":{"assets":[{"id":"USD"}],"pairs":[
            {"symbol":"EUR/USD","status":"online","qty_precision":8,"qty_increment":1E-8,
             "price_precision":5,"price_increment":0.00001,"qty_min":0.50000000},
            {"symbol":"ETH2.S/ETH","status":"cancel_only","price_increment":1E-10,"qty_increment":1}]}}"#,
        )
        .unwrap();
        let first = &list[0].spec;
        assert_eq!((first.symbol.as_str(), first.venue_symbol.as_str()), ("EUR-USD", "EUR/USD"));
        assert_eq!(first.scales, Scales { price: 5, size: 8, volume: 8 });
        assert_eq!(first.lot_size, Some(Decimal { mantissa: 1, scale: 8 }));
        assert_eq!(list[1].spec.symbol, "ETH2.S-ETH");
        assert_eq!(list[1].spec.scales, Scales { price: 10, size: 0, volume: 0 });
        assert_eq!(list[1].state, TradingState::Halted);
        assert_eq!(read_pairs(br#"{"data":{"pairs":[{"status":"online"}]}}"#), Err(Fault::Missing));
    }
}
