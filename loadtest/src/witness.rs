//! What comes in, judged and counted. Knows no socket: whole messages and the time go in.

use crate::connection::{Conn, NONE};
use crate::job::{AgeFrom, Job};
use crate::place::{Judged, Promise};
use crate::recent::Recent;
use crate::sample::Sample;
use crate::scan::{self, Item};
use crate::tally::{Correctness, Flow, Times};
use hdrhistogram::Histogram;
use rustc_hash::FxHashMap;
use tickcast_wire::{Channel, Message, View};

/// How many clients of a process have a histogram of their own.
pub(crate) const WATCHED_MAX: usize = 200;

/// A minute: what is older counts as a minute for one client.
const CLIENT_AGE_US_MAX: u64 = 60_000_000;

/// When something is looked at: the engine's clock and the wall's, in microseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Now {
    pub(crate) engine: u64,
    pub(crate) wall: i64,
}

/// What a message demands of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    Continue,
    /// The service will close it; open it again after so many milliseconds.
    Leave(u64),
}

pub(crate) struct Witness {
    pub(crate) job: Job,
    pub(crate) views: Vec<View>,
    /// Depth or interval of each view, as items say it.
    variants: Vec<u16>,
    /// Which view is of that channel.
    columns: [Option<u8>; Channel::ALL.len()],
    index: FxHashMap<Box<[u8]>, u32>,
    recent: Recent,
    pub(crate) samples: Vec<Sample>,
    pub(crate) watched: Vec<Histogram<u32>>,
    pub(crate) flow: Flow,
    pub(crate) correctness: Correctness,
    pub(crate) second_age: Times,
    pub(crate) welcome: Times,
    pub(crate) first_snapshot: Times,
    /// How long those that were lost or sent away had no service, beyond what they were told.
    pub(crate) returned: Times,
    pub(crate) is_measuring: bool,
    pub(crate) missing: u64,
    /// Streams that have to be asked for again: connection and place.
    pub(crate) due: Vec<(u32, u32)>,
    /// Of the welcome; 0 before it.
    pub(crate) heartbeat_us: u64,
}

impl Witness {
    pub(crate) fn new(job: Job, views: Vec<View>) -> Witness {
        let mut columns = [None; Channel::ALL.len()];
        for (column, view) in views.iter().enumerate() {
            columns[view.channel() as usize] = Some(column as u8);
        }
        let variant = |view: &View| match view {
            View::Book(depth) => depth.levels() as u16,
            View::Bars(interval) => *interval as u16,
            View::Status | View::Ticker | View::Trades => 0,
        };
        let names = job.symbols.iter().enumerate();
        let index = names.map(|(at, name)| (name.as_bytes().into(), at as u32)).collect();
        Witness {
            variants: views.iter().map(variant).collect(),
            views,
            columns,
            index,
            recent: Recent::default(),
            job,
            samples: Vec::new(),
            watched: Vec::new(),
            flow: Flow::default(),
            correctness: Correctness::default(),
            second_age: Times::default(),
            welcome: Times::default(),
            first_snapshot: Times::default(),
            returned: Times::default(),
            is_measuring: false,
            missing: 0,
            due: Vec::new(),
            heartbeat_us: 0,
        }
    }

    /// How many places a position has.
    pub(crate) fn width(&self) -> usize {
        self.views.len() + 1
    }

    pub(crate) fn watch(&mut self) -> u16 {
        let histogram = Histogram::new_with_bounds(1, CLIENT_AGE_US_MAX, 2);
        self.watched.push(histogram.expect("the bounds and the precision are in range"));
        (self.watched.len() - 1) as u16
    }

    /// Where the symbol stands in the connection's list.
    pub(crate) fn position(&self, conn: &Conn, symbol: &[u8]) -> Option<usize> {
        let instrument = self.index.get(symbol)?;
        conn.keys.binary_search(instrument).ok()
    }

    pub(crate) fn symbol(&self, conn: &Conn, position: usize) -> &str {
        &self.job.symbols[conn.keys[position] as usize]
    }

    /// Takes a text message in.
    pub(crate) fn message(&mut self, at: u32, conn: &mut Conn, message: &[u8], now: Now) -> Then {
        if conn.sample == NONE
            && let Some((item, instrument)) =
                self.recent.look(message, |symbol| self.index.get(symbol).copied())
        {
            self.first_message(conn, false);
            self.item(at, conn, instrument, &item, now);
            return Then::Continue;
        }
        let decoded = match scan::decode(message) {
            Ok(decoded) => decoded,
            Err(error) => return self.undecodable(conn, message, &error.to_string()),
        };
        self.first_message(conn, matches!(decoded, Message::Welcome(_)));
        if conn.sample != NONE {
            let sample = &mut self.samples[usize::from(conn.sample)];
            sample.receive(&decoded, &mut self.correctness);
        }
        let judge = |item: &Item<'_>| {
            let instrument = self.index.get(item.symbol).copied();
            self.item(at, conn, instrument, item, now);
        };
        if scan::each_item(&decoded, judge) {
            return Then::Continue;
        }
        match decoded {
            Message::Welcome(welcome) => {
                self.heartbeat_us = welcome.heartbeat_ms * 1_000;
                self.welcome.record(now.engine - conn.started);
            }
            Message::Goaway(goaway) => return Then::Leave(goaway.reconnect_after_ms),
            Message::Answer { req_id, outcome } => {
                let req_id = req_id.and_then(|req_id| req_id.as_json().parse().ok());
                self.answered(at, conn, req_id, &outcome);
            }
            _ => {}
        }
        Then::Continue
    }

    fn first_message(&mut self, conn: &mut Conn, is_welcome: bool) {
        if !conn.has_welcome {
            conn.has_welcome = true;
            if !is_welcome && !self.job.is_lenient {
                self.correctness.broke("welcome_first", || "another message came first".into());
            }
        }
    }

    /// A minimal server's answer has a result of its own kind: that it succeeded is enough where
    /// one is lenient.
    fn undecodable(&mut self, conn: &mut Conn, message: &[u8], error: &str) -> Then {
        #[derive(serde::Deserialize)]
        struct Answer {
            req_id: u32,
            success: bool,
        }
        if self.job.is_lenient
            && let Ok(answer) = serde_json::from_slice::<Answer>(message)
            && answer.success
        {
            self.close_request(conn, answer.req_id);
            return Then::Continue;
        }
        let shown = String::from_utf8_lossy(&message[..message.len().min(200)]).into_owned();
        self.correctness.broke("undecodable", || format!("{error}: {shown}"));
        Then::Continue
    }

    #[inline]
    fn item(
        &mut self,
        at: u32,
        conn: &mut Conn,
        instrument: Option<u32>,
        item: &Item<'_>,
        now: Now,
    ) {
        let position = instrument.and_then(|instrument| conn.keys.binary_search(&instrument).ok());
        let Some(position) = position else {
            // A pattern takes in instruments that were not there at the start.
            if self.job.scenario.pattern.is_none() {
                let symbol = String::from_utf8_lossy(item.symbol).into_owned();
                self.correctness.broke("not_subscribed", || symbol);
            }
            return;
        };
        let width = self.views.len() + 1;
        let status = position * width;
        let is_lenient = self.job.is_lenient;
        if item.channel == Channel::Status {
            let judged = conn.places[status].judge(item, is_lenient);
            return self.count(at, conn, status, item, judged);
        }
        let column = self.columns[item.channel as usize].map(usize::from);
        let Some(column) = column.filter(|column| self.variants[*column] == item.variant) else {
            let symbol = String::from_utf8_lossy(item.symbol).into_owned();
            self.correctness.broke("not_subscribed", || format!("{:?} {symbol}", item.channel));
            return;
        };
        let slot = status + 1 + column;
        let place = &mut conn.places[slot];
        let was_first = place.awaits_first();
        let judged = place.judge(item, is_lenient);
        if was_first && !conn.places[slot].awaits_first() {
            self.first(conn, now);
        }
        if judged == Judged::Unexpected {
            return;
        }
        self.flow.deliveries += 1;
        self.flow.snapshots += u64::from(item.is_snapshot);
        if conn.places[status].held().is_none() && !is_lenient {
            let broken = Judged::Broken(Promise::StatusFirst);
            self.count(at, conn, status, item, broken);
        }
        if self.is_measuring && !item.is_snapshot && !conn.is_slow {
            self.age(conn, item, now);
        }
        if judged != Judged::Applied {
            self.count(at, conn, slot, item, judged);
        }
    }

    fn age(&mut self, conn: &Conn, item: &Item<'_>, now: Now) {
        let stamp = match self.job.age_from {
            AgeFrom::Publish => item.ts_publish,
            AgeFrom::Event => match item.ts_event {
                Some(ts_event) => ts_event,
                None => return,
            },
        };
        let age = u64::try_from(now.wall - stamp).unwrap_or(0);
        self.second_age.record(age);
        if conn.watched != NONE {
            self.watched[usize::from(conn.watched)].saturating_record(age);
        }
    }

    /// The first message of a subscription has come.
    fn first(&mut self, conn: &mut Conn, now: Now) {
        conn.missing -= 1;
        self.missing -= 1;
        if !conn.has_data {
            conn.has_data = true;
            self.first_snapshot.record(now.engine - conn.started);
        }
        if conn.missing == 0 && conn.away_since > 0 {
            self.returned.record(now.engine - conn.away_since);
            conn.away_since = 0;
        }
        if conn.missing == 0 && conn.is_slow {
            conn.is_paused = true;
        }
    }

    #[cold]
    fn count(&mut self, at: u32, conn: &mut Conn, slot: usize, item: &Item<'_>, judged: Judged) {
        let words = |number: u32| {
            format!(
                "client {number}: {} {} epoch {} prev {:?} seq {}",
                item.channel.name(),
                String::from_utf8_lossy(item.symbol),
                item.epoch,
                item.prev,
                item.seq
            )
        };
        match judged {
            Judged::Applied | Judged::Waiting | Judged::Unexpected => {}
            Judged::Overlap => self.correctness.overlaps += 1,
            Judged::Duplicate => {
                self.correctness.duplicates += 1;
                self.correctness.example(|| format!("duplicate: {}", words(at)));
            }
            Judged::Gap => {
                self.correctness.gaps += 1;
                self.correctness.example(|| format!("gap: {}", words(at)));
                self.due.push((at, slot as u32));
            }
            Judged::Broken(promise) => {
                self.correctness.broke(promise.name(), || words(at));
                let asks = !matches!(promise, Promise::AnswerFirst | Promise::Unsubscribed);
                if asks && conn.places[slot].must_ask() {
                    self.due.push((at, slot as u32));
                }
            }
        }
    }
}
