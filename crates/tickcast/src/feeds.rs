//! Starts the feeds: the simulator and replays on a thread each, live venues on tokio.

use crate::clock;
use crate::settings::Resolved;
use anyhow::{Context, Result};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tickcast_feed::{
    InboxSender, Outlet, Replay, ReplaySpeed, Sim, SimConfig, Step,
};
use tickcast_market::{Directory, Nanos, SourceIndex};

/// The simulator's thread sleeps no shorter: below it, updates gather.
const SLEEP_MIN: Duration = Duration::from_micros(100);

/// And no longer, so that it notices a stop and keeps the market clock going.
const SLEEP_MAX: Duration = Duration::from_millis(50);

/// What feeds are started with.
#[derive(Clone)]
pub(crate) struct Feeds {
    pub(crate) directory: Arc<Directory>,
    pub(crate) inboxes: Vec<InboxSender>,
    pub(crate) stop: Arc<AtomicBool>,
    pub(crate) lists: Arc<Lists>,
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

    /// Whether all are.
    pub(crate) fn is_complete(&self) -> bool {
        self.left.load(Ordering::Relaxed) == 0
    }
}

impl Feeds {
    fn outlet(&self, source: SourceIndex) -> Outlet {
        Outlet::to_inboxes(source, self.directory.clone(), &self.inboxes)
    }

    fn is_stopped(&self) -> bool {
        // Pairs with nothing: a flag that is looked at now and then.
        self.stop.load(Ordering::Relaxed)
    }

    /// Starts the simulator.
    pub(crate) fn start_sim(&self, source: SourceIndex, config: SimConfig) -> Result<JoinHandle<()>> {
        let feeds = self.clone();
        let sim = Sim::new(config)?;
        let run = move || feeds.run_sim(source, sim);
        std::thread::Builder::new().name("sim".into()).spawn(run).context("the simulator's thread")
    }

    fn run_sim(&self, source: SourceIndex, mut sim: Sim) {
        let mut outlet = self.outlet(source);
        sim.start(clock::now(), &mut outlet);
        self.lists.complete_one();
        while !self.is_stopped() {
            let now = clock::now();
            sim.advance(now, &mut outlet);
            if !self.flush(&mut outlet, now) {
                return;
            }
            let now = clock::now();
            let due = sim.next_due().unwrap_or(Nanos::MAX).since(now).0.max(0) as u64;
            std::thread::sleep(Duration::from_nanos(due).clamp(SLEEP_MIN, SLEEP_MAX));
        }
    }

    /// Hands over what has gathered, waiting while a partition is full. `false`: it is gone, stop.
    fn flush(&self, outlet: &mut Outlet, market_clock: Nanos) -> bool {
        let flushed = outlet.flush_blocking(market_clock).and_then(|()| outlet.beat(market_clock));
        flushed.is_ok()
    }

    /// Starts a replay. `may_start` is asked until it says yes.
    pub(crate) fn start_replay(
        &self,
        source: SourceIndex,
        path: &Path,
        settings: &Resolved,
        may_start: impl Fn() -> bool + Send + 'static,
    ) -> Result<JoinHandle<()>> {
        let replay = Replay::open(path, settings.replay_speed, |venue| {
            tickcast_feed::handler_of(venue, &tickcast_feed::VenueConfig::default())
        })?;
        let name = path.display().to_string();
        let run = ReplayRun {
            feeds: self.clone(),
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
    name: String,
    replay: Replay,
    is_max: bool,
    again: bool,
}

impl ReplayRun {
    fn play(mut self, source: SourceIndex) {
        let mut outlet = self.feeds.outlet(source);
        let mut listed = false;
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
                Step::Fed { .. } => {}
                Step::Ended(None) => tracing::info!(replay = %self.name, "replay is over"),
                Step::Ended(Some(error)) => {
                    tracing::warn!(replay = %self.name, %error, "replay ends early");
                }
            }
            self.report();
            // At full speed events gather; at a recorded speed each goes at once.
            let flush = !self.is_max || outlet.is_due() || self.replay.next_due().is_none();
            if flush && !self.feeds.flush(&mut outlet, self.replay.clock()) {
                return;
            }
        }
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
                tracing::warn!(replay = %self.name, %error, "replay cannot begin again");
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
            if self.feeds.is_stopped() || !self.feeds.flush(outlet, self.replay.clock()) {
                return false;
            }
            std::thread::sleep(Duration::from_nanos(left as u64).min(SLEEP_MAX));
        }
    }

    fn report(&mut self) {
        let (reports, dropped) = self.replay.take_reports();
        for report in reports {
            tracing::warn!(replay = %self.name, "{report}");
        }
        if dropped > 0 {
            tracing::warn!(replay = %self.name, dropped, "more reports than are kept");
        }
    }
}
