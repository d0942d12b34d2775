//! Interleaved rounds of several contenders, and the ratio of their medians.

use std::time::{Duration, Instant};

/// How many rounds are run; the first is not counted.
const ROUNDS: usize = 8;

/// Who runs, and how.
pub struct Contender<'a> {
    /// Its name in the report.
    pub name: &'a str,
    /// One round.
    pub run: Box<dyn FnMut() + 'a>,
}

impl std::fmt::Debug for Contender<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Contender").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Runs all contenders in turn, round by round, and prints for each how many `items` it does in a
/// second and how its median compares with the first one's.
pub fn ratio(title: &str, items: usize, contenders: &mut [Contender<'_>]) {
    let mut times: Vec<Vec<Duration>> = vec![Vec::new(); contenders.len()];
    for round in 0..ROUNDS {
        for (contender, times) in contenders.iter_mut().zip(&mut times) {
            let start = Instant::now();
            (contender.run)();
            if round > 0 {
                times.push(start.elapsed());
            }
        }
    }
    let medians: Vec<f64> = times
        .iter_mut()
        .map(|times| {
            times.sort();
            times[times.len() / 2].as_secs_f64()
        })
        .collect();
    for (contender, median) in contenders.iter().zip(&medians) {
        println!(
            "ratio {title:<28} {:<22} {:>7.3} M messages/s/core, {:>6.1} ns each, first is {:.2} x",
            contender.name,
            items as f64 / median / 1e6,
            median / items as f64 * 1e9,
            median / medians[0],
        );
    }
}
