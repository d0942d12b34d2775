//! Who is connected, how far behind, at which rates, and why the last ones were closed: what an
//! operator asks the shards for.

use crate::admin::Clients;
use crate::connection::{Connection, Phase};
use crate::connection_close::Closed;
use crate::handoff::Shards;
use crate::proxies::address_text;
use crate::shard::Shard;
use crate::socket::Socket;
use serde::Serialize;
use std::collections::BTreeMap;
use tickcast_market::Nanos;
use tickcast_wire::Channel;

/// What one shard tells of its connections.
#[derive(Clone, Debug, Default)]
pub struct ShardClients {
    shard: u8,
    clients: Vec<Client>,
    closed: Vec<Closed>,
}

#[derive(Clone, Debug, Serialize)]
struct Client {
    session: String,
    shard: u8,
    connection: u32,
    address: String,
    /// It is the service's own witness.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    canary: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<i64>,
    state: &'static str,
    transport: &'static str,
    connected_us: i64,
    subscriptions: usize,
    instruments: usize,
    granted: Vec<GrantedRate>,
    lagging: bool,
    lag_updates: u64,
    waiting_bytes: usize,
    owed_topics: usize,
    merged_updates: u64,
    sent_messages: u64,
    sent_bytes: u64,
    rtt_us: u32,
}

/// How many streams of a channel at a rate; without one it is real time.
#[derive(Clone, Debug, Serialize)]
struct GrantedRate {
    channel: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_rate: Option<f64>,
    instruments: usize,
}

#[derive(Debug, Serialize)]
struct ClosedClient<'a> {
    session: String,
    shard: u8,
    connection: u32,
    address: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<&'a str>,
    closed_code: u16,
    closed_reason: &'a str,
    closed_at: i64,
}

impl<S: Socket> Shard<S> {
    /// Everybody who is connected, and the last ones that were.
    ///
    /// *Cost:* grows with all their subscriptions; meant for an operator, not for a scraper.
    pub fn clients(&self) -> ShardClients {
        let clients = self.connections.iter();
        ShardClients {
            shard: self.index.0,
            clients: clients.map(|(number, each)| self.client(number as u32, each)).collect(),
            closed: self.closed.iter().cloned().collect(),
        }
    }

    fn client(&self, number: u32, connection: &Connection<S>) -> Client {
        let account = &connection.account;
        let identity = connection.who().identity();
        let mut granted: BTreeMap<(Channel, u8), usize> = BTreeMap::new();
        for membership in &connection.subscriptions.memberships {
            let key = &self.topics.at(membership.place().slot).key;
            *granted.entry((key.view.channel(), key.tier.0)).or_default() += 1;
        }
        let granted = granted.into_iter().map(|((channel, tier), instruments)| GrantedRate {
            channel: channel.name(),
            max_rate: self.hub.tiers().rate(tickcast_publisher::Tier(tier)),
            instruments,
        });
        Client {
            session: session_name(account.session),
            shard: self.index.0,
            connection: number,
            address: address_text(account.peer.into()),
            canary: connection.is_canary(),
            identity: identity.map(|identity| identity.sub.clone()),
            expires: identity
                .filter(|identity| identity.expires_at < Nanos::MAX)
                .map(|identity| identity.expires_at.0 / 1_000_000_000),
            state: state_of(connection),
            transport: connection.framing.name(),
            connected_us: self.now.since(account.opened_at).micros(),
            subscriptions: connection.subscriptions.count(),
            instruments: connection.subscriptions.instruments(),
            granted: granted.collect(),
            lagging: connection.late_topics() > 0,
            lag_updates: self.lag(connection),
            waiting_bytes: connection.waiting.len() + connection.socket.held(),
            owed_topics: connection.owing.as_ref().map_or(0, |owing| owing.topics()),
            merged_updates: account.merged,
            sent_messages: account.messages,
            sent_bytes: account.bytes,
            rtt_us: account.rtt_us,
        }
    }

    /// By how many updates the client is behind, all topics together.
    fn lag(&self, connection: &Connection<S>) -> u64 {
        let owed = connection.owing.iter().flat_map(|owing| owing.owed());
        let behind = owed.map(|owed| {
            let membership = connection.subscriptions.memberships[owed.membership as usize];
            let mark = self.topics.at(membership.place().slot).mark;
            if mark.epoch == owed.since.epoch {
                mark.seq.0.saturating_sub(owed.since.seq.0)
            } else {
                1
            }
        });
        behind.sum()
    }
}

fn state_of<S>(connection: &Connection<S>) -> &'static str {
    match connection.phase {
        Phase::Open if connection.is_unknown() => "unauthenticated",
        Phase::Open if connection.lagging => "lagging",
        Phase::Open => "live",
        Phase::Closing | Phase::Leaving => "leaving",
    }
}

/// A session as clients and logs name it.
pub(crate) fn session_name(session: u64) -> String {
    format!("{session:016x}")
}

impl Clients for Shards {
    fn write_json(&self, out: &mut Vec<u8>) {
        let shards = self.clients();
        let mut items = Vec::new();
        let (canaries, clients): (Vec<&Client>, Vec<&Client>) =
            shards.iter().flat_map(|shard| &shard.clients).partition(|client| client.canary);
        for client in clients.into_iter().chain(canaries) {
            items.push(serde_json::to_value(client));
        }
        let closed = shards.iter().flat_map(|shard| shard.closed.iter().map(|c| (shard.shard, c)));
        for (shard, closed) in closed {
            items.push(serde_json::to_value(ClosedClient {
                session: session_name(closed.session),
                shard,
                connection: closed.connection,
                address: address_text(closed.peer),
                identity: closed.sub.as_deref(),
                closed_code: closed.code,
                closed_reason: &closed.reason,
                closed_at: closed.closed_at.micros(),
            }));
        }
        let items: Vec<_> = items.into_iter().flatten().collect();
        serde_json::to_writer(out, &items).expect("a Vec takes everything");
    }
}
