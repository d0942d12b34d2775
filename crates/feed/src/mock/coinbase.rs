//! Coinbase Advanced Trade: one channel per subscription, whole books, and a `sequence_num` that
//! counts every message of a connection.

use super::ladder::{Change, Ladder, Rung, Side};
use super::persona::{Out, Persona, Role, SessionId};
use super::script::Script;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

#[derive(Deserialize)]
struct Frame<'a> {
    channel: &'a str,
    #[serde(borrow)]
    timestamp: &'a str,
    #[serde(borrow)]
    events: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct BookEvent<'a> {
    #[serde(borrow, rename = "type")]
    kind: &'a str,
    product_id: &'a str,
    #[serde(borrow)]
    updates: Vec<Update<'a>>,
}

#[derive(Deserialize)]
struct Update<'a> {
    side: &'a str,
    price_level: &'a str,
    new_quantity: &'a str,
}

/// What is common to the events of the other channels: the products that they name.
#[derive(Deserialize)]
struct Items<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: &'a str,
    #[serde(borrow, default)]
    trades: Vec<Item<'a>>,
    #[serde(borrow, default)]
    tickers: Vec<Item<'a>>,
    #[serde(borrow, default)]
    candles: Vec<Item<'a>>,
}

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow)]
    product_id: &'a str,
}

#[derive(Debug, Default)]
struct Session {
    sequence: u64,
    heartbeats: u64,
    /// Products by the channel's name in subscriptions (`level2`, not `l2_data`).
    channels: BTreeMap<String, BTreeSet<String>>,
}

#[derive(Debug)]
struct Product {
    name: String,
    ladder: Ladder,
    /// The recording's first snapshot, which `ladder` begins with, is still to be played.
    is_first_to_come: bool,
}

pub(super) struct Coinbase {
    script: Script,
    products: Vec<Product>,
    /// The first snapshot of the other channels, by channel and product.
    firsts: BTreeMap<(String, String), String>,
    timestamp: String,
    sessions: BTreeMap<SessionId, Session>,
}

fn changes(event: &BookEvent<'_>) -> Vec<Change> {
    let change = |update: &Update<'_>| {
        let side = if update.side == "bid" { Side::Bid } else { Side::Ask };
        let (price, size) = (update.price_level.into(), update.new_quantity.into());
        (side, Rung { price, size })
    };
    event.updates.iter().map(change).collect()
}

fn products_of<'a>(items: &Items<'a>) -> BTreeSet<&'a str> {
    let all = items.trades.iter().chain(&items.tickers).chain(&items.candles);
    all.map(|item| item.product_id).collect()
}

fn book_event(kind: &str, product: &str, changes: &[Change], time: &str) -> String {
    let mut text = format!(r#"{{"type":"{kind}","product_id":"{product}","updates":["#);
    for (at, (side, rung)) in changes.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        let side = if *side == Side::Bid { "bid" } else { "offer" };
        let Rung { price, size } = rung;
        let _ = write!(
            text,
            r#"{comma}{{"side":"{side}","event_time":"{time}","price_level":"{price}","new_quantity":"{size}"}}"#
        );
    }
    text.push_str("]}");
    text
}

impl Coinbase {
    pub(super) fn new(script: Script) -> Coinbase {
        let mut coinbase = Coinbase {
            script,
            products: Vec::new(),
            firsts: BTreeMap::new(),
            timestamp: String::new(),
            sessions: BTreeMap::new(),
        };
        let steps = std::mem::take(&mut coinbase.script.steps);
        for step in &steps {
            if step.text.contains(r#""type":"snapshot""#)
                && let Ok(frame) = serde_json::from_str::<Frame<'_>>(&step.text)
            {
                coinbase.learn(&frame);
            }
        }
        coinbase.script.steps = steps;
        coinbase
    }

    /// The first snapshots are there from the start: a client may come before them.
    fn learn(&mut self, frame: &Frame<'_>) {
        if self.timestamp.is_empty() {
            self.timestamp = frame.timestamp.to_owned();
        }
        for event in &frame.events {
            if frame.channel == "l2_data" {
                let Ok(event) = serde_json::from_str::<BookEvent<'_>>(event.get()) else {
                    continue;
                };
                let is_known = self.products.iter().any(|p| p.name == event.product_id);
                if event.kind == "snapshot" && !is_known {
                    let mut ladder = Ladder::default();
                    ladder.apply(&changes(&event));
                    let name = event.product_id.to_owned();
                    self.products.push(Product { name, ladder, is_first_to_come: true });
                }
            } else if let Ok(items) = serde_json::from_str::<Items<'_>>(event.get()) {
                for product in products_of(&items) {
                    let key = (frame.channel.to_owned(), product.to_owned());
                    self.firsts.entry(key).or_insert_with(|| event.get().to_owned());
                }
            }
        }
    }

    /// One message to one client, with the next number of its connection.
    fn frame(&mut self, session: SessionId, channel: &str, events: &str) -> Option<String> {
        let of = self.sessions.get_mut(&session)?;
        let (number, timestamp) = (of.sequence, &self.timestamp);
        of.sequence += 1;
        Some(format!(
            r#"{{"channel":"{channel}","timestamp":"{timestamp}","sequence_num":{number},"events":[{events}]}}"#
        ))
    }

    fn fixed(&mut self, session: SessionId, channel: &str, events: &str, out: &mut Out) {
        let text = self.frame(session, channel, events);
        text.into_iter().for_each(|text| out.fixed(session, text));
    }

    fn subscribers(&self, channel: &str, product: &str) -> Vec<SessionId> {
        let has = |of: &Session| of.channels.get(channel).is_some_and(|set| set.contains(product));
        self.sessions.iter().filter(|(_, of)| has(of)).map(|(id, _)| *id).collect()
    }

    fn take_book(&mut self, event: &RawValue, out: &mut Out) {
        let Ok(book) = serde_json::from_str::<BookEvent<'_>>(event.get()) else { return };
        let Some(at) = self.products.iter().position(|p| p.name == book.product_id) else { return };
        let product = &mut self.products[at];
        if book.kind == "snapshot" && std::mem::take(&mut product.is_first_to_come) {
            return;
        }
        let ladder = &mut product.ladder;
        let event = if book.kind == "snapshot" {
            // The recorder asked again; whoever did not gets the difference.
            let mut after = Ladder::default();
            after.apply(&changes(&book));
            let difference = ladder.changes_to(&after);
            *ladder = after;
            if difference.is_empty() {
                return;
            }
            book_event("update", book.product_id, &difference, &self.timestamp)
        } else {
            ladder.apply(&changes(&book));
            event.get().to_owned()
        };
        for session in self.subscribers("level2", book.product_id) {
            let text = self.frame(session, "l2_data", &event);
            text.into_iter().for_each(|text| out.data(session, text, at, Role::Noticed));
        }
    }

    fn take_items(&mut self, channel: &str, event: &RawValue, out: &mut Out) {
        let Ok(items) = serde_json::from_str::<Items<'_>>(event.get()) else { return };
        if items.kind == "snapshot" {
            return;
        }
        let products = products_of(&items);
        let mut told = BTreeSet::new();
        for product in &products {
            let at = self.products.iter().position(|p| p.name == *product).unwrap_or(usize::MAX);
            for session in self.subscribers(channel, product) {
                if told.insert(session) {
                    let text = self.frame(session, channel, event.get());
                    text.into_iter().for_each(|text| out.data(session, text, at, Role::Noticed));
                }
            }
        }
    }

    fn subscribe(&mut self, session: SessionId, channel: &str, products: &[String], out: &mut Out) {
        let Some(of) = self.sessions.get_mut(&session) else { return };
        of.channels.entry(channel.to_owned()).or_default().extend(products.iter().cloned());
        for product in products {
            if channel == "level2" {
                let Some(of) = self.products.iter().find(|p| p.name == *product) else { continue };
                let levels = of.ladder.levels();
                let event = book_event("snapshot", product, &levels, &self.timestamp);
                self.fixed(session, "l2_data", &event, out);
            } else if let Some(first) =
                self.firsts.get(&(channel.to_owned(), product.clone())).cloned()
            {
                self.fixed(session, channel, &first, out);
            }
        }
        self.tell_subscriptions(session, out);
    }

    fn tell_subscriptions(&mut self, session: SessionId, out: &mut Out) {
        let Some(of) = self.sessions.get(&session) else { return };
        let events = json!({ "subscriptions": of.channels }).to_string();
        self.fixed(session, "subscriptions", &events, out);
    }
}

impl Persona for Coinbase {
    fn script(&self) -> &Script {
        &self.script
    }

    fn opened(&mut self, session: SessionId, _target: &str, _out: &mut Out) {
        self.sessions.insert(session, Session::default());
    }

    fn received(&mut self, session: SessionId, text: &str, out: &mut Out) {
        let request: Value = serde_json::from_str(text).unwrap_or_default();
        let list = request["product_ids"].as_array().cloned().unwrap_or_default();
        let products: Vec<String> =
            list.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect();
        let channel = request["channel"].as_str().unwrap_or_default();
        match request["type"].as_str() {
            Some("subscribe") if !channel.is_empty() => {
                self.subscribe(session, channel, &products, out);
            }
            Some("unsubscribe") => {
                let of = self.sessions.get_mut(&session);
                if let Some(set) = of.and_then(|of| of.channels.get_mut(channel)) {
                    set.retain(|product| !products.contains(product));
                }
                self.tell_subscriptions(session, out);
            }
            _ => out.fixed(session, r#"{"type":"error","message":"wrong request"}"#.into()),
        }
    }

    fn closed(&mut self, session: SessionId) {
        self.sessions.remove(&session);
    }

    fn play(&mut self, step: usize, out: &mut Out) {
        let text = std::mem::take(&mut self.script.steps[step].text);
        let Ok(frame) = serde_json::from_str::<Frame<'_>>(&text) else { return };
        self.timestamp = frame.timestamp.to_owned();
        match frame.channel {
            "l2_data" => frame.events.iter().for_each(|event| self.take_book(event, out)),
            "heartbeats" => self.idle(out),
            "subscriptions" => {}
            channel => frame.events.iter().for_each(|event| self.take_items(channel, event, out)),
        }
    }

    fn idle(&mut self, out: &mut Out) {
        let wants = |of: &Session| of.channels.contains_key("heartbeats");
        let clients: Vec<SessionId> =
            self.sessions.iter().filter(|(_, of)| wants(of)).map(|(id, _)| *id).collect();
        for session in clients {
            let Some(of) = self.sessions.get_mut(&session) else { continue };
            of.heartbeats += 1;
            let event = json!({
                "current_time": "2026-01-01 00:00:00 +0000 UTC m=+1.000000000",
                "heartbeat_counter": of.heartbeats,
            });
            self.fixed(session, "heartbeats", &event.to_string(), out);
        }
    }

    fn touch(&mut self, out: &mut Out) {
        for at in 0..self.products.len() {
            let name = self.products[at].name.clone();
            let Some(best) = self.products[at].ladder.best(Side::Bid).cloned() else { continue };
            let event = book_event("update", &name, &[(Side::Bid, best)], &self.timestamp);
            for session in self.subscribers("level2", &name) {
                let text = self.frame(session, "l2_data", &event);
                text.into_iter().for_each(|text| out.data(session, text, at, Role::Noticed));
            }
        }
    }

    fn get(&mut self, target: &str) -> Option<String> {
        let path = target.split('?').next()?;
        let recorded = |url: &str| url.split('?').next().is_some_and(|url| url.ends_with(path));
        self.script.rest.iter().find(|(url, _)| recorded(url)).map(|(_, body)| body.clone())
    }

    fn is_served(&self, session: SessionId, all: bool) -> bool {
        let Some(of) = self.sessions.get(&session) else { return false };
        let Some(set) = of.channels.get("level2") else { return false };
        if all { self.products.iter().all(|p| set.contains(&p.name)) } else { !set.is_empty() }
    }

    fn ladder(&self, symbol: &str) -> Option<&Ladder> {
        self.products.iter().find(|of| of.name == symbol).map(|of| &of.ladder)
    }

    fn refusal(&self, text: &str) -> Option<String> {
        let is_subscribe = text.contains(r#""subscribe""#);
        is_subscribe.then(|| r#"{"type":"error","message":"rate limit exceeded"}"#.into())
    }

    fn crossing(&mut self, session: SessionId, symbol: usize) -> Option<String> {
        let product = self.products.get(symbol)?;
        let change = product.ladder.crossing_bid()?;
        let event = book_event("update", &product.name, &[change], &self.timestamp);
        self.frame(session, "l2_data", &event)
    }
}
