//! The canary's own watch: which venues there are, which of their instruments are followed, and what
//! is overdue.

use super::choice::{INSTRUMENTS_MAX, Scout, choose};
use super::lane::Lane;
use super::ledger::Ledger;
use super::shared::Shared;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tickcast_market::{InstrumentIndex, Venue};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

/// Connections of a venue: where there are more shards they go on from one to the next.
const LANES_MAX: usize = 4;

/// It looks at the time so often.
const TICK: Duration = Duration::from_millis(100);

/// The instruments are looked at so often; while more could be followed sooner, and while none is at
/// every tick.
const LOOK: Duration = Duration::from_secs(10);
const LOOK_WHILE_FEW: Duration = Duration::from_secs(1);

/// One venue.
struct Ward {
    scout: Scout,
    lanes: Vec<Rc<Lane>>,
    chosen: Vec<InstrumentIndex>,
    looked_at: Option<Instant>,
}

/// Keeps a watch on all venues, for ever: on these from the start, on others as they appear.
///
/// *Panics* where a connection's task did.
pub(super) async fn keep(shared: Rc<Shared>, venues: Vec<Venue>) {
    let mut tasks = JoinSet::new();
    let mut wards = BTreeMap::new();
    for venue in venues {
        wards.entry(venue).or_insert_with(|| begin(&shared, venue, &mut tasks));
    }
    let mut known = 0;
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            Some(Err(error)) = tasks.join_next() => std::panic::resume_unwind(error.into_panic()),
        }
        let now = Instant::now();
        shared.board.alive(now);
        shared.drain(now);
        shared.give_up_overdue(now);
        let directory = shared.hub.directory();
        if directory.len() > known {
            for instrument in directory.list_from(known) {
                let venue = instrument.spec.venue;
                wards.entry(venue).or_insert_with(|| begin(&shared, venue, &mut tasks));
                known += 1;
            }
        }
        wards.iter_mut().for_each(|(venue, ward)| ward.look(&shared, *venue, now));
    }
}

/// Begins a venue's connections.
fn begin(shared: &Rc<Shared>, venue: Venue, tasks: &mut JoinSet<()>) -> Ward {
    let count = shared.shards.min(LANES_MAX);
    shared.board.begin(venue, count);
    let lane = |number| {
        Rc::new(Lane {
            venue,
            number,
            lanes: count,
            shard: Cell::new(number),
            wanted: RefCell::default(),
            ledger: RefCell::new(Ledger::default()),
        })
    };
    let lanes: Vec<Rc<Lane>> = (0..count).map(lane).collect();
    for lane in &lanes {
        shared.lanes.borrow_mut().push(lane.clone());
        tasks.spawn_local(lane.clone().run(shared.clone()));
    }
    Ward { scout: Scout::default(), lanes, chosen: Vec::new(), looked_at: None }
}

impl Ward {
    /// Looks, where it is time to, whether other instruments are worth more.
    fn look(&mut self, shared: &Shared, venue: Venue, now: Instant) {
        let rest = match self.chosen.len() {
            0 => Duration::ZERO,
            INSTRUMENTS_MAX => LOOK,
            _ => LOOK_WHILE_FEW,
        };
        if self.looked_at.is_some_and(|at| now.saturating_duration_since(at) < rest) {
            return;
        }
        self.looked_at = Some(now);
        let chosen = choose(&self.chosen, &self.scout.look(&shared.hub, venue));
        if chosen == self.chosen {
            return;
        }
        self.chosen = chosen;
        for lane in &self.lanes {
            let own = deal(&self.chosen, lane.number, self.lanes.len());
            let directory = shared.hub.directory();
            let instruments = own.filter_map(|index| directory.get(index)).collect();
            *lane.wanted.borrow_mut() = instruments;
        }
    }
}

/// What of the chosen one connection of so many follows: each instrument is followed once, and where
/// there are fewer of them than connections, by several.
fn deal(
    chosen: &[InstrumentIndex],
    number: usize,
    lanes: usize,
) -> impl Iterator<Item = InstrumentIndex> {
    let own = chosen.iter().copied().skip(number).step_by(lanes);
    let shared = number.checked_rem(chosen.len()).map(|at| chosen[at]);
    let is_without = number >= chosen.len();
    own.chain(shared.filter(|_| is_without))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_connection_has_something_to_follow_and_nothing_is_followed_in_vain() {
        let dealt = |chosen: u32, lanes| -> Vec<Vec<u32>> {
            let chosen: Vec<_> = (0..chosen).map(InstrumentIndex).collect();
            (0..lanes).map(|n| deal(&chosen, n, lanes).map(|i| i.0).collect()).collect()
        };
        assert_eq!(dealt(4, 1), [[0, 1, 2, 3]]);
        assert_eq!(dealt(4, 2), [[0, 2], [1, 3]]);
        assert_eq!(dealt(3, 2), [vec![0, 2], vec![1]]);
        assert_eq!(dealt(1, 3), [[0], [0], [0]]);
        assert_eq!(dealt(2, 4), [[0], [1], [0], [1]]);
        assert_eq!(dealt(0, 2), [[0; 0], [0; 0]]);
    }
}
