//! How to connect: address, encoding, token, trust, delays.

use crate::address::Address;
use crate::backoff::Backoff;
use crate::client::Tickcast;
use crate::dial::{Trust, dial, upgrade};
use crate::error::Error;
use crate::socket::{SocketReader, SocketWriter, halves};
use crate::token::TokenSource;
use std::fmt;
use std::future::Future;
use std::time::Duration;
use tickcast_wire::Encoding;
use tokio::io::{AsyncRead, AsyncWrite};

/// How long dialling, a handshake and the first message may take.
const DIAL_WITHIN: Duration = Duration::from_secs(10);

/// How to connect. Begins with an address; everything else has a default.
///
/// ```no_run
/// # async fn example() -> Result<(), tickcast_client::Error> {
/// let tick = tickcast_client::Options::new("wss://ticks.example")
///     .token(async || std::fs::read_to_string("token"))
///     .verify_checksums(true)
///     .connect()
///     .await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    url: String,
    pub(crate) encoding: Encoding,
    pub(crate) token: Option<TokenSource>,
    pub(crate) backoff: Backoff,
    pub(crate) verify_checksums: bool,
    trust: Option<Vec<u8>>,
}

/// [`Options`] that were looked through: what a driver dials with.
#[derive(Clone, Debug)]
pub(crate) struct Dialer {
    address: Address,
    trust: Trust,
    encoding: Encoding,
}

impl Options {
    /// The defaults for a service at `url`: `ws://`, `wss://`, `http://` or `https://`, with or
    /// without the path `/v1/ws`.
    pub fn new(url: impl Into<String>) -> Options {
        Options {
            url: url.into(),
            encoding: Encoding::Json,
            token: None,
            backoff: Backoff::default(),
            verify_checksums: false,
            trust: None,
        }
    }

    /// What is spoken on the line; JSON by default. What the client gives is the same either way.
    #[must_use]
    pub fn encoding(mut self, encoding: Encoding) -> Options {
        self.encoding = encoding;
        self
    }

    /// Where tokens come from. It is called for each connection, again before a token expires, and
    /// once more when the service does not accept what it gave.
    #[must_use]
    pub fn token<F, R, E>(mut self, fetch: F) -> Options
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<String, E>> + Send + 'static,
        E: fmt::Display,
    {
        self.token = Some(TokenSource::new(fetch));
        self
    }

    /// The delays between attempts; from half a second to half a minute by default.
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Options {
        self.backoff = backoff;
        self
    }

    /// Whether every book is compared with its checksum; `false` by default. A book that differs
    /// is asked for anew and counted.
    ///
    /// *Cost:* a CRC-32 over at most twenty levels for each book message.
    #[must_use]
    pub fn verify_checksums(mut self, verify: bool) -> Options {
        self.verify_checksums = verify;
        self
    }

    /// Trusts the certificates in this PEM and no others, instead of the public authorities.
    #[must_use]
    pub fn trust_pem(mut self, pem: impl Into<Vec<u8>>) -> Options {
        self.trust = Some(pem.into());
        self
    }

    /// Connects, and gives a client when the service serves it. From then on it reconnects by
    /// itself.
    ///
    /// *Errors:* the first attempt has failed; [`Error::kind`] says whether another may help.
    /// *Panics:* outside of a tokio runtime.
    pub async fn connect(self) -> Result<Tickcast, Error> {
        let client = self.connect_lazily()?;
        client.first_attempt().await?;
        Ok(client)
    }

    /// Gives a client at once, which goes on trying to connect until it is dropped or told not to
    /// come back.
    ///
    /// *Errors:* the address or the certificates cannot be used. *Panics:* outside of a tokio
    /// runtime.
    pub fn connect_lazily(self) -> Result<Tickcast, Error> {
        let dialer = self.dialer()?;
        Ok(Tickcast::start(self, dialer))
    }

    /// Opens one connection, message by message, for those who keep state themselves. Nothing is
    /// asked again, no token is shown, and it is not made again.
    ///
    /// *Errors:* in words: address, DNS, TCP, TLS, handshake.
    pub async fn open(&self) -> Result<(SocketReader, SocketWriter), Error> {
        self.dialer()?.dial().await
    }

    /// The same over a stream that is open already, such as a tunnel or a connection within the
    /// process. Of the address only the host's name and the path count.
    ///
    /// *Errors:* in words: address, handshake.
    pub async fn open_over<S>(&self, stream: S) -> Result<(SocketReader, SocketWriter), Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (address, encoding) = (Address::parse(&self.url)?, self.encoding);
        let line = within("connection", DIAL_WITHIN, upgrade(stream, &address, encoding));
        Ok(halves(line.await?, encoding))
    }

    pub(crate) fn dialer(&self) -> Result<Dialer, Error> {
        let trust = match &self.trust {
            Some(pem) => Trust::pem(pem)?,
            None => Trust::public(),
        };
        if self.backoff.base.is_zero() || self.backoff.max < self.backoff.base {
            let said = format!("{:?} is no base up to {:?}", self.backoff.base, self.backoff.max);
            return Err(Error::Option { option: "backoff", said });
        }
        Ok(Dialer { address: Address::parse(&self.url)?, trust, encoding: self.encoding })
    }
}

impl Dialer {
    /// Opens a connection.
    pub(crate) async fn dial(&self) -> Result<(SocketReader, SocketWriter), Error> {
        let line = within("connection", DIAL_WITHIN, async {
            dial(&self.address, &self.trust, self.encoding).await
        });
        Ok(halves(line.await?, self.encoding))
    }
}

/// Gives up on what takes too long.
pub(crate) async fn within<T>(
    what: &'static str,
    limit: Duration,
    future: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let timeout = Error::Timeout { what, seconds: limit.as_secs() };
    tokio::time::timeout(limit, future).await.unwrap_or(Err(timeout))
}

/// Connects to a service with every option at its default.
///
/// *Errors:* the first attempt has failed. *Panics:* outside of a tokio runtime.
pub async fn connect(url: impl Into<String>) -> Result<Tickcast, Error> {
    Options::new(url).connect().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_cannot_work_are_refused_at_once() {
        let zero = Backoff { base: Duration::ZERO, max: Duration::from_secs(1) };
        let turned = Backoff { base: Duration::from_secs(2), max: Duration::from_secs(1) };
        for (options, words) in [
            (Options::new("nowhere"), "url"),
            (Options::new("ws://h").trust_pem("x"), "certificate"),
            (Options::new("ws://h").backoff(zero), "backoff"),
            (Options::new("ws://h").backoff(turned), "backoff"),
        ] {
            let error = options.dialer().unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}
