//! placeholder

mod decoder;
mod frame;
mod handoff;
mod handshake;
mod metrics;
mod origin;
mod refusal;

pub use decoder::{Decoder, Event, MessageLimits, Violation};
pub use frame::{CONTROL_BYTES_MAX, Opcode, write_close, write_frame, write_head};
pub use handoff::{CONTROLS_MAX, Control, Handoff, ShardHandle, ShardInbox, Shards, Transport};
pub use handshake::{
    Accept, HEAD_BYTES_MAX, HEADERS_MAX, Route, SSE_PATH, SseRequest, WEBSOCKET_PATH, read_head,
    route,
};
pub use metrics::{Metrics, SECONDS_BUCKETS};
pub use origin::Origins;
pub use refusal::Refusal;
