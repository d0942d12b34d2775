//! What gateways ask the publisher: `diff(since)` of streams, and the list of instruments.

use crate::messages::{Answer, Answers, Asks, Instrument, List, ListRequest, Relayed};
use crate::outlet::Outlet;
use crate::stream::{StreamKey, view_named};
use async_nats::Subject;
use prost::Message;
use std::sync::Arc;
use tickcast_market::{Epoch, Seq, Since};
use tickcast_publisher::Served;

/// An answer's payload, at most so much and one diff; NATS takes 1 MiB by default.
const ANSWER_BYTES_MAX: usize = 512 << 10;

/// Questions in one request that are looked at; the others are to be asked again.
const ASKS_MAX: usize = 1_024;

/// Instruments in one part of the list.
const LISTED_MAX: usize = 2_000;

impl Outlet {
    /// Answers `diff(since)` of the streams that are asked for, and carries them from then on.
    pub(crate) async fn answer_asks(&mut self, request: async_nats::Message) {
        self.bus.metrics.received(request.payload.len());
        self.bus.metrics.requests.inc();
        let Some(reply) = request.reply else { return };
        let asks = match Asks::decode(request.payload) {
            Ok(Asks { asks }) => asks,
            Err(error) => return self.cannot_read(&error),
        };
        let (mut answers, mut bytes) = (Vec::new(), 0);
        for (number, ask) in asks.iter().take(ASKS_MAX).enumerate() {
            if bytes > ANSWER_BYTES_MAX {
                break;
            }
            let since = Since { epoch: Epoch(ask.epoch), seq: Seq(ask.seq) };
            let diff = self.answer(&ask.symbol, &ask.stream, since);
            bytes += diff.as_ref().map_or(0, |diff| diff.message.len());
            answers.push(Answer { ask: number as u32, diff });
        }
        self.reply(reply, Answers { answers }.encode_to_vec()).await;
    }

    fn answer(&mut self, symbol: &str, stream: &str, since: Since) -> Option<Relayed> {
        let instrument = self.hub.directory().find(symbol)?;
        let key = StreamKey { instrument: instrument.index, view: view_named(stream)? };
        if !self.carry(key, &instrument) {
            return None;
        }
        let carried = self.carried.get(&key)?;
        let (ask, topic) = (carried.ask(since, true), carried.key);
        self.message.clear();
        let now = self.now();
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

    /// Answers with a part of the list of instruments.
    pub(crate) async fn answer_list(&mut self, request: async_nats::Message) {
        self.bus.metrics.received(request.payload.len());
        self.bus.metrics.requests.inc();
        let Some(reply) = request.reply else { return };
        let from = match ListRequest::decode(request.payload) {
            Ok(ListRequest { from }) => from,
            Err(error) => return self.cannot_read(&error),
        };
        let known = self.hub.directory().list_from(usize::try_from(from).unwrap_or(usize::MAX));
        let instruments = known.iter().take(LISTED_MAX).map(|known| self.listed(known)).collect();
        let list = List { from, instruments, status_changes: self.status_changes() };
        self.reply(reply, list.encode_to_vec()).await;
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

    async fn reply(&self, reply: Subject, payload: Vec<u8>) {
        self.publish(reply, payload.into()).await;
    }

    fn cannot_read(&self, error: &prost::DecodeError) {
        self.bus.metrics.decode_errors.inc();
        tracing::warn!(%error, "bus: a request that cannot be read");
    }
}
