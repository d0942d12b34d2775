//! The mock's sockets: one listener for WebSocket and REST, a task that plays, a task for what
//! happens when nothing happens.

use super::control;
use super::fault::{Fault, FaultPlan};
use super::persona::{SessionId, persona};
use super::script::Script;
use super::stage::{Item, Next, Stage};
use fastwebsockets::{Frame, OpCode, Payload, Role, WebSocketRead, WebSocketWrite};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// How many messages are played under one lock.
const BURST_MAX: usize = 32;
/// The player looks again after so long when nobody wakes it.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

type Upgraded = TokioIo<hyper::upgrade::Upgraded>;

/// How fast a recording is played.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Speed {
    /// So many times as fast as it was recorded.
    Times(f64),
    /// As fast as the clients take it.
    Max,
}

/// What a mock venue plays, and how.
#[derive(Clone, Debug)]
pub struct MockConfig {
    /// The recording.
    pub recording: PathBuf,
    /// Where to listen; port 0 for any free one.
    pub listen: SocketAddr,
    /// How fast.
    pub speed: Speed,
    /// Trouble that is known from the start.
    pub faults: Vec<FaultPlan>,
    /// Plays only while a client gets every book of the recording (else: any).
    pub wait_for_all: bool,
    /// After so many messages it plays on only when it is released, so that a test can arrange
    /// something first.
    pub hold_at: Option<usize>,
    /// Between heartbeats.
    pub idle_gap: Duration,
    /// Between ping frames.
    pub ping_gap: Duration,
}

impl MockConfig {
    /// Plays `recording` at full speed on any free loopback port, without trouble.
    pub fn new(recording: impl Into<PathBuf>) -> MockConfig {
        MockConfig {
            recording: recording.into(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            speed: Speed::Max,
            faults: Vec::new(),
            wait_for_all: true,
            hold_at: None,
            idle_gap: Duration::from_secs(1),
            ping_gap: Duration::from_secs(20),
        }
    }
}

/// How far a mock venue is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MockStatus {
    /// Recorded messages that were played, of how many.
    pub played: usize,
    /// How many there are.
    pub total: usize,
    /// Faults that have happened, in order.
    pub fired: Vec<Fault>,
    /// Clients that are connected.
    pub sessions: usize,
    /// Clients that have ever been.
    pub sessions_total: u64,
    /// REST requests.
    pub gets: u64,
    /// Pongs that carried the payload of our ping.
    pub pongs: u64,
    /// Messages that were handed to clients.
    pub sent: u64,
}

impl MockStatus {
    /// Whether the recording has been played to its end.
    pub fn is_finished(&self) -> bool {
        self.played == self.total
    }
}

pub(super) struct Shared {
    pub(super) stage: Mutex<Stage>,
    /// Something changed that the player may wait for.
    pub(super) moved: Notify,
    ping_gap: Duration,
}

impl Shared {
    pub(super) fn status(&self) -> MockStatus {
        let stage = self.stage.lock();
        let (played, total) = stage.progress();
        let counts = stage.counts.clone();
        MockStatus {
            played,
            total,
            fired: counts.fired,
            sessions: stage.sessions(),
            sessions_total: counts.sessions_total,
            gets: counts.gets,
            pongs: counts.pongs,
            sent: counts.sent,
        }
    }

    pub(super) fn inject(&self, plan: FaultPlan) {
        self.stage.lock().plan(plan);
        self.moved.notify_one();
    }
}

/// A running mock venue; dropping it ends it and cuts everyone off.
pub struct MockVenue {
    address: SocketAddr,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

impl std::fmt::Debug for MockVenue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MockVenue").field("address", &self.address).finish_non_exhaustive()
    }
}

impl MockVenue {
    /// Reads the recording and begins to listen.
    ///
    /// *Errors:* the recording cannot be read, is of a venue that is not mocked, or the address
    /// is taken.
    pub async fn start(config: MockConfig) -> io::Result<MockVenue> {
        let script = Script::read(&config.recording).map_err(io::Error::other)?;
        let venue = script.venue;
        let persona = persona(script)
            .ok_or_else(|| io::Error::other(format!("{venue}: this venue is not mocked")))?;
        let listener = TcpListener::bind(config.listen).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            stage: Mutex::new(Stage::new(
                persona,
                config.wait_for_all,
                config.hold_at,
                &config.faults,
            )),
            moved: Notify::new(),
            ping_gap: config.ping_gap,
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, shared.clone()));
        tasks.spawn(play(shared.clone(), config.speed));
        tasks.spawn(idle(shared.clone(), config.idle_gap));
        Ok(MockVenue { address, shared, _tasks: tasks })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `ws://` and the address, without a path.
    pub fn ws_url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// `http://` and the address, without a path.
    pub fn rest_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How far it is.
    pub fn status(&self) -> MockStatus {
        self.shared.status()
    }

    /// The venue's whole book of its symbol as far as it was played: bids and asks, best first,
    /// as price and size in the venue's digits.
    pub fn book(&self, symbol: &str) -> Option<[Vec<(String, String)>; 2]> {
        self.shared.stage.lock().book(symbol)
    }

    /// Plays on after [`MockConfig::hold_at`].
    pub fn release(&self) {
        self.shared.stage.lock().release();
        self.shared.moved.notify_one();
    }

    /// Makes trouble.
    pub fn inject(&self, plan: FaultPlan) {
        self.shared.inject(plan);
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                connections.spawn(serve(stream, shared.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// One TCP connection: requests, and perhaps a WebSocket at the end of them.
async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let (upgrades, mut upgrades_out) = tokio::sync::mpsc::channel(1);
    let service = hyper::service::service_fn(|request| {
        let answer = control::answer(request, &shared, &upgrades);
        async move { Ok::<_, Infallible>(answer) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    if connection.await.is_err() {
        return;
    }
    let Ok((upgrade, target)) = upgrades_out.try_recv() else { return };
    let Ok(upgraded) = upgrade.await else { return };
    let wake = Arc::new(Notify::new());
    let session = shared.stage.lock().connect(&target, wake.clone());
    shared.moved.notify_one();
    talk(TokioIo::new(upgraded), session, &shared, &wake).await;
    shared.stage.lock().closed(session);
    shared.moved.notify_one();
}

async fn talk(socket: Upgraded, session: SessionId, shared: &Arc<Shared>, wake: &Notify) {
    let (read, write) = tokio::io::split(socket);
    let (mut read, mut write) = fastwebsockets::after_handshake_split(read, write, Role::Server);
    read.set_auto_close(false);
    read.set_auto_pong(false);
    tokio::select! {
        () = listen(&mut read, session, shared) => {}
        () = speak(&mut write, session, shared, wake) => {}
    }
}

/// Reads until the client has gone. Only ever cancelled for good.
async fn listen(read: &mut WebSocketRead<ReadHalf<Upgraded>>, session: SessionId, shared: &Shared) {
    loop {
        let frame = read.read_frame(&mut |_| std::future::ready(Ok::<(), Infallible>(()))).await;
        let Ok(frame) = frame else { return };
        match frame.opcode {
            OpCode::Text => {
                let text = String::from_utf8_lossy(&frame.payload).into_owned();
                shared.stage.lock().received(session, &text);
                shared.moved.notify_one();
            }
            OpCode::Ping => shared.stage.lock().pong_to(session, frame.payload.to_vec()),
            OpCode::Pong if frame.payload[..] == ping_payload(session)[..] => {
                shared.stage.lock().counts.pongs += 1;
            }
            OpCode::Close => return,
            _ => {}
        }
    }
}

fn ping_payload(session: SessionId) -> Vec<u8> {
    format!("ping {}", session.0).into_bytes()
}

/// Writes what waits until the client is cut off or cannot be written to.
async fn speak(
    write: &mut WebSocketWrite<WriteHalf<Upgraded>>,
    session: SessionId,
    shared: &Shared,
    wake: &Notify,
) {
    let mut pings = tokio::time::interval(shared.ping_gap);
    pings.tick().await;
    loop {
        let Some(items) = shared.stage.lock().take(session) else { return };
        shared.moved.notify_one();
        for item in items {
            let frame = match item {
                Item::Text(text) => Frame::text(Payload::Owned(text.into_bytes())),
                Item::Pong(payload) => Frame::pong(Payload::Owned(payload)),
                Item::Cut => return,
            };
            if write.write_frame(frame).await.is_err() {
                return;
            }
        }
        tokio::select! {
            () = wake.notified() => {}
            _ = pings.tick() => {
                if !shared.stage.lock().is_silent(session) {
                    let payload = Payload::Owned(ping_payload(session));
                    let ping = Frame::new(true, OpCode::Ping, None, payload);
                    if write.write_frame(ping).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

async fn play(shared: Arc<Shared>, speed: Speed) {
    let mut debt = Duration::ZERO;
    loop {
        let mut is_waiting = false;
        for _ in 0..BURST_MAX {
            let mut stage = shared.stage.lock();
            match (stage.next(Instant::now()), speed) {
                (Next::Play(_), Speed::Max) => stage.play(),
                (Next::Play(gap), Speed::Times(times)) => {
                    stage.play();
                    debt += gap.div_f64(times.max(1e-6));
                    if debt >= Duration::from_millis(1) {
                        break;
                    }
                }
                (Next::Wait | Next::Finished, _) => {
                    is_waiting = true;
                    break;
                }
            }
        }
        if is_waiting {
            let _ = tokio::time::timeout(LOOK_AGAIN, shared.moved.notified()).await;
        } else if debt >= Duration::from_millis(1) {
            let began = Instant::now();
            tokio::time::sleep(debt).await;
            debt = debt.saturating_sub(began.elapsed());
        } else {
            tokio::task::yield_now().await;
        }
    }
}

async fn idle(shared: Arc<Shared>, gap: Duration) {
    let mut beats = tokio::time::interval(gap);
    loop {
        beats.tick().await;
        shared.stage.lock().idle(Instant::now());
    }
}
