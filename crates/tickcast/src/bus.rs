//! The bus between a publisher and gateways on other hosts: settings, and both ends started.

use crate::clock;
use crate::streams::{Ground, Health, Streams};
use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use tickcast_gateway::FeedReport;
use tickcast_market::{Directory, Epoch};
use tickcast_publisher::{Config, Hub, Interest, Publisher, Resync, ShardFeed, ShardIndex};
use tickcast_relay::{Bus, BusHealth, BusOptions, Follower, Intake, Lease, Metrics, Outlet};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};

/// Where the bus is; absent means "not said here".
#[derive(Clone, Debug, Default, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct BusSettings {
    /// NATS server, such as `nats://10.0.0.5:4222` or `tls://…`; several with commas
    #[arg(id = "bus", long = "bus", env = "TICKCAST_BUS", value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Credentials for NATS: a file as nsc writes it, or one with an nkey seed
    #[arg(id = "bus_creds", long = "bus-creds", env = "TICKCAST_BUS_CREDS", value_name = "FILE")]
    pub(crate) creds: Option<PathBuf>,
    /// PEM file with certificates to trust for tls:// besides the system's
    #[arg(id = "bus_ca", long = "bus-ca", env = "TICKCAST_BUS_CA", value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
}

impl BusSettings {
    /// These settings, and where they say nothing those of `under`.
    pub(crate) fn over(self, under: BusSettings) -> BusSettings {
        BusSettings {
            url: self.url.or(under.url),
            creds: self.creds.or(under.creds),
            ca: self.ca.or(under.ca),
        }
    }

    /// Checks them; `None` where there is no bus. *Errors* name the setting and the value.
    pub(crate) fn resolve(self) -> Result<Option<BusOptions>> {
        let Some(url) = self.url.filter(|url| !url.trim().is_empty()) else {
            ensure!(self.creds.is_none(), "bus.creds: without bus.url");
            ensure!(self.ca.is_none(), "bus.ca: without bus.url");
            return Ok(None);
        };
        for one in url.split(',').map(str::trim) {
            let host = one.strip_prefix("nats://").or_else(|| one.strip_prefix("tls://"));
            if host.is_none_or(str::is_empty) {
                bail!("bus.url: {one:?} is not an address such as nats://10.0.0.5:4222");
            }
        }
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let name = format!("tickcast-{}-{}", host.trim().replace(' ', "-"), std::process::id());
        Ok(Some(BusOptions { url, creds: self.creds, ca: self.ca, name }))
    }
}

/// A gateway's end of the bus.
pub(crate) struct FromBus {
    health: Arc<BusHealth>,
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

/// Makes replicas that follow the bus of the settings.
pub(crate) async fn follow(ground: Ground<'_>) -> Result<(Arc<Hub>, Vec<ShardFeed>, FromBus)> {
    let Ground { settings, registry, venues, first, wakes } = ground;
    let options = settings.bus.clone().context("bus: a gateway needs one, such as nats://…")?;
    let metrics = Metrics::new(registry)?;
    let bus = connect(&venues, options, metrics.clone()).await?;
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
    let (intake, thread) =
        Intake::start(bus, follower, interested, clock::now).context("the replicas' thread")?;
    let (stop, stopping) = watch::channel(false);
    venues.spawn(intake.run(stopping));
    Ok((hub, feeds, FromBus { health, stop, thread }))
}

impl FromBus {
    pub(crate) fn health(&self) -> Health {
        let health = self.health.clone();
        Box::new(move || FeedReport {
            feed: "bus".into(),
            has_data: health.has_list(),
            is_live: health.is_live(),
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

/// A publisher's end of the bus: who holds the lease publishes.
pub(crate) struct ToBus {
    stop: watch::Sender<bool>,
    lease: tokio::task::JoinHandle<()>,
}

/// Puts the streams on the bus of the settings while this publisher counts.
pub(crate) async fn publish(
    options: BusOptions,
    metrics: Metrics,
    streams: &mut Streams,
    arrived: Arc<Notify>,
    runtime: &Handle,
) -> Result<ToBus> {
    let name = options.name.clone();
    let bus = connect(runtime, options, metrics).await?;
    let feed = streams.feeds.pop().expect("a publisher on a bus was made with one reader");
    let (stop, stopping) = watch::channel(false);
    let (lease, run) = Lease::new(bus.clone(), name);
    let reader = (ShardIndex(0), feed);
    let outlet = Outlet::new(bus, streams.hub.clone(), reader, arrived, clock::now);
    runtime.spawn(outlet.run(run, stopping.clone()));
    let lease = runtime.spawn(lease.keep(stopping));
    Ok(ToBus { stop, lease })
}

impl ToBus {
    /// Gives the lease back, so that another publisher takes over at once.
    pub(crate) async fn end(self) {
        self.stop.send_replace(true);
        let _ended = self.lease.await;
    }
}

/// Connects on `runtime`, where the connection's own task then runs.
async fn connect(runtime: &Handle, options: BusOptions, metrics: Metrics) -> Result<Bus> {
    let connecting = runtime.spawn(async move { Bus::connect(&options, metrics).await });
    Ok(connecting.await.context("the connection's task")??)
}
