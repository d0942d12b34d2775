//! The requests that a connection sends: subscribing, asking again, coming and going.

use crate::choice;
use crate::connection::{Conn, NONE};
use crate::witness::Witness;
use tickcast_wire::{
    Encoding, Pattern, ReqId, Request, Since, Subscribe, Unsubscribe, View, write_request,
};

/// How many names a service reads in one request.
const NAMES_MAX: usize = 1_000;

/// How long a request becomes at most, about; a service reads 64 KiB.
const REQUEST_BYTES_MAX: usize = 56 * 1024;

/// What an entry of `since` takes beside the symbol.
const SINCE_BYTES: usize = 64;

impl Witness {
    /// Subscribes to everything that the connection has, claiming what it held if it did not
    /// forget. `active` says which places had been subscribed to before the connection was lost.
    pub(crate) fn subscribe_all(&mut self, conn: &mut Conn, number: usize, before: Option<&Held>) {
        if conn.sample != NONE && before.is_some() {
            return self.resubscribe_sampled(conn);
        }
        let quiet = self.job.scenario.bell.as_ref().map(|bell| bell.quiet_symbols);
        for column in 0..self.views.len() {
            let positions: Vec<usize> = match (before, quiet) {
                (Some(held), _) => held.positions(column),
                (None, Some(quiet)) if conn.is_quiet => (0..quiet.min(conn.keys.len())).collect(),
                (None, _) => (0..conn.keys.len()).collect(),
            };
            let since = |position| before.and_then(|held| held.since(column, position));
            self.subscribe(conn, number, column, &positions, since, false);
        }
    }

    /// Subscribes a channel to some positions, in as many requests as they need.
    pub(crate) fn subscribe(
        &mut self,
        conn: &mut Conn,
        number: usize,
        column: usize,
        positions: &[usize],
        since: impl Fn(usize) -> Option<Since>,
        is_change: bool,
    ) {
        if let Some(pattern) = self.job.scenario.pattern.clone() {
            let patterns = vec![Pattern::new(pattern)];
            let params = self.params(conn, number, column, patterns, positions, &since);
            return self.send_subscribe(conn, params, is_change);
        }
        let mut from = 0;
        while from < positions.len() {
            let mut bytes = 0;
            let fitting = positions[from..].iter().take(NAMES_MAX).take_while(|position| {
                let symbol = self.symbol(conn, **position).len();
                let claim = since(**position).map_or(0, |_| symbol + SINCE_BYTES);
                bytes += symbol + 3 + claim;
                bytes <= REQUEST_BYTES_MAX
            });
            let upto = from + fitting.count().max(1);
            let chunk = &positions[from..upto];
            let names =
                chunk.iter().map(|position| Pattern::new(self.symbol(conn, *position))).collect();
            let params = self.params(conn, number, column, names, chunk, &since);
            self.send_subscribe(conn, params, is_change);
            from = upto;
        }
    }

    fn params(
        &self,
        conn: &Conn,
        number: usize,
        column: usize,
        patterns: Vec<Pattern>,
        positions: &[usize],
        since: &impl Fn(usize) -> Option<Since>,
    ) -> Subscribe {
        let mut params = Subscribe::new(self.views[column], patterns);
        params.max_rate = match &self.job.scenario.bell {
            Some(bell) if conn.is_quiet => Some(bell.quiet_rate),
            _ => choice::rate(&self.job.scenario, number),
        };
        // What does not fit comes as a snapshot.
        let mut bytes = 0;
        for position in positions {
            let Some(since) = since(*position) else { continue };
            let symbol = self.symbol(conn, *position);
            bytes += 2 * symbol.len() + SINCE_BYTES;
            if bytes > REQUEST_BYTES_MAX {
                break;
            }
            params.since.insert(symbol.to_owned(), since);
        }
        params
    }

    fn send_subscribe(&mut self, conn: &mut Conn, params: Subscribe, is_change: bool) {
        let request = if conn.sample != NONE {
            self.samples[usize::from(conn.sample)].session.subscribe(params)
        } else {
            Request::Subscribe { req_id: next_req_id(conn), params }
        };
        self.subscribing(conn, &request, is_change);
        send(conn, &request);
    }

    fn resubscribe_sampled(&mut self, conn: &mut Conn) {
        let session = &mut self.samples[usize::from(conn.sample)].session;
        for request in session.reconnected() {
            self.subscribing(conn, &request, false);
            send(conn, &request);
        }
    }

    /// Asks again for streams of one connection: each repeats its subscription, with `since` for
    /// what is concerned and nothing else.
    pub(crate) fn ask_again(&mut self, conn: &mut Conn, number: usize, slots: &[u32]) {
        if conn.sample != NONE {
            let session = &mut self.samples[usize::from(conn.sample)].session;
            for request in session.ask_again() {
                self.asking_again(conn, &request);
                send(conn, &request);
            }
            return;
        }
        let width = self.width();
        let column_of = |slot: u32| slot as usize % width;
        // A status is never asked for: that of any channel brings it along.
        for column in 0..self.views.len() {
            let concerned: Vec<usize> = slots
                .iter()
                .filter(|slot| match column_of(**slot) {
                    0 => column == 0,
                    other => other - 1 == column,
                })
                .map(|slot| *slot as usize / width)
                .filter(|position| !conn.places[position * width + 1 + column].is_off())
                .collect();
            if concerned.is_empty() {
                continue;
            }
            let held: Vec<Since> = concerned
                .iter()
                .map(|position| conn.places[position * width + 1 + column].held())
                .map(|held| held.unwrap_or(Since::NOTHING))
                .collect();
            let patterns = match &self.job.scenario.pattern {
                Some(pattern) => vec![Pattern::new(pattern.as_str())],
                None => {
                    let name = |position: &usize| Pattern::new(self.symbol(conn, *position));
                    concerned.iter().take(NAMES_MAX).map(name).collect()
                }
            };
            let since =
                |position| concerned.iter().position(|other| *other == position).map(|at| held[at]);
            let params = self.params(conn, number, column, patterns, &concerned, &since);
            let request = Request::Subscribe { req_id: next_req_id(conn), params };
            self.asking_again(conn, &request);
            send(conn, &request);
        }
    }

    /// One step of churn: what is off is subscribed to again, else something is given up.
    pub(crate) fn churn(&mut self, conn: &mut Conn, number: usize, rng: &mut fastrand::Rng) {
        if !conn.asked.is_empty() || conn.missing > 0 || conn.keys.is_empty() {
            return;
        }
        let width = self.width();
        let column = rng.usize(..self.views.len());
        let slot = |position: usize| position * width + 1 + column;
        let off = (0..conn.keys.len()).find(|position| conn.places[slot(*position)].is_off());
        match off {
            Some(position) => self.subscribe(conn, number, column, &[position], |_| None, false),
            None => {
                let position = rng.usize(..conn.keys.len());
                self.unsubscribe(conn, column, &[position]);
            }
        }
    }

    pub(crate) fn unsubscribe(&mut self, conn: &mut Conn, column: usize, positions: &[usize]) {
        for chunk in positions.chunks(NAMES_MAX) {
            let name = |position: &usize| Pattern::new(self.symbol(conn, *position));
            let symbols = chunk.iter().map(name).collect();
            let params = Unsubscribe { view: self.views[column], symbols };
            let request = if conn.sample != NONE {
                self.samples[usize::from(conn.sample)].session.unsubscribe(params)
            } else {
                Request::Unsubscribe { req_id: next_req_id(conn), params }
            };
            self.unsubscribing(conn, &request);
            send(conn, &request);
        }
    }

    /// The market opens or closes: all symbols in real time, or the quiet ones slowly.
    pub(crate) fn bell(&mut self, conn: &mut Conn, number: usize, is_open: bool) {
        let Some(bell) = self.job.scenario.bell.clone() else { return };
        conn.is_quiet = !is_open;
        let quiet: Vec<usize> = (0..bell.quiet_symbols.min(conn.keys.len())).collect();
        let others: Vec<usize> = (quiet.len()..conn.keys.len()).collect();
        let all: Vec<usize> = (0..conn.keys.len()).collect();
        for column in 0..self.views.len() {
            if is_open {
                self.subscribe(conn, number, column, &all, |_| None, true);
            } else {
                self.unsubscribe(conn, column, &others);
                self.subscribe(conn, number, column, &quiet, |_| None, true);
            }
        }
    }
}

/// What a connection held when it was lost.
pub(crate) struct Held {
    /// For each position and channel whether it was subscribed to, and what was held.
    places: Box<[Option<Option<Since>>]>,
    columns: usize,
    forgets: bool,
}

impl Held {
    pub(crate) fn of(conn: &Conn, views: &[View]) -> Held {
        let columns = views.len();
        let streams = conn.places.chunks(columns + 1).flat_map(|places| &places[1..]);
        let places = streams.map(|place| (!place.is_off()).then(|| place.held())).collect();
        Held { places, columns, forgets: conn.forgets }
    }

    fn positions(&self, column: usize) -> Vec<usize> {
        let all = 0..self.places.len() / self.columns;
        all.filter(|position| self.places[position * self.columns + column].is_some()).collect()
    }

    fn since(&self, column: usize, position: usize) -> Option<Since> {
        self.places[position * self.columns + column].flatten().filter(|_| !self.forgets)
    }
}

fn next_req_id(conn: &mut Conn) -> Option<ReqId> {
    conn.last_req_id += 1;
    Some(ReqId::from_integer(i64::from(conn.last_req_id)))
}

fn send(conn: &mut Conn, request: &Request) {
    let mut text = Vec::new();
    write_request(&mut text, Encoding::Json, request);
    conn.push_frame(Encoding::Json.opcode(), &text);
}
