//! A report for the terminal.

use crate::report::{Report, Spread};
use std::fmt::Write;

/// The report as lines of text.
pub(crate) fn write(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = lines(&mut out, report);
    out
}

fn lines(out: &mut String, r: &Report) -> std::fmt::Result {
    writeln!(
        out,
        "{} on {}: {} of {} clients, {} subscriptions, {:.1} s",
        r.scenario, r.target, r.connected, r.connections, r.subscriptions, r.seconds
    )?;
    let a = &r.age_us;
    writeln!(
        out,
        "  age         p50 {}  p90 {}  p99 {}  p99.9 {}  p99.99 {}  max {}",
        us(a.p50),
        us(a.p90),
        us(a.p99),
        us(a.p999),
        us(a.p9999),
        us(a.max)
    )?;
    let c = &r.clients;
    writeln!(
        out,
        "  clients     p99 of each: p50 {}  p90 {}  worst {}  ({} watched)",
        us(c.age_p99_us.p50),
        us(c.age_p99_us.p90),
        us(c.age_p99_us.max),
        c.watched
    )?;
    writeln!(
        out,
        "  throughput  {:.0} deliveries/s  {:.2} MB/s  {} frames per read",
        r.deliveries_per_second,
        r.bytes_per_second / 1e6,
        number(r.frames_per_read, 2)
    )?;
    writeln!(
        out,
        "  connecting  {}/s  {} failed  upgrade {}",
        number(r.connect.per_second, 0),
        r.connect.failed,
        spread(&r.connect.us)
    )?;
    writeln!(
        out,
        "  snapshots   first {}  all after {} ms",
        spread(&r.first_snapshot_us),
        number(r.all_snapshots_ms, 0)
    )?;
    service(out, r)?;
    correctness(out, r)?;
    for judgement in &r.thresholds {
        let value = number(judgement.value, 3);
        let word = if judgement.ok { "ok  " } else { "FAIL" };
        writeln!(out, "  {word}        {} = {value} (limit {})", judgement.name, judgement.limit)?;
    }
    Ok(())
}

fn service(out: &mut String, r: &Report) -> std::fmt::Result {
    for cut in &r.herd {
        writeln!(
            out,
            "  herd        at {:.0} s {}: connected after {} ms, current after {} ms, {} snapshots",
            cut.second,
            if cut.since { "with since" } else { "with nothing" },
            number(cut.connected_ms, 0),
            number(cut.current_ms, 0),
            cut.snapshots
        )?;
    }
    if r.returns.count + r.returns.failed > 0 {
        let (count, failed) = (r.returns.count, r.returns.failed);
        writeln!(
            out,
            "  returns     {count} came back, {failed} attempts failed, without service {}",
            spread(&r.returns.us)
        )?;
    }
    let s = &r.server;
    let mib = |bytes: Option<f64>| number(bytes.map(|bytes| bytes / (1 << 20) as f64), 1);
    writeln!(
        out,
        "  service     {} cores  {} µs per delivery  {} µs per connect  {} B per connection",
        number(s.cpu_cores, 2),
        number(s.cpu_us_per_delivery, 3),
        number(s.cpu_us_per_connect, 1),
        number(s.rss_per_connection_bytes, 0)
    )?;
    writeln!(
        out,
        "              resident {} MiB before, {} connected, {} after ({})",
        mib(s.rss_before_bytes),
        mib(s.rss_connected_bytes),
        mib(s.rss_after_bytes),
        s.source.as_deref().unwrap_or("not measured")
    )?;
    writeln!(
        out,
        "  loadtest    {} cores  {} µs per delivery  {} µs per read",
        number(r.own.cpu_cores, 2),
        number(r.own.cpu_us_per_delivery, 3),
        number(r.own.cpu_us_per_read, 2)
    )
}

fn correctness(out: &mut String, r: &Report) -> std::fmt::Result {
    let c = &r.correctness;
    writeln!(
        out,
        "  rule        {} gaps  {} duplicates  {} violations  ({} overlaps, {} asked again, \
         {} reconnects)",
        c.gaps, c.duplicates, c.violations, c.overlaps, c.asked_again, c.reconnects
    )?;
    writeln!(
        out,
        "  states      {} compared  {} differ  {} could not be compared",
        c.compared, c.mismatched, c.not_compared
    )?;
    for (what, counts) in
        [("closed", &c.closed), ("slow closed", &c.slow_closed), ("refused", &c.refused)]
    {
        if !counts.is_empty() {
            writeln!(out, "  {what:11} {counts:?}")?;
        }
    }
    for (kind, count) in &c.broken {
        writeln!(out, "  broken      {kind}: {count}")?;
    }
    for example in &c.examples {
        writeln!(out, "              {example}")?;
    }
    Ok(())
}

/// Microseconds with a unit that a person reads easily.
pub(crate) fn us(value: Option<u64>) -> String {
    match value {
        None => "-".into(),
        Some(value @ 0..1_000) => format!("{value} µs"),
        Some(value @ 1_000..10_000_000) => format!("{:.2} ms", value as f64 / 1e3),
        Some(value) => format!("{:.1} s", value as f64 / 1e6),
    }
}

fn spread(spread: &Spread) -> String {
    format!("p50 {}  p99 {}  max {}", us(spread.p50), us(spread.p99), us(spread.max))
}

/// A number with so many decimals, or a dash.
pub(crate) fn number(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(|| "-".into(), |value| format!("{value:.decimals$}"))
}
