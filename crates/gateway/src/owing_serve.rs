//! What is owed is served: statuses first, then topics, first in, first out, by `diff(since)`.
//!
//! A connection gets at most 64 KiB (or one message) of it at a time and then waits for its next
//! turn behind the others. Snapshots that several joiners of one turn need are encoded once.

use crate::connection::Phase;
use crate::deflate::Deflater;
use crate::outbox::Served;
use crate::owing::Owed;
use crate::sent_kind::SentKind;
use crate::shard::Shard;
use crate::socket::Socket;
use rustc_hash::FxHashMap;
use std::ops::Range;
use tickcast_market::{InstrumentIndex, Seq, Since};
use tickcast_publisher::{Ask, Served as Answer, TopicKey};
use tickcast_wire::Channel;

/// What is served to one connection at a time, unless a single message is longer.
const SERVED_BYTES_MAX: usize = 64 << 10;

/// Owed topics that are looked at for one connection at a time; most may have nothing new.
const SERVED_TOPICS_MAX: usize = 1024;

/// What all connections together are served in one turn.
const TURN_BYTES_MAX: usize = 1 << 20;

/// What is compressed for them in one turn: about two milliseconds' worth.
const TURN_COMPRESSED_BYTES_MAX: usize = 256 << 10;

/// Snapshots that are kept within a turn, in bytes.
const SNAPSHOTS_BYTES_MAX: usize = 4 << 20;

/// Something owed that is on its way.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Due {
    /// An instrument's status.
    Status(InstrumentIndex),
    /// A topic's diff.
    Topic(Owed),
}

/// What came of loading something owed.
enum Loaded {
    /// A message of this kind; how long it was before it was compressed, or 0.
    Message(SentKind, u32),
    /// There is nothing new: the connection is current without a word.
    Nothing,
    /// A status has to be told before.
    StatusFirst,
}

/// Snapshots that were encoded in this turn.
#[derive(Debug, Default)]
pub(crate) struct Snapshots {
    bytes: Vec<u8>,
    /// Those that were compressed, once more in that form.
    twins: Vec<u8>,
    by_topic: FxHashMap<(TopicKey, bool), Snapshot>,
}

/// One of them.
#[derive(Debug)]
struct Snapshot {
    bytes: Range<usize>,
    message: Message,
    /// There once somebody wanted it compressed; empty where that makes it no shorter.
    twin: Option<Range<usize>>,
}

/// What is known of an encoded message.
#[derive(Clone, Copy, Debug)]
struct Message {
    since: Since,
    status: Seq,
    head_len: u8,
}

impl Snapshots {
    /// Forgets all of them, and keeps the memory.
    pub(crate) fn clear(&mut self) {
        if !self.by_topic.is_empty() {
            self.by_topic.clear();
            self.bytes.clear();
            self.twins.clear();
        }
    }

    /// A snapshot compressed, for who has agreed to that: made when the first comes to it. `None`
    /// where the plain one goes to them too.
    fn twin(&mut self, key: (TopicKey, bool), deflater: &mut Deflater) -> Option<&[u8]> {
        let Snapshots { bytes, twins, by_topic } = self;
        let snapshot = by_topic.get_mut(&key)?;
        let head_len = snapshot.message.head_len;
        if !Deflater::is_worth(snapshot.bytes.len() - usize::from(head_len)) {
            return None;
        }
        let frame = &bytes[snapshot.bytes.clone()];
        let twin = snapshot.twin.get_or_insert_with(|| {
            let start = twins.len();
            deflater.write_twin(twins, frame, head_len);
            start..twins.len()
        });
        if twin.start < twin.end { Some(&twins[twin.clone()]) } else { None }
    }
}

impl<S: Socket> Shard<S> {
    /// Gives the connections that owe and can be written to their turn.
    pub(crate) fn serve_owed(&mut self) {
        let mut served = 0;
        self.deflater.iter_mut().for_each(|deflater| deflater.run_bytes = 0);
        for _ in 0..self.serving.len() {
            let compressed = self.deflater.as_ref().map_or(0, |deflater| deflater.run_bytes);
            if served >= TURN_BYTES_MAX || compressed >= TURN_COMPRESSED_BYTES_MAX {
                break;
            }
            let Some(token) = self.serving.pop_front() else { break };
            let Some(connection) = self.connections.get_mut(token as usize) else { continue };
            connection.queued = false;
            // It may stand here twice: once for whoever had its number before.
            if !self.outbox.has_room() || self.lanes[token as usize].sending {
                self.send_gathered();
            }
            let before = self.outbox.bytes.len();
            self.gather(token);
            served += self.outbox.bytes.len() - before;
        }
        self.send_gathered();
    }

    /// Appends to the load what the connection owes, as much as one load may carry.
    pub(crate) fn gather_owed(&mut self, token: u32) {
        let start = self.outbox.bytes.len();
        for _ in 0..SERVED_TOPICS_MAX {
            let before = self.outbox.bytes.len();
            if before - start >= SERVED_BYTES_MAX {
                break;
            }
            let Some(due) = self.next_due(token) else { break };
            let loaded = match due {
                Due::Status(instrument) => self.load_status(token, instrument),
                Due::Topic(owed) => self.load_topic(token, owed),
            };
            let (kind, plain) = match loaded {
                Loaded::Message(kind, plain) => (kind, plain),
                Loaded::Nothing => {
                    self.settle_due(token, due);
                    self.wait_bare(token, due);
                    continue;
                }
                Loaded::StatusFirst => {
                    self.put_due_back(token, due);
                    if self.lanes[token as usize].is_empty() {
                        continue; // It owes the status, which is next.
                    }
                    break; // The status is among its frames.
                }
            };
            let end = self.outbox.bytes.len();
            if before > start && end - start > SERVED_BYTES_MAX {
                self.outbox.bytes.truncate(before);
                self.put_due_back(token, due);
                break;
            }
            self.outbox.owed.push(Served { end, due, kind, plain });
            self.connections[token as usize].account.messages += 1;
        }
    }

    fn next_due(&mut self, token: u32) -> Option<Due> {
        let owing = self.get(token)?.owing.as_ref()?;
        if let Some(instrument) = owing.statuses.first().copied() {
            // What is learnt is told to everybody else, too, before it is told here.
            if let Some(status) = self.hub.status(instrument) {
                self.tell_status(instrument, &status);
            }
            let owing = self.get_mut(token)?.owing.as_mut()?;
            return owing.statuses.pop_first().map(Due::Status);
        }
        self.get_mut(token)?.owing.as_mut()?.pop().map(Due::Topic)
    }

    fn load_status(&mut self, token: u32, instrument: InstrumentIndex) -> Loaded {
        let Some(status) = self.hub.status(instrument) else { return Loaded::Nothing };
        let Some(known) = self.instruments.get(instrument.index()) else { return Loaded::Nothing };
        let encoding = self.connections[token as usize].encoding;
        self.message.clear();
        let head_len = self.hub.status_frame(
            &known.name,
            &status,
            encoding,
            self.now,
            &mut self.scratch,
            &mut self.message,
        );
        let plain = self.put_message(token, Channel::Status, None, head_len);
        Loaded::Message(SentKind::new(Channel::Status, encoding), plain)
    }

    /// Appends what is new in a topic.
    fn load_topic(&mut self, token: u32, owed: Owed) -> Loaded {
        let connection = &self.connections[token as usize];
        let place = connection.subscriptions.memberships[owed.membership as usize].place();
        let topic = self.topics.at(place.slot);
        let (key, mark) = (topic.key, topic.mark);
        let Owed { since, bare, first, .. } = owed;
        let channel = key.view.channel();
        if since.seq.0 == 0 {
            let Some((bytes, message)) = self.snapshot(key, bare, mark) else {
                return Loaded::Nothing;
            };
            if self.tell_status_before(key.instrument, message.status) {
                return Loaded::StatusFirst;
            }
            let plain = self.put_snapshot(token, (key, bare), bytes, &message);
            return Loaded::Message(SentKind::of(&key), plain);
        }
        self.message.clear();
        let ask = Ask { key, since, always: first, bare };
        let served = self.hub.serve(&ask, self.now, &mut self.scratch, &mut self.message);
        let Answer::Frame { epoch, seq, status, head_len, .. } = served else {
            return Loaded::Nothing;
        };
        if self.tell_status_before(key.instrument, status) {
            return Loaded::StatusFirst;
        }
        let plain = self.put_message(token, channel, Some(Since { epoch, seq }), head_len);
        Loaded::Message(SentKind::of(&key), plain)
    }

    /// Appends a snapshot to the outbox the way the connection speaks. Where it was compressed: how
    /// long it was before; else 0.
    fn put_snapshot(
        &mut self,
        token: u32,
        key: (TopicKey, bool),
        bytes: Range<usize>,
        message: &Message,
    ) -> u32 {
        let Shard { connections, outbox, snapshots, deflater, .. } = self;
        let connection = &connections[token as usize];
        let deflater = deflater.as_mut().filter(|_| connection.compresses);
        if let Some(twin) = deflater.and_then(|deflater| snapshots.twin(key, deflater)) {
            outbox.bytes.extend_from_slice(twin);
            return bytes.len() as u32;
        }
        let (channel, since) = (key.0.view.channel(), Some(message.since));
        let frame = &snapshots.bytes[bytes];
        connection.framing.put(&mut outbox.bytes, channel, since, message.head_len, frame);
        0
    }

    /// The topic's snapshot, from this turn's if it is not older than what was delivered since.
    fn snapshot(
        &mut self,
        key: TopicKey,
        bare: bool,
        mark: Since,
    ) -> Option<(Range<usize>, Message)> {
        if let Some(kept) = self.snapshots.by_topic.get(&(key, bare)) {
            let since = kept.message.since;
            if (since.epoch, since.seq) >= (mark.epoch, mark.seq) {
                return Some((kept.bytes.clone(), kept.message));
            }
        }
        if self.snapshots.bytes.len() > SNAPSHOTS_BYTES_MAX {
            self.snapshots.clear();
        }
        let Snapshots { bytes, by_topic, .. } = &mut self.snapshots;
        let start = bytes.len();
        let ask = Ask { key, since: Since::NOTHING, always: true, bare };
        let served = self.hub.serve(&ask, self.now, &mut self.scratch, bytes);
        let Answer::Frame { epoch, seq, status, head_len, .. } = served else { return None };
        let message = Message { since: Since { epoch, seq }, status, head_len };
        let range = start..bytes.len();
        by_topic.insert((key, bare), Snapshot { bytes: range.clone(), message, twin: None });
        Some((range, message))
    }

    /// What was owed is on its way in full, or its begun rest is kept: the connection is current.
    pub(crate) fn settle_due(&mut self, token: u32, due: Due) {
        if let Due::Topic(owed) = due {
            let connection = &self.connections[token as usize];
            let place = connection.subscriptions.memberships[owed.membership as usize].place();
            self.topics.subscriber_mut(place).set_owing(false);
        }
    }

    /// A stream that this process was not told of yet: its first frame is a snapshot of everything.
    fn wait_bare(&mut self, token: u32, due: Due) {
        if let Due::Topic(owed) = due
            && owed.bare
            && owed.since.seq.0 == 0
        {
            let connection = &self.connections[token as usize];
            let place = connection.subscriptions.memberships[owed.membership as usize].place();
            self.topics.subscriber_mut(place).waits_bare();
        }
    }

    /// It could not be sent and is owed again, before everything else of its kind.
    pub(crate) fn put_due_back(&mut self, token: u32, due: Due) {
        let connection = &mut self.connections[token as usize];
        debug_assert_eq!(connection.phase, Phase::Open, "only who is served owes");
        let owing = connection.owing.get_or_insert_default();
        match due {
            Due::Status(instrument) => {
                owing.statuses.insert(instrument);
            }
            Due::Topic(owed) => owing.put_back(owed),
        }
    }
}
