//! The answers of REST, read from the publisher: the list of instruments, snapshots.
//!
//! A snapshot over REST is the message that a subscriber gets, made by the same encoder from the
//! same streams.

use crate::http::Source;
use crate::identity::Who;
use crate::limits::{SNAPSHOT_BYTES_MAX, SNAPSHOT_SYMBOLS_MAX};
use crate::refusal::Refusal;
use crate::refusal_reason::Reason;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tickcast_market::{Decimal, Directory, Instrument, Nanos, write_decimal};
use tickcast_publisher::{Hub, Scratch, ShardIndex, Tier, TopicId, TopicKey};
use tickcast_wire::{
    Encoding, Kind, Pattern, Subscribe, close_message, next_item, open_message, parse_query,
    percent_decode,
};

/// How long a snapshot waits for the publisher to tell of a stream that nobody has wanted before.
const TOLD_WITHIN: Duration = Duration::from_secs(2);

/// Between two looks whether it has.
const TOLD_PAUSE: Duration = Duration::from_millis(2);

/// Keys of a query that are not options of a subscription.
const ALSO: [&str; 1] = ["token"];

/// REST over the publisher's read side.
pub struct HubSource {
    hub: Arc<Hub>,
    clock: Box<dyn Fn() -> Nanos + Send + Sync>,
}

impl fmt::Debug for HubSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubSource").finish_non_exhaustive()
    }
}

impl HubSource {
    /// Reads from `hub`; `clock` is the wall clock, for `ts_publish`.
    pub fn new(hub: Arc<Hub>, clock: impl Fn() -> Nanos + Send + Sync + 'static) -> HubSource {
        HubSource { hub, clock: Box::new(clock) }
    }

    /// Waits until streams that are followed over a bus have been told of, and holds on to them:
    /// nobody may have wanted them before. Beside a publisher there is nothing to wait for.
    fn until_told(&self, keys: &[TopicKey]) -> Result<Held<'_>, Refusal> {
        let mut held = Held { hub: &self.hub, topics: Vec::new() };
        let untold = keys.iter().filter(|key| !self.hub.is_told(key.instrument, key.view));
        for key in untold {
            if let Some((id, _)) = self.hub.acquire(ShardIndex::NOBODY, key) {
                held.topics.push((*key, id));
            }
        }
        let until = Instant::now() + TOLD_WITHIN;
        while held.topics.iter().any(|(key, _)| !self.hub.is_told(key.instrument, key.view)) {
            if Instant::now() > until {
                return Err(Refusal::overloaded(
                    Reason::Untold,
                    "the publisher has not told of it yet",
                ));
            }
            std::thread::sleep(TOLD_PAUSE);
        }
        Ok(held)
    }

    fn write_instrument(&self, instrument: &Instrument, out: &mut Vec<u8>) {
        let spec = &instrument.spec;
        let state =
            self.hub.status(instrument.index).map_or("resync", |status| status.state.name());
        out.extend_from_slice(b"{\"symbol\":");
        write_text(out, &instrument.name);
        out.extend_from_slice(b",\"venue\":");
        write_text(out, spec.venue.name());
        out.extend_from_slice(b",\"venue_symbol\":");
        write_text(out, &spec.venue_symbol);
        out.extend_from_slice(b",\"tick_size\":");
        write_increment(out, spec.tick_size);
        out.extend_from_slice(b",\"lot_size\":");
        write_increment(out, spec.lot_size);
        out.extend_from_slice(b",\"state\":");
        write_text(out, state);
        out.push(b'}');
    }
}

impl Source for HubSource {
    fn instruments(&self, query: &str, who: &Who, out: &mut Vec<u8>) -> Result<(), Refusal> {
        let pattern = read_symbol(query)?;
        let known = self.hub.directory().list_from(0);
        out.extend_from_slice(b"{\"instruments\":[");
        let is_shown = |instrument: &&Arc<Instrument>| {
            who.may_see(&instrument.name) && matches(&pattern, instrument)
        };
        for instrument in known.iter().filter(is_shown) {
            next_item(out);
            self.write_instrument(instrument, out);
        }
        out.extend_from_slice(b"]}");
        Ok(())
    }

    fn snapshot(&self, query: &str, who: &Who, out: &mut Vec<u8>) -> Result<(), Refusal> {
        let asked = read_subscription(query)?;
        let instruments = find(self.hub.directory(), &asked, who, SNAPSHOT_SYMBOLS_MAX)?;
        let mut scratch = Scratch::default();
        open_message(out, asked.view.channel(), Kind::Snapshot);
        let key = |instrument: &Instrument| TopicKey {
            instrument: instrument.index,
            view: asked.view,
            tier: Tier::default(),
            fields: asked.fields,
            encoding: Encoding::Json,
        };
        let keys: Vec<TopicKey> = instruments.iter().map(|instrument| key(instrument)).collect();
        let _held = self.until_told(&keys)?;
        let now = (self.clock)();
        for key in keys {
            next_item(out);
            self.hub.item(&key, now, &mut scratch, out);
            if out.len() > SNAPSHOT_BYTES_MAX {
                let most = SNAPSHOT_BYTES_MAX >> 20;
                return Err(Refusal::too_large(format!("symbol: more than {most} MiB of answer")));
            }
        }
        close_message(out);
        Ok(())
    }

    fn check_events(&self, query: &str, who: &Who) -> Result<(), Refusal> {
        let asked = read_subscription(query)?;
        let directory = self.hub.directory();
        for pattern in asked.symbols.iter().filter(|pattern| matches!(pattern, Pattern::Exact(_))) {
            // One that is not there yet is waited for while the list is not complete.
            match find_exact(directory, pattern.as_str(), who) {
                Ok(instrument) => check_right(&instrument, &asked, who)?,
                Err(refusal) if refusal.status != 503 => return Err(refusal),
                Err(_) => {}
            }
        }
        Ok(())
    }
}

/// Streams that are held for a moment.
struct Held<'a> {
    hub: &'a Hub,
    topics: Vec<(TopicKey, TopicId)>,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        for (key, id) in &self.topics {
            self.hub.release(ShardIndex::NOBODY, key, *id);
        }
    }
}

fn read_subscription(query: &str) -> Result<Subscribe, Refusal> {
    parse_query(query, &ALSO).map_err(|error| Refusal::bad_request(error.error))
}

/// The pattern of `/v1/instruments`: its only option.
fn read_symbol(query: &str) -> Result<Option<Pattern>, Refusal> {
    let mut pattern = None;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = percent_decode(value).map_err(Refusal::bad_request)?;
        match key {
            "symbol" if pattern.is_some() => {
                return Err(Refusal::bad_request("symbol: given twice"));
            }
            "symbol" if value.is_empty() => return Err(Refusal::bad_request("symbol: empty")),
            "symbol" => pattern = Some(Pattern::new(value)),
            key if ALSO.contains(&key) => {}
            key => {
                let shown: String = key.chars().take(64).collect();
                return Err(Refusal::bad_request(format!("{shown}: unknown; known is symbol")));
            }
        }
    }
    Ok(pattern)
}

fn matches(pattern: &Option<Pattern>, instrument: &Instrument) -> bool {
    match pattern {
        None => true,
        Some(Pattern::Glob(glob)) => glob.matches(&instrument.name),
        Some(Pattern::Exact(name)) => *name == *instrument.name || *name == instrument.spec.symbol,
    }
}

/// The instruments that are asked for, each once, in the order of the query; those of a glob in
/// the directory's.
fn find(
    directory: &Directory,
    asked: &Subscribe,
    who: &Who,
    most: usize,
) -> Result<Vec<Arc<Instrument>>, Refusal> {
    let mut found: Vec<Arc<Instrument>> = Vec::new();
    let mut seen = rustc_hash::FxHashSet::default();
    for pattern in &asked.symbols {
        let matched = match pattern {
            Pattern::Exact(name) => {
                let instrument = find_exact(directory, name, who)?;
                check_right(&instrument, asked, who)?;
                vec![instrument]
            }
            Pattern::Glob(glob) => {
                let mut known = directory.list_from(0);
                known.retain(|instrument| {
                    who.may_receive(&instrument.name, asked.view.channel())
                        && glob.matches(&instrument.name)
                });
                known
            }
        };
        found.extend(matched.into_iter().filter(|instrument| seen.insert(instrument.index)));
        if found.len() > most {
            let error = format!("symbol: {} instruments are more than {most}", found.len());
            return Err(Refusal::too_large(error));
        }
    }
    Ok(found)
}

fn check_right(instrument: &Instrument, asked: &Subscribe, who: &Who) -> Result<(), Refusal> {
    let (name, channel) = (&instrument.name, asked.view.channel());
    if who.may_receive(name, channel) {
        return Ok(());
    }
    let channel = channel.name();
    Err(Refusal::not_entitled(format!("symbol: no right to {channel} of {name:?}")))
}

/// The instrument of that name; a bare symbol where just one venue has it.
fn find_exact(directory: &Directory, name: &str, who: &Who) -> Result<Arc<Instrument>, Refusal> {
    if let Some(instrument) = directory.find(name) {
        return Ok(instrument);
    }
    let mut bare = if name.contains(':') { Vec::new() } else { directory.find_bare(name) };
    if bare.len() > 1 {
        let seen = bare.iter().map(|instrument| &*instrument.name).filter(|name| who.may_see(name));
        let names: Vec<&str> = seen.take(5).collect();
        let error = format!("symbol: {name:?} is ambiguous: {}", names.join(", "));
        return Err(Refusal::bad_request(error));
    }
    match bare.pop() {
        Some(instrument) => Ok(instrument),
        None if directory.is_complete() => {
            Err(Refusal::not_found(format!("symbol: {name:?} is unknown")))
        }
        None => {
            let error =
                format!("symbol: {name:?} is not known yet; the venue's list is on its way");
            Err(Refusal::overloaded(Reason::Starting, error))
        }
    }
}

fn write_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(serde_json::Value::from(text).to_string().as_bytes());
}

fn write_increment(out: &mut Vec<u8>, increment: Option<Decimal>) {
    match increment {
        Some(increment) => {
            out.push(b'"');
            write_decimal(out, increment.mantissa.into(), increment.scale);
            out.push(b'"');
        }
        None => out.extend_from_slice(b"null"),
    }
}
