//! The publisher's end: puts on the bus what its streams say, once for all gateways.
//!
//! To the publisher it is one more shard: it listens to topics (real time, protobuf) and gets their
//! frames in batches; the message of a frame is the bus's payload. A stream travels while some gateway
//! has asked for it lately. When NATS takes things too slowly the batches' channel fills, the outlet
//! is overrun like any shard, and each stream goes on with one `diff`.

use crate::bus::{Bus, stopped};
use crate::messages::{Beat, Relayed, StatusChange};
use crate::refusals::Subscription;
use crate::stream::{BEATS, StreamKey, request_subject, status_subject, stream_subject};
use async_nats::Subject;
use bytes::Bytes;
use prost::Message;
use rustc_hash::FxHashMap;
use std::sync::Arc;
use std::time::Duration;
use tickcast_market::{Epoch, Instrument, InstrumentIndex, Nanos, Seq, Since, TradingState};
use tickcast_publisher::{
    Ask, Batch, Hub, Scratch, Served, ShardFeed, ShardIndex, Tier, TopicId, TopicKey,
};
use tickcast_wire::{Encoding, FieldSet};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, MissedTickBehavior, interval};

/// How often it says that it is alive.
const BEAT_EVERY: Duration = Duration::from_millis(250);

/// A stream travels for so long after a gateway has last asked for it; gateways ask every minute.
const WANTED_FOR: Duration = Duration::from_secs(180);

/// How often streams that nobody wants any more are let go.
const SWEEP_EVERY: Duration = Duration::from_secs(10);

/// A stream that travels.
#[derive(Debug)]
pub(crate) struct Carried {
    pub(crate) key: TopicKey,
    pub(crate) id: TopicId,
    subject: Subject,
    /// What was published last, or where the topic's frames began.
    pub(crate) since: Since,
    pub(crate) wanted_until: Instant,
}

/// The publisher's end of the bus.
pub struct Outlet {
    pub(crate) bus: Bus,
    pub(crate) hub: Arc<Hub>,
    shard: ShardIndex,
    feed: ShardFeed,
    arrived: Arc<Notify>,
    clock: fn() -> Nanos,
    /// The run while this publisher counts.
    pub(crate) run: Option<u64>,
    pub(crate) carried: FxHashMap<StreamKey, Carried>,
    by_topic: FxHashMap<TopicId, StreamKey>,
    status_changes: u64,
    told: FxHashMap<InstrumentIndex, Seq>,
    pub(crate) scratch: Scratch,
    pub(crate) message: Vec<u8>,
}

impl std::fmt::Debug for Outlet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outlet").field("run", &self.run).finish_non_exhaustive()
    }
}

impl Outlet {
    /// An outlet that is the publisher's shard of this number; `arrived` is notified by its waker.
    pub fn new(
        bus: Bus,
        hub: Arc<Hub>,
        (shard, feed): (ShardIndex, ShardFeed),
        arrived: Arc<Notify>,
        clock: fn() -> Nanos,
    ) -> Outlet {
        Outlet {
            bus,
            hub,
            shard,
            feed,
            arrived,
            clock,
            run: None,
            carried: FxHashMap::default(),
            by_topic: FxHashMap::default(),
            status_changes: 0,
            told: FxHashMap::default(),
            scratch: Scratch::default(),
            message: Vec::new(),
        }
    }

    /// Publishes while `lease` names a run, until `stop`.
    pub async fn run(
        mut self,
        mut lease: watch::Receiver<Option<u64>>,
        mut stop: watch::Receiver<bool>,
    ) {
        let mut beat = interval(BEAT_EVERY);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut sweep = interval(SWEEP_EVERY);
        let (mut asks, mut lists): (Option<Subscription>, Option<Subscription>) = (None, None);
        let arrived = self.arrived.clone();
        loop {
            tokio::select! {
                () = stopped(&mut stop) => return,
                changed = lease.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let run = *lease.borrow_and_update();
                    (asks, lists) = self.begin(run).await.unzip();
                }
                () = arrived.notified() => self.publish_batches().await,
                Some(request) = next(asks.as_mut()) => {
                    self.answer_asks(request).await;
                }
                Some(request) = next(lists.as_mut()) => {
                    self.answer_list(request).await;
                }
                _ = beat.tick() => self.beat().await,
                _ = sweep.tick() => self.let_go(Instant::now()),
            }
        }
    }

    /// Becomes the publisher that counts, or ceases to be it.
    async fn begin(&mut self, run: Option<u64>) -> Option<(Subscription, Subscription)> {
        self.run = run;
        let wanted: Vec<StreamKey> = self.carried.keys().copied().collect();
        wanted.iter().for_each(|key| self.release(*key));
        let run = run?;
        self.hub.begin_run(Epoch::first_of_run(run));
        self.status_changes = 0;
        let asks = Subscription::new(&self.bus, request_subject(run, "ask")).await;
        let lists = Subscription::new(&self.bus, request_subject(run, "instruments")).await;
        match (asks, lists) {
            (Ok(asks), Ok(lists)) => {
                self.beat().await;
                Some((asks, lists))
            }
            (Err(error), _) | (_, Err(error)) => {
                tracing::error!(%error, "bus: cannot be asked");
                None
            }
        }
    }

    async fn publish_batches(&mut self) {
        if self.feed.take_overrun() {
            self.catch_up().await;
        }
        while let Some(batch) = self.feed.try_next() {
            if self.run.is_some() {
                self.publish_batch(&batch).await;
            }
        }
    }

    async fn publish_batch(&mut self, batch: &Batch) {
        for change in &batch.states {
            self.tell_status(change.instrument, change.seq, change.state).await;
        }
        for frame in &batch.frames {
            let Some(key) = self.by_topic.get(&frame.topic) else { continue };
            let Some(carried) = self.carried.get_mut(key) else { continue };
            if frame.epoch == carried.since.epoch && frame.seq <= carried.since.seq {
                continue;
            }
            carried.since = Since { epoch: frame.epoch, seq: frame.seq };
            self.message.clear();
            let message = batch.message(frame);
            Relayed::write(&mut self.message, frame.epoch.0, frame.ts_recv.micros(), message);
            let (subject, payload) =
                (carried.subject.clone(), Bytes::copy_from_slice(&self.message));
            self.publish(subject, payload).await;
        }
    }

    /// After batches were lost: each stream goes on with one diff, each status with the present one.
    async fn catch_up(&mut self) {
        if self.run.is_none() {
            return;
        }
        for index in 0..self.hub.directory().len() {
            let instrument = InstrumentIndex(index as u32);
            let Some(status) = self.hub.status(instrument) else { continue };
            self.tell_status(instrument, status.seq, status.state).await;
        }
        let keys: Vec<StreamKey> = self.carried.keys().copied().collect();
        for key in keys {
            let Some(carried) = self.carried.get(&key) else { continue };
            let (subject, ask) = (carried.subject.clone(), carried.ask(carried.since, false));
            let Some((since, payload)) = self.diff(&ask) else { continue };
            if let Some(carried) = self.carried.get_mut(&key) {
                carried.since = since;
            }
            self.publish(subject, payload).await;
        }
    }

    /// `diff(since)` as the bus carries it; `None` where nothing is new.
    pub(crate) fn diff(&mut self, ask: &Ask) -> Option<(Since, Bytes)> {
        let mut frame = Vec::new();
        let served = self.hub.serve(ask, (self.clock)(), &mut self.scratch, &mut frame);
        let Served::Frame { epoch, seq, head_len, .. } = served else { return None };
        self.message.clear();
        let message = &frame[usize::from(head_len)..];
        Relayed::write(&mut self.message, epoch.0, (self.clock)().micros(), message);
        Some((Since { epoch, seq }, Bytes::copy_from_slice(&self.message)))
    }

    async fn tell_status(&mut self, instrument: InstrumentIndex, seq: Seq, state: TradingState) {
        // A batch that had waited while this caught up has older ones.
        let known = self.told.entry(instrument).or_default();
        if *known >= seq {
            return;
        }
        *known = seq;
        let (Some(run), Some(instrument)) = (self.run, self.hub.directory().get(instrument)) else {
            return;
        };
        self.status_changes += 1;
        let state = tickcast_wire::state_number(state);
        let change = StatusChange { run, number: self.status_changes, state };
        let subject = Subject::from(status_subject(&instrument.name));
        self.publish(subject, change.encode_to_vec().into()).await;
    }

    async fn beat(&mut self) {
        let Some(run) = self.run else { return };
        // What it says does not arrive: nobody is to take what is held for current.
        if self.bus.refusals.is_silenced() {
            return;
        }
        let directory = self.hub.directory();
        let beat = Beat {
            run,
            instruments: directory.len() as u64,
            complete: directory.is_complete(),
            status_changes: self.status_changes,
            losses: self.bus.losses(),
        };
        self.publish(Subject::from_static(BEATS), beat.encode_to_vec().into()).await;
    }

    pub(crate) async fn publish(&self, subject: Subject, payload: Bytes) {
        self.bus.metrics.sent(payload.len());
        // It waits where NATS is slow: this shard is then overrun, as any other.
        if let Err(error) = self.bus.client.publish(subject, payload).await {
            tracing::debug!(%error, "bus: not published");
        }
    }

    /// Begins to carry a stream, or goes on with it.
    pub(crate) fn carry(&mut self, key: StreamKey, instrument: &Instrument) -> bool {
        let wanted_until = Instant::now() + WANTED_FOR;
        if let Some(carried) = self.carried.get_mut(&key) {
            carried.wanted_until = wanted_until;
            return true;
        }
        let topic = TopicKey {
            instrument: key.instrument,
            view: key.view,
            tier: Tier::default(),
            fields: FieldSet::ALL,
            encoding: Encoding::Protobuf,
        };
        let Some((id, since)) = self.hub.acquire(self.shard, &topic) else { return false };
        let subject = Subject::from(stream_subject(&instrument.name, key.view));
        self.by_topic.insert(id, key);
        self.carried.insert(key, Carried { key: topic, id, subject, since, wanted_until });
        self.bus.metrics.streams.set(self.carried.len() as i64);
        true
    }

    fn let_go(&mut self, now: Instant) {
        let unwanted = self.carried.iter().filter(|(_, carried)| carried.wanted_until < now);
        let unwanted: Vec<StreamKey> = unwanted.map(|(key, _)| *key).collect();
        unwanted.iter().for_each(|key| self.release(*key));
    }

    fn release(&mut self, key: StreamKey) {
        if let Some(carried) = self.carried.remove(&key) {
            self.by_topic.remove(&carried.id);
            self.hub.release(self.shard, &carried.key, carried.id);
        }
        self.bus.metrics.streams.set(self.carried.len() as i64);
    }

    pub(crate) fn now(&self) -> Nanos {
        (self.clock)()
    }

    pub(crate) const fn status_changes(&self) -> u64 {
        self.status_changes
    }
}

impl Carried {
    /// What is asked of the stream by who holds `since`.
    pub(crate) const fn ask(&self, since: Since, always: bool) -> Ask {
        Ask { key: self.key, since, always, bare: false }
    }
}

/// The next message of a subscription; never, without one.
async fn next(subscription: Option<&mut Subscription>) -> Option<async_nats::Message> {
    match subscription {
        Some(subscription) => subscription.next_message().await,
        None => std::future::pending().await,
    }
}
