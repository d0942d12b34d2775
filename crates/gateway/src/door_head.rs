//! Reading the first request head of a connection into a buffer that many share in turn.

use crate::door::Door;
use crate::door_stream::Stream;
use crate::handshake::{HEAD_BYTES_MAX, Route, read_head};
use crate::limits::HEAD_BUFFERS_KEPT_MAX;
use crate::refusal::Refusal;
use parking_lot::Mutex;
use std::io;

/// Buffers that are used again. A connection takes one when its first byte has come and gives it
/// back with the head's last, so silent connections hold none.
#[derive(Debug, Default)]
pub(crate) struct HeadBuffers {
    kept: Mutex<Vec<Box<[u8; HEAD_BYTES_MAX]>>>,
}

impl HeadBuffers {
    fn take(&self) -> HeadBuffer<'_> {
        let kept = self.kept.lock().pop();
        HeadBuffer {
            bytes: Some(kept.unwrap_or_else(|| Box::new([0; HEAD_BYTES_MAX]))),
            home: self,
        }
    }
}

struct HeadBuffer<'a> {
    /// There until it is dropped.
    bytes: Option<Box<[u8; HEAD_BYTES_MAX]>>,
    home: &'a HeadBuffers,
}

impl HeadBuffer<'_> {
    fn bytes(&mut self) -> &mut [u8] {
        self.bytes.as_mut().map_or(&mut [], |bytes| &mut bytes[..])
    }
}

impl Drop for HeadBuffer<'_> {
    fn drop(&mut self) {
        let mut kept = self.home.kept.lock();
        if kept.len() < HEAD_BUFFERS_KEPT_MAX {
            kept.extend(self.bytes.take());
        }
    }
}

/// Reads until the head is whole: its route, and the bytes that are not the door's (those after
/// the head; all of them for [`Route::Other`]). `None` when the client went away.
///
/// *Errors:* what to answer. The deadline is the caller's; `has_begun` tells it whether a byte
/// has come.
pub(crate) async fn read_first(
    door: &Door,
    socket: &mut Stream,
    has_begun: &mut bool,
) -> Result<Option<(Route, Vec<u8>)>, Refusal> {
    let mut buffer = None;
    let mut filled = 0;
    loop {
        if socket.readable().await.is_err() {
            return Ok(None);
        }
        let bytes = buffer.get_or_insert_with(|| door.buffers.take()).bytes();
        let some = match socket.try_read(&mut bytes[filled..]) {
            Ok(0) => return Ok(None),
            Ok(some) => some,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(_) => return Ok(None),
        };
        *has_begun = true;
        let (seen, bytes) = (filled, &bytes[..filled + some]);
        filled += some;
        // Nonsense is found in the first bytes; later ones are parsed again only for an end, or a
        // client that sends single bytes would have us parse thousands of times.
        if seen > 0 && filled < HEAD_BYTES_MAX && !has_end(bytes, seen) {
            continue;
        }
        match read_head(bytes, &door.origins)? {
            Some((Route::Other, _)) => return Ok(Some((Route::Other, bytes.to_vec()))),
            Some((route, length)) => return Ok(Some((route, bytes[length..].to_vec()))),
            None => {}
        }
    }
}

/// Whether an empty line ends among the bytes after the first `seen`.
fn has_end(bytes: &[u8], seen: usize) -> bool {
    let tail = &bytes[seen.saturating_sub(3)..];
    tail.windows(2).any(|pair| pair == b"\n\n") || tail.windows(3).any(|three| three == b"\n\r\n")
}
