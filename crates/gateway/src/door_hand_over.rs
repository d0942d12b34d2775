//! From the door to a shard: what came with a request is judged, and who may come in is given away
//! with the answer that the shard is to write.

use crate::auth::Admitted;
use crate::door::Door;
use crate::door_client::Visitor;
use crate::door_close::linger;
use crate::door_head::First;
use crate::door_stream::Stream;
use crate::frame::write_close;
use crate::handoff::{Handoff, Transport};
use crate::handshake::{Accept, Route};
use crate::identity::Who;
use crate::limits::{GIVE_PAUSE, GIVE_TRIES_MAX, LINGER};
use crate::refusal::Refusal;
use crate::refusal_reason::Reason;
use std::net::TcpStream as Accepted;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

/// About the length of the head of an answer, the welcome that a shard writes after it included.
const ANSWER_BYTES: usize = 512;

/// A request that is right: what the shard will speak, the head of the answer, and who it is.
pub(crate) struct Prepared {
    transport: Transport,
    answer: Vec<u8>,
    admitted: Admitted,
}

/// A client that may not come in, and why.
pub(crate) struct TurnedAway {
    socket: Stream,
    refusal: Refusal,
    visitor: Visitor,
}

impl Door {
    /// Gives the socket to a shard, with the answer that it is to write; where no shard has room
    /// that is tried for a while. `known` is what came of asking whom it is from.
    ///
    /// *Errors:* gives it back with what to tell the client.
    pub(crate) fn hand_over(
        self: &Arc<Self>,
        socket: Stream,
        visitor: Visitor,
        (route, read_ahead): First,
        known: Result<(), Refusal>,
    ) -> Result<(), Box<TurnedAway>> {
        let prepared = match known {
            Ok(()) => self.prepare(route),
            Err(refusal) => Err(refusal.readable_by(route.origin())),
        };
        let Prepared { transport, answer, admitted } = match prepared {
            Ok(prepared) => prepared,
            Err(refusal) => return Err(Box::new(TurnedAway { socket, refusal, visitor })),
        };
        let (socket, tls, decrypted) = socket.into_parts();
        let read_ahead =
            if decrypted.is_empty() { read_ahead } else { [read_ahead, decrypted].concat() };
        // A socket that has no place in the runtime is as good as gone.
        let Ok(socket) = socket.into_std() else { return Ok(()) };
        let peer = visitor.peer;
        let Admitted { who, seat } = admitted;
        let handoff = Handoff { socket, tls, peer, answer, read_ahead, transport, who, seat };
        self.give(handoff, visitor);
        Ok(())
    }

    /// The same for a connection whose request was there when it was accepted: the runtime never
    /// comes to know it.
    pub(crate) fn hand_over_at_once(
        self: &Arc<Self>,
        socket: Accepted,
        visitor: Visitor,
        (route, read_ahead): First,
    ) {
        match self.prepare(route) {
            Ok(Prepared { transport, answer, admitted }) => {
                let Admitted { who, seat } = admitted;
                let (tls, peer) = (None, visitor.peer);
                let handoff =
                    Handoff { socket, tls, peer, answer, read_ahead, transport, who, seat };
                self.give(handoff, visitor);
            }
            Err(refusal) => {
                let Ok(socket) = TcpStream::from_std(socket) else { return };
                let at_the_door = self.presence();
                tokio::spawn(async move {
                    let (its_place, socket) = (visitor, Stream::plain(socket));
                    at_the_door.door.refuse(socket, its_place.peer, &refusal).await;
                });
            }
        }
    }

    fn note_answer(&self, transport: &Transport, begun: Instant) {
        self.metrics.handshake.observe(begun.elapsed().as_secs_f64());
        match transport {
            Transport::WebSocket { .. } => self.upgrades.inc(),
            Transport::Sse { .. } => self.events.inc(),
        }
    }

    /// Judges what came with a request, and writes the head of the answer.
    fn prepare(&self, route: Route) -> Result<Prepared, Refusal> {
        let page = route.origin().map(str::to_owned);
        self.judge(route).map_err(|refusal| refusal.readable_by(page.as_deref()))
    }

    fn judge(&self, route: Route) -> Result<Prepared, Refusal> {
        // Relaxed: see `drain_to_successor`.
        if self.is_draining() && !self.is_succeeded.load(Ordering::Relaxed) {
            return Err(Refusal::overloaded(Reason::Draining, "this server is about to stop"));
        }
        let mut answer = Vec::with_capacity(ANSWER_BYTES);
        match route {
            Route::WebSocket(mut accept) => {
                let admitted = self.auth.admit(accept.token.as_ref(), true)?;
                // Nothing is inflated for who has not said who it is.
                accept.compress &= self.deflate && !matches!(admitted.who, Who::Unknown);
                accept.write(&mut answer);
                let Accept { encoding, compress, .. } = accept;
                let transport = Transport::WebSocket { encoding, compress };
                Ok(Prepared { transport, answer, admitted })
            }
            Route::Sse(request) => {
                // Events cannot ask for a token later.
                let admitted = self.auth.admit(request.token.as_ref(), false)?;
                self.source.check_events(&request.query, &admitted.who)?;
                request.write(&mut answer);
                let (query, last_event_id) = (request.query, request.last_event_id);
                Ok(Prepared {
                    transport: Transport::Sse { query, last_event_id },
                    answer,
                    admitted,
                })
            }
            Route::Other => Err(Refusal::internal("this request is not the door's")),
        }
    }

    fn give(self: &Arc<Self>, handoff: Handoff, visitor: Visitor) {
        self.note_answer(&handoff.transport, visitor.accepted);
        match self.shards.give(handoff) {
            Ok(()) => visitor.pass_on(),
            Err(handoff) => {
                let at_the_door = self.presence();
                tokio::spawn(async move { at_the_door.door.insist(handoff, visitor).await });
            }
        }
    }

    /// Offers the connection to the shards for a second; without success it is told to come back.
    async fn insist(&self, mut handoff: Handoff, visitor: Visitor) {
        for _ in 0..GIVE_TRIES_MAX {
            sleep(GIVE_PAUSE).await;
            match self.shards.give(handoff) {
                Ok(()) => return visitor.pass_on(),
                Err(back) => handoff = back,
            }
        }
        let refusal = Refusal::overloaded(Reason::Shards, "no shard takes the connection");
        self.note_refusal(handoff.peer, &refusal);
        let Ok(socket) = TcpStream::from_std(handoff.socket) else { return };
        let mut socket = Stream::of(socket, handoff.tls);
        let mut answer = handoff.answer;
        if matches!(handoff.transport, Transport::WebSocket { .. }) {
            write_close(&mut answer, 4503, "overloaded");
        }
        if let Ok(Ok(())) = timeout(LINGER, socket.write_all(&answer)).await {
            linger(socket).await;
        }
    }

    /// Tells a client why it may not come in; until it has gone it keeps its place.
    pub(crate) async fn send_off(&self, TurnedAway { socket, refusal, visitor }: TurnedAway) {
        self.refuse(socket, visitor.peer, &refusal).await;
        drop(visitor);
    }
}
