//! What gateways ask the publisher: `diff(since)` of streams, and the list of instruments.

use crate::messages::{Answer, Answers, Asks, Instrument, List, ListRequest, Relayed};
use crate::stream::{StreamKey, view_named};
use crate::teller::Teller;
use bytes::Bytes;
use prost::Message;
use std::sync::Arc;
use tickcast_market::{Epoch, Nanos, Seq, Since};
use tickcast_publisher::Served;

/// An answer's payload is about so much at most, also where NATS takes more.
const ANSWER_BYTES_MAX: usize = 512 << 10;

/// What an answer's or an instrument's place in its list takes besides it.
const ENTRY_BYTES: usize = 16;

/// Questions in one request that are looked at; the others are to be asked again.
const ASKS_MAX: usize = 1_024;

/// Instruments in one part of the list.
const LISTED_MAX: usize = 2_000;

impl Teller {
    /// Answers `diff(since)` of the streams that are asked for, and carries them from then on. What
    /// does not fit into `payload_max` bytes is left out, and asked for again. `None`: it cannot be read.
    pub fn answer_asks(&mut self, asks: &Bytes, payload_max: usize, now: Nanos) -> Option<Bytes> {
        let asks = self.read(Asks::decode(asks.clone()), asks.len())?.asks;
        let (mut answers, mut bytes) = (Vec::new(), 0);
        for (number, ask) in asks.iter().take(ASKS_MAX).enumerate() {
            let since = Since { epoch: Epoch(ask.epoch), seq: Seq(ask.seq) };
            let answer = Answer {
                ask: number as u32,
                diff: self.answer(&ask.symbol, &ask.stream, since, now),
            };
            bytes += answer.encoded_len() + ENTRY_BYTES;
            if bytes > payload_max.min(ANSWER_BYTES_MAX) && !answers.is_empty() {
                break;
            }
            answers.push(answer);
        }
        Some(Answers { answers }.encode_to_vec().into())
    }

    fn answer(&mut self, symbol: &str, stream: &str, since: Since, now: Nanos) -> Option<Relayed> {
        let instrument = self.hub.directory().find(symbol)?;
        let key = StreamKey { instrument: instrument.index, view: view_named(stream)? };
        if !self.carry(key, &instrument, now) {
            return None;
        }
        let carried = self.carried.get(&key)?;
        let (ask, topic) = (carried.ask(since, true), carried.key);
        let mut frame = Vec::new();
        if since.seq != Seq(0)
            && let Served::Frame { epoch, prev, head_len, .. } =
                self.hub.serve(&ask, now, &mut self.scratch, &mut frame)
            && prev != Seq(0)
        {
            frame.drain(..usize::from(head_len));
            return Some(Relayed { epoch: epoch.0, ts_recv: now.micros(), message: frame.into() });
        }
        frame.clear();
        let (since, ts_recv) = self.hub.whole(&topic, now, &mut self.scratch, &mut frame)?;
        Some(Relayed { epoch: since.epoch.0, ts_recv: ts_recv.micros(), message: frame.into() })
    }

    /// Answers with a part of the list of instruments, of at most `payload_max` bytes. `None`: the
    /// request cannot be read.
    pub fn answer_list(&self, request: Bytes, payload_max: usize) -> Option<Bytes> {
        let bytes = request.len();
        let from = self.read(ListRequest::decode(request), bytes)?.from;
        let known = self.hub.directory().list_from(usize::try_from(from).unwrap_or(usize::MAX));
        let (mut instruments, mut bytes) = (Vec::new(), 2 * ENTRY_BYTES);
        for instrument in known.iter().take(LISTED_MAX).map(|known| self.listed(known)) {
            bytes += instrument.encoded_len() + ENTRY_BYTES;
            if bytes > payload_max && !instruments.is_empty() {
                break;
            }
            instruments.push(instrument);
        }
        let list = List { from, instruments, status_changes: self.status_changes };
        Some(list.encode_to_vec().into())
    }

    fn listed(&self, instrument: &Arc<tickcast_market::Instrument>) -> Instrument {
        let spec = &instrument.spec;
        let increment = |size: Option<tickcast_market::Decimal>| {
            size.map_or_else(String::new, |size| size.to_string())
        };
        let state = self.hub.status(instrument.index).map(|status| status.state);
        Instrument {
            venue: spec.venue.name().to_owned(),
            symbol: spec.symbol.clone(),
            venue_symbol: spec.venue_symbol.clone(),
            tick_size: increment(spec.tick_size),
            lot_size: increment(spec.lot_size),
            price_scale: spec.scales.price.into(),
            size_scale: spec.scales.size.into(),
            volume_scale: spec.scales.volume.into(),
            state: tickcast_wire::state_number(state.unwrap_or_default()),
        }
    }

    fn read<T>(&self, request: Result<T, prost::DecodeError>, bytes: usize) -> Option<T> {
        self.metrics.received(bytes);
        self.metrics.requests.inc();
        if let Err(error) = &request {
            self.metrics.decode_errors.inc();
            tracing::warn!(%error, "bus: a request that cannot be read");
        }
        request.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::Ask;
    use tickcast_market::{Directory, InstrumentSpec, Scales, Venue};
    use tickcast_publisher::{Config, Publisher, Resync, ShardIndex, Tiers};

    const COUNT: usize = 50;

    fn teller() -> Teller {
        let directory = Arc::new(Directory::default());
        for number in 0..COUNT {
            directory.add(&InstrumentSpec {
                venue: Venue::Sim,
                symbol: format!("S{number}-USD"),
                venue_symbol: format!("S{number}"),
                tick_size: None,
                lot_size: None,
                scales: Scales { price: 1, size: 0, volume: 0 },
            });
        }
        let config = Config {
            run: 7,
            tiers: Tiers::default(),
            partitions: 1,
            wakes: vec![Arc::new(|| {})],
            resync: Resync(Arc::new(|_| true)),
        };
        let mut publisher = Publisher::new(config, directory);
        let metrics = crate::Metrics::new(&prometheus::Registry::new()).unwrap();
        Teller::new(publisher.hub, (ShardIndex(0), publisher.feeds.remove(0)), metrics)
    }

    #[test]
    fn answers_and_lists_fit_into_what_the_server_takes_and_end_with_everything() {
        const PAYLOAD_MAX: usize = 700;
        let mut teller = teller();
        let mut left: Vec<usize> = (0..COUNT).collect();
        while !left.is_empty() {
            let ask = |number: &usize| Ask {
                symbol: format!("sim:S{number}-USD"),
                stream: "ticker".into(),
                epoch: 0,
                seq: 0,
            };
            let asks = Asks { asks: left.iter().map(ask).collect() }.encode_to_vec().into();
            let payload = teller.answer_asks(&asks, PAYLOAD_MAX, Nanos::from_secs(1)).unwrap();
            assert!(payload.len() <= PAYLOAD_MAX, "{} bytes", payload.len());
            let answers = Answers::decode(payload).unwrap().answers;
            assert!(answers.len() > 1 && answers.iter().all(|answer| answer.diff.is_some()));
            left.drain(..answers.len());
        }
        let mut listed = 0;
        while listed < COUNT {
            let request = ListRequest { from: listed as u64 }.encode_to_vec().into();
            let payload = teller.answer_list(request, PAYLOAD_MAX).unwrap();
            assert!(payload.len() <= PAYLOAD_MAX, "{} bytes", payload.len());
            let part = List::decode(payload).unwrap().instruments.len();
            assert!(part > 1 && part < COUNT, "{part} at once");
            listed += part;
        }
        assert_eq!(listed, COUNT);
    }
}
