//! The way to a NATS server: addresses, credentials, certificates.
//!
//! Two parts of the service go there, the bus between publisher and gateways and the feed of those
//! who publish events on NATS. Both are told where it is in the same words and come in alike; what
//! they do there, and how they take a loss of the connection, is their own.

#![deny(missing_docs)]

mod place;

pub use place::{Place, PlaceError};
