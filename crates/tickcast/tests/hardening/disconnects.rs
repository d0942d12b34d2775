//! Row 2: whatever is cut, lost or repeated between the service and a client that follows the
//! rule, nothing goes unnoticed, and what it holds is the publisher's state.

use crate::fault_proxy::{Cut, FaultProxy, Faults};
use crate::hostile::unharmed;
use crate::raw::{End, Next, PATIENCE, Raw, connect, text};
use crate::service::{Service, Stream, get};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tickcast_client::{Counts, Session, Take};
use tickcast_market::{Interval, Since};
use tickcast_wire::{
    Depth, Encoding, Message, Pattern, Request, Subscribe, TickerField, View, write_request,
};

/// Disconnects of all clients together.
const DISCONNECTS: u64 = 10_000;
const CLIENTS: u64 = 40;
const INSTRUMENTS: usize = 10;
/// Each so many lives what is held is compared with a snapshot.
const COMPARED_EVERY: u64 = 10;

/// A client that lives many times.
struct Client {
    service: SocketAddr,
    proxy: SocketAddr,
    session: Session,
    view: View,
    compared: u64,
    missed: u64,
    random: fastrand::Rng,
}

#[test]
fn row_02_ten_thousand_disconnects_leave_no_gap_unnoticed() {
    let service = Service::start(&["--sim-instruments", "10", "--sim-rate", "600"]);
    service.until_ready();
    // Cuts at any place, from the middle of the handshake on; every other connection loses or
    // repeats updates, too.
    let proxy = FaultProxy::start(service.public, |number| {
        let mut random = fastrand::Rng::with_seed(number);
        let most = [200, 3_000, 20_000, 60_000][random.usize(..4)];
        let cut = [Cut::Close, Cut::Reset, Cut::Reset, Cut::HalfClose][random.usize(..4)];
        Faults {
            cut_after: Some((random.u64(1..most), cut)),
            lose_one_of: (number % 2 == 0).then_some(7),
            repeat_one_of: (number % 2 == 0).then_some(7),
            single_bytes: number % 50 == 0,
            seed: number,
            ..Faults::default()
        }
    });
    let lives = Arc::new(AtomicU64::new(0));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let (service, lives, address) = (service.public, lives.clone(), proxy.address);
            std::thread::spawn(move || Client::new(service, address, number).run(&lives))
        })
        .collect();
    let mut total = Counts::default();
    let (mut compared, mut missed) = (0, 0);
    for client in clients {
        let client = client.join().expect("no client met anything that must not be");
        let counts = client.session.counts();
        total.items += counts.items;
        total.gaps += counts.gaps;
        total.ignored += counts.ignored;
        total.asked_again += counts.asked_again;
        compared += client.compared;
        missed += client.missed;
    }
    let cuts = proxy.done.cuts.load(Ordering::Relaxed);
    let (lost, repeated) =
        (proxy.done.lost.load(Ordering::Relaxed), proxy.done.repeated.load(Ordering::Relaxed));
    println!(
        "row 2: {cuts} disconnects, {lost} updates lost, {repeated} repeated: {} items, {} gaps noticed, \
         {} ignored, {} asked again; {compared} states compared ({missed} not: no frame at that seq), all equal",
        total.items, total.gaps, total.ignored, total.asked_again
    );
    assert!(cuts >= DISCONNECTS, "{cuts}");
    assert!(total.gaps > 0 && lost > 0 && total.ignored >= repeated / 2, "{total:?}");
    assert!(compared > missed, "{compared} {missed}");
    unharmed(&service);
}

impl Client {
    fn new(service: SocketAddr, proxy: SocketAddr, number: u64) -> Client {
        let views = [View::Ticker, View::Book(Depth::TEN), View::Trades, View::Bars(Interval::S1)];
        let random = fastrand::Rng::with_seed(number);
        let view = views[number as usize % views.len()];
        Client { service, proxy, session: Session::new(), view, compared: 0, missed: 0, random }
    }

    fn run(mut self, lives: &AtomicU64) -> Client {
        let first = Subscribe::new(self.view, vec![Pattern::new("sim:*")]);
        let mut requests = vec![self.session.subscribe(first)];
        let mut life = 0;
        // Relaxed: only a count.
        while lives.fetch_add(1, Ordering::Relaxed) < DISCONNECTS + CLIENTS {
            self.live(&requests);
            self.check();
            requests = self.session.reconnected();
            life += 1;
            if life % COMPARED_EVERY == 0 {
                self.compare(&requests, 1);
                requests = self.session.reconnected();
            }
        }
        self.compare(&requests, INSTRUMENTS);
        self
    }

    /// One connection through the proxy, to its end.
    fn live(&mut self, requests: &[Request]) {
        let stream = TcpStream::connect(self.proxy).expect("the proxy listens");
        let Some(mut raw) = Raw::try_shake(Stream::Plain(stream)) else { return };
        if self.send(&mut raw, requests) {
            while self.receive(&mut raw) {}
        }
    }

    fn send(&self, raw: &mut Raw, requests: &[Request]) -> bool {
        requests.iter().all(|request| {
            let mut out = Vec::new();
            write_request(&mut out, Encoding::Json, request);
            raw.try_send(&text(std::str::from_utf8(&out).expect("JSON is text")))
        })
    }

    /// Takes one frame; whether the connection goes on.
    fn receive(&mut self, raw: &mut Raw) -> bool {
        match raw.next() {
            Next::Frame(frame) if frame.opcode == 1 => {
                let message = Message::decode(&frame.payload).expect("a message");
                self.session.receive(&message);
                if self.session.must_ask_again() {
                    let requests = self.session.ask_again();
                    return self.send(raw, &requests);
                }
                true
            }
            Next::Frame(frame) => frame.opcode != 8,
            Next::End(End::Open) => panic!("the service is silent"),
            Next::End(_) => false,
        }
    }

    /// No promise of the protocol was broken; books agreed with their checksums all the time.
    fn check(&self) {
        assert!(self.session.violations().is_empty(), "{:?}", self.session.violations());
        for symbol in self.session.symbols() {
            let Some(view) = self.session.trades(symbol) else { continue };
            let seqs: Vec<_> = view.recent().map(|row| row.seq).collect();
            assert!(seqs.is_sorted_by(|a, b| a < b), "a trade twice: {seqs:?}");
        }
    }

    /// Follows `symbols` over a good line until they are at the seq of a snapshot, and compares.
    fn compare(&mut self, requests: &[Request], symbols: usize) {
        let mut raw = Raw::shake(Stream::Plain(connect(self.service)), b"");
        raw.stream.set_read_timeout(PATIENCE);
        assert!(self.send(&mut raw, requests), "a good line");
        for _ in 0..symbols {
            let symbol = format!("sim:S{}-USD", self.random.usize(..INSTRUMENTS));
            // It follows before it asks: what it then reads is what leads to that snapshot.
            let until = Instant::now() + Duration::from_millis(self.random.u64(1..30));
            while Instant::now() < until || self.held(&self.session, &symbol).is_none() {
                assert!(self.receive(&mut raw), "a good line");
            }
            let (view, depth) = match self.view {
                View::Ticker => ("ticker", ""),
                View::Trades => ("trades", ""),
                View::Book(_) => ("book", "&depth=10"),
                View::Bars(_) => ("bars", "&interval=1s"),
                _ => panic!("no other view is used"),
            };
            let path = format!("/v1/snapshot?channel={view}&symbol={symbol}{depth}");
            let (status, body) = get(self.service, &path);
            assert_eq!(status, 200, "{body}");
            let mut truth = Session::new();
            truth.subscribe(Subscribe::new(self.view, vec![Pattern::new(&symbol)]));
            truth.receive(&Message::decode(body.as_bytes()).expect("a message"));
            let target = self.held(&truth, &symbol).expect("a snapshot is held");
            let reached = |held: Option<Since>| held.is_some_and(|at| at.seq >= target.seq);
            let patience = Instant::now() + Duration::from_secs(2);
            while !reached(self.held(&self.session, &symbol)) && Instant::now() < patience {
                assert!(self.receive(&mut raw), "a good line");
            }
            if self.held(&self.session, &symbol) == Some(target) {
                self.assert_equal(&truth, &symbol);
                self.compared += 1;
            } else {
                self.missed += 1;
            }
        }
        self.check();
    }

    fn held(&self, session: &Session, symbol: &str) -> Option<Since> {
        match self.view {
            View::Ticker => session.ticker(symbol)?.rule().held(),
            View::Trades => session.trades(symbol)?.rule().held(),
            View::Book(_) => session.book(symbol)?.rule().held(),
            _ => session.bars(symbol, Interval::S1)?.rule().held(),
        }
    }

    fn assert_equal(&self, truth: &Session, symbol: &str) {
        let mine = &self.session;
        match self.view {
            View::Ticker => {
                let (mine, truth) = (mine.ticker(symbol).unwrap(), truth.ticker(symbol).unwrap());
                for field in TickerField::ALL {
                    assert_eq!(mine.get(field), truth.get(field), "{symbol} {}", field.name());
                }
            }
            View::Trades => {
                let rows = |session: &Session| -> Vec<_> {
                    let view = session.trades(symbol).unwrap();
                    let skipped = view.recent().len().saturating_sub(20);
                    view.recent().skip(skipped).cloned().collect()
                };
                assert_eq!(rows(mine), rows(truth), "{symbol}");
            }
            View::Book(_) => {
                let (mine, truth) = (mine.book(symbol).unwrap(), truth.book(symbol).unwrap());
                assert!(mine.bids().eq(truth.bids()), "{symbol}");
                assert!(mine.asks().eq(truth.asks()), "{symbol}");
            }
            _ => {
                let last = |session: &Session| -> Vec<_> {
                    let view = session.bars(symbol, Interval::S1).unwrap();
                    let rows: Vec<_> = view.bars().cloned().collect();
                    rows[rows.len().saturating_sub(20)..].to_vec()
                };
                assert_eq!(last(mine), last(truth), "{symbol}");
            }
        }
    }
}

#[test]
fn row_02_a_line_that_is_slow_or_stalls_or_trickles_is_served_what_it_can_take() {
    let service = Service::start(&["--sim-instruments", "50", "--sim-rate", "5000"]);
    service.until_ready();
    let proxy = FaultProxy::start(service.public, |number| match number {
        0 => Faults { bytes_per_second: Some(60_000), ..Faults::default() },
        1 => Faults { delay: Some(Duration::from_millis(30)), ..Faults::default() },
        _ => Faults { single_bytes: true, ..Faults::default() },
    });
    let mut counts = Vec::new();
    for _ in 0..3 {
        let mut session = Session::new();
        let request = session.subscribe(Subscribe::new(View::Ticker, vec![Pattern::new("sim:*")]));
        let stream = TcpStream::connect(proxy.address).expect("the proxy listens");
        socket2::SockRef::from(&stream).set_recv_buffer_size(8 << 10).expect("a size");
        let mut raw = Raw::shake(Stream::Plain(stream), b"");
        let mut out = Vec::new();
        write_request(&mut out, Encoding::Json, &request);
        raw.send(&text(std::str::from_utf8(&out).expect("JSON is text")));
        let (until, deadline) =
            (Instant::now() + Duration::from_secs(3), Instant::now() + PATIENCE);
        while Instant::now() < until || session.counts().applied <= 50 {
            assert!(Instant::now() < deadline, "{:?}", session.counts());
            let Next::Frame(frame) = raw.next() else { panic!("it is served on") };
            if frame.opcode == 1 {
                let message = Message::decode(&frame.payload).expect("a message");
                session.receive(&message);
            }
        }
        assert!(session.violations().is_empty(), "{:?}", session.violations());
        let held = session.counts();
        assert!(held.gaps == 0 && held.applied > 50, "{held:?}");
        counts.push(held.applied);
    }
    println!("row 2: updates in 3 s over 60 kB/s, 30 ms a piece, single bytes: {counts:?}, no gap");
    unharmed(&service);
}
