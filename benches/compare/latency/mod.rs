//! From a venue's socket to a client's, beside an empty chain of the same thread hops.
//!
//! Venue and clients are threads here and share one clock, so every quote's way is timed whole;
//! both loopback sockets are in it, for tickcast and for the chain alike. What tickcast itself
//! says of its stages comes from its histograms.

mod clients;
mod venue;

use crate::contender::Programs;
use crate::failure::{Failure, Result, while_doing};
use crate::figures::{Spread, median};
use crate::goals::{Goal, Side};
use crate::metrics;
use crate::table::{Table, spread};
use clients::Speaks;
use std::time::Duration;
use tickcast_benches::{Server, on_cores};
use venue::Venue;

/// Quotes a second.
const RATE: f64 = 5_000.0;

const CLIENTS: [usize; 2] = [1, 1000];

const QUANTILES: [f64; 3] = [0.5, 0.99, 0.999];

const STAGES: [(&str, &str); 2] = [
    ("received → handed to the kernel", "tickcast_age_at_write_seconds"),
    ("encoded → handed to the kernel", "tickcast_publish_to_write_seconds"),
];

/// Quantiles of one run, in microseconds.
type Quantiles = [f64; 3];

/// All rounds with so many clients.
#[derive(Debug, Default)]
pub(crate) struct Compared {
    clients: usize,
    chain: Vec<Quantiles>,
    tickcast: Vec<Quantiles>,
    /// By stage; a histogram's quantiles are as exact as its buckets are narrow.
    stages: [Vec<Quantiles>; STAGES.len()],
}

/// Runs the chain and tickcast in turn.
///
/// # Errors
/// One of them cannot be started or breaks off.
pub(crate) fn play(rounds: u32, is_quick: bool, programs: &Programs) -> Result<Vec<Compared>> {
    let times = [Duration::from_secs(2), Duration::from_secs(if is_quick { 1 } else { 5 })];
    let mut all = CLIENTS.map(|clients| Compared { clients, ..Compared::default() });
    for round in 1..=rounds {
        for compared in &mut all {
            let count = compared.clients;
            let chain = run_chain(count, times, programs)?;
            let (tickcast, stages) = run_tickcast(count, times, programs)?;
            eprintln!(
                "round {round} of {rounds}: {count} clients, p50, p99, p99.9 in us: chain {chain:.0?}, \
                 tickcast {tickcast:.0?}"
            );
            compared.chain.push(chain);
            compared.tickcast.push(tickcast);
            for (kept, stage) in compared.stages.iter_mut().zip(stages) {
                kept.extend(stage);
            }
        }
    }
    Ok(all.into())
}

fn venue(programs: &Programs) -> Result<Venue> {
    Venue::start(RATE, &programs.client_cores).map_err(while_doing("the venue"))
}

fn start(name: &str, args: &[String], programs: &Programs) -> Result<Server> {
    Server::start(&programs.folder.join(name), args, &programs.server_cores)
        .map_err(|error| Failure(error.to_string()))
}

fn run_chain(count: usize, times: [Duration; 2], programs: &Programs) -> Result<Quantiles> {
    let venue = venue(programs)?;
    let (length, at) = venue::shape();
    let mut args = vec![format!("--venue={}", venue.address), format!("--frame-bytes={length}")];
    args.extend([format!("--symbol-at={at}"), format!("--symbols={}", venue::SYMBOLS)]);
    if count > 1 {
        args.push("--split".into());
    }
    let server = start("chain", &args, programs)?;
    listen(&server, Speaks::Chain, count, &venue, times, programs)
}

fn run_tickcast(
    count: usize,
    times: [Duration; 2],
    programs: &Programs,
) -> Result<(Quantiles, [Option<Quantiles>; STAGES.len()])> {
    let venue = venue(programs)?;
    let names: Vec<String> = venue::names().collect();
    let address = venue.address;
    let config = format!(
        "[venues.binance]\nws_url = \"ws://{address}\"\nrest_url = \"http://{address}\"\n\
         symbols = {names:?}\n"
    );
    let file = std::env::temp_dir().join(format!("tickcast-latency-{}.toml", std::process::id()));
    std::fs::write(&file, config).map_err(while_doing("tickcast's configuration"))?;
    let args = format!(
        "serve --feed binance --shards 1 --listen 127.0.0.1:0 --admin 127.0.0.1:0 --config {}",
        file.display()
    );
    let args: Vec<String> = args.split(' ').map(String::from).collect();
    let server = start("tickcast", &args, programs)?;
    let admin = server.addresses.get(1).copied();
    let warmed_up = std::thread::spawn(move || {
        std::thread::sleep(times[0]);
        admin.and_then(metrics::fetch).unwrap_or_default()
    });
    let quantiles = listen(&server, Speaks::Tickcast, count, &venue, times, programs)?;
    let _ = std::fs::remove_file(&file);
    let before = warmed_up.join().expect("a look at the metrics does not panic");
    let text = admin.and_then(metrics::fetch).unwrap_or_default();
    let stages = STAGES.map(|(_, name)| {
        let mut buckets = metrics::buckets(&text, name);
        for (bound, count) in metrics::buckets(&before, name) {
            for (_, later) in buckets.iter_mut().filter(|(later, _)| *later == bound) {
                *later -= count;
            }
        }
        let [p50, p99, p999] = QUANTILES.map(|share| metrics::quantile(&buckets, share));
        Some([p50? * 1e6, p99? * 1e6, p999? * 1e6])
    });
    Ok((quantiles, stages))
}

fn listen(
    server: &Server,
    speaks: Speaks,
    count: usize,
    venue: &Venue,
    times: [Duration; 2],
    programs: &Programs,
) -> Result<Quantiles> {
    let address = server.addresses[0];
    let listened = on_cores(&programs.client_cores, || {
        clients::listen(address, speaks, count, &venue.sent, times)
    });
    let mut ages = listened.map_err(while_doing("clients"))?;
    ages.sort_unstable();
    if ages.is_empty() {
        return Err(Failure(format!("{speaks:?}: no quote came through")));
    }
    Ok(QUANTILES.map(|share| {
        let at = ((ages.len() as f64 * share) as usize).min(ages.len() - 1);
        ages[at] as f64 / 1e3
    }))
}

/// Of one client only: with more, what follows a quote is the sends of all.
pub(crate) fn goals(all: &[Compared]) -> Vec<Goal> {
    let one = all.iter().find(|compared| compared.clients == 1);
    let ratios = one.map(|one| ratios(one, 1)).unwrap_or_default();
    vec![Goal {
        measure: "venue's socket → client's, one client, p99 ÷ the empty chain's".into(),
        side: Side::AtMost,
        limit: 1.5,
        value: median(&ratios),
    }]
}

fn ratios(compared: &Compared, quantile: usize) -> Vec<f64> {
    let pairs = compared.tickcast.iter().zip(&compared.chain);
    pairs.map(|(ours, chain)| ours[quantile] / chain[quantile]).collect()
}

/// Chain, tickcast, their ratio, and tickcast's stages.
pub(crate) fn table(all: &[Compared]) -> String {
    let mut table = Table::new(&["clients", "way", "p50 µs", "p99 µs", "p99.9 µs"]);
    for compared in all {
        let mut row = |name: &str, rounds: &[Quantiles]| {
            let mut row = vec![compared.clients.to_string(), name.to_owned()];
            row.extend((0..QUANTILES.len()).map(|at| {
                let values: Vec<f64> = rounds.iter().map(|quantiles| quantiles[at]).collect();
                spread(Spread::of(&values))
            }));
            table.row(row);
        };
        row("empty chain, venue's socket → client's", &compared.chain);
        row("tickcast, venue's socket → client's", &compared.tickcast);
        let quotients: Vec<Quantiles> = (0..compared.tickcast.len())
            .map(|round| [0, 1, 2].map(|at| ratios(compared, at)[round]))
            .collect();
        row("tickcast ÷ empty chain", &quotients);
        for ((name, _), rounds) in STAGES.iter().zip(&compared.stages) {
            row(&format!("tickcast's own histogram: {name}"), rounds);
        }
    }
    table.text()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_goal_is_about_one_client_s_p99() {
        let run = |clients, ours: f64| Compared {
            clients,
            chain: vec![[50.0, 100.0, 200.0], [50.0, 110.0, 200.0]],
            tickcast: vec![[60.0, ours, 300.0], [60.0, ours * 1.1, 300.0]],
            stages: Default::default(),
        };
        let goal = &goals(&[run(1, 149.0), run(1000, 900.0)])[0];
        assert_eq!(goal.is_reached(), Some(true), "{goal:?}");
        assert_eq!(goals(&[run(1, 151.0)])[0].is_reached(), Some(false));
        let text = table(&[run(1, 150.0)]);
        assert!(text.contains("1.50") && text.contains("empty chain"), "{text}");
    }
}
