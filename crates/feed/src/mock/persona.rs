//! What the stage asks of a venue's persona, and the words that both use.

use super::ladder::Ladder;
use super::script::Script;
use super::{binance, coinbase, coinbase_exchange, kraken};
use tickcast_market::Venue;

/// One connected client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct SessionId(pub(super) u64);

/// A message on its way to a client.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) text: String,
    /// Which symbol's, for faults that lose several messages of one.
    pub(super) symbol: usize,
    /// What a fault may do with it.
    pub(super) role: Role,
}

/// How a message stands to faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Answers, snapshots, heartbeats: faults leave them alone.
    Fixed,
    /// Losing it alone is noticed by a correct client.
    Noticed,
    /// Losing it is noticed only if a noticed one is lost as well.
    Unnoticed,
}

/// What a persona says, in order.
#[derive(Debug, Default)]
pub(super) struct Out(pub(super) Vec<(SessionId, Said)>);

impl Out {
    pub(super) fn fixed(&mut self, to: SessionId, text: String) {
        self.0.push((to, Said { text, symbol: usize::MAX, role: Role::Fixed }));
    }

    pub(super) fn data(&mut self, to: SessionId, text: String, symbol: usize, role: Role) {
        self.0.push((to, Said { text, symbol, role }));
    }
}

/// A venue's manners.
pub(super) trait Persona: Send {
    /// How many recorded messages there are, and when the `n`th came.
    fn script(&self) -> &Script;

    /// A client has connected to this path and query.
    fn opened(&mut self, session: SessionId, target: &str, out: &mut Out);

    /// A client has said something.
    fn received(&mut self, session: SessionId, text: &str, out: &mut Out);

    /// A client has gone.
    fn closed(&mut self, session: SessionId);

    /// The `step`th recorded message happens.
    fn play(&mut self, step: usize, out: &mut Out);

    /// Nothing happens: heartbeats.
    fn idle(&mut self, out: &mut Out);

    /// After the end: something that shows a client what it has missed, and changes nothing.
    fn touch(&mut self, out: &mut Out);

    /// A REST resource.
    fn get(&mut self, target: &str) -> Option<String>;

    /// Whether this client gets every book that the recording has (`all`), or any.
    fn is_served(&self, session: SessionId, all: bool) -> bool;

    /// How the venue refuses a request; none for what it cannot refuse.
    fn refusal(&self, text: &str) -> Option<String>;

    /// The whole book of a symbol as it is now.
    fn ladder(&self, symbol: &str) -> Option<&Ladder>;

    /// Whether connecting is itself the request that can be refused.
    fn refuses_connections(&self) -> bool {
        false
    }

    /// A message after which the client's book of this symbol is crossed.
    fn crossing(&mut self, session: SessionId, symbol: usize) -> Option<String>;
}

/// The persona for a recording; none for venues that are not recorded.
pub(super) fn persona(script: Script) -> Option<Box<dyn Persona>> {
    match script.venue {
        Venue::Binance => Some(Box::new(binance::Binance::new(script))),
        Venue::Coinbase => Some(Box::new(coinbase::Coinbase::new(script))),
        Venue::CoinbaseExchange => Some(Box::new(coinbase_exchange::CoinbaseExchange::new(script))),
        Venue::Kraken => Some(Box::new(kraken::Kraken::new(script))),
        Venue::Sim | Venue::Nats => None,
    }
}
