//! The shard's own table of topics: who of its connections listens to what, and how far each topic
//! has been delivered.
//!
//! It knows topics by the slot that the publisher gave them, so that a frame finds its subscribers
//! without a search. A topic lives here while it has a subscriber; interest in it is registered
//! with the publisher by the first and taken back after the last.
//!
//! *Invariant:* a connection that is current on a topic holds at least the topic's `mark`.

use rustc_hash::FxHashMap;
use tickcast_market::{Epoch, InstrumentIndex, Seq, Since};
use tickcast_publisher::{Frame, Hub, ShardIndex, TopicId, TopicKey};

/// A subscriber's place in the list of its topic: which connection, and which of the connection's
/// memberships points back here. Eight bytes, walked for every frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subscriber {
    pub(crate) connection: u32,
    /// The membership, and in the topmost bits whether the connection owes this topic, and whether it
    /// wants to begin without what there is of it when there is something.
    membership_and_bits: u32,
}

const OWING: u32 = 1 << 31;
const BARE: u32 = 1 << 30;
const BITS: u32 = OWING | BARE;

impl Subscriber {
    pub(crate) fn membership(self) -> u32 {
        self.membership_and_bits & !BITS
    }

    /// Whether it takes the topic's frames as they come.
    pub(crate) fn is_current(self) -> bool {
        self.membership_and_bits & BITS == 0
    }

    pub(crate) fn is_owing(self) -> bool {
        self.membership_and_bits & OWING != 0
    }

    pub(crate) fn set_owing(&mut self, owing: bool) {
        self.set(OWING, owing);
    }

    /// It has asked for a stream without what there is of it, and nothing is there yet: the first
    /// snapshot of all is not for it.
    pub(crate) fn waits_bare(&mut self) {
        self.set(BARE, true);
    }

    /// Whether it has waited so; it does not any more.
    pub(crate) fn take_bare(&mut self) -> bool {
        let waited = self.membership_and_bits & BARE != 0;
        self.set(BARE, false);
        waited
    }

    pub(crate) fn set_membership(&mut self, membership: u32) {
        self.membership_and_bits = membership | (self.membership_and_bits & BITS);
    }

    fn set(&mut self, bit: u32, is_set: bool) {
        self.membership_and_bits = (self.membership_and_bits & !bit) | if is_set { bit } else { 0 };
    }
}

/// One topic with its subscribers on this shard.
#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) key: TopicKey,
    pub(crate) id: TopicId,
    /// The last change that was delivered to all who are current.
    pub(crate) mark: Since,
    pub(crate) subscribers: Vec<Subscriber>,
}

/// What is to be done with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// At or below the mark: everybody has it.
    Old,
    /// The next one.
    Next,
    /// Something before it is missing: withhold it, and serve the topic by diff from the mark.
    Gap,
}

impl Topic {
    /// Compares a frame with the mark.
    pub(crate) fn judge(&self, epoch: Epoch, prev: Seq, seq: Seq) -> Verdict {
        if epoch < self.mark.epoch || (epoch == self.mark.epoch && seq <= self.mark.seq) {
            Verdict::Old
        } else if prev.0 == 0 || (epoch == self.mark.epoch && prev <= self.mark.seq) {
            Verdict::Next
        } else {
            Verdict::Gap
        }
    }
}

/// A subscriber's topic and place in it, from the connection's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) slot: u32,
    pub(crate) at: u32,
}

/// What the shard keeps of an instrument that somebody listens to.
#[derive(Debug, Default)]
pub(crate) struct LocalInstrument {
    /// Its topics.
    pub(crate) slots: Vec<u32>,
    /// The last status that all its subscribers were told (or owe).
    pub(crate) status: Since,
}

/// All topics of the shard, by slot, by key and by instrument.
#[derive(Debug, Default)]
pub(crate) struct Topics {
    slots: Vec<Option<Box<Topic>>>,
    by_key: FxHashMap<TopicKey, u32>,
    instruments: FxHashMap<InstrumentIndex, LocalInstrument>,
}

impl Topics {
    /// The topic in that slot, if one is there.
    pub(crate) fn get(&self, slot: u32) -> Option<&Topic> {
        self.slots.get(slot as usize)?.as_deref()
    }

    /// As [`Topics::get`].
    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut Topic> {
        self.slots.get_mut(slot as usize)?.as_deref_mut()
    }

    /// The topic that a membership points to. *Panics* when there is none, which would be a bug.
    pub(crate) fn at(&self, slot: u32) -> &Topic {
        self.get(slot).expect("a membership keeps its topic alive")
    }

    /// The topic of a frame, unless it has gone or its slot now belongs to another.
    pub(crate) fn of_frame(&mut self, frame: &Frame) -> Option<&mut Topic> {
        let topic = self.get_mut(frame.topic.slot)?;
        (topic.id.generation == frame.topic.generation).then_some(topic)
    }

    /// How many slots the table has, empty ones counted: for who looks at all topics in turn.
    pub(crate) fn slot_count(&self) -> usize {
        self.slots.len()
    }

    /// The subscriber at a place.
    pub(crate) fn subscriber_mut(&mut self, place: Place) -> &mut Subscriber {
        let topic = self.get_mut(place.slot).expect("a membership keeps its topic alive");
        &mut topic.subscribers[place.at as usize]
    }

    /// The last status that all subscribers of an instrument were told (or owe); 0 where there are
    /// none.
    pub(crate) fn told_status(&self, instrument: InstrumentIndex) -> Seq {
        self.instruments.get(&instrument).map_or(Seq(0), |local| local.status.seq)
    }

    /// What is kept of an instrument that has subscribers.
    pub(crate) fn instrument_mut(
        &mut self,
        index: InstrumentIndex,
    ) -> Option<&mut LocalInstrument> {
        self.instruments.get_mut(&index)
    }

    /// Adds a subscriber, which is owing at first; `None` when the publisher does not know the
    /// instrument.
    pub(crate) fn join(
        &mut self,
        hub: &Hub,
        shard: ShardIndex,
        key: &TopicKey,
        connection: u32,
        membership: u32,
    ) -> Option<Place> {
        let slot = match self.by_key.get(key) {
            Some(slot) => *slot,
            None => self.open(hub, shard, key)?,
        };
        let topic = self.get_mut(slot).expect("the index by key names topics that are there");
        let subscribers = &mut topic.subscribers;
        if subscribers.len() == subscribers.capacity() {
            // A quarter, not twice as much: these lists are most of what a subscription costs.
            subscribers.reserve_exact((subscribers.len() / 4).max(4));
        }
        subscribers.push(Subscriber { connection, membership_and_bits: membership | OWING });
        Some(Place { slot, at: topic.subscribers.len() as u32 - 1 })
    }

    fn open(&mut self, hub: &Hub, shard: ShardIndex, key: &TopicKey) -> Option<u32> {
        // Interest first, snapshots and statuses afterwards: nothing can fall in between.
        let (id, mark) = hub.acquire(shard, key)?;
        let status = hub
            .status(key.instrument)
            .map_or(Since::NOTHING, |status| Since { epoch: status.epoch, seq: status.seq });
        let slot = id.slot as usize;
        if self.slots.len() <= slot {
            self.slots.resize_with(slot + 1, || None);
        }
        debug_assert!(self.slots[slot].is_none(), "the publisher gave one slot to two topics");
        self.slots[slot] = Some(Box::new(Topic { key: *key, id, mark, subscribers: Vec::new() }));
        self.by_key.insert(*key, id.slot);
        let local = self.instruments.entry(key.instrument);
        let local = local.or_insert_with(|| LocalInstrument { slots: Vec::new(), status });
        local.slots.push(id.slot);
        Some(id.slot)
    }

    /// Takes a subscriber out. Returns the subscriber that was moved into its place, whose
    /// membership now has to point there.
    pub(crate) fn leave(
        &mut self,
        hub: &Hub,
        shard: ShardIndex,
        place: Place,
    ) -> Option<Subscriber> {
        let topic = self.get_mut(place.slot).expect("a membership keeps its topic alive");
        topic.subscribers.swap_remove(place.at as usize);
        let moved = topic.subscribers.get(place.at as usize).copied();
        if topic.subscribers.is_empty() {
            self.close(hub, shard, place.slot);
        } else if topic.subscribers.capacity() > 16
            && topic.subscribers.len() < topic.subscribers.capacity() / 4
        {
            let room = topic.subscribers.len() * 2;
            topic.subscribers.shrink_to(room);
        }
        moved
    }

    fn close(&mut self, hub: &Hub, shard: ShardIndex, slot: u32) {
        let topic = self.slots[slot as usize].take().expect("the caller has found it there");
        self.by_key.remove(&topic.key);
        if let Some(local) = self.instruments.get_mut(&topic.key.instrument) {
            local.slots.retain(|other| *other != slot);
            if local.slots.is_empty() {
                self.instruments.remove(&topic.key.instrument);
            }
        }
        hub.release(shard, &topic.key, topic.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tickcast_publisher::Tier;
    use tickcast_wire::{Encoding, FieldSet, View};

    #[test]
    fn a_frame_is_old_or_next_or_shows_that_something_is_missing() {
        let topic = Topic {
            key: TopicKey {
                instrument: InstrumentIndex(0),
                view: View::Ticker,
                tier: Tier(0),
                fields: FieldSet::ALL,
                encoding: Encoding::Json,
            },
            id: TopicId { slot: 0, generation: 0 },
            mark: Since { epoch: Epoch(5), seq: Seq(10) },
            subscribers: Vec::new(),
        };
        for (epoch, prev, seq, verdict) in [
            (5, 10, 11, Verdict::Next),
            (5, 7, 12, Verdict::Next),
            (5, 9, 10, Verdict::Old),
            (5, 0, 10, Verdict::Old),
            (5, 11, 12, Verdict::Gap),
            (6, 0, 1, Verdict::Next),
            (6, 1, 2, Verdict::Gap),
            (4, 0, 99, Verdict::Old),
        ] {
            assert_eq!(
                topic.judge(Epoch(epoch), Seq(prev), Seq(seq)),
                verdict,
                "{epoch} {prev} {seq}"
            );
        }
    }

    #[test]
    fn the_owing_bit_and_the_membership_do_not_disturb_each_other() {
        let mut subscriber = Subscriber { connection: 1, membership_and_bits: 7 };
        subscriber.set_owing(true);
        assert_eq!((subscriber.membership(), subscriber.is_owing()), (7, true));
        subscriber.set_membership(3);
        assert_eq!((subscriber.membership(), subscriber.is_owing()), (3, true));
        subscriber.set_owing(false);
        assert_eq!((subscriber.membership(), subscriber.is_owing()), (3, false));
    }
}
