//! The service's processor time and memory: from `/proc` by pid, or from its own metrics.

use crate::error::{Error, Result};
use crate::http;
use crate::own;
use crate::target::Target;
use std::net::SocketAddr;

/// Where the figures come from.
#[derive(Clone, Debug)]
pub(crate) enum Probe {
    Pids(Vec<u32>),
    Metrics { address: SocketAddr, path: String },
    Nothing,
}

/// What the service has used so far, and holds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Usage {
    pub(crate) cpu_us: f64,
    pub(crate) rss_bytes: f64,
}

/// Where a service on this machine tells its metrics by default.
const METRICS: &str = "http://127.0.0.1:8081/metrics";

impl Probe {
    /// Chooses by flags; with none of them a service on loopback is asked at the usual place.
    ///
    /// # Errors
    /// A flag that names something that is not there.
    pub(crate) fn choose(pids: &[u32], metrics: Option<&str>, target: &Target) -> Result<Probe> {
        if !pids.is_empty() {
            let probe = Probe::Pids(pids.to_vec());
            let read = probe.read();
            return match read {
                Some(_) => Ok(probe),
                None => Err(Error::usage(format!("--pid: {pids:?}: there is no such process"))),
            };
        }
        let wanted = metrics.unwrap_or(METRICS);
        if metrics.is_none() && !target.is_loopback() {
            return Ok(Probe::Nothing);
        }
        let url = Target::resolve(wanted)?;
        let path = if url.path == "/v1/ws" { "/metrics".into() } else { url.path };
        let probe = Probe::Metrics { address: url.address, path };
        match (probe.read(), metrics) {
            (Some(_), _) => Ok(probe),
            (None, None) => Ok(Probe::Nothing),
            (None, Some(wanted)) => Err(Error::usage(format!(
                "--metrics: {wanted:?} does not tell process_cpu_seconds_total"
            ))),
        }
    }

    /// What the service has used; `None` when it cannot be told.
    pub(crate) fn read(&self) -> Option<Usage> {
        match self {
            Probe::Pids(pids) => {
                let mut sum = Usage::default();
                for pid in pids {
                    let usage = of_process(*pid)?;
                    sum.cpu_us += usage.cpu_us;
                    sum.rss_bytes += usage.rss_bytes;
                }
                Some(sum)
            }
            Probe::Metrics { address, path } => {
                let (status, body) = http::get_plain(*address, path).ok()?;
                let text = (status == 200).then(|| String::from_utf8_lossy(&body).into_owned())?;
                Some(Usage {
                    cpu_us: sample(&text, "process_cpu_seconds_total")? * 1e6,
                    rss_bytes: sample(&text, "process_resident_memory_bytes")?,
                })
            }
            Probe::Nothing => None,
        }
    }
}

fn of_process(pid: u32) -> Option<Usage> {
    let (ticks, page) = own::units();
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    // The name in brackets may contain anything; proc(5) counts utime and stime as 14 and 15.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let used = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    let resident = statm.split_whitespace().nth(1)?.parse::<u64>().ok()?;
    Some(Usage {
        cpu_us: nanoseconds(pid).unwrap_or(used as f64 * 1e6 / ticks as f64),
        rss_bytes: (resident * page) as f64,
    })
}

/// The scheduler's own count, exact where `stat` counts in hundredths of a second. Of the threads
/// that are alive: a thread that ends takes its time along.
fn nanoseconds(pid: u32) -> Option<f64> {
    let mut sum = 0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        sum += text.split_whitespace().next()?.parse::<u64>().ok()?;
    }
    Some(sum as f64 / 1e3)
}

/// The value of a metric without labels.
fn sample(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_very_process_has_used_time_and_holds_memory() {
        let usage = Probe::Pids(vec![std::process::id()]).read().unwrap();
        assert!(usage.cpu_us > 0.0 && usage.rss_bytes > 100_000.0, "{usage:?}");
        assert_eq!(Probe::Pids(vec![u32::MAX]).read(), None);
    }

    #[test]
    fn a_metric_is_found_by_its_whole_name() {
        let text = "# HELP a b\nprocess_cpu_seconds_total_x 1\nprocess_cpu_seconds_total 2.5\n";
        assert_eq!(sample(text, "process_cpu_seconds_total"), Some(2.5));
        assert_eq!(sample(text, "process"), None);
    }
}
