//! What the gateway's end asks for: what is missing, what was not answered, what may have been lost.

use crate::follower::{Command, Follower, Question, run_of};
use crate::messages::{Answers, Ask, Asks, ListRequest};
use crate::stream::{StreamKey, VIEWS, view_name};
use prost::Message;
use rustc_hash::FxHashSet;
use tickcast_market::{InstrumentIndex, Nanos, Since};

/// A question that was not answered is asked again after this.
const ASK_AGAIN: Nanos = Nanos::from_millis(1_000);

/// Every stream is asked again so often: the last update before a quiet time may have been lost, and
/// who asks keeps the stream travelling.
const AUDIT_EVERY: Nanos = Nanos::from_secs(60);

/// A stream that nobody wants is followed for so long: dashboards come back.
const LINGER: Nanos = Nanos::from_secs(30);

/// Streams in one request.
const ASKED_MAX: usize = 256;

/// What is sent for [`Command::Ask`].
pub fn asks_request(questions: &[Question]) -> Vec<u8> {
    let ask = |question: &Question| Ask {
        symbol: question.symbol.to_string(),
        stream: view_name(question.key.view),
        epoch: question.since.epoch.0,
        seq: question.since.seq.0,
    };
    Asks { asks: questions.iter().map(ask).collect() }.encode_to_vec()
}

/// What is sent for [`Command::List`].
pub fn list_request(from: u64) -> Vec<u8> {
    ListRequest { from }.encode_to_vec()
}

impl Follower {
    /// Something of a stream is missing: it is asked for, unless it is already.
    pub(crate) fn miss(&mut self, key: StreamKey) {
        let is_asked = self.streams.get(&key).is_some_and(|followed| followed.asked.is_some());
        if !is_asked && self.to_ask.insert(key) {
            self.metrics.gaps.inc();
        }
    }

    /// Asks again for what a publisher did not have when it was asked: its feeds may list an
    /// instrument later.
    pub(crate) fn ask_unsure(&mut self, instrument: InstrumentIndex) {
        for view in VIEWS {
            let key = StreamKey { instrument, view };
            if self.streams.get(&key).is_some_and(|followed| !followed.is_sure) {
                self.to_ask.insert(key);
            }
        }
    }

    pub(crate) fn doubt(&mut self, key: StreamKey, now: Nanos) {
        if let Some(followed) = self.streams.get_mut(&key) {
            followed.is_sure = false;
            self.show_state(key.instrument, now);
        }
    }

    /// Whether a stream may be subscribed to has changed; what was missed meanwhile is asked for.
    pub(crate) fn refused(&mut self, key: StreamKey, is_refused: bool, now: Nanos) {
        let Some(followed) = self.streams.get_mut(&key) else { return };
        followed.is_refused = is_refused;
        if is_refused {
            self.doubt(key, now);
        } else {
            self.to_ask.insert(key);
        }
    }

    pub(crate) fn answers(
        &mut self,
        run: u64,
        questions: &[Question],
        payload: Option<bytes::Bytes>,
        now: Nanos,
    ) {
        if self.run != Some(run) {
            return;
        }
        let Some(payload) = payload else { return self.metrics.request_failures.inc() };
        self.metrics.received(payload.len());
        let Some(Answers { answers }) = self.decoded(Answers::decode(payload)) else { return };
        let mut left: FxHashSet<StreamKey> = questions.iter().map(|asked| asked.key).collect();
        for answer in answers {
            let Some(Question { key, doubts, .. }) = questions.get(answer.ask as usize) else {
                continue;
            };
            left.remove(key);
            let is_new = *doubts == self.doubts;
            if let Some(followed) = self.streams.get_mut(key).filter(|_| is_new) {
                followed.asked = None;
                self.to_ask.remove(key);
            }
            match &answer.diff {
                Some(diff) => self.relayed(*key, diff, is_new, now),
                // This publisher has no such stream.
                None => self.doubt(*key, now),
            }
        }
        // Those that did not fit.
        for key in left {
            if let Some(followed) = self.streams.get_mut(&key) {
                followed.asked = None;
                self.to_ask.insert(key);
            }
        }
    }

    /// Asks for what is missing, in requests of many streams.
    pub(crate) fn ask(&mut self, now: Nanos) {
        let Some(run) = self.run else { return };
        if self.to_ask.is_empty() || self.heard.is_none() {
            return;
        }
        let mut questions = Vec::new();
        for key in self.to_ask.drain() {
            let Some(followed) = self.streams.get_mut(&key) else { continue };
            let Some(instrument) = self.hub.directory().get(key.instrument) else { continue };
            followed.asked = Some(now);
            let since = self.replica.held(key.instrument, key.view);
            let since = if run_of(since.epoch) == run { since } else { Since::NOTHING };
            let (symbol, doubts) = (instrument.name.clone(), self.doubts);
            questions.push(Question { key, symbol, since, doubts });
        }
        for asked in questions.chunks(ASKED_MAX) {
            self.metrics.requests.inc();
            self.commands.push(Command::Ask(run, asked.to_vec()));
        }
    }

    /// Questions without an answer, streams that are to be looked at again, those nobody wants.
    pub(crate) fn check(&mut self, now: Nanos) {
        let mut unwanted = Vec::new();
        for (key, followed) in &mut self.streams {
            if followed.unwanted_since.is_some_and(|since| now.since(since) > LINGER) {
                unwanted.push(*key);
            } else if followed.asked.is_some_and(|asked| now.since(asked) > ASK_AGAIN)
                || now >= followed.audit_at
            {
                self.to_ask.insert(*key);
                followed.audit_at = now.plus(AUDIT_EVERY);
            }
        }
        unwanted.into_iter().for_each(|key| self.unfollow(key, now));
    }
}
