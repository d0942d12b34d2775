//! The client's rule: what to do with a snapshot or an update, the same for every channel.
//!
//! Knows neither channels nor values; whoever holds values asks it first.

use tickcast_market::{Epoch, Since};
use tickcast_wire::Mark;

/// What became of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Held already, or older than what is held.
    Ignored,
    /// Taken over.
    Applied,
    /// Something is missing: ask again for this symbol only.
    AskAgain,
}

/// What is held of one symbol on one channel, and which epochs this connection has seen of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    held: Option<Since>,
    /// The newest epoch received on this connection; epochs of different connections may come
    /// from different services and are never compared.
    newest: Option<Epoch>,
}

impl Rule {
    /// What is held; `None` before the first snapshot.
    pub const fn held(&self) -> Option<Since> {
        self.held
    }

    /// Begins a new connection: what is held stays, and may be claimed with `since`.
    pub const fn reconnected(&mut self) {
        self.newest = None;
    }

    /// Whether something is held and this connection has spoken of it.
    pub(crate) const fn is_confirmed(&self) -> bool {
        self.held.is_some() && self.newest.is_some()
    }

    /// Gives up what is held: only a snapshot helps.
    pub const fn forget(&mut self) {
        self.held = None;
    }

    /// Judges a snapshot, and takes its place over when it is applied: unless its epoch is older
    /// than one already received on this connection, it replaces what is held whatever its seq.
    pub fn snapshot(&mut self, mark: Mark) -> Verdict {
        if self.newest.is_some_and(|newest| mark.epoch < newest) {
            return Verdict::Ignored;
        }
        self.newest = Some(mark.epoch);
        self.held = Some(Since { epoch: mark.epoch, seq: mark.seq });
        Verdict::Applied
    }

    /// Judges an update, and takes its place over when it is applied. `same_view` says whether
    /// its depth or interval is the one that is held.
    ///
    /// An older epoch, or one of mine with `seq` not above mine, is ignored; one of my epoch with
    /// `prev` not above mine is applied; anything else means that something is missing.
    pub fn update(&mut self, mark: Mark, same_view: bool) -> Verdict {
        if self.newest.is_some_and(|newest| mark.epoch < newest) {
            return Verdict::Ignored;
        }
        self.newest = Some(mark.epoch);
        let Some(held) = self.held.as_mut().filter(|held| held.epoch == mark.epoch) else {
            return Verdict::AskAgain;
        };
        if mark.seq <= held.seq {
            return Verdict::Ignored;
        }
        if !same_view || mark.prev.is_none_or(|prev| prev > held.seq) {
            return Verdict::AskAgain;
        }
        held.seq = mark.seq;
        Verdict::Applied
    }

    /// Judges a snapshot or an update.
    pub(crate) fn judge(&mut self, mark: Mark, is_snapshot: bool, same_view: bool) -> Verdict {
        if is_snapshot { self.snapshot(mark) } else { self.update(mark, same_view) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Verdict::{Applied, AskAgain, Ignored};
    use tickcast_market::Seq;

    /// Plays a line such as `S1.5 applied 1.5`: a snapshot of epoch 1 at seq 5; `U1.5-7` is an
    /// update from 5 to 7, with `!` one of another view, `R` a new connection, `F` forget.
    fn check(lines: &str) {
        let mut rule = Rule::default();
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let number = |text: &str| text.parse::<u64>().unwrap();
            let (kind, rest) = words[0].split_at(1);
            let verdict = match kind {
                "R" => {
                    rule.reconnected();
                    continue;
                }
                "F" => {
                    rule.forget();
                    continue;
                }
                "S" => {
                    let (epoch, seq) = rest.split_once('.').unwrap();
                    let epoch = Epoch(number(epoch));
                    rule.snapshot(Mark { epoch, prev: None, seq: Seq(number(seq)) })
                }
                _ => {
                    let same_view = !rest.ends_with('!');
                    let (epoch, seqs) = rest.trim_end_matches('!').split_once('.').unwrap();
                    let (prev, seq) = seqs.split_once('-').unwrap();
                    let mark = Mark {
                        epoch: Epoch(number(epoch)),
                        prev: Some(Seq(number(prev))),
                        seq: Seq(number(seq)),
                    };
                    rule.update(mark, same_view)
                }
            };
            let expected = match words[1] {
                "applied" => Applied,
                "ignored" => Ignored,
                _ => AskAgain,
            };
            assert_eq!(verdict, expected, "{line}");
            let held = rule.held().map(|held| format!("{}.{}", held.epoch.0, held.seq.0));
            assert_eq!(held.as_deref().unwrap_or("-"), words[2], "{line}");
        }
    }

    #[test]
    fn the_usual_course_is_a_snapshot_and_updates_that_may_overlap() {
        check(
            "S1.5    applied 1.5
             U1.5-7  applied 1.7
             U1.3-6  ignored 1.7
             U1.7-7  ignored 1.7
             U1.6-7  ignored 1.7
             U1.4-9  applied 1.9
             S1.9    applied 1.9
             S1.4    applied 1.4",
        );
    }

    #[test]
    fn a_gap_an_unknown_epoch_another_depth_or_no_snapshot_mean_asking_again() {
        check(
            "U1.0-1  again   -
             S1.5    applied 1.5
             U1.6-7  again   1.5
             U1.5-7! again   1.5
             U2.1-2  again   1.5
             U2.9-10 again   1.5
             S2.1    applied 2.1
             F
             U2.1-2  again   -
             U2.0-2  again   -
             S2.0    applied 2.0
             U2.0-1  applied 2.1",
        );
    }

    #[test]
    fn an_older_epoch_is_ignored_within_one_connection_only() {
        check(
            "S2.5    applied 2.5
             S1.9    ignored 2.5
             U1.4-9  ignored 2.5
             U3.1-2  again   2.5
             S2.6    ignored 2.5
             S3.2    applied 3.2
             R
             U3.2-4  applied 3.4
             R
             U2.1-2  again   3.4
             S1.1    ignored 3.4
             R
             S1.1    applied 1.1
             U1.1-2  applied 1.2",
        );
    }
}
