//! The line of one driver: a proxy before the service that does what a step says, and counts it.
//!
//! Two threads a connection. Compression is not offered to the service, so that every message can
//! be read here. Messages that a client could never do without (answers, snapshots, statuses, the
//! first message of a stream on a connection) are not lost: no line of TCP loses those alone.

use crate::passing::pass;
use crate::script::{How, Step};
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

/// What has happened on a line; only ever rises.
#[derive(Debug, Default)]
pub(crate) struct Done {
    /// Connections that were accepted.
    pub(crate) accepted: AtomicU64,
    /// Attempts that were refused.
    pub(crate) refused: AtomicU64,
    /// Connections that were cut, closed or silenced.
    pub(crate) ended: AtomicU64,
    /// Data messages that passed.
    pub(crate) messages: AtomicU64,
    pub(crate) delayed: AtomicU64,
    pub(crate) repeated: AtomicU64,
    pub(crate) lost: AtomicU64,
    pub(crate) falsified: AtomicU64,
    /// Farewells that passed, and clients that came back before the time that they were told.
    pub(crate) goaways: AtomicU64,
    pub(crate) early: AtomicU64,
}

/// What is to be done; counts go down to 0.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) delay: (Duration, u64),
    pub(crate) repeat_one_of: u64,
    pub(crate) repeats: u64,
    pub(crate) back: usize,
    pub(crate) lose_one_of: u64,
    /// By channel.
    pub(crate) losses: BTreeMap<&'static str, u64>,
    falsify_one_of: u64,
    falsifications: u64,
    /// Books seen, for each one of so many.
    books: u64,
    pub(crate) refusals: u64,
    /// What is to become of connections that were accepted before this number.
    pub(crate) end: Option<(u64, End)>,
    /// Updates seen, for each one of so many.
    pub(crate) updates: u64,
    /// Before this the client must not come back.
    pub(crate) not_before: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Cut(How),
    Close(u16),
    Stall,
}

#[derive(Debug)]
pub(crate) struct Shared {
    plan: Mutex<Plan>,
    /// The connections that are open: by number, what they have asked for.
    pub(crate) open: Mutex<BTreeMap<u64, String>>,
    pub(crate) done: Arc<Done>,
    is_over: AtomicBool,
}

/// A running proxy; it ends with the test.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    pub(crate) done: Arc<Done>,
    shared: Arc<Shared>,
}

/// Relaxed, here and below: figures of their own, that are looked at until they are right.
pub(crate) fn count(counter: &AtomicU64) -> u64 {
    counter.fetch_add(1, Ordering::Relaxed)
}

impl Proxy {
    /// Stands before `target`.
    pub(crate) fn start(target: SocketAddr) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let done = Arc::<Done>::default();
        let shared = Arc::new(Shared {
            plan: Mutex::default(),
            open: Mutex::default(),
            done: done.clone(),
            is_over: AtomicBool::new(false),
        });
        let proxy = Proxy { address, done, shared: shared.clone() };
        thread::spawn(move || {
            for client in listener.incoming() {
                if shared.is_over.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(client) = client else { continue };
                if shared.refuses() {
                    continue;
                }
                let number = count(&shared.done.accepted);
                let shared = shared.clone();
                thread::spawn(move || pass(&shared, number, &client, target));
            }
        });
        proxy
    }

    /// Begins what a step says; what is no business of a line changes nothing.
    pub(crate) fn begin(&self, step: &Step) {
        let mut plan = self.shared.plan();
        let before = self.accepted();
        match *step {
            Step::Delay { milliseconds, times } => {
                plan.delay = (Duration::from_millis(milliseconds), times);
            }
            Step::Repeat { one_of, times, back } => {
                (plan.repeat_one_of, plan.repeats, plan.back) = (one_of, times, back);
            }
            Step::Lose { one_of, ticker, book, trades, bars } => {
                plan.lose_one_of = one_of;
                let counts =
                    [("ticker", ticker), ("book", book), ("trades", trades), ("bars", bars)];
                plan.losses = BTreeMap::from(counts);
            }
            Step::Falsify { one_of, times } => {
                (plan.falsify_one_of, plan.falsifications) = (one_of, times);
            }
            Step::Cut { how, refuse } => {
                (plan.end, plan.refusals) = (Some((before, End::Cut(how))), refuse);
            }
            Step::Close { code } | Step::Dismiss { code } => {
                plan.end = Some((before, End::Close(code)));
            }
            Step::Stall {} => plan.end = Some((before, End::Stall)),
            _ => {}
        }
    }

    /// How many connections there have been.
    pub(crate) fn accepted(&self) -> u64 {
        self.done.accepted.load(Ordering::Relaxed)
    }

    /// Whether connections are open, and none of the first `before`.
    pub(crate) fn has_only_newer(&self, before: u64) -> bool {
        let open = self.shared.open.lock().expect("nobody panics with it");
        open.keys().next().is_some_and(|oldest| *oldest >= before)
    }

    /// What is open and what is still to be done, for whoever has to find out.
    pub(crate) fn describe(&self) -> String {
        let open = self.shared.open.lock().expect("nobody panics with it");
        format!("{:?}, open {open:?}, {:?}", self.done, self.shared.plan())
    }

    /// Whether all that was begun has been done.
    pub(crate) fn is_idle(&self) -> bool {
        let plan = self.shared.plan();
        let counts = [plan.delay.1, plan.repeats, plan.falsifications, plan.refusals];
        counts.iter().chain(plan.losses.values()).all(|left| *left == 0)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    pub(crate) fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().expect("nobody panics with it")
    }

    /// Whether a connection is refused that comes now.
    fn refuses(&self) -> bool {
        let mut plan = self.plan();
        if plan.not_before.is_some_and(|not_before| Instant::now() < not_before) {
            count(&self.done.early);
        }
        if plan.refusals == 0 {
            return false;
        }
        plan.refusals -= 1;
        count(&self.done.refused);
        true
    }
}

impl Plan {
    /// How far back the update is that comes again now.
    pub(crate) fn repeats_back(&self) -> Option<usize> {
        let is_its_turn = self.repeats > 0 && self.updates.is_multiple_of(self.repeat_one_of);
        is_its_turn.then_some(self.back)
    }

    /// Whether this book is to be falsified.
    pub(crate) fn falsifies(&mut self) -> bool {
        if self.falsifications == 0 {
            return false;
        }
        self.books += 1;
        let is_its_turn = self.books % self.falsify_one_of == 1;
        self.falsifications -= u64::from(is_its_turn);
        is_its_turn
    }

    /// How long this message is held up.
    pub(crate) fn take_delay(&mut self) -> Option<Duration> {
        let (delay, left) = self.delay;
        self.delay.1 = left.saturating_sub(1);
        (left > 0).then_some(delay)
    }

    /// Whether an update of this channel is lost.
    pub(crate) fn loses(&mut self, channel: &str) -> bool {
        let is_its_turn = self.lose_one_of > 0 && self.updates.is_multiple_of(self.lose_one_of);
        match self.losses.get_mut(channel) {
            // Rare ones are lost whenever they come.
            Some(left @ 1..) if is_its_turn || channel != "book" => {
                *left -= 1;
                true
            }
            _ => false,
        }
    }
}
