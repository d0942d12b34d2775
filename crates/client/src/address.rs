//! The address of a service, as people write it and as it is dialled.

use crate::error::Error;
use hyper::Uri;

/// Where the WebSocket is, and what is needed to get there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) is_tls: bool,
    /// Path and query of the handshake.
    pub(crate) target: String,
    /// What stands in `Host`.
    pub(crate) authority: String,
}

impl Address {
    /// Takes `ws`, `wss`, `http` and `https`; the path of the endpoint may be left out.
    pub(crate) fn parse(url: &str) -> Result<Address, Error> {
        let wrong = |said: &str| Error::Url { url: url.to_owned(), said: said.to_owned() };
        let uri: Uri = url.parse().map_err(|error| wrong(&format!("{error}")))?;
        let (is_tls, default_port) = match uri.scheme_str() {
            Some("wss" | "https") => (true, 443),
            Some("ws" | "http") => (false, 80),
            _ => return Err(wrong("begins with none of ws://, wss://, http://, https://")),
        };
        let host = uri.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err(wrong("names no host"));
        }
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        // What stands before an @ is for nobody here, and must not reach a log.
        let authority = authority.rsplit('@').next().unwrap_or_default().to_owned();
        let path = uri.path().trim_end_matches('/');
        let endpoint = if path.ends_with("/v1/ws") { "" } else { "/v1/ws" };
        let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        Ok(Address {
            host,
            port: uri.port_u16().unwrap_or(default_port),
            is_tls,
            target: format!("{path}{endpoint}{query}"),
            authority,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_endpoint_is_filled_in() {
        for (url, host, port, is_tls, target) in [
            ("ws://127.0.0.1:8080", "127.0.0.1", 8080, false, "/v1/ws"),
            ("ws://127.0.0.1:8080/", "127.0.0.1", 8080, false, "/v1/ws"),
            ("http://host/v1/ws", "host", 80, false, "/v1/ws"),
            ("wss://host/ticks/", "host", 443, true, "/ticks/v1/ws"),
            ("https://host?token=a.b.c", "host", 443, true, "/v1/ws?token=a.b.c"),
            ("ws://[::1]:9", "::1", 9, false, "/v1/ws"),
        ] {
            let address = Address::parse(url).unwrap();
            let got = (&*address.host, address.port, address.is_tls, &*address.target);
            assert_eq!(got, (host, port, is_tls, target), "{url}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_in_words() {
        for (url, words) in
            [("ftp://host", "begins with none"), ("host:8080", "begins with none"), ("a b", "a b")]
        {
            let error = Address::parse(url).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}
