//! A simulated publisher process: the real partition and teller, and a line to the bus.

use crate::lease::Bucket;
use crate::market::{INSTRUMENTS, Market, spec};
use crate::oracle::Oracle;
use fastrand::Rng;
use std::sync::Arc;
use tickcast_market::{Directory, Nanos};
use tickcast_publisher::{Config, Hub, Partition, Publisher, Resync, ShardIndex, Tiers};
use tickcast_relay::{Metrics, Outgoing, Teller};

/// As in `lease.rs` and `outlet.rs` of the crate.
const HELD_MAX: Nanos = Nanos::from_millis(1_500);
const LEASE_EVERY: Nanos = Nanos::from_millis(300);
const BEAT_EVERY: Nanos = Nanos::from_millis(250);

/// Few, so that the teller is overrun.
const SHARD_BATCHES: usize = 16;

pub(crate) struct Process {
    pub(crate) number: usize,
    pub(crate) hub: Arc<Hub>,
    partition: Partition,
    pub(crate) teller: Teller,
    pub(crate) market: Market,
    /// How many instruments its feeds have listed.
    pub(crate) listed: usize,
    pub(crate) run: Option<u64>,
    held_since: Nanos,
    lease_at: Nanos,
    beat_at: Nanos,
    /// Its line to NATS.
    pub(crate) is_connected: bool,
    pub(crate) losses: u64,
    /// Stopped: it does nothing at all.
    pub(crate) frozen_until: Nanos,
    /// It does not notice that it has lost the lease.
    pub(crate) deaf_until: Nanos,
    /// The lease's bucket is out of its reach, NATS is not.
    pub(crate) no_bucket_until: Nanos,
    /// NATS takes nothing from it for a while.
    pub(crate) slow_until: Nanos,
    /// When it notices that it is not connected.
    pub(crate) notices_at: Nanos,
    /// What is to be sent, and under which run.
    pub(crate) out: Vec<(Option<u64>, Outgoing)>,
}

pub(crate) fn metrics() -> Metrics {
    Metrics::new(&prometheus::Registry::new()).expect("a registry of its own")
}

pub(crate) fn config(run: u64) -> Config {
    Config {
        run,
        tiers: Tiers::default(),
        partitions: 1,
        wakes: vec![Arc::new(|| {})],
        resync: Resync(Arc::new(|_| true)),
    }
}

impl Process {
    pub(crate) fn new(number: usize, mut random: Rng, now: Nanos) -> Process {
        let directory = Arc::new(Directory::default());
        let listed = random.usize(1..=INSTRUMENTS);
        let mut publisher =
            Publisher::with_shard_batches(config(0), directory.clone(), SHARD_BATCHES);
        let mut process = Process {
            number,
            teller: Teller::new(
                publisher.hub.clone(),
                (ShardIndex(0), publisher.feeds.remove(0)),
                metrics(),
            ),
            partition: publisher.partitions.remove(0),
            hub: publisher.hub,
            market: Market::new(random),
            listed: 0,
            run: None,
            held_since: now,
            lease_at: now,
            beat_at: now,
            is_connected: true,
            losses: 1,
            frozen_until: Nanos::ZERO,
            deaf_until: Nanos::ZERO,
            no_bucket_until: Nanos::ZERO,
            slow_until: Nanos::ZERO,
            notices_at: Nanos::ZERO,
            out: Vec::new(),
        };
        (0..listed).for_each(|_| process.list_another(now));
        directory.set_complete();
        process
    }

    /// Its feeds list another instrument.
    pub(crate) fn list_another(&mut self, now: Nanos) {
        self.hub.directory().add(&spec(self.listed));
        self.listed += 1;
        let opens = self.market.open(self.listed - 1, now);
        self.partition.turn(now, &[opens]);
    }

    pub(crate) fn is_frozen(&self, now: Nanos) -> bool {
        now < self.frozen_until
    }

    /// Something happens on its markets, or only time passes.
    pub(crate) fn turn(&mut self, events: usize, now: Nanos, oracle: &mut Oracle) {
        for _ in 0..events {
            let batch = self.market.next(self.listed, now);
            self.partition.turn(now, &[batch]);
            oracle.note(&self.hub, self.listed);
        }
        self.partition.turn(now, &[]);
        oracle.note(&self.hub, self.listed);
    }

    /// What waits from before is told: everything is current, and nothing more happens.
    pub(crate) fn settle(&mut self, now: Nanos, oracle: &mut Oracle) {
        for instrument in 0..self.listed {
            let opens = self.market.open(instrument, now);
            self.partition.turn(now, &[opens]);
        }
        oracle.note(&self.hub, self.listed);
    }

    /// Its part in who counts.
    pub(crate) fn keep_lease(&mut self, bucket: &mut Bucket, now: Nanos, oracle: &mut Oracle) {
        if now < self.lease_at {
            return;
        }
        self.lease_at = now.plus(LEASE_EVERY);
        let can_ask = self.is_connected && now >= self.no_bucket_until;
        match self.run {
            Some(run) => {
                if can_ask && bucket.renew(self.number, run, now) {
                    self.held_since = now;
                } else if now.since(self.held_since) > HELD_MAX && now >= self.deaf_until {
                    self.begin(None, now);
                }
            }
            None if can_ask => {
                if let Some(run) = bucket.acquire(self.number, now) {
                    self.held_since = now;
                    self.begin(Some(run), now);
                    oracle.note(&self.hub, self.listed);
                }
            }
            None => {}
        }
    }

    fn begin(&mut self, run: Option<u64>, now: Nanos) {
        self.run = run;
        self.teller.begin(run);
        self.beat_at = now;
    }

    /// What it puts on the bus now.
    pub(crate) fn tell(&mut self, now: Nanos) {
        if now < self.slow_until {
            return;
        }
        while self.teller.turn(now) {}
        if now >= self.beat_at {
            self.beat_at = now.plus(BEAT_EVERY);
            self.teller.beat(self.losses);
        }
        let mut out = Vec::new();
        self.teller.take(&mut out);
        if self.is_connected || now < self.notices_at {
            self.out.extend(out.into_iter().map(|message| (self.run, message)));
        }
    }
}
