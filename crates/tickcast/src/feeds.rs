//! Starts the feeds: the simulator and replays on a thread each, live venues on tokio.

use crate::clock;
use crate::settings::Resolved;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tickcast_feed::{
    DelayCounts, Driver, DriverConfig, EventCounts, FeedMetrics, FeedState, InboxSender, Outlet,
    RecordKind, Replay, ReplaySpeed, Sim, SimConfig, Step,
};
use tickcast_gateway::FeedReport;
use tickcast_market::{Directory, InstrumentIndex, Nanos, SourceIndex, Venue};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};

/// The simulator's thread sleeps no shorter: below it, updates gather.
const SLEEP_MIN: Duration = Duration::from_micros(100);

/// And no longer, so that it notices a stop and keeps the market clock going.
const SLEEP_MAX: Duration = Duration::from_millis(50);

/// What takes shorter than this to hand over has not waited for the publisher.
const BLOCKED_MIN: Duration = Duration::from_millis(1);

/// A live venue's source; replays come after them.
fn source_of(venue: Venue) -> SourceIndex {
    SourceIndex(Venue::ALL.iter().position(|v| *v == venue).unwrap_or(0) as u16)
}

/// What feeds are started with.
#[derive(Clone)]
pub(crate) struct Feeds {
    /// Where the drivers of live venues run.
    pub(crate) venues: Handle,
    pub(crate) directory: Arc<Directory>,
    pub(crate) inboxes: Vec<InboxSender>,
    pub(crate) stop: Arc<AtomicBool>,
    pub(crate) lists: Arc<Lists>,
    pub(crate) metrics: tickcast_feed::Metrics,
    pub(crate) stopping: watch::Receiver<bool>,
}

/// How a feed is doing, for `/readyz`.
#[derive(Debug)]
pub(crate) struct FeedHealth {
    name: String,
    has_data: AtomicBool,
    is_live: AtomicBool,
}

impl FeedHealth {
    fn new(name: String) -> Arc<FeedHealth> {
        Arc::new(FeedHealth { name, has_data: false.into(), is_live: false.into() })
    }

    /// Flags that are read now and then; they order nothing.
    fn set_live(&self, live: bool) {
        self.has_data.fetch_or(live, Ordering::Relaxed);
        self.is_live.store(live, Ordering::Relaxed);
    }

    pub(crate) fn report(&self) -> FeedReport {
        FeedReport {
            feed: self.name.clone(),
            has_data: self.has_data.load(Ordering::Relaxed),
            is_live: self.is_live.load(Ordering::Relaxed),
            why: None,
        }
    }
}

/// Where requests for a new snapshot of a venue's instrument go.
pub(crate) type Resyncs = BTreeMap<Venue, mpsc::Sender<InstrumentIndex>>;

/// The feeds that have been started: how they are doing, and the threads that some run on.
#[derive(Default)]
pub(crate) struct Started {
    pub(crate) healths: Vec<Arc<FeedHealth>>,
    pub(crate) threads: Vec<JoinHandle<()>>,
}

/// A live feed that is ready to run.
pub(crate) struct Live {
    venue: Venue,
    driver: Driver,
}

/// Counts the feeds whose list of instruments is not complete yet; with the last one the directory
/// is.
#[derive(Debug)]
pub(crate) struct Lists {
    directory: Arc<Directory>,
    left: AtomicUsize,
}

impl Lists {
    pub(crate) fn new(directory: Arc<Directory>, feeds: usize) -> Lists {
        Lists { directory, left: AtomicUsize::new(feeds) }
    }

    /// One more is complete; call it once a feed.
    pub(crate) fn complete_one(&self) {
        // The directory's lock orders everything else.
        if self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.directory.set_complete();
        }
    }
}

impl Feeds {
    /// Starts every feed. `may_start` holds replays back.
    pub(crate) fn start(
        &self,
        settings: &Resolved,
        live: Vec<Live>,
        may_start: impl Fn() -> bool + Clone + Send + 'static,
    ) -> Result<Started> {
        let Started { mut healths, mut threads } = Started::default();
        if settings.feeds.contains(&Venue::Sim) {
            let health = FeedHealth::new("sim".into());
            healths.push(health.clone());
            threads.push(self.start_sim(settings.sim, health)?);
        }
        for feed in live {
            let health = FeedHealth::new(feed.venue.name().into());
            healths.push(health.clone());
            self.start_live(feed, health);
        }
        for (number, path) in settings.replay.iter().enumerate() {
            let source = SourceIndex((Venue::ALL.len() + number) as u16);
            let health = FeedHealth::new(format!("replay:{}", path.display()));
            healths.push(health.clone());
            let may_start = may_start.clone();
            let wait = settings.replay_wait;
            threads.push(
                self.start_replay(source, path, settings, health, move || !wait || may_start())?,
            );
        }
        Ok(Started { healths, threads })
    }

    /// Makes the drivers of the live venues, and says how each is asked for a resync.
    pub(crate) fn prepare_live(&self, settings: &Resolved) -> Result<(Vec<Live>, Resyncs)> {
        let (mut feeds, mut resyncs) = (Vec::new(), BTreeMap::new());
        for venue in settings.feeds.iter().copied().filter(|venue| *venue != Venue::Sim) {
            let config = settings.venue(venue);
            let handler = tickcast_feed::handler_of(venue, &config)
                .with_context(|| format!("feed: {venue} has no handler"))?;
            let source = source_of(venue);
            let outlet = self.outlet(source);
            let metrics = self.metrics.of(venue);
            let config = match &settings.nats {
                Some(feed) if venue == Venue::Nats => {
                    DriverConfig::nats(feed.named(&crate::bus::process_name()))
                }
                _ => DriverConfig::new(venue),
            };
            let driver = Driver::new(handler, outlet, metrics, config, None);
            resyncs.insert(venue, driver.resync());
            feeds.push(Live { venue, driver });
        }
        Ok((feeds, resyncs))
    }

    fn start_live(&self, feed: Live, health: Arc<FeedHealth>) {
        let mut status = feed.driver.status();
        let lists = self.lists.clone();
        self.venues.spawn(async move {
            let mut listed = false;
            loop {
                let now = *status.borrow_and_update();
                health.set_live(now.state == FeedState::Live && now.is_complete);
                if now.is_complete && !listed {
                    lists.complete_one();
                    listed = true;
                }
                if status.changed().await.is_err() {
                    return;
                }
            }
        });
        let stopping = self.stopping.clone();
        self.venues.spawn(async move {
            if let Err(error) = feed.driver.run(stopping).await {
                tracing::error!(venue = %feed.venue, %error, "feed has ended");
            }
        });
    }

    fn outlet(&self, source: SourceIndex) -> Outlet {
        Outlet::to_inboxes(source, self.directory.clone(), &self.inboxes)
    }

    fn is_stopped(&self) -> bool {
        // Pairs with nothing: a flag that is looked at now and then.
        self.stop.load(Ordering::Relaxed)
    }

    /// Starts the simulator.
    fn start_sim(&self, config: SimConfig, health: Arc<FeedHealth>) -> Result<JoinHandle<()>> {
        let feeds = self.clone();
        let sim = Sim::new(config)?;
        let run = move || feeds.run_sim(sim, &health);
        std::thread::Builder::new().name("sim".into()).spawn(run).context("the simulator's thread")
    }

    fn run_sim(&self, mut sim: Sim, health: &FeedHealth) {
        let metrics = self.metrics.of(Venue::Sim);
        let mut outlet = self.outlet(source_of(Venue::Sim));
        sim.start(clock::now(), &mut outlet);
        self.lists.complete_one();
        health.set_live(true);
        metrics.state(FeedState::Live);
        while !self.is_stopped() {
            let now = clock::now();
            sim.advance(now, &mut outlet);
            if !self.flush(&mut outlet, now, &metrics) {
                return;
            }
            metrics.events(&outlet.take_counts());
            metrics.instruments(&outlet.state_counts());
            let now = clock::now();
            let due = sim.next_due().unwrap_or(Nanos::MAX).since(now).0.max(0) as u64;
            std::thread::sleep(Duration::from_nanos(due).clamp(SLEEP_MIN, SLEEP_MAX));
        }
    }

    /// Hands over what has gathered, waiting while a partition is full. `false`: it is gone, stop.
    fn flush(&self, outlet: &mut Outlet, market_clock: Nanos, metrics: &FeedMetrics) -> bool {
        let began = Instant::now();
        let flushed = outlet.flush_blocking(market_clock).and_then(|()| outlet.beat(market_clock));
        let took = began.elapsed();
        if took >= BLOCKED_MIN {
            metrics.blocked(took);
        }
        flushed.is_ok()
    }

    /// Starts a replay. `may_start` is asked until it says yes.
    fn start_replay(
        &self,
        source: SourceIndex,
        path: &Path,
        settings: &Resolved,
        health: Arc<FeedHealth>,
        may_start: impl Fn() -> bool + Send + 'static,
    ) -> Result<JoinHandle<()>> {
        let replay = Replay::open(path, settings.replay_speed, |venue| {
            tickcast_feed::handler_of(venue, &tickcast_feed::VenueConfig::default())
        })
        .context("replay")?;
        let name = path.display().to_string();
        let run = ReplayRun {
            feeds: self.clone(),
            venue: replay.venue(),
            metrics: self.metrics.of(replay.venue()),
            health,
            name,
            replay,
            is_max: settings.replay_speed == ReplaySpeed::Max,
            again: settings.replay_loop,
        };
        let thread = std::thread::Builder::new().name("replay".into());
        thread
            .spawn(move || {
                while !run.feeds.is_stopped() && !may_start() {
                    std::thread::sleep(Duration::from_millis(5));
                }
                run.play(source);
            })
            .context("a replay's thread")
    }
}

struct ReplayRun {
    feeds: Feeds,
    venue: Venue,
    metrics: FeedMetrics,
    health: Arc<FeedHealth>,
    name: String,
    replay: Replay,
    is_max: bool,
    again: bool,
}

impl ReplayRun {
    fn play(mut self, source: SourceIndex) {
        let mut outlet = self.feeds.outlet(source);
        let mut listed = false;
        self.health.set_live(true);
        self.metrics.state(FeedState::Live);
        let mut began = clock::now();
        while !self.feeds.is_stopped() {
            if !listed && self.replay.is_complete() {
                self.feeds.lists.complete_one();
                listed = true;
            }
            let Some(due) = self.replay.next_due() else {
                if !self.again || !self.restart() {
                    break;
                }
                began = clock::now();
                continue;
            };
            if !self.is_max && !self.wait_until(began.plus(due), &mut outlet) {
                break;
            }
            match self.replay.step(clock::now(), &mut outlet) {
                Step::Fed { kind, bytes } => self.fed(kind, bytes),
                Step::Ended(None) => {
                    tracing::info!(venue = %self.venue, replay = %self.name, "replay is over");
                }
                Step::Ended(Some(error)) => {
                    tracing::warn!(venue = %self.venue, replay = %self.name, %error, "replay ends early");
                }
            }
            // At full speed events gather; at a recorded speed each goes at once.
            let flush = !self.is_max || outlet.is_due() || self.replay.next_due().is_none();
            if flush {
                self.report(&mut outlet);
                if !self.feeds.flush(&mut outlet, self.replay.clock(), &self.metrics) {
                    return;
                }
            }
        }
        self.health.set_live(false);
        self.metrics.state(FeedState::Stopped);
        if !listed {
            self.feeds.lists.complete_one();
        }
        // The outlet stays until the service stops: a partition ends when all of them are gone.
        while !self.feeds.is_stopped() {
            std::thread::sleep(SLEEP_MAX);
        }
    }

    fn restart(&mut self) -> bool {
        match self.replay.restart() {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(venue = %self.venue, replay = %self.name, %error, "replay cannot begin again");
                false
            }
        }
    }

    /// Sleeps until a record is due; `false`: stop.
    fn wait_until(&self, due: Nanos, outlet: &mut Outlet) -> bool {
        loop {
            let left = due.since(clock::now()).0;
            if left <= 0 {
                return true;
            }
            if self.feeds.is_stopped()
                || !self.feeds.flush(outlet, self.replay.clock(), &self.metrics)
            {
                return false;
            }
            std::thread::sleep(Duration::from_nanos(left as u64).min(SLEEP_MAX));
        }
    }

    fn fed(&mut self, kind: RecordKind, bytes: usize) {
        match kind {
            RecordKind::Recv => self.metrics.bytes_websocket(bytes),
            RecordKind::Rest => self.metrics.bytes_rest(bytes),
            _ => {}
        }
    }

    fn report(&mut self, outlet: &mut Outlet) {
        self.metrics.tally(&mut self.replay.take_tally());
        // What the recording was old says nothing of the way from the venue.
        let delays = DelayCounts::default();
        self.metrics.events(&EventCounts { delays, ..outlet.take_counts() });
        self.metrics.instruments(&outlet.state_counts());
        let (reports, dropped) = self.replay.take_reports();
        for report in reports {
            tracing::warn!(venue = %self.venue, replay = %self.name, "{report}");
        }
        if dropped > 0 {
            tracing::warn!(venue = %self.venue, replay = %self.name, dropped, "more reports than are kept");
        }
    }
}
