//! The load: load testers, spread over the gateways and started together, and their reports as one.

use super::cluster::Service;
use super::network::Host;
use super::trial::Trial;
use crate::failure::{Failure, Result, while_doing};
use crate::figures::Report;
use std::path::Path;
use std::process::{Child, Stdio};

/// So many load testers in every trial, so that layouts differ by nothing else.
pub(super) const LOADS: usize = 4;

/// Seconds that the load testers go on around the measured ones.
const AROUND: u32 = 2;

/// What clients have seen: means over the load testers by what each was sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Load {
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) per_second: f64,
    pub(super) cores: f64,
    /// Gaps, breaches of the protocol, connections that failed or were closed.
    pub(super) wrong: f64,
}

/// Running load testers; those not collected are killed.
#[derive(Debug)]
pub(super) struct Running(Vec<Child>);

impl Drop for Running {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Starts them; each has its share of the clients and symbols of its own.
///
/// # Errors
/// One cannot be started.
pub(super) fn start(trial: &Trial, service: &Service, tickcast: &Path) -> Result<Running> {
    let program = tickcast.with_file_name("loadtest").display().to_string();
    let mut running = Running(Vec::new());
    for n in 0..LOADS {
        let gateway = service.gateways[n % service.gateways.len()].1.address();
        let mut command = Host::Load.command(&program);
        let mut push = |name: &str, value: u32| {
            command.args([format!("--{name}"), value.to_string()]);
        };
        push("connections", trial.clients / LOADS as u32);
        push("symbols-per-connection", trial.symbols);
        push("symbols-count", trial.instruments);
        push("seconds", trial.seconds + AROUND);
        push("warmup", 1);
        push("sample", 0);
        push("processes", 1);
        push("seed", n as u32 + 1);
        command.args(["--zipf", "1.0", "--json", "-", "--quiet"]);
        command.args(["--symbols-generated", "sim:S{}-USD", "steady"]);
        command.arg(format!("ws://{gateway}:8080"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        running.0.push(command.spawn().map_err(while_doing("the load tester"))?);
    }
    Ok(running)
}

/// Waits for their reports.
///
/// # Errors
/// One gives none, or clients that have subscribed were sent nothing.
pub(super) fn collect(mut running: Running, trial: &Trial) -> Result<Load> {
    let mut reports = Vec::new();
    for child in running.0.drain(..) {
        let output = child.wait_with_output().map_err(while_doing("the load tester"))?;
        reports.push(Report::read(&String::from_utf8_lossy(&output.stdout))?);
    }
    if trial.symbols == 0 {
        return Ok(Load::default());
    }
    together(&reports).ok_or_else(|| Failure("the load testers were sent nothing".into()))
}

fn together(reports: &[Report]) -> Option<Load> {
    let mut load = Load::default();
    for figures in reports.iter().map(Report::figures) {
        let weight = figures.per_second?;
        load.p50_ms += figures.p50_ms? * weight;
        load.p99_ms += figures.p99_ms? * weight;
        load.per_second += weight;
        load.cores += figures.load_cores.unwrap_or_default();
        load.wrong += figures.wrong;
    }
    load.p50_ms /= load.per_second;
    load.p99_ms /= load.per_second;
    (load.per_second > 0.0).then_some(load)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_count_by_what_was_delivered() {
        let report = |per_second: f64, p99: f64| {
            let text = format!(
                r#"{{"deliveries":10,"deliveries_per_second":{per_second},
                "age_us":{{"p50":1000,"p99":{p99}}},"correctness":{{"gaps":1}}}}"#
            );
            Report::read(&text).unwrap()
        };
        let load = together(&[report(300.0, 4000.0), report(100.0, 8000.0)]).unwrap();
        assert_eq!((load.p50_ms, load.p99_ms, load.per_second, load.wrong), (1.0, 5.0, 400.0, 2.0));
        assert!(together(&[]).is_none());
    }
}
