//! However frames are lost, doubled or cut off by new connections and new epochs: a client that
//! follows the rule ends with what the service holds, and knows which trades it missed.

use proptest::prelude::*;
use std::collections::{BTreeMap, VecDeque};
use tickcast_client::Session;
use tickcast_market::{
    BookSide, Decimal, Epoch, Nanos, Price, Scales, Seq, Side, Since, Size, Trade, TradingState,
};
use tickcast_wire::{
    Depth, Encoding, FieldSet, Head, Kind, LevelPiece, Message, Pattern, Pieces, Request,
    Subscribe, TickerField, TradePiece, View, book_checksum, write_message, write_request,
};

const SYMBOL: &str = "sim:S0-USD";
const VIEWS: [View; 3] = [View::Ticker, View::Book(Depth::TEN), View::Trades];
const SCALES: Scales = Scales { price: 1, size: 2, volume: 2 };

/// How many trades the service keeps.
const RING_LEN: usize = 5;

/// Values that remember when they last changed, as the service's streams do.
#[derive(Default)]
struct Stream {
    epoch: u64,
    seq: u64,
    /// What the topic last sent.
    sent: u64,
    /// Ticker fields, or levels by price, with the value and the change at which it came.
    stamped: BTreeMap<i64, (Option<i64>, u64)>,
}

impl Stream {
    fn set(&mut self, key: i64, value: Option<i64>) {
        self.seq += 1;
        self.stamped.insert(key, (value, self.seq));
    }

    fn diff(&self, view: View, since: Since) -> Pieces {
        let resumes = since.epoch.0 == self.epoch && (1..=self.seq).contains(&since.seq.0);
        let head = Head {
            view,
            kind: if resumes { Kind::Update { prev: since.seq } } else { Kind::Snapshot },
            epoch: Epoch(self.epoch),
            seq: Seq(self.seq),
            state: TradingState::Live,
            scales: SCALES,
            ts_event: Nanos::ZERO,
            ..Pieces::default().head
        };
        let mut pieces = Pieces { head, ..Pieces::default() };
        let from = if resumes { since.seq.0 } else { 0 };
        match view {
            View::Ticker => self.ticker(&mut pieces, from, resumes),
            View::Book(_) => self.book(&mut pieces, from, resumes),
            _ => self.trades(&mut pieces, from),
        }
        pieces
    }

    fn ticker(&self, pieces: &mut Pieces, from: u64, resumes: bool) {
        let value = |key| self.stamped.get(&key).copied().unwrap_or_default();
        let fields = [TickerField::Last, TickerField::Bid];
        let changed = |key: i64| !resumes || value(key).1 > from;
        pieces.ticker.present = (0..2)
            .filter(|key| changed(*key))
            .fold(FieldSet::NONE, |set, key| set.with(fields[key as usize]));
        pieces.ticker.last = value(0).0.map(Price);
        pieces.ticker.bid = value(1).0.map(Price);
    }

    fn book(&self, pieces: &mut Pieces, from: u64, resumes: bool) {
        let side = |price: i64| if price < 10 { BookSide::Bid } else { BookSide::Ask };
        let level = |(price, (size, _)): (&i64, &(Option<i64>, u64))| LevelPiece {
            side: side(*price),
            price: Price(*price),
            size: Size(size.unwrap_or(0)),
        };
        let changed = self
            .stamped
            .iter()
            .filter(|(_, (size, seq))| *seq > from && (resumes || size.is_some()));
        pieces.book.levels = changed.map(level).collect();
        let held = || {
            self.stamped
                .iter()
                .filter_map(|(price, (size, _))| Some((Price(*price), Size((*size)?))))
        };
        let bids: Vec<_> = held().filter(|(price, _)| price.0 < 10).collect();
        let asks = held().filter(|(price, _)| price.0 >= 10);
        pieces.book.checksum = book_checksum(bids.into_iter().rev(), asks);
    }

    fn trades(&self, pieces: &mut Pieces, from: u64) {
        let oldest = self.seq.saturating_sub(RING_LEN as u64);
        let trade = |seq| TradePiece {
            seq: Seq(seq),
            trade: Trade {
                id: seq,
                price: Price(1),
                size: Size(1),
                side: Side::Sell,
                ts_event: Nanos::ZERO,
            },
        };
        pieces.trades = (oldest.max(from) + 1..=self.seq).map(trade).collect();
    }
}

/// The service and the line to its one client.
struct Service {
    streams: [Stream; 3],
    /// Messages, and whether each is an update of a topic and not the answer to a request.
    line: VecDeque<(Vec<u8>, bool)>,
}

impl Service {
    fn send(&mut self, pieces: &Pieces, is_topic: bool) {
        let mut out = Vec::new();
        write_message(&mut out, SYMBOL, pieces, Nanos::ZERO);
        self.line.push_back((out, is_topic));
    }

    /// Changes a stream and puts the update on the line.
    fn change(&mut self, at: usize, key: i64, value: Option<i64>) {
        let stream = &mut self.streams[at];
        // A book keeps ten levels a side; trades have no keys.
        let keys = [2, 20, i64::MAX][at];
        stream.set(if at == 2 { 0 } else { key % keys }, value);
        let since = Since { epoch: Epoch(stream.epoch), seq: Seq(stream.sent) };
        stream.sent = stream.seq;
        let pieces = self.streams[at].diff(VIEWS[at], since);
        self.send(&pieces, true);
    }

    fn new_epoch(&mut self, at: usize) {
        let stream = &mut self.streams[at];
        *stream = Stream { epoch: stream.epoch + 1, ..Stream::default() };
    }

    /// Reads a request from its text and serves what it asks for: on a live subscription only the
    /// symbols in `since`, on a new one all.
    fn request(&mut self, request: &Request, is_new: bool) {
        let mut text = Vec::new();
        write_request(&mut text, Encoding::Json, request);
        let Ok(Request::Subscribe { params, .. }) = Request::parse(&text) else {
            panic!("{}", String::from_utf8_lossy(&text));
        };
        let at = VIEWS.iter().position(|view| *view == params.view).expect("one of them");
        let since = params.since.get(SYMBOL).copied();
        if is_new || since.is_some() {
            let pieces = self.streams[at].diff(params.view, since.unwrap_or(Since::NOTHING));
            self.send(&pieces, false);
        }
    }

    fn connect(&mut self, requests: &[Request]) {
        self.line.clear();
        let mut status = Pieces::default();
        status.head.epoch = Epoch(1);
        status.head.seq = Seq(1);
        self.send(&status, false);
        for request in requests {
            self.request(request, true);
        }
    }
}

#[derive(Clone, Debug)]
enum Op {
    Change(usize, i64, Option<i64>),
    Deliver(usize),
    Lose,
    Double,
    NewEpoch(usize),
    Reconnect,
}

fn ops() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (0..3usize, 0..20i64, proptest::option::weighted(0.7, 1..5i64))
            .prop_map(|(at, key, value)| Op::Change(at, key, value)),
        6 => (1..6usize).prop_map(Op::Deliver),
        2 => Just(Op::Lose),
        1 => Just(Op::Double),
        1 => (0..3usize).prop_map(Op::NewEpoch),
        1 => Just(Op::Reconnect),
    ]
}

fn deliver(service: &mut Service, session: &mut Session) {
    let Some((text, _)) = service.line.pop_front() else { return };
    session.receive(&Message::decode(&text).expect("the service writes JSON"));
    for request in session.ask_again() {
        service.request(&request, false);
    }
}

fn play(ops: &[Op]) -> (Service, Session) {
    let streams = [5, 5, 5].map(|epoch| Stream { epoch, ..Stream::default() });
    let mut service = Service { streams, line: VecDeque::new() };
    let mut session = Session::new();
    let requests = VIEWS.map(|view| {
        let all = vec![Pattern::new("sim:*")];
        let fields = match view {
            View::Ticker => FieldSet::NONE.with(TickerField::Last).with(TickerField::Bid),
            _ => FieldSet::ALL,
        };
        session.subscribe(Subscribe { fields, ..Subscribe::new(view, all) })
    });
    service.connect(&requests);
    // From the first snapshots on, of streams that are still empty, nothing is unknown.
    (0..4).for_each(|_| deliver(&mut service, &mut session));
    for op in ops {
        match op {
            Op::Change(at, key, value) => service.change(*at, *key, *value),
            Op::Deliver(count) => (0..*count).for_each(|_| deliver(&mut service, &mut session)),
            Op::Lose => {
                // Answers are never lost: only what went to everyone may have missed this one.
                service.line.pop_front_if(|(_, is_topic)| *is_topic);
            }
            Op::Double => {
                if let Some(message) = service.line.front().cloned() {
                    service.line.push_front(message);
                }
            }
            Op::NewEpoch(at) => service.new_epoch(*at),
            Op::Reconnect => service.connect(&session.reconnected()),
        }
    }
    // One more change of each shows whatever is still missing.
    for at in 0..3 {
        service.change(at, 0, Some(9));
    }
    while !service.line.is_empty() {
        deliver(&mut service, &mut session);
    }
    (service, session)
}

fn check(ops: &[Op]) {
    let (service, session) = play(ops);
    assert_eq!(session.violations(), []);
    let [ticker, book, trades] = &service.streams;
    let held = session.ticker(SYMBOL).expect("subscribed");
    for (key, field) in [(0, TickerField::Last), (1, TickerField::Bid)] {
        let value = ticker.stamped.get(&key).and_then(|(value, _)| *value);
        let expected = value.map(|mantissa| Decimal { mantissa, scale: 1 }.to_string());
        assert_eq!(held.get(field), expected.as_deref());
    }
    let held = session.book(SYMBOL).expect("subscribed");
    let levels = held.bids().rev().chain(held.asks());
    let levels: Vec<_> = levels.map(|(price, size)| (price.mantissa, size.mantissa)).collect();
    let expected = book.stamped.iter().filter_map(|(price, (size, _))| Some((*price, (*size)?)));
    assert_eq!(levels, expected.collect::<Vec<_>>());
    let held = session.trades(SYMBOL).expect("subscribed");
    assert_eq!(held.recent().last().map(|trade| trade.seq.0), Some(trades.seq));
    // Within the one epoch, what was taken and what was missed are all there ever were.
    if !ops.iter().any(|op| matches!(op, Op::NewEpoch(2))) {
        assert_eq!(held.taken() + held.missed(), trades.seq);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn a_client_that_follows_the_rule_ends_with_what_the_service_holds(
        ops in proptest::collection::vec(ops(), 0..60),
    ) {
        check(&ops);
    }
}
