//! One run: a contender, a workload, and the load tester beside them.

use crate::contender::{Contender, Programs, Running, Seen};
use crate::failure::{Failure, Result, while_doing};
use crate::figures::{Figures, Report};
use crate::metrics;
use crate::nats;
use crate::workload::Workload;
use std::io::Read as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tickcast_benches::on_cores;

/// What a run may take beyond its warm-up and its seconds: connecting, snapshots, the report.
const EXTRA_MAX: Duration = Duration::from_secs(60);

/// How often it is looked whether the run has ended, and at the metrics.
const LOOK: Duration = Duration::from_millis(250);

/// Runs a workload against a contender.
///
/// # Errors
/// The contender or the load tester cannot be started, or gives no report.
pub(crate) fn run(
    contender: &Contender,
    workload: &Workload,
    seen: Option<Seen>,
    programs: &Programs,
) -> Result<Figures> {
    if let Contender::Nats(which) = contender {
        return nats::run(which, workload, programs);
    }
    let running = contender.start(workload, seen, programs)?;
    let named = |error: Failure| Failure(format!("{}: {error}", contender.name()));
    measure(&running, workload, programs).map_err(named)
}

/// Runs a workload against what runs already.
pub(crate) fn measure(
    running: &Running,
    workload: &Workload,
    programs: &Programs,
) -> Result<Figures> {
    let scenario = std::env::temp_dir().join(format!("tickcast-bench-{}.toml", std::process::id()));
    std::fs::write(&scenario, workload.scenario()).map_err(while_doing("the scenario"))?;
    let mut command = Command::new(programs.folder.join("loadtest"));
    command.arg(&scenario).arg(&running.url);
    command.args(["--json", "-", "--quiet", "--lenient", "--symbols-generated", "sim:S{}-USD"]);
    command.args(["--symbols-count", &workload.instruments.to_string()]);
    command.args(["--pid", &running.server.pid().to_string()]);
    if running.url.starts_with("wss://") {
        command.arg("--insecure");
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = on_cores(&programs.client_cores, || command.spawn());
    let child = child.map_err(while_doing("the load tester cannot be started"))?;
    let seconds = u64::from(workload.seconds + workload.warmup);
    let (text, looks) = wait(child, running, Duration::from_secs(seconds) + EXTRA_MAX)?;
    let _ = std::fs::remove_file(&scenario);
    let report = Report::read(&text)?;
    let mut figures = report.figures();
    if figures.wrong > 0.0 {
        eprintln!(
            "{}: not all was right: {:?}, {:?}",
            running.url, report.correctness, report.connect
        );
    }
    if let Some(frames_per_send) = metrics::frames_per_send(&looks) {
        figures.frames_per_send = figures.frames_per_send.map(|_| frames_per_send);
    }
    Ok(figures)
}

/// Waits for the report and looks at the metrics meanwhile.
fn wait(mut child: Child, running: &Running, most: Duration) -> Result<(String, Vec<(f64, f64)>)> {
    let mut stdout = child.stdout.take().expect("it was asked for");
    let mut stderr = child.stderr.take().expect("it was asked for");
    let report = std::thread::spawn(move || {
        let mut text = String::new();
        stdout.read_to_string(&mut text).map(|_| text)
    });
    let complaint = std::thread::spawn(move || {
        let mut text = String::new();
        // What cannot be read is not shown.
        let _ = stderr.read_to_string(&mut text);
        text
    });
    let until = Instant::now() + most;
    let mut looks = Vec::new();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < until => {}
            Ok(None) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(Failure(format!("the load tester did not end within {most:?}")));
            }
            Err(error) => return Err(while_doing("the load tester")(error)),
        }
        std::thread::sleep(LOOK);
        looks.extend(running.admin.and_then(metrics::fetch).as_deref().and_then(metrics::sends));
    };
    let text = report.join().expect("the reader does not panic");
    let text = text.map_err(while_doing("the load tester's report"))?;
    let complaint = complaint.join().expect("the reader does not panic");
    if text.trim().is_empty() {
        return Err(Failure(format!("the load tester ended with {status}: {}", complaint.trim())));
    }
    Ok((text, looks))
}
