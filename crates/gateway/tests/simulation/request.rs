//! What clients ask for, as text, and what they then expect to be granted.

use crate::message::{DEPTHS, FIELDS, INTERVALS, Kind};
use crate::truth::Mark;
use crate::wishes::Options;
use fastrand::Rng;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Every field.
pub(crate) const ALL_FIELDS: u16 = (1 << FIELDS.len()) - 1;

/// Rates that are asked for, and the time between two updates that is granted for each.
const RATES: [(Option<f64>, i64); 7] = [
    (None, 0),
    (Some(10.0), 100_000),
    (Some(4.0), 250_000),
    (Some(1.0), 1_000_000),
    (Some(20.0), 100_000),
    (Some(5.5), 250_000),
    (Some(0.2), 1_000_000),
];

#[derive(Clone, Debug)]
pub(crate) struct Subscribe {
    pub(crate) kind: Kind,
    /// 0 where the channel has none.
    pub(crate) depth: u16,
    /// An index into [`RATES`].
    rate: usize,
    pub(crate) fields: u16,
    pub(crate) bare: bool,
    pub(crate) symbols: Vec<String>,
    pub(crate) since: BTreeMap<String, Mark>,
    /// `since` is not what it holds, nor anything that anybody could.
    pub(crate) lies: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum Request {
    Subscribe(Subscribe),
    Unsubscribe {
        kind: Kind,
        symbols: Vec<String>,
    },
    Ping,
    Stats,
    /// Is refused with this code.
    Wrong(u64),
}

impl Subscribe {
    /// Any options for a stream of that kind.
    pub(crate) fn random(kind: Kind, symbols: Vec<String>, random: &mut Rng) -> Subscribe {
        let depth = if random.bool() { 10 } else { DEPTHS[random.usize(..DEPTHS.len())] };
        // More sets than a process encodes.
        let sets = [0x3, 0x5, 0x15, 0x14, 0x1, 0x3C0, 0x200, 0xF, 0x3F, 0x2, 0x10];
        let fields = if random.bool() { ALL_FIELDS } else { sets[random.usize(..sets.len())] };
        Subscribe {
            kind,
            depth: if kind == Kind::Book { depth } else { 0 },
            rate: if random.bool() { 0 } else { random.usize(..RATES.len()) },
            fields: if kind == Kind::Ticker { fields } else { ALL_FIELDS },
            bare: kind == Kind::Trades && random.u8(..4) == 0,
            symbols,
            since: BTreeMap::new(),
            lies: false,
        }
    }

    /// The request that leads to these options again.
    pub(crate) fn again(kind: Kind, pattern: String, options: Options) -> Subscribe {
        let rate = RATES.iter().position(|(_, apart)| *apart == options.apart);
        Subscribe {
            kind,
            depth: options.depth,
            rate: rate.expect("what was granted can be asked for"),
            fields: options.fields,
            bare: false,
            symbols: vec![pattern],
            since: BTreeMap::new(),
            lies: false,
        }
    }

    /// The options that are to be granted; of the fields all may be granted instead.
    pub(crate) fn options(&self) -> Options {
        Options { depth: self.depth, apart: RATES[self.rate].1, fields: self.fields }
    }

    fn params(&self) -> Value {
        let mut params = stream_params(self.kind, &self.symbols);
        let mut set = |key: &str, value: Value| params[key] = value;
        if let Some(rate) = RATES[self.rate].0 {
            set("max_rate", json!(rate));
        }
        if self.kind == Kind::Book && self.depth != 10 {
            set("depth", json!(self.depth));
        }
        if self.kind == Kind::Ticker && self.fields != ALL_FIELDS {
            set("fields", json!(field_names(self.fields)));
        }
        if self.bare {
            set("snapshot", json!(false));
        }
        if !self.since.is_empty() {
            let mark = |(epoch, seq): &Mark| json!({"epoch": epoch, "seq": seq});
            let since: serde_json::Map<_, _> =
                self.since.iter().map(|(name, held)| (name.clone(), mark(held))).collect();
            set("since", since.into());
        }
        params
    }
}

/// The names of a field set in the order of the wire.
pub(crate) fn field_names(fields: u16) -> Vec<&'static str> {
    (0..FIELDS.len()).filter(|at| fields & 1 << at != 0).map(|at| FIELDS[at]).collect()
}

fn stream_params(kind: Kind, symbols: &[String]) -> Value {
    let mut params = json!({"channel": kind.channel(), "symbol": symbols});
    if let [symbol] = symbols {
        params["symbol"] = json!(symbol);
    }
    if let Kind::Bars(interval) = kind {
        params["interval"] = json!(INTERVALS[usize::from(interval)]);
    }
    params
}

impl Request {
    /// As it is sent.
    pub(crate) fn text(&self, req_id: u64) -> String {
        let request = match self {
            Request::Subscribe(subscribe) => {
                json!({"method": "subscribe", "req_id": req_id, "params": subscribe.params()})
            }
            Request::Unsubscribe { kind, symbols } => {
                let params = stream_params(*kind, symbols);
                json!({"method": "unsubscribe", "req_id": req_id, "params": params})
            }
            Request::Ping => json!({"method": "ping", "req_id": req_id}),
            Request::Stats => json!({"method": "stats", "req_id": req_id}),
            Request::Wrong(_) => unreachable!("what is wrong is written out"),
        };
        request.to_string()
    }
}

/// Requests that are refused, all with 4400; `#` stands for the `req_id`.
pub(crate) const WRONG: [&str; 14] = [
    r#"garbage{"#,
    r#"[1,2,3]"#,
    r#"{"req_id":#}"#,
    r#"{"method":"dance","req_id":#}"#,
    r#"{"method":"subscribe","req_id":#}"#,
    r##"{"method":"subscribe","req_id":#,"params":{"channel":"tikcer","symbol":"*"}}"##,
    r##"{"method":"subscribe","req_id":#,"params":{"channel":"status","symbol":"*"}}"##,
    r##"{"method":"subscribe","req_id":#,"params":{"channel":"book","symbol":"*","depth":11}}"##,
    r##"{"method":"subscribe","req_id":#,"params":{"channel":"ticker","symbol":[]}}"##,
    r##"{"method":"subscribe","req_id":#,"params":{"channel":"ticker","symbol":"*","max_rate":-1}}"##,
    r##"{"method":"subscribe","req_id":#,"params":{"channel":"ticker","symbol":"*","fields":["x"]}}"##,
    r##"{"method":"subscribe","req_id":#,"params":{"channel":"bars","symbol":"*","interval":"2s"}}"##,
    r##"{"method":"unsubscribe","req_id":#,"params":{"symbol":"*"}}"##,
    r##"{"method":"auth","req_id":#,"params":{"token":""}}"##,
];
