//! Which symbols each connection has: the same for the same seed, however many processes share it.

use crate::scenario::{Choice, Scenario};
use std::rc::Rc;
use tickcast_wire::Pattern;

/// How often a rank is drawn again before the rest is taken in order of rank.
const DRAWS_MAX: usize = 50;

/// Deals instruments, as indices into the list of symbols.
pub(crate) struct Dealer {
    choice: Choice,
    each: usize,
    instruments: usize,
    /// The sum of weights up to and with each rank.
    cumulated: Vec<f64>,
    /// What everybody has, where everybody has the same.
    common: Option<Rc<[u32]>>,
    seed: u64,
}

impl Dealer {
    pub(crate) fn new(scenario: &Scenario, symbols: &[String], seed: u64) -> Dealer {
        let instruments = match scenario.symbols_max {
            0 => symbols.len(),
            most => symbols.len().min(most),
        };
        let each = scenario.symbols_per_connection.min(instruments);
        let common: Option<Rc<[u32]>> = match &scenario.pattern {
            Some(pattern) => {
                let pattern = Pattern::new(pattern.as_str());
                let all = 0..symbols.len();
                Some(all.filter(|i| pattern.matches(&symbols[*i])).map(|i| i as u32).collect())
            }
            None if scenario.choice == Choice::All || each == instruments => {
                Some((0..each as u32).collect())
            }
            None => None,
        };
        let mut sum = 0.0;
        let exponent = if scenario.choice == Choice::Zipf { scenario.zipf } else { 0.0 };
        let weights = (0..instruments).map(|rank| {
            sum += ((rank + 1) as f64).powf(-exponent);
            sum
        });
        let cumulated = weights.collect();
        Dealer { choice: scenario.choice, each, instruments, cumulated, common, seed }
    }

    /// The instruments of a connection in order.
    pub(crate) fn deal(&self, connection: usize) -> Rc<[u32]> {
        if let Some(common) = &self.common {
            return common.clone();
        }
        debug_assert_ne!(self.choice, Choice::All);
        // Neighbouring seeds must not give neighbouring draws.
        let mixed = (connection as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut rng = fastrand::Rng::with_seed(self.seed ^ mixed);
        let total = self.cumulated.last().copied().unwrap_or_default();
        let mut chosen: Vec<u32> = Vec::with_capacity(self.each);
        let mut draws = 0;
        while chosen.len() < self.each && draws < self.each * DRAWS_MAX {
            draws += 1;
            let at = rng.f64() * total;
            let rank = self.cumulated.partition_point(|sum| *sum < at).min(self.instruments - 1);
            if let Err(place) = chosen.binary_search(&(rank as u32)) {
                chosen.insert(place, rank as u32);
            }
        }
        for rank in 0..self.instruments as u32 {
            if chosen.len() == self.each {
                break;
            }
            if let Err(place) = chosen.binary_search(&rank) {
                chosen.insert(place, rank);
            }
        }
        chosen.into()
    }
}

/// Where a connection falls between 0 and 1, evenly spread over any run of neighbours. `salt`
/// makes independent spreads.
pub(crate) fn spread(connection: usize, salt: f64) -> f64 {
    (connection as f64 * salt).fract()
}

/// Spreads the maximum rates: the golden ratio.
pub(crate) const RATES: f64 = 0.618_033_988_749_895;

/// Spreads the slow ones: the square root of two.
pub(crate) const SLOW: f64 = std::f64::consts::SQRT_2 - 1.0;

/// The maximum rate of a connection.
pub(crate) fn rate(scenario: &Scenario, connection: usize) -> Option<f64> {
    let at = spread(connection, RATES);
    let mut upto = 0.0;
    for rate in &scenario.rates {
        upto += rate.share;
        if at < upto {
            return rate.max_rate;
        }
    }
    scenario.rates.last().and_then(|rate| rate.max_rate)
}

/// Whether a connection reads slowly.
pub(crate) fn is_slow(scenario: &Scenario, connection: usize) -> bool {
    scenario.slow.as_ref().is_some_and(|slow| spread(connection, SLOW) < slow.share)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbols(count: usize) -> Vec<String> {
        (0..count).map(|i| format!("sim:S{i}-USD")).collect()
    }

    #[test]
    fn each_connection_has_as_many_different_symbols_as_it_should() {
        for choice in [Choice::All, Choice::Uniform, Choice::Zipf] {
            for each in [0, 1, 20, 49, 50, 99] {
                let scenario = Scenario { choice, symbols_per_connection: each, ..<_>::default() };
                let dealer = Dealer::new(&scenario, &symbols(50), 1);
                for connection in 0..20 {
                    let dealt = dealer.deal(connection);
                    assert_eq!(dealt.len(), each.min(50), "{choice:?} {each}");
                    assert!(dealt.windows(2).all(|pair| pair[0] < pair[1]));
                    assert_eq!(dealt, dealer.deal(connection), "the same again");
                }
            }
        }
    }

    #[test]
    fn zipf_prefers_the_most_active_and_uniform_nobody() {
        let count = |choice| {
            let scenario = Scenario { choice, symbols_per_connection: 5, ..<_>::default() };
            let dealer = Dealer::new(&scenario, &symbols(200), 7);
            let mut counts = vec![0; 200];
            for connection in 0..2_000 {
                dealer.deal(connection).iter().for_each(|i| counts[*i as usize] += 1);
            }
            (counts[0], counts[199])
        };
        let (first, last) = count(Choice::Zipf);
        assert!(first > 1_000 && last < 60, "{first} {last}");
        let (first, last) = count(Choice::Uniform);
        assert!((10..120).contains(&first) && (10..120).contains(&last), "{first} {last}");
    }

    #[test]
    fn shares_come_out_over_any_run_of_connections() {
        let rates = vec![
            crate::scenario::Rate { share: 0.5, max_rate: None },
            crate::scenario::Rate { share: 0.5, max_rate: Some(4.0) },
        ];
        let slow = Some(crate::scenario::Slow { share: 0.1, bytes_per_second: 0 });
        let scenario = Scenario { rates, slow, ..<_>::default() };
        for first in [0, 777] {
            let run = first..first + 1_000;
            let tiered = run.clone().filter(|i| rate(&scenario, *i).is_some()).count();
            let slow = run.filter(|i| is_slow(&scenario, *i)).count();
            assert!((480..=520).contains(&tiered), "{tiered}");
            assert!((90..=110).contains(&slow), "{slow}");
        }
    }

    #[test]
    fn a_pattern_gives_everybody_what_matches() {
        let pattern = Some("sim:S1*".to_owned());
        let scenario = Scenario { pattern, ..<_>::default() };
        let dealer = Dealer::new(&scenario, &symbols(12), 1);
        assert_eq!(*dealer.deal(5), [1, 10, 11]);
    }
}
