//! What was true at which seq: every state that a stream had between two turns of its publisher.
//!
//! Whoever holds (epoch, seq) of a stream must hold just that state. Books and trades are known
//! from the market itself, tickers and bars from the publisher's own snapshots.

use crate::held::Held;
use crate::market::Market;
use crate::message::{Body, DEPTHS, FIELDS, Item, Kind, field_hash};
use rustc_hash::FxHashMap;
use serde_json::Value;
use tickcast_market::{Epoch, InstrumentIndex, Interval, Nanos, Seq, Since};
use tickcast_publisher::{Ask, Hub, Scratch, Served, Tier, TopicKey};
use tickcast_wire::{Depth, Encoding, FieldSet, View};

#[derive(Clone, Debug)]
enum State {
    Ticker([u64; FIELDS.len()]),
    Trades,
    Book { sums: [u64; DEPTHS.len()], checksum: u64 },
    Bars { oldest: i64, sum: u64 },
}

#[derive(Clone, Debug)]
struct Entry {
    state: State,
    /// The instrument's status then: nobody may see this state before that.
    status: u64,
}

/// What a client is told of an instrument's status.
pub(crate) type StatusFact = (&'static str, i64);

/// (epoch, seq).
pub(crate) type Mark = (u64, u64);

#[derive(Debug, Default)]
pub(crate) struct Truth {
    entries: FxHashMap<(u32, Kind, Mark), Entry>,
    statuses: FxHashMap<(u32, Mark), StatusFact>,
    /// Where each stream stands.
    now: FxHashMap<(u32, Kind), Mark>,
    status_now: FxHashMap<u32, Mark>,
    scratch: Scratch,
    bytes: Vec<u8>,
}

fn view_of(kind: Kind) -> View {
    match kind {
        Kind::Ticker => View::Ticker,
        Kind::Trades => View::Trades,
        Kind::Book => View::Book(Depth::TEN),
        Kind::Bars(interval) => View::Bars(Interval::ALL[usize::from(interval)]),
    }
}

fn key_of(instrument: u32, kind: Kind) -> TopicKey {
    TopicKey {
        instrument: InstrumentIndex(instrument),
        view: view_of(kind),
        tier: Tier(0),
        fields: FieldSet::ALL,
        encoding: Encoding::Json,
    }
}

impl Truth {
    /// Takes note of everything that has changed since the last call.
    pub(crate) fn record(
        &mut self,
        market: &mut Market,
        hub: &Hub,
        now: Nanos,
    ) -> Result<(), String> {
        for at in 0..market.instruments.len() {
            let instrument = at as u32;
            let Some(status) = hub.status(InstrumentIndex(instrument)) else {
                return Err(format!("the publisher does not know {}", market.instruments[at].name));
            };
            let mark = (status.epoch.0, status.seq.0);
            let fact = (status.state.name(), status.ts_state.micros());
            self.status_now.insert(instrument, mark);
            self.statuses.insert((instrument, mark), fact);
            for kind in [Kind::Ticker, Kind::Bars(0), Kind::Bars(1), Kind::Bars(2), Kind::Bars(3)] {
                if self.has_moved(instrument, kind, hub, now) {
                    self.record_stream(instrument, kind, market, hub, now)?;
                }
            }
            if market.instruments[at].take_book_changed() {
                self.record_stream(instrument, Kind::Book, market, hub, now)?;
            }
            // All data of an instrument has one epoch; a trade's seq is its number.
            let epoch = self.now[&(instrument, Kind::Ticker)].0;
            let mark = (epoch, market.trades(instrument));
            self.set(instrument, Kind::Trades, mark, State::Trades);
        }
        Ok(())
    }

    fn has_moved(&mut self, instrument: u32, kind: Kind, hub: &Hub, now: Nanos) -> bool {
        let Some((epoch, seq)) = self.now.get(&(instrument, kind)).copied() else { return true };
        let since = Since { epoch: Epoch(epoch), seq: Seq(seq) };
        let ask = Ask { key: key_of(instrument, kind), since, always: false, bare: false };
        self.bytes.clear();
        match hub.serve(&ask, now, &mut self.scratch, &mut self.bytes) {
            Served::Nothing => false,
            Served::Frame { epoch, seq, .. } => since != Since { epoch, seq },
        }
    }

    fn set(&mut self, instrument: u32, kind: Kind, mark: Mark, state: State) {
        if self.now.insert((instrument, kind), mark) != Some(mark) {
            let status = self.status_now[&instrument].1;
            self.entries.insert((instrument, kind, mark), Entry { state, status });
        }
    }

    fn record_stream(
        &mut self,
        instrument: u32,
        kind: Kind,
        market: &Market,
        hub: &Hub,
        now: Nanos,
    ) -> Result<(), String> {
        let item = self.item(instrument, kind, market, hub, now)?;
        let state = match item.body {
            Body::Ticker(fields) => {
                let mut hashes = [0; FIELDS.len()];
                fields.iter().for_each(|(at, value)| hashes[*at] = field_hash(*at, *value));
                State::Ticker(hashes)
            }
            Body::Book { ref levels, checksum, .. } => {
                let (sums, true_checksum) = market.instruments[instrument as usize].book();
                let mut held = Held::default();
                held.take(&item, market)?;
                if (held.levels_sum, checksum) != (sums[0], true_checksum) {
                    return Err(format!("the publisher's book of {instrument} is {levels:?}"));
                }
                State::Book { sums, checksum }
            }
            Body::Bars(bars) => State::Bars {
                oldest: bars.first().map_or(0, |(start, _)| *start),
                sum: bars.iter().fold(0, |sum, (_, hash)| sum.wrapping_add(*hash)),
            },
            Body::Trades(_) => State::Trades,
        };
        self.set(instrument, kind, (item.epoch, item.seq), state);
        Ok(())
    }

    /// The publisher's own snapshot.
    pub(crate) fn item(
        &mut self,
        instrument: u32,
        kind: Kind,
        market: &Market,
        hub: &Hub,
        now: Nanos,
    ) -> Result<Item, String> {
        self.bytes.clear();
        hub.item(&key_of(instrument, kind), now, &mut self.scratch, &mut self.bytes);
        let value: Value = serde_json::from_slice(&self.bytes).map_err(|e| e.to_string())?;
        let item = value.as_object().ok_or("an item is no object")?;
        Item::parse(kind.channel(), true, item, market).map_err(|error| format!("{error}: {value}"))
    }

    /// Whether a status is one that the instrument had.
    pub(crate) fn check_status(
        &self,
        instrument: u32,
        mark: Mark,
        told: (&str, i64),
    ) -> Result<(), String> {
        match self.statuses.get(&(instrument, mark)) {
            Some(fact) if *fact == told => Ok(()),
            fact => Err(format!("status {mark:?} told as {told:?} was {fact:?}")),
        }
    }

    /// The seq of the status that has to be told before a stream's state.
    pub(crate) fn status_before(
        &self,
        instrument: u32,
        kind: Kind,
        mark: Mark,
    ) -> Result<u64, String> {
        let entry = self.entries.get(&(instrument, kind, mark));
        entry.map(|entry| entry.status).ok_or_else(|| format!("{mark:?} never was"))
    }

    /// Whether what a client holds is what was true at its seq. Of a ticker `fields` count.
    pub(crate) fn check(
        &self,
        instrument: u32,
        kind: Kind,
        fields: u16,
        held: &mut Held,
    ) -> Result<(), String> {
        let mark = (held.epoch, held.seq);
        let entry = self.entries.get(&(instrument, kind, mark));
        let entry = entry.ok_or_else(|| format!("{mark:?} never was"))?;
        compare(&entry.state, fields, held).map_err(|error| format!("at {mark:?}: {error}"))
    }

    /// Whether it is what is true now. What is not visible in a view may have moved on.
    pub(crate) fn check_present(
        &self,
        instrument: u32,
        kind: Kind,
        fields: u16,
        held: &mut Held,
    ) -> Result<(), String> {
        let now = self.now[&(instrument, kind)];
        let at = (held.epoch, held.seq);
        let may_lag = matches!(kind, Kind::Ticker | Kind::Book) && at.0 == now.0 && at.1 <= now.1;
        if at != now && !may_lag {
            return Err(format!("is at {at:?}, the publisher at {now:?}"));
        }
        let state = &self.entries[&(instrument, kind, now)].state;
        let state = match (state, kind) {
            // A checksum comes with a change that is visible.
            (State::Book { sums, .. }, Kind::Book) => {
                &State::Book { sums: *sums, checksum: held.checksum }
            }
            (state, _) => state,
        };
        compare(state, fields, held).map_err(|error| format!("at {at:?}, now {now:?}: {error}"))
    }

    /// Where an instrument's status stands.
    pub(crate) fn status_now(&self, instrument: u32) -> Mark {
        self.status_now[&instrument]
    }
}

fn compare(state: &State, fields: u16, held: &mut Held) -> Result<(), String> {
    match state {
        State::Ticker(hashes) => {
            for (at, name) in FIELDS.iter().enumerate() {
                if fields & 1 << at != 0 && hashes[at] != held.fields[at] {
                    return Err(format!("{name} is another"));
                }
            }
        }
        State::Trades => {}
        State::Book { sums, checksum } => {
            let at = DEPTHS.iter().position(|depth| *depth == held.depth).ok_or("no such depth")?;
            if held.levels_sum != sums[at] {
                return Err("the levels are others".to_owned());
            }
            if held.checksum != *checksum {
                return Err(format!("checksum {} is not {checksum}", held.checksum));
            }
        }
        State::Bars { oldest, sum } => {
            if held.bars_from(*oldest) != *sum {
                return Err("the bars are others".to_owned());
            }
        }
    }
    Ok(())
}
