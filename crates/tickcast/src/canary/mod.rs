//! The canary: a client of the service inside its own process, which tells whether users see fresh
//! prices.
//!
//! For each venue it keeps WebSocket connections over real loopback sockets, answered by the door
//! and served by shards like anybody's, subscribed to ticker and book of a few busy instruments.
//! From inside it knows what was published and when the venue's message had come ([`tap`]); what the
//! client gets and when ([`lane`]) is matched with that ([`ledger`]), and every message is judged by
//! the client's own rule and checksum ([`judge`]).
//!
//! It runs on one thread of its own with a runtime of its own: a rush at the door or a busy venue
//! must not make it look late, and it must not make them late. *Invariant:* nobody waits for it, and
//! what it keeps is bounded; without it nothing of it is left in the process.

mod choice;
mod compare;
mod judge;
mod keeper;
mod lane;
mod ledger;
mod line;
mod score;
mod shared;
mod tap;

pub(crate) use score::{Board, Metrics};

use crate::system;
use anyhow::{Context, Result};
use shared::Shared;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;
use tap::Tap;
use tickcast_gateway::{CanaryReport, Door};
use tickcast_market::{Nanos, Venue};
use tickcast_publisher::{Hub, ShardFeed, ShardIndex, Wake};
use tokio::sync::watch;
use tokio::task::LocalSet;

/// What the canary is made of.
pub(crate) struct Parts {
    /// What it reads beside the shards.
    pub(crate) hub: Arc<Hub>,
    /// Its end of the publisher: the last of [`tickcast_publisher::Publisher::feeds`], whose wake
    /// was [`no_wake`].
    pub(crate) feed: ShardFeed,
    /// How many shards there are; they come before it in the publisher's list.
    pub(crate) shards: usize,
    /// Where its connections are taken in.
    pub(crate) door: Arc<Door>,
    /// Venues that are followed before any instrument of theirs is known.
    pub(crate) venues: Vec<Venue>,
    pub(crate) metrics: Metrics,
    /// The wall clock.
    pub(crate) clock: fn() -> Nanos,
}

/// The canary at work.
#[derive(Debug)]
pub(crate) struct Canary {
    board: Arc<Board>,
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

/// The wake of the canary's place among the publisher's shards: it looks by itself.
pub(crate) fn no_wake() -> Wake {
    Arc::new(|| ())
}

impl Canary {
    /// Starts its thread.
    ///
    /// *Errors* of the system.
    pub(crate) fn start(parts: Parts) -> Result<Canary> {
        let board = Arc::new(Board::new(parts.metrics, Instant::now()));
        // Not up from the first answer on: its thread begins a moment later.
        parts.venues.iter().for_each(|venue| board.begin(*venue, 1));
        let (stop, mut stopping) = watch::channel(false);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("the canary's runtime")?;
        let (hub, door, feed) = (parts.hub, parts.door, parts.feed);
        let (shards, venues, clock) = (parts.shards, parts.venues, parts.clock);
        let guard = Ended(board.clone());
        let run = move || {
            let ended = guard;
            // Like the shards: a client elsewhere would not take their core either.
            system::give_way();
            let shared = Rc::new(Shared {
                tap: RefCell::new(Tap::new(hub.clone(), ShardIndex(shards as u8), feed)),
                lanes: RefCell::default(),
                board: ended.0.clone(),
                door,
                hub,
                shards,
                clock,
            });
            LocalSet::new().block_on(&runtime, async {
                tokio::select! {
                    () = keeper::keep(shared, venues) => {}
                    // It fails where nobody is left who could stop it.
                    _ = stopping.wait_for(|is_stopping| *is_stopping) => {}
                }
            });
        };
        let thread = std::thread::Builder::new().name("canary".to_owned());
        let thread = thread.spawn(run).context("the canary's thread")?;
        Ok(Canary { board, stop, thread })
    }

    /// Where operators read what it says.
    pub(crate) fn board(&self) -> Arc<Board> {
        self.board.clone()
    }

    /// Ends its connections; to be called before the shards are stopped. Gives its thread, which is
    /// about to end.
    pub(crate) fn stop(self) -> JoinHandle<()> {
        self.stop.send_replace(true);
        self.thread
    }
}

impl Board {
    /// What it says now.
    pub(crate) fn say(&self) -> Vec<CanaryReport> {
        self.reports(Instant::now())
    }
}

/// Whatever its end is, nothing is up then.
struct Ended(Arc<Board>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.ended();
    }
}
