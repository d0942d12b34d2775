//! What a shard counts, in plain integers, and gives up to the metrics once per turn.

use crate::connection::{Connection, Framing};
use crate::flush_mode::FlushMode;
use crate::inflate::Counts;
use crate::metrics::Metrics;
use crate::sent_kind::SentKind;
use crate::shard_ages::LocalAges;
use crate::shard_pass::Pass;
use prometheus::{Histogram, IntCounter, IntGauge};
use tickcast_market::Nanos;
use tickcast_publisher::ShardIndex;
use tickcast_wire::{Channel, ErrorCode, Method};

/// By the place of their counters.
const SEND_MODES: [FlushMode; 2] = [FlushMode::Send, FlushMode::Uring];

const CHANNELS: usize = Channel::ALL.len();

/// A shard's figures since they were last given up.
#[derive(Debug)]
pub(crate) struct Tally {
    /// Sends, one by one and through a ring.
    sends: [u64; 2],
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
    ages: LocalAges,
    publish_to_write: LocalAges,
    given: Given,
}

/// The counters that the figures are given to, resolved once.
#[derive(Debug)]
struct Given {
    metrics: Metrics,
    sent: [(IntCounter, IntCounter); SentKind::COUNT],
    subscriptions: [IntGauge; CHANNELS],
    sends: [IntCounter; 2],
    overruns: IntCounter,
    turn: Histogram,
    /// Of what is sent, and of what comes.
    deflate: [GivenDeflate; 2],
}

/// The counters of compressed messages in one direction.
#[derive(Debug)]
struct GivenDeflate {
    messages: IntCounter,
    plain: IntCounter,
    compressed: IntCounter,
}

impl GivenDeflate {
    fn new(metrics: &Metrics, direction: &str) -> GivenDeflate {
        let bytes = |form| metrics.compressed_bytes.with_label_values(&[direction, form]);
        GivenDeflate {
            messages: metrics.compressed_messages.with_label_values(&[direction]),
            plain: bytes("plain"),
            compressed: bytes("compressed"),
        }
    }
}

impl Tally {
    pub(crate) fn new(metrics: &Metrics, shard: ShardIndex) -> Tally {
        let shard = shard.0.to_string();
        Tally {
            sends: [0; 2],
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
            ages: LocalAges::new(&metrics.age_at_write),
            publish_to_write: LocalAges::new(&metrics.publish_to_write),
            given: Given {
                sent: SentKind::all().map(|kind| metrics.sent(kind.channel(), kind.encoding())),
                subscriptions: Channel::ALL
                    .map(|channel| metrics.subscriptions.with_label_values(&[channel.name()])),
                sends: SEND_MODES.map(|mode| metrics.sends.with_label_values(&[mode.name()])),
                overruns: metrics.shard_overruns.with_label_values(&[&shard]),
                turn: metrics.shard_turn.with_label_values(&[&shard]),
                deflate: ["out", "in"].map(|direction| GivenDeflate::new(metrics, direction)),
                metrics: metrics.clone(),
            },
        }
    }

    /// Counts a send.
    pub(crate) fn sent(&mut self, through_ring: bool) {
        self.sends[usize::from(through_ring)] += 1;
    }

    /// Says how this shard sends from now on.
    pub(crate) fn sends_by(&self, mode: FlushMode) {
        for each in SEND_MODES {
            let gauge = self.given.metrics.flush_mode.with_label_values(&[each.name()]);
            gauge.set(i64::from(each == mode));
        }
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
        }
    }

    pub(crate) fn opened(&self, framing: Framing) {
        let labels = [framing.name()];
        self.given.metrics.connections.with_label_values(&labels).inc();
        self.given.metrics.connections_opened.with_label_values(&labels).inc();
    }

    pub(crate) fn ended(&self, framing: Framing) {
        self.given.metrics.connections.with_label_values(&[framing.name()]).dec();
    }

    pub(crate) fn closed(&self, code: u16) {
        // Codes of a client's own choice must not become labels without end.
        let code = match code {
            1000..=1015 | 4400..=4599 => code.to_string(),
            _ => "other".to_owned(),
        };
        self.given.metrics.connections_closed.with_label_values(&[&code]).inc();
    }

    /// Counts a request and how it was answered; without a method it could not be read.
    pub(crate) fn request(&self, method: Option<Method>, error: Option<ErrorCode>) {
        let method = method.map_or("unknown", Method::name);
        let requests = &self.given.metrics.requests;
        match error {
            None => requests.with_label_values(&[method, "ok"]).inc(),
            Some(code) => requests.with_label_values(&[method, &code.number().to_string()]).inc(),
        }
    }

    /// Gives everything to the metrics; the turn lasted from `began` to `ended`.
    pub(crate) fn give_up(&mut self, pass: &mut Pass, began: Nanos, ended: Nanos) {
        for frame in pass.frames.iter_mut().filter(|frame| frame.written > 0) {
            let times = std::mem::take(&mut frame.written);
            let kind = frame.kind.index();
            self.messages[kind] += u64::from(times);
            self.bytes[kind] += u64::from(times) * u64::from(frame.len);
            if let Some(venue) = frame.venue {
                self.ages.observe(venue, ended.since(frame.ts_recv), times);
                self.publish_to_write.observe(venue, ended.since(frame.ts_publish), times);
            }
        }
        self.count_twins(pass);
        self.ages.give_up();
        self.publish_to_write.give_up();
        let given = &self.given;
        for (kind, (messages, bytes)) in given.sent.iter().enumerate() {
            add(messages, &mut self.messages[kind]);
            add(bytes, &mut self.bytes[kind]);
        }
        for channel in 0..CHANNELS {
            if self.subscriptions[channel] != 0 {
                given.subscriptions[channel].add(std::mem::take(&mut self.subscriptions[channel]));
            }
        }
        for (counter, sends) in given.sends.iter().zip(&mut self.sends) {
            add(counter, sends);
        }
        add(&given.overruns, &mut self.overruns);
        add(&given.metrics.merged_updates, &mut self.merged);
        add(&given.metrics.lagging, &mut self.lagged);
        add(&given.metrics.panics, &mut self.panics);
        add(&given.metrics.compressions, &mut self.compressions);
        for (given, counts) in given.deflate.iter().zip([&mut self.deflated, &mut self.inflated]) {
            add(&given.messages, &mut counts.messages);
            add(&given.plain, &mut counts.plain);
            add(&given.compressed, &mut counts.compressed);
        }
        if self.lagging != 0 {
            given.metrics.lagging_connections.add(std::mem::take(&mut self.lagging));
        }
        given.turn.observe(ended.since(began).as_secs_f64().max(0.0));
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

fn add(counter: &IntCounter, figure: &mut u64) {
    if *figure > 0 {
        counter.inc_by(std::mem::take(figure));
    }
}
