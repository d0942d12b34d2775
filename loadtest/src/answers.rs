//! Requests whose answers have not come, and what becomes of a connection's places meanwhile.

use crate::connection::{Asked, Conn};
use crate::place::{Place, Subscribing};
use crate::witness::Witness;
use tickcast_wire::{Channel, Outcome, ReqId, Request, Subscribe};

impl Witness {
    /// An answer has come.
    pub(crate) fn answered(
        &mut self,
        at: u32,
        conn: &mut Conn,
        req_id: Option<u32>,
        outcome: &Outcome,
    ) {
        let request = req_id.and_then(|req_id| self.close_request(conn, req_id));
        match outcome {
            Outcome::Subscribed(granted) => {
                for failed in &granted.failed {
                    *self.correctness.refused.entry(failed.code).or_default() += 1;
                    self.correctness.example(|| {
                        format!("refused: {} {}: {}", failed.code, failed.symbol, failed.error)
                    });
                    let (Some(position), Some(request)) =
                        (self.position(conn, failed.symbol.as_bytes()), &request)
                    else {
                        continue;
                    };
                    let slot = position * self.width() + 1 + usize::from(request.column);
                    self.give_up(conn, slot);
                }
            }
            Outcome::Refused { code, error } => {
                *self.correctness.refused.entry(*code).or_default() += 1;
                self.correctness.example(|| format!("refused: {code}: {error}"));
                let Some(request) = request.filter(|request| !request.is_unsubscribe) else {
                    return;
                };
                let width = self.width();
                for position in &request.positions {
                    let slot = *position as usize * width + 1 + usize::from(request.column);
                    if *code >= 4500 {
                        self.due.push((at, slot as u32));
                    } else {
                        self.give_up(conn, slot);
                    }
                }
            }
            _ => {}
        }
    }

    fn give_up(&mut self, conn: &mut Conn, slot: usize) {
        if conn.places[slot].awaits_first() {
            conn.missing -= 1;
            self.missing -= 1;
        }
        conn.places[slot] = Place::off();
    }

    /// The request of that number was answered.
    pub(crate) fn close_request(&mut self, conn: &mut Conn, req_id: u32) -> Option<Asked> {
        let at = conn.asked.iter().position(|asked| asked.req_id == req_id)?;
        let asked = conn.asked.swap_remove(at);
        if conn.asked.is_empty() {
            conn.asked = Vec::new();
        }
        let width = self.width();
        for position in &asked.positions {
            let status = *position as usize * width;
            let place = &mut conn.places[status + 1 + usize::from(asked.column)];
            if !asked.is_unsubscribe {
                place.answered();
                continue;
            }
            place.ended();
            let all = &mut conn.places[status..status + width];
            if all[1..].iter().all(Place::is_off) {
                all[0] = Place::default();
            }
        }
        Some(asked)
    }

    /// A subscribe is about to be sent: its streams await their first messages.
    pub(crate) fn subscribing(&mut self, conn: &mut Conn, request: &Request, is_change: bool) {
        let Request::Subscribe { req_id: Some(req_id), params } = request else { return };
        let column = self.column(params.view.channel());
        let positions = self.positions(conn, params);
        for position in &positions {
            let slot = *position as usize * self.width() + 1 + usize::from(column);
            let symbol = self.symbol(conn, *position as usize);
            let how = match params.since.get(symbol) {
                Some(since) => Subscribing::Claiming(*since),
                None if is_change => Subscribing::Changing,
                None => Subscribing::Anew,
            };
            let was_first = conn.places[slot].awaits_first();
            conn.places[slot].subscribed(how);
            if conn.places[slot].awaits_first() && !was_first {
                conn.missing += 1;
                self.missing += 1;
            }
        }
        let req_id = number(req_id);
        conn.asked.push(Asked { req_id, column, is_unsubscribe: false, positions });
    }

    /// A subscribe that asks again is about to be sent: nothing changes but that an answer comes.
    pub(crate) fn asking_again(&mut self, conn: &mut Conn, request: &Request) {
        let Request::Subscribe { req_id: Some(req_id), params } = request else { return };
        self.correctness.asked_again += 1;
        let column = self.column(params.view.channel());
        let req_id = number(req_id);
        let positions = self.positions(conn, params);
        conn.asked.push(Asked { req_id, column, is_unsubscribe: false, positions });
    }

    /// An unsubscribe is about to be sent.
    pub(crate) fn unsubscribing(&mut self, conn: &mut Conn, request: &Request) {
        let Request::Unsubscribe { req_id: Some(req_id), params } = request else { return };
        let column = self.column(params.view.channel());
        let symbols = params.symbols.iter();
        let positions: Box<[u32]> = symbols
            .filter_map(|symbol| self.position(conn, symbol.as_str().as_bytes()))
            .map(|position| position as u32)
            .collect();
        for position in &positions {
            let slot = *position as usize * self.width() + 1 + usize::from(column);
            if conn.places[slot].awaits_first() {
                conn.missing -= 1;
                self.missing -= 1;
            }
            conn.places[slot].ending();
        }
        let req_id = number(req_id);
        conn.asked.push(Asked { req_id, column, is_unsubscribe: true, positions });
    }

    fn column(&self, channel: Channel) -> u8 {
        let column = self.views.iter().position(|view| view.channel() == channel);
        column.unwrap_or_default() as u8
    }

    fn positions(&self, conn: &Conn, params: &Subscribe) -> Box<[u32]> {
        if self.job.scenario.pattern.is_some() {
            return (0..conn.keys.len() as u32).collect();
        }
        let symbols = params.symbols.iter();
        symbols
            .filter_map(|symbol| self.position(conn, symbol.as_str().as_bytes()))
            .map(|position| position as u32)
            .collect()
    }
}

/// All our requests have numbers.
fn number(req_id: &ReqId) -> u32 {
    req_id.as_json().parse().unwrap_or_default()
}
