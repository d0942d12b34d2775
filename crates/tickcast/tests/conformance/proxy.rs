//! The line of one driver: a proxy before the service that does what a step says, and counts it.
//!
//! Two threads a connection. Compression is not offered to the service, so that every message can
//! be read here. Messages that a client could never do without (answers, snapshots, statuses, the
//! first message of a stream on a connection) are not lost: no line of TCP loses those alone.

use crate::messages::{Item, Piece, Splitter};
use crate::script::{How, Step};
use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

/// Updates that are kept to come again.
const KEPT_MAX: usize = 64;
/// Length of a request head that is passed on.
const HEAD_MAX: usize = 16 << 10;

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
struct Plan {
    delay: (Duration, u64),
    repeat_one_of: u64,
    repeats: u64,
    back: usize,
    lose_one_of: u64,
    /// By channel.
    losses: BTreeMap<&'static str, u64>,
    falsifications: u64,
    refusals: u64,
    /// What is to become of connections that were accepted before this number.
    end: Option<(u64, End)>,
    /// Updates seen, for each one of so many.
    updates: u64,
    /// Before this the client must not come back.
    not_before: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Cut(How),
    Close(u16),
    Stall,
}

#[derive(Debug)]
struct Shared {
    plan: Mutex<Plan>,
    /// The numbers of connections that are open.
    open: Mutex<BTreeSet<u64>>,
    done: Arc<Done>,
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
fn count(counter: &AtomicU64) -> u64 {
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
            Step::Falsify { times } => plan.falsifications = times,
            Step::Cut { how, refuse } => {
                (plan.end, plan.refusals) = (Some((before, End::Cut(how))), refuse);
            }
            Step::Close { code } => plan.end = Some((before, End::Close(code))),
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
        open.first().is_some_and(|oldest| *oldest >= before)
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
    fn plan(&self) -> MutexGuard<'_, Plan> {
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

/// Passes one connection's bytes until it ends or is ended.
fn pass(shared: &Shared, number: u64, client: &TcpStream, target: SocketAddr) {
    // While the service starts again nobody is there: the client gets an end, and tries again.
    let Ok(server) = TcpStream::connect(target) else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    shared.open.lock().expect("nobody panics with it").insert(number);
    let (from_client, to_server) = (copy(client), copy(&server));
    let up = thread::spawn(move || up(from_client, to_server));
    let mut down = Down {
        shared,
        number,
        client,
        splitter: Splitter::new(),
        seen: HashSet::new(),
        kept: VecDeque::new(),
        is_silent: false,
    };
    let mut from_server = copy(&server);
    let mut buffer = [0; 16 << 10];
    let reset = loop {
        let Ok(some @ 1..) = from_server.read(&mut buffer) else { break false };
        if let Err(Ended { reset }) = down.take(&buffer[..some]) {
            break reset;
        }
    };
    if reset {
        for socket in [client, &server] {
            let _ = socket2::SockRef::from(socket).set_linger(Some(Duration::ZERO));
        }
        // A reset is sent with the last descriptor: the other thread must let go of its own.
        let _ = client.shutdown(Shutdown::Read);
    } else {
        let _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
    }
    let _ = up.join();
    shared.open.lock().expect("nobody panics with it").remove(&number);
}

fn copy(socket: &TcpStream) -> TcpStream {
    socket.try_clone().expect("a descriptor is free")
}

/// Passes the client's bytes, and its request head without an offer to compress.
fn up(mut from_client: TcpStream, mut to_server: TcpStream) {
    let mut head = Vec::new();
    let mut is_head = true;
    let mut buffer = [0; 4096];
    while let Ok(some @ 1..) = from_client.read(&mut buffer) {
        let bytes = if is_head {
            head.extend_from_slice(&buffer[..some]);
            let end = head.windows(4).position(|four| four == b"\r\n\r\n");
            if end.is_none() && head.len() < HEAD_MAX {
                continue;
            }
            is_head = false;
            without_offer(&head, end.map_or(head.len(), |end| end + 4))
        } else {
            buffer[..some].to_vec()
        };
        if to_server.write_all(&bytes).is_err() {
            break;
        }
    }
    let _ = to_server.shutdown(Shutdown::Write);
}

/// A request of which the head ends at `end`, without `Sec-WebSocket-Extensions`.
fn without_offer(request: &[u8], end: usize) -> Vec<u8> {
    let (head, rest) = request.split_at(end);
    let lines = head.split_inclusive(|byte| *byte == b'\n');
    let is_offer = |line: &&[u8]| {
        let line = String::from_utf8_lossy(line).to_ascii_lowercase();
        line.starts_with("sec-websocket-extensions:")
    };
    let kept: Vec<&[u8]> = lines.filter(|line| !is_offer(line)).chain([rest]).collect();
    kept.concat()
}

/// The connection is over for us.
struct Ended {
    reset: bool,
}

const ENDED: Ended = Ended { reset: false };

/// The service's bytes on their way to the client.
struct Down<'a> {
    shared: &'a Shared,
    number: u64,
    client: &'a TcpStream,
    splitter: Splitter,
    /// Streams of which a message has passed.
    seen: HashSet<String>,
    /// Updates that have passed, the newest last.
    kept: VecDeque<Vec<u8>>,
    /// Nothing is passed any more.
    is_silent: bool,
}

impl Down<'_> {
    fn take(&mut self, bytes: &[u8]) -> Result<(), Ended> {
        if self.is_silent {
            return Ok(());
        }
        self.splitter.push(bytes);
        while let Some(piece) = self.splitter.next() {
            self.end_if_asked(&piece)?;
            if self.is_silent {
                return Ok(());
            }
            self.hear_goaway(&piece);
            match piece.item() {
                Some(item) => self.pass_item(piece, item)?,
                None => self.write(&piece.bytes)?,
            }
        }
        Ok(())
    }

    /// Ends the connection as the plan says, before this piece.
    fn end_if_asked(&mut self, piece: &Piece) -> Result<(), Ended> {
        let end = self.shared.plan().end;
        let Some((_, end)) = end.filter(|(before, _)| self.number < *before) else {
            return Ok(());
        };
        // What is not a stream of messages ends by itself.
        if !self.splitter.has_messages() {
            return Ok(());
        }
        count(&self.shared.done.ended);
        match end {
            End::Cut(how) => {
                if how == How::MidFrame {
                    self.write(&piece.bytes[..piece.bytes.len() / 2])?;
                }
                Err(Ended { reset: how == How::Reset })
            }
            End::Close(code) if self.splitter.has_events() => {
                let error = format!(
                    "event: error\ndata: {{\"success\":false,\"code\":{code},\"error\":\"by the \
                     script\"}}\n\n"
                );
                self.write(error.as_bytes())?;
                Err(ENDED)
            }
            End::Close(code) => {
                // Its answer goes to the service, which then closes.
                let [high, low] = code.to_be_bytes();
                self.is_silent = true;
                self.write(&[0x88, 2, high, low])
            }
            End::Stall => {
                self.is_silent = true;
                Ok(())
            }
        }
    }

    /// Remembers when the client may come back.
    fn hear_goaway(&self, piece: &Piece) {
        if let Some(delay) = piece.goaway_ms() {
            count(&self.shared.done.goaways);
            let now = Instant::now();
            let until = now + Duration::from_millis(delay);
            // Of several connections the one that may come back first.
            let mut plan = self.shared.plan();
            let other = plan.not_before.filter(|other| *other > now);
            plan.not_before = Some(other.map_or(until, |other| other.min(until)));
        }
    }

    fn pass_item(&mut self, mut piece: Piece, item: Item) -> Result<(), Ended> {
        let may_be_lost = item.is_update && !self.seen.insert(item.stream.clone());
        let done = &self.shared.done;
        let mut plan = self.shared.plan();
        let mut again = None;
        if may_be_lost {
            plan.updates += 1;
            if plan.loses(item.channel) {
                count(&done.lost);
                return Ok(());
            }
            if plan.repeats > 0 && plan.updates.is_multiple_of(plan.repeat_one_of) {
                let back = self.kept.len().checked_sub(plan.back);
                again = match back {
                    Some(at) if at == self.kept.len() => Some(piece.bytes.clone()),
                    Some(at) => Some(self.kept[at].clone()),
                    None => None,
                };
                if again.is_some() {
                    plan.repeats -= 1;
                    count(&done.repeated);
                }
            }
            self.kept.push_back(piece.bytes.clone());
            if self.kept.len() > KEPT_MAX {
                self.kept.pop_front();
            }
        }
        if plan.falsifications > 0 && item.channel == "book" && piece.falsify() {
            plan.falsifications -= 1;
            count(&done.falsified);
        }
        let mut delay = None;
        if plan.delay.1 > 0 {
            plan.delay.1 -= 1;
            delay = Some(plan.delay.0);
        }
        drop(plan);
        if let Some(delay) = delay {
            thread::sleep(delay);
            count(&done.delayed);
        }
        self.write(&piece.bytes)?;
        count(&done.messages);
        again.map_or(Ok(()), |again| self.write(&again))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Ended> {
        self.client.write_all(bytes).map_err(|_| ENDED)
    }
}

impl Plan {
    /// Whether an update of this channel is lost.
    fn loses(&mut self, channel: &str) -> bool {
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
