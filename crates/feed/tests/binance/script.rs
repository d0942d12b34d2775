//! Plays a script to the handler and writes down what it says.
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
pub(crate) struct Written {
    pub(crate) names: Vec<String>,
    indices: HashMap<String, usize>,
    pub(crate) specs: Vec<InstrumentSpec>,
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
pub(crate) fn expand(text: &str) -> String {
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

pub(crate) struct Script {
    pub(crate) handler: BinanceHandler,
    pub(crate) sink: Written,
    now: Nanos,
}

impl Script {
    pub(crate) fn new(config: BinanceConfig, general_only: bool) -> Script {
        let handler = BinanceHandler::new(config);
        let handler = if general_only { handler.general_only() } else { handler };
        Script { handler, sink: Written::default(), now: Nanos::from_secs(1_700_000_000) }
    }

    /// Calls the handler and takes everything that it says.
    pub(crate) fn call(
        &mut self,
        call: impl FnOnce(&mut BinanceHandler, &mut Io<'_>),
    ) -> Vec<String> {
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

    pub(crate) fn lines(&mut self, script: &str) -> Vec<String> {
        let lines = script.lines().map(str::trim).filter(|line| !line.is_empty());
        lines.flat_map(|line| self.line(line)).collect()
    }
}

/// Plays a script as a replay does, with and without the fast reader.
#[track_caller]
pub(crate) fn check(script: &str, expect: &str) {
    let expect: Vec<&str> = expect.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    for general_only in [false, true] {
        let mut run = Script::new(BinanceConfig::default(), general_only);
        assert_eq!(run.lines(script), expect, "general_only: {general_only}");
    }
}

pub(crate) const OPEN: &str = "open wss://h/stream?streams=btcusdt@depth@100ms/btcusdt@bookTicker";
