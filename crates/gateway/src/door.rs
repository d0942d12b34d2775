//! The door: accepts connections, reads request heads under a deadline, answers handshakes and
//! gives the sockets to shards; everything else is HTTP.
//!
//! *Invariant:* the door never reads a message and never writes one; what pushes lives on shards.
//! tokio is for what waits.

use crate::admission::{Admission, AdmissionLimits};
use crate::auth::Auth;
use crate::descriptors::{Shortage, first_reserved, is_exhausted};
use crate::door_client::Visitor;
use crate::door_close::Telling;
use crate::door_head::{AtOnce, read_at_once, read_first};
use crate::door_listener::Listener;
use crate::door_stream::Stream;
use crate::handoff::Shards;
use crate::handshake::Route;
use crate::http::{Caller, Source, answer};
use crate::http_line::{Left, serve_http};
use crate::limits::{ACCEPT_PAUSE, DoorLimits};
use crate::metrics::Metrics;
use crate::origin::Origins;
use crate::refusal::Refusal;
use crate::refusal_reason::Reason;
use crate::rest::Rest;
use parking_lot::RwLock;
use prometheus::IntCounter;
use rustls::ServerConfig;
use std::io;
use std::net::{SocketAddr, TcpStream as Accepted};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, timeout_at};

/// Connections that are accepted before whoever else runs on this thread has a turn.
const ACCEPTS_MAX: usize = 64;

/// Who comes in.
#[derive(Clone, Debug)]
pub struct DoorRules {
    /// How many, how large, how slow.
    pub limits: DoorLimits,
    /// How many of one address, and whose word about addresses is believed.
    pub admission: Arc<Admission>,
    /// Which web pages.
    pub origins: Origins,
    /// With which tokens.
    pub auth: Arc<Auth>,
}

/// What all connections at the door share.
pub struct Door {
    limits: RwLock<Arc<DoorLimits>>,
    pub(crate) origins: Origins,
    pub(crate) source: Arc<dyn Source>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) admission: Arc<Admission>,
    /// [`DoorLimits::connections_max`], for whom even a lock is too much.
    connections_max: AtomicUsize,
    /// [`DoorLimits::deflate`], which stays as it is.
    pub(crate) deflate: bool,
    pub(crate) shards: Arc<Shards>,
    pub(crate) auth: Arc<Auth>,
    /// There where connections are encrypted.
    tls: Option<Arc<ServerConfig>>,
    draining: watch::Sender<bool>,
    /// Another process accepts in our place.
    pub(crate) is_succeeded: AtomicBool,
    /// Connections that no shard has yet.
    present: AtomicUsize,
    pub(crate) telling: Telling,
    pub(crate) rest: Rest,
    left: Notify,
    /// Handshakes and requests for events that were answered.
    pub(crate) upgrades: IntCounter,
    pub(crate) events: IntCounter,
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Door").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// Counts a connection among those at the door, or among those that are refused.
pub(crate) struct Presence {
    pub(crate) door: Arc<Door>,
    pub(crate) of: fn(&Door) -> &AtomicUsize,
    /// Whether operators see the count.
    pub(crate) is_shown: bool,
}

impl Drop for Presence {
    fn drop(&mut self) {
        // Pairs with the Acquire load in `serve`, which waits for the last one to leave.
        (self.of)(&self.door).fetch_sub(1, Ordering::Release);
        self.door.left.notify_waiters();
        if self.is_shown {
            self.door.metrics.door_connections.dec();
        }
    }
}

impl Door {
    /// A door in front of these shards, which know the rules' `admission` too; with `tls` every
    /// connection is encrypted.
    pub fn new(
        rules: DoorRules,
        shards: Arc<Shards>,
        source: Arc<dyn Source>,
        metrics: Arc<Metrics>,
        tls: Option<Arc<ServerConfig>>,
    ) -> Arc<Door> {
        let DoorRules { limits, admission, origins, auth } = rules;
        tell_connections_max(&metrics, &limits);
        Arc::new(Door {
            connections_max: AtomicUsize::new(limits.connections_max),
            deflate: limits.deflate,
            limits: RwLock::new(Arc::new(limits)),
            admission,
            origins,
            source,
            shards,
            auth,
            tls,
            draining: watch::Sender::new(false),
            is_succeeded: AtomicBool::new(false),
            present: AtomicUsize::new(0),
            telling: Telling::new(),
            rest: Rest::new(),
            left: Notify::new(),
            upgrades: metrics.http_requests.with_label_values(&["GET", "101"]),
            events: metrics.http_requests.with_label_values(&["GET", "200"]),
            metrics,
        })
    }

    /// How many connections there are, at the door and on all shards.
    pub fn connections(&self) -> usize {
        self.present.load(Ordering::Relaxed) + self.shards.connections() // Only a count.
    }

    /// From now on these hold for whoever comes; who is there stays. The size of send buffers (it is
    /// the listener's) and whether messages are compressed remain.
    pub fn set_limits(&self, limits: DoorLimits, of_one_address: AdmissionLimits) {
        // Relaxed: a figure of its own, that a connection may see a moment late.
        self.connections_max.store(limits.connections_max, Ordering::Relaxed);
        self.admission.set_limits(of_one_address);
        tell_connections_max(&self.metrics, &limits);
        *self.limits.write() = Arc::new(limits);
    }

    /// Those that hold now.
    pub(crate) fn limits(&self) -> Arc<DoorLimits> {
        self.limits.read().clone()
    }

    /// Whether its connections are encrypted.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    /// Stops accepting; connections at the door finish the request they are at. The shards are
    /// told by [`Shards::drain`].
    pub fn drain(&self) {
        self.metrics.draining.set(1);
        self.draining.send_replace(true);
    }

    /// Stops accepting since another process goes on with the same listener. Nobody is refused:
    /// who was accepted here and has not asked yet is given to a shard all the same, which tells
    /// it when to leave.
    pub fn drain_to_successor(&self) {
        // Pairs with the load in `prepare`; the channel's lock orders it before "draining".
        self.is_succeeded.store(true, Ordering::Relaxed);
        self.drain();
    }

    /// Whether [`Door::drain`] has been called.
    pub fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }

    /// Accepts connections until [`Door::drain`], then waits until none is left at the door (its
    /// deadlines see to that).
    pub async fn serve(self: &Arc<Self>, listener: Listener) {
        let mut draining = self.draining.subscribe();
        let mut shortage = Shortage::default();
        for accepts in 1.. {
            let accepted = tokio::select! {
                biased;
                _ = draining.wait_for(|is_draining| *is_draining) => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((socket, peer)) => {
                    shortage.end(Instant::now());
                    self.admit(socket, peer);
                }
                Err(error) => {
                    // A connection that ended while it waited is nobody's fault; everything else
                    // would come again at once from a listener that stays readable.
                    if is_exhausted(&error) {
                        shortage.note(Instant::now(), &error);
                        self.metrics.refuse(Reason::Descriptors);
                        sleep(ACCEPT_PAUSE).await;
                    } else if error.kind() != io::ErrorKind::ConnectionAborted {
                        tracing::debug!(%error, "accepting a connection failed");
                        sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
            if accepts % ACCEPTS_MAX == 0 {
                yield_now().await;
            }
        }
        drop(listener);
        loop {
            let left = self.left.notified();
            // Pairs with the Release in `Presence::drop`.
            if self.present.load(Ordering::Acquire) == 0 {
                break;
            }
            left.await;
        }
    }

    fn admit(self: &Arc<Self>, socket: Accepted, peer: SocketAddr) {
        // Relaxed: see `set_limits`.
        if self.connections() >= self.connections_max.load(Ordering::Relaxed) {
            let why = "there are as many connections as this server serves";
            return self.turn_away(socket, peer, Refusal::overloaded(Reason::Connections, why));
        }
        let visitor = match Visitor::from(peer, Instant::now(), &self.admission) {
            Ok(visitor) => visitor,
            Err(refusal) => return self.turn_away(socket, peer, refusal),
        };
        if visitor.by_proxy {
            if let Ok(socket) = TcpStream::from_std(socket) {
                tokio::spawn(welcome_by_proxy(self.presence(), socket, Box::new(visitor)));
            }
            return;
        }
        let mut kept = Vec::new();
        if self.tls.is_none() {
            match read_at_once(&socket, &self.origins) {
                AtOnce::Head(first) => return self.hand_over_at_once(socket, visitor, first),
                AtOnce::Bytes(bytes) => kept = bytes,
                AtOnce::Gone => return,
            }
        }
        if let Ok(socket) = TcpStream::from_std(socket) {
            tokio::spawn(welcome(self.presence(), socket, Box::new(visitor), kept));
        }
    }

    /// Counts a connection for as long as it is at the door.
    pub(crate) fn presence(self: &Arc<Self>) -> Presence {
        self.present.fetch_add(1, Ordering::Relaxed); // Pairs with `Presence::drop`.
        self.metrics.door_connections.inc();
        Presence { door: self.clone(), of: |door| &door.present, is_shown: true }
    }

    /// Agrees on keys with the client, where connections are encrypted.
    pub(crate) async fn encrypt(&self, socket: TcpStream, accepted: Instant) -> Option<Stream> {
        let Some(tls) = &self.tls else { return Some(Stream::plain(socket)) };
        let limits = self.limits();
        let deadline = accepted + limits.tls_deadline.min(limits.head_deadline);
        drop(limits);
        // Boxed: those that are not encrypted should not pay for the room.
        match timeout_at(deadline, Box::pin(Stream::accept(socket, tls.clone()))).await {
            Ok(Ok(stream)) => return Some(stream),
            Ok(Err(error)) => {
                tracing::debug!(%error, "no TLS");
                self.metrics.refuse(Reason::Tls);
            }
            Err(_) => self.metrics.refuse(Refusal::too_slow().reason),
        }
        None
    }

    /// Lets hyper answer requests until the connection ends or asks for what is the door's.
    async fn serve_http(self: &Arc<Self>, socket: Stream, mut visitor: Visitor, prefix: Vec<u8>) {
        let draining = self.draining.subscribe();
        let asked_before = AtomicBool::new(false);
        let caller = Caller { peer: visitor.peer, by_proxy: visitor.by_proxy, again: false };
        let service = |request| {
            let door = self.clone();
            // Relaxed: one task serves the connection.
            let again = asked_before.swap(true, Ordering::Relaxed);
            answer(door, Caller { again, ..caller }, request)
        };
        let limits = self.limits();
        let left = serve_http(socket, prefix, &limits, draining, service).await;
        let Some(Left { socket, route, client, read_ahead }) = left else { return };
        let route = match route {
            Ok(route) => route,
            Err(refusal) => return self.refuse(socket, visitor.peer, &refusal).await,
        };
        // From here on its answer is what is timed.
        visitor.accepted = Instant::now();
        let known = match visitor.by_proxy {
            true => visitor.learn(client, visitor.accepted, &self.admission),
            false => Ok(()),
        };
        let first = (route, read_ahead);
        if let Err(turned_away) = self.hand_over(socket, visitor, first, known) {
            self.send_off(*turned_away).await;
        }
    }
}

fn tell_connections_max(metrics: &Metrics, limits: &DoorLimits) {
    let descriptors = first_reserved().ok().and_then(|first| usize::try_from(first).ok());
    let most = limits.connections_max.min(descriptors.unwrap_or(usize::MAX));
    metrics.connections_max.set(i64::try_from(most).unwrap_or(i64::MAX));
}

/// A connection's way from its first byte to a shard, or to its end. `kept` is what it has sent
/// already.
async fn welcome(
    presence: Presence,
    socket: TcpStream,
    mut visitor: Box<Visitor>,
    mut kept: Vec<u8>,
) {
    let door = &presence.door;
    let Some(mut socket) = door.encrypt(socket, visitor.accepted).await else { return };
    let deadline = visitor.accepted + door.limits().head_deadline;
    let first = timeout_at(deadline, read_first(&mut socket, &mut kept, &door.origins)).await;
    // Boxed: what most connections do not come to should take no room in their task.
    match first {
        Ok(Ok(Some((Route::Other, prefix)))) => {
            Box::pin(door.serve_http(socket, *visitor, prefix)).await;
        }
        Ok(Ok(Some(first))) => {
            let known = door.learn_client(&mut visitor, &kept);
            if let Err(turned_away) = door.hand_over(socket, *visitor, first, known) {
                Box::pin(door.send_off(*turned_away)).await;
            }
        }
        Ok(Ok(None)) => {}
        Ok(Err(refusal)) => Box::pin(door.refuse(socket, visitor.peer, &refusal)).await,
        // Who has not said a word is not told anything either.
        Err(_) if kept.is_empty() => door.note_refusal(visitor.peer, &Refusal::too_slow()),
        Err(_) => Box::pin(door.refuse(socket, visitor.peer, &Refusal::too_slow())).await,
    }
}

/// The same for a connection that a trusted proxy brings: it may say first whom it is from.
async fn welcome_by_proxy(presence: Presence, socket: TcpStream, mut visitor: Box<Visitor>) {
    let (door, mut kept) = (&presence.door, Vec::new());
    // Boxed: each for as long as it takes.
    match Box::pin(door.hear_proxy(&socket, &mut visitor, &mut kept)).await {
        Ok(()) => Box::pin(welcome(presence, socket, visitor, kept)).await,
        Err(None) => {}
        Err(Some(refusal)) => Box::pin(door.turn_back(socket, visitor.peer, &refusal)).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_waits_at_the_door_is_small() {
        // The size of a future is known from the function that makes it, which is not called.
        fn size_of_made<F, A, B, C, D>(_: impl FnOnce(A, B, C, D) -> F) -> usize {
            size_of::<F>()
        }
        let size = size_of_made(welcome);
        assert!(size <= 768, "{size} bytes");
    }
}
