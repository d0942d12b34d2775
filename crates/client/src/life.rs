//! The life of one connection: welcome, token, then four things at once until one of them ends it:
//! reading, writing, watching the time, and refreshing the token.

use crate::connection::{ConnectionState, Event};
use crate::error::Error;
use crate::options::within;
use crate::pace::{AskPace, RequestPace};
use crate::shared::{Outgoing, Pending, Shared};
use crate::socket::{Incoming, SocketReader, SocketWriter};
use crate::token::{REFRESH_AGAIN, REFRESH_PAUSE_MIN, TokenSource, refresh_after};
use std::pin::pin;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tickcast_wire::{Authenticated, Message, Outcome, ReqId, Request, Welcome};
use tokio::sync::oneshot;

/// How long the welcome, and the answer to a token, may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// How long a token callback may take.
const TOKEN_WITHIN: Duration = Duration::from_secs(30);

/// How long the end of a connection in order may take.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// Silence for so many heartbeats means that the connection is dead.
const HEARTBEATS_MISSED_MAX: u32 = 3;

/// Why a connection is over.
#[derive(Debug)]
pub(crate) enum End {
    /// The owner wanted it.
    Asked,
    /// It is lost, closed or dead.
    Failed(Error),
    /// The service goes away, and the delay that it gave has passed.
    Left,
}

/// One connection that is open.
#[derive(Debug)]
pub(crate) struct Life<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) token: Option<&'a TokenSource>,
}

impl Life<'_> {
    /// Greets, shows a token, and serves until the end. `live_since` is set when it is served.
    pub(crate) async fn run(
        &self,
        (mut reader, mut writer): (SocketReader, SocketWriter),
        live_since: &mut Option<Instant>,
    ) -> End {
        let who = match self.greet(&mut reader, &mut writer).await {
            Ok(who) => who,
            Err(error) => {
                let _ = within("close", CLOSE_WITHIN, writer.close(1000)).await;
                return End::Failed(error);
            }
        };
        let now = Instant::now();
        *live_since = Some(now);
        self.shared.set_connection(ConnectionState::Live, now);
        let end = {
            let mut reading = pin!(self.read(&mut reader));
            let mut writing = pin!(self.write(&mut writer));
            let mut watching = pin!(self.watch());
            let mut refreshing = pin!(self.refresh(who));
            tokio::select! {
                // What has come is looked at before it is found that nothing came.
                biased;
                error = &mut reading => End::Failed(error),
                end = &mut writing => match end {
                    // The peer's close is waited for; what still comes is of no interest.
                    End::Asked => {
                        let _ = tokio::time::timeout(CLOSE_WITHIN, reading).await;
                        End::Asked
                    }
                    end => end,
                },
                end = &mut watching => end,
                () = &mut refreshing => unreachable!("it goes on as long as the connection"),
            }
        };
        let closing = match &end {
            End::Asked => return end,
            End::Left => writer.close(1000),
            // The answer to a close has its code; after a failure it is hardly read.
            End::Failed(Error::Closed { code, .. }) if *code != 1005 => writer.close(*code),
            End::Failed(_) => writer.close(1002),
        };
        let _ = within("close", CLOSE_WITHIN, closing).await;
        end
    }

    async fn greet(
        &self,
        reader: &mut SocketReader,
        writer: &mut SocketWriter,
    ) -> Result<Option<Authenticated>, Error> {
        let welcome = within("welcome", ANSWER_WITHIN, async {
            until(reader, writer, |message| match message {
                Message::Welcome(welcome) => Some(welcome.clone()),
                _ => None,
            })
            .await
        });
        let welcome = welcome.await?;
        self.note(&welcome);
        let Some(source) = self.token else {
            return if welcome.auth_required { Err(Error::TokenMissing) } else { Ok(None) };
        };
        let token = within("token", TOKEN_WITHIN, source.fetch()).await?;
        let own = self.shared.state.lock().session.next_req_id();
        writer.send(&Request::Auth { req_id: own.clone(), token }).await?;
        let answer = within("answer to auth", ANSWER_WITHIN, async {
            until(reader, writer, |message| match message {
                Message::Answer { req_id, outcome } if *req_id == own => Some(outcome.clone()),
                _ => None,
            })
            .await
        });
        match answer.await? {
            Outcome::Authenticated(who) => Ok(Some(who)),
            Outcome::Refused { code, error } => {
                let refused = Error::Request { code, error };
                // A service that serves everybody may take no tokens.
                if welcome.auth_required || refused.asks_for_a_token() {
                    return Err(refused);
                }
                self.shared.state.lock().tell(Event::TokenFailed(refused));
                Ok(None)
            }
            _ => Err(Error::Lost("auth was answered with something else".into())),
        }
    }

    fn note(&self, welcome: &Welcome) {
        let mut state = self.shared.state.lock();
        let connection = &mut state.connection;
        connection.session.clone_from(&welcome.session);
        connection.version.clone_from(&welcome.version);
        connection.heartbeat = Some(Duration::from_millis(welcome.heartbeat_ms.max(1)));
        connection.last_heard = Some(Instant::now());
    }

    /// Takes everything in; ends only with the connection. Never dropped while the connection is
    /// still to be used.
    async fn read(&self, reader: &mut SocketReader) -> Error {
        loop {
            // Counted with the next message; this one is borrowed from the reader.
            let bytes = reader.bytes();
            match reader.next().await {
                Ok(Incoming::Close(code, reason)) => return Error::Closed { code, reason },
                Err(error) => return error,
                Ok(incoming) => self.arrived(&incoming, bytes),
            }
        }
    }

    fn arrived(&self, incoming: &Incoming<'_>, bytes: u64) {
        let now = Instant::now();
        let mut state = self.shared.state.lock();
        state.heard(bytes, now);
        let calls = match incoming {
            Incoming::Text(text) => match Message::decode(text.as_bytes()) {
                Ok(message) => state.take(&message, now),
                Err(_) => {
                    state.connection.undecodable += 1;
                    false
                }
            },
            Incoming::Ping(ping) => {
                state.ping = Some(ping.clone());
                true
            }
            Incoming::Pong | Incoming::Close(..) => false,
        };
        drop(state);
        if calls {
            self.shared.timing.notify_one();
            self.shared.outgoing.notify_one();
        }
    }

    /// Writes what is to be written.
    async fn write(&self, writer: &mut SocketWriter) -> End {
        let mut pace = RequestPace::new(Instant::now());
        loop {
            let now = Instant::now();
            let next = self.shared.state.lock().outgoing(now, || pace.take(now));
            let written = match next {
                Ok(None) => {
                    self.shared.outgoing.notified().await;
                    continue;
                }
                Err(wait) => {
                    // Pongs and the end do not wait behind requests.
                    let _ = tokio::time::timeout(wait, self.shared.outgoing.notified()).await;
                    continue;
                }
                Ok(Some(Outgoing::Request(request))) => writer.send(&request).await,
                Ok(Some(Outgoing::Pong(bytes))) => writer.pong(bytes).await,
                Ok(Some(Outgoing::Close)) => {
                    let _ = within("close", CLOSE_WITHIN, writer.close(1000)).await;
                    return End::Asked;
                }
            };
            if let Err(error) = written {
                return End::Failed(error);
            }
        }
    }

    /// Sees to everything that happens by time: silence, leaving, asking again.
    async fn watch(&self) -> End {
        let mut asking = AskPace::default();
        loop {
            let now = Instant::now();
            let next = {
                let mut state = self.shared.state.lock();
                let connection = &state.connection;
                let silence = connection.heartbeat.unwrap_or(ANSWER_WITHIN) * HEARTBEATS_MISSED_MAX;
                let dead_at = connection.last_heard.unwrap_or(now) + silence;
                if now >= dead_at {
                    let silence = silence.as_millis().try_into().unwrap_or(u64::MAX);
                    return End::Failed(Error::Silent(silence));
                }
                let leave_at = connection.leaving.as_ref().map(|leaving| leaving.at);
                if leave_at.is_some_and(|at| now >= at) {
                    return End::Left;
                }
                let mut sends = state.look(now);
                let mut ask_at = None;
                if state.session.must_ask_again() {
                    let due = asking.due(now);
                    if now >= due {
                        sends |= state.ask_again(now);
                        asking.asked(now);
                    } else {
                        ask_at = Some(due);
                    }
                }
                if sends {
                    self.shared.outgoing.notify_one();
                }
                [leave_at, ask_at, state.due()].into_iter().flatten().fold(dead_at, Instant::min)
            };
            // Elapsed or notified, both mean to look again.
            let _ = tokio::time::timeout_at(next.into(), self.shared.timing.notified()).await;
        }
    }

    /// Shows a new token before the one that was shown expires.
    async fn refresh(&self, who: Option<Authenticated>) {
        let (Some(source), Some(mut who)) = (self.token, who) else {
            return std::future::pending().await;
        };
        loop {
            tokio::time::sleep(refresh_after(lasts(who.expires))).await;
            match self.show(source).await {
                Ok(renewed) => who = renewed,
                // The old one holds until it expires.
                Err(error) => self.shared.state.lock().tell(Event::TokenFailed(error)),
            }
            // Neither a callback that fails nor one that gives what ends soon is called in a tight
            // loop.
            let pause = REFRESH_AGAIN.min(lasts(who.expires) / 2);
            tokio::time::sleep(pause.max(REFRESH_PAUSE_MIN)).await;
        }
    }

    async fn show(&self, source: &TokenSource) -> Result<Authenticated, Error> {
        let token = within("token", TOKEN_WITHIN, source.fetch()).await?;
        let (answer, answered) = oneshot::channel();
        {
            let mut state = self.shared.state.lock();
            let req_id: Option<ReqId> = state.session.next_req_id();
            state.send(Request::Auth { req_id, token }, Pending::Auth(answer));
        }
        self.shared.outgoing.notify_one();
        within("answer to auth", ANSWER_WITHIN, async {
            answered.await.unwrap_or(Err(Error::NotConnected))
        })
        .await
    }
}

/// How long something lasts that ends at this Unix time.
fn lasts(expires: i64) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Duration::from_secs(u64::try_from(expires).unwrap_or_default()).saturating_sub(now)
}

/// Reads until a message is the one that is waited for.
async fn until<T>(
    reader: &mut SocketReader,
    writer: &mut SocketWriter,
    mut is_it: impl FnMut(&Message<'_>) -> Option<T>,
) -> Result<T, Error> {
    loop {
        match reader.next().await? {
            Incoming::Text(text) => {
                let message = Message::decode(text.as_bytes());
                let message = message.map_err(|error| Error::Lost(error.to_string()))?;
                if let Some(found) = is_it(&message) {
                    return Ok(found);
                }
            }
            Incoming::Ping(bytes) => writer.pong(bytes).await?,
            Incoming::Pong => {}
            Incoming::Close(code, reason) => return Err(Error::Closed { code, reason }),
        }
    }
}
