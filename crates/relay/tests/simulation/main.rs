//! The whole bus from one seed: publishers that take over from each other and go on when they should
//! not, gateways, and a bus that loses, delays, repeats and reorders. An oracle knows what every
//! publisher said at every (epoch, seq).
//!
//! `TICKCAST_SEED=n` repeats one, `TICKCAST_SEEDS=n` runs more.

mod gateway;
mod lease;
mod market;
mod oracle;
mod publisher;
mod trouble;
mod world;

use world::World;

/// Enough to see every kind of trouble; a few seconds.
const SEEDS: u64 = 40;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn play(seed: u64) -> World {
    struct Told(u64);
    impl Drop for Told {
        fn drop(&mut self) {
            if std::thread::panicking() {
                let command = "cargo test -p tickcast-relay --test simulation";
                eprintln!("seed {}: TICKCAST_SEED={} {command}", self.0, self.0);
            }
        }
    }
    let _told = Told(seed);
    let mut world = World::new(seed);
    world.trouble();
    world.heal();
    world.judge();
    world
}

#[test]
fn gateways_show_what_the_leader_said_and_end_where_it_is() {
    if let Some(seed) = number("TICKCAST_SEED") {
        play(seed);
        return;
    }
    let seeds = number("TICKCAST_SEEDS").unwrap_or(SEEDS);
    let (mut runs, mut compared, mut stale, mut live) = (0, 0, 0, 0);
    for seed in 0..seeds {
        let world = play(seed);
        runs += world.runs();
        compared += world.compared();
        let (of_stale, of_live) = world.shown();
        stale += of_stale;
        live += of_live;
    }
    println!(
        "{seeds} seeds: {runs} runs, {compared} states compared, shown stale {stale} times and live {live} times"
    );
    // A simulation in which nothing happens finds nothing.
    assert!(runs > 2 * seeds && compared > 500 * seeds, "{runs} runs, {compared} states");
    assert!(stale > 20 * seeds && live > 200 * seeds, "stale {stale}, live {live}");
}
