//! Quotes, trades, names and scales, and messages that are none of these.

use crate::script::{Script, check};
use tickcast_feed::BinanceConfig;

#[test]
fn quotes_and_trades_that_come_twice_or_late_are_dropped_by_their_ids() {
    check(
        "recv q 10 1 2
        recv 1 q 10 1 2
        recv q 9 5 6
        recv q 11 1.5 2
        recv t 100 7
        recv 1 t 100 7
        recv t 99 8
        recv t 101 9
        recv t 104 9",
        "BTC-USDT state live
        BTC-USDT quote 1x1 2x2
        BTC-USDT quote 1.5x1 2.0x2
        BTC-USDT trade 100 Sell 7.0x1 @1700000000000
        BTC-USDT trade 101 Sell 9.0x1 @1700000000000
        BTC-USDT trade 104 Sell 9.0x1 @1700000000000
        gap",
    );
}

#[test]
fn of_two_trade_streams_the_first_seen_is_taken() {
    check(
        "recv g 5 7
        recv t 100 7
        recv g 6 8",
        "BTC-USDT state live
        BTC-USDT trade 5 Buy 7x1 @1700000000000
        BTC-USDT trade 6 Buy 8x1 @1700000000000",
    );
}

#[test]
fn scales_come_from_the_digits_seen_and_only_rise() {
    check(
        r#"recv q 1 1.50 2
        recv q 2 1.12345678 2
        recv q 3 3 4
        recv {"u":4,"s":"BTCUSDT","b":"1.123456789","B":"1","a":"2e1","A":"0.000"}
        recv {"e":"24hrTicker","E":1700000000003,"s":"BTCUSDT","o":"1.0","h":"2.5","l":"0.5","c":"2","v":"123456789012345678901.2500"}"#,
        "BTC-USDT state live
        BTC-USDT quote 1.5x1 2.0x2
        BTC-USDT quote 1.12345678x1 2.00000000x2
        BTC-USDT quote 3.00000000x1 4.00000000x2
        BTC-USDT quote 1.123456789x1 -
        BTC-USDT day o1.000000000 h2.500000000 l0.500000000 c2.000000000 v123456789012345678901.25 @1700000000003",
    );
}

#[test]
fn what_cannot_be_read_is_counted_told_once_and_harms_nothing() {
    let script = r#"recv {"e":"trade","s":
        recv {"e":"trade","s":
        recv "five"
        recv {"u":1,"s":"BTCUSDT","b":"x","B":"1","a":"1","A":"1"}
        recv {"u":1,"s":"BTCUSDT","b":"99999999999999999999","B":"1","a":"1","A":"1"}
        recv {"u":1,"s":"BTCUSDT","b":"-1","B":"1","a":"1","A":"1"}
        recv {"u":-1,"s":"BTCUSDT","b":"1","B":"1","a":"1","A":"1"}
        recv {"u":1,"b":"1","B":"1","a":"1","A":"1"}
        recv {"e":"depthUpdate","E":1,"s":"BTCUSDT","U":5,"u":4,"b":[],"a":[]}
        recv {"e":"depthUpdate","E":1,"s":"BTCUSDT","U":4,"u":5,"b":[["1"]],"a":[]}
        recv {"u":1,"s":"a b","b":"1","B":"1","a":"1","A":"1"}
        recv q 1 1 2"#;
    let mut run = Script::new(BinanceConfig::default(), false);
    let said = run.lines(script);
    let reports: Vec<_> = said.iter().filter(|line| line.starts_with("report")).collect();
    assert_eq!(reports.len(), 4, "one for each reason: {reports:#?}");
    assert!(reports[2].contains(r#"field "b": "x": not a decimal number"#), "{reports:#?}");
    assert!(reports[3].contains(r#"field "s": "a b""#), "{reports:#?}");
    let errors: Vec<_> = said.iter().filter_map(|line| line.strip_prefix("error ")).collect();
    let expected = [
        "json", "json", "shape", "number", "number", "number", "shape", "shape", "shape", "shape",
        "symbol",
    ];
    assert_eq!(errors, expected);
    assert_eq!(said.last().unwrap(), "BTC-USDT quote 1x1 2x2");
}

#[test]
fn answers_and_unknown_messages_are_told_apart_from_data() {
    check(
        r#"recv {"result":null,"id":1}
        recv {"code":2,"msg":"Invalid request: unknown stream"}
        recv {"error":{"code":3,"msg":"Invalid JSON"},"id":7}
        recv {"stream":"btcusdt@depth5","data":{"lastUpdateId":1,"bids":[],"asks":[]}}
        recv {"e":"kline","E":1,"s":"BTCUSDT","k":{}}
        recv {"e":"somethingNew","s":"XYZ"}
        recv [{"e":"24hrMiniTicker"}]
        recv {"e":"serverShutdown","E":1}
        recv {"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1}}
        recv 1 {"stream":"!serverShutdown","data":{}}"#,
        "report binance: error 2: Invalid request: unknown stream
        report binance: error 3: Invalid JSON (request 7)
        replace 0
        replace 1",
    );
}

#[test]
fn fields_in_another_order_with_more_of_them_and_in_microseconds_are_the_same_message() {
    check(
        r#"recv {"data":{"M":true,"m":false,"T":1700000000000500,"q":"2.0","p":"1.25","t":7,"s":"BTCUSDT","E":1,"e":"trade","new":{"a":[1,2]}},"stream":"btcusdt@trade"}
        recv { "u": 5, "s": "BTC\u0055SDT", "b": "1", "B": "1", "a": "2", "A": "2" }"#,
        "BTC-USDT state live
        BTC-USDT trade 7 Buy 1.25x2 @1700000000000
        BTC-USDT quote 1.00x1 2.00x2",
    );
}

#[test]
fn symbols_are_split_at_their_quote_currency_and_other_names_stay_whole() {
    let quote = |symbol: &str| {
        format!(r#"recv {{"u":1,"s":"{symbol}","b":"1.0","B":"1.0","a":"2.0","A":"1.0"}}"#)
    };
    let script = ["BLZETH", "RUNEEUR", "BTCFDUSD", "FOOBAR", "币USDT"].map(quote).join("\n");
    let mut run = Script::new(BinanceConfig::default(), false);
    run.lines(&script);
    assert_eq!(run.sink.names, ["BLZ-ETH", "RUNE-EUR", "BTC-FDUSD", "FOOBAR", "币-USDT"]);
}
