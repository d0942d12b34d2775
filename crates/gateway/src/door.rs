//! The door: accepts connections, reads request heads under a deadline, answers handshakes and
//! gives the sockets to shards; everything else is HTTP.
//!
//! *Invariant:* the door never reads a message and never writes one; what pushes lives on shards.
//! tokio is for what waits.

use crate::descriptors::is_exhausted;
use crate::door_close::{linger, refuse};
use crate::door_head::{HeadBuffers, read_first};
use crate::door_stream::Stream;
use crate::frame::write_close;
use crate::handoff::{Handoff, Shards, Transport};
use crate::handshake::Route;
use crate::http::{Source, answer};
use crate::http_line::serve_http;
use crate::limits::{ACCEPT_PAUSE, DoorLimits, GIVE_PAUSE, GIVE_TRIES_MAX, REFUSALS_MAX};
use crate::metrics::Metrics;
use crate::origin::Origins;
use crate::refusal::Refusal;
use rustls::ServerConfig;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout_at};

/// How many connections may wait to be accepted; the kernel has a limit of its own.
const BACKLOG: i32 = 4096;

/// Binds a listener whose sockets are born with `TCP_NODELAY` and a capped `SO_SNDBUF`: set once
/// here, inherited by every connection, no call for each.
///
/// *Errors* of the system. *Panics* outside a tokio runtime.
pub fn bind(address: SocketAddr, limits: &DoorLimits) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_send_buffer_size(limits.send_buffer_bytes)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// What all connections at the door share.
pub struct Door {
    pub(crate) limits: DoorLimits,
    pub(crate) origins: Origins,
    pub(crate) source: Arc<dyn Source>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) buffers: HeadBuffers,
    shards: Arc<Shards>,
    /// There where connections are encrypted.
    tls: Option<Arc<ServerConfig>>,
    draining: watch::Sender<bool>,
    /// Connections that no shard has yet.
    present: AtomicUsize,
    refusals: AtomicUsize,
    left: Notify,
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Door").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// Counts a connection for as long as it is at the door.
struct Presence<'a>(&'a Door, &'a AtomicUsize);

impl Drop for Presence<'_> {
    fn drop(&mut self) {
        // Pairs with the Acquire load in `serve`, which waits for the last one to leave.
        self.1.fetch_sub(1, Ordering::Release);
        self.0.left.notify_waiters();
    }
}

impl Door {
    /// A door in front of these shards; with `tls` every connection is encrypted.
    pub fn new(
        limits: DoorLimits,
        origins: Origins,
        shards: Arc<Shards>,
        source: Arc<dyn Source>,
        metrics: Arc<Metrics>,
        tls: Option<Arc<ServerConfig>>,
    ) -> Arc<Door> {
        Arc::new(Door {
            limits,
            origins,
            source,
            metrics,
            shards,
            tls,
            buffers: HeadBuffers::default(),
            draining: watch::Sender::new(false),
            present: AtomicUsize::new(0),
            refusals: AtomicUsize::new(0),
            left: Notify::new(),
        })
    }

    /// How many connections there are, at the door and on all shards.
    pub fn connections(&self) -> usize {
        self.present.load(Ordering::Relaxed) + self.shards.connections() // Only a count.
    }

    /// Stops accepting; connections at the door finish the request they are at. The shards are
    /// told by [`Shards::drain`].
    pub fn drain(&self) {
        self.draining.send_replace(true);
    }

    /// Whether [`Door::drain`] has been called.
    pub fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }

    /// Accepts connections until [`Door::drain`], then waits until none is left at the door (its
    /// deadlines see to that).
    pub async fn serve(self: &Arc<Self>, listener: TcpListener) {
        let mut draining = self.draining.subscribe();
        loop {
            let accepted = tokio::select! {
                biased;
                _ = draining.wait_for(|is_draining| *is_draining) => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((socket, peer)) => self.admit(socket, peer),
                Err(error) => {
                    // A connection that ended while it waited is nobody's fault; everything else
                    // would come again at once from a listener that stays readable.
                    if is_exhausted(&error) {
                        tracing::warn!(%error, "cannot accept connections");
                        self.metrics.refuse("descriptors");
                        sleep(ACCEPT_PAUSE).await;
                    } else if error.kind() != io::ErrorKind::ConnectionAborted {
                        tracing::debug!(%error, "accepting a connection failed");
                        sleep(ACCEPT_PAUSE).await;
                    }
                }
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

    fn admit(self: &Arc<Self>, socket: TcpStream, peer: SocketAddr) {
        let door = self.clone();
        if self.connections() >= self.limits.connections_max {
            self.metrics.refuse("connections");
            // Relaxed: only a count, by which few of many are told why.
            if self.refusals.fetch_add(1, Ordering::Relaxed) >= REFUSALS_MAX {
                self.refusals.fetch_sub(1, Ordering::Relaxed);
                return;
            }
            tokio::spawn(async move {
                let _presence = Presence(&door, &door.refusals);
                let why = "there are as many connections as this server serves";
                let Some(socket) = door.encrypt(socket, Instant::now()).await else { return };
                refuse(socket, &Refusal::overloaded("connections", why)).await;
            });
            return;
        }
        self.present.fetch_add(1, Ordering::Relaxed); // Pairs with `Presence::drop`.
        let accepted = Instant::now();
        tokio::spawn(async move {
            let _presence = Presence(&door, &door.present);
            door.welcome(socket, peer, accepted).await;
        });
    }

    /// A connection's way from its first byte to a shard, or to its end.
    async fn welcome(self: &Arc<Self>, socket: TcpStream, peer: SocketAddr, accepted: Instant) {
        let Some(mut socket) = self.encrypt(socket, accepted).await else { return };
        let deadline = accepted + self.limits.head_deadline;
        let mut has_begun = false;
        let first = timeout_at(deadline, read_first(self, &mut socket, &mut has_begun)).await;
        let (route, read_ahead) = match first {
            Ok(Ok(Some(first))) => first,
            Ok(Ok(None)) => return,
            Ok(Err(refusal)) => return self.refuse(socket, &refusal).await,
            // Who has not said a word is not told anything either.
            Err(_) if !has_begun => return self.metrics.refuse(Refusal::too_slow().reason),
            Err(_) => return self.refuse(socket, &Refusal::too_slow()).await,
        };
        if route != Route::Other {
            return self.hand_over(socket, peer, route, read_ahead, accepted).await;
        }
        // Boxed: this future is large, and those of the many that are handed over should not be.
        if let Some(left) = Box::pin(self.serve_http(socket, read_ahead)).await {
            let begun = Instant::now();
            self.hand_over(left.socket, peer, left.route, left.read_ahead, begun).await;
        }
    }

    /// Agrees on keys with the client, where connections are encrypted.
    async fn encrypt(&self, socket: TcpStream, accepted: Instant) -> Option<Stream> {
        let Some(tls) = &self.tls else { return Some(Stream::plain(socket)) };
        let deadline = accepted + self.limits.tls_deadline.min(self.limits.head_deadline);
        // Boxed: those that are not encrypted should not pay for the room.
        match timeout_at(deadline, Box::pin(Stream::accept(socket, tls.clone()))).await {
            Ok(Ok(stream)) => return Some(stream),
            Ok(Err(error)) => {
                tracing::debug!(%error, "no TLS");
                self.metrics.refuse("tls");
            }
            Err(_) => self.metrics.refuse(Refusal::too_slow().reason),
        }
        None
    }

    async fn serve_http(
        self: &Arc<Self>,
        socket: Stream,
        prefix: Vec<u8>,
    ) -> Option<crate::http_line::Left> {
        let draining = self.draining.subscribe();
        let service = |request| {
            let door = self.clone();
            async move { answer(&door, &request) }
        };
        serve_http(socket, prefix, &self.limits, draining, service).await
    }

    async fn refuse(&self, socket: Stream, refusal: &Refusal) {
        self.metrics.refuse(refusal.reason);
        refuse(socket, refusal).await;
    }

    /// Answers the handshake and gives the socket to a shard.
    async fn hand_over(
        &self,
        mut socket: Stream,
        peer: SocketAddr,
        route: Route,
        read_ahead: Vec<u8>,
        begun: Instant,
    ) {
        let mut head = Vec::with_capacity(256);
        let (transport, status) = match self.prepare(route, &mut head) {
            Ok(prepared) => prepared,
            Err(refusal) => return self.refuse(socket, &refusal).await,
        };
        let deadline = begun + self.limits.head_deadline;
        match timeout_at(deadline, socket.write_all(&head)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return,
        }
        self.metrics.handshake.observe(begun.elapsed().as_secs_f64());
        self.metrics.requests.with_label_values(&["GET", status]).inc();
        let (socket, tls, decrypted) = socket.into_parts();
        let read_ahead =
            if decrypted.is_empty() { read_ahead } else { [read_ahead, decrypted].concat() };
        let Ok(socket) = socket.into_std() else { return };
        self.give(Handoff { socket, tls, peer, read_ahead, transport }).await;
    }

    /// What the shard will speak, with the head of the answer in `head`.
    fn prepare(
        &self,
        route: Route,
        head: &mut Vec<u8>,
    ) -> Result<(Transport, &'static str), Refusal> {
        if self.is_draining() {
            return Err(Refusal::overloaded("draining", "this server is about to stop"));
        }
        match route {
            Route::WebSocket(accept) => {
                accept.write(head);
                let encoding = accept.encoding;
                Ok((Transport::WebSocket { encoding, compress: false }, "101"))
            }
            Route::Sse(request) => {
                self.source.check_events(&request.query)?;
                request.write(head);
                let (query, last_event_id) = (request.query, request.last_event_id);
                Ok((Transport::Sse { query, last_event_id }, "200"))
            }
            Route::Other => Err(Refusal::internal("this request is not the door's")),
        }
    }

    /// Offers the connection to the shards for a second; without success it is told to come back.
    async fn give(&self, mut handoff: Handoff) {
        for _ in 0..GIVE_TRIES_MAX {
            match self.shards.give(handoff) {
                Ok(()) => return,
                Err(back) => handoff = back,
            }
            sleep(GIVE_PAUSE).await;
        }
        self.metrics.refuse("shards");
        let Ok(socket) = TcpStream::from_std(handoff.socket) else { return };
        let mut socket = Stream::of(socket, handoff.tls);
        if matches!(handoff.transport, Transport::WebSocket { .. }) {
            let mut close = Vec::new();
            write_close(&mut close, 4503, "overloaded");
            if socket.write_all(&close).await.is_err() {
                return;
            }
        }
        linger(socket).await;
    }
}
