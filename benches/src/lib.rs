//! Benchmarks of tickcast: what they share.
//!
//! - [`Recorded`]: a recording in memory, played through a handler into a [`Counted`] sink;
//! - [`ratio`]: interleaved rounds and the ratio of medians, the only kind of figure that is a
//!   result on a shared machine;
//! - [`plain`]: the decoders that one would write first, for comparison.
//! - [`Asked`] and its neighbours: as much of the client protocol as the other servers speak;
//! - [`Market`] and [`Updates`]: the workload of the naive servers;
//! - [`Server`], [`keep_on`], [`listen`]: processes, cores and sockets, the same for all.
//!
//! Not here: what is measured and which goals there are; that is each benchmark's own file.

#![deny(missing_docs)]

mod listener;
mod market;
mod pin;
pub mod plain;
mod ratio;
mod recorded;
mod server;
mod subset;

pub use listener::listen;
pub use market::{Instrument, Market, Updates, Workload};
pub use pin::{allowed_cores, keep_on};
pub use ratio::{Contender, Timed, ratio, ratio_of_times};
pub use recorded::{Counted, Part, Recorded, Round, recordings};
pub use server::{Server, ServerError, on_cores};
pub use subset::{Asked, EPOCH, PATH, SUBPROTOCOL, accept_of, now_micros, status};
