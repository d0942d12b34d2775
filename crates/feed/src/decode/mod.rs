//! From bytes to numbers, for every venue: `scan` is a cursor over JSON text, `fields` what venues
//! write into their fields; `fixed_decimal` and `rfc3339` read numbers and times; `grid` brings the
//! numbers of a message to one scale. No instrument and no state of a feed.

pub(crate) mod fields;
pub(crate) mod fixed_decimal;
pub(crate) mod grid;
pub(crate) mod rfc3339;
pub(crate) mod scan;
