//! A live line: the list of symbols, snapshots, bars from before the start, and what is told.

use crate::script::Script;
use tickcast_feed::{BinanceConfig, Handler};
use tickcast_market::{Decimal, Scales};

/// A live handler of the given symbols, started and served its list.
fn live(symbols: &[&str]) -> (Script, Vec<String>) {
    let config = BinanceConfig {
        ws_url: "wss://w".into(),
        rest_url: "https://r".into(),
        symbols: symbols.iter().map(|symbol| symbol.to_string()).collect(),
    };
    let mut script = Script::new(config, false);
    let mut said = script.call(|handler, io| handler.start(io));
    said.extend(script.lines(&format!("rest https://r/api/v3/exchangeInfo?symbols=x {LIST}")));
    (script, said)
}

pub(crate) const LIST: &str = r#"{"symbols":[{"symbol":"BTCUSDT","status":"TRADING","baseAsset":"BTC","quoteAsset":"USDT","filters":[{"filterType":"PRICE_FILTER","tickSize":"0.01000000"},{"filterType":"LOT_SIZE","stepSize":"0.00001000"}]},{"symbol":"ETHUSDT","status":"BREAK","baseAsset":"ETH","quoteAsset":"USDT","filters":[]}]}"#;

#[test]
fn a_live_line_starts_with_the_list_and_then_connects() {
    let (script, said) = live(&["BTC-USDT", "eth-usdt", "NO-SUCH"]);
    let expected = [
        "get +0ms https://r/api/v3/exchangeInfo?symbols=%5B%22BTCUSDT%22,%22ETHUSDT%22,\
         %22NOSUCH%22%5D&showPermissionSets=false",
        "report binance: ETHUSDT is listed but does not trade at present",
        "report binance: symbol \"NOSUCH\" is not in the venue's list",
        "connect 0 wss://w/stream?streams=btcusdt@bookTicker/btcusdt@trade/btcusdt@depth@100ms/\
         btcusdt@ticker/ethusdt@bookTicker/ethusdt@trade/ethusdt@depth@100ms/ethusdt@ticker",
    ];
    assert_eq!(said, expected);
    assert!(script.handler.is_complete());
    let spec = &script.sink.specs[0];
    assert_eq!(spec.tick_size, Some(Decimal { mantissa: 1, scale: 2 }));
    assert_eq!(spec.lot_size, Some(Decimal { mantissa: 1, scale: 5 }));
    assert_eq!(spec.scales, Scales { price: 2, size: 5, volume: 5 });
}

#[test]
fn one_wrong_name_or_a_venue_that_is_down_does_not_keep_the_list_away() {
    let config = BinanceConfig { rest_url: "https://r".into(), ..BinanceConfig::default() };
    let mut script = Script::new(config, false);
    let said = script.call(|handler, io| handler.start(io));
    assert!(said[0].contains("LTCUSDT"), "without symbols a choice of busy ones: {said:?}");
    let by_name = said[0].strip_prefix("get +0ms ").unwrap().to_string();
    let whole = "https://r/api/v3/exchangeInfo?showPermissionSets=false";
    let expect = |wait| vec![format!("get +{wait}ms {whole}")];
    assert_eq!(script.lines(&format!("fail 400 {by_name}")), expect(0));
    assert_eq!(script.lines(&format!("fail 503 {whole}")), expect(10_000));
    assert_eq!(script.lines(&format!("fail 429 {whole}")), expect(60_000));
    assert!(!script.handler.is_complete());
}

#[test]
fn a_live_book_asks_for_its_snapshot_for_bars_when_joined_and_again_after_a_gap() {
    let (mut script, _) = live(&["BTC-USDT"]);
    let depth = "https://r/api/v3/depth?symbol=BTCUSDT&limit=5000";
    assert_eq!(script.lines("open wss://w"), [format!("get +0ms {depth}")]);
    let said = script.lines(&format!(
        r#"recv d 10 12 b1x1
        rest {depth} {{"lastUpdateId":5,"bids":[],"asks":[]}}"#
    ));
    assert_eq!(said, [format!("get +1000ms {depth}")], "too old: again, later");
    assert_eq!(script.lines(&format!("fail 500 {depth}")), [format!("get +2000ms {depth}")]);
    let said = script.lines(&format!(r#"rest {depth} {{"lastUpdateId":12,"bids":[],"asks":[]}}"#));
    let klines = |interval| {
        format!("get +0ms https://r/api/v3/klines?symbol=BTCUSDT&interval={interval}&limit=500")
    };
    let state = |state| format!("BTC-USDT state {state}");
    let mut expected = vec!["BTC-USDT snapshot".to_string(), state("live")];
    expected.extend(["1m", "5m", "1h", "1s"].map(klines));
    assert_eq!(said, expected);
    let said = script.lines("now 200\nrecv d 20 21 b1x1\nrecv d 22 22 b1x1");
    assert_eq!(said, [state("resync"), format!("get +0ms {depth}"), "gap".into()]);
    let snapshot = format!(r#"rest {depth} {{"lastUpdateId":22,"bids":[],"asks":[]}}"#);
    assert_eq!(script.lines(&snapshot), ["BTC-USDT snapshot".to_string(), state("live")]);
    let said = script.lines("crossed BTC-USDT\ncrossed BTC-USDT");
    assert_eq!(said, [state("resync"), format!("get +1000ms {depth}")]);
}

#[test]
fn a_symbol_that_was_not_asked_for_or_stays_silent_is_told() {
    let (mut script, _) = live(&["BTC-USDT", "ETH-USDT"]);
    script.lines("open wss://w");
    let said = script.lines(r#"recv {"u":1,"s":"XRPUSDT","b":"1","B":"1","a":"2","A":"2"}"#);
    assert!(said[0].contains(r#""XRPUSDT" was not asked for"#), "{said:?}");
    let said = script.lines("recv q 1 1 2\nnow 61\ntimer\ntimer");
    let silent = "report binance: ETHUSDT: subscribed to, but nothing has come for 60 s";
    assert_eq!(said, ["BTC-USDT quote 1.00x1.00000 2.00x2.00000", silent]);
}

#[test]
fn bars_from_before_the_start_leave_out_where_nothing_was_traded() {
    let (mut script, _) = live(&["BTC-USDT"]);
    let url = "https://r/api/v3/klines?symbol=BTCUSDT&interval=1m&limit=500";
    let said = script.lines(&format!(
        r#"rest {url} [[1700000040000,"1.0","2.5","0.5","2.0","7.0",1700000099999,"9.0",3,"1","1","0"],[1700000100000,"2.0","2.0","2.0","2.0","0.0",1700000159999,"0.0",0,"0","0","0"],[1700000160000,"2.0","3.0","2.0","3.0","1.0",1700000219999,"0.0",1,"0","0","0"]]
        rest {url} {{"code":-1121,"msg":"Invalid symbol."}}"#
    ));
    let bars =
        "BTC-USDT bars 1m 1700000040:1.00/2.50/0.50/2.00/3 1700000160:2.00/3.00/2.00/3.00/1+";
    assert_eq!(said[0], bars);
    assert!(said[1].starts_with("report binance: error -1121: Invalid symbol."), "{said:?}");
    let retry = [format!("get +15000ms {url}")];
    for _ in 0..8 {
        assert_eq!(script.lines(&format!("fail 500 {url}")), retry);
    }
    let given_up = "report binance: BTCUSDT: no 1m bars before the start";
    assert_eq!(script.lines(&format!("fail 500 {url}")), [given_up]);
}
