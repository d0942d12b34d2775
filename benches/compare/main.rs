//! `cargo xtask bench`: the floor, the naive servers and tickcast at the same workloads, in turn.
//!
//! A run starts each server, lets the load tester loose on it and takes its report; this is done
//! for all entries of a section, then again, round by round, so that what the machine does besides
//! hits all alike. Figures are medians of rounds, ratios are medians of the rounds' own ratios.

mod bus;
mod certificate;
mod contender;
mod failure;
mod figures;
mod goals;
mod latency;
mod load;
mod machine;
mod metrics;
mod nats;
mod plan;
mod plot;
mod results;
mod scale;
mod section;
mod table;
mod workload;

use clap::Parser;
use contender::Programs;
use failure::{Failure, Result, while_doing};
use plan::Extent;
use results::Part;
use section::Section;
use std::path::PathBuf;
use std::process::ExitCode;

/// Compares tickcast with the floor and with naive designs.
#[derive(Clone, Debug, Parser)]
#[command(name = "cargo xtask bench")]
struct Arguments {
    /// Two rounds of a second each, for a first look
    #[arg(long)]
    quick: bool,
    /// Only these: W1a, W2S, W2, W2X, flush, slow, tls, idle, idle20, connect
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    only: Vec<String>,
    /// How often each contender is run [default: 5]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: Option<u32>,
    /// nats=PROGRAM or nats=nats://HOST:PORT
    #[arg(long, value_name = "PEER")]
    peer: Option<String>,
    /// Instead: how the cost of a delivery changes with clients, instruments, subscriptions
    #[arg(long)]
    scale: bool,
    /// Instead: from a venue's socket to a client's, beside an empty chain of the same threads
    #[arg(long, conflicts_with = "scale")]
    latency: bool,
    /// Instead: publisher, NATS servers and gateways in network namespaces (as root), in turn with
    /// all in one; nats-server is --peer nats=PROGRAM or TICKCAST_NATS_SERVER
    #[arg(long, conflicts_with_all = ["scale", "latency"])]
    bus: bool,
    /// Where results go [default: benches/RESULTS.md; nowhere with --quick or --only]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    if let Some(unknown) = arguments.only.iter().find(|name| !plan::NAMES.contains(&name.as_str()))
    {
        let names = plan::NAMES.join(", ");
        return Err(Failure(format!("--only: {unknown:?} is not one of {names}")));
    }
    let nats = match &arguments.peer {
        None => None,
        Some(peer) => match peer.strip_prefix("nats=") {
            Some(nats) => Some(nats.to_owned()),
            None => return Err(Failure(format!("--peer: {peer:?} does not begin with nats="))),
        },
    };
    let program = std::env::current_exe().map_err(while_doing("this program's place"))?;
    let folder = program.parent().unwrap_or(&program);
    let cores = tickcast_benches::allowed_cores().map_err(while_doing("the cores"))?;
    let mut programs = Programs::new(folder, &cores);
    programs.certificate = certificate::make(&std::env::temp_dir());
    if arguments.scale {
        return run_scale(arguments, &programs, &cores);
    }
    if arguments.latency {
        return run_latency(arguments, &programs, &cores);
    }
    if arguments.bus {
        let server = nats.or_else(|| std::env::var("TICKCAST_NATS_SERVER").ok());
        return run_bus(arguments, &server.unwrap_or("nats-server".into()), &programs, &cores);
    }
    let extent = Extent { only: arguments.only.clone(), is_quick: arguments.quick, nats };
    let sections = compare(arguments, &extent, &programs);
    let text = report(&sections, &cores);
    println!("\n{text}");
    let is_partial = arguments.quick || !arguments.only.is_empty();
    keep(arguments, is_partial, Part::Compared, &text).map(drop)
}

fn rounds(arguments: &Arguments) -> u32 {
    arguments.rounds.unwrap_or(if arguments.quick { 2 } else { 5 })
}

/// Plays all rounds.
fn compare(arguments: &Arguments, extent: &Extent, programs: &Programs) -> Vec<Section> {
    let mut sections = plan::sections(extent, programs);
    let rounds = rounds(arguments);
    for round in 1..=rounds {
        for section in &mut sections {
            section.play(programs, &mut |line| eprintln!("round {round} of {rounds}: {line}"));
        }
    }
    sections
}

fn run_scale(arguments: &Arguments, programs: &Programs, cores: &[usize]) -> Result<()> {
    let rounds = rounds(arguments);
    let sections = scale::play(rounds, arguments.quick, programs);
    let text = format!(
        "## Scale\n\n{}- rounds: {rounds}, medians (least–greatest); the goal is flat or falling, \
         which one run tells to about 10 %\n\n{}\n{}\n![CPU for each delivery](scale.svg)\n",
        machine::describe(cores, &command()),
        goals::table(&scale::goals(&sections)),
        scale::table(&sections),
    );
    println!("\n{text}");
    if let Some(file) = keep(arguments, arguments.quick, Part::Scale, &text)? {
        let picture = file.with_file_name("scale.svg");
        std::fs::write(&picture, scale::svg(&sections))
            .map_err(while_doing(&picture.display().to_string()))?;
    }
    Ok(())
}

fn run_latency(arguments: &Arguments, programs: &Programs, cores: &[usize]) -> Result<()> {
    let rounds = rounds(arguments);
    let compared = latency::play(rounds, arguments.quick, programs)?;
    let text = format!(
        "## Latency\n\n{}- rounds: {rounds}, medians (least–greatest); 5,000 updates a second of \
         50 instruments: one client has all of them, a thousand have one each\n\n{}\n{}",
        machine::describe(cores, &command()),
        goals::table(&latency::goals(&compared)),
        latency::table(&compared),
    );
    println!("\n{text}");
    keep(arguments, arguments.quick, Part::Latency, &text).map(drop)
}

fn run_bus(arguments: &Arguments, nats: &str, programs: &Programs, cores: &[usize]) -> Result<()> {
    let rounds = rounds(arguments);
    let shown = bus::play(rounds, arguments.quick, nats, programs)?;
    let text = format!(
        "## Bus\n\n{}- rounds: {rounds} of the pair, medians (least–greatest)\n\n{shown}",
        machine::describe(cores, &command()),
    );
    println!("\n{text}");
    keep(arguments, arguments.quick, Part::Bus, &text).map(drop)
}

/// The report of a comparison.
fn report(sections: &[Section], cores: &[usize]) -> String {
    let rounds = sections.iter().flat_map(|one| &one.entries).map(|entry| entry.rounds.len());
    let mut text = format!(
        "## Compared\n\n{}- rounds: {}, medians (least–greatest)\n\n### Goals\n\n{}",
        machine::describe(cores, &command()),
        rounds.max().unwrap_or(0),
        goals::table(&goals::of_sections(sections)),
    );
    for section in sections {
        text += &format!("\n### {}\n\n{}", section.title, table::of_section(section));
    }
    text
}

/// The command that was given, as its user knows it.
fn command() -> String {
    let args: Vec<String> = std::env::args().skip(1).collect();
    format!("cargo xtask bench {}", args.join(" ")).trim_end().to_owned()
}

/// Writes a part of the results to where they are wanted, and says where that is.
fn keep(
    arguments: &Arguments,
    is_partial: bool,
    part: Part,
    text: &str,
) -> Result<Option<PathBuf>> {
    let file = match &arguments.output {
        Some(file) => file.clone(),
        None if is_partial => return Ok(None),
        None => PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/RESULTS.md")),
    };
    results::write(&file, part, text).map_err(while_doing(&file.display().to_string()))?;
    eprintln!("written to {}", file.display());
    Ok(Some(file))
}
