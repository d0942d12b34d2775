//! The socket of one connection: dials, reads messages into the driver's inbox, writes what the
//! driver gives, answers pings.
//!
//! The reader has a task of its own, because reading a frame cannot be interrupted without losing
//! the place in the stream. When the inbox is full the reader stops, and TCP makes the venue wait.

use crate::driver::connect::{ConnectError, Connector, Socket};
use crate::handler::ConnectionIndex;
use bytes::BytesMut;
use fastwebsockets::{Frame, OpCode, Payload, Role, WebSocketError, WebSocketRead, WebSocketWrite};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tickcast_market::Nanos;
use tokio::io::{ReadHalf, WriteHalf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;

/// The most messages that wait for the driver.
pub(crate) const INBOX_MESSAGES_MAX: usize = 1024;
/// The most KiB in messages that wait for the driver.
pub(crate) const INBOX_KIB_MAX: u32 = 64 << 10;
/// The most messages that wait to be written on a connection.
pub(crate) const OUTGOING_MAX: usize = 64;
/// The most pongs that wait; a venue that pings faster than it reads gets fewer.
const PONGS_MAX: usize = 4;
/// A write that takes longer means that the venue does not read.
const WRITE_SPAN_MAX: Duration = Duration::from_secs(10);
/// How long a close frame may take to leave.
const CLOSE_SPAN_MAX: Duration = Duration::from_millis(500);

/// What comes out of a connection.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// The handshake succeeded.
    Opened(ConnectionIndex),
    /// A whole message.
    Message {
        index: ConnectionIndex,
        ts_recv: Nanos,
        bytes: BytesMut,
        /// Its share of the inbox's bytes; given back when dropped.
        share: OwnedSemaphorePermit,
    },
    /// A ping or a pong.
    Alive(ConnectionIndex),
    /// It is over.
    Ended { index: ConnectionIndex, reason: String, retry_after: Option<Nanos> },
}

/// What goes into a connection.
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// A text message.
    Text(String),
    /// A close frame, then the end.
    Close,
}

/// The driver's inbox, as every connection sees it.
#[derive(Clone, Debug)]
pub(crate) struct InboxEnd {
    pub(crate) incoming: mpsc::Sender<Incoming>,
    pub(crate) room: Arc<Semaphore>,
}

impl InboxEnd {
    /// An inbox and its other end.
    pub(crate) fn new() -> (InboxEnd, mpsc::Receiver<Incoming>) {
        let (incoming, receiver) = mpsc::channel(INBOX_MESSAGES_MAX);
        (InboxEnd { incoming, room: Arc::new(Semaphore::new(INBOX_KIB_MAX as usize)) }, receiver)
    }

    /// False when the driver has gone.
    pub(crate) async fn put(&self, incoming: Incoming) -> bool {
        self.incoming.send(incoming).await.is_ok()
    }
}

/// Everything that a connection needs to live.
#[derive(Debug)]
pub(crate) struct SocketTask {
    pub(crate) index: ConnectionIndex,
    pub(crate) url: String,
    pub(crate) connector: Connector,
    pub(crate) connect_timeout: Duration,
    pub(crate) message_bytes_max: usize,
    pub(crate) inbox: InboxEnd,
}

/// The wall clock.
pub(crate) fn wall_clock() -> Nanos {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Nanos(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

impl SocketTask {
    /// Lives until the socket ends, the driver says [`Outgoing::Close`] or drops `outgoing`.
    pub(crate) async fn run(self, mut outgoing: mpsc::Receiver<Outgoing>) {
        let dialled = tokio::select! {
            dialled = timeout(self.connect_timeout, self.connector.open_socket(&self.url)) => dialled,
            // Nothing is sent before the handshake, so this can only be the end.
            _ = outgoing.recv() => return,
        };
        let socket = dialled.unwrap_or_else(|_| Err(ConnectError::Timeout(self.connect_timeout)));
        let index = self.index;
        let socket = match socket {
            Ok(socket) => socket,
            Err(error) => {
                let retry_after = error.retry_after();
                let reason = error.to_string();
                self.inbox.put(Incoming::Ended { index, reason, retry_after }).await;
                return;
            }
        };
        if self.inbox.put(Incoming::Opened(index)).await {
            self.serve(socket, outgoing).await;
        }
    }

    async fn serve(self, socket: Socket, mut outgoing: mpsc::Receiver<Outgoing>) {
        let (read, write) = tokio::io::split(socket);
        let (mut read, mut write) =
            fastwebsockets::after_handshake_split(read, write, Role::Client);
        read.set_max_message_size(self.message_bytes_max);
        read.set_auto_close(false);
        read.set_auto_pong(false);
        let (pongs, mut pongs_out) = mpsc::channel(PONGS_MAX);
        let (index, inbox) = (self.index, self.inbox.clone());
        let reader = AbortOnDrop(tokio::spawn(Reader { task: self, read, pongs }.run()));
        loop {
            let frame = tokio::select! {
                out = outgoing.recv() => match out {
                    Some(Outgoing::Text(text)) => Frame::text(Payload::Owned(text.into_bytes())),
                    Some(Outgoing::Close) | None => break,
                },
                pong = pongs_out.recv() => match pong {
                    Some(payload) => Frame::pong(Payload::Owned(payload)),
                    // The reader has ended and has said so.
                    None => break,
                },
            };
            if let Err(reason) = send(&mut write, frame).await {
                inbox.put(Incoming::Ended { index, reason, retry_after: None }).await;
                return;
            }
        }
        drop(reader);
        let bye = async {
            let _ = write.write_frame(Frame::close(1000, b"")).await;
            let _ = write.flush().await;
        };
        // A venue that does not take it is not waited for.
        let _ = timeout(CLOSE_SPAN_MAX, bye).await;
    }
}

async fn send(
    write: &mut WebSocketWrite<WriteHalf<Socket>>,
    frame: Frame<'static>,
) -> Result<(), String> {
    let sent = timeout(WRITE_SPAN_MAX, async {
        write.write_frame(frame).await?;
        write.flush().await
    });
    match sent.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(format!("write: {error}")),
        Err(_) => Err(format!("write: the venue reads nothing for {WRITE_SPAN_MAX:?}")),
    }
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Reader {
    task: SocketTask,
    read: WebSocketRead<ReadHalf<Socket>>,
    pongs: mpsc::Sender<Vec<u8>>,
}

impl Reader {
    async fn run(mut self) {
        let reason = match self.read_all().await {
            Ok(None) => return,
            Ok(Some(closed)) => closed,
            Err(WebSocketError::UnexpectedEOF) => "cut by the venue without a close frame".into(),
            Err(error) => format!("read: {error}"),
        };
        let index = self.task.index;
        self.task.inbox.put(Incoming::Ended { index, reason, retry_after: None }).await;
    }

    /// `None` when the driver has gone, else what the venue said on closing.
    async fn read_all(&mut self) -> Result<Option<String>, WebSocketError> {
        let index = self.task.index;
        // The message in fragments so far; usually there are none.
        let mut parts = BytesMut::new();
        loop {
            let frame =
                self.read.read_frame(&mut |_| std::future::ready(Ok::<(), Infallible>(()))).await?;
            let ts_recv = wall_clock();
            match frame.opcode {
                OpCode::Text | OpCode::Binary | OpCode::Continuation => {
                    if (frame.opcode == OpCode::Continuation) == parts.is_empty() {
                        return Ok(Some("fragments out of order".into()));
                    }
                    if parts.len() + frame.payload.len() > self.task.message_bytes_max {
                        return Ok(Some("a message in fragments above the size limit".into()));
                    }
                    let bytes = match (frame.fin, parts.is_empty()) {
                        (true, true) => owned(frame.payload),
                        (fin, _) => {
                            parts.extend_from_slice(&frame.payload);
                            if !fin {
                                continue;
                            }
                            std::mem::take(&mut parts)
                        }
                    };
                    let Some(share) = share_of(&self.task.inbox.room, bytes.len()).await else {
                        return Ok(None);
                    };
                    let message = Incoming::Message { index, ts_recv, bytes, share };
                    if !self.task.inbox.put(message).await {
                        return Ok(None);
                    }
                }
                OpCode::Ping => {
                    // One that does not fit is left out: the next answers for it.
                    let _ = self.pongs.try_send(frame.payload.to_vec());
                    if !self.task.inbox.put(Incoming::Alive(index)).await {
                        return Ok(None);
                    }
                }
                OpCode::Pong => {
                    if !self.task.inbox.put(Incoming::Alive(index)).await {
                        return Ok(None);
                    }
                }
                OpCode::Close => return Ok(Some(close_words(&frame.payload))),
            }
        }
    }
}

pub(crate) async fn share_of(room: &Arc<Semaphore>, bytes: usize) -> Option<OwnedSemaphorePermit> {
    let kib = u32::try_from(bytes >> 10).unwrap_or(INBOX_KIB_MAX).clamp(1, INBOX_KIB_MAX);
    room.clone().acquire_many_owned(kib).await.ok()
}

fn owned(payload: Payload<'_>) -> BytesMut {
    match payload {
        Payload::Bytes(bytes) => bytes,
        other => BytesMut::from(&other[..]),
    }
}

fn close_words(payload: &[u8]) -> String {
    match payload {
        [high, low, text @ ..] => format!(
            "closed by the venue with code {}: {}",
            u16::from_be_bytes([*high, *low]),
            String::from_utf8_lossy(text)
        ),
        _ => "closed by the venue without a code".into(),
    }
}
