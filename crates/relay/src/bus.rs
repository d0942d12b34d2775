//! The connection to NATS: how it is kept, and what its ups and downs are called.

use crate::metrics::Metrics;
use crate::refusals::Refusals;
use crate::trouble::Troubles;
use async_nats::{Client, ClientError, Event, Subject};
use bytes::Bytes;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tickcast_nats::{Place, PlaceError};
use tokio::sync::watch;

/// How long a request may take before it is given up; it is then repeated.
pub(crate) const REQUEST_DEADLINE: Duration = Duration::from_secs(2);

/// Messages that may wait for one subscription before NATS calls it slow and drops some; what is
/// lost is asked for again.
const SUBSCRIPTION_MESSAGES_MAX: usize = 8_192;

/// How often it is looked whether answers are refused.
const INBOX_EVERY: Duration = Duration::from_secs(2);

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
    notes: Arc<Notes>,
    pub(crate) refusals: Arc<Refusals>,
    pub(crate) troubles: Arc<Troubles>,
}

impl Bus {
    /// Begins to connect, and goes on in the background: a NATS that is not there yet is waited
    /// for.
    ///
    /// *Errors:* a URL or credentials that cannot be used.
    pub async fn connect(place: &Place, metrics: Metrics) -> Result<Bus, BusError> {
        let (servers, connect) = place.options()?;
        let refusals = Arc::<Refusals>::default();
        let has_tls = servers.iter().any(async_nats::ServerAddr::tls_required);
        let troubles = Arc::new(Troubles::new(place, has_tls));
        let notes = Arc::new(Notes {
            metrics: metrics.clone(),
            losses: AtomicU64::new(0),
            refusals: refusals.clone(),
            troubles: troubles.clone(),
        });
        let told = notes.clone();
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
            .reconnect_to_server_callback({
                let troubles = troubles.clone();
                move |servers, _| {
                    troubles.unreached(&servers);
                    // The client chooses.
                    std::future::ready(None)
                }
            })
            .event_callback(move |event| {
                told.take(&event);
                std::future::ready(())
            });
        let client =
            connect.connect(servers).await.map_err(|error| place.error(error.to_string()))?;
        tokio::spawn(renew_inbox(client.clone(), Arc::downgrade(&refusals)));
        Ok(Bus { client, metrics, notes, refusals, troubles })
    }

    /// Whether the connection stands.
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == async_nats::connection::State::Connected
    }

    /// How many bytes NATS takes as one message.
    pub(crate) fn payload_max(&self) -> usize {
        self.client.max_payload()
    }

    /// Hands a message to the connection; waits where NATS is slow.
    pub(crate) async fn publish(&self, subject: Subject, payload: Bytes) {
        self.metrics.sent(payload.len());
        if let Err(error) = self.client.publish(subject, payload).await {
            self.troubles.complain(&format!("a message is not taken: {error}"));
        }
    }

    /// Whether the server has lately refused a subject to this process.
    pub fn is_refused(&self) -> bool {
        self.refusals.recent().is_some()
    }

    /// Why this process hears nothing of the bus or is not heard there, or does not know who holds the
    /// lease; names no secrets.
    pub fn trouble(&self) -> Option<String> {
        if !self.is_connected() {
            return Some(self.troubles.line());
        }
        let refused = self.refusals.recent().map(|words| self.troubles.refusal(&words));
        refused.or_else(|| self.troubles.lease())
    }

    /// Takes note of why it is not known who holds the lease, or that it is.
    pub(crate) fn note_lease(&self, trouble: Option<String>) {
        self.troubles.set_lease(trouble, self.is_connected());
    }

    /// Rises whenever messages may have been lost here: with each connection, and when they were
    /// taken too slowly.
    pub(crate) fn losses(&self) -> u64 {
        // Relaxed: it is looked at often, and orders nothing.
        self.notes.losses.load(Ordering::Relaxed)
    }
}

/// Connects again while answers are refused: the client subscribes to them once a connection.
async fn renew_inbox(client: Client, refusals: Weak<Refusals>) {
    loop {
        tokio::time::sleep(INBOX_EVERY).await;
        let Some(refusals) = refusals.upgrade() else { return };
        if refusals.take_lost_inbox() && client.force_reconnect().await.is_err() {
            return;
        }
    }
}

/// Waits until this process is asked to stop.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // Who asks is gone: that is the same.
    let _asked = stop.wait_for(|stop| *stop).await;
}

/// Takes note of what the client tells of the connection.
#[derive(Debug)]
struct Notes {
    metrics: Metrics,
    losses: AtomicU64,
    refusals: Arc<Refusals>,
    troubles: Arc<Troubles>,
}

impl Notes {
    fn take(&self, event: &Event) {
        match event {
            Event::Connected => {
                self.metrics.connected.set(1);
                let is_first = self.losses.fetch_add(1, Ordering::Relaxed) == 0;
                self.metrics.reconnects.inc_by((!is_first).into());
                self.troubles.connected();
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
            Event::ServerError(error) => {
                let error = error.to_string();
                self.refusals.take(&error);
                self.troubles.complain(&format!("the server refuses it: {error}"));
            }
            Event::ClientError(ClientError::Other(kind)) => self.troubles.not_connected(kind),
            _ => tracing::debug!(?event, "bus"),
        }
    }
}
