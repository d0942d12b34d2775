//! One trial: a layout of the service under a load, and what everybody spent on it.

use super::cluster::{Nats, Service, until};
use super::load::{self, Load};
use super::usage::Usage;
use crate::failure::Result;
use crate::metrics;
use std::path::Path;
use std::time::{Duration, Instant};

/// How the service is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// One process does it all.
    Alone,
    /// A publisher, the NATS servers, so many gateways.
    Bus { gateways: usize },
}

/// A layout, a market and its clients.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Trial {
    pub(super) layout: Layout,
    pub(super) instruments: u32,
    /// Ticker updates a second over all instruments.
    pub(super) rate: u32,
    pub(super) clients: u32,
    /// Of each client, by Zipf's law.
    pub(super) symbols: u32,
    /// Measured seconds.
    pub(super) seconds: u32,
}

/// Per second, unless it says otherwise.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Publisher {
    pub(super) cores: f64,
    pub(super) events: f64,
    pub(super) published: f64,
    pub(super) published_bytes: f64,
    pub(super) rss_bytes: f64,
}

/// Per second, unless it says otherwise; all in one has a market's work in it too.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Gateway {
    pub(super) cores: f64,
    pub(super) shard_cores: f64,
    pub(super) received: f64,
    pub(super) delivered: f64,
    pub(super) delivered_bytes: f64,
    pub(super) sends: f64,
    /// Now.
    pub(super) connections: f64,
    pub(super) rss_bytes: f64,
}

/// What a trial has shown.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Observation {
    pub(super) trial: Trial,
    pub(super) publisher: Option<Publisher>,
    pub(super) nats_cores: f64,
    pub(super) gateways: Vec<Gateway>,
    /// From the publisher's encoding to a gateway's holding it: median, 99th percentile.
    pub(super) bus_ms: Option<(f64, f64)>,
    pub(super) load: Load,
}

impl Observation {
    /// Over all gateways.
    pub(super) fn sum(&self, pick: impl Fn(&Gateway) -> f64) -> f64 {
        self.gateways.iter().map(pick).sum()
    }

    /// Processor time of the threads that send, in microseconds for each delivered message.
    pub(super) fn shard_us(&self) -> f64 {
        self.sum(|one| one.shard_cores) * 1e6 / self.sum(|one| one.delivered)
    }

    /// The same of whole processes that clients connect to.
    pub(super) fn gateway_us(&self) -> f64 {
        self.sum(|one| one.cores) * 1e6 / self.sum(|one| one.delivered)
    }

    /// Of the publisher's process for each update that it put on the bus.
    pub(super) fn publisher_us(&self) -> Option<f64> {
        self.publisher.as_ref().map(|one| one.cores * 1e6 / one.published)
    }
}

/// A look at everybody.
struct Look {
    at: Instant,
    publisher: Option<(Usage, String)>,
    nats: Vec<Usage>,
    gateways: Vec<(Usage, String)>,
}

impl Look {
    fn take(service: &Service, nats: &Nats) -> Result<Look> {
        let both = |pid, admin| -> Result<(Usage, String)> {
            Ok((Usage::of(pid)?, metrics::fetch(admin).unwrap_or_default()))
        };
        let gateways = service.gateways.iter();
        Ok(Look {
            at: Instant::now(),
            publisher: match &service.publisher {
                Some(one) => Some(both(one.pid(), one.addresses[0])?),
                None => None,
            },
            nats: nats.pids().map(Usage::of).collect::<Result<_>>()?,
            gateways: gateways
                .map(|(one, _)| both(one.pid(), one.addresses[1]))
                .collect::<Result<_>>()?,
        })
    }
}

/// Starts the layout, lets the load on it, and looks at both ends of the measured time.
///
/// # Errors
/// A process cannot be started or does not do what it should.
pub(super) fn run(trial: &Trial, nats: &Nats, tickcast: &Path) -> Result<Observation> {
    let service = Service::start(trial, tickcast)?;
    let loads = load::start(trial, &service, tickcast)?;
    let expect = (f64::from(trial.clients), f64::from(trial.clients * trial.symbols));
    until("all clients and their subscriptions", || service.crowd() == expect)?;
    // First snapshots and the bus's first answers are not part of it.
    std::thread::sleep(Duration::from_millis(1_500));
    let first = Look::take(&service, nats)?;
    std::thread::sleep(Duration::from_secs(u64::from(trial.seconds)));
    let last = Look::take(&service, nats)?;
    let load = load::collect(loads, trial)?;
    Ok(observe(*trial, &first, &last, load))
}

fn observe(trial: Trial, first: &Look, last: &Look, load: Load) -> Observation {
    let seconds = last.at.duration_since(first.at).as_secs_f64();
    let rise = |then: &str, now: &str, name: &str| {
        let of = |text| metrics::sum(text, name, "").unwrap_or_default();
        (of(now) - of(then)) / seconds
    };
    let everything = |_: &str| true;
    let gateway = |((then, old), (now, new)): (&(Usage, String), &(Usage, String))| Gateway {
        cores: now.cores(then, seconds, everything),
        shard_cores: now.cores(then, seconds, |kind| kind == "shard"),
        received: rise(old, new, "tickcast_bus_messages_received_total"),
        delivered: rise(old, new, "tickcast_gateway_messages_sent_total"),
        delivered_bytes: rise(old, new, "tickcast_gateway_bytes_sent_total"),
        sends: rise(old, new, "tickcast_gateway_sends_total"),
        connections: metrics::sum(new, "tickcast_gateway_connections", "").unwrap_or_default(),
        rss_bytes: now.rss_bytes,
    };
    let publisher = first.publisher.as_ref().zip(last.publisher.as_ref());
    Observation {
        trial,
        publisher: publisher.map(|((then, old), (now, new))| Publisher {
            cores: now.cores(then, seconds, everything),
            events: rise(old, new, "tickcast_publisher_events_total"),
            published: rise(old, new, "tickcast_bus_messages_sent_total"),
            published_bytes: rise(old, new, "tickcast_bus_bytes_sent_total"),
            rss_bytes: now.rss_bytes,
        }),
        nats_cores: first
            .nats
            .iter()
            .zip(&last.nats)
            .map(|(then, now)| now.cores(then, seconds, everything))
            .sum(),
        gateways: first.gateways.iter().zip(&last.gateways).map(gateway).collect(),
        bus_ms: bus_age(first, last),
        load,
    }
}

/// Of `tickcast_bus_age_seconds` over all gateways, as exact as its buckets are narrow.
fn bus_age(first: &Look, last: &Look) -> Option<(f64, f64)> {
    let of = |look: &Look| {
        let texts: Vec<&str> = look.gateways.iter().map(|(_, text)| text.as_str()).collect();
        metrics::buckets(&texts.join("\n"), "tickcast_bus_age_seconds")
    };
    let then = of(first);
    let risen: Vec<(f64, f64)> = of(last)
        .into_iter()
        .map(|(bound, count)| {
            let before = then.iter().find(|(other, _)| *other == bound);
            (bound, count - before.map_or(0.0, |(_, count)| *count))
        })
        .collect();
    let ms = |share| metrics::quantile(&risen, share).map(|seconds| seconds * 1e3);
    Some((ms(0.5)?, ms(0.99)?))
}
