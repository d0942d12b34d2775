//! The driver: gives one handler its sockets, its REST requests and its time, and carries what it
//! says to the publisher.
//!
//! The decisions are in `core`; this is the loop around it. One task runs the handler, so
//! a handler that parses for a millisecond delays nobody but itself: give each driver a runtime or
//! at least a worker of its own.

pub(crate) mod backoff;
pub(crate) mod config;
pub(crate) mod connect;
mod connection;
mod connection_nats;
mod connection_socket;
mod core;
mod line;
pub(crate) mod rest;
#[cfg(test)]
mod tests;
mod told;

use crate::driver::config::{DriverConfig, DriverError, FeedState, FeedStatus, Recorder};
use crate::driver::connect::Connector;
use crate::driver::connection_nats::NatsTask;
use crate::driver::connection_socket::{
    InboxEnd, Incoming, OUTGOING_MAX, Outgoing, SocketTask, wall_clock,
};
use crate::driver::core::{At, Core, Effect};
use crate::driver::rest::GetError;
use crate::driver::told::Told;
use crate::handler::{ConnectionIndex, Handler};
use crate::metrics::FeedMetrics;
use crate::outlet::{CLOCK_SPAN, FlushError, Outlet};
use bytes::BytesMut;
use std::pin::pin;
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use tickcast_market::{InstrumentIndex, Nanos};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Sleep, sleep};

/// The most requests for a resync that wait.
const RESYNCS_MAX: usize = 1024;
/// The most messages that are handled before the batch is flushed and time is looked at.
const MESSAGES_PER_TURN_MAX: usize = 256;
/// How long a full publisher is left alone before the next try; the runtime's timers are no finer.
const FULL_SPAN: Duration = Duration::from_millis(1);
/// How often a recording is handed to its file.
const RECORDER_FLUSH_SPAN: Nanos = Nanos::from_secs(5);
/// How long connections may take to say goodbye.
const GOODBYE_SPAN: Duration = Duration::from_secs(1);

struct Answer {
    url: String,
    outcome: Result<BytesMut, GetError>,
}

/// One handler with its sockets.
pub struct Driver {
    core: Core,
    outlet: Outlet,
    metrics: FeedMetrics,
    config: DriverConfig,
    connector: Connector,
    inbox: InboxEnd,
    incoming: mpsc::Receiver<Incoming>,
    sockets: Vec<(ConnectionIndex, mpsc::Sender<Outgoing>)>,
    tasks: JoinSet<()>,
    answers: mpsc::UnboundedSender<Answer>,
    answers_out: mpsc::UnboundedReceiver<Answer>,
    resync: mpsc::Sender<InstrumentIndex>,
    resync_out: mpsc::Receiver<InstrumentIndex>,
    status: watch::Sender<FeedStatus>,
    told: Told,
    recorder_flush_at: Nanos,
    tick_at: Nanos,
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Nanoseconds by a clock that never steps, the same for the whole process.
fn mono_clock() -> Nanos {
    static ZERO: OnceLock<Instant> = OnceLock::new();
    let since = ZERO.get_or_init(Instant::now).elapsed();
    Nanos(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

fn now() -> At {
    At { mono: mono_clock(), wall: wall_clock() }
}

impl Driver {
    /// A driver that is not running yet.
    pub fn new(
        handler: Box<dyn Handler>,
        outlet: Outlet,
        metrics: FeedMetrics,
        config: DriverConfig,
        recorder: Option<Box<dyn Recorder>>,
    ) -> Driver {
        let (inbox, incoming) = InboxEnd::new();
        // As many as requests are under way, which the queue bounds.
        let (answers, answers_out) = mpsc::unbounded_channel();
        let (resync, resync_out) = mpsc::channel(RESYNCS_MAX);
        Driver {
            told: Told::new(handler.venue()),
            core: Core::new(handler, config.clone(), recorder),
            outlet,
            metrics,
            config,
            connector: Connector::new(),
            inbox,
            incoming,
            sockets: Vec::new(),
            tasks: JoinSet::new(),
            answers,
            answers_out,
            resync,
            resync_out,
            status: watch::Sender::default(),
            recorder_flush_at: Nanos::ZERO,
            tick_at: Nanos::ZERO,
        }
    }

    /// Takes instruments of this venue whose books somebody downstream found wrong. Use
    /// `try_send`: one that does not fit is found wrong again.
    pub fn resync(&self) -> mpsc::Sender<InstrumentIndex> {
        self.resync.clone()
    }

    /// How it stands, for readiness and for the directory's completeness.
    pub fn status(&self) -> watch::Receiver<FeedStatus> {
        self.status.subscribe()
    }

    /// Runs until `shutdown` becomes true (or its sender is dropped), then closes every
    /// connection and hands over what is left.
    ///
    /// *Errors:* [`DriverError`]; trouble with the venue is not an error but is retried for ever.
    pub async fn run(mut self, mut shutdown: watch::Receiver<bool>) -> Result<(), DriverError> {
        let mut alarm = pin!(sleep(Duration::ZERO));
        self.core.start(now(), &mut self.outlet);
        let outcome = loop {
            let turn = tokio::select! {
                biased;
                // An error means that nobody is left who could ask us to stop: stop.
                stop = shutdown.wait_for(|stop| *stop) => {
                    let _ = stop;
                    break Ok(());
                }
                Some(first) = self.incoming.recv() => self.turn(first),
                Some(answer) = self.answers_out.recv() => {
                    self.answer(answer);
                    Ok(())
                }
                Some(instrument) = self.resync_out.recv() => {
                    self.core.resync(instrument, now(), &mut self.outlet);
                    Ok(())
                }
                () = alarm.as_mut() => self.tick(),
            };
            let turn = match turn {
                Ok(()) => self.settle(alarm.as_mut(), &mut shutdown).await,
                Err(error) => Err(error),
            };
            if let Err(error) = turn {
                break Err(error);
            }
        };
        self.finish().await;
        outcome
    }

    /// Everything that waits in the inbox, up to a bound, is one batch for the publisher.
    fn turn(&mut self, first: Incoming) -> Result<(), DriverError> {
        self.take(first);
        for _ in 1..MESSAGES_PER_TURN_MAX {
            if self.outlet.is_due() {
                break;
            }
            match self.incoming.try_recv() {
                Ok(next) => self.take(next),
                Err(_) => break,
            }
        }
        // A line that never pauses must not keep the others from their deadlines.
        if mono_clock() >= self.tick_at { self.tick() } else { Ok(()) }
    }

    fn take(&mut self, incoming: Incoming) {
        let at = now();
        match incoming {
            Incoming::Opened(index) => self.core.opened(index, at, &mut self.outlet),
            Incoming::Message { index, ts_recv, mut bytes, share } => {
                self.metrics.bytes_websocket(bytes.len());
                let at = At { mono: at.mono, wall: ts_recv };
                self.core.message(index, &mut bytes, at, &mut self.outlet);
                drop(share);
            }
            Incoming::Alive(index) => {
                self.core.heard(index, at);
            }
            Incoming::Ended { index, reason, retry_after } => {
                self.sockets.retain(|(of, _)| *of != index);
                self.core.lost(index, &reason, retry_after, at, &mut self.outlet);
            }
        }
    }

    fn answer(&mut self, answer: Answer) {
        let Answer { url, outcome } = answer;
        match outcome {
            Ok(mut body) => {
                self.metrics.bytes_rest(body.len());
                self.core.answered(&url, Ok(&mut body), now(), &mut self.outlet);
            }
            Err(error) => self.core.answered(&url, Err(&error), now(), &mut self.outlet),
        }
    }

    fn tick(&mut self) -> Result<(), DriverError> {
        let at = now();
        self.core.tick(at, &mut self.outlet);
        match self.outlet.beat(at.wall) {
            Ok(()) | Err(FlushError::Full) => {}
            Err(FlushError::Closed) => return Err(DriverError::PublisherGone),
        }
        while self.tasks.try_join_next().is_some() {}
        if at.mono >= self.recorder_flush_at {
            self.recorder_flush_at = at.mono.plus(RECORDER_FLUSH_SPAN);
            self.core.flush_recorder();
        }
        let (state, is_complete) = (self.core.state(), self.core.is_complete());
        self.metrics.silence(self.core.silence(at.mono));
        self.metrics.instruments(&self.outlet.state_counts());
        self.status.send_if_modified(|status| {
            let next = FeedStatus { state, is_complete };
            std::mem::replace(status, next) != next
        });
        self.metrics.state(state);
        self.told.look(state, &self.outlet.state_counts(), at.mono);
        Ok(())
    }

    /// After every turn: does what the core asks for, counts, hands events over, sets the alarm.
    async fn settle(
        &mut self,
        alarm: std::pin::Pin<&mut Sleep>,
        shutdown: &mut watch::Receiver<bool>,
    ) -> Result<(), DriverError> {
        self.run_effects();
        let (tally, reconnects) = self.core.counted();
        self.metrics.tally(tally);
        if reconnects > 0 {
            self.metrics.reconnects(reconnects);
        }
        self.metrics.events(&self.outlet.take_counts());
        if let Some(error) = self.core.take_recorder_error() {
            return Err(error.into());
        }
        while let Err(error) = self.outlet.flush(wall_clock()) {
            if error == FlushError::Closed {
                return Err(DriverError::PublisherGone);
            }
            if *shutdown.borrow() {
                break;
            }
            // Nothing is read meanwhile, so the sockets fill and the venue waits.
            let began = Instant::now();
            tokio::time::sleep(FULL_SPAN).await;
            self.metrics.blocked(began.elapsed());
            self.core.excuse_silence(mono_clock());
        }
        let mono = mono_clock();
        let wait = self.core.deadline().since(mono).clamp(Nanos::ZERO, CLOCK_SPAN);
        self.tick_at = mono.plus(wait);
        set_alarm(alarm, Duration::from_nanos(wait.0.unsigned_abs()));
        Ok(())
    }

    fn run_effects(&mut self) {
        // A write that fails asks for more; each round ends a connection, so rounds are few.
        loop {
            let effects: Vec<Effect> = self.core.effects().collect();
            if effects.is_empty() {
                return;
            }
            for effect in effects {
                match effect {
                    Effect::Dial { index, url } => self.dial(index, url),
                    Effect::Write { index, text } => self.write(index, Outgoing::Text(text)),
                    Effect::Close { index } => {
                        self.write(index, Outgoing::Close);
                        self.sockets.retain(|(of, _)| *of != index);
                    }
                    Effect::Get { url } => self.get(url),
                }
            }
        }
    }

    fn dial(&mut self, index: ConnectionIndex, url: String) {
        let (outgoing, outgoing_out) = mpsc::channel(OUTGOING_MAX);
        self.sockets.push((index, outgoing));
        if let Some(place) = self.config.nats.clone() {
            let connect_timeout = self.config.connect_timeout;
            let task = NatsTask { index, place, connect_timeout, inbox: self.inbox.clone() };
            self.tasks.spawn(task.run(outgoing_out));
            return;
        }
        let task = SocketTask {
            index,
            url,
            connector: self.connector.clone(),
            connect_timeout: self.config.connect_timeout,
            message_bytes_max: self.core.limits().message_bytes_max,
            inbox: self.inbox.clone(),
        };
        self.tasks.spawn(task.run(outgoing_out));
    }

    fn write(&mut self, index: ConnectionIndex, outgoing: Outgoing) {
        let Some((_, socket)) = self.sockets.iter().find(|(of, _)| *of == index) else { return };
        if let Err(mpsc::error::TrySendError::Full(_)) = socket.try_send(outgoing) {
            // Dropping its sender ends the socket.
            self.sockets.retain(|(of, _)| *of != index);
            let reason = "the venue reads nothing although we send little";
            self.core.lost(index, reason, None, now(), &mut self.outlet);
        }
    }

    fn get(&mut self, url: String) {
        let (connector, answers) = (self.connector.clone(), self.answers.clone());
        let timeout = self.config.get_timeout;
        self.tasks.spawn(async move {
            let outcome = rest::get(&connector, &url, timeout).await;
            // No receiver means that the driver has ended.
            let _ = answers.send(Answer { url, outcome });
        });
    }

    async fn finish(&mut self) {
        self.core.stop(now(), &mut self.outlet);
        self.run_effects();
        self.core.flush_recorder();
        self.metrics.state(FeedState::Stopped);
        let is_complete = self.core.is_complete();
        self.status.send_replace(FeedStatus { state: FeedState::Stopped, is_complete });
        // The last states; a publisher that stops at the same time need not take them.
        let _ = self.outlet.flush(wall_clock());
        let goodbyes = async { while self.tasks.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(GOODBYE_SPAN, goodbyes).await;
    }
}

/// Moves the alarm only where that matters: earlier, or after it went off.
fn set_alarm(alarm: std::pin::Pin<&mut Sleep>, wait: Duration) {
    let due = tokio::time::Instant::now() + wait;
    if alarm.is_elapsed() || due < alarm.deadline() {
        alarm.reset(due);
    }
}
