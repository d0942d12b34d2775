//! Binance spot: streams in the URL or by request, book snapshots over REST.

use super::ladder::{Change, Ladder, Rung, Side, increment};
use super::persona::{Out, Persona, Role, SessionId};
use super::script::Script;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use tickcast_market::split_venue_symbol;

/// The most levels of a side in a snapshot.
const SNAPSHOT_LEVELS_MAX: usize = 5000;

#[derive(Deserialize)]
struct Frame<'a> {
    stream: &'a str,
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(Deserialize)]
#[allow(non_snake_case, reason = "the venue's names")]
struct Depth<'a> {
    E: u64,
    #[serde(borrow)]
    s: &'a str,
    U: u64,
    u: u64,
    b: Vec<[&'a str; 2]>,
    a: Vec<[&'a str; 2]>,
}

#[derive(Deserialize)]
#[allow(non_snake_case, reason = "the venue's names")]
struct Snapshot<'a> {
    lastUpdateId: u64,
    #[serde(borrow)]
    bids: Vec<[&'a str; 2]>,
    asks: Vec<[&'a str; 2]>,
}

#[derive(Debug)]
struct Symbol {
    name: String,
    ladder: Ladder,
    /// The id of the last change in `ladder`: at first that of the first recorded snapshot.
    last_id: u64,
    /// Later recorded snapshots by id, for where the recording itself has a gap.
    later: BTreeMap<u64, Ladder>,
    event_time: u64,
    tick_size: String,
    lot_size: String,
}

#[derive(Debug)]
struct Session {
    is_combined: bool,
    streams: BTreeSet<String>,
}

pub(super) struct Binance {
    script: Script,
    symbols: Vec<Symbol>,
    sessions: BTreeMap<SessionId, Session>,
}

fn changes(side: Side, levels: &[[&str; 2]]) -> Vec<Change> {
    let rung = |[price, size]: &[&str; 2]| Rung { price: (*price).into(), size: (*size).into() };
    levels.iter().map(|level| (side, rung(level))).collect()
}

fn depth_stream(symbol: &str) -> String {
    format!("{}@depth@100ms", symbol.to_lowercase())
}

impl Symbol {
    fn take(&mut self, depth: &Depth<'_>) {
        if depth.U > self.last_id + 1
            && let Some((id, ladder)) = self.later.range(depth.U - 1..).next()
        {
            // The recorder lost something here and asked for a snapshot, as clients must now.
            (self.last_id, self.ladder) = (*id, ladder.clone());
        }
        if depth.u > self.last_id {
            self.ladder.apply(&changes(Side::Bid, &depth.b));
            self.ladder.apply(&changes(Side::Ask, &depth.a));
            self.last_id = depth.u;
            self.event_time = depth.E;
        }
    }
}

impl Binance {
    pub(super) fn new(script: Script) -> Binance {
        let mut symbols: Vec<Symbol> = Vec::new();
        for (url, body) in script.rest.iter().filter(|(url, _)| url.contains("/depth")) {
            let Some(name) = query(url, "symbol") else { continue };
            let Ok(snapshot) = serde_json::from_str::<Snapshot<'_>>(body) else { continue };
            let mut ladder = Ladder::default();
            ladder.apply(&changes(Side::Bid, &snapshot.bids));
            ladder.apply(&changes(Side::Ask, &snapshot.asks));
            if let Some(known) = symbols.iter_mut().find(|symbol| symbol.name == name) {
                known.later.insert(snapshot.lastUpdateId, ladder);
                continue;
            }
            let levels = || snapshot.bids.iter().chain(&snapshot.asks);
            symbols.push(Symbol {
                name: name.to_owned(),
                ladder,
                last_id: snapshot.lastUpdateId,
                later: BTreeMap::new(),
                event_time: 0,
                tick_size: increment(levels().map(|level| level[0])),
                lot_size: increment(levels().map(|level| level[1])),
            });
        }
        Binance { script, symbols, sessions: BTreeMap::new() }
    }

    fn say(&self, stream: &str, data: &str, symbol: usize, role: Role, out: &mut Out) {
        for (session, of) in self.sessions.iter().filter(|(_, s)| s.streams.contains(stream)) {
            let text = if of.is_combined {
                format!(r#"{{"stream":"{stream}","data":{data}}}"#)
            } else {
                data.to_owned()
            };
            out.data(*session, text, symbol, role);
        }
    }

    fn depth(&self, symbol: usize, id: u64, bid: &Rung) -> String {
        let Symbol { name, event_time, .. } = &self.symbols[symbol];
        let Rung { price, size } = bid;
        format!(
            r#"{{"e":"depthUpdate","E":{event_time},"s":"{name}","U":{id},"u":{id},"b":[["{price}","{size}"]],"a":[]}}"#
        )
    }

    fn snapshot(&self, symbol: &Symbol, limit: usize) -> String {
        let mut text = format!(r#"{{"lastUpdateId":{}"#, symbol.last_id);
        for (name, side) in [("bids", Side::Bid), ("asks", Side::Ask)] {
            let _ = write!(text, r#","{name}":["#);
            for (at, rung) in symbol.ladder.side(side).take(limit).enumerate() {
                let comma = if at == 0 { "" } else { "," };
                let _ = write!(text, r#"{comma}["{}","{}"]"#, rung.price, rung.size);
            }
            text.push(']');
        }
        text.push('}');
        text
    }

    fn exchange_info(&self) -> String {
        let symbols: Vec<_> = self
            .symbols
            .iter()
            .map(|symbol| {
                let (base, quote) = split_venue_symbol(&symbol.name).unwrap_or((&symbol.name, ""));
                json!({
                    "symbol": symbol.name, "status": "TRADING",
                    "baseAsset": base, "quoteAsset": quote, "isSpotTradingAllowed": true,
                    "filters": [
                        { "filterType": "PRICE_FILTER", "tickSize": symbol.tick_size },
                        { "filterType": "LOT_SIZE", "stepSize": symbol.lot_size },
                    ],
                })
            })
            .collect();
        json!({ "timezone": "UTC", "symbols": symbols }).to_string()
    }
}

/// One field of a URL's query.
fn query<'a>(url: &'a str, name: &str) -> Option<&'a str> {
    let (_, query) = url.split_once('?')?;
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

impl Persona for Binance {
    fn script(&self) -> &Script {
        &self.script
    }

    fn opened(&mut self, session: SessionId, target: &str, _out: &mut Out) {
        let list = match target.strip_prefix("/ws/") {
            Some(list) => list,
            None => query(target, "streams").unwrap_or_default(),
        };
        let streams = list.split('/').filter(|s| !s.is_empty()).map(str::to_owned).collect();
        let is_combined = target.starts_with("/stream");
        self.sessions.insert(session, Session { is_combined, streams });
    }

    fn received(&mut self, session: SessionId, text: &str, out: &mut Out) {
        #[derive(Deserialize)]
        struct Request {
            method: String,
            #[serde(default)]
            params: Vec<String>,
            id: serde_json::Value,
        }
        let Some(of) = self.sessions.get_mut(&session) else { return };
        let Ok(request) = serde_json::from_str::<Request>(text) else {
            out.fixed(session, r#"{"code":3,"msg":"Invalid JSON"}"#.into());
            return;
        };
        match request.method.as_str() {
            "SUBSCRIBE" => of.streams.extend(request.params),
            "UNSUBSCRIBE" => of.streams.retain(|stream| !request.params.contains(stream)),
            _ => {
                out.fixed(session, r#"{"code":2,"msg":"Invalid request: unknown method"}"#.into());
                return;
            }
        }
        out.fixed(session, json!({ "result": null, "id": request.id }).to_string());
    }

    fn closed(&mut self, session: SessionId) {
        self.sessions.remove(&session);
    }

    fn play(&mut self, step: usize, out: &mut Out) {
        let text = std::mem::take(&mut self.script.steps[step].text);
        let Ok(frame) = serde_json::from_str::<Frame<'_>>(&text) else { return };
        let mut place = usize::MAX;
        let mut role = Role::Fixed;
        if frame.stream.contains("@depth")
            && let Ok(depth) = serde_json::from_str::<Depth<'_>>(frame.data.get())
            && let Some(at) = self.symbols.iter().position(|symbol| symbol.name == depth.s)
        {
            self.symbols[at].take(&depth);
            (place, role) = (at, Role::Noticed);
        }
        self.say(frame.stream, frame.data.get(), place, role, out);
    }

    fn idle(&mut self, _out: &mut Out) {}

    fn touch(&mut self, out: &mut Out) {
        for at in 0..self.symbols.len() {
            let Some(best) = self.symbols[at].ladder.best(Side::Bid).cloned() else { continue };
            self.symbols[at].last_id += 1;
            let data = self.depth(at, self.symbols[at].last_id, &best);
            self.say(&depth_stream(&self.symbols[at].name), &data, at, Role::Noticed, out);
        }
    }

    fn get(&mut self, target: &str) -> Option<String> {
        let path = target.split('?').next()?;
        if path.ends_with("/exchangeInfo") {
            return Some(self.exchange_info());
        }
        if path.ends_with("/klines") {
            return Some("[]".into());
        }
        if !path.ends_with("/depth") {
            return None;
        }
        let name = query(target, "symbol")?;
        let limit = query(target, "limit").and_then(|limit| limit.parse().ok()).unwrap_or(100);
        let symbol = self.symbols.iter().find(|symbol| symbol.name == name)?;
        Some(self.snapshot(symbol, limit.min(SNAPSHOT_LEVELS_MAX)))
    }

    fn is_served(&self, session: SessionId, all: bool) -> bool {
        let Some(session) = self.sessions.get(&session) else { return false };
        let has = |symbol: &Symbol| session.streams.contains(&depth_stream(&symbol.name));
        if all { self.symbols.iter().all(has) } else { self.symbols.iter().any(has) }
    }

    fn ladder(&self, symbol: &str) -> Option<&Ladder> {
        self.symbols.iter().find(|of| of.name == symbol).map(|of| &of.ladder)
    }

    fn refusal(&self, _text: &str) -> Option<String> {
        Some(r#"{"code":2,"msg":"Invalid request: refused on request"}"#.into())
    }

    fn refuses_connections(&self) -> bool {
        true
    }

    fn crossing(&mut self, session: SessionId, symbol: usize) -> Option<String> {
        let is_combined = self.sessions.get(&session)?.is_combined;
        let of = self.symbols.get(symbol)?;
        let (_, bid) = of.ladder.crossing_bid()?;
        // The next recorded event begins with this id too, which is within the rules.
        let data = self.depth(symbol, of.last_id + 1, &bid);
        let stream = depth_stream(&of.name);
        Some(if is_combined { format!(r#"{{"stream":"{stream}","data":{data}}}"#) } else { data })
    }
}
