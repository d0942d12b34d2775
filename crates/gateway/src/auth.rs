//! Who may come in: the token of a request is looked for and judged.
//!
//! What is read here is judged on the door's threads: no signature is verified on a shard's.

use crate::entitlement::Entitlements;
use crate::identity::{Identity, Seat, Seats, Who};
use crate::metrics::Metrics;
use crate::refusal::Refusal;
use crate::refusal_reason::Reason;
use crate::token_keys::KeyError;
use crate::tokens::{Secret, TokenError, Tokens};
use std::fmt;
use std::sync::Arc;
use tickcast_market::Nanos;
use tickcast_wire::{ErrorCode, percent_decode};

/// How many connections an identity may have unless its token, or the operator, says otherwise.
pub const IDENTITY_CONNECTIONS_MAX: usize = 1_000;

/// The rule of who may come in.
pub struct Auth {
    tokens: Option<Tokens>,
    /// Who comes without a token.
    nobody: Who,
    connections_max: usize,
    seats: Arc<Seats>,
    clock: Box<dyn Fn() -> Nanos + Send + Sync>,
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth").field("tokens", &self.tokens).finish_non_exhaustive()
    }
}

/// Somebody who may come in.
#[derive(Debug)]
pub struct Admitted {
    /// Who it is.
    pub who: Who,
    /// The connection's place among those of its identity.
    pub seat: Option<Seat>,
}

/// Why somebody may not: for HTTP a [`Refusal`], in band an error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// There is no token where one is needed.
    #[error("a token is needed: Authorization: Bearer …, or ?token=…")]
    Missing,
    /// Nobody here understands tokens.
    #[error("this service takes no tokens")]
    Untaken,
    /// The token is not good.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The identity has as many connections as it may have.
    #[error("{0} connections of this identity are as many as it may have")]
    Seats(usize),
    /// A connection cannot become another identity's.
    #[error("the token is not of {0:?}, to whom this connection belongs")]
    Other(Box<str>),
}

impl AuthError {
    /// The code for answers and close frames.
    pub fn code(&self) -> ErrorCode {
        match self {
            AuthError::Missing | AuthError::Token(_) => ErrorCode::NotAuthenticated,
            AuthError::Untaken | AuthError::Other(_) => ErrorCode::BadRequest,
            AuthError::Seats(_) => ErrorCode::TooManyRequests,
        }
    }

    fn refusal(&self) -> Refusal {
        match self {
            AuthError::Seats(_) => Refusal::too_many(Reason::IdentityConnections, self.to_string()),
            AuthError::Missing => Refusal::unauthorized(Reason::TokenMissing, self.to_string()),
            _ => Refusal::unauthorized(Reason::Token, self.to_string()),
        }
    }
}

impl Auth {
    /// Everybody may come in, and nobody has to say who he is.
    pub fn open() -> Auth {
        Auth::new(None, Who::Anybody, IDENTITY_CONNECTIONS_MAX, || Nanos::ZERO)
    }

    /// Tokens are judged by `tokens`; who comes without one is `nobody`. An identity has at most
    /// `connections_max` connections unless its token says fewer. `clock` is the wall clock.
    pub fn new(
        tokens: Option<Tokens>,
        nobody: Who,
        connections_max: usize,
        clock: impl Fn() -> Nanos + Send + Sync + 'static,
    ) -> Auth {
        let seats = Arc::default();
        Auth { tokens, nobody, connections_max, seats, clock: Box::new(clock) }
    }

    /// Who a request comes from.
    ///
    /// *Errors:* the token is no good, or missing and needed.
    pub(crate) fn identify(&self, token: Option<&Secret>) -> Result<Who, AuthError> {
        match (token, &self.tokens, &self.nobody) {
            (None, _, Who::Unknown) => Err(AuthError::Missing),
            // Where nobody needs a token one that is shown does no harm.
            (None, _, nobody) | (Some(_), None, nobody) => Ok(nobody.clone()),
            (Some(token), Some(tokens), _) => {
                let identity = tokens.verify(token.text(), (self.clock)())?;
                Ok(Who::Known(Arc::new(identity)))
            }
        }
    }

    /// Who a connection comes from, with its seat. `may_wait`: the client can say it later, in band.
    ///
    /// *Errors:* what to answer.
    pub(crate) fn admit(
        &self,
        token: Option<&Secret>,
        may_wait: bool,
    ) -> Result<Admitted, Refusal> {
        let admitted = match self.identify(token) {
            Err(AuthError::Missing) if may_wait => Ok(Admitted { who: Who::Unknown, seat: None }),
            who => who.and_then(|who| self.seat(who)),
        };
        admitted.map_err(|error| error.refusal())
    }

    /// The same for a request that is no connection of its own.
    pub(crate) fn admit_request(&self, token: Option<&Secret>) -> Result<Who, Refusal> {
        self.identify(token).map_err(|error| error.refusal())
    }

    fn seat(&self, who: Who) -> Result<Admitted, AuthError> {
        let seat = match &who {
            Who::Known(identity) if !self.is_nobody(identity) => {
                let most = identity.connections_max.unwrap_or(usize::MAX).min(self.connections_max);
                let seat = self.seats.take(&identity.sub, most);
                Some(seat.ok_or(AuthError::Seats(most))?)
            }
            _ => None,
        };
        Ok(Admitted { who, seat })
    }

    fn is_nobody(&self, identity: &Arc<Identity>) -> bool {
        self.nobody.identity().is_some_and(|nobody| Arc::ptr_eq(nobody, identity))
    }

    /// The answer to a token that was shown in band by a connection that belongs to `held` so far.
    ///
    /// *Errors:* why it is not taken; the connection stays what it was.
    pub(crate) fn judge(&self, token: &Secret, held: &Who) -> Result<Admitted, AuthError> {
        if self.tokens.is_none() {
            return Err(AuthError::Untaken);
        }
        let who = self.identify(Some(token))?;
        match (held.identity().filter(|held| !self.is_nobody(held)), who.identity()) {
            (Some(held), Some(new)) if held.sub != new.sub => {
                Err(AuthError::Other(held.sub.clone()))
            }
            // It keeps the seat that it has.
            (Some(_), _) => Ok(Admitted { who, seat: None }),
            (None, _) => self.seat(who),
        }
    }

    /// Reads the keys again. *Errors* name the file; then nothing has changed.
    pub fn reload(&self) -> Result<(), KeyError> {
        self.tokens.as_ref().map_or(Ok(()), Tokens::reload)
    }

    /// [`Auth::reload`], told to the log and the metrics.
    pub fn reload_and_tell(&self, metrics: &Metrics) {
        if self.tokens.is_none() {
            return;
        }
        let result = match self.reload() {
            Ok(()) => {
                tracing::info!("keys for tokens reloaded");
                "ok"
            }
            Err(error) => {
                tracing::error!(%error, "keys for tokens not reloaded, the old ones stay");
                "failed"
            }
        };
        metrics.key_reloads.with_label_values(&[result]).inc();
    }

    /// Reloads whenever the files of keys have changed, for ever.
    pub async fn watch(&self, metrics: &Metrics) {
        match &self.tokens {
            Some(tokens) => tokens.files().watch(|| self.reload_and_tell(metrics)).await,
            None => std::future::pending().await,
        }
    }

    /// Who comes without a token may receive just this.
    pub fn restricted(entitlements: Entitlements) -> Who {
        Who::Known(Arc::new(Identity {
            sub: "anonymous".into(),
            expires_at: Nanos::MAX,
            entitlements,
            subscriptions_max: None,
            connections_max: None,
            rates: None,
        }))
    }
}

/// The token of a request: in the header `Authorization`, or else as `token` in the query.
///
/// *Errors:* the query has more than one, or one that is no text.
pub(crate) fn token_of(
    authorization: Option<&str>,
    query: &str,
) -> Result<Option<Secret>, Refusal> {
    // Other schemes are meant for somebody before us.
    if let Some((scheme, token)) = authorization.and_then(|value| value.split_once(' '))
        && scheme.eq_ignore_ascii_case("bearer")
    {
        return Ok(Some(Secret::new(token.trim())));
    }
    let mut values = query.split('&').filter_map(|pair| pair.strip_prefix("token="));
    let Some(token) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Refusal::bad_request("token: given twice"));
    }
    // What is wrong with it is not repeated.
    let token = percent_decode(token)
        .map_err(|_| Refusal::bad_request("token: is not percent-encoded UTF-8"))?;
    Ok(Some(Secret::new(token)))
}

/// A query without its token: the rest is anybody's business.
pub(crate) fn without_token(query: &str) -> String {
    if !query.contains("token=") {
        return query.to_owned();
    }
    let kept: Vec<&str> = query.split('&').filter(|pair| !pair.starts_with("token=")).collect();
    kept.join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_of_a_request_is_found_in_its_header_or_else_in_its_query() {
        let found = |header, query| {
            token_of(header, query).map(|token| token.map(|token| token.text().to_owned()))
        };
        assert_eq!(found(Some("Bearer a.b.c"), "token=x"), Ok(Some("a.b.c".into())));
        assert_eq!(found(Some("bearer  a.b.c "), ""), Ok(Some("a.b.c".into())));
        assert_eq!(found(Some("Basic abc"), "channel=ticker&token=x%2Ey"), Ok(Some("x.y".into())));
        assert_eq!(found(None, "channel=ticker&mytoken=x"), Ok(None));
        assert!(token_of(None, "token=a&token=b").is_err());
        let refusal = token_of(None, "token=secret%zz").unwrap_err();
        assert!(!refusal.error.contains("secret"), "{}", refusal.error);
        assert_eq!(without_token("channel=ticker&token=x&symbol=a"), "channel=ticker&symbol=a");
    }
}
