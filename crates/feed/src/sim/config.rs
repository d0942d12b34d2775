//! What can be asked of the simulator, and what is wrong with what was asked.

/// How ticker updates are spread over time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pace {
    /// Like a market: random arrivals, and bursts now and then about one instrument.
    #[default]
    Natural,
    /// Evenly spaced, for measuring: exactly `rate` ticker updates in every second.
    Steady,
}

/// What the simulator is to be like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SimConfig {
    /// How many instruments, 1 to [`SimConfig::INSTRUMENTS_MAX`].
    pub instruments: u32,
    /// Ticker updates per second over all instruments: 0 (quiet), or [`SimConfig::RATE_MIN`] to
    /// [`SimConfig::RATE_MAX`]; kept to six decimals.
    pub rate: f64,
    /// The same seed gives the same market.
    pub seed: u64,
    /// Activity by rank: an instrument's share goes with `rank^-zipf`; 0 (all equal) to
    /// [`SimConfig::ZIPF_MAX`].
    pub zipf: f64,
    /// How updates are spread over time.
    pub pace: Pace,
}

impl SimConfig {
    /// The most instruments.
    pub const INSTRUMENTS_MAX: u32 = 20_000;
    /// The lowest rate other than 0, in updates per second.
    pub const RATE_MIN: f64 = 1e-6;
    /// The highest rate, in updates per second.
    pub const RATE_MAX: f64 = 1e6;
    /// The steepest distribution of activity.
    pub const ZIPF_MAX: f64 = 10.0;

    /// Whether every value is in range; NaN never is.
    ///
    /// *Errors:* the first that is not.
    pub fn check(&self) -> Result<(), SimError> {
        if !(1..=Self::INSTRUMENTS_MAX).contains(&self.instruments) {
            return Err(SimError::Instruments(self.instruments));
        }
        if self.rate != 0.0 && !(Self::RATE_MIN..=Self::RATE_MAX).contains(&self.rate) {
            return Err(SimError::Rate(self.rate));
        }
        if !(0.0..=Self::ZIPF_MAX).contains(&self.zipf) {
            return Err(SimError::Zipf(self.zipf));
        }
        Ok(())
    }
}

impl Default for SimConfig {
    fn default() -> Self {
        SimConfig { instruments: 50, rate: 500.0, seed: 1, zipf: 1.0, pace: Pace::Natural }
    }
}

/// Which value of a [`SimConfig`] is out of range; the caller's to correct.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum SimError {
    /// Number of instruments.
    #[error("instruments: {0} is not from 1 to {max}", max = SimConfig::INSTRUMENTS_MAX)]
    Instruments(u32),
    /// Updates per second.
    #[error(
        "rate: {0} is neither 0 nor from {min} to {max} updates per second",
        min = SimConfig::RATE_MIN,
        max = SimConfig::RATE_MAX
    )]
    Rate(f64),
    /// Activity by rank.
    #[error("zipf: {0} is not from 0 to {max}", max = SimConfig::ZIPF_MAX)]
    Zipf(f64),
}
