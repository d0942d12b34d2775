//! How far a price goes with each step: a random walk whose steps come in clusters of large and
//! small ones.

use super::random::Random;

/// The daily volatility that instruments are built for, as a fraction of the price.
pub(super) const DAY_VOLATILITY: f64 = 0.03;

/// Volatility in clusters, as GARCH has them: a large step makes the next steps larger. In
/// absolute values instead of squares (Taylor 1986, Schwert 1989), so that integers will do.
#[derive(Clone, Debug)]
pub(super) struct Volatility {
    /// Mean absolute size of things, in 2^-16 tick sizes.
    base: i64,
    present: i64,
    max: i64,
}

impl Volatility {
    /// Around `base`, at most `max`, both in tick sizes.
    pub(super) fn new(base: f64, max: f64) -> Volatility {
        let base = (base * 65_536.0) as i64;
        Volatility { base, present: base, max: (max * 65_536.0) as i64 }
    }

    /// The next step of the random walk, in 2^-16 tick sizes.
    pub(super) fn step(&mut self, random: &mut Random) -> i64 {
        let bits = random.next();
        let step = (self.present * random.bell()) >> 2;
        // 0.02 + 0.1 × E|z| + 0.9 = 1: it returns to its base.
        let next = (20 * self.base + 102 * step.abs() + 922 * self.present) >> 10;
        // News, every eight thousand steps.
        let shocked = if bits >> 51 == 0 { next * 4 } else { next };
        self.present = shocked.clamp(self.base >> 2, self.max);
        step
    }
}

#[cfg(test)]
mod tests {
    use super::super::random::Purpose;
    use super::*;

    #[test]
    fn volatility_comes_in_clusters_and_returns_to_its_base() {
        let mut random = Random::new(1, Purpose::Flow);
        let mut volatility = Volatility::new(0.5, 4.0);
        let steps: Vec<f64> =
            (0..100_000).map(|_| volatility.step(&mut random).abs() as f64 / 65_536.0).collect();
        let mean = steps.iter().sum::<f64>() / steps.len() as f64;
        assert!((0.2..0.8).contains(&mean), "{mean}");
        let covariance = |lag: usize| {
            steps.windows(lag + 1).map(|w| (w[0] - mean) * (w[lag] - mean)).sum::<f64>()
        };
        let correlation = covariance(10) / covariance(0);
        assert!(correlation > 0.1, "steps ten apart know of each other: {correlation}");
    }
}
