//! Where the service is: its URL, resolved, and the addresses that connections come from.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};

/// How many connections leave from one source address: below the kernel's usual 28,232 ports.
const PER_SOURCE_MAX: usize = 20_000;

/// A resolved target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Target {
    pub(crate) url: String,
    pub(crate) is_tls: bool,
    pub(crate) host: String,
    pub(crate) address: SocketAddr,
    /// With the query, if any.
    pub(crate) path: String,
}

impl Target {
    /// Reads `ws://host:port[/path]`, also `wss`, `http`, `https` and without a scheme.
    ///
    /// # Errors
    /// What is no such URL, or cannot be resolved.
    pub(crate) fn resolve(url: &str) -> Result<Target> {
        let bad = |why: &str| Error::usage(format!("URL: {url:?}: {why}"));
        let (scheme, rest) = url.split_once("://").unwrap_or(("ws", url));
        let is_tls = match scheme {
            "ws" | "http" => false,
            "wss" | "https" => true,
            _ => return Err(bad("the scheme is ws or wss")),
        };
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let path = if matches!(path, "" | "/") { "/v1/ws" } else { path };
        if authority.is_empty() || path.bytes().any(|byte| byte <= b' ' || byte >= 0x7f) {
            return Err(bad("there is no host, or a space in it"));
        }
        let has_port = authority
            .rsplit_once(':')
            .is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()));
        let port = if is_tls { 443 } else { 80 };
        let with_port = if has_port { authority.to_owned() } else { format!("{authority}:{port}") };
        let mut addresses = with_port
            .to_socket_addrs()
            .map_err(Error::io(format!("URL: {url:?}")))?
            .collect::<Vec<_>>();
        addresses.sort_by_key(|address| !address.is_ipv4());
        let address = *addresses.first().ok_or_else(|| bad("the host has no address"))?;
        let host = if has_port {
            authority.rsplit_once(':').map_or(authority, |(host, _)| host)
        } else {
            authority
        };
        let host = host.trim_matches(['[', ']']).to_owned();
        // Reports name it; a token in its query is nobody's business.
        let url = url.split('?').next().unwrap_or(url).to_owned();
        Ok(Target { url, is_tls, host, address, path: path.to_owned() })
    }

    /// What stands in `Host`.
    pub(crate) fn authority(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.address.port()),
            false => format!("{}:{}", self.host, self.address.port()),
        }
    }

    pub(crate) fn is_loopback(&self) -> bool {
        self.address.ip().is_loopback()
    }

    /// The address that the connection of that number leaves from; `None` leaves it to the kernel.
    /// Only loopback has more than one without any setting up.
    pub(crate) fn source(&self, connection: usize) -> Option<SocketAddr> {
        let number = connection / PER_SOURCE_MAX;
        if number == 0 || !self.is_loopback() || !self.address.is_ipv4() {
            return None;
        }
        let (high, low) = ((number + 1) / 250, (number + 1) % 250);
        let address = Ipv4Addr::new(127, 0, high as u8, low as u8 + 1);
        Some(SocketAddr::new(IpAddr::V4(address), 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_to_the_service_and_not_into_reports() {
        let target = Target::resolve("ws://127.0.0.1:8080/v1/ws?token=a.b.c").unwrap();
        assert_eq!(target.path, "/v1/ws?token=a.b.c");
        assert_eq!(target.url, "ws://127.0.0.1:8080/v1/ws");
    }

    #[test]
    fn urls_are_read_as_people_write_them() {
        for (url, address, path, is_tls) in [
            ("ws://127.0.0.1:8080", "127.0.0.1:8080", "/v1/ws", false),
            ("ws://127.0.0.1:8080/", "127.0.0.1:8080", "/v1/ws", false),
            ("127.0.0.1:8080", "127.0.0.1:8080", "/v1/ws", false),
            ("wss://127.0.0.1/feed?x=1", "127.0.0.1:443", "/feed?x=1", true),
            ("ws://[::1]:9", "[::1]:9", "/v1/ws", false),
        ] {
            let target = Target::resolve(url).unwrap();
            assert_eq!(target.address.to_string(), address, "{url}");
            assert_eq!((target.path.as_str(), target.is_tls), (path, is_tls), "{url}");
        }
        assert_eq!(Target::resolve("ws://[::1]:9").unwrap().authority(), "[::1]:9");
        for url in ["ftp://127.0.0.1", "ws://", "ws:///x"] {
            assert!(Target::resolve(url).is_err(), "{url}");
        }
    }

    #[test]
    fn loopback_connections_leave_from_further_addresses_before_ports_end() {
        let target = Target::resolve("ws://127.0.0.1:8080").unwrap();
        assert_eq!(target.source(0), None);
        assert_eq!(target.source(19_999), None);
        let source = |connection| target.source(connection).unwrap().ip();
        assert_ne!(source(20_000), source(40_000));
        assert!((1..50).all(|n| source(n * 20_000).is_loopback()));
        let other = Target { address: "192.0.2.1:80".parse().unwrap(), ..target };
        assert_eq!(other.source(40_000), None);
    }
}
