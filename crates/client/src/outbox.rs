//! Requests that wait to be sent. What asks for the same goes into one: a service reads ten
//! requests a second, and somebody may subscribe to hundreds of names one by one.
//!
//! Reads no clock; the present is an argument.

use crate::gather::{Passed, join, join_ended};
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use tickcast_wire::{ReqId, Request};

/// Subscribes and unsubscribes are sent when none has come for so long.
const QUIET: Duration = Duration::from_millis(2);

/// They wait no longer than this for others.
const GATHER_MAX: Duration = Duration::from_millis(20);

/// Requests in the order in which they were made.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    queue: VecDeque<Queued>,
    /// When the first and the last of those that are gathered came.
    gathering: Option<(Instant, Instant)>,
}

#[derive(Debug)]
struct Queued {
    request: Request,
    /// Others may go into it, and it into others.
    joins: bool,
}

impl Outbox {
    /// Queues a request that others may join.
    pub(crate) fn push(&mut self, request: Request, now: Instant) {
        let first = self.gathering.map_or(now, |(first, _)| first);
        self.gathering = Some((first, now));
        self.queue.push_back(Queued { request, joins: true });
    }

    /// Queues a request that goes by itself.
    pub(crate) fn push_alone(&mut self, request: Request) {
        self.queue.push_back(Queued { request, joins: false });
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(crate) fn clear(&mut self) {
        self.queue.clear();
        self.gathering = None;
    }

    /// How long the next request has to wait for others that may come; `None` where there is none.
    pub(crate) fn wait(&self, now: Instant) -> Option<Duration> {
        let ready = match self.gathering {
            Some((first, last)) if self.queue.front()?.joins => {
                (last + QUIET).min(first + GATHER_MAX)
            }
            _ => now,
        };
        self.queue.front().map(|_| ready.saturating_duration_since(now))
    }

    /// The next request with all that go into it, and their numbers, which are not needed any more.
    pub(crate) fn take(&mut self) -> Option<(Request, Vec<ReqId>)> {
        let Queued { mut request, joins } = self.queue.pop_front()?;
        let joined = match &mut request {
            Request::Subscribe { params, .. } if joins => self.join(|other, passed| {
                matches!(other, Request::Subscribe { params: more, .. }
                    if passed.lets(more) && join(params, more))
            }),
            Request::Unsubscribe { params, .. } if joins => self.join(|other, passed| {
                matches!(other, Request::Unsubscribe { params: more, .. }
                    if passed.lets_end(more) && join_ended(params, more))
            }),
            _ => Vec::new(),
        };
        if !self.queue.iter().any(|queued| queued.joins) {
            self.gathering = None;
        }
        Some((request, joined))
    }

    /// Takes out what goes into another; gives the numbers.
    fn join(&mut self, mut goes: impl FnMut(&Request, &Passed) -> bool) -> Vec<ReqId> {
        let mut passed = Passed::default();
        let mut joined = Vec::new();
        self.queue.retain(|queued| {
            let is_joined = queued.joins && goes(&queued.request, &passed);
            if is_joined {
                joined.extend(queued.request.req_id().cloned());
            } else {
                passed.note(&queued.request);
            }
            !is_joined
        });
        joined
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tickcast_wire::{Pattern, Subscribe, Unsubscribe, View};

    fn request(number: i64, text: &str) -> Request {
        let req_id = Some(ReqId::from_integer(number));
        let (sign, symbol) = text.split_at(1);
        let symbols = vec![Pattern::new(symbol)];
        match sign {
            "-" => {
                let params = Unsubscribe { view: View::Ticker, symbols };
                Request::Unsubscribe { req_id, params }
            }
            rate => {
                let max_rate = Some(rate.parse().expect("a rate"));
                let params = Subscribe { max_rate, ..Subscribe::new(View::Ticker, symbols) };
                Request::Subscribe { req_id, params }
            }
        }
    }

    /// Each of `wishes` is `-` or a rate, then a symbol; each of the requests the same with several.
    #[track_caller]
    fn check(wishes: &[&str], expected: &[&str]) {
        let now = Instant::now();
        let mut outbox = Outbox::default();
        for (number, wish) in wishes.iter().enumerate() {
            outbox.push(request(number as i64, wish), now);
        }
        let mut sent = Vec::new();
        let mut numbers = 0;
        while let Some((request, joined)) = outbox.take() {
            numbers += 1 + joined.len();
            let (sign, symbols) = match request {
                Request::Subscribe { params, .. } => {
                    (params.max_rate.unwrap_or_default().to_string(), params.symbols)
                }
                Request::Unsubscribe { params, .. } => ("-".to_owned(), params.symbols),
                _ => continue,
            };
            let symbols: Vec<&str> = symbols.iter().map(Pattern::as_str).collect();
            sent.push(format!("{sign}{}", symbols.join(" ")));
        }
        assert_eq!(sent, expected);
        assert_eq!(numbers, wishes.len(), "every request is answered for");
    }

    #[test]
    fn what_asks_for_the_same_goes_into_one() {
        check(&["4a:X", "4a:Y", "1a:Z", "4a:V"], &["4a:X a:Y a:V", "1a:Z"]);
        check(&["4a:X", "-a:V", "4a:Y", "-a:W"], &["4a:X a:Y", "-a:V a:W"]);
    }

    #[test]
    fn what_is_said_of_one_symbol_stays_in_order() {
        check(&["4a:X", "-a:X", "4a:X", "4a:Y"], &["4a:X a:Y", "-a:X", "4a:X"]);
        check(&["4a:X", "1a:Y", "4a:Y", "1a:Y"], &["4a:X", "1a:Y", "4a:Y", "1a:Y"]);
        check(&["1a:*", "4*", "1b:*", "1a:X"], &["1a:* a:X", "4*", "1b:*"]);
    }

    #[test]
    fn the_first_waits_for_others_but_not_for_ever() {
        let start = Instant::now();
        let mut outbox = Outbox::default();
        assert_eq!(outbox.wait(start), None);
        outbox.push(request(1, "4a:X"), start);
        assert_eq!(outbox.wait(start), Some(QUIET));
        for at in 1..=20 {
            outbox.push(request(1 + at, "4a:Y"), start + Duration::from_millis(at as u64));
        }
        assert_eq!(outbox.wait(start + GATHER_MAX), Some(Duration::ZERO));
        outbox.clear();
        outbox.push_alone(request(1, "4a:X"));
        assert_eq!(outbox.wait(start), Some(Duration::ZERO));
    }
}
