//! Whose word about a client's address is believed: the proxies that the operator names.
//!
//! A chain of proxies is followed from us outwards as far as each hop is trusted; the first address
//! that is not is the client's. What a client writes itself lies beyond that and is never reached.

use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};

/// Entries of `X-Forwarded-For` that are followed; longer chains of proxies do not exist.
const HOPS_MAX: usize = 32;

/// The networks of trusted proxies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    networks: Vec<IpNet>,
}

/// This is neither an address nor a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an address or a network such as 10.0.0.0/8")]
pub struct ProxyError(pub String);

impl Proxies {
    /// Addresses (`10.1.2.3`) and networks (`10.0.0.0/8`, `fd00::/8`).
    ///
    /// *Errors* name the one that is neither.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Proxies, ProxyError> {
        let parse = |text: &str| {
            let address = text.parse::<IpAddr>().map(|address| IpNet::from(address.to_canonical()));
            address.ok().or_else(|| text.parse().ok()).ok_or_else(|| ProxyError(text.to_owned()))
        };
        let networks = texts.into_iter().map(parse).collect::<Result<_, _>>()?;
        Ok(Proxies { networks })
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty()
    }

    /// Whether this address is a trusted proxy's.
    pub(crate) fn trust(&self, address: IpAddr) -> bool {
        // Most services have none.
        !self.networks.is_empty() && {
            let address = address.to_canonical();
            self.networks.iter().any(|network| network.contains(&address))
        }
    }

    /// The client behind `nearest`, a trusted proxy, by the values of `X-Forwarded-For` in the order
    /// of the request: the last address that is not trusted. Where an entry is not an address the
    /// one before it on the way from us is as much as is known.
    pub(crate) fn client<'a>(
        &self,
        nearest: SocketAddr,
        forwarded: impl DoubleEndedIterator<Item = &'a [u8]>,
    ) -> SocketAddr {
        let mut known = nearest;
        let entries = forwarded.rev().flat_map(|value| value.rsplit(|byte| *byte == b','));
        for entry in entries.take(HOPS_MAX) {
            let Some(address) = parse_entry(entry) else { break };
            known = address;
            if !self.trust(address.ip()) {
                break;
            }
        }
        known
    }
}

/// An address as proxies write it: alone, in brackets, with a port or without.
fn parse_entry(entry: &[u8]) -> Option<SocketAddr> {
    let text = std::str::from_utf8(entry.trim_ascii()).ok()?;
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = match bare.parse::<IpAddr>() {
        Ok(address) => SocketAddr::new(address, 0),
        Err(_) => text.parse().ok()?,
    };
    Some(canonical(address))
}

/// An IPv4 address that came over an IPv6 listener as what it is.
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// An address for people: proxies often know no port.
pub(crate) fn address_text(address: SocketAddr) -> String {
    if address.port() == 0 { address.ip().to_string() } else { address.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_is_the_last_address_that_is_not_trusted() {
        let proxies = Proxies::parse(["10.0.0.0/8", "192.0.2.7", "fd00::/8"]).unwrap();
        let nearest: SocketAddr = "10.0.0.1:5000".parse().unwrap();
        for (forwarded, client) in [
            (&[][..], "10.0.0.1:5000"),
            (&[""], "10.0.0.1:5000"),
            (&["198.51.100.1"], "198.51.100.1:0"),
            (&[" 198.51.100.1 "], "198.51.100.1:0"),
            (&["198.51.100.1:4711"], "198.51.100.1:4711"),
            (&["2001:db8::1"], "[2001:db8::1]:0"),
            (&["[2001:db8::1]"], "[2001:db8::1]:0"),
            (&["[2001:db8::1]:4711"], "[2001:db8::1]:4711"),
            (&["::ffff:198.51.100.1"], "198.51.100.1:0"),
            // What the client wrote itself comes before what proxies append.
            (&["6.6.6.6, 198.51.100.1"], "198.51.100.1:0"),
            (&["6.6.6.6", "198.51.100.1"], "198.51.100.1:0"),
            (&["10.6.6.6, 198.51.100.1"], "198.51.100.1:0"),
            (&["127.0.0.1, 198.51.100.1"], "198.51.100.1:0"),
            // Further proxies of ours are passed.
            (&["198.51.100.1, 10.0.0.9"], "198.51.100.1:0"),
            (&["6.6.6.6,198.51.100.1,192.0.2.7", "fd00::1, 10.0.0.9"], "198.51.100.1:0"),
            (&["10.0.0.8, 10.0.0.9"], "10.0.0.8:0"),
            // Beyond what is not an address nothing is believed.
            (&["198.51.100.1, unknown"], "10.0.0.1:5000"),
            (&["198.51.100.1, unknown, 10.0.0.9"], "10.0.0.9:0"),
            (&["198.51.100.1,"], "10.0.0.1:5000"),
            (&["6.6.6.6, 198.51.100.1.evil"], "10.0.0.1:5000"),
            (&["_hidden"], "10.0.0.1:5000"),
            (&["198.51.100.1:99999"], "10.0.0.1:5000"),
        ] {
            let values = forwarded.iter().map(|value| value.as_bytes());
            assert_eq!(proxies.client(nearest, values).to_string(), client, "{forwarded:?}");
        }
        let endless = "10.0.0.9,".repeat(800) + "10.0.0.9";
        let of_endless = proxies.client(nearest, [endless.as_bytes()].into_iter());
        assert_eq!(of_endless.ip().to_string(), "10.0.0.9");
        assert_eq!(proxies.client(nearest, [&b"\xff\xfe"[..]].into_iter()), nearest);
    }

    #[test]
    fn only_the_named_networks_are_trusted() {
        let proxies = Proxies::parse(["10.0.0.0/8", "::1", "192.0.2.7"]).unwrap();
        for (address, trusted) in [
            ("10.255.0.1", true),
            ("::ffff:10.0.0.1", true),
            ("11.0.0.1", false),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("::1", true),
            ("127.0.0.1", false),
        ] {
            assert_eq!(proxies.trust(address.parse().unwrap()), trusted, "{address}");
            assert!(!Proxies::default().trust(address.parse().unwrap()));
        }
        for text in ["", "10.0.0.0/33", "10.0.0", "localhost", "10.0.0.1:80", "::/129"] {
            let error = Proxies::parse([text]).unwrap_err().to_string();
            assert!(error.contains(&format!("{text:?}")), "{error}");
        }
    }
}
