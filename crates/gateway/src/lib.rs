//! placeholder

mod handoff;

pub use handoff::{CONTROLS_MAX, Control, Handoff, ShardHandle, ShardInbox, Shards, Transport};
