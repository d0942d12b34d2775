//! Changing a connection's memberships: one request at a time, in time proportional to the request
//! and the connection.
//!
//! A request first changes memberships one by one ([`Shard::want`], [`Shard::unwant`]) and then
//! finishes once: holes are closed, and what the connection owes is brought in line. So no single
//! change ever searches the list of what is owed.

use crate::connection::Connection;
use crate::owing::Owed;
use crate::shard::Shard;
use crate::socket::Socket;
use crate::subscriptions::{Membership, Options, stream_of};
use crate::topics::Place;
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::hash_map::Entry;
use tickcast_market::{InstrumentIndex, Since};
use tickcast_wire::View;

/// A stream as one of a connection's subscriptions is about: all depths of a book are one.
pub(crate) type StreamKey = (InstrumentIndex, View);

/// What a request has changed so far; kept by the shard and used again.
#[derive(Debug, Default)]
pub(crate) struct Edit {
    /// The connection's membership in each stream.
    index: FxHashMap<StreamKey, u32>,
    /// Instruments whose status it has been told, or is owed.
    instruments: FxHashSet<InstrumentIndex>,
    /// What it owes because of this request, in the order of the request.
    owed: Vec<Owed>,
    /// Where in `owed` a membership stands.
    renewed: FxHashMap<u32, usize>,
    removed: Vec<u32>,
    moved: FxHashMap<u32, u32>,
    /// How many subscriptions the connection has.
    pub(crate) count: usize,
}

impl Edit {
    /// Forgets everything, and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.index.clear();
        self.instruments.clear();
        self.owed.clear();
        self.renewed.clear();
        self.removed.clear();
        self.moved.clear();
    }

    /// The membership in a stream.
    pub(crate) fn find(&self, instrument: InstrumentIndex, view: View) -> Option<u32> {
        self.index.get(&(instrument, stream_of(view))).copied()
    }

    fn owe(&mut self, owed: Owed) {
        // Of several in one request the last one counts.
        match self.renewed.entry(owed.membership) {
            Entry::Occupied(at) => self.owed[*at.get()] = owed,
            Entry::Vacant(at) => {
                at.insert(self.owed.len());
                self.owed.push(owed);
            }
        }
    }
}

/// A stream that a connection is to get from now on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Want {
    pub(crate) instrument: InstrumentIndex,
    pub(crate) options: Options,
    /// A name asked for it, not a glob.
    pub(crate) exact: bool,
    /// Where to begin; `None`: go on as before, as far as that is possible.
    pub(crate) start: Option<Since>,
    pub(crate) bare: bool,
}

impl<S: Socket> Shard<S> {
    /// Begins to change a connection's memberships.
    pub(crate) fn begin_edit(&mut self, token: u32) {
        let Shard { edit, topics, connections, .. } = self;
        edit.clear();
        let Some(connection) = connections.get(token as usize) else { return };
        edit.count = connection.subscriptions.count();
        for (number, membership) in connection.subscriptions.memberships.iter().enumerate() {
            let key = &topics.at(membership.place().slot).key;
            edit.index.insert((key.instrument, stream_of(key.view)), number as u32);
            edit.instruments.insert(key.instrument);
        }
    }

    /// Gives a connection a stream, or gives it to it with other options. `false` when it may have
    /// no more, or nobody knows the instrument.
    pub(crate) fn want(&mut self, token: u32, want: &Want) -> bool {
        match self.edit.find(want.instrument, want.options.view) {
            Some(number) => self.change(token, number, want),
            None => self.add(token, want),
        }
    }

    fn add(&mut self, token: u32, want: &Want) -> bool {
        let Some(connection) = self.connections.get_mut(token as usize) else { return false };
        let number = connection.subscriptions.memberships.len() as u32;
        let held = number as usize - self.edit.removed.len();
        if held >= self.settings.instruments_max && !connection.is_canary() {
            return false;
        }
        let key = want.options.topic(want.instrument);
        let Some(place) = self.topics.join(&self.hub, self.index, &key, token, number) else {
            return false;
        };
        connection.subscriptions.memberships.push(Membership::new(place, want.exact));
        if !connection.is_canary() {
            self.tally.subscribed(key.view.channel(), 1);
        }
        self.edit.index.insert((want.instrument, stream_of(key.view)), number);
        self.edit.owe(Owed {
            membership: number,
            since: want.start.unwrap_or(Since::NOTHING),
            first: true,
            bare: want.bare,
        });
        if self.edit.instruments.insert(want.instrument) {
            self.owe_status(token, want.instrument);
        }
        true
    }

    fn change(&mut self, token: u32, number: u32, want: &Want) -> bool {
        let Some(connection) = self.connections.get_mut(token as usize) else { return false };
        let membership = &mut connection.subscriptions.memberships[number as usize];
        let place = membership.place();
        let topic = self.topics.at(place.slot);
        let (old, mark) = (topic.key, topic.mark);
        let key = want.options.topic(want.instrument);
        let mut start = want.start;
        if key == old {
            membership.set_exact(want.exact);
            if start.is_some() {
                self.topics.subscriber_mut(place).set_owing(true);
            }
        } else {
            let is_owing = topic.subscribers[place.at as usize].is_owing();
            let Some(next) = self.topics.join(&self.hub, self.index, &key, token, number) else {
                return false;
            };
            *membership = Membership::new(next, want.exact);
            self.leave_topic(place);
            // With another rate, or fewer fields, it goes on from what it was last sent.
            let goes_on = !is_owing && old.view == key.view && old.fields.covers(key.fields);
            start = start.or(Some(if goes_on { mark } else { Since::NOTHING }));
        }
        if let Some(since) = start {
            self.edit.owe(Owed { membership: number, since, first: true, bare: want.bare });
        }
        true
    }

    /// Takes a stream away.
    pub(crate) fn unwant(&mut self, token: u32, number: u32) {
        let Some(connection) = self.connections.get_mut(token as usize) else { return };
        let membership = &mut connection.subscriptions.memberships[number as usize];
        let place = std::mem::replace(membership, Membership::GONE).place();
        let key = self.topics.at(place.slot).key;
        self.edit.index.remove(&(key.instrument, stream_of(key.view)));
        self.edit.removed.push(number);
        if !connection.is_canary() {
            self.tally.subscribed(key.view.channel(), -1);
        }
        self.leave_topic(place);
    }

    /// Takes a subscriber out of its topic and tells who was moved into its place.
    pub(crate) fn leave_topic(&mut self, place: Place) {
        if let Some(moved) = self.topics.leave(&self.hub, self.index, place) {
            let connection = &mut self.connections[moved.connection as usize];
            let number = moved.membership() as usize;
            connection.subscriptions.memberships[number].set_at(place.at);
        }
    }

    /// Ends the change: closes holes among the memberships, and brings what is owed in line.
    pub(crate) fn finish_edit(&mut self, token: u32) {
        let Shard { edit, topics, connections, tally, .. } = self;
        let Some(connection) = connections.get_mut(token as usize) else { return };
        edit.removed.sort_unstable();
        let memberships = &mut connection.subscriptions.memberships;
        let mut kept = memberships.len();
        for hole in &edit.removed {
            while kept > 0 && memberships[kept - 1].is_gone() {
                kept -= 1;
            }
            if *hole as usize >= kept {
                break;
            }
            kept -= 1;
            memberships[*hole as usize] = memberships[kept];
            topics.subscriber_mut(memberships[kept].place()).set_membership(*hole);
            edit.moved.insert(kept as u32, *hole);
        }
        memberships.truncate(kept);
        settle_owing(edit, connection);
        connection.subscriptions.tidy();
        tally.note_lag(connection);
        edit.clear();
        self.refresh_lane(token);
    }
}

fn settle_owing<S>(edit: &Edit, connection: &mut Connection<S>) {
    let place = |number: u32| edit.moved.get(&number).copied().unwrap_or(number);
    if let Some(owing) = connection.owing.as_mut().filter(|owing| owing.topics() > 0) {
        let removed: FxHashSet<u32> = edit.removed.iter().copied().collect();
        owing.rename(|number| {
            let is_void = removed.contains(&number) || edit.renewed.contains_key(&number);
            (!is_void).then(|| place(number))
        });
    }
    if let Some(owing) = &mut connection.owing
        && !edit.removed.is_empty()
        && !owing.statuses.is_empty()
    {
        let left: FxHashSet<InstrumentIndex> = edit.index.keys().map(|(of, _)| *of).collect();
        owing.statuses.retain(|instrument| left.contains(instrument));
    }
    if !edit.owed.is_empty() {
        let owing = connection.owing.get_or_insert_default();
        for owed in &edit.owed {
            owing.push(Owed { membership: place(owed.membership), ..*owed });
        }
    }
}
