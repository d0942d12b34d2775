//! The one place that reads the wall clock.

use std::time::{SystemTime, UNIX_EPOCH};
use tickcast_market::Nanos;

/// Now, in nanoseconds since the Unix epoch; zero on a machine whose clock is before it.
pub(crate) fn now() -> Nanos {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Nanos(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}
