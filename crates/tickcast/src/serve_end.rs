//! What a service does with signals: its limits made anew, its place given to another process, its
//! clients sent away one by one.

use crate::service_manager::{self, Notice};
use crate::settings_limits::Limits;
use crate::signals::Signals;
use crate::takeover_successor::Successors;
use anyhow::Result;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tickcast_gateway::{Admin, Door, ShardSettings, Shards};

/// How long after the drain window connections may still take to close.
const DRAIN_GRACE: Duration = Duration::from_secs(5);

/// Makes these limits hold from now on; what can only be had at the start stays as it was `first`.
pub(crate) fn reload_limits(
    door: &Arc<Door>,
    shards: &Arc<Shards>,
    first: &Limits,
    again: Result<Limits>,
) {
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
pub(crate) async fn give_way(
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

/// Sends every client away at its own moment within the window. A second signal cuts it short.
pub(crate) async fn drain(
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
