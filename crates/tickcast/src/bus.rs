//! The bus between a publisher and gateways on other hosts: either end, started and stopped.

use crate::clock;
use crate::settings_bus::BusPlace;
use crate::streams::{Ground, Health, Streams};
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use tickcast_gateway::FeedReport;
use tickcast_market::{Directory, Epoch, TradingState};
use tickcast_nats::Place;
use tickcast_publisher::{Config, Hub, Interest, Publisher, Resync, ShardFeed, ShardIndex};
use tickcast_relay::{Bus, BusHealth, Follower, HasPrices, Intake, Lease, Metrics, Outlet};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};

/// What a process is called in the server's list of connections, and in the lease.
pub(crate) fn process_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("tickcast-{}-{}", host.trim().replace(' ', "-"), std::process::id())
}

/// The bus of the settings, and who comes.
fn place_of(place: BusPlace) -> Place {
    Place { url: place.url, creds: place.creds, ca: place.ca, name: process_name() }
}

/// A gateway's end of the bus.
pub(crate) struct FromBus {
    bus: Bus,
    hub: Arc<Hub>,
    health: Arc<BusHealth>,
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

/// Makes replicas that follow the bus of the settings.
pub(crate) async fn follow(ground: Ground<'_>) -> Result<(Arc<Hub>, Vec<ShardFeed>, FromBus)> {
    let Ground { settings, registry, venues, first, wakes } = ground;
    let place = settings.bus.clone().context("bus: a gateway needs one, such as nats://…")?;
    let metrics = Metrics::new(registry)?;
    let bus = connect(&venues, place_of(place), metrics.clone()).await?;
    let interested = Arc::new(Notify::new());
    let interest = {
        let interested = interested.clone();
        Arc::new(Interest::new(Arc::new(move || interested.notify_one())))
    };
    let config = Config {
        run: first.0 / Epoch::PER_RUN,
        tiers: settings.tiers.clone(),
        partitions: 1,
        wakes,
        resync: Resync(Arc::new(|_| true)),
    };
    let (hub, replica, feeds) =
        Publisher::replica(config, Arc::new(Directory::default()), interest.clone());
    let health = Arc::new(BusHealth::default());
    let follower = Follower::new(replica, hub.clone(), interest, metrics, health.clone());
    let (intake, thread) = Intake::start(bus.clone(), follower, interested, clock::now)
        .context("the replicas' thread")?;
    let (stop, stopping) = watch::channel(false);
    venues.spawn(intake.run(stopping));
    Ok((hub.clone(), feeds, FromBus { bus, hub, health, stop, thread }))
}

impl FromBus {
    pub(crate) fn health(&self) -> Health {
        let (bus, hub, health) = (self.bus.clone(), self.hub.clone(), self.health.clone());
        Box::new(move || {
            let has_data = health.has_list();
            let is_heard = health.is_live() && !bus.is_refused();
            let why = if has_data && is_heard {
                why_not_live(&hub)
            } else {
                bus.trouble().or_else(|| health.trouble())
            };
            FeedReport { feed: "bus".into(), has_data, is_live: is_heard && why.is_none(), why }
        })
    }

    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Waits for the replicas' thread; it ends with the intake.
    pub(crate) fn end(self) {
        if self.thread.join().is_err() {
            tracing::error!("the replicas' thread has ended with a panic");
        }
    }
}

/// The venues of which nothing is current, as the publisher tells: where it stands beside the edge
/// their feeds are not live.
fn why_not_live(hub: &Hub) -> Option<String> {
    let mut venues = BTreeMap::new();
    for instrument in hub.directory().list_from(0) {
        let state = hub.status(instrument.index).map(|status| status.state).unwrap_or_default();
        let is_current = !matches!(state, TradingState::Stale | TradingState::Resync);
        *venues.entry(instrument.spec.venue.name()).or_insert(false) |= is_current;
    }
    let silent = venues.into_iter().filter(|(_, is_current)| !is_current).map(|(name, _)| name);
    let names = silent.collect::<Vec<_>>().join(", ");
    (!names.is_empty()).then(|| format!("no instrument of {names} is live"))
}

/// A publisher's end of the bus: who holds the lease publishes.
pub(crate) struct ToBus {
    bus: Bus,
    stop: watch::Sender<bool>,
    lease: tokio::task::JoinHandle<()>,
}

/// Puts the streams on the bus of the settings while this publisher counts; with `has_prices` it
/// stands for election at once, without it where nobody else does.
pub(crate) async fn publish(
    place: BusPlace,
    metrics: Metrics,
    streams: &mut Streams,
    arrived: Arc<Notify>,
    runtime: &Handle,
    has_prices: HasPrices,
) -> Result<ToBus> {
    let place = place_of(place);
    let name = place.name.clone();
    let bus = connect(runtime, place, metrics).await?;
    let feed = streams.feeds.pop().expect("a publisher on a bus was made with one reader");
    let (stop, stopping) = watch::channel(false);
    let (lease, run) = Lease::new(bus.clone(), name, has_prices);
    let reader = (ShardIndex(0), feed);
    let outlet = Outlet::new(bus.clone(), streams.hub.clone(), reader, arrived, clock::now);
    runtime.spawn(outlet.run(run, stopping.clone()));
    let lease = runtime.spawn(lease.keep(stopping));
    Ok(ToBus { bus, stop, lease })
}

impl ToBus {
    /// Whether NATS is there and somebody holds the lease, this publisher or another one: without
    /// either nobody hears it, and it could not take over.
    pub(crate) fn health(&self) -> Health {
        let bus = self.bus.clone();
        let has_been = AtomicBool::new(false);
        Box::new(move || {
            let why = bus.trouble();
            let is_live = why.is_none();
            // Relaxed: requests look at it, it orders nothing.
            let has_data = has_been.fetch_or(is_live, Ordering::Relaxed) || is_live;
            FeedReport { feed: "bus".into(), has_data, is_live, why }
        })
    }

    /// Gives the lease back, so that another publisher takes over at once.
    pub(crate) async fn end(self) {
        self.stop.send_replace(true);
        let _ended = self.lease.await;
    }
}

/// Connects on `runtime`, where the connection's own task then runs.
async fn connect(runtime: &Handle, place: Place, metrics: Metrics) -> Result<Bus> {
    let connecting = runtime.spawn(async move { Bus::connect(&place, metrics).await });
    Ok(connecting.await.context("the connection's task")??)
}
