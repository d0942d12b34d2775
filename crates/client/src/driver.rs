//! The task behind a client: one connection after the other, with the delays between them.

use crate::backoff::Attempts;
use crate::connection::ConnectionState;
use crate::error::{Error, ErrorKind};
use crate::life::{End, Life};
use crate::options::{Dialer, Options};
use crate::shared::Shared;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Makes connections until the owner is gone or the service says not to come back.
pub(crate) async fn run(shared: Arc<Shared>, options: Options, dialer: Dialer) {
    let mut attempts = Attempts::new(options.backoff);
    // A token that was not accepted is replaced once before the client gives up.
    let mut may_ask_for_a_token = true;
    loop {
        let (end, was_live) = connect_once(&shared, &options, &dialer, &mut attempts).await;
        if was_live {
            may_ask_for_a_token = true;
        }
        let now = Instant::now();
        let closed = |reason| shared.set_connection(ConnectionState::Closed { reason }, now);
        if shared.state.lock().is_closing {
            return closed(Error::ClientClosed);
        }
        let reason = match end {
            End::Asked => return closed(Error::ClientClosed),
            End::Left => Error::Closed { code: 1001, reason: "the service goes away".into() },
            End::Failed(error) if error.asks_for_a_token() => {
                if options.token.is_none() || !std::mem::take(&mut may_ask_for_a_token) {
                    return closed(error);
                }
                error
            }
            End::Failed(error) if error.kind() == ErrorKind::Stop => return closed(error),
            End::Failed(error) => error,
        };
        let asked = match &reason {
            Error::Refused { retry_after, .. } => retry_after.map(Duration::from_secs),
            _ => None,
        };
        let attempt = attempts.failures();
        let next_try = attempts.next(now, asked, fastrand::f64());
        shared.set_connection(ConnectionState::Reconnecting { attempt, next_try, reason }, now);
        tokio::select! {
            () = tokio::time::sleep_until(next_try.into()) => {}
            () = shared.stop.notified() => {
                return shared.set_connection(
                    ConnectionState::Closed { reason: Error::ClientClosed },
                    Instant::now(),
                );
            }
        }
    }
}

/// One attempt and, if it succeeds, the whole life of the connection; whether it was served.
async fn connect_once(
    shared: &Shared,
    options: &Options,
    dialer: &Dialer,
    attempts: &mut Attempts,
) -> (End, bool) {
    let mut live_since = None;
    let life = Life { shared, token: options.token.as_ref() };
    let living = async {
        match dialer.dial().await {
            Ok(socket) => life.run(socket, &mut live_since).await,
            Err(error) => End::Failed(error),
        }
    };
    let end = {
        let mut living = std::pin::pin!(living);
        tokio::select! {
            end = &mut living => end,
            () = shared.stop.notified() => {
                // Who serves sees it too, and ends in order; who dials or greets is dropped.
                if shared.state.lock().connection.state.is_live() { living.await } else { End::Asked }
            }
        }
    };
    let mut state = shared.state.lock();
    if let Some(leaving) = state.connection.leaving.take() {
        attempts.leave(leaving.at);
    }
    if let Some(since) = live_since {
        attempts.lasted(since.elapsed());
    }
    (end, live_since.is_some())
}
