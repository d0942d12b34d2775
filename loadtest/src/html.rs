//! A report as one HTML file that asks for nothing else: figures and plots, light and dark.

use crate::figures;
use crate::plot::{Line, Plot, escape};
use crate::report::{Report, Row};
use crate::table::number;
use std::fmt::Write;

const STYLE: &str = include_str!("report.css");

/// The page; an earlier run is shown beside, its lines dashed.
pub(crate) fn write(report: &Report, earlier: Option<&Report>) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = page(&mut out, report, earlier);
    out
}

fn page(out: &mut String, r: &Report, earlier: Option<&Report>) -> std::fmt::Result {
    let verdict = if r.is_ok() { "held" } else { "did not hold" };
    let kind = if r.is_ok() { "ok" } else { "bad" };
    writeln!(
        out,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>loadtest: {0}</title><style>{STYLE}</style></head><body>\
         <h1>{0} <small>on {1}</small></h1>\
         <p>{2} of {3} clients, {4} subscriptions, {5:.1} s measured from Unix second {6}; age since \
         <code>ts_{7}</code>. <b class=\"{kind}\">Thresholds {verdict}.</b></p>",
        escape(&r.scenario),
        escape(&r.target),
        r.connected,
        r.connections,
        r.subscriptions,
        r.seconds,
        r.started,
        escape(&r.age_from),
    )?;
    let mut plots = String::new();
    self::plots(&mut plots, r, earlier);
    write!(out, "<main>{plots}</main>")?;
    table(out, r, earlier)?;
    rest(out, r)?;
    out.push_str("</body></html>\n");
    Ok(())
}

fn plots(out: &mut String, r: &Report, earlier: Option<&Report>) {
    let us_to_ms = |us: Option<u64>| us.map(|us| us as f64 / 1e3);
    let p50 = |row: &Row| us_to_ms(row.age_p50_us);
    let p99 = |row: &Row| us_to_ms(row.age_p99_us);
    let rate = |row: &Row| Some(row.deliveries as f64);
    let cores = |row: &Row| row.server_cpu_cores;
    let rss = |row: &Row| row.server_rss_bytes.map(|bytes| bytes / f64::from(1 << 20));
    let connected = |row: &Row| Some(row.connected as f64);
    type Of<'a> = (&'a str, &'static str, &'static str, &'a dyn Fn(&Row) -> Option<f64>);
    let over_time = |out: &mut String, title: &str, unit: &str, is_log: bool, of: &[Of<'_>]| {
        let mut lines = Vec::new();
        for (name, class, dashed, value) in of {
            lines.push(series(name, class, r, *value));
            if let Some(earlier) = earlier {
                lines.push(series(&format!("{name}, earlier"), dashed, earlier, *value));
            }
        }
        Plot { title, unit, across: "second", is_log, places: &[], lines }.write(out);
    };
    let ages: [Of<'_>; 2] = [("p50", "a", "a old", &p50), ("p99", "b", "b old", &p99)];
    over_time(out, "Age of deliveries over time", "ms", true, &ages);
    quantiles(out, r, earlier);
    by_client(out, r, earlier);
    over_time(out, "Deliveries per second", "/s", false, &[("deliveries", "a", "a old", &rate)]);
    over_time(out, "The service's processor", "cores", false, &[("cores", "a", "a old", &cores)]);
    over_time(out, "The service's memory", "MiB", false, &[("resident", "a", "a old", &rss)]);
    over_time(out, "Connected clients", "", false, &[("connected", "a", "a old", &connected)]);
}

fn series(
    name: &str,
    class: &'static str,
    report: &Report,
    value: impl Fn(&Row) -> Option<f64>,
) -> Line {
    let points =
        report.series.iter().filter_map(|row| Some((row.second as f64 + 1.0, value(row)?)));
    Line { name: name.to_owned(), class, points: points.collect() }
}

fn quantiles(out: &mut String, r: &Report, earlier: Option<&Report>) {
    let line = |report: &Report, name: &str, class| {
        let age = &report.age_us;
        let values = [age.p50, age.p90, age.p99, age.p999, age.p9999, age.max];
        let points = values.into_iter().enumerate();
        let points = points.filter_map(|(at, us)| Some((at as f64, us? as f64 / 1e3))).collect();
        Line { name: name.into(), class, points }
    };
    let mut lines = vec![line(r, "this run", "a")];
    lines.extend(earlier.map(|earlier| line(earlier, "earlier", "a old")));
    let places = &["p50", "p90", "p99", "p99.9", "p99.99", "max"];
    let title = "Age by percentile";
    Plot { title, unit: "ms", across: "", is_log: true, places, lines }.write(out);
}

fn by_client(out: &mut String, r: &Report, earlier: Option<&Report>) {
    let line = |report: &Report, name: &str, class| {
        let values = &report.clients.p99_us;
        let count = values.len().max(2) - 1;
        let points = values.iter().enumerate();
        let points =
            points.map(|(at, us)| (at as f64 * 100.0 / count as f64, *us as f64 / 1e3)).collect();
        Line { name: name.into(), class, points }
    };
    let mut lines = vec![line(r, "p99 of each watched client, in order", "b")];
    lines.extend(earlier.map(|earlier| line(earlier, "earlier", "b old")));
    let (title, across) = ("Percentiles by client", "% of clients");
    Plot { title, unit: "ms", across, is_log: false, places: &[], lines }.write(out);
}

fn table(out: &mut String, r: &Report, earlier: Option<&Report>) -> std::fmt::Result {
    let head = if earlier.is_some() { "<th>earlier<th>ratio" } else { "" };
    write!(out, "<h2>Figures</h2><table><tr><th>figure<th>this run{head}<th>unit</tr>")?;
    let old = earlier.map(figures::of);
    for (at, figure) in figures::of(r).into_iter().enumerate() {
        let decimals = figure.decimals;
        write!(out, "<tr><td>{}<td>{}", figure.name, number(figure.value, decimals))?;
        if let Some(old) = old.as_ref().and_then(|old| old.get(at)) {
            let ratio = figures::ratio(figure.value, old.value);
            write!(out, "<td>{}<td>{}", number(old.value, decimals), number(ratio, 2))?;
        }
        writeln!(out, "<td>{}</tr>", figure.unit)?;
    }
    out.push_str("</table>");
    Ok(())
}

fn rest(out: &mut String, r: &Report) -> std::fmt::Result {
    if !r.thresholds.is_empty() {
        out.push_str("<h2>Thresholds</h2><table><tr><th>name<th>value<th>limit<th></tr>");
        for judged in &r.thresholds {
            let (class, word) = if judged.ok { ("ok", "holds") } else { ("bad", "does not hold") };
            writeln!(
                out,
                "<tr><td>{}<td>{}<td>{}<td class=\"{class}\">{word}</tr>",
                escape(&judged.name),
                number(judged.value, 3),
                judged.limit
            )?;
        }
        out.push_str("</table>");
    }
    for cut in &r.herd {
        write!(
            out,
            "<p>Herd at {:.0} s, {}: all connected after {} ms, all current after {} ms, {} \
             snapshots.</p>",
            cut.second,
            if cut.since { "with <code>since</code>" } else { "with nothing" },
            number(cut.connected_ms, 0),
            number(cut.current_ms, 0),
            cut.snapshots
        )?;
    }
    let seen = &r.correctness;
    for (what, counts) in [
        ("Closed by the service", &seen.closed),
        ("Slow clients closed", &seen.slow_closed),
        ("Refused", &seen.refused),
    ] {
        if !counts.is_empty() {
            write!(out, "<p>{what}: <code>{}</code></p>", escape(&format!("{counts:?}")))?;
        }
    }
    if !seen.examples.is_empty() {
        out.push_str("<h2>First faults in words</h2><ul>");
        for example in &seen.examples {
            writeln!(out, "<li><code>{}</code></li>", escape(example))?;
        }
        out.push_str("</ul>");
    }
    Ok(())
}
