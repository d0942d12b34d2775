//! What the server has refused to this process: subjects for which it lacks permission. A refused
//! subscription is not known to the server, so it is made again until it is granted.

use crate::bus::Bus;
use async_nats::{Message, SubscribeError, Subscriber};
use futures_util::StreamExt;
use rustc_hash::FxHashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::time::sleep_until;

/// A refused subscription is made again after this.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Without another refusal for so long it is taken as granted.
const GRANTED_AFTER: Duration = Duration::from_millis(500);

/// Refused lately means within this; longer than what passes between two attempts.
const LATELY: Duration = Duration::from_secs(3);

/// The words of the server before the subject.
const REFUSED: [&str; 2] = ["for Publish to \"", "for Subscription to \""];

#[derive(Debug, Default)]
struct State {
    last: Option<(Instant, String)>,
    last_publish: Option<Instant>,
    waiting: FxHashMap<String, Arc<Notify>>,
    lost_inbox: bool,
}

/// The refusals of one connection.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<State>);

impl Refusals {
    /// Takes note of what the server says of permissions; whether it did.
    pub(crate) fn take(&self, error: &str) -> bool {
        let found = REFUSED.iter().find_map(|words| Some((*words, error.split_once(words)?.1)));
        let Some((words, rest)) = found.filter(|_| error.contains("Permissions Violation")) else {
            return false;
        };
        let subject = rest.split('"').next().unwrap_or_default();
        let mut state = self.state();
        let now = Instant::now();
        let said = error.strip_prefix("nats: ").unwrap_or(error);
        state.last = Some((now, said.to_owned()));
        if words == REFUSED[0] {
            state.last_publish = Some(now);
        } else if let Some(refused) = state.waiting.get(subject) {
            refused.notify_one();
        } else {
            state.lost_inbox |= subject.starts_with("_INBOX.");
        }
        true
    }

    /// What was refused lately, in the server's words.
    pub(crate) fn recent(&self) -> Option<String> {
        let state = self.state();
        let lately = state.last.as_ref().filter(|(last, _)| last.elapsed() < LATELY);
        lately.map(|(_, words)| words.clone())
    }

    /// Whether something that this process said was refused lately.
    pub(crate) fn is_silenced(&self) -> bool {
        self.state().last_publish.is_some_and(|last| last.elapsed() < LATELY)
    }

    /// Whether answers cannot come: only a new connection subscribes to them again.
    pub(crate) fn take_lost_inbox(&self) -> bool {
        std::mem::take(&mut self.state().lost_inbox)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a subscription tells.
#[derive(Debug)]
pub(crate) enum Heard {
    Message(Message),
    /// The server refuses it; it is made again.
    Refused,
    /// It is not refused any more.
    Granted,
}

/// How far a subscription is.
#[derive(Clone, Copy, Debug)]
enum Phase {
    /// Not refused.
    Taken,
    /// It is made again at this time.
    Refused(Instant),
    /// It was, and is taken as granted at this time.
    Made(Instant),
}

/// A subscription that is made again for ever.
#[derive(Debug)]
pub(crate) struct Subscription {
    bus: Bus,
    subject: String,
    subscriber: Subscriber,
    refused: Arc<Notify>,
    phase: Phase,
}

impl Subscription {
    /// Subscribes. *Errors:* the client has ended.
    pub(crate) async fn new(bus: &Bus, subject: String) -> Result<Subscription, SubscribeError> {
        let refused = Arc::<Notify>::default();
        bus.refusals.state().waiting.insert(subject.clone(), refused.clone());
        let subscriber = bus.client.subscribe(subject.clone()).await?;
        Ok(Subscription { bus: bus.clone(), subject, subscriber, refused, phase: Phase::Taken })
    }

    /// The next thing; `None` when the client has ended. It may be dropped while it waits.
    pub(crate) async fn next(&mut self) -> Option<Heard> {
        loop {
            match self.phase {
                Phase::Taken => {
                    return tokio::select! {
                        () = self.refused.notified() => {
                            self.phase = Phase::Refused(Instant::now() + AGAIN_AFTER);
                            Some(Heard::Refused)
                        }
                        message = self.subscriber.next() => message.map(Heard::Message),
                    };
                }
                Phase::Refused(again_at) => {
                    sleep_until(again_at.into()).await;
                    let subject = self.subject.clone();
                    self.subscriber = self.bus.client.subscribe(subject).await.ok()?;
                    self.phase = Phase::Made(Instant::now() + GRANTED_AFTER);
                }
                Phase::Made(granted_at) => tokio::select! {
                    () = self.refused.notified() => {
                        self.phase = Phase::Refused(Instant::now() + AGAIN_AFTER);
                    }
                    () = sleep_until(granted_at.into()) => {
                        self.phase = Phase::Taken;
                        return Some(Heard::Granted);
                    }
                },
            }
        }
    }

    /// The next message, whatever is refused meanwhile.
    pub(crate) async fn next_message(&mut self) -> Option<Message> {
        loop {
            if let Heard::Message(message) = self.next().await? {
                return Some(message);
            }
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut state = self.bus.refusals.state();
        // Another one of the same subject may have been made since.
        if state.waiting.get(&self.subject).is_some_and(|one| Arc::ptr_eq(one, &self.refused)) {
            state.waiting.remove(&self.subject);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_refused_is_told_apart() {
        let refusals = Refusals::default();
        assert!(!refusals.take("nats: Stale Connection"));
        assert_eq!(refusals.recent(), None);
        assert!(refusals.take("nats: Permissions Violation for Subscription to \"_INBOX.a.*\""));
        let words = "Permissions Violation for Subscription to \"_INBOX.a.*\"";
        assert_eq!(refusals.recent().as_deref(), Some(words));
        assert!(!refusals.is_silenced());
        assert!(refusals.take_lost_inbox() && !refusals.take_lost_inbox());
        assert!(refusals.take("nats: Permissions Violation for Publish to \"tickcast.v1._.beat\""));
        assert!(refusals.is_silenced());
    }
}
