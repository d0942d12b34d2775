//! What turns of a partition lead to: events go in, frames come out at the shards' ends.

mod queues;
mod streams;
mod tiers;
mod world;
