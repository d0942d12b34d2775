//! Time, the bus between the processes, and what goes wrong.

use crate::gateway::{Gateway, Kind, UnderWay};
use crate::lease::{Bucket, LAG_MAX};
use crate::oracle::Oracle;
use crate::publisher::Process;
use fastrand::Rng;
use std::collections::BTreeMap;
use tickcast_market::Nanos;
use tickcast_relay::{Command, Outgoing, Question, Told, asks_request, list_request};

const START: Nanos = Nanos::from_secs(1_770_000_000);

/// How late a message may be.
const LATE_MAX_MS: i64 = 400;

/// A request that is not answered is given up after this, as in `bus.rs` and `intake.rs` of the crate.
const REQUEST_DEADLINE: Nanos = Nanos::from_millis(2_200);

/// How long after the last beat was on its way a gateway may go on saying `live`: the follower's own
/// silence, a beat's lateness, two steps, and one more that a clock which is set back hides.
const LIVE_AFTER: Nanos = Nanos::from_millis(1_500 + LATE_MAX_MS + 300);

/// How long a gateway that can read the lease may go on with who held it before: the pause between
/// two looks, their lateness, and a step.
const LEASE_AFTER: Nanos = LAG_MAX.plus(Nanos::from_millis(300 + LATE_MAX_MS + 300));

enum Asked {
    Streams(Vec<Question>),
    List(u64),
}

struct Request {
    gateway: usize,
    run: u64,
    asked: Asked,
    at: Nanos,
    deadline: Nanos,
}

pub(crate) struct World {
    pub(crate) random: Rng,
    pub(crate) now: Nanos,
    pub(crate) bucket: Bucket,
    /// Since when the lease can be read.
    pub(crate) bucket_since: Nanos,
    pub(crate) publishers: Vec<Process>,
    pub(crate) gateways: Vec<Gateway>,
    requests: Vec<Request>,
    pub(crate) oracle: Oracle,
    /// When a beat of a run was last on its way.
    beats: BTreeMap<u64, Nanos>,
    is_calm: bool,
    payload_max: usize,
}

impl World {
    pub(crate) fn new(seed: u64) -> World {
        let mut random = Rng::with_seed(seed);
        let mut oracle = Oracle::default();
        let publishers: Vec<_> =
            (0..2).map(|number| Process::new(number, random.fork(), START)).collect();
        publishers.iter().for_each(|one| oracle.note(&one.hub, one.listed));
        World {
            now: START,
            bucket: Bucket::new(),
            bucket_since: START,
            gateways: (0..3).map(|number| Gateway::new(number, random.fork(), START)).collect(),
            publishers,
            requests: Vec::new(),
            oracle,
            beats: BTreeMap::new(),
            is_calm: false,
            // Sometimes an answer has place for little.
            payload_max: if random.bool() { 4_000 } else { 1 << 20 },
            random,
        }
    }

    pub(crate) fn runs(&self) -> u64 {
        self.bucket.runs.len() as u64
    }

    pub(crate) fn compared(&self) -> u64 {
        self.gateways.iter().map(|gateway| gateway.compared).sum()
    }

    pub(crate) fn shown(&self) -> (u64, u64) {
        let sum = |a: (u64, u64), b: (u64, u64)| (a.0 + b.0, a.1 + b.1);
        self.gateways.iter().map(|gateway| gateway.shown).fold((0, 0), sum)
    }

    pub(crate) fn trouble(&mut self) {
        for _ in 0..1_000 {
            self.go_wrong();
            let step = self.random.i64(5..80);
            let events = self.random.usize(..4);
            self.step(Nanos::from_millis(step), events);
        }
    }

    /// Nothing goes wrong any more; then nothing happens at all for longer than an audit takes.
    pub(crate) fn heal(&mut self) {
        self.is_calm = true;
        self.bucket.is_away = false;
        for number in 0..self.publishers.len() {
            self.connect_publisher(number);
            let one = &mut self.publishers[number];
            for until in [
                &mut one.frozen_until,
                &mut one.deaf_until,
                &mut one.no_bucket_until,
                &mut one.slow_until,
            ] {
                *until = Nanos::ZERO;
            }
        }
        for number in 0..self.gateways.len() {
            self.connect_gateway(number);
            self.gateways[number].frozen_until = Nanos::ZERO;
        }
        for _ in 0..100 {
            let events = self.random.usize(..4);
            self.step(Nanos::from_millis(40), events);
        }
        for one in &mut self.publishers {
            one.settle(self.now, &mut self.oracle);
        }
        for _ in 0..720 {
            self.step(Nanos::from_millis(100), 0);
        }
    }

    pub(crate) fn judge(&self) {
        let (leader, run) = self.bucket.holder().expect("somebody holds the lease");
        let leader = &self.publishers[leader];
        assert_eq!(leader.run, Some(run), "who holds the lease knows it");
        for gateway in &self.gateways {
            gateway.judge_end(&leader.hub, leader.listed);
        }
    }

    fn step(&mut self, by: Nanos, events: usize) {
        self.now = self.now.plus(by);
        self.bucket.step(self.now);
        for number in 0..self.publishers.len() {
            let one = &mut self.publishers[number];
            if one.is_frozen(self.now) {
                continue;
            }
            one.turn(events, self.now, &mut self.oracle);
            one.keep_lease(&mut self.bucket, self.now, &mut self.oracle);
            one.tell(self.now);
            if one.is_connected {
                let out = std::mem::take(&mut one.out);
                out.iter().for_each(|(run, message)| self.route(number, *run, message));
            }
        }
        self.answer();
        self.cut_what_is_due();
        for number in 0..self.gateways.len() {
            self.step_gateway(number);
        }
    }

    fn step_gateway(&mut self, number: usize) {
        let late = self.late();
        let gateway = &mut self.gateways[number];
        if self.now < gateway.frozen_until {
            return;
        }
        if !self.is_calm && gateway.random.u8(..25) == 0 {
            gateway.change_demand();
        }
        let lags = !self.is_calm && gateway.random.bool();
        gateway.read_lease(self.bucket.read(lags, self.now), late, self.now);
        let mut commands = Vec::new();
        gateway.step(self.now, &mut commands);
        gateway.judge(&self.oracle);
        commands.into_iter().for_each(|command| self.carry_out(number, command));
        self.judge_live(number);
    }

    /// `live` needs a line that stands, and a beat that is not too old, of the run that was read in the
    /// lease, which is not known to have ended.
    fn judge_live(&self, number: usize) {
        let gateway = &self.gateways[number];
        if !gateway.is_live() {
            return;
        }
        // Between two holders the lease says nothing of who counts.
        let can_read = !self.bucket.is_away && self.bucket.holder().is_some();
        let held_since = self.bucket.runs.last().map_or(START, |(_, since)| *since);
        let able_since = gateway.line_since.max(self.bucket_since).max(gateway.frozen_until);
        let able_since = able_since.max(held_since);
        let is_over = |run: u64| {
            can_read
                && self.bucket.runs.iter().any(|(later, _)| *later > run)
                && self.now.since(able_since) > LEASE_AFTER
        };
        let run = gateway.leader;
        let beat = self.beats.get(&run).copied().unwrap_or(Nanos::ZERO);
        let is_heard = gateway.is_connected && self.now.since(beat) <= LIVE_AFTER;
        assert!(
            is_heard && !is_over(run),
            "gateway {number} is live at {:?} under run {run}; beats {:?}, runs {:?}",
            self.now,
            self.beats,
            self.bucket.runs
        );
    }

    fn late(&mut self) -> Nanos {
        let most = if self.random.u8(..8) == 0 { LATE_MAX_MS } else { 20 };
        Nanos::from_millis(self.random.i64(0..=most))
    }

    /// A message of a publisher to every gateway that has subscribed.
    fn route(&mut self, from: usize, run: Option<u64>, message: &Outgoing) {
        let subject = message.subject.to_string();
        if let (true, Some(run)) = (subject.ends_with("_.beat"), run) {
            self.beats.insert(run, self.now);
        }
        for number in 0..self.gateways.len() {
            let late = self.late();
            let gateway = &mut self.gateways[number];
            let kind = if subject.ends_with("_.beat") {
                Kind::Beat
            } else if subject.ends_with(".status") {
                Kind::Status
            } else {
                match gateway.subscribed.get(&subject) {
                    Some((key, from)) if *from <= self.now => Kind::Stream(*key),
                    _ => continue,
                }
            };
            if !gateway.is_connected || !self.is_calm && self.random.u8(..40) == 0 {
                continue;
            }
            let line = gateway.lines.entry((from, subject.clone())).or_default();
            let at = line.back().map_or(self.now, |last| last.at).max(self.now.plus(late));
            let is_held = matches!(kind, Kind::Stream(_));
            let at = if is_held { at.max(gateway.held_until) } else { at };
            let (subject, payload) = (subject.clone(), message.payload.clone());
            let under_way = UnderWay { at, kind, subject: subject.clone(), payload };
            let again = !self.is_calm && self.random.u8(..30) == 0;
            if again && !matches!(under_way.kind, Kind::Beat) {
                // Once more, and later than others of its subject.
                let at = self.now.plus(Nanos::from_millis(self.random.i64(0..1_500)));
                let other = gateway.lines.entry((from + 100, subject)).or_default();
                let at = other.back().map_or(at, |last| last.at).max(at);
                other.push_back(UnderWay { at, ..under_way.clone() });
            }
            let line = gateway.lines.entry((from, under_way.subject.clone())).or_default();
            line.push_back(under_way);
        }
    }

    fn carry_out(&mut self, gateway: usize, command: Command) {
        let late = self.late();
        match command {
            Command::Subscribe(key, subject) => {
                // Another server of the cluster may come to know of it later.
                let since = self.now.plus(if self.random.bool() { Nanos::ZERO } else { late });
                self.gateways[gateway].subscribed.insert(subject, (key, since));
            }
            Command::Unsubscribe(key) => {
                self.gateways[gateway].subscribed.retain(|_, (subscribed, _)| *subscribed != key);
            }
            Command::Ask(run, questions) => self.ask(gateway, run, Asked::Streams(questions), late),
            Command::List(run, from) => self.ask(gateway, run, Asked::List(from), late),
        }
    }

    fn ask(&mut self, gateway: usize, run: u64, asked: Asked, late: Nanos) {
        let deadline = self.now.plus(REQUEST_DEADLINE);
        let is_lost = !self.is_calm && self.random.u8(..20) == 0;
        let is_on_its_way = self.gateways[gateway].is_connected && !is_lost;
        let at = if is_on_its_way { self.now.plus(late) } else { Nanos::MAX };
        self.requests.push(Request { gateway, run, asked, at, deadline });
    }

    /// What is asked reaches the publisher of that run, also when it has been deposed.
    fn answer(&mut self) {
        for request in std::mem::take(&mut self.requests) {
            if self.now >= request.deadline {
                self.give(request, None, self.now);
                continue;
            }
            let asked = self.publishers.iter().position(|one| one.run == Some(request.run));
            let Some(asked) = asked.filter(|_| request.at <= self.now) else {
                self.requests.push(request);
                continue;
            };
            let one = &mut self.publishers[asked];
            if one.is_frozen(self.now) || !one.is_connected {
                self.requests.push(request);
                continue;
            }
            let payload = match &request.asked {
                Asked::Streams(questions) => {
                    let asks = asks_request(questions).into();
                    one.teller.answer_asks(&asks, self.payload_max, self.now)
                }
                Asked::List(from) => {
                    one.teller.answer_list(list_request(*from).into(), self.payload_max)
                }
            };
            let is_late = !self.is_calm && self.random.u8(..10) == 0;
            let late = if is_late { self.random.i64(0..2_500) } else { self.late().0 / 1_000_000 };
            let at = self.now.plus(Nanos::from_millis(late));
            let is_lost = !self.is_calm && self.random.u8(..20) == 0;
            if is_lost || at > request.deadline {
                self.requests.push(Request { at: Nanos::MAX, ..request });
            } else {
                self.give(request, payload, at);
            }
        }
    }

    fn give(&mut self, request: Request, payload: Option<bytes::Bytes>, at: Nanos) {
        let told = match request.asked {
            Asked::Streams(questions) => Told::Answers(request.run, questions, payload),
            Asked::List(_) => Told::List(request.run, payload),
        };
        self.gateways[request.gateway].answers.push((at, told));
    }
}
