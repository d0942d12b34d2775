//! The connection to NATS: how it is kept, and what its ups and downs are called.

use crate::metrics::Metrics;
use async_nats::{Client, Event};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tickcast_nats::{Place, PlaceError};
use tokio::sync::watch;

/// How long a request may take before it is given up; it is then repeated.
pub(crate) const REQUEST_DEADLINE: Duration = Duration::from_secs(2);

/// Messages that may wait for one subscription before NATS calls it slow and drops some; what is
/// lost is asked for again.
const SUBSCRIPTION_MESSAGES_MAX: usize = 8_192;

/// The same trouble is logged so often.
const COMPLAINTS_EVERY: Duration = Duration::from_secs(30);

/// Reconnecting is tried at least so often.
const RECONNECT_PAUSE_MAX: Duration = Duration::from_millis(500);

/// Why there is no bus.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// The URL or the credentials cannot be used. Retrying does not help.
    #[error("bus {0}")]
    Place(#[from] PlaceError),
}

/// A connection that is kept, and made again for ever.
#[derive(Clone, Debug)]
pub struct Bus {
    pub(crate) client: Client,
    pub(crate) metrics: Metrics,
    losses: Arc<AtomicU64>,
}

impl Bus {
    /// Begins to connect, and goes on in the background: a NATS that is not there yet is waited
    /// for.
    ///
    /// *Errors:* a URL or credentials that cannot be used.
    pub async fn connect(place: &Place, metrics: Metrics) -> Result<Bus, BusError> {
        let (servers, connect) = place.options()?;
        let losses = Arc::new(AtomicU64::new(0));
        let notes =
            Notes { metrics: metrics.clone(), losses: losses.clone(), last: Mutex::default() };
        let connect = connect
            .retry_on_initial_connect()
            .max_reconnects(None)
            .request_timeout(Some(REQUEST_DEADLINE))
            .subscription_capacity(SUBSCRIPTION_MESSAGES_MAX)
            .ping_interval(Duration::from_secs(2))
            .connection_timeout(Duration::from_secs(2))
            .reconnect_delay_callback(|tries| {
                RECONNECT_PAUSE_MAX.min(Duration::from_millis(50 * tries.min(10) as u64))
            })
            .event_callback(move |event| {
                notes.take(&event);
                std::future::ready(())
            });
        let client =
            connect.connect(servers).await.map_err(|error| place.error(error.to_string()))?;
        Ok(Bus { client, metrics, losses })
    }

    /// Whether the connection stands.
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == async_nats::connection::State::Connected
    }

    /// Rises whenever messages may have been lost here: with each connection, and when they were
    /// taken too slowly.
    pub(crate) fn losses(&self) -> u64 {
        // Relaxed: it is looked at often, and orders nothing.
        self.losses.load(Ordering::Relaxed)
    }
}

/// Waits until this process is asked to stop.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // Who asks is gone: that is the same.
    let _asked = stop.wait_for(|stop| *stop).await;
}

/// Takes note of what the client tells of the connection.
struct Notes {
    metrics: Metrics,
    losses: Arc<AtomicU64>,
    /// What was logged last of errors, and when: they come several times a second.
    last: Mutex<Option<(String, Instant)>>,
}

impl Notes {
    fn take(&self, event: &Event) {
        match event {
            Event::Connected => {
                self.metrics.connected.set(1);
                let is_first = self.losses.fetch_add(1, Ordering::Relaxed) == 0;
                self.metrics.reconnects.inc_by((!is_first).into());
                tracing::info!("bus: connected");
            }
            Event::Disconnected => {
                self.metrics.connected.set(0);
                tracing::warn!("bus: disconnected");
            }
            Event::Closed => self.metrics.connected.set(0),
            Event::SlowConsumer(_) => {
                self.losses.fetch_add(1, Ordering::Relaxed);
                tracing::warn!("bus: messages were dropped, this process takes them too slowly");
            }
            Event::ServerError(error) => self.complain("the server refuses it", &error.to_string()),
            Event::ClientError(error) => self.complain("not connected", &error.to_string()),
            _ => tracing::debug!(?event, "bus"),
        }
    }

    fn complain(&self, what: &str, error: &str) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known =
            |(known, at): &(String, Instant)| known == error && at.elapsed() < COMPLAINTS_EVERY;
        if !last.as_ref().is_some_and(is_known) {
            tracing::error!("bus: {what}: {error}");
            *last = Some((error.to_owned(), Instant::now()));
        }
    }
}
