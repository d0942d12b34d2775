//! `tickcast serve` and `tickcast gateway`: what is started, in which order, and stopped.

use crate::canary::{self, Board, Canary};
use crate::clock;
use crate::keys::Keys;
use crate::listeners::Listeners;
use crate::output;
use crate::serve_end::{drain, give_way, reload_limits};
use crate::service_manager::{self, Notice};
use crate::settings::Resolved;
use crate::settings_limits::Limits;
use crate::settings_shape::Shape;
use crate::signals::Signals;
use crate::streams::{Ground, Health, Streams};
use crate::system;
use crate::takeover_predecessor::Predecessor;
use crate::takeover_successor::Successors;
use anyhow::{Context, Result, ensure};
use prometheus::Registry;
use std::sync::Arc;
use std::thread::JoinHandle;
use tickcast_gateway::{
    Admin, Admission, AuthDesk, CanaryReport, Certificates, Door, DoorLimits, DoorRules,
    FeedReport, HubSource, Line, Origins, Poller, Readiness, Shard, ShardHandle, ShardInbox,
    ShardSettings, Shards,
};
use tickcast_market::Epoch;
use tickcast_publisher::ShardIndex;
use tokio::runtime::{Handle, Runtime};

/// Threads that agree on keys with new connections; more than a few are not needed for long.
const DOOR_THREADS_MAX: usize = 4;

/// Runs until it is asked to stop; `reread` reads the limits again.
pub(crate) fn run(
    shape: Shape,
    settings: Resolved,
    keys: Keys,
    reread: impl Fn() -> Result<Limits>,
) -> Result<()> {
    // One thread takes tens of thousands of connections a second, and several on few cores only
    // take turns; agreeing on keys is what can be worth more.
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let door = runtime("door", if keys.tls.is_some() { cores.min(DOOR_THREADS_MAX) } else { 1 })?;
    // Apart, so that a rush at the door does not keep venues waiting.
    let venues = runtime("venues", 1)?;
    door.block_on(serve(shape, settings, Arc::new(keys), reread, venues.handle().clone()))
}

pub(crate) fn runtime(name: &str, threads: usize) -> Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name(name)
        .enable_all()
        .build()
        .with_context(|| format!("the runtime {name}"))
}

async fn serve(
    shape: Shape,
    settings: Resolved,
    keys: Arc<Keys>,
    reread: impl Fn() -> Result<Limits>,
    venues: Handle,
) -> Result<()> {
    let mut signals = Signals::new()?;
    let descriptors = tickcast_gateway::raise_descriptor_limit().context("descriptor limit")?;
    tracing::info!(descriptors, "at most so many descriptors, about as many clients");
    if !tickcast_gateway::has_dashboard() {
        tracing::warn!(
            "built without the dashboard: `cargo xtask run` builds both (it takes Node)"
        );
    }
    let registry = Registry::new();
    register_process(&registry)?;
    let gateway_metrics = Arc::new(tickcast_gateway::Metrics::new(&registry)?);

    let limits = DoorLimits { deflate: settings.deflate, ..settings.limits.door.clone() };
    let admission = Admission::new(
        settings.limits.of_one_address,
        settings.proxies.clone(),
        settings.limits.limits_loopback,
    );
    let mut listeners = Listeners::open(&settings, &limits).await?;
    let (public, admin) = (listeners.public.local_addr()?, listeners.admin.local_addr()?);
    let run = run_number(listeners.predecessor.as_ref());

    settings.flush_mode.check().context("flush_mode: uring")?;
    let pollers = (0..settings.shards)
        .map(|_| Poller::new())
        .collect::<std::io::Result<Vec<_>>>()
        .context("a shard's poller")?;
    let canary_wake = settings.canary.then(canary::no_wake);
    let ground = Ground {
        settings: &settings,
        registry: &registry,
        venues,
        first: first_epoch(run),
        wakes: pollers.iter().map(Poller::wake).chain(canary_wake).collect(),
    };
    let mut streams = match shape {
        Shape::AllInOne | Shape::Publisher => Streams::own(ground)?,
        Shape::Gateway => Streams::from_bus(ground).await?,
    };
    let hub = streams.hub.clone();

    if shape == Shape::AllInOne {
        settings.feeds.iter().for_each(|venue| gateway_metrics.expect(*venue));
    }
    let canary_feed = settings.canary.then(|| streams.feeds.pop()).flatten();
    let (auth_desk, asks) = AuthDesk::new();
    let mut handles = Vec::new();
    let mut shard_threads = Vec::new();
    for ((number, poller), feed) in
        pollers.into_iter().enumerate().zip(std::mem::take(&mut streams.feeds))
    {
        let wake = poller.wake();
        let (handle, inbox) = ShardHandle::new(move || wake());
        handles.push(handle);
        let shard = Shard::new(
            hub.clone(),
            ShardIndex(number as u8),
            feed,
            settings.limits.apply(ShardSettings {
                flush_interval: settings.flush_interval,
                flush_mode: settings.flush_mode,
                auth_desk: settings.auth.takes_tokens().then(|| auth_desk.clone()),
                auth_within_ms: settings.auth.within_ms,
                connections_reserved: limits.connections_max.min(descriptors as usize),
                admission: Some(admission.clone()),
                ..ShardSettings::default()
            }),
            &gateway_metrics,
            inbox.connections.clone(),
            clock::now().0.unsigned_abs().wrapping_add(number as u64),
        );
        shard_threads.push(start_shard(number, poller, shard, inbox)?);
    }
    let shards = Arc::new(Shards::new(handles));
    // Behind a proxy loopback is where everybody comes from.
    let is_local = public.ip().is_loopback() && settings.proxies.is_empty();
    let origins = Origins::new(settings.allow_origin.clone(), is_local);
    let source = Arc::new(HubSource::new(hub.clone(), clock::now));
    let config = keys.tls.as_ref().map(Certificates::config).transpose().context("TLS")?;
    keys.tls.iter().for_each(|tls| tls.tell_expiry(&gateway_metrics));
    let metrics = gateway_metrics.clone();
    let auth = keys.auth.clone();
    tokio::spawn(asks.attend(auth.clone(), shards.clone()));
    let rules = DoorRules { limits, admission, origins, auth };
    let door = Door::new(rules, shards.clone(), source, metrics, config);

    let canary = match canary_feed {
        Some(feed) => Some(Canary::start(canary::Parts {
            hub: hub.clone(),
            feed,
            shards: settings.shards,
            door: door.clone(),
            venues: if shape == Shape::AllInOne { settings.feeds.clone() } else { Vec::new() },
            metrics: canary::Metrics::new(&registry)?,
            clock: clock::now,
        })?),
        None => None,
    };
    let subscribed = {
        let metrics = gateway_metrics.clone();
        move || metrics.has_had_subscribers()
    };
    let healths = streams.start(&settings, subscribed)?;
    let readiness =
        Arc::new(Ready { healths, door: door.clone(), board: canary.as_ref().map(Canary::board) });
    let admin_page = Admin::new(registry, readiness.clone(), shards.clone());
    let successors = listen_for_successors(&settings, &mut listeners, run)?;
    let mut admin_listener = Some(listeners.admin);
    let serve_admin = |listener| {
        let page = admin_page.clone();
        tokio::spawn(async move { page.serve(listener).await })
    };
    let admin_own = admin_listener.take_if(|_| listeners.is_admin_own).map(&serve_admin);
    // The last that may fail: from here on clients rely on this process.
    if let Some(predecessor) = listeners.predecessor.take() {
        let may_wait = settings.replay_wait; // What starts with a subscriber is not waited for.
        let is_ready = || if may_wait { Ok(()) } else { readiness.check() };
        tokio::select! {
            succeeded = predecessor.succeed(settings.takeover.wait, is_ready) => succeeded?,
            () = signals.stop(|| keys.reload(&gateway_metrics)) => {
                tracing::info!("asked to stop before anything was taken over");
                return Ok(());
            }
        }
    }
    let admin_task = admin_listener.map(&serve_admin).or(admin_own);
    let door_task = {
        let (door, listener) = (door.clone(), listeners.public);
        tokio::spawn(async move { door.serve(listener).await })
    };
    let scheme = if keys.tls.is_some() { "https" } else { "http" };
    output::tell(&format!("tickcast listening on {scheme}://{public} admin http://{admin}"));

    let keys_task = tokio::spawn({
        let (keys, metrics) = (keys.clone(), gateway_metrics.clone());
        async move { keys.watch(&metrics).await }
    });
    let reload = || {
        keys.reload(&gateway_metrics);
        reload_limits(&door, &shards, &settings.limits, reread());
    };
    service_manager::notify(Notice::Ready);
    give_way(&door, &admin_page, successors, &mut signals, &reload).await;
    drain(&door, &shards, settings.drain_window, &mut signals, &reload).await;
    streams.stop();
    shard_threads.extend(canary.map(Canary::stop));
    shards.stop();
    drop(door);
    door_task.abort();
    tokio::task::spawn_blocking(move || {
        join(shard_threads);
        streams.end();
    })
    .await?;
    admin_task.inspect(tokio::task::JoinHandle::abort);
    keys_task.abort();
    tracing::info!("stopped");
    Ok(())
}

fn start_shard(
    number: usize,
    poller: Poller,
    shard: Shard<Line>,
    inbox: ShardInbox,
) -> Result<JoinHandle<()>> {
    let run = move || {
        system::give_way();
        if let Err(error) = poller.run(shard, &inbox, clock::now) {
            tracing::error!(shard = number, %error, "a shard has ended");
        }
    };
    let thread = std::thread::Builder::new().name(format!("shard-{number}"));
    thread.spawn(run).context("a shard's thread")
}

pub(crate) fn register_process(registry: &Registry) -> Result<()> {
    let process = prometheus::process_collector::ProcessCollector::for_self();
    registry.register(Box::new(process))?;
    let build = prometheus::IntGaugeVec::new(
        prometheus::Opts::new("tickcast_build_info", "1; the labels say what was built."),
        &["version"],
    )?;
    build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
    registry.register(Box::new(build))?;
    Ok(())
}

/// Where the next process will ask. Nobody is heard before this one serves.
fn listen_for_successors(
    settings: &Resolved,
    listeners: &mut Listeners,
    run: u64,
) -> Result<Option<Successors>> {
    let Some(path) = &settings.takeover.path else { return Ok(None) };
    let shared = listeners.share()?;
    let successors = Successors::listen(path, listeners.takeover.take(), run, shared);
    successors.map(Some).with_context(|| format!("takeover.path {}", path.display()))
}

/// The start of this run in seconds; later than the run that it takes over from, so that no epoch
/// means two things.
fn run_number(predecessor: Option<&Predecessor>) -> u64 {
    let now = u64::try_from(clock::now().0 / 1_000_000_000).unwrap_or(0);
    predecessor.map_or(now, |other| now.max(other.run() + 1))
}

/// The first epoch of a run. Where it begins now the part of the second that has passed is in it:
/// whoever is started again within the second in which the last process ran has other epochs.
fn first_epoch(run: u64) -> Epoch {
    let first = Epoch::first_of_run(run);
    let now = u128::try_from(clock::now().0).unwrap_or(0) * u128::from(Epoch::PER_RUN);
    let now = Epoch((now / 1_000_000_000) as u64);
    if now.0 / Epoch::PER_RUN == run { now } else { first }
}

pub(crate) fn join(threads: Vec<JoinHandle<()>>) {
    for thread in threads {
        if thread.join().is_err() {
            tracing::error!("a thread has ended with a panic");
        }
    }
}

struct Ready {
    healths: Vec<Health>,
    door: Arc<Door>,
    board: Option<Arc<Board>>,
}

impl Ready {
    /// *Errors* name the feeds that have not given data yet.
    fn check(&self) -> Result<()> {
        let silent = self.healths.iter().map(|health| health());
        let name = |feed: FeedReport| match feed.why {
            Some(why) => format!("{} ({why})", feed.feed),
            None => feed.feed,
        };
        let silent: Vec<_> = silent.filter(|feed| !feed.has_data).map(name).collect();
        ensure!(silent.is_empty(), "no data from {}", silent.join(", "));
        Ok(())
    }
}

impl Readiness for Ready {
    fn feeds(&self) -> Vec<FeedReport> {
        self.healths.iter().map(|health| health()).collect()
    }

    fn is_draining(&self) -> bool {
        self.door.is_draining()
    }

    fn canaries(&self) -> Vec<CanaryReport> {
        self.board.as_ref().map(|board| board.say()).unwrap_or_default()
    }
}
