//! Whether what comes keeps the promises of the protocol: the client's own rule and checksum, and
//! that no older epoch is encoded once a newer one has come.
//!
//! A client asks again where something is missing and goes on; for the witness each such moment is a
//! fault of the service, counted once until the answer has come. Knows no clock and no socket.

use std::collections::HashMap;
use std::fmt;
use tickcast_client::{Session, Take, Verdict};
use tickcast_market::{Epoch, Nanos, Since};
use tickcast_wire::{Channel, Mark, Message, Push, Request, Subscribe, Unsubscribe};

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// Of which instrument; empty where that cannot be told.
    pub(super) symbol: String,
    pub(super) channel: &'static str,
    pub(super) epoch: u64,
    pub(super) prev: u64,
    pub(super) seq: u64,
    /// In words.
    pub(super) what: String,
}

/// An item that was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Came {
    pub(super) symbol: String,
    pub(super) channel: Channel,
    pub(super) since: Since,
    /// When it was encoded.
    pub(super) ts_publish: Nanos,
    pub(super) is_snapshot: bool,
}

/// What became of a message.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Judged {
    pub(super) came: Vec<Came>,
    pub(super) faults: Vec<Fault>,
}

/// What one connection has brought.
#[derive(Debug, Default)]
pub(super) struct Judge {
    session: Session,
    /// The newest epoch of each stream, and when it was first received.
    newest: HashMap<(String, Channel), (Epoch, Nanos)>,
}

/// What all items have.
struct Seen<'a> {
    symbol: &'a str,
    channel: Channel,
    mark: Mark,
    ts_publish: Nanos,
    is_snapshot: bool,
}

impl Fault {
    /// One of the connection, or of a message that does not say of what it is.
    pub(super) fn nameless(what: String) -> Fault {
        Fault { symbol: String::new(), channel: "", epoch: 0, prev: 0, seq: 0, what }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl Judge {
    /// What is held.
    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    /// The request for a new subscription.
    pub(super) fn subscribe(&mut self, params: Subscribe) -> Request {
        self.session.subscribe(params)
    }

    /// The request that ends one.
    pub(super) fn unsubscribe(&mut self, params: Unsubscribe) -> Request {
        for symbol in &params.symbols {
            self.newest.remove(&(symbol.as_str().to_owned(), params.view.channel()));
        }
        self.session.unsubscribe(params)
    }

    /// What has to be asked for again; empty nearly always.
    pub(super) fn ask_again(&mut self) -> Vec<Request> {
        if self.session.must_ask_again() { self.session.ask_again() } else { Vec::new() }
    }

    /// Takes a message in that came at `at`.
    pub(super) fn take(&mut self, message: Message<'_>, at: Nanos) -> Judged {
        let mut judged = Judged::default();
        macro_rules! each {
            ($push:expr, $kind:ident, $channel:expr, $ts:ident) => {{
                let Push { is_snapshot, items } = $push;
                for item in items {
                    let (mark, ts_publish) = (item.mark(), item.$ts);
                    let symbol = item.symbol.clone();
                    let channel = $channel;
                    let seen = Seen { symbol: &symbol, channel, mark, ts_publish, is_snapshot };
                    let alone = Message::$kind(Push { is_snapshot, items: vec![item] });
                    self.item(&alone, &seen, at, &mut judged);
                }
            }};
        }
        match message {
            Message::Status(push) => each!(push, Status, Channel::Status, ts_state),
            Message::Ticker(push) => each!(push, Ticker, Channel::Ticker, ts_publish),
            Message::Book(push) => each!(push, Book, Channel::Book, ts_publish),
            Message::Trades(push) => each!(push, Trades, Channel::Trades, ts_publish),
            other => drop(self.session.receive(&other)),
        }
        judged
    }

    fn item(&mut self, alone: &Message<'_>, seen: &Seen<'_>, at: Nanos, judged: &mut Judged) {
        if let Some(fault) = self.check_epoch(seen, at) {
            judged.faults.push(fault);
            return;
        }
        let before = (self.session.counts(), self.session.violations().len());
        let held = self.held(seen);
        let was_due = self.session.must_ask_again();
        let verdict = self.session.receive(alone);
        if self.session.counts().violations > before.0.violations {
            let said = self.session.violations().get(before.1);
            let what = said.map_or("a broken promise".to_owned(), |(_, what)| what.to_string());
            judged.faults.push(seen.fault(what));
        } else if verdict == Verdict::AskAgain && !was_due && self.session.must_ask_again() {
            judged.faults.push(seen.fault(gap(seen, held)));
        }
        if verdict == Verdict::Applied {
            judged.came.push(Came {
                symbol: seen.symbol.to_owned(),
                channel: seen.channel,
                since: Since { epoch: seen.mark.epoch, seq: seen.mark.seq },
                ts_publish: seen.ts_publish,
                is_snapshot: seen.is_snapshot,
            });
        }
    }

    /// A frame of an older epoch may still be under way when somebody joins; none is encoded after
    /// a newer one has been received. A status says nothing of when it was written.
    fn check_epoch(&mut self, seen: &Seen<'_>, at: Nanos) -> Option<Fault> {
        if seen.channel == Channel::Status {
            return None;
        }
        let epoch = seen.mark.epoch;
        let key = (seen.symbol.to_owned(), seen.channel);
        let newest = self.newest.entry(key).or_insert((epoch, at));
        if epoch > newest.0 {
            *newest = (epoch, at);
        }
        let is_stale = epoch < newest.0 && seen.ts_publish > newest.1;
        is_stale.then(|| seen.fault(format!("an epoch older than {}", newest.0.0)))
    }

    fn held(&self, seen: &Seen<'_>) -> Option<Since> {
        match seen.channel {
            Channel::Ticker => self.session.ticker(seen.symbol)?.rule().held(),
            Channel::Book => self.session.book(seen.symbol)?.rule().held(),
            Channel::Trades => self.session.trades(seen.symbol)?.rule().held(),
            Channel::Status => self.session.status(seen.symbol)?.rule().held(),
            Channel::Bars => None,
        }
    }
}

impl Seen<'_> {
    fn fault(&self, what: String) -> Fault {
        Fault {
            symbol: self.symbol.to_owned(),
            channel: self.channel.name(),
            epoch: self.mark.epoch.0,
            prev: self.mark.prev.map_or(0, |prev| prev.0),
            seq: self.mark.seq.0,
            what,
        }
    }
}

/// Why an update does not connect, in words.
fn gap(seen: &Seen<'_>, held: Option<Since>) -> String {
    match held {
        None => "an update without a snapshot before".to_owned(),
        Some(held) if held.epoch != seen.mark.epoch => {
            format!("an update of another epoch than {}, which is held", held.epoch.0)
        }
        Some(held) => format!("a gap: {} is held", held.seq.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tickcast_market::{Price, Size};
    use tickcast_wire::{Depth, Pattern, View, book_checksum};

    /// The script's clock: a message is encoded at the second that stands behind `@` and comes half a
    /// second later.
    fn play(script: &str) -> (Judge, Vec<String>) {
        let mut judge = Judge::default();
        for view in [View::Ticker, View::Book(Depth::TEN)] {
            judge.subscribe(Subscribe::new(view, vec![Pattern::new("sim:A")]));
        }
        let mut said = Vec::new();
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (text, second) = message(line);
            let at = Nanos::from_millis(second * 1000 + 500);
            let judged = judge.take(Message::decode(text.as_bytes()).expect(&text), at);
            said.extend(judged.faults.iter().map(|f| format!("{} {}: {f}", f.channel, f.seq)));
            judge.ask_again();
        }
        (judge, said)
    }

    /// `status`, `ticker S1.5@2` (a snapshot of epoch 1 at seq 5, encoded in second 2), `book U1.5-6@3`,
    /// with `!` a wrong checksum.
    fn message(line: &str) -> (String, i64) {
        if line == "status" {
            let text = r#"{"channel":"status","type":"snapshot","data":[{"symbol":"sim:A","epoch":1,"seq":1,"state":"live","ts_state":1}]}"#;
            return (text.to_owned(), 0);
        }
        let (channel, rest) = line.split_once(' ').unwrap();
        let (mark, second) = rest.trim_end_matches('!').split_once('@').unwrap();
        let (kind, mark) = mark.split_at(1);
        let (epoch, seqs) = mark.split_once('.').unwrap();
        let second: i64 = second.parse().unwrap();
        let micros = second * 1_000_000;
        let (place, kind) = match (kind, seqs.split_once('-')) {
            ("S", _) => (format!(r#""seq":{seqs},"state":"live""#), "snapshot"),
            (_, Some((prev, seq))) => (format!(r#""prev":{prev},"seq":{seq}"#), "update"),
            (_, None) => (format!(r#""seq":{seqs}"#), "update"),
        };
        let body = match channel {
            "ticker" => r#""last":"1.00""#.to_owned(),
            _ => {
                let level = |price| std::iter::once((Price(price), Size(5)));
                let right = book_checksum(level(100), level(101));
                let checksum = if rest.ends_with('!') { right ^ 1 } else { right };
                format!(
                    r#""depth":10,"bids":[["1.00","0.5"]],"asks":[["1.01","0.5"]],"checksum":{checksum}"#
                )
            }
        };
        let text = format!(
            r#"{{"channel":"{channel}","type":"{kind}","data":[{{"symbol":"sim:A","epoch":{epoch},{place},{body},"ts_event":1,"ts_publish":{micros}}}]}}"#
        );
        (text, second)
    }

    fn check(script: &str, faults: &[&str]) {
        assert_eq!(play(script).1, faults, "{script}");
    }

    const BEGUN: &str = "status\nticker S1.5@1\nbook S1.5@1\n";

    #[test]
    fn the_usual_course_has_no_fault() {
        check(
            &format!(
                "{BEGUN} ticker U1.5-7@2 \n book U1.5-7@2 \n ticker U1.4-6@2 \n ticker U1.6-8@3 \n
                 ticker S2.1@4 \n ticker U2.1-2@5 \n book S2.1@4 \n book U2.1-3@4"
            ),
            &[],
        );
    }

    #[test]
    fn a_gap_is_one_fault_until_the_answer_has_come() {
        check(
            &format!(
                "{BEGUN} ticker U1.6-7@2 \n ticker U1.7-8@3 \n ticker U1.8-9@3 \n ticker U1.5-9@4 \n
                 ticker U1.9-10@4 \n book U1.5-6@4"
            ),
            &["ticker 7: a gap: 5 is held"],
        );
    }

    #[test]
    fn a_wrong_checksum_is_one_fault_until_the_snapshot_has_come() {
        check(
            &format!("{BEGUN} book U1.5-6@2! \n book U1.6-7@3 \n book S1.7@4 \n book U1.7-8@5"),
            &["book 6: the book's checksum differs"],
        );
    }

    #[test]
    fn an_older_epoch_is_a_fault_only_where_it_was_encoded_after_the_newer_came() {
        // Encoded in second 2, as the frame of whoever was there before: that is overlap.
        check(&format!("{BEGUN} ticker S2.1@3 \n ticker U1.5-9@2 \n ticker U2.1-2@4"), &[]);
        check(
            &format!("{BEGUN} ticker S2.1@3 \n ticker U1.5-9@4 \n ticker U2.1-2@4"),
            &["ticker 9: an epoch older than 2"],
        );
    }

    #[test]
    fn an_update_that_nothing_came_before_is_one_fault() {
        check(
            "status\n ticker U1.5-6@1 \n ticker U1.6-7@1",
            &["ticker 6: an update without a snapshot before"],
        );
        check(
            &format!("{BEGUN} ticker U2.5-6@2 \n ticker S2.6@3"),
            &["ticker 6: an update of another epoch than 1, which is held"],
        );
        check("ticker S1.5@1", &["ticker 5: data came before the instrument's status"]);
        check(
            &format!("{BEGUN} ticker U1.9@2"),
            &["ticker 9: the update's prev is missing or above its seq"],
        );
    }

    #[test]
    fn what_was_applied_is_told_with_its_place() {
        let (mut judge, said) = play(BEGUN);
        assert_eq!(said, [""; 0]);
        let (text, _) = message("ticker U1.5-7@2");
        let judged = judge.take(Message::decode(text.as_bytes()).unwrap(), Nanos::from_secs(3));
        let came = &judged.came[0];
        assert_eq!((came.channel, came.since.seq.0, came.is_snapshot), (Channel::Ticker, 7, false));
        assert_eq!(came.ts_publish, Nanos::from_secs(2));
    }
}
