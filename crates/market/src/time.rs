//! Time as the market model sees it: a number that somebody else read from a clock.

/// Nanoseconds since the Unix epoch; on the wire [`Nanos::micros`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nanos(pub i64);

impl Nanos {
    /// "No time": the venue gave none.
    pub const ZERO: Nanos = Nanos(0);
    /// Further away than any time that occurs; the deadline of nothing.
    pub const MAX: Nanos = Nanos(i64::MAX);

    /// From whole microseconds; saturates at the ends of the range.
    pub const fn from_micros(micros: i64) -> Nanos {
        Nanos(micros.saturating_mul(1_000))
    }

    /// From whole milliseconds; saturates at the ends of the range.
    pub const fn from_millis(millis: i64) -> Nanos {
        Nanos(millis.saturating_mul(1_000_000))
    }

    /// From whole seconds; saturates at the ends of the range.
    pub const fn from_secs(secs: i64) -> Nanos {
        Nanos(secs.saturating_mul(1_000_000_000))
    }

    /// Whole microseconds, rounded down.
    pub const fn micros(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// This moment and `span` more; saturates.
    pub const fn plus(self, span: Nanos) -> Nanos {
        Nanos(self.0.saturating_add(span.0))
    }

    /// The span from `earlier` to this moment; negative when the clocks disagree.
    pub const fn since(self, earlier: Nanos) -> Nanos {
        Nanos(self.0.saturating_sub(earlier.0))
    }

    /// Seconds as a float, for histograms.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }
}
