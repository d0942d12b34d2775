//! One connection of the canary: what it is subscribed to, what it hears, and when it begins anew.

use super::compare::{compare, compare_status};
use super::judge::{Fault, Judge};
use super::ledger::{LATE, Ledger, StreamId};
use super::line;
use super::shared::Shared;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tickcast_client::{Error, Incoming, SocketReader, SocketWriter};
use tickcast_market::{Instrument, Nanos, Venue};
use tickcast_wire::{
    Channel, Depth, Message, Outcome, Pattern, Request, Subscribe, Unsubscribe, View,
};
use tokio::time::MissedTickBehavior;

/// What is subscribed to of each instrument.
const VIEWS: [View; 2] = [View::Ticker, View::Book(Depth::TEN)];

/// A lane looks at the time so often.
const TICK: Duration = Duration::from_millis(100);

/// Something held is compared with the service's own at every so many ticks.
const TICKS_A_COMPARISON: u32 = 10;

/// Silence for so many heartbeats means that the connection is dead (PROTOCOL.md).
const HEARTBEATS_MISSED_MAX: u32 = 3;

/// How long the first message may take.
const WELCOME_WITHIN: Duration = Duration::from_secs(10);

/// A longer pause between two ticks is not silence of the service: the whole process stood still.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// After a connection was lost, or could not be made.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A lane that does not have a shard of its own goes on to another one after this.
const STAY: Duration = Duration::from_secs(60);

/// One of a venue's connections.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) venue: Venue,
    /// Which of the venue's.
    pub(super) number: usize,
    /// How many the venue has.
    pub(super) lanes: usize,
    /// Which shard serves it.
    pub(super) shard: Cell<usize>,
    /// What it is to follow.
    pub(super) wanted: RefCell<Vec<Arc<Instrument>>>,
    pub(super) ledger: RefCell<Ledger>,
}

/// Why a connection is over.
enum End {
    /// Another shard is to be witnessed.
    Moved,
    Lost(String),
}

impl From<Error> for End {
    fn from(error: Error) -> End {
        End::Lost(error.to_string())
    }
}

impl Lane {
    /// Connects again and again, for ever.
    pub(super) async fn run(self: Rc<Lane>, shared: Rc<Shared>) {
        let venue = self.venue;
        loop {
            match line::open(&shared.door, self.shard.get()).await {
                Ok(halves) => {
                    self.ledger.borrow_mut().reconnected();
                    let end = Life::new(&shared, &self).serve(halves).await;
                    if let End::Lost(why) = end {
                        tracing::warn!(%venue, shard = self.shard.get(), why, "the canary lost its connection");
                        shared.board.reconnects(venue);
                    } else {
                        self.shard.set((self.shard.get() + self.lanes) % shared.shards);
                        continue;
                    }
                }
                Err(error) => {
                    tracing::warn!(%venue, shard = self.shard.get(), %error, "the canary cannot connect");
                }
            }
            shared.board.set_up(venue, self.number, false);
            tokio::time::sleep(RETRY_AFTER).await;
        }
    }

    /// Gives up the streams that are not wanted any more.
    fn tidy(&self, shared: &Shared) {
        let wanted = self.wanted.borrow();
        let mut ledger = self.ledger.borrow_mut();
        let is_gone = |(index, _): &StreamId| wanted.iter().all(|i| i.index != *index);
        let gone: Vec<StreamId> = ledger.streams().filter(is_gone).collect();
        for stream in gone {
            ledger.leave(stream);
            shared.tap.borrow_mut().leave(stream);
        }
    }

    /// From now on what is published there is waited for.
    fn follow(&self, shared: &Shared, stream: StreamId) {
        let mut ledger = self.ledger.borrow_mut();
        if !ledger.follows(stream) {
            shared.tap.borrow_mut().follow(stream);
            ledger.follow(stream);
        }
    }
}

/// One connection from its welcome to its end.
struct Life<'a> {
    shared: &'a Shared,
    lane: &'a Lane,
    judge: Judge,
    /// What is subscribed to.
    followed: Vec<Arc<Instrument>>,
    /// What was asked for and has not come yet.
    waited_for: HashMap<StreamId, Instant>,
    /// The welcome says how often at least something comes.
    heartbeat: Option<Duration>,
    silence: Duration,
    began: Instant,
    ticked: Instant,
    ticks: u32,
}

impl<'a> Life<'a> {
    fn new(shared: &'a Shared, lane: &'a Lane) -> Life<'a> {
        let now = Instant::now();
        Life {
            shared,
            lane,
            judge: Judge::default(),
            followed: Vec::new(),
            waited_for: HashMap::new(),
            heartbeat: None,
            silence: Duration::ZERO,
            began: now,
            ticked: now,
            ticks: 0,
        }
    }

    async fn serve(mut self, (mut reader, mut writer): (SocketReader, SocketWriter)) -> End {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // A read that has begun is finished.
            let mut next = pin!(reader.next());
            let incoming = loop {
                tokio::select! {
                    // However much comes, the time is looked at.
                    biased;
                    _ = tick.tick() => {
                        if let Err(end) = self.tick(Instant::now(), &mut writer).await {
                            return end;
                        }
                    }
                    incoming = &mut next => break incoming,
                }
            };
            let at = (self.shared.clock)();
            self.silence = Duration::ZERO;
            let requests = match incoming {
                Ok(Incoming::Text(text)) => self.hear(text, at),
                Ok(Incoming::Ping(bytes)) => match writer.pong(bytes).await {
                    Ok(()) => continue,
                    Err(error) => return error.into(),
                },
                Ok(Incoming::Pong) => continue,
                Ok(Incoming::Close(code, reason)) => {
                    return End::Lost(format!("closed with {code}: {reason}"));
                }
                Err(error) => return error.into(),
            };
            for request in requests {
                if let Err(error) = writer.send(&request).await {
                    return error.into();
                }
            }
        }
    }

    /// Takes a message in that has come at `at`; gives what is to be asked again.
    fn hear(&mut self, text: &str, at: Nanos) -> Vec<Request> {
        let now = Instant::now();
        self.shared.drain(now);
        let message = match Message::decode(text.as_bytes()) {
            Ok(message) => message,
            Err(error) => {
                self.violated(&Fault::nameless(format!("cannot be read: {error}")), now);
                return Vec::new();
            }
        };
        self.note(&message);
        let judged = self.judge.take(message, at);
        for came in &judged.came {
            let Some(stream) = self.stream(&came.symbol, came.channel) else { continue };
            self.waited_for.remove(&stream);
            let age = |age| self.shared.board.came(self.lane.venue, age, now);
            let is_known = self.lane.ledger.borrow_mut().came(stream, came.since, at, age);
            if !is_known && !came.is_snapshot {
                // When its event was received was overlooked; it is as old at least.
                age(at.since(came.ts_publish));
            }
        }
        judged.faults.iter().for_each(|fault| self.violated(fault, now));
        self.judge.ask_again()
    }

    /// What a message says of the connection itself.
    fn note(&mut self, message: &Message<'_>) {
        let venue = self.lane.venue;
        match message {
            Message::Welcome(welcome) => {
                self.heartbeat = Some(Duration::from_millis(welcome.heartbeat_ms.max(1)));
            }
            Message::Answer { outcome: Outcome::Refused { code, error }, .. } => {
                tracing::warn!(%venue, code, error, "the canary is refused");
            }
            Message::Answer { outcome: Outcome::Subscribed(granted), .. } => {
                for failed in &granted.failed {
                    let (symbol, error) = (&failed.symbol, &failed.error);
                    tracing::warn!(%venue, symbol, error, "the canary is refused an instrument");
                }
            }
            _ => {}
        }
    }

    fn stream(&self, symbol: &str, channel: Channel) -> Option<StreamId> {
        let view = VIEWS.into_iter().find(|view| view.channel() == channel)?;
        let instrument = self.followed.iter().find(|instrument| *instrument.name == *symbol)?;
        Some((instrument.index, view))
    }

    fn violated(&self, fault: &Fault, now: Instant) {
        let Fault { symbol, channel, epoch, prev, seq, what } = fault;
        let (venue, shard) = (self.lane.venue, self.lane.shard.get());
        tracing::error!(
            %venue, shard, symbol, channel, epoch, prev, seq, what,
            "the canary saw a broken promise"
        );
        self.shared.board.violated(venue, now);
    }

    async fn tick(&mut self, now: Instant, writer: &mut SocketWriter) -> Result<(), End> {
        self.silence += now.saturating_duration_since(self.ticked).min(PAUSE_MAX);
        self.ticked = now;
        self.ticks = self.ticks.wrapping_add(1);
        let Some(heartbeat) = self.heartbeat else {
            let is_late = self.silence >= WELCOME_WITHIN;
            return if is_late { Err(End::Lost("no welcome has come".into())) } else { Ok(()) };
        };
        if self.silence >= heartbeat * HEARTBEATS_MISSED_MAX {
            let what = format!("no heartbeat for {} s", self.silence.as_secs());
            self.violated(&Fault::nameless(what.clone()), now);
            return Err(End::Lost(what));
        }
        for request in self.adjust(now) {
            writer.send(&request).await?;
        }
        if self.ticks.is_multiple_of(TICKS_A_COMPARISON) {
            self.compare(now)?;
        }
        let is_told = |(index, view): StreamId| self.shared.hub.is_told(index, view);
        let is_late = wait_is_over(&mut self.waited_for, is_told, now);
        let ledger = self.lane.ledger.borrow();
        let is_up = !is_late && !ledger.is_missing_any();
        self.shared.board.set_up(self.lane.venue, self.lane.number, is_up);
        let may_move = self.lane.lanes < self.shared.shards && ledger.is_settled() && is_up;
        if may_move && now.saturating_duration_since(self.began) >= STAY {
            return Err(End::Moved);
        }
        Ok(())
    }

    /// Subscribes to what is wanted now, and to nothing else.
    fn adjust(&mut self, now: Instant) -> Vec<Request> {
        let wanted = self.lane.wanted.borrow().clone();
        let lacks = |list: &[Arc<Instrument>], one: &Instrument| {
            list.iter().all(|other| other.index != one.index)
        };
        let names = |list: &[Arc<Instrument>]| -> Vec<Pattern> {
            list.iter().map(|instrument| Pattern::Exact(instrument.name.to_string())).collect()
        };
        let mut gone = self.followed.clone();
        gone.retain(|one| lacks(&wanted, one));
        let mut new = wanted.clone();
        new.retain(|one| lacks(&self.followed, one));
        if gone.is_empty() && new.is_empty() {
            return Vec::new();
        }
        let mut requests = Vec::new();
        self.lane.tidy(self.shared);
        for view in VIEWS {
            if !gone.is_empty() {
                let symbols = names(&gone);
                requests.push(self.judge.unsubscribe(Unsubscribe { view, symbols }));
            }
            if !new.is_empty() {
                requests.push(self.judge.subscribe(Subscribe::new(view, names(&new))));
            }
            self.waited_for.retain(|(index, _), _| gone.iter().all(|one| one.index != *index));
            for one in &new {
                self.lane.follow(self.shared, (one.index, view));
                self.waited_for.insert((one.index, view), now);
            }
        }
        self.followed = wanted;
        requests
    }

    /// Compares one of the streams that are held with the service's own, each in its turn.
    fn compare(&mut self, now: Instant) -> Result<(), End> {
        let turn = (self.ticks / TICKS_A_COMPARISON) as usize;
        let (Some(which), every) = (turn.checked_rem(self.followed.len()), VIEWS.len()) else {
            return Ok(());
        };
        let instrument = &self.followed[which];
        let view = VIEWS[turn / self.followed.len() % every];
        let (hub, session) = (&self.shared.hub, self.judge.session());
        let stream = (&*instrument.name, (instrument.index, view));
        for result in [
            compare(hub, session, stream, (self.shared.clock)()),
            compare_status(hub, session, stream),
        ] {
            match result {
                None => {}
                Some(Ok(())) => self.shared.board.compared(self.lane.venue),
                Some(Err(what)) => {
                    let symbol = instrument.name.to_string();
                    let fault =
                        Fault { symbol, channel: view.channel().name(), ..Fault::nameless(what) };
                    self.violated(&fault, now);
                    // From a new snapshot it may be right again.
                    return Err(End::Lost("what is held is wrong".into()));
                }
            }
        }
        Ok(())
    }
}

/// Whether anything that was asked for has not come in time. Of a stream that this process has not been
/// told of there is nothing to come: where it follows a bus that is away, that is not the edge's fault.
fn wait_is_over(
    waited_for: &mut HashMap<StreamId, Instant>,
    is_told: impl Fn(StreamId) -> bool,
    now: Instant,
) -> bool {
    let mut is_over = false;
    for (stream, asked) in waited_for {
        if !is_told(*stream) {
            *asked = now;
        }
        is_over |= now.saturating_duration_since(*asked) >= LATE;
    }
    is_over
}

#[cfg(test)]
mod tests {
    use super::*;
    use tickcast_market::InstrumentIndex;

    #[test]
    fn what_nobody_has_told_this_process_is_not_waited_for() {
        let began = Instant::now();
        let mut waited_for = HashMap::from([((InstrumentIndex(0), VIEWS[0]), began)]);
        let mut is_over = |is_told: bool, seconds: u32| {
            wait_is_over(&mut waited_for, |_| is_told, began + LATE * seconds)
        };
        assert!(!is_over(false, 1) && !is_over(false, 5));
        assert!(!is_over(true, 5), "its time begins when there is something");
        assert!(is_over(true, 6));
    }
}
