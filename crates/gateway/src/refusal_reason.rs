//! Why somebody was refused: the values of the label `reason` of `tickcast_gateway_refused_total`.

use std::fmt;

/// A reason. Each has a series from the start, so that the first refusal is seen as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// As many connections of one address as there may be.
    AddressConnections,
    /// New connections of one address came too fast.
    AddressRate,
    /// A request that makes no sense.
    BadRequest,
    /// As many connections as there may be in all.
    Connections,
    /// The request head did not come in time.
    Deadline,
    /// No file descriptor was left to accept with: counted for each try, nobody was sent away.
    Descriptors,
    /// This server is about to stop.
    Draining,
    /// The token does not entitle to what was asked for.
    Entitlement,
    /// The request head was too long or had too many headers.
    HeadTooBig,
    /// As many connections of one identity as there may be.
    IdentityConnections,
    /// A fault of ours.
    Internal,
    /// A method that is not understood there.
    Method,
    /// Nothing is there.
    NotFound,
    /// A web page of somebody else.
    Origin,
    /// A PROXY header that is malformed.
    ProxyHeader,
    /// Too many answers of REST wait to be taken.
    Rest,
    /// No shard took the connection within a second.
    Shards,
    /// The list of instruments is not there yet.
    Starting,
    /// None of the offered subprotocols is known.
    Subprotocol,
    /// No agreement on keys.
    Tls,
    /// A token that is not good, or no longer.
    Token,
    /// There is no token, and one is needed.
    TokenMissing,
    /// The answer would be too large.
    TooLarge,
    /// The publisher on the bus has not told of it yet.
    Untold,
    /// Something other than a WebSocket handshake of version 13.
    Upgrade,
}

impl Reason {
    /// How many there are.
    pub(crate) const COUNT: usize = Reason::Upgrade as usize + 1;

    /// All of them, each at the place of its number.
    pub const ALL: [Reason; Reason::COUNT] = [
        Reason::AddressConnections,
        Reason::AddressRate,
        Reason::BadRequest,
        Reason::Connections,
        Reason::Deadline,
        Reason::Descriptors,
        Reason::Draining,
        Reason::Entitlement,
        Reason::HeadTooBig,
        Reason::IdentityConnections,
        Reason::Internal,
        Reason::Method,
        Reason::NotFound,
        Reason::Origin,
        Reason::ProxyHeader,
        Reason::Rest,
        Reason::Shards,
        Reason::Starting,
        Reason::Subprotocol,
        Reason::Tls,
        Reason::Token,
        Reason::TokenMissing,
        Reason::TooLarge,
        Reason::Untold,
        Reason::Upgrade,
    ];

    /// Its name in the label and in the log.
    pub const fn name(self) -> &'static str {
        match self {
            Reason::AddressConnections => "address_connections",
            Reason::AddressRate => "address_rate",
            Reason::BadRequest => "bad_request",
            Reason::Connections => "connections",
            Reason::Deadline => "deadline",
            Reason::Descriptors => "descriptors",
            Reason::Draining => "draining",
            Reason::Entitlement => "entitlement",
            Reason::HeadTooBig => "head_too_big",
            Reason::IdentityConnections => "identity_connections",
            Reason::Internal => "internal",
            Reason::Method => "method",
            Reason::NotFound => "not_found",
            Reason::Origin => "origin",
            Reason::ProxyHeader => "proxy_header",
            Reason::Rest => "rest",
            Reason::Shards => "shards",
            Reason::Starting => "starting",
            Reason::Subprotocol => "subprotocol",
            Reason::Tls => "tls",
            Reason::Token => "token",
            Reason::TokenMissing => "token_missing",
            Reason::TooLarge => "too_large",
            Reason::Untold => "untold",
            Reason::Upgrade => "upgrade",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stands_at_the_place_of_its_number() {
        for (number, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, number, "{}", reason.name());
        }
    }
}
