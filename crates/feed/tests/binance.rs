//! The rules of Binance's feed, one small script each: what comes in, what comes out.
//!
//! A script's lines are `open [n] URL`, `recv [n] JSON`, `rest URL BODY`, `fail STATUS URL`,
//! `close [n]`, `silent [n]`, `now SECONDS`, `timer` and `crossed SYMBOL`; `n` is the connection's
//! generation, 0 when absent. `JSON` may be short for a message (see [`expand`]). Out come events,
//! commands, and counted gaps and errors, as text.

use std::collections::HashMap;
use tickcast_feed::{BinanceConfig, BinanceHandler, Command, ConnectionIndex, Handler, Io, Tally};
use tickcast_market::{
    BookChange, BookSide, Decimal, Event, EventBody, InstrumentIndex, InstrumentSpec, Nanos, Price,
    Scales, Sink, Size,
};

#[derive(Default)]
struct Written {
    names: Vec<String>,
    indices: HashMap<String, usize>,
    specs: Vec<InstrumentSpec>,
    lines: Vec<String>,
}

impl Sink for Written {
    fn instrument(&mut self, spec: &InstrumentSpec) -> InstrumentIndex {
        let next = self.names.len();
        let index = *self.indices.entry(spec.symbol.clone()).or_insert(next);
        if index == next {
            self.names.push(spec.symbol.clone());
            self.specs.push(spec.clone());
        }
        InstrumentIndex(index as u32)
    }

    fn event(&mut self, event: &Event<'_>) {
        let Scales { price: p, size: s, volume: v } = event.scales;
        let price = |price: Price| Decimal { mantissa: price.0, scale: p }.to_string();
        let size = |size: Size| Decimal { mantissa: size.0, scale: s }.to_string();
        let optional = |value: Option<Price>| value.map_or("-".into(), price);
        let levels = |levels: &[BookChange]| -> String {
            let level = |l: &BookChange| {
                let side = if l.side == BookSide::Bid { 'b' } else { 'a' };
                format!(" {side}{}x{}", price(l.price), size(l.size))
            };
            levels.iter().map(level).collect()
        };
        let text = match event.body {
            EventBody::Quote(quote) => {
                let side = |side: Option<(Price, Size)>| {
                    side.map_or("-".into(), |(p, s)| format!("{}x{}", price(p), size(s)))
                };
                format!("quote {} {}", side(quote.bid), side(quote.ask))
            }
            EventBody::Trades(trades) => {
                let trade = |t: &tickcast_market::Trade| {
                    format!("trade {} {:?} {}x{}", t.id, t.side, price(t.price), size(t.size))
                };
                trades.iter().map(trade).collect::<Vec<_>>().join(", ")
            }
            EventBody::BookSnapshot(l) => format!("snapshot{}", levels(l)),
            EventBody::BookUpdate(l) => format!("update{}", levels(l)),
            EventBody::Day(day) => {
                let volume = day.volume.map_or("-".into(), |volume| {
                    let mut text = Vec::new();
                    tickcast_market::write_decimal(&mut text, volume.0, v);
                    String::from_utf8(text).unwrap()
                });
                let [o, h, l, c] = [day.open, day.high, day.low, day.last].map(optional);
                format!("day o{o} h{h} l{l} c{c} v{volume}")
            }
            EventBody::Bars(interval, bars) => {
                let bar = |b: &tickcast_market::Bar| {
                    let [o, h, l, c] = [b.open, b.high, b.low, b.close].map(price);
                    format!(
                        " {}:{o}/{h}/{l}/{c}/{}{}",
                        b.start.0 / 1_000_000_000,
                        b.trades,
                        if b.closed { "" } else { "+" }
                    )
                };
                format!("bars {}{}", interval.name(), bars.iter().map(bar).collect::<String>())
            }
            EventBody::State(state) => format!("state {}", state.name()),
        };
        let time = match event.ts_event {
            Nanos::ZERO => String::new(),
            at => format!(" @{}", at.0 / 1_000_000),
        };
        self.lines.push(format!("{} {text}{time}", self.names[event.instrument.index()]));
    }
}

/// Short messages: `q id bid ask`, `t id price`, `g id price` (aggTrade), `d U u [bPxS|aPxS ..]`,
/// each of BTCUSDT; everything else is sent as it stands.
fn expand(text: &str) -> String {
    let eight = |number: &str| match number.split_once('.') {
        Some((whole, fraction)) => format!("{whole}.{fraction:0<8}"),
        None => format!("{number}.00000000"),
    };
    let words: Vec<&str> = text.split(' ').collect();
    let (stream, data) = match words[..] {
        ["q", id, bid, ask] => {
            let (bid, ask) = (eight(bid), eight(ask));
            let data = format!(
                r#"{{"u":{id},"s":"BTCUSDT","b":"{bid}","B":"1.00000000","a":"{ask}","A":"2.00000000"}}"#
            );
            ("bookTicker", data)
        }
        ["t", id, price] => {
            let price = eight(price);
            let data = format!(
                r#"{{"e":"trade","E":1700000000001,"s":"BTCUSDT","t":{id},"p":"{price}","q":"1.00000000","T":1700000000000,"m":true,"M":true}}"#
            );
            ("trade", data)
        }
        ["g", id, price] => {
            let price = eight(price);
            let data = format!(
                r#"{{"e":"aggTrade","E":1700000000001,"s":"BTCUSDT","a":{id},"p":"{price}","q":"1.00000000","f":1,"l":2,"T":1700000000000,"m":false,"M":true}}"#
            );
            ("aggTrade", data)
        }
        ["d", first, last, ref levels @ ..] => {
            let side = |mark: char| {
                let of_side = levels.iter().filter_map(|level| level.strip_prefix(mark));
                let pair = |level: &str| {
                    let (price, size) = level.split_once('x').unwrap();
                    format!(r#"["{}","{}"]"#, eight(price), eight(size))
                };
                of_side.map(pair).collect::<Vec<_>>().join(",")
            };
            let (bids, asks) = (side('b'), side('a'));
            let data = format!(
                r#"{{"e":"depthUpdate","E":1700000000002,"s":"BTCUSDT","U":{first},"u":{last},"b":[{bids}],"a":[{asks}]}}"#
            );
            ("depth@100ms", data)
        }
        _ => return text.to_string(),
    };
    format!(r#"{{"stream":"btcusdt@{stream}","data":{data}}}"#)
}

struct Script {
    handler: BinanceHandler,
    sink: Written,
    now: Nanos,
}

impl Script {
    fn new(config: BinanceConfig, general_only: bool) -> Script {
        let handler = BinanceHandler::new(config);
        let handler = if general_only { handler.general_only() } else { handler };
        Script { handler, sink: Written::default(), now: Nanos::from_secs(1_700_000_000) }
    }

    /// Calls the handler and takes everything that it says.
    fn call(&mut self, call: impl FnOnce(&mut BinanceHandler, &mut Io<'_>)) -> Vec<String> {
        let (mut commands, mut tally) = (Vec::new(), Tally::default());
        let mut io =
            Io { sink: &mut self.sink, commands: &mut commands, tally: &mut tally, now: self.now };
        call(&mut self.handler, &mut io);
        let mut lines = std::mem::take(&mut self.sink.lines);
        lines.extend(commands.into_iter().map(|command| match command {
            Command::Connect { line, url } => format!("connect {line} {url}"),
            Command::Send { text, .. } => format!("send {text}"),
            Command::Get { url, after } => format!("get +{}ms {url}", after.0 / 1_000_000),
            Command::Reconnect { reason, .. } => format!("reconnect {reason}"),
            Command::Replace { connection } => format!("replace {}", connection.generation),
            Command::Report { text } => format!("report {text}"),
        }));
        lines.extend((0..tally.gaps).map(|_| "gap".to_string()));
        lines.extend(tally.decode_errors.iter().map(|(reason, _)| format!("error {reason}")));
        lines
    }

    fn line(&mut self, line: &str) -> Vec<String> {
        let (word, mut rest) = line.split_once(' ').unwrap_or((line, ""));
        let mut generation = 0;
        if let Some((number, after)) = rest.split_once(' ').or(Some((rest, "")))
            && let (Ok(number), "open" | "recv" | "close" | "silent") = (number.parse(), word)
        {
            (generation, rest) = (number, after);
        }
        let connection = ConnectionIndex { line: 0, generation };
        match word {
            "open" => self.call(|handler, io| handler.opened(connection, rest, io)),
            "recv" => {
                let mut bytes = expand(rest).into_bytes();
                self.call(|handler, io| handler.message(connection, &mut bytes, io))
            }
            "rest" => {
                let (url, body) = rest.split_once(' ').unwrap();
                let mut body = body.as_bytes().to_vec();
                self.call(|handler, io| handler.rest(url, &mut body, io))
            }
            "fail" => {
                let (status, url) = rest.split_once(' ').unwrap();
                let status = status.parse().unwrap();
                self.call(|handler, io| handler.rest_failed(url, status, io))
            }
            "close" => self.call(|handler, io| handler.closed(connection, io)),
            "silent" => self.call(|handler, io| handler.silent(connection, io)),
            "timer" => self.call(|handler, io| handler.timer(io)),
            "crossed" => {
                let index = InstrumentIndex(self.sink.indices[rest] as u32);
                self.call(|handler, io| handler.resync(index, io))
            }
            "now" => {
                let span = Nanos::from_secs(rest.parse().unwrap());
                self.now = Nanos::from_secs(1_700_000_000).plus(span);
                Vec::new()
            }
            other => panic!("no such line: {other}"),
        }
    }

    fn lines(&mut self, script: &str) -> Vec<String> {
        let lines = script.lines().map(str::trim).filter(|line| !line.is_empty());
        lines.flat_map(|line| self.line(line)).collect()
    }
}

/// Plays a script as a replay does, with and without the fast reader.
#[track_caller]
fn check(script: &str, expect: &str) {
    let expect: Vec<&str> = expect.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    for general_only in [false, true] {
        let mut run = Script::new(BinanceConfig::default(), general_only);
        assert_eq!(run.lines(script), expect, "general_only: {general_only}");
    }
}

const OPEN: &str = "open wss://h/stream?streams=btcusdt@depth@100ms/btcusdt@bookTicker";

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

const LIST: &str = r#"{"symbols":[{"symbol":"BTCUSDT","status":"TRADING","baseAsset":"BTC","quoteAsset":"USDT","filters":[{"filterType":"PRICE_FILTER","tickSize":"0.01000000"},{"filterType":"LOT_SIZE","stepSize":"0.00001000"}]},{"symbol":"ETHUSDT","status":"BREAK","baseAsset":"ETH","quoteAsset":"USDT","filters":[]}]}"#;

#[test]
fn a_book_joins_its_snapshot_and_goes_live() {
    check(
        &format!(
            r#"{OPEN}
            recv d 10 12 b1x1
            recv d 13 15 a3x1 b2x5
            recv d 16 17 b2x0
            rest https://h/api/v3/depth?symbol=BTCUSDT {{"lastUpdateId":13,"bids":[["1.00000000","9.00000000"]],"asks":[]}}
            recv d 18 18 b0.5x1.5"#
        ),
        "BTC-USDT snapshot b1x9
        BTC-USDT update b2x5 a3x1 @1700000000002
        BTC-USDT update b2x0 @1700000000002
        BTC-USDT state live
        BTC-USDT update b0.5x1.5 @1700000000002",
    );
}

#[test]
fn an_event_that_ends_exactly_at_the_snapshot_is_the_last_that_is_dropped() {
    check(
        &format!(
            r#"{OPEN}
            recv d 10 12 b1x1
            recv d 13 15 b2x2
            recv d 16 17 b3x3
            rest https://h/depth?symbol=BTCUSDT {{"lastUpdateId":15,"bids":[],"asks":[]}}"#
        ),
        "BTC-USDT snapshot
        BTC-USDT update b3x3 @1700000000002
        BTC-USDT state live",
    );
}

#[test]
fn a_snapshot_from_before_the_first_event_does_not_join() {
    check(
        &format!(
            r#"{OPEN}
            recv d 10 12 b1x1
            rest https://h/depth?symbol=BTCUSDT {{"lastUpdateId":8,"bids":[["9.0","9.0"]],"asks":[]}}
            recv d 13 13 b2x2
            rest https://h/depth?symbol=BTCUSDT {{"lastUpdateId":12,"bids":[],"asks":[]}}"#
        ),
        "BTC-USDT snapshot
        BTC-USDT update b2x2 @1700000000002
        BTC-USDT state live",
    );
}

#[test]
fn old_and_repeated_events_change_nothing_and_a_gap_voids_the_book() {
    check(
        &format!(
            r#"{OPEN}
            rest https://h/depth?symbol=BTCUSDT {{"lastUpdateId":20,"bids":[],"asks":[]}}
            recv d 18 20 b1x1
            recv d 19 22 b2x2
            recv d 19 22 b2x2
            recv d 21 21 b7x7
            recv d 23 23
            recv d 25 26 b3x3
            recv d 27 27 b4x4
            recv q 30 1 2
            rest https://h/depth?symbol=BTCUSDT {{"lastUpdateId":26,"bids":[["5.0","5.0"]],"asks":[]}}"#
        ),
        "BTC-USDT snapshot
        BTC-USDT state live
        BTC-USDT update b2x2 @1700000000002
        BTC-USDT state resync
        gap
        BTC-USDT quote 1x1 2x2
        BTC-USDT snapshot b5x5
        BTC-USDT update b4x4 @1700000000002
        BTC-USDT state live",
    );
}

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
fn events_that_waited_are_brought_to_the_snapshots_finer_scale() {
    check(
        &format!(
            r#"{OPEN}
            recv d 10 12 b1x1
            rest https://h/depth?symbol=BTCUSDT {{"lastUpdateId":10,"bids":[["0.125","0.5"]],"asks":[]}}"#
        ),
        "BTC-USDT snapshot b0.125x0.5
        BTC-USDT update b1.000x1.0 @1700000000002
        BTC-USDT state live",
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
fn a_number_that_does_not_fit_voids_the_event_and_then_the_book() {
    check(
        &format!(
            r#"{OPEN}
            rest https://h/depth?symbol=BTCUSDT {{"lastUpdateId":20,"bids":[["1.5","1"]],"asks":[]}}
            recv d 21 21 b1000000000000000000x1
            recv d 22 22 b2x1"#
        ),
        r#"BTC-USDT snapshot b1.5x1
        BTC-USDT state live
        report binance: field "b": "1000000000000000000.00000000": number does not fit: more than 18 digits, in {"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1700000000002,"s":"BTCUSDT","U":21,"u":21,"b":[["1000000000000000000.00000000","1.00000000"]],"a":[]}} (counted from now on: number)
        error number
        BTC-USDT state resync
        gap"#,
    );
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

#[test]
fn a_closed_line_is_stale_unless_a_newer_one_serves_it() {
    check(
        &format!(
            r#"{OPEN}
            rest https://h/depth?symbol=BTCUSDT {{"lastUpdateId":20,"bids":[],"asks":[]}}
            open 1 wss://h/stream?streams=btcusdt@depth@100ms
            recv d 21 22 b1x1
            recv 1 d 21 22 b1x1
            close 0
            recv 1 d 23 24 b2x2
            silent 1
            close 1
            open 2 wss://h/stream?streams=btcusdt@depth@100ms
            recv 2 d 31 32 b3x3
            rest https://h/depth?symbol=BTCUSDT {{"lastUpdateId":32,"bids":[["3.0","3.0"]],"asks":[]}}"#
        ),
        "BTC-USDT snapshot
        BTC-USDT state live
        BTC-USDT update b1x1 @1700000000002
        BTC-USDT update b2x2 @1700000000002
        BTC-USDT state stale
        BTC-USDT state resync
        BTC-USDT snapshot b3x3
        BTC-USDT state live",
    );
}

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

#[test]
fn damaged_messages_say_the_same_to_both_readers_and_never_panic() {
    let whole = [
        "q 10 1.5 2.25",
        "t 100 7.125",
        "g 5 8.5",
        "d 10 12 b1x1 b2.5x3 a4x0",
        r#"{"stream":"btcusdt@ticker","data":{"e":"24hrTicker","E":1700000000003,"s":"BTCUSDT","o":"1.0","h":"2.5","l":"0.5","c":"2","v":"1.2500"}}"#,
    ]
    .map(|text| expand(text).into_bytes());
    let mut random = fastrand::Rng::with_seed(20_260_801);
    for round in 0..20_000 {
        let mut bytes = whole[random.usize(0..whole.len())].clone();
        match random.u8(0..4) {
            0 => bytes.truncate(random.usize(0..=bytes.len())),
            1 => {
                let at = random.usize(0..bytes.len());
                bytes.remove(at);
            }
            _ => {
                let choice = b"0123456789.-+eE\"\\,:[]{} \x00\xff\xc3tfnbaBAsu";
                let at = random.usize(0..bytes.len());
                bytes[at] = choice[random.usize(0..choice.len())];
            }
        }
        let said = [false, true].map(|general_only| {
            let mut run = Script::new(BinanceConfig::default(), general_only);
            run.lines("recv q 1 1.00000001 1\nrecv t 1 1\nrecv g 1 1");
            let connection = ConnectionIndex { line: 0, generation: 0 };
            let mut bytes = bytes.clone();
            let mut said = run.call(|handler, io| handler.message(connection, &mut bytes, io));
            said.extend(run.call(|handler, io| {
                let url = "https://h/depth?symbol=BTCUSDT";
                let mut body = br#"{"lastUpdateId":10,"bids":[],"asks":[]}"#.to_vec();
                handler.rest(url, &mut body, io);
            }));
            said
        });
        assert_eq!(said[0], said[1], "round {round}: {}", String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn damaged_rest_bodies_never_panic() {
    let bodies = [
        LIST,
        r#"{"lastUpdateId":10,"bids":[["1.0","2.0"]],"asks":[["3.0","4.0"]]}"#,
        r#"[[1700000040000,"1.0","2.5","0.5","2.0","7.0",1700000099999,"9.0",3,"1","1","0"]]"#,
    ];
    let urls = [
        "https://h/exchangeInfo",
        "https://h/depth?symbol=BTCUSDT",
        "https://h/klines?symbol=BTCUSDT&interval=1m",
    ];
    let mut random = fastrand::Rng::with_seed(7);
    let mut run = Script::new(BinanceConfig::default(), false);
    let mut joined = 0;
    for _ in 0..3_000 {
        let mut body = bodies[random.usize(0..3)].as_bytes().to_vec();
        if random.bool() {
            body.truncate(random.usize(0..=body.len()));
        } else if !body.is_empty() {
            let at = random.usize(0..body.len());
            body[at] = random.u8(..);
        }
        let url = urls[random.usize(0..3)];
        let said = run.call(|handler, io| handler.rest(url, &mut body, io));
        joined += said.iter().filter(|line| line.contains("snapshot")).count();
        run.lines("close 0");
    }
    assert!(joined > 0, "some bodies are still whole");
}
