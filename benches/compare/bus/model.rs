//! The cost model: what each kind of process spends, as a sum of what it does, and the fit to what
//! was observed.

use super::cluster::NATS_SERVERS;
use super::fit::{Row, fit};
use super::trial::{Layout, Observation};

/// A term of the model: its name in the table of coefficients, its unit, what one unit is in cores
/// or bytes.
pub(super) type Term = (&'static str, &'static str, f64);

/// Wakes a second that a thread comes near to under any load: what comes while it works waits, and is
/// taken with the next.
pub(super) const WAKES_MAX: f64 = 1_000.0;

/// How often somebody wakes up to whom so many messages a second come.
fn wakes(rate: f64) -> f64 {
    rate / (1.0 + rate / WAKES_MAX)
}

const PUBLISHER: [Term; 4] = [
    ("publisher_idle", "cores", 1.0),
    ("publisher_wake", "µs", 1e-6),
    ("publisher_event", "µs", 1e-6),
    ("publisher_published", "µs", 1e-6),
];
const GATEWAY: [Term; 5] = [
    ("gateway_idle", "cores", 1.0),
    ("gateway_wake", "µs", 1e-6),
    ("gateway_received", "µs", 1e-6),
    ("gateway_send", "µs", 1e-6),
    ("gateway_delivery", "µs", 1e-6),
];
const NATS: [Term; 3] =
    [("nats_idle", "cores", 1.0), ("nats_wake", "µs", 1e-6), ("nats_message", "µs", 1e-6)];
const MEMORY: [Term; 4] = [
    ("gateway_memory", "MB", 1e6),
    ("connection_memory", "bytes", 1.0),
    ("subscription_memory", "bytes", 1.0),
    ("instrument_memory", "bytes", 1.0),
];
const PUBLISHER_MEMORY: [Term; 2] =
    [("publisher_memory", "MB", 1e6), ("publisher_instrument_memory", "bytes", 1.0)];

/// A kind of process with its terms and how much of each an observation has.
pub(super) struct Part {
    pub(super) name: &'static str,
    terms: &'static [Term],
    rows: fn(&Observation) -> Vec<Row>,
}

/// What the model is about, processor time first.
pub(super) const PARTS: [Part; 5] = [
    Part { name: "publisher, cores", terms: &PUBLISHER, rows: publisher },
    Part { name: "a gateway, cores", terms: &GATEWAY, rows: gateways },
    Part { name: "NATS servers together, cores", terms: &NATS, rows: nats },
    Part { name: "a gateway, MB", terms: &MEMORY, rows: memory },
    Part { name: "publisher, MB", terms: &PUBLISHER_MEMORY, rows: publisher_memory },
];

/// The parts that are processor time, which is what observations outside the fit are checked by.
pub(super) const TIMED: usize = 3;

fn publisher(seen: &Observation) -> Vec<Row> {
    let row = |one: &super::trial::Publisher| {
        (vec![1.0, wakes(one.events), one.events, one.published], one.cores)
    };
    seen.publisher.iter().map(row).collect()
}

fn gateways(seen: &Observation) -> Vec<Row> {
    if seen.trial.layout == Layout::Alone {
        return Vec::new();
    }
    // The mean gateway: what one is dealt by chance says nothing.
    let many = seen.gateways.len() as f64;
    let mean = |pick: fn(&super::trial::Gateway) -> f64| seen.sum(pick) / many;
    let received = mean(|one| one.received);
    let (sends, delivered) = (mean(|one| one.sends), mean(|one| one.delivered));
    let causes = vec![1.0, wakes(received), received, sends, delivered];
    vec![(causes, mean(|one| one.cores))]
}

fn nats(seen: &Observation) -> Vec<Row> {
    let Some(publisher) = &seen.publisher else { return Vec::new() };
    // The publisher's server hands each message to every other server that has a gateway.
    let others = seen.gateways.len().min(NATS_SERVERS - 1) as f64;
    let routed = publisher.published * others;
    // Each server that takes the updates, and the connection of each gateway, wakes somebody.
    let woken = wakes(publisher.published) * (1.0 + others) + seen.sum(|one| wakes(one.received));
    // Taken and handed on, by each server that has to do with it.
    let messages = publisher.published + 2.0 * routed + seen.sum(|one| one.received);
    let causes = vec![NATS_SERVERS as f64, woken, messages];
    vec![(causes, seen.nats_cores)]
}

fn memory(seen: &Observation) -> Vec<Row> {
    if seen.trial.layout == Layout::Alone {
        return Vec::new();
    }
    let row = |one: &super::trial::Gateway| {
        let subscriptions = one.connections * f64::from(seen.trial.symbols);
        (
            vec![1.0, one.connections, subscriptions, f64::from(seen.trial.instruments)],
            one.rss_bytes,
        )
    };
    seen.gateways.iter().map(row).collect()
}

fn publisher_memory(seen: &Observation) -> Vec<Row> {
    let row = |one: &super::trial::Publisher| {
        (vec![1.0, f64::from(seen.trial.instruments)], one.rss_bytes)
    };
    seen.publisher.iter().map(row).collect()
}

/// A part with its coefficients in cores and bytes.
pub(super) struct Fitted<'a> {
    pub(super) part: &'a Part,
    pub(super) found: Vec<f64>,
}

impl Fitted<'_> {
    /// Fits a part.
    pub(super) fn to<'a>(part: &'a Part, seen: &[&Observation]) -> Fitted<'a> {
        let rows: Vec<_> = seen.iter().flat_map(|one| (part.rows)(one)).collect();
        Fitted { part, found: fit(&rows) }
    }

    /// What the model says of an observation beside what was measured.
    pub(super) fn check(&self, seen: &Observation) -> Vec<(f64, f64)> {
        let said = |causes: &[f64]| -> f64 {
            causes.iter().zip(&self.found).map(|(cause, cost)| cause * cost).sum()
        };
        (self.part.rows)(seen).into_iter().map(|(causes, value)| (said(&causes), value)).collect()
    }

    /// Name, value and unit of each coefficient.
    pub(super) fn coefficients(&self) -> impl Iterator<Item = (&'static str, f64, &'static str)> {
        self.part
            .terms
            .iter()
            .zip(&self.found)
            .map(|((name, unit, size), found)| (*name, found / size, *unit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::trial::{Gateway, Publisher, Trial};

    /// An observation as the costs would make it.
    fn seen(gateways: usize, published: f64, clients: f64, together: f64) -> Observation {
        let trial = Trial {
            layout: Layout::Bus { gateways },
            instruments: 100,
            rate: 100,
            clients: clients as u32,
            symbols: 2,
            seconds: 1,
        };
        let delivered = published * clients;
        let sends = delivered / together;
        let one = Gateway {
            cores: 0.01
                + 4e-5 * wakes(published)
                + 5e-6 * published
                + 3e-6 * sends
                + 1e-7 * delivered,
            received: published,
            delivered,
            sends,
            ..Gateway::default()
        };
        Observation {
            trial,
            publisher: Some(Publisher {
                cores: 0.02 + 1e-6 * published * 3.0 + 2e-5 * published,
                events: published * 3.0,
                published,
                ..Publisher::default()
            }),
            nats_cores: 0.0,
            gateways: vec![one; gateways],
            bus_ms: None,
            load: Default::default(),
        }
    }

    #[test]
    fn costs_that_were_put_in_are_found_and_foretold() {
        let all = [
            seen(1, 100.0, 10.0, 1.0),
            seen(2, 500.0, 40.0, 2.0),
            seen(4, 50.0, 100.0, 1.5),
            seen(4, 900.0, 3.0, 4.0),
            seen(1, 5_000.0, 2.0, 1.1),
        ];
        let all: Vec<&Observation> = all.iter().collect();
        let fitted = Fitted::to(&PARTS[1], &all);
        let found: Vec<f64> = fitted.coefficients().map(|(_, value, _)| value).collect();
        for (found, expect) in found.iter().zip([0.01, 40.0, 5.0, 3.0, 0.1]) {
            assert!((found / expect - 1.0).abs() < 1e-3, "{found} is not {expect}");
        }
        let (said, measured) = fitted.check(&seen(3, 300.0, 50.0, 3.0))[0];
        assert!((said / measured - 1.0).abs() < 1e-3);
    }
}
