//! The estimate as it is printed.

use super::estimate::{Estimate, Hosts};
use super::wish::Wish;
use std::fmt::Write as _;

/// So many limits are told.
const LIMITS_TOLD: usize = 3;

/// As many regions are tried where leaf nodes may need less.
const REGIONS_TRIED: f64 = 2.0;

/// A number with three digits that count.
fn number(value: f64) -> String {
    match value {
        v if v >= 1e9 => format!("{:.2} G", v / 1e9),
        v if v >= 1e6 => format!("{:.2} M", v / 1e6),
        v if v >= 1e4 => format!("{:.1} k", v / 1e3),
        v if v >= 100.0 => format!("{v:.0}"),
        v if v >= 1.0 => format!("{v:.1}"),
        v => format!("{v:.2}"),
    }
}

fn bits(bytes: f64) -> String {
    let number = number(bytes * 8.0);
    let gap = if number.ends_with(|last: char| last.is_ascii_digit()) { " " } else { "" };
    format!("{number}{gap}bit/s")
}

/// All of it.
pub(super) fn text(wish: &Wish, estimate: &Estimate) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let mut line = |name: &str, value: String| {
        let _ = writeln!(out, "{name:<34} {value}");
    };
    line("updates of the venues", format!("{}/s", number(estimate.events)));
    line("updates on the bus", format!("{}/s", number(estimate.published)));
    line("deliveries to clients", format!("{}/s", number(estimate.delivered_in_all)));
    line("clients of a gateway", number(estimate.gateway_clients));
    line("streams that it follows", number(estimate.streams));
    line("messages in each send", number(estimate.in_a_send));
    line("subjects at the busiest NATS server", number(estimate.interest));
    let _ = writeln!(
        out,
        "\n{:<12} {:>6} {:>12} {:>10} {:>14} {:>14}",
        "host", "hosts", "cores each", "MB each", "receives each", "sends each"
    );
    for one in &estimate.hosts {
        out += &row(one);
    }
    out += "\n";
    for (place, limit) in estimate.limits.iter().take(LIMITS_TOLD).enumerate() {
        let rank = if place == 0 { "breaks first:" } else { "then:" };
        let _ = writeln!(out, "{rank:<14} {} ({:.0} % used)", limit.name, limit.used * 100.0);
    }
    let over = estimate.limits.iter().filter(|limit| limit.used > 1.0);
    for limit in over {
        let (name, percent) = (limit.name, limit.used * 100.0);
        let _ = writeln!(out, "NOT POSSIBLE: {name}: {percent:.0} % of what there is are needed");
    }
    for limit in estimate.limits.iter().filter(|limit| limit.used > wish.load && limit.used <= 1.0)
    {
        let share = wish.load * 100.0;
        let _ = writeln!(out, "above --load: {} is used by more than {share:.0} %", limit.name);
    }
    out + &leaves(wish, estimate)
}

/// What leaf nodes would spare where all gateways are at the publisher's servers.
fn leaves(wish: &Wish, estimate: &Estimate) -> String {
    if wish.regions > 1.0 {
        return String::new();
    }
    let other = super::estimate::estimate(&Wish { regions: REGIONS_TRIED, ..*wish });
    let ((count, cores), (others, less)) = (estimate.servers(), other.servers());
    if less >= cores {
        return String::new();
    }
    format!(
        "leaf nodes need less: --regions {REGIONS_TRIED} has {others} NATS servers that use {less:.1} cores \
         together, not {count} that use {cores:.1}\n"
    )
}

fn row(one: &Hosts) -> String {
    let memory = match one.memory.is_nan() {
        true => "–".to_owned(),
        false => number(one.memory / 1e6),
    };
    format!(
        "{:<12} {:>6} {:>12.2} {:>10} {:>14} {:>14}\n",
        one.name,
        one.count,
        one.cores,
        memory,
        bits(one.received),
        bits(one.sent)
    )
}
