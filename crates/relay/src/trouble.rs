//! What keeps the bus from working, in words: for whoever asks whether this process is ready, and for
//! the log, where the same words come once in a while.

use async_nats::{ConnectErrorKind, Server};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tickcast_nats::Place;

/// The same trouble is logged so often.
const COMPLAINTS_EVERY: Duration = Duration::from_secs(30);

/// Troubles that are remembered, so that each is logged once in that time.
const COMPLAINTS_MAX: usize = 64;

/// Servers that are named; a cluster tells of more.
const SERVERS_MAX: usize = 5;

/// What most often is wrong with `tls://`.
const TLS_HINT: &str = " (with tls://: is the server's certificate trusted? bus.ca)";

/// The troubles of one connection.
#[derive(Debug)]
pub(crate) struct Troubles {
    /// Where NATS should be, without what is secret in it.
    place: String,
    hint: &'static str,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Of the last attempt to connect; the client tells only its kind.
    attempt: Option<String>,
    /// Each server that could not be reached, and why.
    servers: Vec<String>,
    /// Why it is not known who holds the lease.
    lease: Option<String>,
    /// What was logged, and when: it comes several times a second.
    told: Vec<(String, Instant)>,
}

impl Troubles {
    /// None yet, but that the lease has not been read.
    pub(crate) fn new(place: &Place, has_tls: bool) -> Troubles {
        let lease = Some("who holds the lease is not read yet".to_owned());
        Troubles {
            place: place.shown(),
            hint: if has_tls { TLS_HINT } else { "" },
            state: State { lease, ..State::default() }.into(),
        }
    }

    /// The connection stands.
    pub(crate) fn connected(&self) {
        let mut state = self.state();
        state.attempt = None;
        state.servers.clear();
    }

    /// No server of any address could be reached; [`Troubles::unreached`] says more of most reasons.
    pub(crate) fn not_connected(&self, kind: &str) {
        self.state().attempt = Some(kind.to_owned());
        if is_of_name(kind) {
            self.complain(&format!("not connected: {}", self.line()));
        }
    }

    /// What the client knows of each server before it tries them again.
    pub(crate) fn unreached(&self, servers: &[Server]) {
        let why = |server: &Server| {
            let error = plain(server.last_error.as_deref()?);
            Some(format!("{}: {error}{}", Place::shown_server(&server.addr), self.hint))
        };
        let servers: Vec<_> = servers.iter().filter_map(why).take(SERVERS_MAX).collect();
        if !servers.is_empty() {
            self.state().servers = servers;
            self.complain(&format!("not connected: {}", self.line()));
        }
    }

    /// Why the connection does not stand.
    pub(crate) fn line(&self) -> String {
        let state = self.state();
        match &state.attempt {
            // The client keeps what it knew of a server before its name was not found.
            Some(kind) if is_of_name(kind) => format!("{}: {kind}", self.place),
            _ if !state.servers.is_empty() => state.servers.join("; "),
            Some(kind) => format!("{}: {kind}{}", self.place, self.hint),
            None => format!("{}: not connected", self.place),
        }
    }

    /// What the server said of a subject, with the server.
    pub(crate) fn refusal(&self, words: &str) -> String {
        format!("{}: {words}", self.place)
    }

    /// Whether it is known who holds the lease; if not, why. While the line is cut the log has nothing to
    /// say of it.
    pub(crate) fn set_lease(&self, trouble: Option<String>, is_connected: bool) {
        if let Some(trouble) = &trouble
            && is_connected
            && self.is_news(trouble)
        {
            tracing::warn!("bus: {trouble}");
        }
        self.state().lease = trouble;
    }

    /// Why it is not known who holds the lease.
    pub(crate) fn lease(&self) -> Option<String> {
        self.state().lease.clone()
    }

    /// Logs what is wrong, unless it was logged lately.
    pub(crate) fn complain(&self, trouble: &str) {
        if self.is_news(trouble) {
            tracing::error!("bus: {trouble}");
        }
    }

    fn is_news(&self, trouble: &str) -> bool {
        let told = &mut self.state().told;
        told.retain(|(_, at)| at.elapsed() < COMPLAINTS_EVERY);
        let is_news =
            told.len() < COMPLAINTS_MAX && !told.iter().any(|(known, _)| known == trouble);
        if is_news {
            told.push((trouble.to_owned(), Instant::now()));
        }
        is_news
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether an address was not found by its name: of that the client keeps nothing with the server.
fn is_of_name(kind: &str) -> bool {
    kind == ConnectErrorKind::Dns.to_string()
}

/// `authorization violation: nats: authorization violation` says it twice.
fn plain(error: &str) -> &str {
    match error.split_once(": ") {
        Some((kind, source)) if source.ends_with(kind) => kind,
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn troubles() -> Troubles {
        let url = "nats://desk:sesame@h:4222".into();
        Troubles::new(&Place { url, ..Place::default() }, false)
    }

    #[test]
    fn the_last_attempt_says_why_without_secrets() {
        let troubles = troubles();
        assert_eq!(troubles.line(), "nats://***@h:4222: not connected");
        troubles.not_connected("DNS error");
        assert_eq!(troubles.line(), "nats://***@h:4222: DNS error");
        troubles.not_connected("timed out");
        assert_eq!(troubles.line(), "nats://***@h:4222: timed out");
        troubles.connected();
        assert_eq!(troubles.line(), "nats://***@h:4222: not connected");
    }

    #[test]
    fn the_same_is_said_once_and_something_else_at_once() {
        let troubles = troubles();
        assert!(troubles.is_news("a") && !troubles.is_news("a") && troubles.is_news("b"));
    }

    #[test]
    fn what_is_said_twice_is_said_once() {
        let check = |error: &str, expect: &str| assert_eq!(plain(error), expect);
        check("authorization violation: nats: authorization violation", "authorization violation");
        check(
            "IO error: Connection refused (os error 111)",
            "IO error: Connection refused (os error 111)",
        );
        check("timed out", "timed out");
    }
}
