//! Events that others have normalised already, published on NATS in the messages of
//! `proto/tickcast/feed/v1.proto` or as lines of JSON.
//!
//! `event` is what an event looks like before it is judged, whichever form it came in (`protobuf`,
//! `json`); `judge` turns its numbers into the market's; `instruments` keeps what is known of each
//! instrument; `handler` is the venue's handler around them. The socket is the driver's
//! (`driver/connection_nats.rs`): it hands each message over as `subject`, a space, payload.
//!
//! *Invariant:* an event is applied whole or not at all.

mod event;
mod handler;
mod instruments;
mod json;
mod judge;
mod protobuf;

pub(crate) use event::REASONS;
pub use handler::{NatsConfig, NatsHandler};

/// The largest message that is taken, in bytes.
pub const NATS_MESSAGE_BYTES_MAX: usize = 8 << 20;
/// The most events of one message, and trades of one event.
pub(crate) const EVENTS_MAX: usize = 4096;
/// The most levels of one event, both sides together.
pub(crate) const LEVELS_MAX: usize = 20_000;
/// The longest symbol, in bytes.
pub(crate) const SYMBOL_BYTES_MAX: usize = 64;
/// The longest name of a publisher's venue, in bytes.
pub(crate) const VENUE_BYTES_MAX: usize = 32;
/// The most subjects that are subscribed to.
pub const NATS_SUBJECTS_MAX: usize = 16;
