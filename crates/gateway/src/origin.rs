//! Which web pages may talk to the edge: the rule for the header `Origin` (RFC 6454).
//!
//! Programs send no origin and are not meant by it; it protects the users of browsers from other
//! people's pages. There are no cookies, so an origin that is let in gains nothing but data.

use std::net::IpAddr;

/// The origins that are let in: the same one, loopback ones on a loopback listener, a list.
#[derive(Clone, Debug, Default)]
pub struct Origins {
    allowed: Vec<String>,
    is_loopback: bool,
}

impl Origins {
    /// The operator's list, compared exactly; and pages from loopback addresses where only those
    /// can reach the service.
    pub fn new(allowed: Vec<String>, is_loopback: bool) -> Origins {
        Origins { allowed, is_loopback }
    }

    /// Whether a request with this `Origin` to this `Host` is let in.
    ///
    /// *Cost:* compares text; grows with the list.
    pub fn admits(&self, origin: &str, host: Option<&str>) -> bool {
        if self.allowed.iter().any(|allowed| allowed == origin) {
            return true;
        }
        let Some(page) = Authority::of_origin(origin) else { return false };
        let is_same =
            host.is_some_and(|host| Authority::parse(host, page.default_port) == Some(page));
        is_same || (self.is_loopback && page.is_loopback())
    }
}

impl Origins {
    /// The page that a request is from, by its headers, if it is let in; two of them are nobody.
    pub(crate) fn page<'a>(
        &self,
        headers: impl Iterator<Item = (&'a str, &'a [u8])>,
    ) -> Option<&'a str> {
        let (mut origin, mut host) = (None, None);
        for (name, value) in headers {
            let value = || std::str::from_utf8(value).map(str::trim).unwrap_or_default();
            if name.eq_ignore_ascii_case("origin") && origin.replace(value()).is_some() {
                return None;
            } else if name.eq_ignore_ascii_case("host") {
                host = Some(value());
            }
        }
        origin.filter(|origin| self.admits(origin, host))
    }
}

/// Host and port of an origin or of a header `Host`.
#[derive(Clone, Copy, Debug)]
struct Authority<'a> {
    host: &'a str,
    port: u16,
    default_port: u16,
}

impl PartialEq for Authority<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.port == other.port && self.host.eq_ignore_ascii_case(other.host)
    }
}

impl<'a> Authority<'a> {
    /// Of `http://…` or `https://…`; everything else, `null` included, is nobody's origin. Both
    /// schemes count as the same origin because TLS may end at a proxy before us.
    fn of_origin(origin: &'a str) -> Option<Authority<'a>> {
        match origin.split_once("://")? {
            ("http", authority) => Authority::parse(authority, 80),
            ("https", authority) => Authority::parse(authority, 443),
            _ => None,
        }
    }

    fn parse(text: &'a str, default_port: u16) -> Option<Authority<'a>> {
        // The port follows the last colon, unless that colon belongs to `[an:IPv6:address]`.
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, parse_port(port)?),
            _ => (text, default_port),
        };
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        let is_host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => !host.is_empty() && host.bytes().all(is_plain),
        };
        is_host.then_some(Authority { host, port, default_port })
    }

    fn is_loopback(&self) -> bool {
        let address = self.host.trim_start_matches('[').trim_end_matches(']');
        self.host.eq_ignore_ascii_case("localhost")
            || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

/// Digits only: `parse` alone would take a sign.
fn parse_port(text: &str) -> Option<u16> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins(is_loopback: bool) -> Origins {
        let allowed = vec!["https://desk.example".into(), "app://desk".into()];
        Origins::new(allowed, is_loopback)
    }

    #[test]
    fn origins_are_let_in_when_they_are_ours_loopback_or_on_the_list() {
        const LOOP: bool = true;
        const OPEN: bool = false;
        for (is_loopback, origin, host, admitted) in [
            (OPEN, "http://ticks.example", "ticks.example", true),
            (OPEN, "http://TICKS.example", "ticks.EXAMPLE:80", true),
            (OPEN, "http://ticks.example:80", "ticks.example", true),
            (OPEN, "https://ticks.example", "ticks.example", true),
            (OPEN, "https://ticks.example", "ticks.example:443", true),
            (OPEN, "http://ticks.example:8080", "ticks.example:8080", true),
            (OPEN, "http://[2001:db8::1]:8080", "[2001:db8::1]:8080", true),
            (OPEN, "http://ticks.example:8081", "ticks.example:8080", false),
            (OPEN, "https://ticks.example", "ticks.example:80", false),
            (OPEN, "http://ticks.example.evil", "ticks.example", false),
            (OPEN, "http://evil", "ticks.example", false),
            (OPEN, "http://evil", "", false),
            (OPEN, "null", "null", false),
            (OPEN, "", "", false),
            (OPEN, "http://", "", false),
            (OPEN, "file://ticks.example", "ticks.example", false),
            (OPEN, "http://localhost:3000", "ticks.example", false),
            (OPEN, "https://desk.example", "ticks.example", true),
            (OPEN, "https://desk.example:443", "ticks.example", false),
            (OPEN, "https://DESK.example", "ticks.example", false),
            (OPEN, "http://desk.example", "ticks.example", false),
            (OPEN, "https://desk.example.evil", "ticks.example", false),
            (OPEN, "app://desk", "ticks.example", true),
            (LOOP, "http://localhost:3000", "127.0.0.1:8080", true),
            (LOOP, "https://127.0.0.1", "127.0.0.1:8080", true),
            (LOOP, "http://127.1.2.3:1", "127.0.0.1:8080", true),
            (LOOP, "http://[::1]:5173", "127.0.0.1:8080", true),
            (LOOP, "http://localhost.evil", "127.0.0.1:8080", false),
            (LOOP, "http://127.0.0.1.evil:80", "127.0.0.1:8080", false),
            (LOOP, "http://localhost@evil", "127.0.0.1:8080", false),
            (LOOP, "http://evil/localhost", "127.0.0.1:8080", false),
            (LOOP, "http://localhost:+80", "127.0.0.1:8080", false),
            (LOOP, "http://localhost:99999", "127.0.0.1:8080", false),
            (LOOP, "http://10.0.0.1", "127.0.0.1:8080", false),
            (LOOP, "null", "127.0.0.1:8080", false),
        ] {
            let host = (!host.is_empty()).then_some(host);
            assert_eq!(origins(is_loopback).admits(origin, host), admitted, "{origin} {host:?}");
        }
    }
}
