//! Orderly ends: a refused client reads its answer before the connection goes.

use crate::connection::RequestBudget;
use crate::door::{Door, Presence};
use crate::door_head::read_first;
use crate::door_stream::Stream;
use crate::handshake::{HEADERS_MAX, Route};
use crate::limits::{
    HEARING, LINGER, LINGER_BYTES_MAX, REFUSALS_ENCRYPTED_PER_SECOND, REFUSALS_MAX,
};
use crate::refusal::Refusal;
use parking_lot::Mutex;
use std::net::{SocketAddr, TcpStream as Accepted};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tickcast_market::Nanos;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

/// Who of those that are refused as they come is told why.
pub(crate) struct Telling {
    /// Those that are being told.
    present: AtomicUsize,
    encrypted: Mutex<RequestBudget>,
    born: Instant,
}

impl Telling {
    pub(crate) fn new() -> Telling {
        Telling { present: AtomicUsize::new(0), encrypted: Mutex::default(), born: Instant::now() }
    }

    /// Agreeing on keys costs more than all else: a flood of refused connections must not be able
    /// to ask for it as fast as it comes.
    fn may_encrypt(&self) -> bool {
        let now = Nanos(self.born.elapsed().as_nanos() as i64);
        self.encrypted.lock().take(now, REFUSALS_ENCRYPTED_PER_SECOND, REFUSALS_MAX as u32)
    }
}

impl Door {
    /// Counts a refusal; whoever looks for one client finds it in the log at `debug`.
    pub(crate) fn note_refusal(&self, client: SocketAddr, refusal: &Refusal) {
        self.metrics.refuse(refusal.reason);
        let (reason, code) = (refusal.reason.name(), refusal.code());
        let why = &refusal.error;
        tracing::debug!(
            target: "tickcast::connection", address = %client, reason, code, %why, "refused"
        );
    }

    pub(crate) async fn refuse(&self, socket: Stream, client: SocketAddr, refusal: &Refusal) {
        self.note_refusal(client, refusal);
        refuse(socket, refusal).await;
    }

    /// There is no room: some of many are told so, without a task for the others.
    pub(crate) fn turn_away(
        self: &Arc<Self>,
        socket: Accepted,
        client: SocketAddr,
        refusal: Refusal,
    ) {
        self.note_refusal(client, &refusal);
        if let Some(refused) = self.may_tell()
            && let Ok(socket) = TcpStream::from_std(socket)
        {
            tokio::spawn(async move { refused.door.tell(socket, &refusal).await });
        }
    }

    /// Whether one more that is refused can be told why, counted for as long as it takes.
    fn may_tell(self: &Arc<Self>) -> Option<Presence> {
        // Relaxed: only a count, by which few of many are told why.
        if self.telling.present.fetch_add(1, Ordering::Relaxed) >= REFUSALS_MAX
            || (self.is_encrypted() && !self.telling.may_encrypt())
        {
            self.telling.present.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Presence { door: self.clone(), of: |door| &door.telling.present, is_shown: false })
    }

    /// The same for one that has come in with its proxy's word.
    pub(crate) async fn turn_back(
        self: &Arc<Self>,
        socket: TcpStream,
        client: SocketAddr,
        refusal: &Refusal,
    ) {
        self.note_refusal(client, refusal);
        if let Some(refused) = self.may_tell() {
            refused.door.tell(socket, refusal).await;
        }
    }

    async fn tell(&self, socket: TcpStream, refusal: &Refusal) {
        let Some(mut socket) = self.encrypt(socket, Instant::now()).await else { return };
        let reader = self.hear(&mut socket).await;
        refuse(socket, &Refusal { reader, ..refusal.clone() }).await;
    }

    /// Which page asks, if one does that is let in. Whatever is asked, the answer stands; a
    /// browser's request comes at once, and nobody else's is waited for long.
    async fn hear(&self, socket: &mut Stream) -> Option<Box<str>> {
        let mut kept = Vec::new();
        let first = timeout(HEARING, read_first(socket, &mut kept, &self.origins)).await.ok()?;
        match first {
            Ok(Some((Route::Other, head))) => {
                let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
                let mut request = httparse::Request::new(&mut headers);
                request.parse(&head).ok()?;
                let headers = request.headers.iter().map(|header| (header.name, header.value));
                self.origins.page(headers).map(Into::into)
            }
            Ok(Some((route, _))) => route.origin().map(Into::into),
            Ok(None) => None,
            Err(refusal) => refusal.reader,
        }
    }
}

/// Writes the refusal and ends the connection.
pub(crate) async fn refuse(mut socket: Stream, refusal: &Refusal) {
    let mut answer = Vec::new();
    refusal.write(&mut answer);
    if let Ok(Ok(())) = timeout(LINGER, socket.write_all(&answer)).await {
        linger(socket).await;
    }
}

/// Says that nothing more will come, and takes what the client still sends until it has done the
/// same: a socket that is closed with bytes unread is reset, and the reset overtakes the answer.
pub(crate) async fn linger(mut socket: Stream) {
    let ending = async {
        socket.shutdown().await?;
        let mut taken = 0;
        let mut into = [0; 1024];
        while taken < LINGER_BYTES_MAX {
            match socket.read(&mut into).await? {
                0 => break,
                some => taken += some,
            }
        }
        std::io::Result::Ok(())
    };
    // Late or broken, it ends here all the same.
    let _ = timeout(LINGER, ending).await;
}
