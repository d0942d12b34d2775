//! Benchmarks of tickcast: what they share.
//!
//! - [`Recorded`]: a recording in memory, played through a handler into a [`Counted`] sink;
//! - [`ratio`]: interleaved rounds and the ratio of medians, the only kind of figure that is a
//!   result on a shared machine;
//! - [`serde_binance`]: the decoder that one would write first, for comparison.
//!
//! Not here: what is measured and which goals there are; that is each benchmark's own file.

#![deny(missing_docs)]

mod ratio;
mod recorded;
pub mod serde_binance;

pub use ratio::{Contender, ratio};
pub use recorded::{Counted, Recorded, recordings};
