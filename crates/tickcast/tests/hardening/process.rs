//! What the kernel knows of a process: memory, descriptors, threads, processor time.

use std::fs;

/// Clock ticks a second in `/proc/PID/stat`: 100 on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// One look at a process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    pub(crate) resident_bytes: u64,
    pub(crate) descriptors: usize,
    pub(crate) threads: usize,
    pub(crate) cpu_seconds: f64,
}

/// Looks at a process.
pub(crate) fn usage(pid: u32) -> Usage {
    let count = |what: &str| {
        fs::read_dir(format!("/proc/{pid}/{what}")).expect("the process lives").count()
    };
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process lives");
    let kilobytes = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
        .expect("the kernel says how much memory is resident");
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process lives");
    let after_name = stat.rsplit(')').next().expect("a name in parentheses");
    let ticks: f64 = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|ticks| ticks.parse::<f64>().expect("a number"))
        .sum();
    Usage {
        resident_bytes: kilobytes << 10,
        descriptors: count("fd"),
        threads: count("task"),
        cpu_seconds: ticks / TICKS_PER_SECOND,
    }
}

/// How many bytes the kernel holds for sending on the connections of a port of 127.0.0.1; other
/// loopback addresses are other tests'.
pub(crate) fn kernel_send_bytes(port: u16) -> Vec<u64> {
    let table = fs::read_to_string("/proc/self/net/tcp").expect("the kernel shows its sockets");
    let local = format!("0100007F:{port:04X}");
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let is_established = fields.get(3) == Some(&"01");
            let is_ours = *fields.get(1)? == local && is_established;
            let waiting = fields.get(4)?.split(':').next()?;
            is_ours.then(|| u64::from_str_radix(waiting, 16).expect("a hexadecimal number"))
        })
        .collect()
}
