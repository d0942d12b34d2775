//! Coinbase Exchange: several channels per subscription, books without a sequence, and a loss that
//! shows only in trade ids.

use super::ladder::{Change, Ladder, Rung, Side, increment};
use super::persona::{Out, Persona, Role, SessionId};
use super::script::Script;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(borrow, default)]
    product_id: &'a str,
    #[serde(borrow, default)]
    bids: Vec<[&'a str; 2]>,
    #[serde(borrow, default)]
    asks: Vec<[&'a str; 2]>,
    #[serde(borrow, default)]
    changes: Vec<[&'a str; 3]>,
    #[serde(default)]
    trade_id: u64,
    #[serde(default)]
    sequence: u64,
    #[serde(borrow, default)]
    time: &'a str,
}

#[derive(Debug)]
struct Product {
    name: String,
    ladder: Ladder,
    /// The recording's first snapshot, which `ladder` begins with, is still to be played.
    is_first_to_come: bool,
    /// The last trade as it was sent, under either of its names.
    last_match: Option<String>,
    last_trade_id: u64,
    sequence: u64,
    time: String,
    quote_increment: String,
    base_increment: String,
}

/// Products by channel, under the names that the venue answers with.
type Channels = BTreeMap<&'static str, BTreeSet<String>>;

pub(super) struct CoinbaseExchange {
    script: Script,
    products: Vec<Product>,
    sessions: BTreeMap<SessionId, Channels>,
}

/// Asked for, and as it is answered.
const CHANNELS: [(&str, &str); 6] = [
    ("level2_batch", "level2_50"),
    ("level2_50", "level2_50"),
    ("matches", "matches"),
    ("ticker", "ticker"),
    ("heartbeat", "heartbeat"),
    ("status", "status"),
];

fn changes(frame: &Frame<'_>) -> Vec<Change> {
    let level = |side, [price, size]: &[&str; 2]| {
        (side, Rung { price: (*price).into(), size: (*size).into() })
    };
    let change = |[side, price, size]: &[&str; 3]| {
        level(if *side == "buy" { Side::Bid } else { Side::Ask }, &[*price, *size])
    };
    let bids = frame.bids.iter().map(|entry| level(Side::Bid, entry));
    let asks = frame.asks.iter().map(|entry| level(Side::Ask, entry));
    bids.chain(asks).chain(frame.changes.iter().map(change)).collect()
}

impl CoinbaseExchange {
    pub(super) fn new(script: Script) -> CoinbaseExchange {
        let mut exchange =
            CoinbaseExchange { script, products: Vec::new(), sessions: BTreeMap::new() };
        let steps = std::mem::take(&mut exchange.script.steps);
        for step in &steps {
            let is_first = ["snapshot", "last_match"]
                .iter()
                .any(|kind| step.text.contains(&format!(r#""type":"{kind}""#)));
            if is_first && let Ok(frame) = serde_json::from_str::<Frame<'_>>(&step.text) {
                exchange.learn(&frame, &step.text);
            }
        }
        exchange.script.steps = steps;
        exchange
    }

    fn learn(&mut self, frame: &Frame<'_>, text: &str) {
        let at = self.place_of(frame.product_id).unwrap_or_else(|| {
            self.products.push(Product {
                name: frame.product_id.to_owned(),
                ladder: Ladder::default(),
                is_first_to_come: true,
                last_match: None,
                last_trade_id: 0,
                sequence: 0,
                time: "2026-01-01T00:00:00.000000Z".to_owned(),
                quote_increment: "0.01".to_owned(),
                base_increment: "0.00000001".to_owned(),
            });
            self.products.len() - 1
        });
        let product = &mut self.products[at];
        if frame.kind == "last_match" {
            product.last_match.get_or_insert_with(|| text.to_owned());
            product.last_trade_id = frame.trade_id;
            product.sequence = frame.sequence;
            product.time = frame.time.to_owned();
        } else if product.ladder == Ladder::default() {
            let changes = changes(frame);
            product.ladder.apply(&changes);
            product.quote_increment = increment(changes.iter().map(|(_, r)| r.price.as_str()));
            product.base_increment = increment(changes.iter().map(|(_, r)| r.size.as_str()));
        }
    }

    fn place_of(&self, name: &str) -> Option<usize> {
        self.products.iter().position(|product| product.name == name)
    }

    fn subscribers(&self, channel: &str, product: &str) -> Vec<SessionId> {
        let has = |of: &Channels| of.get(channel).is_some_and(|set| set.contains(product));
        self.sessions.iter().filter(|(_, of)| has(of)).map(|(id, _)| *id).collect()
    }

    fn say(&self, channel: &str, at: usize, text: &str, role: Role, out: &mut Out) {
        for session in self.subscribers(channel, &self.products[at].name) {
            out.data(session, text.to_owned(), at, role);
        }
    }

    fn tell_subscriptions(&self, session: SessionId, out: &mut Out) {
        let Some(of) = self.sessions.get(&session) else { return };
        let list: Vec<_> = of
            .iter()
            .map(|(name, products)| json!({ "name": name, "product_ids": products }))
            .collect();
        out.fixed(session, json!({ "type": "subscriptions", "channels": list }).to_string());
    }

    fn subscribe(&mut self, session: SessionId, wanted: &[(String, Vec<String>)], out: &mut Out) {
        let Some(of) = self.sessions.get_mut(&session) else { return };
        for (channel, products) in wanted {
            let Some((_, name)) = CHANNELS.iter().find(|(asked, _)| asked == channel) else {
                let reason = format!("{channel} channel requires authentication");
                let text =
                    json!({ "type": "error", "message": "Failed to subscribe", "reason": reason });
                out.fixed(session, text.to_string());
                return;
            };
            of.entry(name).or_default().extend(products.iter().cloned());
        }
        self.tell_subscriptions(session, out);
        for (channel, products) in wanted {
            for product in products.iter().filter_map(|name| self.place_of(name)) {
                let product = &self.products[product];
                match channel.as_str() {
                    "level2_batch" | "level2_50" => out.fixed(session, snapshot(product)),
                    "matches" => {
                        let last = product.last_match.as_ref();
                        let last = last.map(|text| text.replace(r#""match""#, r#""last_match""#));
                        last.into_iter().for_each(|text| out.fixed(session, text));
                    }
                    _ => {}
                }
            }
        }
    }
}

fn snapshot(product: &Product) -> String {
    let mut text = format!(r#"{{"type":"snapshot","product_id":"{}""#, product.name);
    for (field, side) in [("asks", Side::Ask), ("bids", Side::Bid)] {
        let _ = write!(text, r#","{field}":["#);
        for (at, rung) in product.ladder.side(side).enumerate() {
            let comma = if at == 0 { "" } else { "," };
            let _ = write!(text, r#"{comma}["{}","{}"]"#, rung.price, rung.size);
        }
        text.push(']');
    }
    let _ = write!(text, r#","time":"{}"}}"#, product.time);
    text
}

fn l2update(product: &Product, changes: &[Change]) -> String {
    let Product { name, time, .. } = product;
    let change = |(side, rung): &Change| {
        let side = if *side == Side::Bid { "buy" } else { "sell" };
        format!(r#"["{side}","{}","{}"]"#, rung.price, rung.size)
    };
    let changes: Vec<String> = changes.iter().map(change).collect();
    let changes = changes.join(",");
    format!(r#"{{"type":"l2update","product_id":"{name}","changes":[{changes}],"time":"{time}"}}"#)
}

/// The channels of a request, each with its products.
fn wanted(request: &Value) -> Vec<(String, Vec<String>)> {
    let names = |list: &Value| -> Vec<String> {
        let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
        list.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect()
    };
    let common = names(&request["product_ids"]);
    let channels = request["channels"].as_array().map(Vec::as_slice).unwrap_or_default();
    let of = |channel: &Value| match channel.as_str() {
        Some(name) => (name.to_owned(), common.clone()),
        None => {
            let own = names(&channel["product_ids"]);
            let products = if own.is_empty() { common.clone() } else { own };
            (channel["name"].as_str().unwrap_or_default().to_owned(), products)
        }
    };
    channels.iter().map(of).collect()
}

impl Persona for CoinbaseExchange {
    fn script(&self) -> &Script {
        &self.script
    }

    fn opened(&mut self, session: SessionId, _target: &str, _out: &mut Out) {
        self.sessions.insert(session, Channels::default());
    }

    fn received(&mut self, session: SessionId, text: &str, out: &mut Out) {
        let request: Value = serde_json::from_str(text).unwrap_or_default();
        let wanted = wanted(&request);
        match request["type"].as_str() {
            Some("subscribe") => self.subscribe(session, &wanted, out),
            Some("unsubscribe") => {
                let Some(of) = self.sessions.get_mut(&session) else { return };
                for (channel, products) in wanted {
                    let name = CHANNELS.iter().find(|(asked, _)| *asked == channel);
                    if let Some(set) = name.and_then(|(_, name)| of.get_mut(name)) {
                        set.retain(|product| !products.contains(product));
                    }
                }
                of.retain(|_, products| !products.is_empty());
                self.tell_subscriptions(session, out);
            }
            _ => out.fixed(session, r#"{"type":"error","message":"Malformed JSON"}"#.into()),
        }
    }

    fn closed(&mut self, session: SessionId) {
        self.sessions.remove(&session);
    }

    fn play(&mut self, step: usize, out: &mut Out) {
        let text = std::mem::take(&mut self.script.steps[step].text);
        let Ok(frame) = serde_json::from_str::<Frame<'_>>(&text) else { return };
        let Some(at) = self.place_of(frame.product_id) else { return };
        let product = &mut self.products[at];
        match frame.kind {
            "snapshot" if std::mem::take(&mut product.is_first_to_come) => {}
            "snapshot" => {
                // The recorder asked again; whoever did not gets the difference.
                let mut after = Ladder::default();
                after.apply(&changes(&frame));
                let difference = product.ladder.changes_to(&after);
                product.ladder = after;
                if !difference.is_empty() {
                    let text = l2update(product, &difference);
                    self.say("level2_50", at, &text, Role::Unnoticed, out);
                }
            }
            "l2update" => {
                product.ladder.apply(&changes(&frame));
                self.say("level2_50", at, &text, Role::Unnoticed, out);
            }
            "match" => {
                product.last_match = Some(text.clone());
                product.last_trade_id = frame.trade_id;
                product.sequence = frame.sequence;
                product.time = frame.time.to_owned();
                self.say("matches", at, &text, Role::Noticed, out);
            }
            "ticker" => self.say("ticker", at, &text, Role::Fixed, out),
            "heartbeat" => self.say("heartbeat", at, &text, Role::Fixed, out),
            _ => {}
        }
    }

    fn idle(&mut self, out: &mut Out) {
        for at in 0..self.products.len() {
            let Product { name, last_trade_id, sequence, time, .. } = &self.products[at];
            let text = json!({
                "type": "heartbeat", "last_trade_id": last_trade_id, "product_id": name,
                "sequence": sequence, "time": time,
            });
            self.say("heartbeat", at, &text.to_string(), Role::Fixed, out);
        }
    }

    fn touch(&mut self, out: &mut Out) {
        for at in 0..self.products.len() {
            let product = &self.products[at];
            let Some(best) = product.ladder.best(Side::Bid).cloned() else { continue };
            let text = l2update(product, &[(Side::Bid, best)]);
            self.say("level2_50", at, &text, Role::Unnoticed, out);
        }
    }

    fn get(&mut self, target: &str) -> Option<String> {
        if !target.split('?').next()?.ends_with("/products") {
            return None;
        }
        let list: Vec<_> = self
            .products
            .iter()
            .map(|product| {
                let (base, quote) = product.name.split_once('-').unwrap_or((&product.name, ""));
                json!({
                    "id": product.name, "base_currency": base, "quote_currency": quote,
                    "quote_increment": product.quote_increment,
                    "base_increment": product.base_increment,
                    "display_name": product.name.replace('-', "/"),
                    "status": "online", "trading_disabled": false,
                })
            })
            .collect();
        Some(Value::Array(list).to_string())
    }

    fn is_served(&self, session: SessionId, all: bool) -> bool {
        let set = self.sessions.get(&session).and_then(|of| of.get("level2_50"));
        let Some(set) = set else { return false };
        if all { self.products.iter().all(|p| set.contains(&p.name)) } else { !set.is_empty() }
    }

    fn ladder(&self, symbol: &str) -> Option<&Ladder> {
        self.products.iter().find(|of| of.name == symbol).map(|of| &of.ladder)
    }

    fn refusal(&self, text: &str) -> Option<String> {
        let is_subscribe = text.contains(r#""subscribe""#);
        is_subscribe.then(|| {
            json!({ "type": "error", "message": "Failed to subscribe", "reason": "try later" })
                .to_string()
        })
    }

    fn crossing(&mut self, _session: SessionId, symbol: usize) -> Option<String> {
        let product = self.products.get(symbol)?;
        Some(l2update(product, &[product.ladder.crossing_bid()?]))
    }
}
