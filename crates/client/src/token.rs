//! Where tokens come from, and when the next is fetched.

use crate::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

type Fetching = Pin<Box<dyn Future<Output = Result<String, Error>> + Send>>;

/// Gives a token each time one is needed.
#[derive(Clone)]
pub(crate) struct TokenSource(Arc<dyn Fn() -> Fetching + Send + Sync>);

impl TokenSource {
    pub(crate) fn new<F, R, E>(fetch: F) -> TokenSource
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<String, E>> + Send + 'static,
        E: fmt::Display,
    {
        TokenSource(Arc::new(move || {
            let fetching = fetch();
            Box::pin(async move { fetching.await.map_err(|error| Error::Token(error.to_string())) })
        }))
    }

    pub(crate) async fn fetch(&self) -> Result<String, Error> {
        self.0().await
    }
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenSource")
    }
}

/// A token is replaced so long before its end, or when four fifths of its time have passed.
const BEFORE_END: Duration = Duration::from_secs(60);

/// Between two calls for a new token lies so much time, or half of what the old one has left.
pub(crate) const REFRESH_AGAIN: Duration = Duration::from_secs(5);

/// And at least this.
pub(crate) const REFRESH_PAUSE_MIN: Duration = Duration::from_millis(250);

/// How long to wait before a token that lasts for `left` is replaced.
pub(crate) fn refresh_after(left: Duration) -> Duration {
    left - BEFORE_END.min(left / 5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_replaced_before_it_ends() {
        for (left, after) in [(3600, 3540.0), (300, 240.0), (10, 8.0), (1, 0.8), (0, 0.0)] {
            let got = refresh_after(Duration::from_secs(left)).as_secs_f64();
            assert!((got - after).abs() < 1e-6, "{left}: {got}");
        }
    }

    #[tokio::test]
    async fn the_words_of_a_callback_that_fails_are_kept() {
        let source = TokenSource::new(async || Err::<String, _>("no such user"));
        let error = source.fetch().await.unwrap_err();
        assert_eq!(error, Error::Token("no such user".into()));
        assert!(!format!("{source:?}").contains("user"));
    }
}
