//! What was published, and whether the client has it: publications wait here until a message covers
//! them.
//!
//! Each publication is one age, also where a message merges several: so the ages are those of all
//! that users were to get, and a pause of seconds weighs as much as it lasted. What has not come
//! within [`LATE`] counts once, as missing, and not again when it comes after all.
//!
//! Knows no clock and no socket.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};
use tickcast_market::{InstrumentIndex, Nanos, Since};
use tickcast_wire::View;

/// What has not come for so long counts as missing.
pub(super) const LATE: Duration = Duration::from_secs(10);

/// Publications of a stream that wait at most; where there are more the oldest counts as missing.
pub(super) const PENDING_MAX: usize = 8192;

/// One instrument in one view.
pub(super) type StreamId = (InstrumentIndex, View);

/// A frame as the publisher handed it to the shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Publication {
    /// What a receiver holds with it.
    pub(super) at: Since,
    /// When the venue's message was received.
    pub(super) ts_recv: Nanos,
}

/// All streams that one connection follows.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    streams: HashMap<StreamId, Stream>,
}

#[derive(Debug, Default)]
struct Stream {
    pending: VecDeque<(Publication, Instant)>,
    /// What this connection has brought, and when that came.
    holds: Option<(Since, Nanos)>,
    /// The newest that is missing.
    missing: Option<Since>,
    /// Publications were overlooked: what comes may belong to one of those.
    has_lost: bool,
}

/// Whether who holds `held` has what was published as `at`.
fn covers(held: Since, at: Since) -> bool {
    held.epoch > at.epoch || held.epoch == at.epoch && held.seq >= at.seq
}

impl Ledger {
    /// From now on publications of the stream are waited for.
    pub(super) fn follow(&mut self, stream: StreamId) {
        self.streams.entry(stream).or_default();
    }

    /// They are not waited for any more.
    pub(super) fn leave(&mut self, stream: StreamId) {
        self.streams.remove(&stream);
    }

    /// The streams that are followed.
    pub(super) fn streams(&self) -> impl Iterator<Item = StreamId> {
        self.streams.keys().copied()
    }

    /// Whether the stream is followed.
    pub(super) fn follows(&self, stream: StreamId) -> bool {
        self.streams.contains_key(&stream)
    }

    /// Something was published. The age, where it has come already; whether the oldest that
    /// waited had to be given up as missing.
    pub(super) fn published(
        &mut self,
        stream: StreamId,
        publication: Publication,
        now: Instant,
    ) -> (Option<Nanos>, bool) {
        let Some(stream) = self.streams.get_mut(&stream) else { return (None, false) };
        // A diff may bring what is encoded as a frame a moment later.
        if let Some((_, at)) = stream.holds.filter(|(held, _)| covers(*held, publication.at)) {
            return (Some(at.since(publication.ts_recv)), false);
        }
        let is_full = stream.pending.len() == PENDING_MAX;
        if is_full && let Some((oldest, _)) = stream.pending.pop_front() {
            stream.missing = Some(oldest.at);
        }
        stream.pending.push_back((publication, now));
        (None, is_full)
    }

    /// A message that was applied has come at `at`; `age` is told that of each publication that it
    /// newly covers. `false` where some of those are unknown, since publications were overlooked.
    pub(super) fn came(
        &mut self,
        stream: StreamId,
        since: Since,
        at: Nanos,
        mut age: impl FnMut(Nanos),
    ) -> bool {
        let Some(stream) = self.streams.get_mut(&stream) else { return true };
        let mut covered = 0;
        while let Some((oldest, _)) = stream.pending.front()
            && covers(since, oldest.at)
        {
            age(at.since(oldest.ts_recv));
            stream.pending.pop_front();
            covered += 1;
        }
        stream.holds = Some((since, at));
        if stream.missing.is_some_and(|missing| covers(since, missing)) {
            stream.missing = None;
        }
        if covered > 0 {
            stream.has_lost = false;
        }
        covered > 0 || !stream.has_lost
    }

    /// Gives up what has waited for [`LATE`]; `missing` is told of each.
    pub(super) fn overdue(&mut self, now: Instant, mut missing: impl FnMut(StreamId, Since)) {
        for (id, stream) in &mut self.streams {
            while let Some((oldest, since)) = stream.pending.front()
                && now.saturating_duration_since(*since) >= LATE
            {
                missing(*id, oldest.at);
                stream.missing = Some(oldest.at);
                stream.pending.pop_front();
            }
        }
    }

    /// Publications were overlooked.
    pub(super) fn lost(&mut self) {
        self.streams.values_mut().for_each(|stream| stream.has_lost = true);
    }

    /// A new connection begins, which has brought nothing yet. What waits goes on waiting.
    pub(super) fn reconnected(&mut self) {
        self.streams.values_mut().for_each(|stream| stream.holds = None);
    }

    /// Whether something is missing, and nothing newer has come since.
    pub(super) fn is_missing_any(&self) -> bool {
        self.streams.values().any(|stream| stream.missing.is_some())
    }

    /// Whether nothing is waited for.
    pub(super) fn is_settled(&self) -> bool {
        self.streams.values().all(|stream| stream.pending.is_empty() && stream.missing.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tickcast_market::{Epoch, Seq};

    const STREAM: StreamId = (InstrumentIndex(3), View::Ticker);

    fn since(epoch: u64, seq: u64) -> Since {
        Since { epoch: Epoch(epoch), seq: Seq(seq) }
    }

    fn publication(seq: u64, recv_ms: i64) -> Publication {
        Publication { at: since(1, seq), ts_recv: Nanos::from_millis(recv_ms) }
    }

    fn ages(ledger: &mut Ledger, to: Since, at_ms: i64) -> Vec<i64> {
        let mut ages = Vec::new();
        ledger.came(STREAM, to, Nanos::from_millis(at_ms), |age| ages.push(age.micros() / 1000));
        ages
    }

    fn following() -> (Ledger, Instant) {
        let mut ledger = Ledger::default();
        ledger.follow(STREAM);
        (ledger, Instant::now())
    }

    #[test]
    fn a_merged_message_gives_the_age_of_everything_that_it_covers() {
        let (mut ledger, now) = following();
        for (seq, recv_ms) in [(5, 100), (6, 200), (8, 300)] {
            assert_eq!(ledger.published(STREAM, publication(seq, recv_ms), now), (None, false));
        }
        assert_eq!(ages(&mut ledger, since(1, 7), 301), [201, 101]);
        assert_eq!(ages(&mut ledger, since(1, 7), 302), [0; 0], "each counts once");
        assert!(!ledger.is_settled());
        assert_eq!(ages(&mut ledger, since(1, 8), 303), [3]);
        assert!(ledger.is_settled());
    }

    #[test]
    fn a_newer_epoch_covers_everything_of_the_older_and_not_the_other_way_round() {
        let (mut ledger, now) = following();
        ledger.published(STREAM, publication(500, 100), now);
        assert_eq!(ages(&mut ledger, since(0, 900), 150), [0; 0]);
        assert_eq!(ages(&mut ledger, since(2, 1), 160), [60]);
    }

    #[test]
    fn what_a_diff_brought_before_its_frame_is_counted_when_the_frame_is_known() {
        let (mut ledger, now) = following();
        assert_eq!(ages(&mut ledger, since(1, 9), 120), [0; 0]);
        let known = ledger.published(STREAM, publication(9, 100), now);
        assert_eq!(known, (Some(Nanos::from_millis(20)), false));
        // On a new connection it would have to come again.
        ledger.reconnected();
        assert_eq!(ledger.published(STREAM, publication(9, 100), now), (None, false));
        assert_eq!(ages(&mut ledger, since(1, 9), 140), [40]);
    }

    #[test]
    fn what_does_not_come_counts_once_as_missing_until_something_newer_comes() {
        let (mut ledger, now) = following();
        ledger.published(STREAM, publication(5, 100), now);
        ledger.published(STREAM, publication(6, 200), now + LATE / 2);
        let missing = |ledger: &mut Ledger, now| {
            let mut all = Vec::new();
            ledger.overdue(now, |_, at| all.push(at.seq.0));
            all
        };
        assert_eq!(missing(&mut ledger, now + LATE - Duration::from_millis(1)), [0; 0]);
        assert!(!ledger.is_missing_any());
        assert_eq!(missing(&mut ledger, now + LATE), [5]);
        assert_eq!(missing(&mut ledger, now + LATE), [0; 0]);
        assert!(ledger.is_missing_any() && !ledger.is_settled());
        // It comes late after all: no second age for it, one for what was not missing yet.
        assert_eq!(ages(&mut ledger, since(1, 6), 12_000), [11_800]);
        assert!(!ledger.is_missing_any() && ledger.is_settled());
    }

    #[test]
    fn the_memory_of_a_stream_that_brings_nothing_is_bounded() {
        let (mut ledger, now) = following();
        let given_up = (1..=PENDING_MAX as u64 + 10)
            .filter(|seq| ledger.published(STREAM, publication(*seq, 0), now).1);
        assert_eq!(given_up.count(), 10);
        assert!(ledger.is_missing_any());
    }

    #[test]
    fn after_publications_were_overlooked_an_unknown_message_is_told_apart() {
        let (mut ledger, now) = following();
        ledger.lost();
        assert!(!ledger.came(STREAM, since(1, 5), Nanos::ZERO, |_| ()));
        ledger.published(STREAM, publication(6, 0), now);
        assert!(ledger.came(STREAM, since(1, 6), Nanos::ZERO, |_| ()));
        assert!(ledger.came(STREAM, since(1, 7), Nanos::ZERO, |_| ()));
    }
}
