//! REST requests: the queue with its pacing, which is plain data, and the fetch itself.

use crate::driver::backoff::Pacer;
use crate::driver::connect::Connector;
use bytes::BytesMut;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::{Request, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use std::collections::VecDeque;
use std::time::Duration;
use tickcast_market::Nanos;

/// The most requests that wait; more are refused in words.
pub(crate) const GETS_MAX: usize = 16_384;
/// The most requests under way at a time.
const UNDER_WAY_MAX: usize = 4;
/// The largest answer.
const BODY_BYTES_MAX: usize = 32 << 20;
/// How long a venue that says "too many requests" is left alone when it does not say.
const HOLD_DEFAULT: Nanos = Nanos::from_secs(60);
/// The longest that it may ask for.
pub(crate) const HOLD_MAX: Nanos = Nanos::from_secs(3600);

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GetError {
    /// The HTTP status; 0 without an answer.
    pub(crate) status: u16,
    /// What the venue asked us to wait.
    pub(crate) retry_after: Option<Nanos>,
    /// In words.
    pub(crate) reason: String,
}

/// Requests that wait for their time and turn.
#[derive(Debug, Default)]
pub(crate) struct GetQueue {
    waiting: VecDeque<(Nanos, String)>,
    under_way: usize,
    pacer: Pacer,
}

impl GetQueue {
    /// Queues a request; false when there is no room.
    pub(crate) fn push(&mut self, not_before: Nanos, url: String) -> bool {
        let fits = self.waiting.len() < GETS_MAX;
        if fits {
            self.waiting.push_back((not_before, url));
        }
        fits
    }

    /// The next request that may go out; [`GetQueue::ended`] must follow each.
    pub(crate) fn pop(&mut self, now: Nanos, gap: Nanos) -> Option<String> {
        if self.under_way >= UNDER_WAY_MAX || now < self.pacer.free_at() {
            return None;
        }
        let due = self.waiting.iter().position(|(not_before, _)| now >= *not_before)?;
        self.pacer.take(now, gap);
        self.under_way += 1;
        self.waiting.remove(due).map(|(_, url)| url)
    }

    /// A request has ended; after "too many requests" everything waits.
    pub(crate) fn ended(&mut self, error: Option<&GetError>, now: Nanos) {
        self.under_way = self.under_way.saturating_sub(1);
        if let Some(error) = error
            && (matches!(error.status, 418 | 429) || error.retry_after.is_some())
        {
            let hold = error.retry_after.unwrap_or(HOLD_DEFAULT).clamp(Nanos::ZERO, HOLD_MAX);
            self.pacer.hold(now.plus(hold));
        }
    }

    /// When [`GetQueue::pop`] will next give something.
    pub(crate) fn deadline(&self) -> Nanos {
        if self.under_way >= UNDER_WAY_MAX {
            return Nanos::MAX;
        }
        let first = self.waiting.iter().map(|(not_before, _)| *not_before).min();
        first.map_or(Nanos::MAX, |at| at.max(self.pacer.free_at()))
    }
}

/// Fetches one resource, over a connection of its own.
///
/// *Errors:* [`GetError`] for any status but 200, no answer within `timeout`, or a body above the
/// limit.
pub(crate) async fn get(
    connector: &Connector,
    url: &str,
    timeout: Duration,
) -> Result<BytesMut, GetError> {
    match tokio::time::timeout(timeout, get_unbounded(connector, url)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(no_answer(format!("GET {url}: no answer within {timeout:?}"))),
    }
}

fn no_answer(reason: String) -> GetError {
    GetError { status: 0, retry_after: None, reason }
}

async fn get_unbounded(connector: &Connector, url: &str) -> Result<BytesMut, GetError> {
    let failed = |what: &dyn std::fmt::Display| no_answer(format!("GET {url}: {what}"));
    let uri: Uri = url.parse().map_err(|error| failed(&error))?;
    let stream = connector.open(&uri).await.map_err(|error| failed(&error))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| failed(&error))?;
    let pump = tokio::spawn(connection);
    let outcome = async {
        let request = Request::get(uri.path_and_query().map_or("/", |path| path.as_str()))
            .header(header::HOST, uri.authority().map_or("", |host| host.as_str()))
            .header(header::USER_AGENT, crate::driver::connect::USER_AGENT)
            .header(header::ACCEPT, "application/json")
            .header(header::CONNECTION, "close")
            .body(Empty::<Bytes>::new())
            .map_err(|error| failed(&error))?;
        let response = sender.send_request(request).await.map_err(|error| failed(&error))?;
        let status = response.status();
        let retry_after = retry_after(response.headers());
        let body = Limited::new(response.into_body(), BODY_BYTES_MAX)
            .collect()
            .await
            .map_err(|error| failed(&error))?
            .to_bytes();
        if status == StatusCode::OK {
            // The parser changes it in place; nobody else holds these bytes.
            return Ok(BytesMut::from(body));
        }
        let said = String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
        let reason = format!("GET {url}: {status}: {said}");
        Err(GetError { status: status.as_u16(), retry_after, reason })
    }
    .await;
    pump.abort();
    outcome
}

/// What `Retry-After` says, in its form of seconds.
pub(crate) fn retry_after(headers: &hyper::HeaderMap) -> Option<Nanos> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    let secs: u32 = text.trim().parse().ok()?;
    Some(Nanos::from_secs(i64::from(secs)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, retry_after: Option<Nanos>) -> GetError {
        GetError { status, retry_after, reason: String::new() }
    }

    #[test]
    fn requests_go_out_in_order_a_gap_apart_and_not_before_their_time() {
        let mut queue = GetQueue::default();
        assert!(queue.push(Nanos(50), "late".into()));
        assert!(queue.push(Nanos(0), "a".into()));
        assert!(queue.push(Nanos(0), "b".into()));
        assert_eq!(queue.pop(Nanos(1), Nanos(10)).as_deref(), Some("a"));
        assert_eq!(queue.pop(Nanos(2), Nanos(10)), None);
        assert_eq!(queue.deadline(), Nanos(11));
        assert_eq!(queue.pop(Nanos(11), Nanos(10)).as_deref(), Some("b"));
        assert_eq!(queue.deadline(), Nanos(50));
        assert_eq!(queue.pop(Nanos(50), Nanos(10)).as_deref(), Some("late"));
    }

    #[test]
    fn too_many_requests_holds_everything_for_as_long_as_the_venue_says() {
        let mut queue = GetQueue::default();
        queue.push(Nanos(0), "a".into());
        queue.push(Nanos(0), "b".into());
        queue.pop(Nanos(0), Nanos(0)).unwrap();
        queue.ended(Some(&refused(429, Some(Nanos::from_secs(7)))), Nanos(0));
        assert_eq!(queue.pop(Nanos::from_millis(6_999), Nanos(0)), None);
        assert_eq!(queue.deadline(), Nanos::from_secs(7));
        assert!(queue.pop(Nanos::from_secs(7), Nanos(0)).is_some());
        queue.ended(Some(&refused(500, None)), Nanos::from_secs(7));
        queue.push(Nanos(0), "c".into());
        assert!(queue.pop(Nanos::from_secs(7), Nanos(0)).is_some(), "a 500 holds nobody else");
    }

    #[test]
    fn few_requests_are_under_way_at_a_time_and_few_wait() {
        let mut queue = GetQueue::default();
        for _ in 0..GETS_MAX {
            assert!(queue.push(Nanos(0), String::new()));
        }
        assert!(!queue.push(Nanos(0), String::new()));
        let out = std::iter::from_fn(|| queue.pop(Nanos(0), Nanos(0))).count();
        assert_eq!(out, UNDER_WAY_MAX);
        assert_eq!(queue.deadline(), Nanos::MAX);
        queue.ended(None, Nanos(0));
        assert!(queue.pop(Nanos(0), Nanos(0)).is_some());
    }
}
