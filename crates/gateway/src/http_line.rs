//! One connection that speaks HTTP: hyper serves it until it ends, or until a request comes that
//! is the door's to answer.
//!
//! A WebSocket handshake or a request for events may arrive on a connection that served other
//! requests before (browsers reuse them). The service then never answers; hyper is taken apart and
//! gives back the socket and what it has read ahead.

use crate::door_stream::Stream;
use crate::endings::Endings;
use crate::handshake::{HEADERS_MAX, Route};
use crate::limits::DoorLimits;
use crate::refusal::Refusal;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::Sleep;

/// What a service answers with.
pub(crate) type Answer = Response<Full<Bytes>>;

/// How a service disposes of a request.
pub(crate) enum Disposal {
    /// This is the answer.
    Answer(Answer),
    /// The door answers it; the connection leaves hyper. The address is the client's.
    Leave(Route, SocketAddr),
}

/// A connection that has left hyper.
#[derive(Debug)]
pub(crate) struct Left {
    pub(crate) socket: Stream,
    /// What to give it, or why nothing.
    pub(crate) route: Result<Route, Refusal>,
    /// Whom the request is from.
    pub(crate) client: SocketAddr,
    /// What came after the head of that request.
    pub(crate) read_ahead: Vec<u8>,
}

/// Serves requests on `socket`, of which `prefix` has been read already, until the connection ends
/// (`None`) or leaves. When `draining` becomes true a request in progress is finished, no more.
pub(crate) async fn serve_http<S, F>(
    socket: Stream,
    prefix: Vec<u8>,
    limits: &DoorLimits,
    mut draining: watch::Receiver<bool>,
    service: S,
) -> Option<Left>
where
    S: Fn(Request<Incoming>) -> F,
    F: Future<Output = Disposal> + Send,
{
    let leaving: Arc<Mutex<Option<(Route, SocketAddr)>>> = Arc::default();
    let is_blocked: Arc<AtomicBool> = Arc::default();
    let line = Line {
        socket,
        prefix,
        prefix_at: 0,
        progress_deadline: limits.progress_deadline,
        stalled: None,
        is_blocked: is_blocked.clone(),
        endings: Endings::default(),
    };
    let service = service_fn(|request| {
        let disposal = service(request);
        let leaving = leaving.clone();
        Box::pin(async move {
            match disposal.await {
                Disposal::Answer(answer) => Ok::<_, Infallible>(answer),
                Disposal::Leave(route, client) => {
                    *leaving.lock() = Some((route, client));
                    // Nobody polls it again: `serve_http` takes hyper apart instead.
                    std::future::pending().await
                }
            }
        })
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_deadline)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HTTP_BUFFER_BYTES)
        // A client may say that it is done asking and still want its answer.
        .half_close(true)
        .serve_connection(TokioIo::new(line), service);
    let mut drained =
        pin!(async move { draining.wait_for(|is_draining| *is_draining).await.is_ok() });
    let mut is_told = false;
    let left = poll_fn(|cx| {
        let mut ended = connection.poll_without_shutdown(cx);
        // Only after hyper has seen what was read before (with nothing seen yet it would close),
        // and not while an answer waits in its buffer: the last of a connection would be lost.
        // Relaxed: written and read by this task alone.
        let may_tell = !is_told && ended.is_pending() && !is_blocked.load(Ordering::Relaxed);
        if may_tell && drained.as_mut().poll(cx).is_ready() {
            is_told = true;
            Pin::new(&mut connection).graceful_shutdown();
            ended = connection.poll_without_shutdown(cx);
        }
        // What was answered before must have gone out: hyper's write buffer is lost with it.
        // Relaxed: written and read by this task alone.
        if leaving.lock().is_some() && !is_blocked.load(Ordering::Relaxed) {
            return Poll::Ready(true);
        }
        // A request with a body that nobody reads: hyper is done before its answer has gone out.
        if matches!(ended, Poll::Ready(Ok(()))) && is_blocked.load(Ordering::Relaxed) {
            return Poll::Pending; // The write that found no room wakes us.
        }
        ended.map(|_| false)
    })
    .await;
    let parts = connection.into_parts();
    let line = parts.io.into_inner();
    if !left {
        crate::door_close::linger(line.socket).await;
        return None;
    }
    let mut read_ahead = parts.read_buf.to_vec();
    read_ahead.extend_from_slice(&line.prefix[line.prefix_at..]);
    let (route, client) = leaving.lock().take()?;
    // hyper takes such lines; the door does not.
    let has_bare_lf = line.endings.bare_lf_in_head(parts.read_buf.len());
    let route = if has_bare_lf { Err(Refusal::bare_lf()) } else { Ok(route) };
    Some(Left { socket: line.socket, route, client, read_ahead })
}

/// hyper's smallest: 8 KiB for heads.
const HTTP_BUFFER_BYTES: usize = 8 << 10;

/// A socket whose first bytes have been read already, and whose writer gives up on a client that
/// takes nothing (hyper has no time limit for that).
struct Line {
    socket: Stream,
    prefix: Vec<u8>,
    prefix_at: usize,
    progress_deadline: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
    /// Whether the last write found no room.
    is_blocked: Arc<AtomicBool>,
    endings: Endings,
}

impl Line {
    /// Looks at what a write came to: progress, or how long there has been none.
    fn watch(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        // Relaxed: written and read by one task.
        self.is_blocked.store(written.is_pending(), Ordering::Relaxed);
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let deadline = self.progress_deadline;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(deadline)));
        stalled.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Line {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let line = self.get_mut();
        let waiting = &line.prefix[line.prefix_at..];
        if waiting.is_empty() {
            let before = into.filled().len();
            let read = Pin::new(&mut line.socket).poll_read(cx, into);
            line.endings.note(&into.filled()[before..]);
            return read;
        }
        let some = waiting.len().min(into.remaining());
        into.put_slice(&waiting[..some]);
        line.endings.note(&line.prefix[line.prefix_at..line.prefix_at + some]);
        line.prefix_at += some;
        if line.prefix_at == line.prefix.len() {
            line.prefix = Vec::new();
            line.prefix_at = 0;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let line = self.get_mut();
        let written = Pin::new(&mut line.socket).poll_write(cx, bytes);
        line.watch(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let line = self.get_mut();
        let written = Pin::new(&mut line.socket).poll_write_vectored(cx, bytes);
        line.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}
