//! The comparison at the end: what the sampled clients hold against `/v1/snapshot`,
//! the service's or that of another gateway on its bus.
//!
//! The market moves on meanwhile, so both sides are compared at the same (epoch, seq) or not at
//! all: a client's states are remembered while a snapshot is on its way, and a snapshot waits for
//! a client that is not there yet.

use crate::facts::{self, Facts};
use crate::http;
use crate::job::Job;
use crate::sample::{Look, Sample, Watch};
use crate::tally::Correctness;
use crate::witness::Witness;
use std::sync::mpsc::{self, Receiver, Sender};
use tickcast_client::Session;
use tickcast_wire::{Message, Pattern, Since, Subscribe, View};

/// How many streams of a client and channel are compared.
const STREAMS_MAX: usize = 32;

/// A snapshot that is ahead of the client waits so long.
const AHEAD_US: u64 = 1_500_000;

/// After an answer that was of no use the next is asked for so much later.
const AGAIN_US: u64 = 100_000;

/// A snapshot that a watch wants: which sample, which of its watches, and of what.
struct Wanted {
    sample: usize,
    watch: usize,
    view: View,
    symbol: String,
}

struct Got {
    sample: usize,
    watch: usize,
    result: Result<(Since, Facts), Refusal>,
}

/// Why there is no snapshot.
struct Refusal {
    words: String,
    /// Another try would get the same.
    is_final: bool,
}

impl Refusal {
    fn because(words: String) -> Refusal {
        Refusal { words, is_final: false }
    }
}

/// A comparison under way.
pub(crate) struct Comparison {
    until: u64,
    wanted: Sender<Wanted>,
    got: Receiver<Got>,
}

impl Comparison {
    /// Begins to compare all sampled clients until a time of the engine's clock.
    pub(crate) fn begin(witness: &mut Witness, active: &[Vec<(View, String)>], until: u64) -> Self {
        for (sample, streams) in witness.samples.iter_mut().zip(active) {
            let streams = streams.iter();
            sample.watches =
                streams.map(|(view, symbol)| Watch::new(*view, symbol.clone())).collect();
        }
        let (wanted, requests) = mpsc::channel::<Wanted>();
        let (results, got) = mpsc::channel();
        let job = witness.job.clone();
        std::thread::spawn(move || {
            for Wanted { sample, watch, view, symbol } in requests {
                let result = fetch(&job, view, &symbol);
                if results.send(Got { sample, watch, result }).is_err() {
                    return;
                }
            }
        });
        Comparison { until, wanted, got }
    }

    /// Goes on; whether everything is done.
    pub(crate) fn turn(
        &self,
        samples: &mut [Sample],
        correctness: &mut Correctness,
        now: u64,
    ) -> bool {
        for got in self.got.try_iter() {
            let sample = &mut samples[got.sample];
            let watch = &mut sample.watches[got.watch];
            match got.result {
                Ok((since, facts)) => {
                    watch.look = Look::Ahead(since, facts, now);
                }
                Err(Refusal { words, is_final }) => {
                    correctness.example(|| format!("not compared: {}: {words}", watch.symbol));
                    correctness.not_compared += u64::from(is_final);
                    watch.look = if is_final { Look::Done } else { Look::Missed(now + AGAIN_US) };
                }
            }
        }
        let mut is_done = true;
        for (number, sample) in samples.iter_mut().enumerate() {
            for (at, watch) in sample.watches.iter_mut().enumerate() {
                self.step(watch, &sample.session, (number, at), correctness, now);
                is_done &= matches!(watch.look, Look::Done);
            }
        }
        if is_done || now < self.until {
            return is_done;
        }
        for watch in samples.iter().flat_map(|sample| &sample.watches) {
            if !matches!(watch.look, Look::Done) {
                correctness.not_compared += 1;
                let last = watch.history.back().map(|(since, _)| *since);
                correctness.example(|| {
                    let (symbol, look) = (&watch.symbol, name(&watch.look));
                    format!("not compared: {:?} {symbol}: {look}, held {last:?}", watch.view)
                });
            }
        }
        true
    }

    fn step(
        &self,
        watch: &mut Watch,
        session: &Session,
        (sample, at): (usize, usize),
        correctness: &mut Correctness,
        now: u64,
    ) {
        match &watch.look {
            Look::Missed(again) if now >= *again => watch.want(session),
            Look::Ahead(since, facts, began) => {
                let same = watch.history.iter().find(|(held, _)| held == since);
                if let Some((_, held)) = same {
                    correctness.compared += 1;
                    if !facts::agree(held, facts) {
                        correctness.mismatched += 1;
                        correctness.example(|| {
                            let (view, symbol) = (watch.view, &watch.symbol);
                            let words = format!("mismatch: {view:?} {symbol} at {since:?}");
                            format!("{words}: client {held:?}, service {facts:?}")
                        });
                    }
                    watch.look = Look::Done;
                    watch.history.clear();
                    return;
                }
                let is_past = watch.history.back().is_some_and(|(held, _)| {
                    held.epoch > since.epoch || held.epoch == since.epoch && held.seq > since.seq
                });
                // Just after a change is the best moment to meet the service at the same one.
                if is_past || now > began + AHEAD_US {
                    watch.want(session);
                }
            }
            _ => {}
        }
        if matches!(watch.look, Look::Wanted) {
            watch.look = Look::Asked;
            let (view, symbol) = (watch.view, watch.symbol.clone());
            // The thread ends after this end of its line does.
            let _ = self.wanted.send(Wanted { sample, watch: at, view, symbol });
        }
    }
}

fn name(look: &Look) -> &'static str {
    match look {
        Look::Wanted | Look::Asked => "no snapshot came",
        Look::Ahead(..) => "the snapshot's moment was not reached",
        Look::Missed(_) => "no moment was met",
        Look::Done => "done",
    }
}

/// Asks for a snapshot and reads it as a client would.
fn fetch(job: &Job, view: View, symbol: &str) -> Result<(Since, Facts), Refusal> {
    let mut path = format!("/v1/snapshot?channel={}&symbol=", view.channel().name());
    for byte in symbol.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b':' => {
                path.push(char::from(byte));
            }
            _ => path.push_str(&format!("%{byte:02X}")),
        }
    }
    match view {
        View::Book(depth) => path.push_str(&format!("&depth={}", depth.levels())),
        View::Bars(interval) => path.push_str(&format!("&interval={}", interval.name())),
        View::Status | View::Ticker | View::Trades => {}
    }
    let (status, body) = http::get(&job.snapshots, &job.trust, &path)
        .map_err(|error| Refusal::because(error.to_string()))?;
    if status != 200 {
        // What is not there now will not be; an overloaded service may answer the next time.
        let is_final = (400..500).contains(&status) && status != 429;
        return Err(Refusal { words: format!("{path}: status {status}"), is_final });
    }
    let message = Message::decode(&body).map_err(|error| Refusal::because(error.to_string()))?;
    let mut session = Session::new();
    session.subscribe(Subscribe::new(view, vec![Pattern::new(symbol)]));
    session.receive(&message);
    let held = facts::held(&session, view, symbol)
        .ok_or_else(|| Refusal::because("the snapshot cannot be applied".into()))?;
    let facts = facts::of(&session, view, symbol)
        .ok_or_else(|| Refusal::because("the snapshot holds nothing".into()))?;
    Ok((held, facts))
}

/// What is to be compared of a connection: the streams that it is subscribed to.
pub(crate) fn streams(witness: &Witness, conn: &crate::connection::Conn) -> Vec<(View, String)> {
    let width = witness.width();
    let mut streams = Vec::new();
    for (column, view) in witness.views.iter().enumerate() {
        let active: Vec<usize> = (0..conn.keys.len())
            .filter(|position| {
                let place = &conn.places[position * width + 1 + column];
                !place.is_off() && place.held().is_some()
            })
            .collect();
        let count = active.len().min(STREAMS_MAX);
        let chosen = (0..count).map(|at| active[at * active.len() / count]);
        streams.extend(chosen.map(|at| (*view, witness.symbol(conn, at).to_owned())));
    }
    streams
}
