//! Where the answers of REST are made: beside the door's thread, few at a time, and with a bound on
//! what all clients together may be slow to take.
//!
//! *Invariant:* accepting connections never waits for an answer to be made.

use crate::http::Source;
use crate::identity::Who;
use crate::refusal::Refusal;
use crate::refusal_reason::Reason;
use hyper::body::Bytes;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;

/// Answers that are made at the same time; others wait.
const MAKING_MAX: usize = 4;

/// Answers that were made and not taken yet, in KiB; beyond it 503.
const HELD_KIB_MAX: usize = 128 << 10;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Instruments,
    Snapshot,
}

/// The room for answers.
#[derive(Debug)]
pub(crate) struct Rest {
    making: Semaphore,
    held: Arc<Semaphore>,
}

/// An answer that keeps its room until it has been taken.
struct Held {
    body: Vec<u8>,
    _room: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

impl Rest {
    pub(crate) fn new() -> Rest {
        Rest { making: Semaphore::new(MAKING_MAX), held: Arc::new(Semaphore::new(HELD_KIB_MAX)) }
    }

    /// Makes an answer.
    ///
    /// *Errors:* what is wrong with the query; 503 while others do not take theirs.
    pub(crate) async fn make(
        &self,
        source: Arc<dyn Source>,
        asked: Asked,
        query: String,
        who: Who,
    ) -> Result<Bytes, Refusal> {
        let making = self.making.acquire().await.expect("nobody closes it");
        let made = spawn_blocking(move || {
            let mut body = Vec::new();
            match asked {
                Asked::Instruments => source.instruments(&query, &who, &mut body)?,
                Asked::Snapshot => source.snapshot(&query, &who, &mut body)?,
            }
            body.shrink_to_fit();
            Ok(body)
        });
        let made = made.await.map_err(|error| Refusal::internal(format!("REST: {error}")))?;
        drop(making);
        self.hold(made?)
    }

    fn hold(&self, body: Vec<u8>) -> Result<Bytes, Refusal> {
        let kib = u32::try_from((body.len() >> 10) + 1).unwrap_or(u32::MAX);
        match self.held.clone().try_acquire_many_owned(kib) {
            Ok(room) => Ok(Bytes::from_owner(Held { body, _room: room })),
            Err(_) => Err(Refusal::overloaded(Reason::Rest, "too many answers wait to be taken")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_that_nobody_takes_are_bounded_and_give_their_room_back() {
        let rest = Rest::new();
        let body = || vec![b'x'; 16 << 20];
        let held: Vec<_> = (0..20).map_while(|_| rest.hold(body()).ok()).collect();
        assert_eq!(held.len(), 7, "of 16 MiB each, in 128 MiB");
        let refusal = rest.hold(body()).unwrap_err();
        assert_eq!((refusal.status, refusal.reason), (503, Reason::Rest));
        drop(held);
        assert!(rest.hold(body()).is_ok());
    }
}
