//! The publisher's end of NATS: puts there what a [`Teller`] tells while the lease is held, and hands
//! it what gateways ask.

use crate::bus::{Bus, stopped};
use crate::refusals::Subscription;
use crate::stream::request_subject;
use crate::teller::{Outgoing, Teller};
use async_nats::{Message, Subject};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tickcast_market::Nanos;
use tickcast_publisher::{Hub, ShardFeed, ShardIndex};
use tokio::sync::{Notify, watch};
use tokio::time::{MissedTickBehavior, interval};

/// How often it says that it is alive.
const BEAT_EVERY: Duration = Duration::from_millis(250);

/// How often streams that nobody wants any more are let go.
const SWEEP_EVERY: Duration = Duration::from_secs(10);

/// Turns in one pass; whatever else is due waits no longer.
const TURNS_MAX: usize = 64;

/// The publisher's end of the bus.
#[derive(Debug)]
pub struct Outlet {
    bus: Bus,
    teller: Teller,
    arrived: Arc<Notify>,
    clock: fn() -> Nanos,
    out: Vec<Outgoing>,
}

impl Outlet {
    /// An outlet that is the publisher's shard of this number; `arrived` is notified by its waker.
    pub fn new(
        bus: Bus,
        hub: Arc<Hub>,
        reader: (ShardIndex, ShardFeed),
        arrived: Arc<Notify>,
        clock: fn() -> Nanos,
    ) -> Outlet {
        let teller = Teller::new(hub, reader, bus.metrics.clone());
        Outlet { bus, teller, arrived, clock, out: Vec::new() }
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
                () = arrived.notified() => self.turns().await,
                Some(request) = next(asks.as_mut()) => {
                    let payload_max = self.bus.payload_max();
                    let (reply, asks) = (request.reply, request.payload);
                    let answers = self.teller.answer_asks(&asks, payload_max, (self.clock)());
                    self.reply(reply, answers).await;
                }
                Some(Message { reply, payload, .. }) = next(lists.as_mut()) => {
                    let answer = self.teller.answer_list(payload, self.bus.payload_max());
                    self.reply(reply, answer).await;
                }
                _ = beat.tick() => self.beat().await,
                _ = sweep.tick() => self.teller.let_go((self.clock)()),
            }
        }
    }

    /// Tells what has arrived; what is left after some turns waits for the next pass, so that signs of
    /// life and answers have their turn.
    async fn turns(&mut self) {
        for _ in 0..TURNS_MAX {
            if !self.teller.turn((self.clock)()) {
                return;
            }
            self.publish_all().await;
        }
        self.arrived.notify_one();
    }

    /// Becomes the publisher that counts, or ceases to be it.
    async fn begin(&mut self, run: Option<u64>) -> Option<(Subscription, Subscription)> {
        self.teller.begin(run);
        let run = run?;
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

    async fn beat(&mut self) {
        // What it says does not arrive: nobody is to take what is held for current.
        if self.bus.refusals.is_silenced() {
            return;
        }
        self.teller.beat(self.bus.losses());
        self.publish_all().await;
    }

    /// What nobody can be told now is not told later: gateways ask for everything when this connection
    /// has been made again, and a sign of life is none when it is late.
    async fn publish_all(&mut self) {
        self.teller.take(&mut self.out);
        if !self.bus.is_connected() {
            self.out.clear();
        }
        for Outgoing { subject, payload } in self.out.drain(..) {
            self.bus.publish(subject, payload).await;
        }
    }

    async fn reply(&self, reply: Option<Subject>, payload: Option<Bytes>) {
        if let (Some(reply), Some(payload)) = (reply, payload) {
            self.bus.publish(reply, payload).await;
        }
    }
}

/// The next message of a subscription; never, without one.
async fn next(subscription: Option<&mut Subscription>) -> Option<Message> {
    match subscription {
        Some(subscription) => subscription.next_message().await,
        None => std::future::pending().await,
    }
}
