//! placeholder

mod admin;
mod decoder;
mod descriptors;
mod door;
mod door_close;
mod door_head;
mod frame;
mod handoff;
mod handshake;
mod http;
mod http_line;
mod http_source;
mod limits;
mod metrics;
mod origin;
mod page;
mod refusal;

pub use admin::{Admin, Clients, FeedReport, NoClients, Readiness};
pub use decoder::{Decoder, Event, MessageLimits, Violation};
pub use descriptors::raise_descriptor_limit;
pub use door::{Door, bind};
pub use frame::{CONTROL_BYTES_MAX, Opcode, write_close, write_frame, write_head};
pub use handoff::{CONTROLS_MAX, Control, Handoff, ShardHandle, ShardInbox, Shards, Transport};
pub use handshake::{
    Accept, HEAD_BYTES_MAX, HEADERS_MAX, Route, SSE_PATH, SseRequest, WEBSOCKET_PATH, read_head,
    route,
};
pub use http::Source;
pub use http_source::HubSource;
pub use limits::DoorLimits;
pub use metrics::{Metrics, SECONDS_BUCKETS};
pub use origin::Origins;
pub use refusal::Refusal;
