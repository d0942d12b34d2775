//! Who is connected, what is on its way to whom, and the trouble in between. Plain data: the
//! server calls it under a lock and does the waiting.

use super::fault::{Fault, FaultPlan};
use super::ladder::Side;
use super::persona::{Out, Persona, Role, Said, SessionId};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// The play waits while a client has so many messages before it.
const OUTBOX_MAX: usize = 256;
/// What is played into a silent connection, and so lost, before the play waits for a new one.
const SILENT_STEPS: u32 = 20;
const GARBAGE: &str = "{\"garbage\":[1,2";

/// What the server does next for a client.
#[derive(Debug)]
pub(super) enum Item {
    Text(String),
    Pong(Vec<u8>),
    /// End the connection without a word.
    Cut,
}

#[derive(Debug)]
struct Silence {
    until: Option<Instant>,
    steps_left: u32,
}

#[derive(Debug)]
struct Client {
    outbox: VecDeque<Item>,
    wake: Arc<Notify>,
    silence: Option<Silence>,
    held: Option<Said>,
    /// Messages of this symbol that are still to be lost.
    dropping: Option<(usize, u32)>,
}

/// What the player does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The next message; how long after the one before it came.
    Play(Duration),
    /// Wait until a client has subscribed or read.
    Wait,
    /// It is over.
    Finished,
}

/// Counts for tests and operators.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) fired: Vec<Fault>,
    pub(super) sessions_total: u64,
    pub(super) gets: u64,
    pub(super) pongs: u64,
    pub(super) sent: u64,
}

/// The persona and its clients.
pub(super) struct Stage {
    persona: Box<dyn Persona>,
    wait_for_all: bool,
    /// Nothing is played from this step on until it is released.
    hold_at: Option<usize>,
    clients: BTreeMap<SessionId, Client>,
    plans: Vec<FaultPlan>,
    armed: VecDeque<Fault>,
    refusals: u32,
    rest_refusals: u32,
    played: usize,
    pub(super) counts: Counts,
}

impl Stage {
    pub(super) fn new(
        persona: Box<dyn Persona>,
        wait_for_all: bool,
        hold_at: Option<usize>,
        faults: &[FaultPlan],
    ) -> Stage {
        let mut stage = Stage {
            persona,
            wait_for_all,
            hold_at,
            clients: BTreeMap::new(),
            plans: Vec::new(),
            armed: VecDeque::new(),
            refusals: 0,
            rest_refusals: 0,
            played: 0,
            counts: Counts::default(),
        };
        faults.iter().for_each(|plan| stage.plan(*plan));
        stage
    }

    pub(super) fn plan(&mut self, plan: FaultPlan) {
        self.plans.push(plan);
        self.plans.sort_by_key(|plan| plan.after);
        self.arm();
    }

    pub(super) fn release(&mut self) {
        self.hold_at = None;
    }

    pub(super) fn progress(&self) -> (usize, usize) {
        (self.played, self.persona.script().steps.len())
    }

    /// Both sides of a book, best first, as price and size.
    pub(super) fn book(&self, symbol: &str) -> Option<[Vec<(String, String)>; 2]> {
        let ladder = self.persona.ladder(symbol)?;
        Some([Side::Bid, Side::Ask].map(|side| {
            ladder.side(side).map(|rung| (rung.price.clone(), rung.size.clone())).collect()
        }))
    }

    pub(super) fn sessions(&self) -> usize {
        self.clients.len()
    }

    /// Whether the next connection is refused; counts it as refused if so.
    pub(super) fn refuses_next_connection(&mut self) -> bool {
        let refuses = self.refusals > 0 && self.persona.refuses_connections();
        if refuses {
            self.refusals -= 1;
            self.counts.fired.push(Fault::Refuse);
        }
        refuses
    }

    /// A client has come.
    pub(super) fn connect(&mut self, target: &str, wake: Arc<Notify>) -> SessionId {
        self.counts.sessions_total += 1;
        let session = SessionId(self.counts.sessions_total);
        let (outbox, silence, held, dropping) = (VecDeque::new(), None, None, None);
        self.clients.insert(session, Client { outbox, wake, silence, held, dropping });
        let mut out = Out::default();
        self.persona.opened(session, target, &mut out);
        self.deliver(out);
        session
    }

    pub(super) fn closed(&mut self, session: SessionId) {
        self.persona.closed(session);
        if let Some(client) = self.clients.remove(&session) {
            client.wake.notify_one();
        }
    }

    pub(super) fn received(&mut self, session: SessionId, text: &str) {
        let mut out = Out::default();
        match self.persona.refusal(text) {
            Some(refusal) if self.refusals > 0 && !self.persona.refuses_connections() => {
                self.refusals -= 1;
                self.counts.fired.push(Fault::Refuse);
                out.fixed(session, refusal);
            }
            _ => self.persona.received(session, text, &mut out),
        }
        self.deliver(out);
    }

    pub(super) fn pong_to(&mut self, session: SessionId, payload: Vec<u8>) {
        if let Some(client) = self.clients.get_mut(&session)
            && client.silence.is_none()
        {
            client.outbox.push_back(Item::Pong(payload));
            client.wake.notify_one();
        }
    }

    /// A REST answer: `Err` when it is refused, `Ok(None)` when there is no such thing.
    pub(super) fn get(&mut self, target: &str) -> Result<Option<String>, ()> {
        self.counts.gets += 1;
        if self.rest_refusals > 0 {
            self.rest_refusals -= 1;
            self.counts.fired.push(Fault::RefuseRest);
            return Err(());
        }
        Ok(self.persona.get(target))
    }

    /// What waits for a client; `None` when it has gone.
    pub(super) fn take(&mut self, session: SessionId) -> Option<VecDeque<Item>> {
        self.clients.get_mut(&session).map(|client| std::mem::take(&mut client.outbox))
    }

    /// Whether nothing, not even a ping, may be sent now.
    pub(super) fn is_silent(&self, session: SessionId) -> bool {
        self.clients.get(&session).is_none_or(|client| client.silence.is_some())
    }

    pub(super) fn next(&mut self, now: Instant) -> Next {
        for client in self.clients.values_mut() {
            let over = |s: &Silence| s.until.is_some_and(|until| now >= until);
            if client.silence.as_ref().is_some_and(over) {
                client.silence = None;
            }
        }
        let steps = &self.persona.script().steps;
        if self.played >= steps.len() {
            return Next::Finished;
        }
        if self.hold_at.is_some_and(|step| self.played >= step) {
            return Next::Wait;
        }
        let listens = |(session, client): (&SessionId, &Client)| {
            client.silence.as_ref().is_none_or(|silence| silence.steps_left > 0)
                && self.persona.is_served(*session, self.wait_for_all)
        };
        let is_full = |client: &Client| client.outbox.len() >= OUTBOX_MAX;
        if !self.clients.iter().any(listens) || self.clients.values().any(is_full) {
            return Next::Wait;
        }
        let before = self.played.checked_sub(1).map_or(steps[0].at, |last| steps[last].at);
        let gap = steps[self.played].at.since(before);
        Next::Play(Duration::from_nanos(u64::try_from(gap.0).unwrap_or(0)))
    }

    pub(super) fn play(&mut self) {
        let mut out = Out::default();
        self.persona.play(self.played, &mut out);
        self.played += 1;
        self.deliver(out);
        for silence in self.clients.values_mut().filter_map(|client| client.silence.as_mut()) {
            silence.steps_left = silence.steps_left.saturating_sub(1);
        }
        self.arm();
    }

    /// Heartbeats, and after the end something that shows what was missed.
    pub(super) fn idle(&mut self, now: Instant) {
        let mut out = Out::default();
        self.persona.idle(&mut out);
        if self.next(now) == Next::Finished {
            self.persona.touch(&mut out);
        }
        self.deliver(out);
    }

    fn arm(&mut self) {
        let played = self.played as u64;
        while self.plans.first().is_some_and(|plan| plan.after <= played) {
            match self.plans.remove(0).fault {
                Fault::Refuse => self.refusals += 1,
                Fault::RefuseRest => self.rest_refusals += 1,
                fault => self.armed.push_back(fault),
            }
        }
    }

    fn deliver(&mut self, out: Out) {
        for (session, said) in out.0 {
            self.deliver_one(session, said);
        }
    }

    fn deliver_one(&mut self, session: SessionId, said: Said) {
        let Some(client) = self.clients.get_mut(&session) else { return };
        if client.silence.is_some() {
            return;
        }
        if let Some((symbol, left)) = client.dropping
            && said.role != Role::Fixed
            && said.symbol == symbol
        {
            client.dropping = (left > 1).then_some((symbol, left - 1));
            return;
        }
        let fault = match said.role {
            Role::Noticed => self.armed.pop_front(),
            Role::Fixed | Role::Unnoticed => None,
        };
        match fault {
            None => {
                let lets_go = said.role == Role::Noticed;
                client.push(said.text);
                if lets_go && let Some(held) = client.held.take() {
                    client.push(held.text);
                }
            }
            Some(fault) => self.fire(fault, session, said),
        }
        if let Some(client) = self.clients.get(&session) {
            self.counts.sent += 1;
            client.wake.notify_one();
        }
    }

    fn fire(&mut self, fault: Fault, session: SessionId, said: Said) {
        let Some(client) = self.clients.get_mut(&session) else { return };
        self.counts.fired.push(fault);
        match fault {
            Fault::Drop(count) => {
                client.dropping = (count > 1).then_some((said.symbol, count - 1));
            }
            Fault::Duplicate => {
                client.push(said.text.clone());
                client.push(said.text);
            }
            Fault::Reorder => client.held = Some(said),
            Fault::Silence(span) => {
                let until = span.map(|span| Instant::now() + span);
                client.silence = Some(Silence { until, steps_left: SILENT_STEPS });
            }
            Fault::Cut => client.outbox.push_back(Item::Cut),
            Fault::Garbage => {
                client.push(GARBAGE.into());
                client.push(said.text);
            }
            Fault::Crossed => {
                client.push(said.text);
                let crossing = self.persona.crossing(session, said.symbol);
                crossing.into_iter().for_each(|text| client.push(text));
            }
            // Armed as counts, never as a message's fate.
            Fault::Refuse | Fault::RefuseRest => client.push(said.text),
        }
    }
}

impl Client {
    fn push(&mut self, text: String) {
        self.outbox.push_back(Item::Text(text));
    }
}
