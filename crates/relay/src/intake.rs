//! The gateway's end of NATS: subscriptions, requests and the lease, for a [`Follower`] that decides.
//!
//! The follower runs on a thread of its own, since it applies and encodes; everything that waits for
//! NATS is tasks. Between them are two bounded channels. When the follower cannot keep up, NATS's own
//! buffers fill, what it then drops is a gap, and a gap is asked for.

use crate::bus::{Bus, stopped};
use crate::follower::{Command, Follower, Told};
use crate::follower_asks::{asks_request, list_request};
use crate::follower_line::LineState;
use crate::lease;
use crate::refusals::{Heard, Subscription};
use crate::stream::{BEATS, STATUSES, StreamKey, request_subject};
use rustc_hash::FxHashMap;
use std::sync::Arc;
use std::time::Duration;
use tickcast_market::Nanos;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

/// Messages that wait for the follower.
const TOLD_MAX: usize = 8_192;

/// Messages that are taken in one turn.
const TURN_MESSAGES_MAX: usize = 2_048;

/// Commands that wait for NATS; the follower makes few for each stream, and waits.
const COMMANDS_MAX: usize = 1_024;

/// How often the lease is looked at.
const LEASE_EVERY: Duration = Duration::from_millis(300);

/// The follower looks at its deadlines at least so often.
const IDLE: Nanos = Nanos::from_millis(50);

/// The gateway's end of the bus.
#[derive(Debug)]
pub struct Intake {
    bus: Bus,
    told: mpsc::Sender<Told>,
    commands: mpsc::Receiver<Command>,
    followed: FxHashMap<StreamKey, JoinHandle<()>>,
}

impl Intake {
    /// Starts the follower on a thread of its own; `interested` is notified by its interest's waker.
    /// The thread ends when the intake does.
    ///
    /// *Errors:* the thread could not be started.
    pub fn start(
        bus: Bus,
        follower: Follower,
        interested: Arc<Notify>,
        clock: fn() -> Nanos,
    ) -> std::io::Result<(Intake, std::thread::JoinHandle<()>)> {
        let (told, told_out) = mpsc::channel(TOLD_MAX);
        let (commands_in, commands) = mpsc::channel(COMMANDS_MAX);
        let witness = bus.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let thread = std::thread::Builder::new().name("replicas".into()).spawn(move || {
            let line =
                || LineState { is_connected: witness.is_connected(), losses: witness.losses() };
            runtime.block_on(follow(follower, told_out, commands_in, &interested, line, clock));
        })?;
        Ok((Intake { bus, told, commands, followed: FxHashMap::default() }, thread))
    }

    /// Carries out what the follower wants until `stop`.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let standing = [
            tokio::spawn(watch_lease(self.bus.clone(), self.told.clone())),
            tokio::spawn(listen(self.bus.clone(), STATUSES.to_owned(), self.told.clone(), |m| {
                Told::Status(m.subject.to_string(), m.payload)
            })),
            tokio::spawn(listen(self.bus.clone(), BEATS.to_owned(), self.told.clone(), |m| {
                Told::Beat(m.payload)
            })),
        ];
        loop {
            tokio::select! {
                () = stopped(&mut stop) => break,
                command = self.commands.recv() => match command {
                    Some(command) => self.carry_out(command).await,
                    None => break,
                }
            }
        }
        standing.iter().chain(self.followed.values()).for_each(JoinHandle::abort);
    }

    async fn carry_out(&mut self, command: Command) {
        match command {
            Command::Subscribe(key, subject) => {
                // Before anything is asked: the server takes both in this order.
                let Ok(mut subscription) = Subscription::new(&self.bus, subject).await else {
                    return;
                };
                let told = self.told.clone();
                let forward = async move {
                    while let Some(heard) = subscription.next().await {
                        let one = match heard {
                            Heard::Message(message) => Told::Stream(key, message.payload),
                            Heard::Refused => Told::Refused(key, true),
                            Heard::Granted => Told::Refused(key, false),
                        };
                        if told.send(one).await.is_err() {
                            return;
                        }
                    }
                };
                if let Some(before) = self.followed.insert(key, tokio::spawn(forward)) {
                    before.abort();
                }
            }
            Command::Unsubscribe(key) => {
                // The subscription ends with its task.
                if let Some(task) = self.followed.remove(&key) {
                    task.abort();
                }
            }
            Command::Ask(run, questions) => {
                let payload = asks_request(&questions);
                let (bus, told) = (self.bus.clone(), self.told.clone());
                tokio::spawn(async move {
                    let answer = request(&bus, request_subject(run, "ask"), payload).await;
                    let _ended = told.send(Told::Answers(run, questions, answer)).await;
                });
            }
            Command::List(run, from) => {
                let payload = list_request(from);
                let (bus, told) = (self.bus.clone(), self.told.clone());
                tokio::spawn(async move {
                    let answer = request(&bus, request_subject(run, "instruments"), payload).await;
                    let _ended = told.send(Told::List(run, answer)).await;
                });
            }
        }
    }
}

async fn request(bus: &Bus, subject: String, payload: Vec<u8>) -> Option<bytes::Bytes> {
    bus.metrics.sent(payload.len());
    let answer = bus.client.request(subject, payload.into());
    match timeout(crate::bus::REQUEST_DEADLINE, answer).await {
        Ok(Ok(message)) => Some(message.payload),
        Ok(Err(_)) | Err(_) => {
            // Nobody is there to answer: not at once again.
            sleep(Duration::from_millis(200)).await;
            None
        }
    }
}

/// Hands on what comes on a subject.
async fn listen(
    bus: Bus,
    subject: String,
    told: mpsc::Sender<Told>,
    as_told: impl Fn(async_nats::Message) -> Told,
) {
    let Ok(mut subscription) = Subscription::new(&bus, subject).await else { return };
    while let Some(message) = subscription.next_message().await {
        if told.send(as_told(message)).await.is_err() {
            return;
        }
    }
}

/// Says who holds the lease, again and again. While JetStream does not answer, who held it last
/// is still heard or not: beats tell.
async fn watch_lease(bus: Bus, told: mpsc::Sender<Told>) {
    let mut every = interval(LEASE_EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut store = None;
    loop {
        every.tick().await;
        let read = match &store {
            Some(bucket) => lease::read(bucket).await,
            None => match lease::find(&bus).await {
                Ok(bucket) => lease::read(store.insert(bucket)).await,
                Err(error) => Err(error),
            },
        };
        let trouble = match &read {
            Ok(Some(_)) => None,
            Ok(None) => Some(lease::in_bucket("no publisher holds the lease")),
            Err(error) => Some(lease::in_bucket(error)),
        };
        bus.note_lease(trouble);
        if read.is_err() {
            store = None;
        }
        // Nobody holds it for a moment between two holders: the last one is not heard then.
        let Ok(Some((_, run))) = read else { continue };
        // Also when it is the same: after a loss nobody is heard before this.
        if told.send(Told::Leader(run)).await.is_err() {
            return;
        }
    }
}

/// The follower's thread: takes everything that has come as one batch, then one turn.
async fn follow(
    mut follower: Follower,
    mut told: mpsc::Receiver<Told>,
    commands: mpsc::Sender<Command>,
    interested: &Notify,
    line: impl Fn() -> LineState,
    clock: fn() -> Nanos,
) {
    let mut wanted = Vec::new();
    loop {
        let now = clock();
        let wait = follower.next_due(now).since(now).0.clamp(0, IDLE.0);
        let wait = Duration::from_nanos(wait.unsigned_abs());
        let first = tokio::select! {
            biased;
            first = told.recv() => match first {
                Some(first) => Some(first),
                None => return,
            },
            () = interested.notified() => None,
            () = sleep(wait) => None,
        };
        let now = clock();
        follower.begin_turn(line(), now);
        if let Some(first) = first {
            follower.take(first, now);
            for _ in 1..TURN_MESSAGES_MAX {
                let Ok(next) = told.try_recv() else { break };
                follower.take(next, now);
            }
        }
        follower.tick(now);
        follower.turn(clock());
        follower.take_commands(&mut wanted);
        for command in wanted.drain(..) {
            if commands.send(command).await.is_err() {
                return;
            }
        }
    }
}
