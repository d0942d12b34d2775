//! The loop that drives a process's connections: one thread, one poller, one buffer for all.
//!
//! Opening and closing stand in `engine_open`, reading in `engine_read`; what the messages mean
//! is the witness's.

use crate::choice::{self, Dealer};
use crate::compare::{self, Comparison};
use crate::connection::{Conn, NONE, Phase};
use crate::error::{Error, Result};
use crate::job::{Job, News, Order, State};
use crate::own;
use crate::sample::Sample;
use crate::tally::{Flow, Tally, Times};
use crate::witness::{Now, WATCHED_MAX, Witness};
use mio::{Events, Poll};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How many sockets are looked at before the time is.
const EVENTS_MAX: usize = 1_024;

/// How often timers are looked at.
const TICK_US: u64 = 10_000;

/// Between two requests of a connection that ask again: below the service's ten a second.
const ASK_US: u64 = 150_000;

/// How long a wait for the service's snapshots is between two looks at the orders.
const STATE_US: u64 = 100_000;

/// The buffer that all sockets are read into.
pub(crate) const BUFFER_BYTES: usize = 256 * 1024;

pub(crate) struct Engine {
    pub(crate) witness: Witness,
    pub(crate) conns: Vec<Conn>,
    pub(crate) poll: Poll,
    pub(crate) buffer: Vec<u8>,
    pub(crate) tls: Option<Arc<rustls::ClientConfig>>,
    /// Connections to open as fast as the ramp allows.
    pub(crate) to_open: VecDeque<u32>,
    /// Connections to open at a time.
    pub(crate) later: Vec<(u64, u32)>,
    pub(crate) opening: usize,
    pub(crate) connected: usize,
    pub(crate) failed: usize,
    pub(crate) allowance: f64,
    pub(crate) connect: Times,
    /// Sockets that were not read to the end.
    pub(crate) again: Vec<u32>,
    pub(crate) slow_allowance: f64,
    rng: fastrand::Rng,
    started: Instant,
    churn_allowance: f64,
    reconnect_allowance: f64,
    churn_next: usize,
    measure: Option<Measure>,
    age: Times,
    frozen: Option<(Flow, u64)>,
    comparison: Option<Comparison>,
    cuts: u64,
    /// Whether everybody had everything when it was last told.
    was_settled: bool,
    news: Sender<News>,
}

/// The measured seconds so far.
struct Measure {
    began: u64,
    second: u64,
    flow: Flow,
    second_flow: Flow,
    cpu_us: u64,
}

/// Runs an engine until it is told to stop.
pub(crate) fn run(job: Job, orders: &Receiver<Order>, news: &Sender<News>) {
    let result = Engine::new(job, news.clone()).and_then(|mut engine| engine.drive(orders));
    if let Err(error) = result {
        // The other side may be gone; then nobody is left to tell.
        let _ = news.send(News::Failed(error.to_string()));
    }
}

impl Engine {
    fn new(job: Job, news: Sender<News>) -> Result<Engine> {
        let views = job.scenario.views()?;
        let tls = match job.target.is_tls {
            true => Some(crate::trust::client_config(&job.trust)?),
            false => None,
        };
        own::raise_descriptor_limit();
        let dealer = Dealer::new(&job.scenario, &job.symbols, job.seed);
        let (first, count, seed) = (job.first, job.count, job.seed);
        let is_quiet = job.scenario.bell.is_some();
        let mut witness = Witness::new(job, views);
        let width = witness.width();
        let mut conns: Vec<Conn> = Vec::with_capacity(count);
        for number in first..first + count {
            let mut conn = Conn::new(dealer.deal(number), width);
            conn.is_slow = choice::is_slow(&witness.job.scenario, number);
            conn.is_quiet = is_quiet;
            conns.push(conn);
        }
        let fast: Vec<usize> = (0..count).filter(|at| !conns[*at].is_slow).collect();
        for at in evenly(&fast, WATCHED_MAX) {
            conns[at].watched = witness.watch();
        }
        for at in evenly(&fast, witness.job.sample.min(usize::from(NONE - 1))) {
            conns[at].sample = witness.samples.len() as u16;
            witness.samples.push(Sample::new(at as u32));
        }
        Ok(Engine {
            to_open: (0..count as u32).collect(),
            witness,
            conns,
            poll: Poll::new().map_err(Error::io("poller"))?,
            buffer: vec![0; BUFFER_BYTES],
            tls,
            later: Vec::new(),
            opening: 0,
            connected: 0,
            failed: 0,
            allowance: 1.0,
            connect: Times::default(),
            again: Vec::new(),
            slow_allowance: 0.0,
            rng: fastrand::Rng::with_seed(seed ^ first as u64),
            started: Instant::now(),
            churn_allowance: 0.0,
            reconnect_allowance: 0.0,
            churn_next: 0,
            measure: None,
            age: Times::default(),
            frozen: None,
            comparison: None,
            cuts: 0,
            was_settled: false,
            news,
        })
    }

    pub(crate) fn now(&self) -> Now {
        // A wall clock before 1970 measures nothing.
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { engine: self.started.elapsed().as_micros() as u64, wall: wall.as_micros() as i64 }
    }

    fn drive(&mut self, orders: &Receiver<Order>) -> Result<()> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        let mut next_tick = 0;
        let (mut next_ask, mut next_state) = (0, 0);
        loop {
            let wait = if self.again.is_empty() { TICK_US } else { 0 };
            let timeout = Duration::from_micros(wait);
            match self.poll.poll(&mut events, Some(timeout)) {
                Err(error) if error.kind() != std::io::ErrorKind::Interrupted => {
                    return Err(Error::io("poller")(error));
                }
                _ => {}
            }
            for event in &events {
                self.ready(event);
            }
            self.read_again();
            self.compare();
            let now = self.now().engine;
            if now < next_tick {
                continue;
            }
            self.tick(now, now.saturating_sub(next_tick) + TICK_US);
            next_tick = now + TICK_US;
            if now >= next_ask {
                next_ask = now + ASK_US;
                self.ask_again();
            }
            let is_settled = self.is_settled() && self.witness.missing == 0;
            if now >= next_state || is_settled != self.was_settled {
                self.was_settled = is_settled;
                next_state = now + STATE_US;
                self.tell_state();
            }
            loop {
                match orders.try_recv() {
                    Ok(Order::Stop) => return self.finish(),
                    Ok(order) => self.obey(&order),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return Ok(()),
                }
            }
        }
    }

    fn tell(&self, news: News) {
        // Without a coordinator the next look at the orders ends the engine.
        let _ = self.news.send(news);
    }

    fn tell_state(&self) {
        let correctness = &self.witness.correctness;
        self.tell(News::State(State {
            connected: self.connected,
            failed: self.failed,
            missing: self.witness.missing,
            deliveries: self.witness.flow.deliveries,
            snapshots: self.witness.flow.snapshots,
            faults: correctness.gaps + correctness.duplicates + correctness.violations(),
            is_settled: self.is_settled(),
            cuts: self.cuts,
        }));
    }

    /// Nothing is being opened, but for those that wait after a loss.
    fn is_settled(&self) -> bool {
        self.to_open.is_empty() && self.opening == 0
    }

    fn compare(&mut self) {
        let Some(comparison) = &self.comparison else { return };
        let now = self.now().engine;
        let witness = &mut self.witness;
        if comparison.turn(&mut witness.samples, &mut witness.correctness, now) {
            self.comparison = None;
            for sample in &mut self.witness.samples {
                sample.watches = Vec::new();
            }
            self.tell(News::Compared);
        }
    }

    fn obey(&mut self, order: &Order) {
        let now = self.now().engine;
        match order {
            Order::Measure => {
                self.count_unserved();
                self.witness.is_measuring = true;
                self.witness.second_age.clear();
                let flow = self.witness.flow;
                let cpu_us = own::cpu_us();
                let measure = Measure { began: now, second: 0, flow, second_flow: flow, cpu_us };
                self.measure = Some(measure);
            }
            Order::Bell { is_open } => {
                for at in 0..self.conns.len() {
                    let conn = &mut self.conns[at];
                    if conn.phase == Phase::Open {
                        let number = self.witness.job.first + at;
                        self.witness.bell(conn, number, *is_open);
                        self.flush(at);
                    } else {
                        conn.is_quiet = !is_open;
                    }
                }
            }
            Order::Cut { since } => {
                self.cuts += 1;
                for at in 0..self.conns.len() {
                    self.cut(at, !since);
                }
            }
            Order::Freeze => self.freeze(now),
            Order::Compare { seconds } => {
                let active: Vec<_> = (self.witness.samples.iter())
                    .map(|sample| &self.conns[sample.conn as usize])
                    .map(|conn| compare::streams(&self.witness, conn))
                    .collect();
                let until = now + seconds * 1_000_000;
                self.comparison = Some(Comparison::begin(&mut self.witness, &active, until));
            }
            Order::Stop => {}
        }
    }

    /// Everybody had time enough: whom nothing was said to, was forgotten.
    fn count_unserved(&mut self) {
        let open = self.conns.iter().enumerate().filter(|(_, conn)| conn.phase == Phase::Open);
        for (at, conn) in open {
            let correctness = &mut self.witness.correctness;
            if !conn.has_welcome {
                correctness.broke("no_welcome", || format!("client {at}"));
            }
            if conn.missing > 0 {
                let words = || format!("client {at}: of {} subscriptions", conn.missing);
                correctness.broke("no_first_message", words);
            }
        }
    }

    /// What has its time: opening, coming and going, slow reading, the end of a second.
    fn tick(&mut self, now: u64, elapsed_us: u64) {
        let elapsed = elapsed_us as f64 / 1e6;
        self.open_some(now, elapsed);
        self.churn_some(elapsed);
        self.read_slowly(elapsed);
        let second = now / 1_000_000;
        if second != now.saturating_sub(elapsed_us) / 1_000_000 {
            self.look_for_the_dead(now);
        }
        if let Some(measure) = &self.measure
            && now >= measure.began + (measure.second + 1) * 1_000_000
        {
            self.end_second();
        }
    }

    fn end_second(&mut self) {
        let Some(measure) = &mut self.measure else { return };
        let flow = self.witness.flow.since(measure.second_flow);
        measure.second_flow = self.witness.flow;
        let second = measure.second;
        measure.second += 1;
        let age = std::mem::take(&mut self.witness.second_age);
        self.age.add(&age);
        self.tell(News::Second { second, flow, age, connected: self.connected });
    }

    fn freeze(&mut self, now: u64) {
        let whole = self
            .measure
            .as_ref()
            .is_some_and(|measure| now >= measure.began + measure.second * 1_000_000 + 500_000);
        // What is left of a second belongs to the whole, and is a row of its own if it is one.
        if whole {
            self.end_second();
        } else {
            let age = std::mem::take(&mut self.witness.second_age);
            self.age.add(&age);
        }
        self.witness.is_measuring = false;
        if let Some(measure) = self.measure.take() {
            let flow = self.witness.flow.since(measure.flow);
            self.frozen = Some((flow, own::cpu_us() - measure.cpu_us));
        }
    }

    fn churn_some(&mut self, elapsed: f64) {
        let Some(churn) = &self.witness.job.scenario.churn else { return };
        if self.measure.is_none() || self.conns.is_empty() {
            return;
        }
        let share = self.conns.len() as f64 / self.witness.job.total as f64;
        self.churn_allowance += churn.requests_per_second * self.conns.len() as f64 * elapsed;
        self.reconnect_allowance += churn.reconnects_per_second * share * elapsed;
        while self.churn_allowance >= 1.0 {
            self.churn_allowance -= 1.0;
            self.churn_next = (self.churn_next + 1) % self.conns.len();
            let at = self.churn_next;
            let conn = &mut self.conns[at];
            if conn.phase == Phase::Open {
                self.witness.churn(conn, self.witness.job.first + at, &mut self.rng);
                self.flush(at);
            }
        }
        while self.reconnect_allowance >= 1.0 {
            self.reconnect_allowance -= 1.0;
            let at = self.rng.usize(..self.conns.len());
            self.cut(at, false);
        }
    }

    fn ask_again(&mut self) {
        for sample in &self.witness.samples {
            if sample.session.must_ask_again() {
                self.witness.due.push((sample.conn, 0));
            }
        }
        let mut due = std::mem::take(&mut self.witness.due);
        due.sort_unstable();
        due.dedup();
        for group in due.chunk_by(|one, other| one.0 == other.0) {
            let at = group[0].0 as usize;
            let conn = &mut self.conns[at];
            // A connection that was lost asks for everything when it comes back.
            if conn.phase == Phase::Open {
                let slots: Vec<u32> = group.iter().map(|(_, slot)| *slot).collect();
                self.witness.ask_again(conn, self.witness.job.first + at, &slots);
                self.flush(at);
            }
        }
    }

    fn finish(&mut self) -> Result<()> {
        let now = self.now().engine;
        self.freeze(now);
        let (flow, own_cpu_us) = self.frozen.unwrap_or_default();
        let watched = self.witness.watched.iter().filter(|ages| !ages.is_empty());
        let clients =
            watched.map(|ages| (ages.value_at_quantile(0.99), ages.value_at_quantile(0.5)));
        let subscriptions = self.conns.iter().map(|conn| conn.keys.len() as u64).sum::<u64>()
            * self.witness.views.len() as u64;
        let tally = Tally {
            flow,
            age: std::mem::take(&mut self.age),
            connect: std::mem::take(&mut self.connect),
            welcome: std::mem::take(&mut self.witness.welcome),
            first_snapshot: std::mem::take(&mut self.witness.first_snapshot),
            returned: std::mem::take(&mut self.witness.returned),
            correctness: std::mem::take(&mut self.witness.correctness),
            clients: clients.collect(),
            own_cpu_us,
            subscriptions,
        };
        self.tell(News::Final(Box::new(tally)));
        Ok(())
    }
}

/// At most `most` of them, evenly spread.
fn evenly(all: &[usize], most: usize) -> impl Iterator<Item = usize> {
    let count = all.len().min(most);
    (0..count).map(move |at| all[at * all.len() / count])
}
