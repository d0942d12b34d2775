//! How a connection travels from the door to a shard, and what else a shard is told.
//!
//! The door answers handshakes and owns sockets until then; from [`Shards::give`] on the socket
//! belongs to one shard for good. The receiving end is the shard's own affair.

use crate::auth_desk::Verdict;
use crate::clients::ShardClients;
use crate::identity::{Seat, Who};
use crate::shard_settings::ShardSettings;
use crate::tls_session::Session;
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use std::fmt;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tickcast_wire::Encoding;

/// How many controls may wait for one shard; beyond that the door tries the next shard.
pub const CONTROLS_MAX: usize = 1024;

/// How long an operator waits for the shards.
const CLIENTS_WITHIN: std::time::Duration = std::time::Duration::from_secs(1);

/// A connection whose request has been found right and is to be answered.
#[derive(Debug)]
pub struct Handoff {
    /// Non-blocking, with `TCP_NODELAY` and a capped `SO_SNDBUF`.
    pub socket: TcpStream,
    /// What is encrypted on it, if it is.
    pub tls: Option<Box<Session>>,
    /// Where it comes from.
    pub peer: SocketAddr,
    /// The head of the answer: the shard writes it before anything else, with its welcome in one
    /// send.
    pub answer: Vec<u8>,
    /// Bytes that the client sent after its request head; to be decoded before the socket is read.
    /// Empty (and without an allocation) for nearly everybody.
    pub read_ahead: Vec<u8>,
    /// What to speak on it.
    pub transport: Transport,
    /// On whose behalf it speaks.
    pub who: Who,
    /// Its place among the connections of its identity.
    pub seat: Option<Seat>,
}

/// A connection on its way to a shard: all of a [`Handoff`] but the socket.
#[derive(Debug)]
pub struct Arrival {
    /// Where it comes from.
    pub peer: SocketAddr,
    /// What to speak on it.
    pub transport: Transport,
    /// What is to be written before anything else.
    pub answer: Vec<u8>,
    /// What has been read of it.
    pub read_ahead: Vec<u8>,
    /// On whose behalf it speaks.
    pub who: Who,
    /// Its place among the connections of its identity.
    pub seat: Option<Seat>,
}

impl Arrival {
    /// Somebody of whom nothing more is known.
    pub fn new(peer: SocketAddr, transport: Transport) -> Arrival {
        let (answer, read_ahead) = (Vec::new(), Vec::new());
        Arrival { peer, transport, answer, read_ahead, who: Who::Anybody, seat: None }
    }
}

/// What a shard speaks on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// WebSocket.
    WebSocket {
        /// How messages are written.
        encoding: Encoding,
        /// Whether `permessage-deflate` was agreed on.
        compress: bool,
    },
    /// Server-sent events.
    Sse {
        /// The query of the request as it was sent, without `?`; the door has found it valid.
        query: String,
        /// The header `Last-Event-ID`, as it was sent.
        last_event_id: Option<String>,
    },
}

impl Transport {
    /// Its name in metric labels.
    pub const fn name(&self) -> &'static str {
        match self {
            Transport::WebSocket { .. } => "websocket",
            Transport::Sse { .. } => "sse",
        }
    }
}

/// What a shard is told by others.
#[derive(Debug)]
pub enum Control {
    /// Serve this connection.
    Connect(Handoff),
    /// Tell every client its own delay within the window, serve it until then, then close (1001).
    Drain {
        /// The window, in milliseconds.
        window_ms: u32,
    },
    /// What is said to a token that a client of this shard has shown.
    Verdict(Verdict),
    /// Tell who is connected.
    Clients(Sender<ShardClients>),
    /// From now on those of these settings hold that are limits
    /// ([`ShardSettings::adopt_limits`]).
    Limits(Arc<ShardSettings>),
    /// Close everything and end.
    Stop,
}

/// The sending side of one shard's control channel.
pub struct ShardHandle {
    sender: Sender<Control>,
    wake: Box<dyn Fn() + Send + Sync>,
    connections: Arc<AtomicUsize>,
}

impl fmt::Debug for ShardHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShardHandle")
            .field("connections", &self.connections)
            .finish_non_exhaustive()
    }
}

/// The receiving side: what the shard's thread owns.
#[derive(Debug)]
pub struct ShardInbox {
    /// At most [`CONTROLS_MAX`] wait in it.
    pub controls: Receiver<Control>,
    /// Connections that the shard has, or that wait in `controls`, without the canary's. The giver adds one before it
    /// sends; the shard takes one off (`Relaxed`: it is only a count) when a connection has ended.
    pub connections: Arc<AtomicUsize>,
}

impl ShardHandle {
    /// A handle and its receiving side; `wake` interrupts the shard's poll and is called after each
    /// control was sent, from any thread.
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> (ShardHandle, ShardInbox) {
        let (sender, controls) = bounded(CONTROLS_MAX);
        let connections = Arc::new(AtomicUsize::new(0));
        let handle = ShardHandle { sender, wake: Box::new(wake), connections: connections.clone() };
        (handle, ShardInbox { controls, connections })
    }

    /// How many connections it has, those on the way included.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed) // Only a count; orders nothing.
    }

    #[allow(clippy::result_large_err)] // What is not taken comes back whole.
    fn give(&self, handoff: Handoff) -> Result<(), Handoff> {
        self.connections.fetch_add(1, Ordering::Relaxed); // Only a count; orders nothing.
        self.offer(Control::Connect(handoff)).map_err(|control| {
            self.connections.fetch_sub(1, Ordering::Relaxed); // As above.
            match control {
                Control::Connect(handoff) => handoff,
                _ => unreachable!("what comes back is what was sent"),
            }
        })
    }

    /// Sends a control, or gives it back where there is no room, or nobody.
    #[allow(clippy::result_large_err)] // What is not taken comes back whole.
    fn offer(&self, control: Control) -> Result<(), Control> {
        match self.sender.try_send(control) {
            Ok(()) => {
                (self.wake)();
                Ok(())
            }
            Err(TrySendError::Full(control) | TrySendError::Disconnected(control)) => Err(control),
        }
    }

    /// Sends a control that must arrive; waits where the channel is full. A shard that has ended
    /// needs no control.
    fn tell(&self, control: Control) {
        if self.sender.send(control).is_ok() {
            (self.wake)();
        }
    }
}

/// All shards of this process, as the door sees them.
#[derive(Debug)]
pub struct Shards {
    handles: Vec<ShardHandle>,
}

impl Shards {
    /// The set of these shards.
    ///
    /// *Panics* if there is none.
    pub fn new(handles: Vec<ShardHandle>) -> Shards {
        assert!(!handles.is_empty(), "a gateway has at least one shard");
        Shards { handles }
    }

    /// Gives the connection to the shard with the fewest, or to the next one that has room.
    ///
    /// *Errors:* gives it back when no shard has room in its channel (or all have ended).
    ///
    /// *Cost:* never blocks; a load per shard.
    #[allow(clippy::result_large_err)] // What is not taken comes back whole.
    pub fn give(&self, handoff: Handoff) -> Result<(), Handoff> {
        let least = (0..self.handles.len())
            .min_by_key(|shard| self.handles[*shard].connections())
            .expect("there is at least one shard");
        let mut handoff = handoff;
        for turn in 0..self.handles.len() {
            match self.handles[(least + turn) % self.handles.len()].give(handoff) {
                Ok(()) => return Ok(()),
                Err(back) => handoff = back,
            }
        }
        Err(handoff)
    }

    /// Gives the service's own witness to this shard, which does not count it.
    ///
    /// *Errors:* gives it back when the shard has no room, has ended, or there is none of that
    /// number.
    #[allow(clippy::result_large_err)] // What is not taken comes back whole.
    pub(crate) fn give_canary(&self, shard: usize, handoff: Handoff) -> Result<(), Handoff> {
        let Some(handle) = self.handles.get(shard) else { return Err(handoff) };
        handle.offer(Control::Connect(handoff)).map_err(|control| match control {
            Control::Connect(handoff) => handoff,
            _ => unreachable!("what comes back is what was sent"),
        })
    }

    /// How many shards there are.
    pub fn count(&self) -> usize {
        self.handles.len()
    }

    /// Sends a control to one shard; gives it back when the shard has no room, or has ended.
    #[allow(clippy::result_large_err)] // What is not taken comes back whole.
    pub(crate) fn offer(&self, shard: u8, control: Control) -> Result<(), Control> {
        match self.handles.get(usize::from(shard)) {
            Some(handle) => handle.offer(control),
            None => Err(control),
        }
    }

    /// How many connections all shards have together, those on the way included.
    pub fn connections(&self) -> usize {
        self.handles.iter().map(ShardHandle::connections).sum()
    }

    /// Tells every shard to drain. May block for as long as a shard's channel is full.
    pub fn drain(&self, window_ms: u32) {
        self.handles.iter().for_each(|shard| shard.tell(Control::Drain { window_ms }));
    }

    /// Tells every shard its limits. May block for as long as a shard's channel is full.
    pub fn set_limits(&self, settings: ShardSettings) {
        let settings = Arc::new(settings);
        self.handles.iter().for_each(|shard| shard.tell(Control::Limits(settings.clone())));
    }

    /// Asks every shard who is connected; one that does not answer within a second is left out.
    pub fn clients(&self) -> Vec<ShardClients> {
        let (reply, replies) = bounded(self.handles.len());
        self.handles.iter().for_each(|shard| shard.tell(Control::Clients(reply.clone())));
        drop(reply); // The channel closes when every shard has answered, or gone.
        let deadline = std::time::Instant::now() + CLIENTS_WITHIN;
        std::iter::from_fn(|| replies.recv_deadline(deadline).ok()).collect()
    }

    /// Tells every shard to stop. May block for as long as a shard's channel is full.
    pub fn stop(&self) {
        self.handles.iter().for_each(|shard| shard.tell(Control::Stop));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn handoff() -> Handoff {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        Handoff {
            peer: socket.local_addr().unwrap(),
            socket,
            tls: None,
            answer: Vec::new(),
            read_ahead: Vec::new(),
            transport: Transport::WebSocket { encoding: Encoding::Json, compress: false },
            who: Who::Anybody,
            seat: None,
        }
    }

    #[test]
    fn connections_go_to_the_shard_that_has_the_fewest() {
        let (a, in_a) = ShardHandle::new(|| ());
        let (b, in_b) = ShardHandle::new(|| ());
        let shards = Shards::new(vec![a, b]);
        in_a.connections.store(2, Ordering::Relaxed);
        for _ in 0..4 {
            shards.give(handoff()).unwrap();
        }
        assert_eq!((in_a.controls.len(), in_b.controls.len()), (1, 3));
        assert_eq!(shards.connections(), 6);
    }

    #[test]
    fn a_connection_comes_back_when_every_shard_has_ended() {
        let (a, in_a) = ShardHandle::new(|| ());
        let shards = Shards::new(vec![a]);
        drop(in_a);
        assert!(shards.give(handoff()).is_err());
        assert_eq!(shards.connections(), 0);
    }

    #[test]
    fn every_control_wakes_its_shard() {
        let woken = Arc::new(AtomicUsize::new(0));
        let count = woken.clone();
        let (a, inbox) = ShardHandle::new(move || {
            count.fetch_add(1, Ordering::Relaxed);
        });
        let shards = Shards::new(vec![a]);
        shards.give(handoff()).unwrap();
        shards.drain(30_000);
        shards.stop();
        assert_eq!(woken.load(Ordering::Relaxed), 3);
        let told: Vec<Control> = inbox.controls.try_iter().collect();
        assert!(matches!(
            told[..],
            [Control::Connect(_), Control::Drain { window_ms: 30_000 }, Control::Stop]
        ));
    }
}
