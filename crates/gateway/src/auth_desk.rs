//! Where shards bring the tokens that clients show in band, and where the verdicts come from.

use crate::auth::{Admitted, Auth, AuthError};
use crate::connection::Token;
use crate::handoff::{Control, Shards};
use crate::identity::Who;
use crate::limits::GIVE_PAUSE;
use crate::tokens::Secret;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Tokens that may wait to be judged; beyond it a shard answers for itself that there is too much
/// to do.
const ASKS_MAX: usize = 4096;

/// How often a verdict is offered to a shard that has no room.
const VERDICT_TRIES_MAX: u32 = 3_000;

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

/// Offers a control until the shard has room; after half a minute there is no shard any more.
async fn insist(shards: &Shards, shard: u8, mut control: Control) {
    for _ in 0..VERDICT_TRIES_MAX {
        tokio::time::sleep(GIVE_PAUSE).await;
        match shards.offer(shard, control) {
            Ok(()) => return,
            Err(back) => control = back,
        }
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
            let control = Control::Verdict(Verdict { connection, session, result });
            if let Err(control) = shards.offer(shard, control) {
                // The others need not wait for a shard that is busy; there is at most one verdict
                // for each connection.
                let shards = shards.clone();
                tokio::spawn(async move { insist(&shards, shard, control).await });
            }
        }
    }
}
