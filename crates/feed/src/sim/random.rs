//! Random numbers and the little mathematics around them, the same on every platform.
//!
//! The generator is SplitMix64 (Steele, Lea, Flood 2014): eight bytes of state, about a
//! nanosecond. It is our own so that a seed means the same market in every version of every
//! library. Logarithm and power use only operations that IEEE 754 rounds exactly; the system's
//! `ln` and `pow` may differ in the last digit.

/// What a sequence of random numbers is for; each purpose has its own, so that a change in one
/// leaves the others as they are.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    /// Listings and first books.
    Build,
    /// Order flow and arrivals.
    Flow,
    /// The past of the instrument of that rank.
    History(u32),
}

#[derive(Clone, Debug)]
pub(super) struct Random {
    state: u64,
}

impl Random {
    pub(super) fn new(seed: u64, purpose: Purpose) -> Random {
        let salt = match purpose {
            Purpose::Build => 1,
            Purpose::Flow => 2,
            Purpose::History(rank) => 3 + u64::from(rank),
        };
        // Two rounds of mixing: neighbouring seeds and purposes share nothing.
        let mut outer = Random { state: seed };
        let mut inner = Random { state: outer.next() ^ salt.wrapping_mul(0xD6E8_FEB8_6659_FD93) };
        Random { state: inner.next() }
    }

    /// 64 random bits.
    pub(super) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Evenly from `0..bound`, but for a bias below 2^-32 × bound.
    pub(super) fn below(&mut self, bound: u32) -> u32 {
        (((self.next() >> 32) * u64::from(bound)) >> 32) as u32
    }

    /// Close to normal: mean 0, standard deviation 4, from -32 to 32 (the number of ones among 64
    /// random bits, less its mean).
    pub(super) fn bell(&mut self) -> i64 {
        i64::from(self.next().count_ones()) - 32
    }
}

/// Base-2 logarithm of `x >= 1`, digit by digit.
pub(super) fn log2(x: f64) -> f64 {
    let (mut mantissa, mut whole) = (x, 0.0);
    while mantissa >= 2.0 {
        mantissa *= 0.5;
        whole += 1.0;
    }
    let (mut digit, mut fraction) = (0.5, 0.0);
    for _ in 0..44 {
        mantissa *= mantissa;
        if mantissa >= 2.0 {
            mantissa *= 0.5;
            fraction += digit;
        }
        digit *= 0.5;
    }
    whole + fraction
}

/// `2^-x` for `x >= 0`; zero where it is below 2^-200.
pub(super) fn exp2_negative(x: f64) -> f64 {
    if x >= 200.0 {
        return 0.0;
    }
    let (mut rest, mut result) = (x, 1.0);
    while rest >= 1.0 {
        rest -= 1.0;
        result *= 0.5;
    }
    let (mut root, mut digit) = (0.5f64.sqrt(), 0.5);
    for _ in 0..44 {
        if rest >= digit {
            rest -= digit;
            result *= root;
        }
        root = root.sqrt();
        digit *= 0.5;
    }
    result
}

/// The exponential distribution with mean 1, by a table of its quantiles.
#[derive(Clone, Debug)]
pub(super) struct Exponential {
    quantiles: Box<[f64; 256]>,
}

impl Exponential {
    pub(super) fn new() -> Exponential {
        let mut quantiles = Box::new([0.0; 256]);
        for (i, quantile) in quantiles.iter_mut().enumerate() {
            *quantile = log2(256.0 / (256 - i) as f64) * std::f64::consts::LN_2;
        }
        Exponential { quantiles }
    }

    pub(super) fn draw(&self, random: &mut Random) -> f64 {
        let mut tail = 0.0;
        // The last bin has no end: what lies in it is its begin and, the distribution having no
        // memory, another draw. Eight such in a row do not happen.
        for _ in 0..8 {
            let bits = random.next();
            let bin = (bits >> 56) as usize;
            if bin < 255 {
                let within = (bits >> 24 & 0xFFFF_FFFF) as f64 / 4_294_967_296.0;
                let (low, high) = (self.quantiles[bin], self.quantiles[bin + 1]);
                return tail + low + (high - low) * within;
            }
            tail += self.quantiles[255];
        }
        tail
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithm_and_power_agree_with_the_systems() {
        for x in [1.0, 1.5, 2.0, 3.0, 7.25, 100.0, 19_999.0] {
            assert!((log2(x) - x.log2()).abs() < 1e-12, "log2 {x}");
            assert!((exp2_negative(x / 100.0) / (-x / 100.0).exp2() - 1.0).abs() < 1e-12, "{x}");
        }
        assert_eq!(exp2_negative(1e9), 0.0);
    }

    #[test]
    fn draws_have_the_moments_of_their_distributions() {
        let mut random = Random::new(7, Purpose::Flow);
        let exponential = Exponential::new();
        let (mut sum, mut squares, mut bells, mut bell_squares) = (0.0, 0.0, 0, 0);
        let count = 200_000;
        for _ in 0..count {
            let x = exponential.draw(&mut random);
            sum += x;
            squares += x * x;
            let z = random.bell();
            bells += z;
            bell_squares += z * z;
        }
        let count = f64::from(count);
        assert!((sum / count - 1.0).abs() < 0.01, "mean {}", sum / count);
        assert!((squares / count - 2.0).abs() < 0.06, "second moment {}", squares / count);
        assert!((bells as f64 / count).abs() < 0.05);
        assert!((bell_squares as f64 / count - 16.0).abs() < 0.3);
    }

    #[test]
    fn purposes_and_seeds_have_sequences_of_their_own() {
        let first = |seed, purpose| Random::new(seed, purpose).next();
        let all = [
            first(1, Purpose::Build),
            first(1, Purpose::Flow),
            first(1, Purpose::History(0)),
            first(1, Purpose::History(1)),
            first(2, Purpose::Build),
            first(2, Purpose::Flow),
        ];
        let distinct: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
    }
}
