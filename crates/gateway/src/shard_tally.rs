//! What a shard counts, in plain integers, and puts into its sheet once per turn.

use crate::connection::{Connection, Framing};
use crate::flush_mode::FlushMode;
use crate::inflate::Counts;
use crate::metrics::Metrics;
use crate::sent_kind::SentKind;
use crate::shard_log::ShardLog;
use crate::shard_pass::Pass;
use crate::shard_sheet::{SEND_MODES, Sheet};
use std::sync::Arc;
use tickcast_market::{Nanos, Venue};
use tickcast_publisher::ShardIndex;
use tickcast_wire::{Channel, ErrorCode, Method};

const CHANNELS: usize = Channel::ALL.len();

/// A shard's figures since they were last given up.
#[derive(Debug)]
pub(crate) struct Tally {
    /// Sends, one by one and through a ring.
    sends: [u64; SEND_MODES.len()],
    /// Updates that were merged into later ones.
    pub(crate) merged: u64,
    /// How often batches were lost.
    pub(crate) overruns: u64,
    /// Faults of ours while handling a connection.
    pub(crate) panics: u64,
    /// Messages that were compressed, each once for however many they went to.
    pub(crate) compressions: u64,
    /// Compressed messages that were sent, and that came.
    deflated: Counts,
    inflated: Counts,
    /// By the index of their kind.
    messages: [u64; SentKind::COUNT],
    bytes: [u64; SentKind::COUNT],
    subscriptions: [i64; CHANNELS],
    lagging: i64,
    lagged: u64,
    stamp: u32,
    sheet: Arc<Sheet>,
    /// What is counted here and happens to one connection is told there.
    pub(crate) log: ShardLog,
}

impl Tally {
    pub(crate) fn new(metrics: &Metrics, shard: ShardIndex) -> Tally {
        Tally {
            sends: [0; SEND_MODES.len()],
            merged: 0,
            overruns: 0,
            panics: 0,
            compressions: 0,
            deflated: Counts::default(),
            inflated: Counts::default(),
            messages: [0; SentKind::COUNT],
            bytes: [0; SentKind::COUNT],
            subscriptions: [0; CHANNELS],
            lagging: 0,
            lagged: 0,
            stamp: 0,
            sheet: metrics.sheet_of(shard),
            log: ShardLog::new(shard.0),
        }
    }

    /// Counts a send.
    pub(crate) fn sent(&mut self, through_ring: bool) {
        self.sends[usize::from(through_ring)] += 1;
    }

    /// Says how this shard sends from now on.
    pub(crate) fn sends_by(&self, mode: FlushMode) {
        for (each, figure) in SEND_MODES.into_iter().zip(&self.sheet.modes) {
            figure.set(u64::from(each == mode));
        }
    }

    /// An instrument of this venue has become known.
    pub(crate) fn knows(&self, venue: Venue) {
        self.sheet.venues[venue as usize].set(1);
    }

    /// A number that no status transition has had lately.
    pub(crate) fn next_stamp(&mut self) -> u32 {
        self.stamp = self.stamp.wrapping_add(1).max(1);
        self.stamp
    }

    /// Counts a message that was written for one connection alone.
    pub(crate) fn message(&mut self, kind: SentKind, bytes: usize) {
        self.messages[kind.index()] += 1;
        self.bytes[kind.index()] += bytes as u64;
    }

    /// Counts compressed messages that were sent; the bytes are those of one.
    pub(crate) fn compressed(&mut self, times: u32, plain: usize, compressed: usize) {
        self.deflated.messages += u64::from(times);
        self.deflated.plain += u64::from(times) * plain as u64;
        self.deflated.compressed += u64::from(times) * compressed as u64;
    }

    /// Counts compressed messages that came.
    pub(crate) fn inflated(&mut self, counts: Counts) {
        self.inflated.messages += counts.messages;
        self.inflated.plain += counts.plain;
        self.inflated.compressed += counts.compressed;
    }

    /// Streams that a connection has come to get, or no longer gets.
    pub(crate) fn subscribed(&mut self, channel: Channel, streams: i64) {
        self.subscriptions[channel as usize] += streams;
    }

    /// Notices that a connection has begun to lag, or no longer does.
    pub(crate) fn note_lag<S>(&mut self, connection: &mut Connection<S>) {
        let lags = connection.late_topics() > 0;
        if lags != connection.lagging {
            connection.lagging = lags;
            if connection.is_canary() {
                return;
            }
            self.lagging += if lags { 1 } else { -1 };
            self.lagged += u64::from(lags);
            self.log.lags(&connection.account, lags);
        }
    }

    pub(crate) fn opened(&self, framing: Framing) {
        let transport = Sheet::transport(framing);
        self.sheet.connections[transport].shift(1);
        self.sheet.opened[transport].add(1);
    }

    pub(crate) fn ended(&self, framing: Framing) {
        self.sheet.connections[Sheet::transport(framing)].shift(-1);
    }

    pub(crate) fn closed(&self, code: u16) {
        self.sheet.close(code).add(1);
    }

    /// Counts a request and how it was answered; without a method it could not be read.
    pub(crate) fn request(&self, method: Option<Method>, error: Option<ErrorCode>) {
        self.sheet.request(method, error).add(1);
    }

    /// Puts everything into the shard's sheet; the turn lasted from `began` to `ended`, and so many
    /// batches wait for the next.
    pub(crate) fn give_up(&mut self, pass: &mut Pass, began: Nanos, ended: Nanos, waiting: usize) {
        for frame in pass.frames.iter_mut().filter(|frame| frame.written > 0) {
            let times = std::mem::take(&mut frame.written);
            let kind = frame.kind.index();
            self.messages[kind] += u64::from(times);
            self.bytes[kind] += u64::from(times) * u64::from(frame.len);
            if let Some(venue) = frame.venue {
                let (venue, sheet) = (venue as usize, &self.sheet);
                sheet.age_at_write[venue].observe(ended.since(frame.ts_recv), times);
                sheet.publish_to_write[venue].observe(ended.since(frame.ts_publish), times);
            }
        }
        self.count_twins(pass);
        let sheet = &self.sheet;
        for kind in 0..SentKind::COUNT {
            sheet.messages[kind].take(&mut self.messages[kind]);
            sheet.bytes[kind].take(&mut self.bytes[kind]);
        }
        for (figure, streams) in sheet.subscriptions.iter().zip(&mut self.subscriptions) {
            figure.shift(std::mem::take(streams));
        }
        for (figure, sends) in sheet.sends.iter().zip(&mut self.sends) {
            figure.take(sends);
        }
        sheet.overruns.take(&mut self.overruns);
        sheet.merged.take(&mut self.merged);
        sheet.lagged.take(&mut self.lagged);
        sheet.panics.take(&mut self.panics);
        sheet.compressions.take(&mut self.compressions);
        sheet.lagging.shift(std::mem::take(&mut self.lagging));
        let both = [&mut self.deflated, &mut self.inflated];
        for (figures, counts) in sheet.compressed.iter().zip(both) {
            figures.messages.take(&mut counts.messages);
            figures.plain.take(&mut counts.plain);
            figures.compressed.take(&mut counts.compressed);
        }
        sheet.inbox.set(waiting as u64);
        sheet.turn.observe(ended.since(began), 1);
        self.log.pass(ended);
    }

    /// Frames that went out compressed were counted as if they had been plain.
    fn count_twins(&mut self, pass: &mut Pass) {
        let Pass { frames, twins, .. } = pass;
        for (number, twin) in twins.iter_mut().filter(|(_, twin)| twin.written > 0) {
            let times = std::mem::take(&mut twin.written);
            let frame = &frames[number as usize];
            self.bytes[frame.kind.index()] -= u64::from(times) * u64::from(frame.len - twin.len);
            self.compressed(times, frame.len as usize, twin.len as usize);
        }
    }
}
