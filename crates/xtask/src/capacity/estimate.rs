//! The model: from what is asked for to hosts, cores, memory, bandwidth, and what breaks first.
//!
//! Instruments are as active and as popular as one another: the worst case for the bus, since every
//! gateway then follows most streams. Every client gets every update of its own unless it set a rate.

use super::costs::*;
use super::wish::{Encoding, Wish};

/// NATS servers that keep the lease: fewer do not survive the loss of one.
const HUB_SERVERS: f64 = 3.0;

/// A region has so many leaf nodes at least.
const LEAVES_MIN: f64 = 2.0;

/// What a kind of host has to do; figures are of one of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Hosts {
    pub(super) name: &'static str,
    pub(super) count: f64,
    pub(super) cores: f64,
    pub(super) memory: f64,
    /// Bytes a second.
    pub(super) received: f64,
    pub(super) sent: f64,
}

/// Something of which there is one, and how much of it is used: 1 is all.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Limit {
    pub(super) name: &'static str,
    pub(super) used: f64,
}

/// The answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Estimate {
    pub(super) events: f64,
    pub(super) published: f64,
    /// Of one gateway.
    pub(super) gateway_clients: f64,
    pub(super) streams: f64,
    pub(super) delivered: f64,
    pub(super) in_a_send: f64,
    /// Over all gateways.
    pub(super) delivered_in_all: f64,
    /// Subjects that the busiest NATS server has to look up, with those of all its connections.
    pub(super) interest: f64,
    pub(super) hosts: Vec<Hosts>,
    /// The fullest first.
    pub(super) limits: Vec<Limit>,
}

impl Estimate {
    /// Whether anything is needed of which there is not enough.
    pub(super) fn is_possible(&self) -> bool {
        self.limits.iter().all(|limit| limit.used <= 1.0)
    }

    /// NATS servers in all, and the cores that they use together.
    pub(super) fn servers(&self) -> (f64, f64) {
        let servers = self.hosts.iter().filter(|hosts| hosts.name.starts_with("NATS"));
        servers.fold((0.0, 0.0), |(count, cores), one| {
            (count + one.count, cores + one.count * one.cores)
        })
    }
}

/// How many different ones are hit by so many picks among `all`.
fn distinct(all: f64, picks: f64) -> f64 {
    all * (1.0 - (picks * (-1.0 / all).ln_1p()).exp())
}

/// How often a second somebody wakes up to whom so many messages a second come: what comes while it
/// works waits, and is taken with the next.
fn wakes(rate: f64) -> f64 {
    rate / (1.0 + rate / WAKES_MAX.get())
}

/// One gateway with so many clients.
struct Gateway {
    hosts: Hosts,
    streams: f64,
    delivered: f64,
    in_a_send: f64,
    /// Of the thread that keeps the replicas.
    replica_cores: f64,
}

fn gateway(wish: &Wish, clients: f64) -> Gateway {
    let streams = match wish.instruments {
        1.0 => 1.0,
        all => distinct(all, clients * wish.subscriptions),
    };
    let received = streams * wish.rate;
    let of_client = wish.subscriptions * wish.rate.min(wish.max_rate.unwrap_or(f64::INFINITY));
    let delivered = clients * of_client;
    // Whatever else comes for a client while its shard gathers goes with the same send.
    let in_a_send = 1.0 + of_client * wish.flush_ms / 1e3;
    let sends = delivered / in_a_send;
    let replica_cores = wakes(received) * GATEWAY_WAKE.get() + received * GATEWAY_RECEIVED.get();
    let cores = GATEWAY_IDLE.get()
        + replica_cores
        + sends * GATEWAY_SEND.get()
        + delivered * GATEWAY_DELIVERY.get();
    let bytes = match wish.encoding {
        Encoding::Json => JSON_BYTES,
        Encoding::Protobuf => PROTOBUF_BYTES,
    };
    let memory = GATEWAY_MEMORY.get()
        + clients * (CONNECTION_MEMORY.get() + wish.subscriptions * SUBSCRIPTION_MEMORY.get())
        + wish.instruments * INSTRUMENT_MEMORY.get();
    let hosts = Hosts {
        name: "gateway",
        count: 1.0,
        cores,
        memory,
        received: received * (BUS_BYTES + BUS_LINE_BYTES),
        sent: delivered * bytes + sends * SEND_BYTES,
    };
    Gateway { hosts, streams, delivered, in_a_send, replica_cores }
}

/// Bytes a second that a host's network carries each way.
fn network(wish: &Wish) -> f64 {
    wish.gbit * 1e9 / 8.0
}

fn fits(wish: &Wish, hosts: &Hosts) -> bool {
    let bytes = network(wish) * wish.load;
    hosts.cores <= wish.cores * wish.load && hosts.sent <= bytes && hosts.received <= bytes
}

/// The fewest gateways that do it; one client each where nothing does.
fn gateways(wish: &Wish) -> f64 {
    let is_enough = |count: f64| {
        let clients = (wish.clients / count).ceil();
        clients <= wish.gateway_clients && fits(wish, &gateway(wish, clients).hosts)
    };
    let (mut too_few, mut enough) = (0.0, 1.0);
    while !is_enough(enough) && enough < wish.clients {
        too_few = enough;
        enough = (enough * 2.0).min(wish.clients);
    }
    while enough - too_few > 1.0 {
        let middle = ((enough + too_few) / 2.0_f64).floor();
        if is_enough(middle) { enough = middle } else { too_few = middle }
    }
    // Regions are alike.
    (enough / wish.regions).ceil() * wish.regions
}

/// A NATS server that takes so many messages a second, hands `each` to every one of `below`, and
/// `routed` to servers of its cluster.
fn nats(name: &'static str, count: f64, taken: f64, routed: f64, below: f64, each: f64) -> Hosts {
    let bytes = BUS_BYTES + BUS_LINE_BYTES;
    let handed = routed + below * each;
    let woken = wakes(taken) + below * wakes(each);
    let cores = NATS_IDLE.get() + woken * NATS_WAKE.get() + (taken + handed) * NATS_MESSAGE.get();
    Hosts { name, count, cores, memory: f64::NAN, received: taken * bytes, sent: handed * bytes }
}

/// The publisher's own server in a hub of `servers`, with `below` gateways or leaf nodes spread over
/// the hub, of which each takes so many messages.
fn hub(servers: f64, published: f64, below: f64, each: f64) -> Hosts {
    let own = (below / servers).ceil();
    let routed = published * (servers - 1.0);
    nats("NATS, hub", servers, published, routed, own, each)
}

/// Leaf nodes of one region with so many gateways.
fn leaves(wish: &Wish, gateways: f64, union: f64, each: f64) -> Hosts {
    let with = |count: f64| nats("NATS, leaf", count, union, 0.0, (gateways / count).ceil(), each);
    let mut count = LEAVES_MIN;
    while !fits(wish, &with(count)) && count < gateways {
        count += 1.0;
    }
    with(count)
}

/// Computes it.
pub(super) fn estimate(wish: &Wish) -> Estimate {
    let count = gateways(wish);
    let clients = (wish.clients / count).ceil();
    let one = gateway(wish, clients);
    let each = one.streams * wish.rate;
    let union = |clients: f64| gateway(wish, clients).streams;
    let events = wish.instruments * wish.rate;
    let published = union(wish.clients) * wish.rate;
    let bus_cores = published * PUBLISHER_PUBLISHED.get();
    let own_cores = wakes(events) * PUBLISHER_WAKE.get() + events * PUBLISHER_EVENT.get();
    let cores = PUBLISHER_IDLE.get() + own_cores + bus_cores;
    let publisher = Hosts {
        name: "publisher",
        count: 2.0,
        cores,
        memory: PUBLISHER_MEMORY.get() + wish.instruments * PUBLISHER_INSTRUMENT_MEMORY.get(),
        received: 0.0,
        sent: published * (BUS_BYTES + BUS_LINE_BYTES),
    };
    let mut hosts = vec![publisher];
    let hub = if wish.regions > 1.0 {
        let (gateways, clients) = (count / wish.regions, wish.clients / wish.regions);
        let of_region = union(clients);
        let mut leaves = leaves(wish, gateways, of_region * wish.rate, each);
        leaves.count *= wish.regions;
        hosts.push(hub(HUB_SERVERS, published, leaves.count, of_region * wish.rate));
        hosts.push(leaves);
        (leaves.count / HUB_SERVERS).ceil() * of_region
    } else {
        let mut servers = HUB_SERVERS;
        // Further servers take gateways off the publisher's, and cost it one copy more each.
        while !fits(wish, &hub(servers, published, count, each))
            && hub(servers + 1.0, published, count, each).sent
                < hub(servers, published, count, each).sent
        {
            servers += 1.0;
        }
        hosts.push(hub(servers, published, count, each));
        (count / servers).ceil() * one.streams
    };
    hosts.push(Hosts { count, ..one.hosts });
    Estimate {
        events,
        published,
        gateway_clients: clients,
        streams: one.streams,
        delivered: one.delivered,
        in_a_send: one.in_a_send,
        delivered_in_all: one.delivered * count,
        interest: hub,
        limits: limits(wish, &hosts, bus_cores, one.replica_cores),
        hosts,
    }
}

fn limits(wish: &Wish, hosts: &[Hosts], bus_cores: f64, replica_cores: f64) -> Vec<Limit> {
    let mut limits = vec![
        Limit { name: "the publisher's thread for the bus", used: bus_cores },
        Limit { name: "the gateway's thread for the replicas", used: replica_cores },
    ];
    for one in hosts {
        let (cores, network_of) = match one.name {
            "publisher" => ("the publisher's cores", "the publisher's network"),
            "NATS, hub" => {
                ("cores of the publisher's NATS server", "network of the publisher's NATS server")
            }
            "NATS, leaf" => ("cores of a leaf node", "network of a leaf node"),
            _ => ("a gateway's cores", "a gateway's network"),
        };
        limits.push(Limit { name: cores, used: one.cores / wish.cores });
        limits.push(Limit { name: network_of, used: one.sent.max(one.received) / network(wish) });
    }
    limits.sort_by(|a, b| b.used.total_cmp(&a.used));
    limits
}
