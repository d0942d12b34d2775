//! A whole service in one thread and one simulated time: market, publisher, shards, clients, and
//! the court that judges what clients are told.

use crate::client::{Client, Parsed, Role};
use crate::driver::Driver;
use crate::line::line;
use crate::market::{Market, Plan};
use crate::session::{Court, Judged};
use crate::truth::Truth;
use fastrand::Rng;
use prometheus::Registry;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tickcast_gateway::{Metrics, ShardSettings};
use tickcast_market::Nanos;
use tickcast_publisher::{Config, Hub, Partition, Publisher, Resync, ShardIndex, Tiers};

/// When every simulation begins, in Unix seconds.
const START_SECS: i64 = 1_770_000_000;

/// How long everything may take to come to rest, in simulated time: a dead client is given up
/// after ten seconds without progress or thirty of silence, and five to take its leave.
const SETTLE_MAX: Nanos = Nanos::from_secs(70);

/// What one seed is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scene {
    partitions: usize,
    shards: usize,
    shard_batches: usize,
    pub(crate) clients: usize,
    plan: Plan,
    active: Nanos,
    /// A step's greatest length, in milliseconds.
    step_ms: i64,
    /// Of a thousand steps so many begin a time in which a shard gets no turn.
    withheld: u32,
    /// The list of instruments is complete from the beginning.
    complete: bool,
}

impl Scene {
    /// Most have some hundreds of clients, one in twenty has thousands.
    pub(crate) fn of(seed: u64, random: &mut Rng) -> Scene {
        let crowd = seed % 20 == 7;
        let calm = random.u8(..3) == 0;
        let listed = random.usize(6..26);
        Scene {
            partitions: random.usize(1..3),
            shards: random.usize(1..4),
            shard_batches: [3, 10, 40, 256][random.usize(..4)],
            clients: if crowd { random.usize(2_000..4_000) } else { random.usize(100..400) },
            plan: Plan {
                listed,
                later: random.usize(2..15),
                pace: if crowd { 0.4 } else { 0.3 + random.f64() * 1.5 },
            },
            active: Nanos::from_millis(random.i64(if crowd {
                10_000..18_000
            } else {
                12_000..30_000
            })),
            step_ms: if crowd { 120 } else { 60 },
            withheld: if calm { 0 } else { random.u32(1..12) },
            complete: random.bool(),
        }
    }
}

/// Bytes that may be kept for a client: the rest of one message, of which the longest are some
/// hundred kilobytes here, and answers.
const KEPT_BYTES_MAX: usize = 250_000;

/// Of so many clients one is weighed in each step.
const WEIGHED_EVERY: usize = 16;

pub(crate) struct World {
    random: Rng,
    scene: Scene,
    now: Nanos,
    market: Market,
    hub: Arc<Hub>,
    partitions: Vec<Partition>,
    drivers: Vec<Driver>,
    clients: Vec<Client>,
    truth: Truth,
    parsed: Parsed,
    metrics: Metrics,
    disturbed: Nanos,
    complete: bool,
    leaving: bool,
    pub(crate) figures: Figures,
}

/// What a seed has come to see.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) steps: u64,
    pub(crate) connections: u64,
    pub(crate) overruns: u64,
    pub(crate) given_up: u64,
    pub(crate) kept_max: usize,
    pub(crate) merged: u64,
    /// Messages that came compressed to clients.
    pub(crate) compressed: u64,
}

impl World {
    pub(crate) fn new(scene: Scene, mut random: Rng) -> World {
        let market = Market::new(scene.plan, random.fork());
        let asked = market.can_be_asked.clone();
        let wakes: Vec<Arc<AtomicBool>> = (0..scene.shards).map(|_| Arc::default()).collect();
        let wake = |woken: &Arc<AtomicBool>| -> tickcast_publisher::Wake {
            let woken = woken.clone();
            Arc::new(move || woken.store(true, Ordering::Relaxed)) // One thread.
        };
        let config = Config {
            run: START_SECS as u64,
            tiers: Tiers::default(),
            partitions: scene.partitions,
            wakes: wakes.iter().map(wake).collect(),
            resync: Resync(Arc::new(move |_| asked.load(Ordering::Relaxed))),
        };
        let Publisher { hub, partitions, feeds } =
            Publisher::with_shard_batches(config, market.directory.clone(), scene.shard_batches);
        let metrics = Metrics::new(&Registry::new()).expect("a new registry has no metrics");
        let drivers = (0u8..).zip(feeds).zip(wakes).map(|((number, feed), woken)| {
            // One: plain sends. More: as through a ring, where a connection may be given more
            // between gathering and sending.
            let loads_max = if random.bool() { 1 } else { random.usize(2..=6) };
            let settings = ShardSettings { loads_max, ..ShardSettings::default() };
            let index = ShardIndex(number);
            Driver::new(hub.clone(), index, feed, settings, &metrics, woken, random.fork())
        });
        let drivers = drivers.collect();
        let start = Nanos::from_secs(START_SECS).plus(Nanos::from_millis(random.i64(0..300_000)));
        let mut world = World {
            scene,
            now: start,
            market,
            hub,
            partitions,
            drivers,
            clients: Vec::new(),
            truth: Truth::default(),
            parsed: Parsed::default(),
            metrics,
            disturbed: start,
            complete: false,
            leaving: false,
            figures: Figures::default(),
            random,
        };
        world.people();
        world
    }

    fn people(&mut self) {
        let crowd = self.scene.clients > 1_000;
        for _ in 0..self.scene.clients {
            let role = match self.random.u8(..100) {
                0..30 => Role::Fast,
                30..45 => Role::Slow,
                45..57 => Role::Stalling,
                57..64 => Role::Dead,
                64..67 if !crowd => Role::Greedy,
                64..79 => Role::Fickle,
                79..91 => Role::Returning,
                91..97 => Role::Rude,
                _ => Role::Mute,
            };
            let until = self.scene.active.0 / 2;
            let at = if self.random.bool() { 0 } else { self.random.i64(0..until) };
            let random = self.random.fork();
            self.clients.push(Client::new(role, self.now.plus(Nanos(at)), random));
        }
    }

    /// Lives through everything. *Errors:* what went wrong, and with whom.
    pub(crate) fn run(&mut self) -> Judged {
        if self.scene.complete {
            self.market.directory.set_complete();
            self.complete = true;
        }
        self.truth.record(&mut self.market, &self.hub, self.now)?;
        let end = self.now.plus(self.scene.active);
        while self.now < end {
            let ms =
                if self.random.u8(..4) == 0 { 0 } else { self.random.i64(0..self.scene.step_ms) };
            let span = Nanos(ms * 1_000_000 + self.random.i64(0..1_000_000));
            self.step(span, false)?;
        }
        self.settle()?;
        self.judge()?;
        self.part()
    }

    fn step(&mut self, span: Nanos, quiet: bool) -> Judged {
        self.now = self.now.plus(span);
        self.figures.steps += 1;
        let listed = self.market.instruments.len();
        let batches = self.market.step(self.now, self.partitions.len(), quiet);
        if !self.complete && !quiet && self.random.u16(..1_000) == 0 {
            self.market.complete();
            self.complete = true;
        }
        for (partition, batches) in self.partitions.iter_mut().zip(&batches) {
            let turn = partition.turn(self.now, batches);
            self.figures.overruns += turn.overruns;
            if turn.overruns > 0 {
                self.disturbed = self.now;
            }
        }
        self.truth.record(&mut self.market, &self.hub, self.now)?;
        if listed != self.market.instruments.len() {
            self.disturbed = self.now;
        }
        for driver in self.drivers.iter_mut().filter(|_| !quiet) {
            if self.random.u32(..1_000) < self.scene.withheld {
                let ms = self.random.i64(50..4_000);
                driver.withhold_until(self.now.plus(Nanos::from_millis(ms)));
            }
        }
        self.connect_some(quiet);
        for client in &mut self.clients {
            client.act(self.now, &self.market, quiet, self.complete);
        }
        for driver in &mut self.drivers {
            if driver.turn(self.now, quiet) {
                self.disturbed = self.now;
            }
        }
        self.read_all(quiet)?;
        self.weigh_some()
    }

    /// What a shard keeps for a client is bounded, whatever the client does.
    fn weigh_some(&mut self) -> Judged {
        let World { clients, drivers, figures, .. } = self;
        // Every client has its turn.
        let first = figures.steps as usize % WEIGHED_EVERY;
        for number in (first..clients.len()).step_by(WEIGHED_EVERY) {
            let client = &clients[number];
            let Some(line) = client.line.as_ref().filter(|line| !line.is_let_go()) else {
                continue;
            };
            let kept = drivers[client.shard].kept_bytes(line);
            figures.kept_max = figures.kept_max.max(kept);
            if kept > KEPT_BYTES_MAX {
                return Err(told(number, client, &format!("{kept} bytes are kept for it")));
            }
        }
        Ok(())
    }

    fn connect_some(&mut self, quiet: bool) {
        let World { clients, drivers, random, market, now, figures, leaving, .. } = self;
        for client in clients.iter_mut() {
            let comes = *now >= client.connect_at || (quiet && client.connect_at < Nanos::MAX);
            if client.line.is_some() || !comes || *leaving {
                continue;
            }
            client.shard = random.usize(..drivers.len());
            let driver = &mut drivers[client.shard];
            if driver.is_withheld(*now) {
                continue;
            }
            figures.connections += 1;
            let (server, line) = line(client.capacity(), driver.poll(), random.fork());
            client.connected(line, *now, market);
            client.act(*now, market, true, false);
            let line = client.line.as_ref().expect("it has just been connected");
            driver.connect(*now, server, line, client.compresses);
        }
    }

    fn read_all(&mut self, quiet: bool) -> Judged {
        let World { clients, market, truth, parsed, now, disturbed, complete, .. } = self;
        for (number, client) in clients.iter_mut().enumerate() {
            let court = Court {
                market,
                truth,
                now: now.micros(),
                disturbed: disturbed.micros(),
                complete: *complete,
            };
            client
                .read(parsed, court, *now, quiet)
                .map_err(|error| told(number, client, &error))?;
        }
        Ok(())
    }

    /// Nothing new happens, and everybody reads, until all is quiet.
    fn settle(&mut self) -> Judged {
        if !self.complete {
            self.market.complete();
            self.complete = true;
        }
        self.drivers.iter_mut().for_each(|driver| driver.withhold_until(Nanos::ZERO));
        let start = self.now;
        loop {
            let elapsed = self.now.since(start);
            // Bars are closed, tiers have sent their last, before anybody looks.
            let step = if elapsed < Nanos::from_secs(5) { 60 } else { 240 };
            self.step(Nanos::from_millis(step), true)?;
            let unsettled = self.clients.iter().position(|client| !is_at_rest(client, self.now));
            if elapsed < Nanos::from_secs(4) {
                continue;
            }
            let Some(number) = unsettled else { return Ok(()) };
            if elapsed > SETTLE_MAX {
                let client = &self.clients[number];
                let line = client.line.as_ref();
                let error =
                    format!("never comes to rest: {}; {line:?}", client.session.unsettled());
                return Err(told(number, client, &error));
            }
        }
    }

    /// Everybody who is connected holds what is true.
    fn judge(&mut self) -> Judged {
        let World { clients, market, truth, now, disturbed, complete, metrics, .. } = self;
        let court = Court {
            market,
            truth,
            now: now.micros(),
            disturbed: disturbed.micros(),
            complete: *complete,
        };
        let (mut given_up, mut perhaps, mut compressed) = (0, 0, 0);
        for (number, client) in clients.iter_mut().enumerate() {
            given_up += client.given_up;
            perhaps += client.perhaps_given_up;
            compressed += client.compressed;
            if client.line.is_some() {
                let result = client.session.check_present(court);
                result.map_err(|error| told(number, client, &error))?;
            }
        }
        let counted = metrics.value("tickcast_gateway_connections_closed_total", &["4508"]) as u64;
        if !(given_up..=given_up + perhaps).contains(&counted) {
            return Err(format!("{counted} closed by 4508, {given_up} were to be"));
        }
        let sent = metrics.value("tickcast_gateway_compressed_messages_total", &["out"]) as u64;
        if sent < compressed {
            return Err(format!("{sent} messages are counted as compressed, {compressed} came"));
        }
        self.figures.compressed = compressed;
        self.figures.given_up = given_up;
        self.figures.merged = metrics.value("tickcast_gateway_merged_updates_total", &[]) as u64;
        if metrics.value("tickcast_gateway_panics_total", &[]) > 0 {
            return Err("a request brought a shard down".to_owned());
        }
        Ok(())
    }

    /// Everybody goes, in one way or another, and nothing is left behind.
    fn part(&mut self) -> Judged {
        for client in &mut self.clients {
            if client.line.is_some() {
                client.ask_stats(self.now, &self.market);
            }
        }
        self.step(Nanos::from_millis(50), true)?;
        self.step(Nanos::from_millis(50), true)?;
        self.leaving = true;
        let drains = self.random.bool();
        if drains {
            self.drivers.iter_mut().for_each(|driver| driver.drain(self.now, 3_000));
        }
        let start = self.now;
        while self.drivers.iter().any(|driver| driver.connections() > 0) {
            if !drains || self.now.since(start) > Nanos::from_secs(5) {
                let stays = self.random.usize(..4);
                let leaves = self.clients.iter_mut().skip(stays).step_by(stays + 1);
                leaves.for_each(|client| client.leave(self.now));
            }
            self.step(Nanos::from_millis(100), true)?;
            if self.now.since(start) > Nanos::from_secs(40) {
                return Err("some connections never end".to_owned());
            }
        }
        if let Some(driver) = self.drivers.iter().find(|driver| driver.counted() != 0) {
            return Err(format!("{} connections are counted of none", driver.counted()));
        }
        match self.hub.topics() {
            0 => Ok(()),
            topics => Err(format!("{topics} topics are left of nobody's")),
        }
    }
}

fn is_at_rest(client: &Client, now: Nanos) -> bool {
    match &client.line {
        None => client.connect_at == Nanos::MAX,
        Some(line) => {
            !client.is_dead()
                && !line.has_bytes()
                && client.is_calm()
                && client.session.is_settled(now.micros())
        }
    }
}

fn told(number: usize, client: &Client, error: &dyn fmt::Display) -> String {
    format!("client {number}, {:?}: {error}\n its story:{}", client.role, client.story)
}
