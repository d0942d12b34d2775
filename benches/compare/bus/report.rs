//! What the trials have shown, as text.

use super::Seen;
use super::model::{Fitted, PARTS, TIMED, WAKES_MAX};
use super::plan::Purpose;
use super::trial::{Layout, Observation};
use crate::figures::{Spread, median};
use crate::goals::{self, Goal, Side};
use crate::table::{Table, number, spread};

/// A figure of an observation.
type Figure = fn(&Observation) -> f64;

/// One line while it runs.
pub(super) fn line(one: &Observation) -> String {
    format!(
        "{}: p50 {:.2} ms, p99 {:.2} ms, {} deliveries/s, CPU: publisher {:.3}, NATS {:.3}, gateways {:.3} (shards \
         {:.3}), load {:.3}; wrong {}",
        words(one),
        one.load.p50_ms,
        one.load.p99_ms,
        number(one.load.per_second),
        one.publisher.as_ref().map_or(0.0, |publisher| publisher.cores),
        one.nats_cores,
        one.sum(|gateway| gateway.cores),
        one.sum(|gateway| gateway.shard_cores),
        one.load.cores,
        one.load.wrong,
    )
}

/// A trial in words.
fn words(one: &Observation) -> String {
    let trial = &one.trial;
    let layout = match trial.layout {
        Layout::Alone => "all in one".to_owned(),
        Layout::Bus { gateways } => format!("bus, {gateways} gateways"),
    };
    format!(
        "{layout}, {} instruments, {} updates/s, {} clients × {}",
        trial.instruments, trial.rate, trial.clients, trial.symbols
    )
}

/// The whole part of the report.
pub(super) fn text(seen: &[Seen]) -> String {
    let pair: Vec<&[Observation]> = of(seen, Purpose::Pair);
    let publisher = of(seen, Purpose::Publisher);
    let mut text = goals::table(&goals(&pair, &publisher));
    text += &format!("\n### All in one, one gateway and four gateways\n\n{}", pairs(&pair));
    text += &format!("\n### The publisher while clients come\n\n{}", publishers(&publisher));
    text += &format!("\n### What was observed\n\n{}", observed(seen));
    text += &format!("\n### The model\n\n{}", model(seen));
    let wrong: f64 = seen.iter().flat_map(|(_, all)| all).map(|one| one.load.wrong).sum();
    text +=
        &format!("\nGaps, breaches of the protocol, lost connections, over all trials: {wrong}\n");
    text
}

fn of(seen: &[Seen], purpose: Purpose) -> Vec<&[Observation]> {
    seen.iter().filter(|(other, _)| *other == purpose).map(|(_, all)| all.as_slice()).collect()
}

/// The median of the rounds' own ratios and what they were between.
fn ratio(above: &[Observation], below: &[Observation], figure: Figure) -> Option<Spread> {
    let ratios = above.iter().zip(below).map(|(a, b)| figure(a) / figure(b));
    Spread::of(&ratios.collect::<Vec<f64>>())
}

fn spread_of(all: &[Observation], figure: Figure) -> Option<Spread> {
    Spread::of(&all.iter().map(figure).collect::<Vec<f64>>())
}

fn goals(pair: &[&[Observation]], publisher: &[&[Observation]]) -> Vec<Goal> {
    let at_most = |measure: &str, limit, value: Option<Spread>| Goal {
        measure: measure.to_owned(),
        side: Side::AtMost,
        limit,
        value: value.map(|spread| spread.median),
    };
    let ([alone, one, four], [few, .., many]) = (pair, publisher) else { return Vec::new() };
    let per_update: Figure = |one| one.publisher_us().unwrap_or(f64::NAN);
    vec![
        at_most(
            "one gateway's sending threads ÷ all in one's, CPU per delivered message",
            1.10,
            ratio(one, alone, Observation::shard_us),
        ),
        at_most(
            "four gateways' sending threads ÷ all in one's, CPU per delivered message",
            1.10,
            ratio(four, alone, Observation::shard_us),
        ),
        at_most(
            "the publisher's CPU per update, 4,000 clients on the gateways ÷ 100",
            1.10,
            ratio(many, few, per_update),
        ),
    ]
}

fn pairs(pair: &[&[Observation]]) -> String {
    let [alone, one, four] = pair else { return String::new() };
    let figures: [(&str, Figure); 8] = [
        ("p50 ms, `ts_publish` to client", |one| one.load.p50_ms),
        ("p99 ms", |one| one.load.p99_ms),
        ("p50 ms, publisher to gateway", |one| one.bus_ms.map_or(f64::NAN, |(p50, _)| p50)),
        ("p99 ms, publisher to gateway", |one| one.bus_ms.map_or(f64::NAN, |(_, p99)| p99)),
        ("CPU µs per delivery, sending threads", Observation::shard_us),
        ("CPU µs per delivery, whole processes", Observation::gateway_us),
        ("deliveries/s", |one| one.load.per_second),
        ("messages in each send", |one| one.sum(|g| g.delivered) / one.sum(|g| g.sends)),
    ];
    let mut table =
        Table::new(&["", "all in one", "one gateway", "÷", "−", "four gateways", "÷", "−"]);
    for (name, figure) in figures {
        let known = |spread: Option<Spread>| spread.filter(|spread| spread.median.is_finite());
        let beside = |bus: &[Observation]| {
            let pairs = bus.iter().zip(alone.iter());
            let differences: Vec<f64> =
                pairs.map(|(bus, alone)| figure(bus) - figure(alone)).collect();
            [
                spread(known(spread_of(bus, figure))),
                known(ratio(bus, alone, figure)).map_or("–".into(), |ratio| spread(Some(ratio))),
                median(&differences).filter(|d| d.is_finite()).map_or("–".into(), number),
            ]
        };
        let first = [name.to_owned(), spread(known(spread_of(alone, figure)))];
        table.row([&first[..], &beside(one), &beside(four)].concat());
    }
    table.text()
}

fn publishers(all: &[&[Observation]]) -> String {
    let mut table = Table::new(&[
        "clients",
        "updates on the bus/s",
        "publisher's CPU µs per update",
        "÷ first",
        "deliveries/s",
    ]);
    let per_update: Figure = |one| one.publisher_us().unwrap_or(f64::NAN);
    for one in all {
        let clients = one.first().map_or(0, |one| one.trial.clients);
        table.row(vec![
            clients.to_string(),
            spread(spread_of(one, |one| one.publisher.as_ref().map_or(0.0, |p| p.published))),
            spread(spread_of(one, per_update)),
            spread(ratio(one, all[0], per_update)),
            spread(spread_of(one, |one| one.load.per_second)),
        ]);
    }
    table.text()
}

/// Every trial's first round: what the model is fitted to.
fn observed(seen: &[Seen]) -> String {
    let mut table = Table::new(&[
        "trial",
        "events/s",
        "published/s",
        "received/s",
        "deliveries/s",
        "in a send",
        "bytes each",
        "publisher",
        "NATS",
        "gateways",
        "load",
        "publisher MB",
        "a gateway MB",
        "bytes on the bus each",
    ]);
    for one in seen.iter().filter_map(|(_, all)| all.first()) {
        let publisher = one.publisher.clone().unwrap_or_default();
        let delivered = one.sum(|g| g.delivered);
        let many = one.gateways.len() as f64;
        table.row(vec![
            words(one),
            number(publisher.events),
            number(publisher.published),
            number(one.sum(|g| g.received)),
            number(delivered),
            number(delivered / one.sum(|g| g.sends).max(1.0)),
            number(one.sum(|g| g.delivered_bytes) / delivered.max(1.0)),
            number(publisher.cores),
            number(one.nats_cores),
            number(one.sum(|g| g.cores)),
            number(one.load.cores),
            number(publisher.rss_bytes / 1e6),
            number(one.sum(|g| g.rss_bytes) / many / 1e6),
            number(publisher.published_bytes / publisher.published.max(1.0)),
        ]);
    }
    table.text()
}

fn model(seen: &[Seen]) -> String {
    let but = |left_out: &[Purpose]| -> Vec<&Observation> {
        let kept = seen.iter().filter(|(purpose, _)| !left_out.contains(purpose));
        kept.flat_map(|(_, all)| all).collect()
    };
    // A second, while thousands connect, says nothing of processor time.
    let (timed, all) = (but(&[Purpose::Check, Purpose::Memory]), but(&[Purpose::Check]));
    let fitted: Vec<Fitted<'_>> = (PARTS.iter().enumerate())
        .map(|(at, part)| Fitted::to(part, if at < TIMED { &timed } else { &all }))
        .collect();
    let mut coefficients = Table::new(&["coefficient", "value", "unit"]);
    coefficients.row(vec!["wakes_max".into(), format!("{WAKES_MAX:.4}"), "/s".into()]);
    for (name, value, unit) in fitted.iter().flat_map(Fitted::coefficients) {
        coefficients.row(vec![name.into(), format!("{value:.4}"), unit.into()]);
    }
    let mut checks = Table::new(&["not used for the fit", "what", "said", "measured", "÷"]);
    for one in of(seen, Purpose::Check).into_iter().flatten() {
        for fitted in &fitted[..TIMED] {
            for (said, measured) in fitted.check(one) {
                let cells = [number(said), number(measured), number(said / measured)];
                checks.row([vec![words(one), fitted.part.name.into()], cells.to_vec()].concat());
            }
        }
    }
    format!("{}\n{}", coefficients.text(), checks.text())
}
