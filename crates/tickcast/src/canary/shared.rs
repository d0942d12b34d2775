//! What all connections of the canary share, on its one thread.

use super::lane::Lane;
use super::score::Board;
use super::tap::Tap;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;
use tickcast_gateway::Door;
use tickcast_market::Nanos;
use tickcast_publisher::Hub;

/// The service as the canary sees it from inside, and what it has to tell.
pub(super) struct Shared {
    pub(super) door: Arc<Door>,
    pub(super) hub: Arc<Hub>,
    /// How many shards there are.
    pub(super) shards: usize,
    /// The wall clock.
    pub(super) clock: fn() -> Nanos,
    pub(super) tap: RefCell<Tap>,
    pub(super) lanes: RefCell<Vec<Rc<Lane>>>,
    pub(super) board: Arc<Board>,
}

impl Shared {
    /// Takes note of what was published since the last time.
    pub(super) fn drain(&self, now: Instant) {
        let lanes = self.lanes.borrow();
        let is_whole = self.tap.borrow().drain(|stream, publication| {
            for lane in lanes.iter() {
                let (age, is_given_up) =
                    lane.ledger.borrow_mut().published(stream, publication, now);
                if let Some(age) = age {
                    self.board.came(lane.venue, age, now);
                }
                if is_given_up {
                    self.board.missing(lane.venue, now);
                }
            }
        });
        if !is_whole {
            tracing::debug!("the canary was late itself and has overlooked publications");
            lanes.iter().for_each(|lane| lane.ledger.borrow_mut().lost());
        }
    }

    /// Gives up what has waited for too long.
    pub(super) fn give_up_overdue(&self, now: Instant) {
        for lane in self.lanes.borrow().iter() {
            let mut count = 0;
            let mut ledger = lane.ledger.borrow_mut();
            let was_missing = ledger.is_missing_any();
            ledger.overdue(now, |(instrument, view), at| {
                self.board.missing(lane.venue, now);
                count += 1;
                if count == 1 && !was_missing {
                    let name = self.hub.directory().get(instrument).map(|i| i.name.clone());
                    tracing::error!(
                        venue = %lane.venue, shard = lane.shard.get(),
                        symbol = name.as_deref(), channel = view.channel().name(),
                        epoch = at.epoch.0, seq = at.seq.0,
                        "what was published has not come to the canary in time"
                    );
                }
            });
        }
    }
}
