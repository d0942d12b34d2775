//! Venue symbols to canonical ones where a recording has no instrument list.

/// Quote currencies, longest first within each family so that `BTCFDUSD` is not read as `…/USD`.
const QUOTES: [&str; 40] = [
    "FDUSD", "USDT", "USDC", "BUSD", "TUSD", "USDP", "USDS", "BIDR", "BVND", "IDRT", "BKRW",
    "AEUR", "EURI", "DOGE", "USD1", "XUSD", "RLUSD", "USD", "EUR", "GBP", "AUD", "TRY", "BRL",
    "RUB", "UAH", "NGN", "ZAR", "PLN", "RON", "ARS", "JPY", "MXN", "CZK", "COP", "DAI", "PAX",
    "BTC", "ETH", "BNB", "TRX",
];

/// Splits a venue symbol without a separator (`BLZETH`, `RUNEEUR`, `BTCAUD`) into base and quote
/// by a table of quote currencies; the longest quote that leaves a base wins.
///
/// A symbol with `-`, `/` or `_` in it is split there. Case is kept; give upper case. `None` when
/// no known quote currency ends it.
pub fn split_venue_symbol(symbol: &str) -> Option<(&str, &str)> {
    if let Some(at) = symbol.find(['-', '/', '_']) {
        let (base, quote) = (&symbol[..at], &symbol[at + 1..]);
        return (!base.is_empty() && !quote.is_empty()).then_some((base, quote));
    }
    QUOTES
        .iter()
        .filter(|quote| symbol.len() > quote.len() && symbol.ends_with(**quote))
        .max_by_key(|quote| quote.len())
        .map(|quote| symbol.split_at(symbol.len() - quote.len()))
}

#[cfg(test)]
mod tests {
    use super::split_venue_symbol;

    #[test]
    fn symbols_without_a_separator_split_at_their_quote_currency() {
        for (symbol, base, quote) in [
            ("BTCUSDT", "BTC", "USDT"),
            ("BLZETH", "BLZ", "ETH"),
            ("RUNEEUR", "RUNE", "EUR"),
            ("BTCAUD", "BTC", "AUD"),
            ("LRCBTC", "LRC", "BTC"),
            ("ETHBTC", "ETH", "BTC"),
            ("BTCFDUSD", "BTC", "FDUSD"),
            ("USDCUSDT", "USDC", "USDT"),
            ("BTC-USD", "BTC", "USD"),
            ("BTC/USD", "BTC", "USD"),
        ] {
            assert_eq!(split_venue_symbol(symbol), Some((base, quote)), "{symbol}");
        }
        assert_eq!(split_venue_symbol("USDT"), None);
        assert_eq!(split_venue_symbol("FOOBAR"), None);
        assert_eq!(split_venue_symbol("-USD"), None);
    }
}
