//! Streams, `diff(since)`, topics and tiers: the heart of the service.
//!
//! One writer per partition ([`Partition`]) owns its instruments and takes events; each
//! instrument's streams answer one question at any time, `diff(since)`. What changed in a turn is
//! encoded once per topic that somebody listens to and handed to the shards as one shared
//! [`Batch`]. Shards read through the [`Hub`]: register interest, and ask for a snapshot or for
//! what was missed.
//!
//! *Invariant:* the publisher knows no sockets, no clients and no clock; time is an argument. It
//! never waits for a shard.

#![deny(missing_docs)]

mod bars;
mod batch;
mod book;
mod cell;
mod day;
mod diff;
mod hub;
mod interest;
mod metrics;
mod outbox;
mod partition;
#[cfg(test)]
mod partition_tests;
mod publisher;
mod replica;
mod replica_streams;
mod schedule;
mod stream_numbers;
mod streams;
mod ticker;
mod topic;
mod trades;
mod view;

pub use batch::{Batch, Frame, ShardFeed, StateChange};
pub use hub::{Ask, FIELD_SETS_MAX, Hub, Scratch, Served};
pub use interest::Interest;
pub use metrics::{Metrics, PartitionMetrics};
pub use outbox::Wake;
pub use partition::{DEFERRED_EVENTS_MAX, Partition, Resync, Turn};
pub use publisher::{Config, Inbox, Publisher, SHARD_BATCHES_MAX};
pub use replica::{Adopted, Replica};
pub use streams::Status;
pub use topic::{ShardIndex, Tier, Tiers, TopicId, TopicKey};
