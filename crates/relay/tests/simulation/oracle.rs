//! What publishers said: the state of every stream at every (epoch, seq).

use rustc_hash::{FxHashMap, FxHasher};
use std::hash::Hasher;
use tickcast_market::{InstrumentIndex, Interval, Nanos, Since};
use tickcast_publisher::{Hub, Scratch, Tier, TopicKey};
use tickcast_wire::{Depth, Encoding, FieldSet, View};

/// What travels in the simulation.
pub(crate) const VIEWS: [View; 4] =
    [View::Ticker, View::Trades, View::Book(Depth::DEEPEST), View::Bars(Interval::S1)];

pub(crate) fn topic(instrument: usize, view: View) -> TopicKey {
    TopicKey {
        instrument: InstrumentIndex(instrument as u32),
        view,
        tier: Tier(0),
        fields: FieldSet::ALL,
        encoding: Encoding::Json,
    }
}

/// A stream's state as text, without what differs between two processes; `None` while it is awaited.
pub(crate) fn state(hub: &Hub, instrument: usize, view: View) -> Option<(Since, String)> {
    let (mut scratch, mut out) = (Scratch::default(), Vec::new());
    // At the same moment everywhere, for the time of publication.
    if !hub.item(&topic(instrument, view), Nanos::ZERO, &mut scratch, &mut out) {
        return None;
    }
    let mut text = String::from_utf8(out).expect("JSON is text");
    let number = |name: &str| {
        let (_, rest) = text.split_once(name).expect("it is in every item");
        let digits = rest.find(|c: char| !c.is_ascii_digit()).expect("something follows");
        rest[..digits].parse().expect("digits")
    };
    let (epoch, seq) = (number("\"epoch\":"), number("\"seq\":"));
    let since = Since { epoch: tickcast_market::Epoch(epoch), seq: tickcast_market::Seq(seq) };
    if let Some(at) = text.find("\"state\":\"") {
        let end = at + 9 + text[at + 9..].find('"').expect("a state ends");
        text.replace_range(at..end, "");
    }
    Some((since, text))
}

#[derive(Debug, Default)]
pub(crate) struct Oracle(FxHashMap<(usize, View, Since), u64>);

fn hash(text: &str) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write(text.as_bytes());
    hasher.finish()
}

impl Oracle {
    /// A publisher has had a turn.
    pub(crate) fn note(&mut self, hub: &Hub, instruments: usize) {
        for instrument in 0..instruments {
            for view in VIEWS {
                let Some(now) = hub.now(InstrumentIndex(instrument as u32), view) else { continue };
                if self.0.contains_key(&(instrument, view, now)) {
                    continue;
                }
                let (since, text) = state(hub, instrument, view).expect("a publisher has a state");
                assert_eq!(since, now, "an item says where its stream is");
                self.0.insert((instrument, view, now), hash(&text));
            }
        }
    }

    /// Whether a publisher's state was this at this (epoch, seq); `None` where none was there.
    pub(crate) fn agrees(
        &self,
        instrument: usize,
        view: View,
        since: Since,
        text: &str,
    ) -> Option<bool> {
        self.0.get(&(instrument, view, since)).map(|known| *known == hash(text))
    }
}
