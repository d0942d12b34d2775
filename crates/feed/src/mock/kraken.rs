//! Kraken, WebSocket version 2: subscriptions per symbol, books at the depth that is asked for,
//! with checksums made from the mock's own books.

use super::ladder::{Change, Ladder, Rung, Side, increment};
use super::persona::{Out, Persona, Role, SessionId};
use super::script::Script;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The checksum is over so many levels of each side.
const CHECKSUM_LEVELS: usize = 10;
/// The depth of a recording that does not say.
const DEPTH_DEFAULT: usize = 25;
const DEPTHS: [usize; 5] = [10, 25, 100, 500, 1000];

#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(default)]
    channel: &'a str,
    #[serde(default, rename = "type")]
    kind: &'a str,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct BookPart<'a> {
    symbol: &'a str,
    #[serde(borrow)]
    bids: Vec<Level<'a>>,
    #[serde(borrow)]
    asks: Vec<Level<'a>>,
    #[serde(default)]
    timestamp: &'a str,
}

#[derive(Deserialize)]
struct Level<'a> {
    // Raw, so that the digits stay as they are.
    #[serde(borrow)]
    price: &'a RawValue,
    #[serde(borrow)]
    qty: &'a RawValue,
}

#[derive(Debug)]
struct Symbol {
    name: String,
    /// Cut to the recording's depth, as every client's book at that depth is.
    ladder: Ladder,
    timestamp: String,
    price_increment: String,
    size_increment: String,
}

#[derive(Debug, Default)]
struct Session {
    /// Depth by symbol.
    books: BTreeMap<usize, usize>,
    tickers: Vec<usize>,
}

pub(super) struct Kraken {
    script: Script,
    depth: usize,
    symbols: Vec<Symbol>,
    sessions: BTreeMap<SessionId, Session>,
}

fn changes(part: &BookPart<'_>) -> Vec<Change> {
    let rung = |level: &Level<'_>| Rung {
        price: level.price.get().to_owned(),
        size: level.qty.get().to_owned(),
    };
    let bids = part.bids.iter().map(|level| (Side::Bid, rung(level)));
    bids.chain(part.asks.iter().map(|level| (Side::Ask, rung(level)))).collect()
}

fn book_parts<'a>(frame: &Frame<'a>) -> Vec<BookPart<'a>> {
    let data = frame.data.filter(|_| frame.channel == "book");
    data.and_then(|data| serde_json::from_str(data.get()).ok()).unwrap_or_default()
}

/// The depth that the recorder subscribed to, from the recorded answers.
fn recorded_depth(script: &Script) -> Option<usize> {
    script.steps.iter().filter(|step| step.text.contains(r#""depth""#)).find_map(|step| {
        let answer: Value = serde_json::from_str(&step.text).ok()?;
        usize::try_from(answer["result"]["depth"].as_u64()?).ok()
    })
}

/// The CRC-32 of PROTOCOLS.md, section 3, over the digits as the venue writes them.
fn checksum(ladder: &Ladder) -> u32 {
    let mut text = String::new();
    for side in [Side::Ask, Side::Bid] {
        for rung in ladder.side(side).take(CHECKSUM_LEVELS) {
            for number in [&rung.price, &rung.size] {
                let digits: String = number.chars().filter(char::is_ascii_digit).collect();
                text.push_str(digits.trim_start_matches('0'));
            }
        }
    }
    crc32fast::hash(text.as_bytes())
}

fn book_text(kind: &str, symbol: &Symbol, changes: &[Change], sum: u32) -> String {
    let Symbol { name, timestamp, .. } = symbol;
    let mut text = format!(r#"{{"channel":"book","type":"{kind}","data":[{{"symbol":"{name}""#);
    for (field, side) in [("bids", Side::Bid), ("asks", Side::Ask)] {
        let _ = write!(text, r#","{field}":["#);
        for (at, (_, rung)) in changes.iter().filter(|(of, _)| *of == side).enumerate() {
            let comma = if at == 0 { "" } else { "," };
            let Rung { price, size } = rung;
            let _ = write!(text, r#"{comma}{{"price":{price},"qty":{size}}}"#);
        }
        text.push(']');
    }
    let _ = write!(text, r#","checksum":{sum},"timestamp":"{timestamp}"}}]}}"#);
    text
}

impl Kraken {
    pub(super) fn new(script: Script) -> Kraken {
        let depth = recorded_depth(&script).unwrap_or(DEPTH_DEFAULT);
        let mut kraken = Kraken { script, depth, symbols: Vec::new(), sessions: BTreeMap::new() };
        let steps = std::mem::take(&mut kraken.script.steps);
        for step in &steps {
            let Ok(frame) = serde_json::from_str::<Frame<'_>>(&step.text) else { continue };
            if frame.kind == "snapshot" {
                book_parts(&frame).iter().for_each(|part| kraken.learn(part));
            }
        }
        kraken.script.steps = steps;
        kraken
    }

    /// The first snapshot of a symbol is there from the start: a client may come before it.
    fn learn(&mut self, part: &BookPart<'_>) {
        if self.symbols.iter().any(|symbol| symbol.name == part.symbol) {
            return;
        }
        let changes = changes(part);
        let mut ladder = Ladder::default();
        ladder.apply(&changes);
        self.symbols.push(Symbol {
            name: part.symbol.to_owned(),
            ladder,
            timestamp: part.timestamp.to_owned(),
            price_increment: increment(changes.iter().map(|(_, rung)| rung.price.as_str())),
            size_increment: increment(changes.iter().map(|(_, rung)| rung.size.as_str())),
        });
    }

    fn place_of(&self, name: &str) -> Option<usize> {
        self.symbols.iter().position(|symbol| symbol.name == name)
    }

    fn take_book(&mut self, is_snapshot: bool, part: &BookPart<'_>, out: &mut Out) {
        let Some(at) = self.place_of(part.symbol) else { return };
        let depth = self.depth;
        let before = self.symbols[at].ladder.clone();
        let changes = changes(part);
        let mut after = if is_snapshot { Ladder::default() } else { before.clone() };
        after.apply(&changes);
        let symbol = &mut self.symbols[at];
        symbol.ladder = after.top(depth);
        symbol.timestamp = part.timestamp.to_owned();
        let symbol = &self.symbols[at];
        let sum = checksum(&symbol.ladder);
        let is_quote_new = [Side::Bid, Side::Ask]
            .iter()
            .any(|side| before.best(*side) != symbol.ladder.best(*side));
        for (session, of) in &self.sessions {
            if is_quote_new && of.tickers.contains(&at) {
                out.data(*session, ticker_text("update", symbol), at, Role::Fixed);
            }
            let Some(wanted) = of.books.get(&at) else { continue };
            let text = if *wanted == depth && !is_snapshot {
                book_text("update", symbol, &changes, sum)
            } else {
                let wanted = (*wanted).min(depth);
                let changes = before.top(wanted).changes_to(&symbol.ladder.top(wanted));
                if changes.is_empty() {
                    continue;
                }
                book_text("update", symbol, &changes, sum)
            };
            out.data(*session, text, at, Role::Noticed);
        }
    }

    fn snapshot(&self, at: usize, depth: usize) -> String {
        let symbol = &self.symbols[at];
        let levels = symbol.ladder.top(depth).levels();
        book_text("snapshot", symbol, &levels, checksum(&symbol.ladder))
    }

    fn instruments(&self) -> String {
        let pair = |symbol: &Symbol| {
            let (base, quote) = symbol.name.split_once('/').unwrap_or((&symbol.name, ""));
            let digits = |increment: &str| increment.split_once('.').map_or(0, |(_, f)| f.len());
            format!(
                r#"{{"symbol":"{}","base":"{base}","quote":"{quote}","status":"online","price_precision":{},"qty_precision":{},"price_increment":{},"qty_increment":{}}}"#,
                symbol.name,
                digits(&symbol.price_increment),
                digits(&symbol.size_increment),
                symbol.price_increment,
                symbol.size_increment,
            )
        };
        let pairs: Vec<String> = self.symbols.iter().map(pair).collect();
        format!(
            r#"{{"channel":"instrument","type":"snapshot","data":{{"assets":[],"pairs":[{}]}}}}"#,
            pairs.join(",")
        )
    }

    fn subscribe(&mut self, session: SessionId, params: &Value, id: &Value, out: &mut Out) {
        let channel = params["channel"].as_str().unwrap_or_default();
        if channel == "instrument" {
            let result = json!({ "channel": channel, "snapshot": true });
            out.fixed(session, answer("subscribe", &result, id));
            out.fixed(session, self.instruments());
            return;
        }
        let depth = params["depth"].as_u64().and_then(|d| usize::try_from(d).ok()).unwrap_or(10);
        for name in names(params) {
            let Some(at) = self.place_of(&name).filter(|_| DEPTHS.contains(&depth)) else {
                let error = format!("Currency pair not supported {name}");
                out.fixed(session, refused("subscribe", &error, id));
                continue;
            };
            let mut result = json!({ "channel": channel, "symbol": name, "snapshot": true });
            if channel == "book" {
                result["depth"] = json!(depth);
            }
            out.fixed(session, answer("subscribe", &result, id));
            let snapshot = match channel {
                "book" => Some(self.snapshot(at, depth)),
                "ticker" => Some(ticker_text("snapshot", &self.symbols[at])),
                _ => None,
            };
            snapshot.into_iter().for_each(|text| out.fixed(session, text));
            let of = self.sessions.entry(session).or_default();
            match channel {
                "book" => drop(of.books.insert(at, depth)),
                "ticker" if !of.tickers.contains(&at) => of.tickers.push(at),
                _ => {}
            }
        }
    }

    fn unsubscribe(&mut self, session: SessionId, params: &Value, id: &Value, out: &mut Out) {
        let channel = params["channel"].as_str().unwrap_or_default();
        for name in names(params) {
            let at = self.place_of(&name).unwrap_or(usize::MAX);
            let of = self.sessions.entry(session).or_default();
            let mut result = json!({ "channel": channel, "symbol": name });
            match channel {
                "book" => result["depth"] = json!(of.books.remove(&at)),
                "ticker" => of.tickers.retain(|kept| *kept != at),
                _ => {}
            }
            out.fixed(session, answer("unsubscribe", &result, id));
        }
    }

    fn clients(&self) -> Vec<SessionId> {
        let any = |of: &Session| !of.books.is_empty() || !of.tickers.is_empty();
        self.sessions.iter().filter(|(_, of)| any(of)).map(|(id, _)| *id).collect()
    }
}

fn names(params: &Value) -> Vec<String> {
    let list = params["symbol"].as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect()
}

fn answer(method: &str, result: &Value, id: &Value) -> String {
    json!({
        "method": method, "result": result, "success": true, "req_id": id,
        "time_in": "2026-01-01T00:00:00.000000Z", "time_out": "2026-01-01T00:00:00.000001Z",
    })
    .to_string()
}

fn refused(method: &str, error: &str, id: &Value) -> String {
    json!({
        "method": method, "error": error, "success": false, "req_id": id,
        "time_in": "2026-01-01T00:00:00.000000Z", "time_out": "2026-01-01T00:00:00.000001Z",
    })
    .to_string()
}

fn ticker_text(kind: &str, symbol: &Symbol) -> String {
    let side = |side| {
        symbol
            .ladder
            .best(side)
            .map_or(("0", "0"), |rung| (rung.price.as_str(), rung.size.as_str()))
    };
    let ((bid, bid_qty), (ask, ask_qty)) = (side(Side::Bid), side(Side::Ask));
    let Symbol { name, timestamp, .. } = symbol;
    format!(
        r#"{{"channel":"ticker","type":"{kind}","data":[{{"symbol":"{name}","bid":{bid},"bid_qty":{bid_qty},"ask":{ask},"ask_qty":{ask_qty},"last":{bid},"volume":1.00000000,"vwap":{bid},"low":{bid},"high":{ask},"change":0.0,"change_pct":0.00,"timestamp":"{timestamp}"}}]}}"#
    )
}

impl Persona for Kraken {
    fn script(&self) -> &Script {
        &self.script
    }

    fn opened(&mut self, session: SessionId, _target: &str, out: &mut Out) {
        self.sessions.insert(session, Session::default());
        let id = 0x8000_0000_0000_0000 + session.0;
        out.fixed(
            session,
            format!(
                r#"{{"channel":"status","type":"update","data":[{{"version":"2.0.10","system":"online","api_version":"v2","connection_id":{id}}}]}}"#
            ),
        );
    }

    fn received(&mut self, session: SessionId, text: &str, out: &mut Out) {
        let Ok(request) = serde_json::from_str::<Value>(text) else {
            out.fixed(session, refused("", "Malformed request", &Value::Null));
            return;
        };
        let (params, id) = (&request["params"], &request["req_id"]);
        match request["method"].as_str() {
            Some("subscribe") => self.subscribe(session, params, id, out),
            Some("unsubscribe") => self.unsubscribe(session, params, id, out),
            Some("ping") => out.fixed(session, json!({"method":"pong","req_id":id}).to_string()),
            _ => out.fixed(session, refused("", "Unsupported method", id)),
        }
    }

    fn closed(&mut self, session: SessionId) {
        self.sessions.remove(&session);
    }

    fn play(&mut self, step: usize, out: &mut Out) {
        let text = std::mem::take(&mut self.script.steps[step].text);
        let Ok(frame) = serde_json::from_str::<Frame<'_>>(&text) else { return };
        match frame.channel {
            "book" => {
                let is_snapshot = frame.kind == "snapshot";
                for part in book_parts(&frame) {
                    self.take_book(is_snapshot, &part, out);
                }
            }
            "heartbeat" => self.idle(out),
            _ => {}
        }
    }

    fn idle(&mut self, out: &mut Out) {
        for session in self.clients() {
            out.fixed(session, r#"{"channel":"heartbeat"}"#.into());
        }
    }

    fn touch(&mut self, out: &mut Out) {
        for (session, of) in &self.sessions {
            for at in of.books.keys() {
                let symbol = &self.symbols[*at];
                let Some(best) = symbol.ladder.best(Side::Bid).cloned() else { continue };
                let sum = checksum(&symbol.ladder);
                let text = book_text("update", symbol, &[(Side::Bid, best)], sum);
                out.data(*session, text, *at, Role::Noticed);
            }
        }
    }

    fn get(&mut self, _target: &str) -> Option<String> {
        None
    }

    fn is_served(&self, session: SessionId, all: bool) -> bool {
        let Some(of) = self.sessions.get(&session) else { return false };
        if all { of.books.len() == self.symbols.len() } else { !of.books.is_empty() }
    }

    fn ladder(&self, symbol: &str) -> Option<&Ladder> {
        self.symbols.iter().find(|of| of.name == symbol).map(|of| &of.ladder)
    }

    fn refusal(&self, text: &str) -> Option<String> {
        let request: Value = serde_json::from_str(text).ok()?;
        let error = "EService: temporarily unavailable";
        (request["method"] == "subscribe").then(|| refused("subscribe", error, &request["req_id"]))
    }

    fn crossing(&mut self, session: SessionId, symbol: usize) -> Option<String> {
        self.sessions.get(&session)?.books.get(&symbol)?;
        let of = self.symbols.get(symbol)?;
        let change = of.ladder.crossing_bid()?;
        let mut crossed = of.ladder.clone();
        crossed.apply(std::slice::from_ref(&change));
        Some(book_text("update", of, &[change], checksum(&crossed.top(self.depth))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_venues_example() {
        let mut ladder = Ladder::default();
        for (price, size) in [
            ("45285.2", "0.00100000"),
            ("45286.4", "1.54571953"),
            ("45286.6", "1.54571109"),
            ("45289.6", "1.54560911"),
            ("45290.2", "0.15890660"),
            ("45291.8", "1.54553491"),
            ("45294.7", "0.04454749"),
            ("45296.1", "0.35380000"),
            ("45297.5", "0.09945542"),
            ("45299.5", "0.18772827"),
            ("45300.0", "9.00000000"),
        ] {
            ladder.set(Side::Ask, price, size);
        }
        for (price, size) in [
            ("45283.5", "0.10000000"),
            ("45283.4", "1.54582015"),
            ("45282.1", "0.10000000"),
            ("45281.0", "0.10000000"),
            ("45280.3", "1.54592586"),
            ("45279.0", "0.07990000"),
            ("45277.6", "0.03310103"),
            ("45277.5", "0.30000000"),
            ("45277.3", "1.54602737"),
            ("45276.6", "0.15445238"),
            ("1.0", "9.00000000"),
        ] {
            ladder.set(Side::Bid, price, size);
        }
        assert_eq!(checksum(&ladder), 3_310_070_434);
    }
}
