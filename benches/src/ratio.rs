//! Interleaved rounds of several contenders, and the ratio of their medians.

use std::fmt;
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

impl fmt::Debug for Contender<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contender").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Who runs and holds the stopwatch itself, for rounds that have something to prepare.
pub struct Timed<'a> {
    /// Its name in the report.
    pub name: &'a str,
    /// One round; answers how long what is measured took.
    pub run: Box<dyn FnMut() -> Duration + 'a>,
}

impl fmt::Debug for Timed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timed").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Runs all contenders in turn, round by round, and prints for each how many `items` it does in a
/// second and how its median compares with the first one's.
pub fn ratio(title: &str, items: usize, contenders: &mut [Contender<'_>]) {
    let mut timed: Vec<Timed<'_>> = contenders
        .iter_mut()
        .map(|Contender { name, run }| {
            let run = || {
                let start = Instant::now();
                run();
                start.elapsed()
            };
            Timed { name, run: Box::new(run) }
        })
        .collect();
    ratio_of_times(title, items, &mut timed);
}

/// As [`ratio`], of what the contenders say their rounds took.
pub fn ratio_of_times(title: &str, items: usize, contenders: &mut [Timed<'_>]) {
    let mut times: Vec<Vec<Duration>> = vec![Vec::new(); contenders.len()];
    for round in 0..ROUNDS {
        for (contender, times) in contenders.iter_mut().zip(&mut times) {
            let time = (contender.run)();
            if round > 0 {
                times.push(time);
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
