//! `cargo xtask bench --bus`: publisher, three NATS servers, gateways and load testers as processes
//! in network namespaces, in turn with the service in one process under the same load.

mod cluster;
mod fit;
mod load;
mod model;
mod network;
mod plan;
mod report;
mod trial;
mod usage;

use crate::contender::Programs;
use crate::failure::Result;
use cluster::{NATS_SERVERS, Nats};
use network::{Host, Network};
use plan::{Purpose, TRIALS, is_due};
use trial::{Observation, Trial};

/// A trial of the plan with what each of its rounds has shown.
type Seen = (Purpose, Vec<Observation>);

/// The most gateways of any trial.
const GATEWAYS: usize = 4;

/// Plays all trials, round by round, and tells what they have shown; a second each for a first look.
///
/// # Errors
/// The network cannot be made, or a process cannot be started.
pub(crate) fn play(rounds: u32, is_quick: bool, nats: &str, programs: &Programs) -> Result<String> {
    let hosts = [Host::Publisher, Host::Alone, Host::Load].into_iter();
    let hosts = hosts.chain((1..=NATS_SERVERS).map(Host::Nats));
    let hosts: Vec<Host> = hosts.chain((1..=GATEWAYS).map(Host::Gateway)).collect();
    let network = Network::make(&hosts)?;
    let nats = Nats::start(nats)?;
    let tickcast = programs.folder.join("tickcast");
    let mut seen: Vec<Seen> = TRIALS.iter().map(|(purpose, _)| (*purpose, Vec::new())).collect();
    for round in 1..=rounds {
        for ((purpose, trial), (_, observations)) in TRIALS.iter().zip(&mut seen) {
            if !is_due(*purpose, round) {
                continue;
            }
            let seconds = if is_quick { 1 } else { trial.seconds };
            let one = trial::run(&Trial { seconds, ..*trial }, &nats, &tickcast)?;
            eprintln!("round {round} of {rounds}: {}", report::line(&one));
            observations.push(one);
        }
    }
    // The servers end before their network goes.
    drop(nats);
    drop(network);
    Ok(report::text(&seen))
}
