//! `tickcast publish`: feeds and publisher, onto the bus; no clients.

use crate::serve::{register_process, runtime};
use crate::service_manager::{self, Notice};
use crate::settings::Resolved;
use crate::signals::Signals;
use crate::streams::{Ground, Health, Streams};
use crate::{bus, output};
use anyhow::{Context, Result};
use prometheus::Registry;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use tickcast_gateway::{Admin, FeedReport, NoClients, Readiness};
use tickcast_market::{Epoch, Venue};
use tokio::runtime::Handle;
use tokio::sync::Notify;

/// Runs until it is asked to stop.
pub(crate) fn run(settings: Resolved) -> Result<()> {
    let front = runtime("admin", 1)?;
    let venues = runtime("venues", 1)?;
    front.block_on(publish(settings, venues.handle().clone()))
}

async fn publish(settings: Resolved, venues: Handle) -> Result<()> {
    let mut signals = Signals::new()?;
    let registry = Registry::new();
    register_process(&registry)?;
    let place = settings.bus.clone().context("bus: a publisher needs one, such as nats://…")?;
    let metrics = tickcast_relay::Metrics::new(&registry)?;
    let listener = tokio::net::TcpListener::bind(settings.admin)
        .await
        .with_context(|| format!("cannot listen on {}", settings.admin))?;
    let admin = listener.local_addr()?;
    let arrived = Arc::new(Notify::new());
    let wake = {
        let arrived = arrived.clone();
        Arc::new(move || arrived.notify_one())
    };
    let ground = Ground {
        settings: &settings,
        registry: &registry,
        venues: venues.clone(),
        // The lease says under which run it publishes.
        first: Epoch::default(),
        wakes: vec![wake],
    };
    if settings.feeds == [Venue::Sim] {
        tracing::warn!("this publisher has no feed but the simulator: --feed names others");
    }
    let mut streams = Streams::own(ground)?;
    let ready = Arc::new(Ready::default());
    let has_prices = {
        let ready = ready.clone();
        Box::new(move || ready.has_prices())
    };
    let outlet = bus::publish(place, metrics, &mut streams, arrived, &venues, has_prices).await?;
    // A replay that waits for a subscriber would wait for ever: gateways do not tell of theirs.
    let feeds = streams.start(&settings, || true)?;
    ready.begin(feeds, outlet.health());
    let page = Admin::new(registry, ready.clone(), Arc::new(NoClients));
    let admin_task = tokio::spawn(async move { page.serve(listener).await });
    output::tell(&format!("tickcast publishing, admin http://{admin}"));
    service_manager::notify(Notice::Ready);
    signals.stop(crate::signals::nothing_to_reload).await;
    service_manager::notify(Notice::Stopping);
    ready.is_stopping.store(true, Ordering::Relaxed); // A flag that requests look at.
    outlet.end().await;
    streams.stop();
    tokio::task::spawn_blocking(move || streams.end()).await?;
    admin_task.abort();
    tracing::info!("stopped");
    Ok(())
}

/// What is told of this process; nothing before its feeds have begun.
#[derive(Default)]
struct Ready {
    feeds: OnceLock<Vec<Health>>,
    bus: OnceLock<Health>,
    is_stopping: AtomicBool,
}

impl Ready {
    /// Its feeds have begun. To be called once.
    fn begin(&self, feeds: Vec<Health>, bus: Health) {
        let is_first = self.feeds.set(feeds).is_ok() && self.bus.set(bus).is_ok();
        debug_assert!(is_first, "called once");
    }

    /// Whether any venue is live.
    fn has_prices(&self) -> bool {
        self.feeds.get().is_some_and(|feeds| feeds.iter().any(|health| health().is_live))
    }
}

impl Readiness for Ready {
    fn feeds(&self) -> Vec<FeedReport> {
        self.feeds
            .get()
            .into_iter()
            .flatten()
            .chain(self.bus.get())
            .map(|health| health())
            .collect()
    }

    fn is_draining(&self) -> bool {
        self.is_stopping.load(Ordering::Relaxed)
    }
}
