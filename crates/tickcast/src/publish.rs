//! `tickcast publish`: feeds and publisher, onto the bus; no clients.

use crate::bus;
use crate::serve::{register_process, runtime};
use crate::service_manager::{self, Notice};
use crate::settings::Resolved;
use crate::signals::Signals;
use crate::streams::{Ground, Health, Streams};
use anyhow::{Context, Result};
use prometheus::Registry;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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
    let outlet = bus::publish(place, metrics, &mut streams, arrived, &venues).await?;
    // A replay that waits for a subscriber would wait for ever: gateways do not tell of theirs.
    let mut healths = streams.start(&settings, || true)?;
    healths.push(outlet.health());
    let ready = Arc::new(Ready { healths, is_stopping: AtomicBool::new(false) });
    let page = Admin::new(registry, ready.clone(), Arc::new(NoClients));
    let admin_task = tokio::spawn(async move { page.serve(listener).await });
    println!("tickcast publishing, admin http://{admin}");
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

struct Ready {
    healths: Vec<Health>,
    is_stopping: AtomicBool,
}

impl Readiness for Ready {
    fn feeds(&self) -> Vec<FeedReport> {
        self.healths.iter().map(|health| health()).collect()
    }

    fn is_draining(&self) -> bool {
        self.is_stopping.load(Ordering::Relaxed)
    }
}
