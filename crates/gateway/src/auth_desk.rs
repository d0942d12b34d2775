//! Where shards bring the tokens that clients show in band, and where the verdicts come from.

use crate::auth::{Admitted, Auth, AuthError};
use crate::connection::Token;
use crate::handoff::{Control, Shards};
use crate::identity::Who;
use crate::limits::{GIVE_PAUSE, GIVE_TRIES_MAX};
use crate::tokens::Secret;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Tokens that may wait to be judged; beyond it a shard answers for itself that there is too much
/// to do.
const ASKS_MAX: usize = 4096;

/// A token that a client has shown in band.
#[derive(Debug)]
pub struct AuthAsk {
    /// The shard that asks.
    pub shard: u8,
    /// Its connection.
    pub connection: Token,
    /// The connection's session: its number may be somebody else's by the time of the verdict.
    pub session: u64,
    /// The token.
    pub token: Secret,
    /// To whom the connection belongs so far.
    pub held: Who,
}

/// What is said to an [`AuthAsk`].
#[derive(Debug)]
pub struct Verdict {
    /// As in the question.
    pub connection: Token,
    /// As in the question.
    pub session: u64,
    /// Whose the connection is from now on, or why it is not.
    pub result: Result<Admitted, AuthError>,
}

/// The shards' side: never waits.
#[derive(Clone, Debug)]
pub struct AuthDesk(mpsc::Sender<AuthAsk>);

/// The door's side.
#[derive(Debug)]
pub struct AuthAsks(mpsc::Receiver<AuthAsk>);

impl AuthDesk {
    /// A desk and what is brought to it.
    pub fn new() -> (AuthDesk, AuthAsks) {
        let (sender, receiver) = mpsc::channel(ASKS_MAX);
        (AuthDesk(sender), AuthAsks(receiver))
    }

    /// `false` when too many wait already.
    pub(crate) fn ask(&self, ask: AuthAsk) -> bool {
        self.0.try_send(ask).is_ok()
    }
}

impl AuthAsks {
    /// The next token that was brought; `None` when every shard has ended.
    pub async fn next(&mut self) -> Option<AuthAsk> {
        self.0.recv().await
    }

    /// A token that is there already.
    pub fn try_next(&mut self) -> Option<AuthAsk> {
        self.0.try_recv().ok()
    }

    /// Judges what is brought until every shard has ended.
    pub async fn attend(mut self, auth: Arc<Auth>, shards: Arc<Shards>) {
        while let Some(ask) = self.next().await {
            let AuthAsk { shard, connection, session, token, held } = ask;
            let result = auth.judge(&token, &held);
            let mut control = Control::Verdict(Verdict { connection, session, result });
            // A verdict that never arrives is an authentication that took too long.
            for _ in 0..GIVE_TRIES_MAX {
                match shards.offer(shard, control) {
                    Ok(()) => break,
                    Err(back) => control = back,
                }
                tokio::time::sleep(GIVE_PAUSE).await;
            }
        }
    }
}
