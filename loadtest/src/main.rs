//! The load tester of tickcast and an independent witness of what it promises.
//!
//! Tens of thousands of clients on one thread each process: every client follows the rule of
//! `PROTOCOL.md` and counts what breaks it; how old deliveries are, how many there are and what
//! they cost the service is measured from outside. It shares no code with the service but the
//! types that read and write messages, so it cannot share the service's errors.

mod answers;
mod choice;
mod cli;
mod compare;
mod connection;
mod crew;
mod engine;
mod engine_open;
mod engine_read;
mod error;
mod facts;
mod figures;
mod fill;
mod frames;
mod html;
mod http;
mod job;
mod own;
mod place;
mod plot;
mod progress;
mod recent;
mod report;
mod requests;
mod run;
mod sample;
mod scan;
mod scenario;
mod server;
mod socket;
mod symbols;
mod table;
mod tally;
mod target;
mod trust;
mod witness;

use clap::Parser;
use cli::Cli;
use error::{Error, Result};
use job::{Job, Trust};
use report::Report;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let result = match std::env::args().nth(1).as_deref() {
        Some(crew::ENGINE_ARGUMENT) => crew::serve().map(|()| true),
        _ => start(&Cli::parse()),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("loadtest: {error}");
            ExitCode::from(if matches!(error, Error::Usage(_)) { 2 } else { 1 })
        }
    }
}

/// Does what was asked for; whether all thresholds held.
fn start(cli: &Cli) -> Result<bool> {
    match cli.scenario.as_str() {
        "scenarios" => {
            for (name, about) in scenario::list() {
                print(&format!("{name:12} {about}\n"))?;
            }
            Ok(true)
        }
        "show" => {
            let name = cli.url.as_deref().unwrap_or_default();
            let text = scenario::ready(name).ok_or_else(|| {
                Error::usage(format!("show: {name:?} is none of `loadtest scenarios`"))
            })?;
            print(text)?;
            Ok(true)
        }
        _ => test(cli),
    }
}

fn test(cli: &Cli) -> Result<bool> {
    let scenario = cli.scenario()?;
    let earlier = cli.compare.as_deref().map(earlier).transpose()?;
    let url = cli.url.as_deref().ok_or_else(|| {
        Error::usage("URL: the service is not named, such as ws://127.0.0.1:8080")
    })?;
    let target = target::Target::resolve(url)?;
    let snapshots = match &cli.snapshots {
        Some(url) => target::Target::resolve(url)?,
        None => target.clone(),
    };
    let trust = Trust { ca: cli.ca.clone(), is_insecure: cli.insecure };
    let source = match (&cli.symbols, &cli.symbols_generated) {
        (Some(names), _) => symbols::Source::Named(names),
        (None, Some(pattern)) => symbols::Source::Generated(pattern, cli.symbols_count),
        // Who subscribes to nothing needs no list.
        (None, None) if scenario.symbols_per_connection == 0 && scenario.pattern.is_none() => {
            symbols::Source::Named(&[])
        }
        (None, None) => symbols::Source::Service,
    };
    let symbols = symbols::load(&source, &target, &trust)?;
    let probe = server::Probe::choose(&cli.pid, cli.metrics.as_deref(), &target)?;
    let before = probe.read();
    let job = Job {
        first: 0,
        count: scenario.connections,
        total: scenario.connections,
        sample: if scenario.symbols_per_connection == 0 { 0 } else { scenario.sample },
        scenario: scenario.clone(),
        target: target.clone(),
        snapshots,
        symbols,
        seed: cli.seed,
        is_lenient: cli.lenient,
        age_from: cli.age,
        trust,
    };
    let processes = match scenario.processes {
        0 => crew::processes(job.total, own::raise_descriptor_limit()),
        processes => processes.min(job.total),
    };
    let crew = crew::Crew::start(crew::share(&job, processes))?;
    let mut report = run::Run::new(crew, &scenario, probe, cli.quiet).run(before)?;
    report.target = target.url;
    report.age_from = match cli.age {
        job::AgeFrom::Publish => "publish".into(),
        job::AgeFrom::Event => "event".into(),
    };
    write(cli, &report, earlier.as_ref())?;
    Ok(report.is_ok() && report.connected > 0)
}

/// Reads an earlier run's report.
fn earlier(file: &Path) -> Result<Report> {
    let what = format!("--compare: {}", file.display());
    let text = std::fs::read(file).map_err(Error::io(what.as_str()))?;
    serde_json::from_slice(&text).map_err(|error| Error::usage(format!("{what}: {error}")))
}

fn write(cli: &Cli, report: &Report, earlier: Option<&Report>) -> Result<()> {
    let is_stdout = cli.json.as_deref().is_some_and(|file| file.as_os_str() == "-");
    if !cli.quiet && !is_stdout {
        print(&table::write(report))?;
        if let Some(earlier) = earlier {
            print(&figures::beside(report, earlier))?;
        }
    }
    if let Some(file) = &cli.json {
        let text = serde_json::to_string(report)
            .map_err(|error| Error::Service(format!("--json: {error}")))?;
        if is_stdout {
            print(&format!("{text}\n"))?;
        } else {
            std::fs::write(file, text).map_err(Error::io(format!("--json: {}", file.display())))?;
        }
    }
    if let Some(file) = &cli.html {
        let page = html::write(report, earlier);
        std::fs::write(file, page).map_err(Error::io(format!("--html: {}", file.display())))?;
    }
    Ok(())
}

fn print(text: &str) -> Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        // Who has stopped reading has read enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(Error::io("standard output")),
    }
}
