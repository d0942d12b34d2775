//! What a process has used: processor time by kind of thread, memory.

use crate::failure::{Failure, Result, while_doing};
use std::collections::BTreeMap;
use std::fs;

/// So far.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Usage {
    /// Nanoseconds on a core by what threads are called, without their number.
    threads: BTreeMap<String, f64>,
    pub(super) rss_bytes: f64,
}

impl Usage {
    /// Of a process; the scheduler counts in nanoseconds (`schedstat`).
    ///
    /// # Errors
    /// There is no such process.
    pub(super) fn of(pid: u32) -> Result<Usage> {
        let folder = format!("/proc/{pid}/task");
        let mut usage = Usage::default();
        for task in fs::read_dir(&folder).map_err(while_doing(&folder))? {
            let task = task.map_err(while_doing(&folder))?.path();
            // A thread that has just ended has no files any more.
            let Ok(name) = fs::read_to_string(task.join("comm")) else { continue };
            let Ok(times) = fs::read_to_string(task.join("schedstat")) else { continue };
            let ran = times.split(' ').next().and_then(|ran| ran.parse::<f64>().ok());
            let ran = ran.ok_or_else(|| Failure(format!("{folder}: schedstat says {times:?}")))?;
            *usage.threads.entry(kind(&name).to_owned()).or_default() += ran;
        }
        let status = fs::read_to_string(format!("/proc/{pid}/status"));
        let status = status.map_err(while_doing(&folder))?;
        usage.rss_bytes = resident(&status).unwrap_or_default();
        Ok(usage)
    }

    /// Cores of threads whose kind is chosen, from then till now.
    pub(super) fn cores(&self, then: &Usage, seconds: f64, is_it: impl Fn(&str) -> bool) -> f64 {
        let of = |usage: &Usage| -> f64 {
            usage.threads.iter().filter(|(name, _)| is_it(name)).map(|(_, ran)| ran).sum()
        };
        (of(self) - of(then)) / 1e9 / seconds
    }
}

/// `shard` of `shard-3`.
fn kind(name: &str) -> &str {
    name.trim_end().trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('-')
}

fn resident(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().trim_end_matches("kB").trim().parse::<f64>().ok()? * 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_of_a_kind_are_added_up() {
        assert_eq!(
            (kind("shard-12\n"), kind("replicas\n"), kind("sim")),
            ("shard", "replicas", "sim")
        );
        assert_eq!(resident("Name:\tx\nVmRSS:\t  2048 kB\n"), Some(2048.0 * 1024.0));
        let of = |shard, sim| Usage {
            threads: [("shard".to_owned(), shard), ("sim".to_owned(), sim)].into(),
            rss_bytes: 0.0,
        };
        let (then, now) = (of(1e9, 0.0), of(3e9, 5e8));
        assert_eq!(now.cores(&then, 2.0, |name| name == "shard"), 1.0);
        assert_eq!(now.cores(&then, 2.0, |_| true), 1.25);
    }

    #[test]
    fn this_process_has_threads_and_memory() {
        let usage = Usage::of(std::process::id()).unwrap();
        assert!(usage.threads.values().sum::<f64>() > 0.0 && usage.rss_bytes > 1e5);
        assert!(Usage::of(u32::MAX).unwrap_err().to_string().contains("/proc/4294967295"));
    }
}
