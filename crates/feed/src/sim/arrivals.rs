//! When ticker updates happen: evenly, or at random with bursts.

use super::config::Pace;
use super::random::{Exponential, Random};
use tickcast_market::Nanos;

/// In a burst updates come five times as often as on average …
const BURST_FACTOR: f64 = 5.0;
/// … for so long on average …
const BURST_MEAN_NS: f64 = 150e6;
/// … after so much calm on average: one twentieth of the time is burst.
const CALM_MEAN_NS: f64 = 2_850e6;
/// What is left for the calm, so that the mean is the rate that was asked for.
const CALM_FACTOR: f64 = 1.0 - (BURST_FACTOR - 1.0) * BURST_MEAN_NS / CALM_MEAN_NS;
/// Below this rate there are no bursts: they would pass between two updates.
const BURST_RATE_MIN: f64 = 10.0;

/// The next ticker update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arrival {
    pub(super) at: Nanos,
    /// Whether it belongs to a burst.
    pub(super) burst: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Arrivals {
    /// Of the latest update.
    at: Nanos,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Quiet,
    Steady(Steady),
    Natural(Natural),
}

/// Whole nanoseconds and a carried remainder: the n-th update is at exactly ⌊n / rate⌋.
#[derive(Clone, Debug)]
struct Steady {
    step: i64,
    remainder: u64,
    carried: u64,
    /// Updates in a million seconds.
    rate: u64,
}

/// A Poisson process whose rate switches between calm and burst.
#[derive(Clone, Debug)]
struct Natural {
    exponential: Exponential,
    gap_mean_ns: f64,
    has_bursts: bool,
    is_burst: bool,
    /// When calm or burst ends.
    phase_end: Nanos,
}

impl Arrivals {
    pub(super) fn new(rate: f64, pace: Pace) -> Arrivals {
        let kind = match pace {
            _ if rate == 0.0 => Kind::Quiet,
            Pace::Steady => {
                const SPAN_NS: u64 = 1_000_000_000_000_000;
                let rate = ((rate * 1e6 + 0.5) as u64).max(1);
                let (step, remainder) = ((SPAN_NS / rate) as i64, SPAN_NS % rate);
                Kind::Steady(Steady { step, remainder, carried: 0, rate })
            }
            Pace::Natural => Kind::Natural(Natural {
                exponential: Exponential::new(),
                gap_mean_ns: 1e9 / rate,
                has_bursts: rate >= BURST_RATE_MIN,
                is_burst: false,
                phase_end: Nanos::ZERO,
            }),
        };
        Arrivals { at: Nanos::ZERO, kind }
    }

    /// Begins at `now`, leaving out what was before and not yet taken; the first update, none in a
    /// quiet market.
    pub(super) fn begin(&mut self, now: Nanos, random: &mut Random) -> Option<Arrival> {
        self.at = now;
        match &mut self.kind {
            Kind::Quiet => {}
            Kind::Steady(steady) => steady.carried = 0,
            Kind::Natural(natural) => {
                natural.is_burst = false;
                natural.phase_end = now.plus(natural.span(CALM_MEAN_NS, random));
            }
        }
        self.next(random)
    }

    /// The next update.
    pub(super) fn next(&mut self, random: &mut Random) -> Option<Arrival> {
        let burst = match &mut self.kind {
            Kind::Quiet => return None,
            Kind::Steady(steady) => {
                self.at = self.at.plus(steady.gap());
                false
            }
            Kind::Natural(natural) => {
                self.at = natural.after(self.at, random);
                natural.is_burst
            }
        };
        Some(Arrival { at: self.at, burst })
    }
}

impl Steady {
    fn gap(&mut self) -> Nanos {
        self.carried += self.remainder;
        let carry = self.carried >= self.rate;
        if carry {
            self.carried -= self.rate;
        }
        Nanos(self.step + i64::from(carry))
    }
}

impl Natural {
    fn span(&self, mean_ns: f64, random: &mut Random) -> Nanos {
        Nanos((mean_ns * self.exponential.draw(random)) as i64)
    }

    fn after(&mut self, mut at: Nanos, random: &mut Random) -> Nanos {
        if !self.has_bursts {
            return at.plus(self.span(self.gap_mean_ns, random));
        }
        loop {
            let factor = if self.is_burst { BURST_FACTOR } else { CALM_FACTOR };
            let next = at.plus(self.span(self.gap_mean_ns / factor, random));
            if next <= self.phase_end {
                return next;
            }
            // What was drawn beyond the phase's end is drawn again at the new rate: the process
            // has no memory, so this is exact. Each round passes a phase of a second and a half on
            // average, and the mean gap is a tenth of a second at most: few rounds.
            at = self.phase_end;
            self.is_burst = !self.is_burst;
            let mean = if self.is_burst { BURST_MEAN_NS } else { CALM_MEAN_NS };
            self.phase_end = at.plus(self.span(mean, random));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::random::Purpose;
    use super::*;

    fn times(rate: f64, pace: Pace, until: Nanos) -> Vec<Arrival> {
        let mut random = Random::new(5, Purpose::Flow);
        let mut arrivals = Arrivals::new(rate, pace);
        let mut next = arrivals.begin(Nanos::ZERO, &mut random);
        let mut all = Vec::new();
        while let Some(arrival) = next.filter(|arrival| arrival.at <= until) {
            all.push(arrival);
            next = arrivals.next(&mut random);
        }
        all
    }

    #[test]
    fn steady_updates_do_not_drift_whatever_the_rate() {
        for rate in [0.5, 1.0, 3.0, 7.3, 500.0, 333_333.0] {
            let all = times(rate, Pace::Steady, Nanos::from_secs(10));
            assert_eq!(all.len(), (rate * 10.0) as usize, "{rate}");
            for (n, arrival) in all.iter().enumerate() {
                let micro_rate = (rate * 1e6).round() as i128;
                let exact = (n as i128 + 1) * 1_000_000_000_000_000 / micro_rate;
                assert_eq!(i128::from(arrival.at.0), exact, "{rate} {n}");
            }
        }
    }

    #[test]
    fn natural_updates_come_in_bursts_and_at_the_rate_in_the_mean() {
        let all = times(200.0, Pace::Natural, Nanos::from_secs(2_000));
        let mean = all.len() as f64 / 2_000.0;
        assert!((mean / 200.0 - 1.0).abs() < 0.03, "{mean}");
        let in_burst = all.iter().filter(|arrival| arrival.burst).count() as f64;
        let share = in_burst / all.len() as f64;
        assert!((0.2..0.3).contains(&share), "a quarter of all updates, not {share}");
        // A Poisson process's counts per tenth of a second would have variance = mean.
        let mut counts = vec![0u32; 20_000];
        for arrival in &all {
            counts[(arrival.at.0 / 100_000_000).min(19_999) as usize] += 1;
        }
        let variance =
            counts.iter().map(|c| (f64::from(*c) - mean / 10.0).powi(2)).sum::<f64>() / 20_000.0;
        assert!(variance > 3.0 * mean / 10.0, "{variance}");
    }

    #[test]
    fn low_rates_are_exact_in_the_mean_too() {
        let all = times(0.1, Pace::Natural, Nanos::from_secs(100_000));
        assert!((all.len() as f64 / 10_000.0 - 1.0).abs() < 0.04, "{}", all.len());
        assert!(all.iter().all(|arrival| !arrival.burst));
    }
}
