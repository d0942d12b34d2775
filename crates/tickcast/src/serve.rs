//! `tickcast serve` and `tickcast gateway`: what is started, in which order, and stopped.

use crate::canary::{self, Board, Canary};
use crate::clock;
use crate::keys::Keys;
use crate::listeners::Listeners;
use crate::service_manager::{self, Notice};
use crate::settings::Resolved;
use crate::settings_limits::Limits;
use crate::signals::Signals;
use crate::streams::{Ground, Health, Streams};
use crate::system;
use crate::takeover_predecessor::Predecessor;
use crate::takeover_successor::Successors;
use anyhow::{Context, Result, ensure};
use prometheus::Registry;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tickcast_gateway::{
    Admin, Admission, AuthDesk, CanaryReport, Certificates, Door, DoorLimits, DoorRules,
    FeedReport, HubSource, Line, Origins, Poller, Readiness, Shard, ShardHandle, ShardInbox,
    ShardSettings, Shards,
};
use tickcast_market::Epoch;
use tickcast_publisher::ShardIndex;
use tokio::runtime::{Handle, Runtime};

/// How long after the drain window connections may still take to close.
const DRAIN_GRACE: Duration = Duration::from_secs(5);

/// Threads that agree on keys with new connections; more than a few are not needed for long.
const DOOR_THREADS_MAX: usize = 4;

/// What this process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Feeds, publisher and edge.
    AllInOne,
    /// The edge alone, from a bus.
    Gateway,
}

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
        Shape::AllInOne => Streams::own(ground)?,
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
    println!("tickcast listening on {scheme}://{public} admin http://{admin}");

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

/// Makes these limits hold from now on; what can only be had at the start stays as it was `first`.
fn reload_limits(door: &Arc<Door>, shards: &Arc<Shards>, first: &Limits, again: Result<Limits>) {
    let limits = match again {
        Ok(limits) => limits,
        Err(error) => return tracing::error!("the limits stay as they are: {error:#}"),
    };
    if !limits.needs_no_restart_after(first) {
        tracing::warn!(
            "send_buffer_bytes and address_loopback have changed: they hold after a restart"
        );
    }
    tracing::info!("limits read again");
    door.set_limits(limits.door.clone(), limits.of_one_address);
    let (settings, shards) = (limits.apply(ShardSettings::default()), shards.clone());
    // It may wait for a shard's channel.
    tokio::task::spawn_blocking(move || shards.set_limits(settings));
}

/// Waits until this process is asked to stop or another one takes over, and stops accepting.
async fn give_way(
    door: &Door,
    admin: &Admin,
    successors: Option<Successors>,
    signals: &mut Signals,
    reload: impl Fn(),
) {
    let succeeded = async {
        match &successors {
            Some(successors) => successors.next().await,
            None => std::future::pending().await,
        }
    };
    let successor = tokio::select! {
        () = signals.stop(reload) => None,
        successor = succeeded => Some(successor),
    };
    // Who has the listeners already goes on with them, ready or not: its line ends with this.
    let attended = successors.as_ref().and_then(Successors::attended);
    let Some(pid) = successor.as_ref().map(|successor| successor.pid).or(attended) else {
        service_manager::notify(Notice::Stopping);
        // Whoever comes when this process has ended binds for itself.
        if let Some(successors) = successors {
            successors.close();
        }
        return door.drain();
    };
    tracing::info!(pid, "another process has taken over");
    door.drain_to_successor();
    admin.leave();
    service_manager::notify(match service_manager::is_same_service(pid) {
        true => Notice::GoesOnIn(pid),
        false => Notice::Stopping,
    });
    if let Some(successor) = successor {
        successor.give_way().await;
    }
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

/// Sends every client away at its own moment within the window. A second signal cuts it short.
async fn drain(
    door: &Arc<Door>,
    shards: &Arc<Shards>,
    window: Duration,
    signals: &mut Signals,
    reload: impl Fn(),
) {
    tracing::info!(clients = shards.connections(), ?window, "draining");
    let window_ms = u32::try_from(window.as_millis()).unwrap_or(u32::MAX);
    let all = shards.clone();
    // It may wait for a shard's channel.
    let _ = tokio::task::spawn_blocking(move || all.drain(window_ms)).await;
    let until = Instant::now() + window + DRAIN_GRACE;
    let emptied = async {
        while door.connections() > 0 && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        () = emptied => {}
        () = signals.stop(reload) => {
            tracing::warn!("asked to stop a second time: closing everything");
        }
    }
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
        let silent: Vec<_> = silent.filter(|feed| !feed.has_data).map(|feed| feed.feed).collect();
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
