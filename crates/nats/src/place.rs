//! Where NATS is and who comes: from settings to the options of the client.

use async_nats::{ConnectOptions, ServerAddr};
use std::path::PathBuf;

/// Where NATS is, and who comes.
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// `nats://host:4222` or `tls://…`, several with commas; `user:password@` or `token@` before the
    /// host of any of them is for all.
    pub url: String,
    /// A file of credentials (JWT and nkey seed), as `nsc` writes it; or one nkey seed alone.
    pub creds: Option<PathBuf>,
    /// A file of PEM certificates to trust besides the system's.
    pub ca: Option<PathBuf>,
    /// What this process is called in the server's list of connections.
    pub name: String,
}

/// A URL or credentials that cannot be used; trying again does not help until they are changed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{url}: {reason}")]
pub struct PlaceError {
    /// As it was given, without what is secret in it.
    pub url: String,
    /// What is wrong.
    pub reason: String,
}

/// How a certificate begins in a file.
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----";

impl Place {
    /// The servers, and options with what is said here and nothing else.
    ///
    /// *Errors:* an address that is none, credentials or certificates that cannot be read. *Cost:*
    /// reads their files.
    pub fn options(&self) -> Result<(Vec<ServerAddr>, ConnectOptions), PlaceError> {
        let servers = self
            .url
            .split(',')
            .map(|url| url.trim().parse::<ServerAddr>())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| self.error(error.to_string()))?;
        let mut options = ConnectOptions::new().name(&self.name);
        let named = servers.iter().find_map(|server| Some((server.username()?, server.password())));
        options = match named {
            Some((user, Some(password))) => {
                options.user_and_password(user.to_owned(), password.to_owned())
            }
            Some((token, None)) => options.token(token.to_owned()),
            None => options,
        };
        if let Some(path) = &self.creds {
            let wrong = |error: std::io::Error| {
                self.error(format!("credentials {}: {error}", path.display()))
            };
            let text = std::fs::read_to_string(path).map_err(wrong)?;
            let seed = text.trim();
            options = if seed.starts_with("SU") && !seed.contains(char::is_whitespace) {
                options.nkey(seed.to_owned())
            } else {
                options.credentials(&text).map_err(wrong)?
            };
        }
        if let Some(path) = &self.ca {
            let wrong = |reason: String| self.error(format!("ca {}: {reason}", path.display()));
            let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
            if !text.contains(CERTIFICATE) {
                return Err(wrong("there is no certificate in PEM".into()));
            }
            options = options.add_root_certificates(path.clone());
        }
        Ok((servers, options))
    }

    /// An error of this place.
    pub fn error(&self, reason: String) -> PlaceError {
        PlaceError { url: self.shown(), reason }
    }

    /// The URL without what is secret in it.
    pub fn shown(&self) -> String {
        let hide = |url: &str| match (url.find("://"), url.rfind('@')) {
            (Some(scheme), Some(at)) if at > scheme => {
                format!("{}***@{}", &url[..scheme + 3], &url[at + 1..])
            }
            _ => url.to_owned(),
        };
        self.url.split(',').map(hide).collect::<Vec<_>>().join(",")
    }

    /// A server's address without what is secret in it.
    pub fn shown_server(server: &ServerAddr) -> String {
        let (scheme, host, port) = (server.scheme(), server.host(), server.port());
        if host.contains(':') {
            format!("{scheme}://[{host}]:{port}")
        } else {
            format!("{scheme}://{host}:{port}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(url: &str) -> Place {
        Place { url: url.into(), ..Place::default() }
    }

    #[test]
    fn a_password_is_not_shown() {
        assert_eq!(at("nats://a:secret@h:4222,nats://i").shown(), "nats://***@h:4222,nats://i");
        assert_eq!(at("nats://h:4222").shown(), "nats://h:4222");
    }

    #[test]
    fn a_server_is_shown_without_who_comes() {
        let check = |url: &str, expect: &str| {
            assert_eq!(Place::shown_server(&url.parse().unwrap()), expect);
        };
        check("nats://a:secret@h", "nats://h:4222");
        check("tls://token@[::1]:4223", "tls://[::1]:4223");
    }

    #[test]
    fn what_cannot_be_used_is_named_without_its_secret() {
        let place = Place { creds: Some("no/such.creds".into()), ..at("nats://a:secret@h:4222") };
        let error = place.options().unwrap_err().to_string();
        assert!(error.starts_with("nats://***@h:4222: credentials no/such.creds: "), "{error}");
        let this = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        for (path, words) in [("no/such.pem", "ca no/such.pem: "), (this, "no certificate in PEM")]
        {
            let place = Place { ca: Some(path.into()), ..at("nats://a:secret@h:4222") };
            let error = place.options().unwrap_err().to_string();
            assert!(error.contains(words) && !error.contains("secret"), "{error}");
        }
        let (servers, _) = at("nats://a:secret@h:4222, tls://i:4223").options().unwrap();
        assert_eq!(servers.iter().map(|server| server.port()).collect::<Vec<_>>(), [4222, 4223]);
        assert!(at("nats://h:port").options().is_err());
    }
}
