//! Reading the first request head of a connection.
//!
//! *Invariant:* bytes are read into one buffer per thread; a connection keeps only what has come of
//! a head that is not whole, and silent ones keep nothing.

use crate::door_stream::Stream;
use crate::handshake::{HEAD_BYTES_MAX, Route, read_head};
use crate::origin::Origins;
use crate::refusal::Refusal;
use std::cell::RefCell;
use std::io::{self, ErrorKind, Read};
use std::net::TcpStream;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; HEAD_BYTES_MAX].into());
}

/// A whole head: its route, and the bytes that are not the door's (those after the head; all of
/// them for [`Route::Other`]).
pub(crate) type First = (Route, Vec<u8>);

/// What a connection has sent by the time it is accepted.
pub(crate) enum AtOnce {
    /// A whole head that is the door's to answer.
    Head(First),
    /// These bytes; perhaps none, perhaps a head that is somebody else's or to be refused.
    Bytes(Vec<u8>),
    /// The client went away.
    Gone,
}

/// Looks at what a connection has sent already: in a rush nearly everybody's request is there, and
/// needs no task and no waiting.
pub(crate) fn read_at_once(socket: &TcpStream, origins: &Origins) -> AtOnce {
    BUFFER.with_borrow_mut(|buffer| {
        let mut socket = socket;
        match socket.read(buffer) {
            Ok(0) => AtOnce::Gone,
            Ok(some) => match read_head(&buffer[..some], origins) {
                Ok(Some((route, length))) if route != Route::Other => {
                    AtOnce::Head((route, buffer[length..some].to_vec()))
                }
                _ => AtOnce::Bytes(buffer[..some].to_vec()),
            },
            Err(error) if is_for_later(&error) => AtOnce::Bytes(Vec::new()),
            Err(_) => AtOnce::Gone,
        }
    })
}

fn is_for_later(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// Reads until the head is whole; `None` when the client went away. `kept` is what has come so far.
///
/// *Errors:* what to answer. The deadline is the caller's, who sees by `kept` whether anything has
/// come.
pub(crate) async fn read_first(
    socket: &mut Stream,
    kept: &mut Vec<u8>,
    origins: &Origins,
) -> Result<Option<First>, Refusal> {
    let mut seen = 0;
    loop {
        // Nonsense is found in the first bytes; later ones are parsed again only for an end, or a
        // client that sends single bytes would have us parse thousands of times.
        let worth = seen == 0 || kept.len() == HEAD_BYTES_MAX || has_end(kept, seen);
        if kept.len() > seen && worth {
            match read_head(kept, origins)? {
                Some((Route::Other, _)) => return Ok(Some((Route::Other, std::mem::take(kept)))),
                Some((route, length)) => return Ok(Some((route, kept.split_off(length)))),
                None => {}
            }
        }
        seen = kept.len();
        if socket.readable().await.is_err() {
            return Ok(None);
        }
        let read = BUFFER.with_borrow_mut(|buffer| {
            // A head that fills the buffer has been refused above.
            let some = socket.try_read(&mut buffer[..HEAD_BYTES_MAX - seen])?;
            kept.extend_from_slice(&buffer[..some]);
            Ok(some)
        });
        match read {
            Ok(0) => return Ok(None),
            Ok(_) => {}
            Err(error) if is_for_later(&error) => {}
            Err(_) => return Ok(None),
        }
    }
}

/// Whether an empty line ends among the bytes after the first `seen`.
fn has_end(bytes: &[u8], seen: usize) -> bool {
    let tail = &bytes[seen.saturating_sub(3)..];
    tail.windows(2).any(|pair| pair == b"\n\n") || tail.windows(3).any(|three| three == b"\n\r\n")
}
