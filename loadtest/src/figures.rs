//! The figures of a report that are put side by side with an earlier run's.

use crate::report::Report;
use std::fmt::Write;

/// A figure: what it is, in which unit, and its value.
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) decimals: usize,
    pub(crate) value: Option<f64>,
}

/// All figures of a report, always in the same order.
pub(crate) fn of(report: &Report) -> Vec<Figure> {
    let ms = |us: Option<u64>| us.map(|us| us as f64 / 1e3);
    let mib = |bytes: Option<f64>| bytes.map(|bytes| bytes / f64::from(1 << 20));
    let (age, server, seen) = (&report.age_us, &report.server, &report.correctness);
    let closed: u64 = seen.closed.values().sum();
    let count = |count: u64| Some(count as f64);
    [
        ("age p50", "ms", 3, ms(age.p50)),
        ("age p90", "ms", 3, ms(age.p90)),
        ("age p99", "ms", 3, ms(age.p99)),
        ("age p99.9", "ms", 3, ms(age.p999)),
        ("age p99.99", "ms", 3, ms(age.p9999)),
        ("age max", "ms", 3, ms(age.max)),
        ("clients' p99, the median client", "ms", 3, ms(report.clients.age_p99_us.p50)),
        ("clients' p99, the worst client", "ms", 3, ms(report.clients.age_p99_us.max)),
        ("deliveries", "/s", 0, Some(report.deliveries_per_second)),
        ("throughput", "MB/s", 2, Some(report.bytes_per_second / 1e6)),
        ("frames per read", "", 2, report.frames_per_read),
        ("connects", "/s", 0, report.connect.per_second),
        ("upgrade p99", "ms", 3, ms(report.connect.us.p99)),
        ("first snapshot p99", "ms", 3, ms(report.first_snapshot_us.p99)),
        ("all snapshots", "ms", 0, report.all_snapshots_ms),
        ("service: processor", "cores", 3, server.cpu_cores),
        ("service: per delivery", "µs", 3, server.cpu_us_per_delivery),
        ("service: per connect", "µs", 1, server.cpu_us_per_connect),
        ("service: per connection", "B", 0, server.rss_per_connection_bytes),
        ("service: resident before", "MiB", 1, mib(server.rss_before_bytes)),
        ("service: resident, all connected", "MiB", 1, mib(server.rss_connected_bytes)),
        ("service: resident after", "MiB", 1, mib(server.rss_after_bytes)),
        ("load tester: processor", "cores", 3, report.own.cpu_cores),
        ("load tester: per delivery", "µs", 3, report.own.cpu_us_per_delivery),
        ("load tester: per read", "µs", 2, report.own.cpu_us_per_read),
        ("gaps", "", 0, count(seen.gaps)),
        ("duplicates", "", 0, count(seen.duplicates)),
        ("violations", "", 0, count(seen.violations)),
        ("states compared", "", 0, count(seen.compared)),
        ("states that differ", "", 0, count(seen.mismatched)),
        ("states not compared", "", 0, count(seen.not_compared)),
        ("reconnects", "", 0, count(seen.reconnects)),
        ("closed by the service", "", 0, count(closed)),
    ]
    .into_iter()
    .map(|(name, unit, decimals, value)| Figure { name, unit, decimals, value })
    .collect()
}

/// How often the earlier value goes into the later one.
pub(crate) fn ratio(new: Option<f64>, old: Option<f64>) -> Option<f64> {
    new.zip(old).filter(|(_, old)| *old != 0.0).map(|(new, old)| new / old)
}

/// Both runs as lines of text.
pub(crate) fn beside(new: &Report, old: &Report) -> String {
    let mut out = String::new();
    let number = crate::table::number;
    // Writing to a String cannot fail.
    let _ = writeln!(out, "  {:34}{:>14}{:>14}{:>9}", "", "this run", "earlier", "ratio");
    for (new, old) in of(new).into_iter().zip(of(old)) {
        let _ = writeln!(
            out,
            "  {:34}{:>14}{:>14}{:>9}  {}",
            new.name,
            number(new.value, new.decimals),
            number(old.value, old.decimals),
            number(ratio(new.value, old.value), 2),
            new.unit
        );
    }
    out
}
