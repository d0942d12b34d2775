//! Everything that a client's owner and its driver share, under one lock: the session, the
//! subscriptions, what is to be sent, and what is told of the connection.
//!
//! Reads no clock and owns no socket. Here is what goes out; `arrivals.rs` has what comes in, and
//! `answers.rs` what becomes of answers.

use crate::connection::{Connection, ConnectionState, Event};
use crate::error::Error;
use crate::handle::{Handle, requests};
use crate::outbox::Outbox;
use crate::routes::Routes;
use crate::session::Session;
use crate::subscriptions::Stream;
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};
use tickcast_wire::{Authenticated, Pattern, ReqId, Request, Stats, Subscribe, Unsubscribe};
use tokio::sync::{Notify, broadcast, oneshot, watch};

/// Requests that may wait to be sent.
const OUTBOX_MAX: usize = 4_096;

/// Events that are kept for whoever does not take them in time.
const EVENTS_MAX: usize = 256;

/// After so long without a first message what was asked for is asked for again.
const SWEEP_AFTER: Duration = Duration::from_secs(3);

/// How far that grows where it does not help.
const SWEEP_AFTER_MAX: Duration = Duration::from_secs(60);

/// What an owner and a driver share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) state: Mutex<State>,
    /// Something is to be sent.
    pub(crate) outgoing: Notify,
    /// Something has become due at another time.
    pub(crate) timing: Notify,
    /// The owner wants it to end.
    pub(crate) stop: Notify,
    pub(crate) connection: watch::Sender<ConnectionState>,
}

/// A request that has not been answered.
#[derive(Debug)]
pub(crate) enum Pending {
    /// `again` says that the session sees to what becomes of it.
    Subscribe {
        params: Subscribe,
        again: bool,
    },
    Unsubscribe,
    Stats(oneshot::Sender<Result<Stats, Error>>),
    Auth(oneshot::Sender<Result<Authenticated, Error>>),
}

/// How a subscribe is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Saying {
    /// With others that ask for the same.
    Together(Instant),
    /// By itself.
    Alone,
    /// By itself, for what the session has found missing.
    Again,
}

/// Something that is to be written.
#[derive(Debug)]
pub(crate) enum Outgoing {
    Request(Request),
    Pong(Vec<u8>),
    Close,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) session: Session,
    pub(crate) connection: Connection,
    pub(crate) handles: HashMap<u64, Handle>,
    /// Which subscriptions want to know of a symbol; emptied when subscriptions change.
    pub(crate) routes: Routes,
    outbox: Outbox,
    /// The newest ping that was not answered.
    pub(crate) ping: Option<Vec<u8>>,
    pub(crate) pending: HashMap<ReqId, Pending>,
    /// Subscribes that were refused for now, and when to send them again.
    pub(crate) retries: Vec<(Instant, Request)>,
    /// When to look whether something that was asked for has never come.
    pub(crate) sweep_at: Option<Instant>,
    pub(crate) sweep_after: Duration,
    pub(crate) is_closing: bool,
    /// There was a connection before.
    was_live: bool,
    last_handle: u64,
    /// What the reader of this connection had counted.
    bytes_counted: u64,
    pub(crate) events: broadcast::Sender<Event>,
}

impl Shared {
    pub(crate) fn new(session: Session, connection: Connection) -> Shared {
        let state = State {
            session,
            handles: HashMap::new(),
            routes: Routes::default(),
            outbox: Outbox::default(),
            ping: None,
            pending: HashMap::new(),
            retries: Vec::new(),
            sweep_at: None,
            sweep_after: SWEEP_AFTER,
            is_closing: false,
            was_live: false,
            last_handle: 0,
            bytes_counted: 0,
            events: broadcast::Sender::new(EVENTS_MAX),
            connection,
        };
        let connection = watch::Sender::new(state.connection.state.clone());
        Shared {
            state: Mutex::new(state),
            outgoing: Notify::new(),
            timing: Notify::new(),
            stop: Notify::new(),
            connection,
        }
    }

    /// Asks the driver to end, and to leave in order.
    pub(crate) fn close(&self) {
        self.state.lock().is_closing = true;
        self.stop.notify_one();
        self.outgoing.notify_one();
    }

    /// Takes and tells a new state of the connection.
    pub(crate) fn set_connection(&self, to: ConnectionState, now: Instant) {
        let mut state = self.state.lock();
        let was_live = state.connection.state.is_live();
        state.connection.state = to.clone();
        state.connection.since = now;
        if to.is_live() {
            state.went_live(now);
        } else if was_live {
            state.went_down();
        }
        if let ConnectionState::Closed { reason } = &to {
            state.handles.values_mut().for_each(|handle| handle.end(reason));
        }
        state.tell(Event::Connection(to.clone()));
        drop(state);
        self.connection.send_replace(to);
    }
}

impl State {
    /// Whether nobody listens does not matter.
    pub(crate) fn tell(&self, event: Event) {
        let _ = self.events.send(event);
    }

    /// Begins a subscription; gives its number.
    pub(crate) fn begin(&mut self, params: Subscribe, now: Instant) -> Result<u64, Error> {
        if let ConnectionState::Closed { reason } = &self.connection.state {
            return Err(reason.clone());
        }
        let Some(stream) = Stream::of(params.view) else {
            return Err(Error::Option { option: "channel", said: "status comes unasked".into() });
        };
        let requests = requests(&params);
        self.check_room(requests.len())?;
        self.last_handle += 1;
        let number = self.last_handle;
        self.handles.insert(number, Handle::new(stream, params));
        self.routes.clear();
        self.subscribe(requests, now);
        self.mark_held(number);
        Ok(number)
    }

    /// Changes a subscription's options in place.
    pub(crate) fn change(
        &mut self,
        number: u64,
        params: Subscribe,
        now: Instant,
    ) -> Result<(), Error> {
        let requests = requests(&params);
        self.check_room(requests.len())?;
        let Some(handle) = self.handles.get_mut(&number) else { return Err(Error::ClientClosed) };
        if let Some(why) = &handle.ended {
            return Err(why.clone());
        }
        handle.is_placed = false;
        handle.granted.clear();
        handle.params = params;
        self.subscribe(requests, now);
        Ok(())
    }

    /// Ends a subscription. What another one has too goes on.
    pub(crate) fn end(&mut self, number: u64, now: Instant) {
        let Some(ended) = self.handles.remove(&number) else { return };
        self.routes.clear();
        let others: HashSet<&Pattern> = self
            .handles
            .values()
            .filter(|other| other.stream == ended.stream)
            .flat_map(|other| &other.params.symbols)
            .collect();
        let mut own = ended.params;
        own.symbols.retain(|symbol| !others.contains(symbol));
        if own.symbols.is_empty() {
            return;
        }
        for Subscribe { view, symbols, .. } in requests(&own) {
            let request = self.session.unsubscribe(Unsubscribe { view, symbols });
            if self.connection.state.is_live() {
                self.pending.extend(request.req_id().map(|id| (id.clone(), Pending::Unsubscribe)));
                self.outbox.push(request, now);
            }
        }
    }

    fn check_room(&self, requests: usize) -> Result<(), Error> {
        let is_full = self.outbox.len() + requests > OUTBOX_MAX;
        if is_full { Err(Error::TooMany(OUTBOX_MAX)) } else { Ok(()) }
    }

    fn subscribe(&mut self, requests: Vec<Subscribe>, now: Instant) {
        for params in requests {
            let request = self.session.subscribe(params);
            // Without a connection the next one begins with it.
            if self.connection.state.is_live() {
                self.send_subscribe(request, Saying::Together(now));
            }
        }
        self.expect_data(now);
    }

    /// Sends a subscribe; the subscriptions that it concerns wait for its answer.
    pub(crate) fn send_subscribe(&mut self, request: Request, saying: Saying) {
        let Request::Subscribe { req_id: Some(req_id), params } = &request else { return };
        let again = matches!(saying, Saying::Again);
        if !again && let Some(stream) = Stream::of(params.view) {
            let symbols: HashSet<&Pattern> = params.symbols.iter().collect();
            for handle in self.handles.values_mut() {
                if handle.is_concerned(stream, &symbols) {
                    handle.answers_due.insert(req_id.clone());
                }
            }
        }
        let pending = Pending::Subscribe { params: params.clone(), again };
        self.pending.insert(req_id.clone(), pending);
        match saying {
            Saying::Together(now) => self.outbox.push(request, now),
            Saying::Alone | Saying::Again => self.outbox.push_alone(request),
        }
    }

    /// Sends a request whose answer is waited for.
    pub(crate) fn send(&mut self, request: Request, pending: Pending) {
        if let Some(req_id) = request.req_id() {
            self.pending.insert(req_id.clone(), pending);
        }
        self.outbox.push_alone(request);
    }

    /// What is to be written next; `may_ask` says whether a request may be, or how long it waits.
    pub(crate) fn outgoing(
        &mut self,
        now: Instant,
        may_ask: impl FnOnce() -> Result<(), Duration>,
    ) -> Result<Option<Outgoing>, Duration> {
        if self.is_closing {
            return Ok(Some(Outgoing::Close));
        }
        if let Some(ping) = self.ping.take() {
            return Ok(Some(Outgoing::Pong(ping)));
        }
        match self.outbox.wait(now) {
            None => return Ok(None),
            Some(wait) if !wait.is_zero() => return Err(wait),
            Some(_) => may_ask()?,
        }
        let Some((request, joined)) = self.outbox.take() else { return Ok(None) };
        self.joined(&request, &joined);
        Ok(Some(Outgoing::Request(request)))
    }

    /// Other requests have gone into this one: whoever waits for their answers waits for its.
    fn joined(&mut self, request: &Request, joined: &[ReqId]) {
        let Some(req_id) = request.req_id().filter(|_| !joined.is_empty()) else { return };
        for other in joined {
            self.pending.remove(other);
        }
        if let Request::Subscribe { params, .. } = request {
            let pending = Pending::Subscribe { params: params.clone(), again: false };
            self.pending.insert(req_id.clone(), pending);
        }
        let joined: HashSet<&ReqId> = joined.iter().collect();
        for handle in self.handles.values_mut() {
            let before = handle.answers_due.len();
            handle.answers_due.retain(|due| !joined.contains(due));
            if handle.answers_due.len() < before {
                handle.answers_due.insert(req_id.clone());
            }
        }
    }

    /// Data is expected: look later whether it came.
    pub(crate) fn expect_data(&mut self, now: Instant) {
        self.sweep_after = SWEEP_AFTER;
        self.sweep_at = Some(now + self.sweep_after);
    }

    /// When the driver has to look for something by itself.
    pub(crate) fn due(&self) -> Option<Instant> {
        let retry = self.retries.iter().map(|(at, _)| *at).min();
        [retry, self.sweep_at].into_iter().flatten().min()
    }

    /// Sends again what was refused for now, and asks for what has never come. Whether something
    /// is to be written.
    pub(crate) fn look(&mut self, now: Instant) -> bool {
        let mut due = Vec::new();
        self.retries.retain(|(at, request)| {
            let is_due = *at <= now;
            due.extend(is_due.then(|| request.clone()));
            !is_due
        });
        let sends = !due.is_empty();
        for request in due {
            self.send_subscribe(request, Saying::Together(now));
        }
        if self.sweep_at.is_some_and(|at| at <= now) {
            self.session.sweep();
            self.sweep_after = (self.sweep_after * 2).min(SWEEP_AFTER_MAX);
            self.sweep_at = self.session.must_ask_again().then(|| now + self.sweep_after);
        }
        sends
    }

    /// Asks for what is missing. Whether something is to be written.
    pub(crate) fn ask_again(&mut self, now: Instant) -> bool {
        let requests = self.session.ask_again();
        let sends = !requests.is_empty();
        for request in requests {
            self.send_subscribe(request, Saying::Again);
        }
        self.sweep_at.get_or_insert(now + self.sweep_after);
        self.connection.resyncs = self.session.counts().asked_again;
        sends
    }

    /// Something has come, after so many bytes of this connection.
    pub(crate) fn heard(&mut self, bytes: u64, now: Instant) {
        self.connection.last_heard = Some(now);
        self.connection.messages += 1;
        self.connection.bytes += bytes.saturating_sub(self.bytes_counted);
        self.bytes_counted = bytes;
    }

    /// The connection is up: everything is subscribed to again, with what is held claimed.
    fn went_live(&mut self, now: Instant) {
        self.bytes_counted = 0;
        self.connection.reconnects += u64::from(std::mem::replace(&mut self.was_live, true));
        for request in self.session.reconnected() {
            self.send_subscribe(request, Saying::Together(now));
        }
        self.expect_data(now);
        self.mark_all();
    }

    /// The connection is gone, and with it what was on its way.
    fn went_down(&mut self) {
        self.outbox.clear();
        self.ping = None;
        self.retries.clear();
        self.sweep_at = None;
        self.connection.leaving = None;
        for (_, pending) in self.pending.drain() {
            // Who asked may have gone.
            match pending {
                Pending::Stats(answer) => drop(answer.send(Err(Error::NotConnected))),
                Pending::Auth(answer) => drop(answer.send(Err(Error::NotConnected))),
                Pending::Subscribe { .. } | Pending::Unsubscribe => {}
            }
        }
        self.handles.values_mut().for_each(|handle| handle.answers_due.clear());
        self.mark_all();
    }
}
