//! Benchmarks of tickcast: what they share.
//!
//! - [`Recorded`]: a recording in memory, played through a handler into a [`Counted`] sink;
//! - [`ratio`]: interleaved rounds and the ratio of medians, the only kind of figure that is a
//!   result on a shared machine;
//! - [`plain`]: the decoders that one would write first, for comparison.
//!
//! Not here: what is measured and which goals there are; that is each benchmark's own file.

#![deny(missing_docs)]

pub mod plain;
mod ratio;
mod recorded;

pub use ratio::{Contender, Timed, ratio, ratio_of_times};
pub use recorded::{Counted, Part, Recorded, Round, recordings};
