//! Ticker and trades, and messages that are cut or broken.

use crate::stage::{ACK, LIST, snapshot, synced, update};
use crate::witness::{FIRST, check, torture};

#[test]
fn the_ticker_gives_quotes_and_day_statistics() {
    let ticker = |fields: &str| {
        format!(
            r#"{{"channel":"ticker","type":"update","data":[{{"symbol":"BTC/USD",{fields}}}]}}"#
        )
    };
    let mut bench = synced();
    check(
        &mut bench,
        &[
            (
                &ticker(
                    r#""bid":99.5,"bid_qty":1.5,"ask":100.0,"ask_qty":0.25,"last":99.8,"volume":1234567890123.12345678,"vwap":99.123456789,"low":90.0,"high":101.0,"change":-0.3,"change_pct":-0.3"#,
                ),
                &[
                    "BTC-USD quote 99.5x1.50000000 100.0x0.25000000",
                    "BTC-USD day open 100.1 high 101.0 low 90.0 last 99.8 volume 1234567890123.12345678",
                ],
            ),
            // Statistics that are the same are not said again; an empty side is null or zero.
            (
                &ticker(
                    r#""bid":99.5,"bid_qty":2.5,"ask":null,"ask_qty":0.0,"last":99.8,"volume":1234567890123.12345678,"low":90.0,"high":101.0,"change":-0.3"#,
                ),
                &["BTC-USD quote 99.5x2.50000000 -"],
            ),
            // Exponent form; a change with digits that no price has gives no opening price.
            (
                &ticker(
                    r#""bid":0,"bid_qty":0,"ask":1.001E2,"ask_qty":1E-8,"last":99.8,"volume":1.5E3,"change":0.30000000000000004"#,
                ),
                &[
                    "BTC-USD quote - 100.1x0.00000001",
                    "BTC-USD day open - high - low - last 99.8 volume 1500.00000000",
                ],
            ),
        ],
    );
}

#[test]
fn trades_are_the_taker_s_and_old_ones_only_give_the_last_price() {
    let trades = |kind: &str, trades: &[(u64, &str, &str)]| {
        let one = |(id, side, price): &(u64, &str, &str)| {
            format!(
                r#"{{"symbol":"BTC/USD","side":"{side}","price":{price},"qty":0.5,"ord_type":"market","trade_id":{id},"timestamp":"2026-08-02T03:35:52.1Z"}}"#
            )
        };
        let list: Vec<_> = trades.iter().map(one).collect();
        format!(r#"{{"channel":"trade","type":"{kind}","data":[{}]}}"#, list.join(","))
    };
    let mut bench = synced();
    check(
        &mut bench,
        &[
            (
                &trades("snapshot", &[(7, "buy", "98.0"), (9, "sell", "97.5")]),
                &["BTC-USD day open - high - low - last 97.5 volume -"],
            ),
            (
                &trades("update", &[(9, "buy", "97.5"), (12, "buy", "99.0"), (11, "sell", "98.5")]),
                &["BTC-USD trades 11 Sell 98.5x0.50000000 12 Buy 99.0x0.50000000"],
            ),
            // Finer digits than ever before: the scale follows, nothing is rounded.
            (
                &trades("update", &[(13, "buy", "99.125")]),
                &["BTC-USD trades 13 Buy 99.125x0.50000000"],
            ),
        ],
    );
    assert_eq!(bench.tally.gaps, 0, "ids are not promised to be dense");
    // The book follows the finer scale; its checksum, over the digits as padded, cannot be had.
    bench.on(FIRST, &update(r#""asks":[{"price":100.0,"qty":0.25000000}],"bids":[]"#, "x"));
    assert_eq!(bench.tally.checksum_failures, 1);
}

#[test]
fn cut_and_broken_messages_are_counted_and_never_panic() {
    let trade = r#"{"channel":"trade","type":"update","data":[{"symbol":"BTC/USD","side":"buy","price":1.5,"qty":0.5,"trade_id":3,"timestamp":"2026-08-02T03:35:52.1Z"}]}"#;
    let ticker = r#"{"channel":"ticker","type":"update","data":[{"symbol":"BTC/USD","bid":99.5,"bid_qty":1.5,"ask":100.0,"ask_qty":0.25,"last":99.8,"volume":12.5,"change":-0.3}]}"#;
    let book = update(r#""bids":[{"price":99.5,"qty":0.00000000}],"asks":[]"#, "x");
    let status = r#"{"channel":"status","type":"update","data":[{"system":"online","connection_id":15413894943188002760}]}"#;
    for message in [&snapshot(), &book, ticker, trade, status, ACK, LIST] {
        torture(synced, message);
    }
    let mut bench = synced();
    for garbage in [
        "",
        "null",
        "[]",
        "0",
        "\"",
        "{}x",
        "{\"channel\":7}",
        "\u{0}",
        "{\"channel\":\"book\",\"data\":{}}",
    ] {
        let errors = bench.decode_errors();
        assert_eq!(bench.on(FIRST, garbage).decode_errors(), errors + 1, "{garbage:?}");
    }
    assert_eq!(bench.on(FIRST, r#"{"channel":"new","data":[1]}"#).messages("other"), 1);
}
