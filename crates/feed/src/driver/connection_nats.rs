//! One connection to NATS, in the place of a venue's socket: connects, subscribes to what it is
//! sent, and hands each message on as `subject`, a space, payload.
//!
//! The client of `async-nats` would connect again by itself, and nobody could tell which messages
//! came before and which after. So its first loss is the end of this connection, and the driver
//! opens the next one as it does with every venue. The same where messages were dropped because we
//! took them too slowly: NATS waits for nobody.

use crate::driver::connection_socket::{InboxEnd, Incoming, Outgoing, share_of, wall_clock};
use crate::handler::ConnectionIndex;
use async_nats::{Client, Event, Subscriber, connection::State};
use bytes::BytesMut;
use futures_util::StreamExt;
use std::time::Duration;
use tickcast_nats::Place;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// The most messages of one subject that wait for us; beyond them NATS' client drops.
const SUBSCRIPTION_MESSAGES_MAX: usize = 8_192;
/// A server that answers no ping for twice this time is gone.
const PING_SPAN: Duration = Duration::from_secs(2);
/// The most events of the connection that wait; the first is its end anyway.
const EVENTS_MAX: usize = 16;
/// How often it is looked at whether the connection still stands, should its event be lost.
const LOOK_SPAN: Duration = Duration::from_millis(500);
/// Longer than it takes to let go of a client that has lost its connection.
const CLIENT_RECONNECT_SPAN: Duration = Duration::from_secs(1);

/// Everything that a connection to NATS needs to live.
#[derive(Debug)]
pub(crate) struct NatsTask {
    pub(crate) index: ConnectionIndex,
    pub(crate) place: Place,
    pub(crate) connect_timeout: Duration,
    pub(crate) inbox: InboxEnd,
}

impl NatsTask {
    /// Lives until the connection is lost, the driver says [`Outgoing::Close`] or drops `outgoing`.
    pub(crate) async fn run(self, mut outgoing: mpsc::Receiver<Outgoing>) {
        let index = self.index;
        let (events, events_out) = mpsc::channel(EVENTS_MAX);
        let connected = tokio::select! {
            connected = timeout(self.connect_timeout, self.connect(events)) => connected,
            // Nothing is sent before the connection stands, so this can only be the end.
            _ = outgoing.recv() => return,
        };
        let connected = connected
            .unwrap_or_else(|_| Err(format!("no connection within {:?}", self.connect_timeout)));
        let reason = match connected {
            Ok(client) => {
                if !self.inbox.put(Incoming::Opened(index)).await {
                    return;
                }
                self.serve(&client, outgoing, events_out).await
            }
            Err(reason) => Some(reason),
        };
        if let Some(reason) = reason {
            self.inbox.put(Incoming::Ended { index, reason, retry_after: None }).await;
        }
    }

    async fn connect(&self, events: mpsc::Sender<Event>) -> Result<Client, String> {
        let (servers, options) = self.place.options().map_err(|error| error.to_string())?;
        let options = options
            .max_reconnects(Some(1))
            .reconnect_delay_callback(|_| CLIENT_RECONNECT_SPAN)
            .connection_timeout(self.connect_timeout)
            .ping_interval(PING_SPAN)
            .subscription_capacity(SUBSCRIPTION_MESSAGES_MAX)
            .event_callback(move |event| {
                // Where so many wait the connection is over already.
                let _ = events.try_send(event);
                std::future::ready(())
            });
        options
            .connect(servers)
            .await
            .map_err(|error| self.place.error(error.to_string()).to_string())
    }

    /// Why it has ended; `None` when the driver has asked for it.
    async fn serve(
        &self,
        client: &Client,
        mut outgoing: mpsc::Receiver<Outgoing>,
        mut events: mpsc::Receiver<Event>,
    ) -> Option<String> {
        let mut readers = JoinSet::new();
        let mut look = tokio::time::interval(LOOK_SPAN);
        loop {
            tokio::select! {
                out = outgoing.recv() => match out {
                    Some(Outgoing::Text(subject)) => match client.subscribe(subject.clone()).await {
                        Ok(messages) => {
                            let reader = Reader { index: self.index, inbox: self.inbox.clone() };
                            readers.spawn(reader.run(messages));
                        }
                        Err(error) => return Some(format!("subject {subject}: {error}")),
                    },
                    Some(Outgoing::Close) | None => return None,
                },
                Some(event) = events.recv() => match event {
                    Event::Disconnected | Event::Closed => return Some("disconnected".into()),
                    Event::SlowConsumer(_) => {
                        return Some("messages were dropped, they are taken too slowly".into());
                    }
                    // A subject that is refused, or not granted any more: what came of it is not
                    // current, and only a new subscription would tell when it is granted again.
                    Event::ServerError(error) => return Some(format!("the server refuses it: {error}")),
                    event => tracing::debug!(venue = "nats", ?event, "connection"),
                },
                _ = look.tick() => {
                    if client.connection_state() != State::Connected {
                        return Some("disconnected".into());
                    }
                }
            }
        }
    }
}

/// Reads one subscription; what is read stays in order.
struct Reader {
    index: ConnectionIndex,
    inbox: InboxEnd,
}

impl Reader {
    async fn run(self, mut messages: Subscriber) {
        while let Some(message) = messages.next().await {
            let ts_recv = wall_clock();
            let (subject, payload) = (message.subject.as_bytes(), &message.payload);
            let mut bytes = BytesMut::with_capacity(subject.len() + 1 + payload.len());
            bytes.extend_from_slice(subject);
            bytes.extend_from_slice(b" ");
            bytes.extend_from_slice(payload);
            let Some(share) = share_of(&self.inbox.room, bytes.len()).await else { return };
            let incoming = Incoming::Message { index: self.index, ts_recv, bytes, share };
            if !self.inbox.put(incoming).await {
                return;
            }
        }
    }
}
