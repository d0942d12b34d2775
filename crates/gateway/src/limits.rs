//! What the door allows: how many connections, how large, how slow.

use crate::handshake::HEAD_BYTES_MAX;
use std::time::Duration;

/// Limits of the door; every figure is a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DoorLimits {
    /// How many connections there may be in total, at the door and on all shards; beyond that 503.
    pub connections_max: usize,
    /// How long a request head may take, from accepting the connection or from the answer before.
    pub head_deadline: Duration,
    /// How much of that TLS may take.
    pub tls_deadline: Duration,
    /// How long bytes may wait for a client that takes none.
    pub progress_deadline: Duration,
    /// The size that is asked for as `SO_SNDBUF` (the kernel doubles it); without it a stalled
    /// client may hold 4 MiB of kernel memory.
    pub send_buffer_bytes: usize,
    /// Whether messages are compressed for clients that offer `permessage-deflate`.
    pub deflate: bool,
}

impl Default for DoorLimits {
    fn default() -> Self {
        DoorLimits {
            connections_max: 100_000,
            head_deadline: Duration::from_secs(5),
            tls_deadline: Duration::from_secs(3),
            progress_deadline: Duration::from_secs(10),
            send_buffer_bytes: SEND_BUFFER_BYTES,
            deflate: true,
        }
    }
}

const SEND_BUFFER_BYTES: usize = 128 << 10;

// A 101 and its headers must fit, or answering a handshake could have to wait.
const _: () = assert!(SEND_BUFFER_BYTES > 2 * HEAD_BYTES_MAX);

/// How many connections that are refused as they come are told so at the same time; any further
/// one is closed without a word.
pub(crate) const REFUSALS_MAX: usize = 256;
/// How many of them a second are told so over TLS, where that means agreeing on keys first.
pub(crate) const REFUSALS_ENCRYPTED_PER_SECOND: u32 = 100;
/// How long the door waits before it tries to accept again when descriptors or memory ran out.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a refused client has to read its answer before the connection is reset.
pub(crate) const LINGER: Duration = Duration::from_secs(1);
/// How long one that is refused as it comes is listened to first: what it asks says which page, if
/// any, may read why.
pub(crate) const HEARING: Duration = Duration::from_millis(300);
/// How much of what a refused client still sends is read and thrown away.
pub(crate) const LINGER_BYTES_MAX: usize = 256 << 10;
/// How often and at what distance a connection is offered to shards that have no room.
pub(crate) const GIVE_TRIES_MAX: u32 = 100;
pub(crate) const GIVE_PAUSE: Duration = Duration::from_millis(10);
/// How many connections the admin listener serves at the same time.
pub(crate) const ADMIN_CONNECTIONS_MAX: usize = 64;
/// How many symbols one snapshot over REST may have.
pub(crate) const SNAPSHOT_SYMBOLS_MAX: usize = 500;
/// How long the answer to one may be.
pub(crate) const SNAPSHOT_BYTES_MAX: usize = 16 << 20;
