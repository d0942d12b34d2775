//! placeholder

mod decoder;
mod frame;
mod handoff;

pub use decoder::{Decoder, Event, MessageLimits, Violation};
pub use frame::{CONTROL_BYTES_MAX, Opcode, write_close, write_frame, write_head};
pub use handoff::{CONTROLS_MAX, Control, Handoff, ShardHandle, ShardInbox, Shards, Transport};
