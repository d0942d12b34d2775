//! What can go wrong between a client and its service, and what to do next.

use tickcast_wire::ErrorCode;

/// What to do about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The same may succeed later. A client that is connected does so by itself.
    Retry,
    /// The same will fail again: change the address, the token or the request first.
    Stop,
}

/// A fault of a connection or a refusal of the service, in words that name the place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address cannot be used.
    #[error("url: {url}: {said}")]
    Url {
        /// As it was given.
        url: String,
        /// What is wrong with it.
        said: String,
    },
    /// An option has a value that no service accepts.
    #[error("{option}: {said}")]
    Option {
        /// Its name.
        option: &'static str,
        /// The value and what is wrong with it.
        said: String,
    },
    /// The certificates to trust cannot be used.
    #[error("the trusted certificates cannot be used: {0}")]
    Trust(String),
    /// The host's name has no address.
    #[error("DNS: {host} cannot be resolved: {said}")]
    Dns {
        /// The name.
        host: String,
        /// The system's words.
        said: String,
    },
    /// Nobody takes the connection.
    #[error("TCP: {host}:{port} cannot be reached: {said}")]
    Tcp {
        /// The host's name or address.
        host: String,
        /// The port.
        port: u16,
        /// The system's words.
        said: String,
    },
    /// There is no trust, or no TLS at the other end.
    #[error("TLS with {host}: {said}")]
    Tls {
        /// The host's name.
        host: String,
        /// Why.
        said: String,
    },
    /// The answer to the handshake is none, or not that of a WebSocket.
    #[error("handshake: {0}")]
    Handshake(String),
    /// The service answered the handshake with another status than 101.
    #[error("handshake: the service answered {status}: {said}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The first words of the body.
        said: String,
        /// How long the service asks to be left alone, in seconds.
        retry_after: Option<u64>,
    },
    /// Something that is always answered was not in time.
    #[error("no {what} within {seconds} s")]
    Timeout {
        /// What was waited for.
        what: &'static str,
        /// For how long.
        seconds: u64,
    },
    /// The connection ended without a word, or with bytes that make no sense.
    #[error("the connection has failed: {0}")]
    Lost(String),
    /// Nothing was heard for three heartbeats.
    #[error("nothing was heard for {0} ms")]
    Silent(u64),
    /// The service has closed the connection, with a code and its reason.
    #[error("the service has closed the connection: {code} {reason}")]
    Closed {
        /// The close code; 1005 where none was sent.
        code: u16,
        /// Why, in words.
        reason: String,
    },
    /// A request was refused, or none of its symbols is served.
    #[error("{code} {error}")]
    Request {
        /// As in the protocol: 44xx or 45xx.
        code: u16,
        /// Why, in words that name the field and the value.
        error: String,
    },
    /// The service wants a token and there is none to show.
    #[error("token: the service wants one and none was given")]
    TokenMissing,
    /// The token callback has failed.
    #[error("token: {0}")]
    Token(String),
    /// There is no connection to send this over.
    #[error("not connected")]
    NotConnected,
    /// More waits to be sent than may.
    #[error("{0} requests wait to be sent, and no more may")]
    TooMany(usize),
    /// The client was closed by its own side.
    #[error("the client is closed")]
    ClientClosed,
}

impl Error {
    /// What to do next.
    pub fn kind(&self) -> ErrorKind {
        let stops = match self {
            Error::Url { .. }
            | Error::Option { .. }
            | Error::Trust(_)
            | Error::TokenMissing
            | Error::ClientClosed => true,
            Error::Refused { status, .. } => {
                (300..500).contains(status) && !matches!(status, 408 | 425 | 429)
            }
            Error::Closed { code, .. } | Error::Request { code, .. } => is_final(*code),
            Error::Dns { .. }
            | Error::Tcp { .. }
            | Error::Tls { .. }
            | Error::Handshake(_)
            | Error::Timeout { .. }
            | Error::Lost(_)
            | Error::Silent(_)
            | Error::Token(_)
            | Error::NotConnected
            | Error::TooMany(_) => false,
        };
        if stops { ErrorKind::Stop } else { ErrorKind::Retry }
    }

    /// The code of the protocol or of WebSocket, where there is one.
    pub const fn code(&self) -> Option<u16> {
        match self {
            Error::Closed { code, .. } | Error::Request { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// Whether another token may help: 4401, or 401 in the handshake.
    pub(crate) const fn asks_for_a_token(&self) -> bool {
        const NOT_AUTHENTICATED: u16 = ErrorCode::NotAuthenticated.number();
        match self {
            Error::Closed { code, .. } | Error::Request { code, .. } => *code == NOT_AUTHENTICATED,
            Error::Refused { status, .. } => *status == 401,
            _ => false,
        }
    }
}

/// 44xx: do not come back unchanged.
pub(crate) const fn is_final(code: u16) -> bool {
    code >= 4400 && code < 4500
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_say_whether_to_come_back() {
        let closed = |code| Error::Closed { code, reason: String::new() };
        for code in [4400, 4401, 4403, 4404, 4413, 4499] {
            assert_eq!(closed(code).kind(), ErrorKind::Stop, "{code}");
        }
        for code in [1000, 1001, 1002, 1005, 1006, 1009, 4500, 4503, 4508, 4529, 4999, 3000] {
            assert_eq!(closed(code).kind(), ErrorKind::Retry, "{code}");
        }
    }

    #[test]
    fn a_handshake_that_is_refused_for_now_is_tried_again() {
        let refused = |status| Error::Refused { status, said: String::new(), retry_after: None };
        for (status, kind) in [
            (400, ErrorKind::Stop),
            (401, ErrorKind::Stop),
            (403, ErrorKind::Stop),
            (404, ErrorKind::Stop),
            (301, ErrorKind::Stop),
            (408, ErrorKind::Retry),
            (429, ErrorKind::Retry),
            (500, ErrorKind::Retry),
            (502, ErrorKind::Retry),
            (503, ErrorKind::Retry),
            (200, ErrorKind::Retry),
        ] {
            assert_eq!(refused(status).kind(), kind, "{status}");
        }
        assert!(refused(401).asks_for_a_token());
    }
}
