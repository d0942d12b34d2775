//! The options of a subscription, from JSON and from URL queries, by the same rules.

use crate::channel::{Channel, DEPTHS, Depth, FieldSet, TickerField};
use crate::object::{Object, Text};
use crate::pattern::{Pattern, STARS_MAX, SYMBOL_BYTES_MAX};
use crate::request::{Subscribe, view_of};
use crate::text::{shown, shown_quoted};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashMap;
use tickcast_market::{Epoch, Interval, Seq, Since};

/// Epochs and seqs are integers that a binary float holds exactly.
const INTEGER_MAX: u64 = 1 << 53;

/// The value of an option as it was written.
#[derive(Clone, Debug)]
pub(crate) enum Value<'a> {
    Json(&'a RawValue),
    /// Decoded text out of a URL; lists are separated by commas.
    Url(Cow<'a, str>),
}

impl<'a> Value<'a> {
    fn shown(&self) -> String {
        match self {
            Value::Json(raw) => shown(raw.get()),
            Value::Url(text) => shown_quoted(text),
        }
    }

    pub(crate) fn string(&self) -> Option<Cow<'_, str>> {
        match self {
            Value::Json(raw) => serde_json::from_str(raw.get()).ok().map(|Text(text)| text),
            Value::Url(text) => Some(Cow::Borrowed(text)),
        }
    }

    fn parse<T: serde::de::DeserializeOwned + std::str::FromStr>(&self) -> Option<T> {
        match self {
            Value::Json(raw) => serde_json::from_str(raw.get()).ok(),
            Value::Url(text) => text.parse().ok(),
        }
    }

    /// The items of a list; `None` when it is none. A URL's text always is one.
    fn list(&self) -> Option<Vec<Value<'_>>> {
        match self {
            Value::Json(raw) => {
                let items: Vec<&RawValue> = serde_json::from_str(raw.get()).ok()?;
                Some(items.into_iter().map(Value::Json).collect())
            }
            Value::Url(text) if text.is_empty() => Some(Vec::new()),
            Value::Url(text) => {
                Some(text.split(',').map(|item| Value::Url(Cow::Borrowed(item))).collect())
            }
        }
    }
}

/// Collects options one by one; [`Params::finish`] checks what belongs together.
#[derive(Debug, Default)]
pub(crate) struct Params {
    /// What stands before a name in errors: `params.` or nothing.
    prefix: &'static str,
    channel: Option<Channel>,
    symbols: Option<Vec<Pattern>>,
    max_rate: Option<f64>,
    fields: Option<FieldSet>,
    depth: Option<Depth>,
    interval: Option<Interval>,
    snapshot: Option<bool>,
    since: Option<HashMap<String, Since>>,
}

type Checked<T> = Result<T, String>;

impl Params {
    pub(crate) fn from_json() -> Params {
        Params { prefix: "params.", ..Params::default() }
    }

    pub(crate) fn from_url() -> Params {
        Params::default()
    }

    /// Takes one option.
    ///
    /// *Errors:* in words, with field and value.
    pub(crate) fn set(&mut self, key: &str, value: &Value<'_>) -> Checked<()> {
        let is_url = matches!(value, Value::Url(_));
        if matches!(value, Value::Json(raw) if raw.get() == "null") {
            return self.check_known(key, is_url);
        }
        let name = format!("{}{key}", self.prefix);
        match key {
            "channel" => once(&name, &mut self.channel, read_channel(&name, value)?),
            "symbol" => once(&name, &mut self.symbols, read_symbols(&name, value)?),
            "max_rate" => once(&name, &mut self.max_rate, read_max_rate(&name, value)?),
            "fields" => once(&name, &mut self.fields, read_fields(&name, value)?),
            "depth" => once(&name, &mut self.depth, read_depth(&name, value)?),
            "interval" => once(&name, &mut self.interval, read_interval(&name, value)?),
            "snapshot" => once(&name, &mut self.snapshot, read_snapshot(&name, value)?),
            "since" if !is_url => once(&name, &mut self.since, read_since(&name, value)?),
            _ => self.check_known(key, is_url),
        }
    }

    fn check_known(&self, key: &str, is_url: bool) -> Checked<()> {
        const KEYS: [&str; 8] =
            ["channel", "symbol", "max_rate", "fields", "depth", "interval", "snapshot", "since"];
        // A stream of events resumes by its header `Last-Event-ID`.
        let known = if is_url { &KEYS[..7] } else { &KEYS };
        if known.contains(&key) {
            return Ok(());
        }
        Err(format!("{}{}: unknown; known are {}", self.prefix, shown(key), known.join(", ")))
    }

    /// The subscription, with defaults for what was not given.
    ///
    /// *Errors:* channel or symbol are missing, or an option belongs to another channel.
    pub(crate) fn finish(self) -> Checked<Subscribe> {
        let prefix = self.prefix;
        let channel = self.channel.ok_or_else(|| {
            format!("{prefix}channel: missing; one of {}", list(SUBSCRIBABLE_NAMES))
        })?;
        let symbols = self.symbols.ok_or_else(|| format!("{prefix}symbol: missing"))?;
        for (option, given, of) in [
            ("fields", self.fields.is_some(), Channel::Ticker),
            ("depth", self.depth.is_some(), Channel::Book),
            ("interval", self.interval.is_some(), Channel::Bars),
            ("snapshot", self.snapshot.is_some(), Channel::Trades),
        ] {
            if given && channel != of {
                let (of, channel) = (of.name(), channel.name());
                return Err(format!("{prefix}{option}: an option of {of}, not of {channel}"));
            }
        }
        let depth = self.depth.unwrap_or_default();
        let interval = self.interval.unwrap_or(Interval::M1);
        Ok(Subscribe {
            view: view_of(channel, depth, interval),
            symbols,
            max_rate: self.max_rate,
            fields: self.fields.unwrap_or_default(),
            snapshot: self.snapshot.unwrap_or(true),
            since: self.since.unwrap_or_default(),
        })
    }
}

fn once<T>(name: &str, slot: &mut Option<T>, value: T) -> Checked<()> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(format!("{name}: given twice")),
    }
}

const SUBSCRIBABLE_NAMES: [&str; 4] = ["ticker", "trades", "book", "bars"];

fn list<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}

fn not_one_of<T: ToString>(
    name: &str,
    value: &Value<'_>,
    items: impl IntoIterator<Item = T>,
) -> String {
    format!("{name}: {} is not one of {}", value.shown(), list(items))
}

fn read_channel(name: &str, value: &Value<'_>) -> Checked<Channel> {
    value
        .string()
        .and_then(|text| Channel::SUBSCRIBABLE.into_iter().find(|channel| channel.name() == text))
        .ok_or_else(|| not_one_of(name, value, SUBSCRIBABLE_NAMES))
}

/// How many names and patterns one request may list: answering takes room for each.
const SYMBOLS_MAX: usize = 1_000;

fn read_symbols(name: &str, value: &Value<'_>) -> Checked<Vec<Pattern>> {
    if let (Value::Json(_), Some(text)) = (value, value.string()) {
        return Ok(vec![read_symbol(name, &text)?]);
    }
    let items = value.list().ok_or_else(|| {
        format!("{name}: {} is not a string or an array of strings", value.shown())
    })?;
    if items.is_empty() {
        return Err(format!("{name}: empty"));
    }
    if items.len() > SYMBOLS_MAX {
        return Err(format!("{name}: {} are more than {SYMBOLS_MAX}", items.len()));
    }
    let read = |(at, item): (usize, &Value<'_>)| {
        let name = format!("{name}[{at}]");
        let text =
            item.string().ok_or_else(|| format!("{name}: {} is not a string", item.shown()))?;
        read_symbol(&name, &text)
    };
    let mut patterns = items.iter().enumerate().map(read).collect::<Checked<Vec<Pattern>>>()?;
    let mut seen = std::collections::HashSet::new();
    patterns.retain(|pattern| seen.insert(pattern.clone()));
    Ok(patterns)
}

fn read_symbol(name: &str, text: &str) -> Checked<Pattern> {
    match text.len() {
        0 => Err(format!("{name}: empty")),
        1..=SYMBOL_BYTES_MAX if text.matches('*').count() > STARS_MAX => {
            Err(format!("{name}: {} has more than {STARS_MAX} *", shown_quoted(text)))
        }
        1..=SYMBOL_BYTES_MAX => Ok(Pattern::new(text)),
        _ => {
            let text = shown_quoted(text);
            Err(format!("{name}: {text} is longer than {SYMBOL_BYTES_MAX} bytes"))
        }
    }
}

fn read_max_rate(name: &str, value: &Value<'_>) -> Checked<f64> {
    value
        .parse::<f64>()
        .filter(|rate| rate.is_finite() && *rate > 0.0)
        .ok_or_else(|| format!("{name}: {} is not a number above 0", value.shown()))
}

fn read_fields(name: &str, value: &Value<'_>) -> Checked<FieldSet> {
    let items = value
        .list()
        .ok_or_else(|| format!("{name}: {} is not an array of strings", value.shown()))?;
    if items.is_empty() {
        return Err(format!("{name}: empty"));
    }
    let mut fields = FieldSet::NONE;
    for (at, item) in items.iter().enumerate() {
        let field = item.string().and_then(|text| TickerField::from_name(&text));
        let name = format!("{name}[{at}]");
        let names = TickerField::ALL.map(TickerField::name);
        let field = field.ok_or_else(|| not_one_of(&name, item, names))?;
        if fields.contains(field) {
            return Err(format!("{name}: {} is given twice", item.shown()));
        }
        fields = fields.with(field);
    }
    Ok(fields)
}

fn read_depth(name: &str, value: &Value<'_>) -> Checked<Depth> {
    value.parse().and_then(Depth::new).ok_or_else(|| not_one_of(name, value, DEPTHS))
}

fn read_interval(name: &str, value: &Value<'_>) -> Checked<Interval> {
    value
        .string()
        .and_then(|text| Interval::from_name(&text))
        .ok_or_else(|| not_one_of(name, value, Interval::ALL.map(Interval::name)))
}

fn read_snapshot(name: &str, value: &Value<'_>) -> Checked<bool> {
    value.parse().ok_or_else(|| format!("{name}: {} is not true or false", value.shown()))
}

fn read_since(name: &str, value: &Value<'_>) -> Checked<HashMap<String, Since>> {
    let not_an_object = || format!("{name}: {} is not an object", value.shown());
    let Value::Json(raw) = value else { return Err(not_an_object()) };
    let object: Object<'_> = serde_json::from_str(raw.get()).map_err(|_| not_an_object())?;
    let mut since = HashMap::with_capacity(object.0.len());
    for (symbol, raw) in object.0 {
        let name = format!("{name}[{}]", shown_quoted(&symbol));
        read_symbol(&name, &symbol)?;
        if since.insert(symbol.into_owned(), read_mark(&name, raw)?).is_some() {
            return Err(format!("{name}: given twice"));
        }
    }
    Ok(since)
}

fn read_mark(name: &str, raw: &RawValue) -> Checked<Since> {
    let object: Object<'_> = serde_json::from_str(raw.get())
        .map_err(|_| format!("{name}: {} is not an object", shown(raw.get())))?;
    let (mut epoch, mut seq) = (None, None);
    for (key, raw) in &object.0 {
        let name = format!("{name}.{}", shown(key));
        let slot = match &**key {
            "epoch" => &mut epoch,
            "seq" => &mut seq,
            _ => return Err(format!("{name}: unknown; known are epoch, seq")),
        };
        let integer = serde_json::from_str::<u64>(raw.get()).ok().filter(|n| *n <= INTEGER_MAX);
        let integer = integer.ok_or_else(|| {
            format!("{name}: {} is not an integer from 0 to 2^53", shown(raw.get()))
        })?;
        once(&name, slot, integer)?;
    }
    Ok(Since {
        epoch: Epoch(epoch.ok_or_else(|| format!("{name}.epoch: missing"))?),
        seq: Seq(seq.ok_or_else(|| format!("{name}.seq: missing"))?),
    })
}
