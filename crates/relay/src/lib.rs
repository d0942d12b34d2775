//! Publisher and gateways on different hosts, over NATS.
//!
//! What travels is what a stream says anyway: its updates in the compact encoding, once per stream
//! however many gateways and clients there are ([`Teller`] decides, [`Outlet`] talks to NATS). A gateway keeps replicas of the streams
//! that its clients want, under the publisher's own epochs and seqs ([`Follower`] decides, [`Intake`]
//! talks to NATS), and everything behind them, topics, tiers, shards, is the same as beside a
//! publisher. What NATS loses is asked for again: `diff(since)` by request and reply.
//!
//! Of several publishers the one that holds the [`Lease`] counts. The revision at which it was
//! acquired is the run in every epoch, and a gateway takes nothing of another run.
//!
//! *Invariant:* NATS does the distributing; nothing here stores, routes or elects by itself.

#![deny(missing_docs)]

mod bus;
mod candidacy;
mod follower;
mod follower_asks;
mod follower_line;
mod follower_states;
mod intake;
mod lease;
mod messages;
mod metrics;
mod outlet;
mod refusals;
mod relief;
mod stream;
mod teller;
mod teller_answers;
mod trouble;

pub use bus::{Bus, BusError};
pub use follower::{Command, Follower, Question, Told};
pub use follower_asks::{asks_request, list_request};
pub use follower_line::LineState;
pub use follower_states::BusHealth;
pub use intake::Intake;
pub use lease::{HasPrices, Lease};
pub use metrics::Metrics;
pub use outlet::Outlet;
pub use stream::StreamKey;
pub use teller::{Outgoing, Teller};
