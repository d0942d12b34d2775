//! A whole service in one thread, from one seed: thousands of clients that are slow, dead, greedy,
//! fickle, rude or lose their lines, shards that are overrun, and a court that judges every message
//! and what everybody holds in the end.
//!
//! `TICKCAST_SEED` runs one seed, `TICKCAST_SEEDS` so many. A failure prints the command that
//! repeats it.

mod client;
mod driver;
mod held;
mod line;
mod market;
mod message;
mod request;
mod session;
mod story;
mod truth;
mod websocket;
mod wishes;
mod world;

use fastrand::Rng;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::available_parallelism;
use world::{Figures, Scene, World};

/// How many seeds are run when nothing else is asked for.
const SEEDS: u64 = 200;

/// The number that an environment variable gives.
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

fn run(seed: u64) -> Result<Figures, String> {
    let mut random = Rng::with_seed(seed);
    let scene = Scene::of(seed, &mut random);
    let run = || {
        let mut world = World::new(scene, random);
        world.run().map(|()| world.figures)
    };
    let result = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or(panic.downcast_ref::<&str>().copied());
        Err(format!("panicked: {}", text.unwrap_or("without a word")))
    });
    result.map_err(|error| {
        format!(
            "seed {seed}: {scene:?}\n{error}\n\nRepeat it with\n  \
             TICKCAST_SEED={seed} cargo test -p tickcast-gateway --test simulation\n"
        )
    })
}

#[test]
fn every_client_is_told_the_truth_and_in_the_end_all_of_it() {
    let (first, last) = match number("TICKCAST_SEED") {
        Some(seed) => (seed, seed),
        None => (0, number("TICKCAST_SEEDS").unwrap_or(SEEDS) - 1),
    };
    let next = AtomicU64::new(first);
    let failures = Mutex::new(Vec::new());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed); // Only a count; orders nothing.
            if seed > last {
                return;
            }
            match run(seed) {
                Ok(figures) if first == last => println!("seed {seed}: {figures:?}"),
                Ok(_) => {}
                Err(error) => {
                    next.store(last + 1, Ordering::Relaxed); // As above.
                    failures.lock().expect("nobody panics with it").push(error);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        let threads = available_parallelism().map_or(1, usize::from);
        (0..threads).for_each(|_| drop(scope.spawn(work)));
    });
    let failures = failures.into_inner().expect("nobody panics with it");
    let first = failures.first().map_or("", String::as_str);
    assert!(failures.is_empty(), "{} seeds failed; the first:\n{first}", failures.len());
}
