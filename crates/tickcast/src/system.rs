//! What the process asks of the system about its memory and its threads.
//!
//! `unsafe` is needed because `prctl` and `setpriority` have no safe call.

#![allow(unsafe_code)]

/// Asks for pages of 4 KiB only. The allocator takes huge ones where it may, and then a service
/// without clients holds 26 MB more; what pushes to clients works in a few buffers that are warm
/// anyway.
///
/// Where the kernel refuses nothing else changes.
pub(crate) fn decline_huge_pages() {
    // SAFETY: this call takes numbers only.
    let refused = unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) };
    if refused != 0 {
        tracing::debug!(error = %std::io::Error::last_os_error(), "huge pages stay");
    }
}

/// How much a shard gives way to the threads beside it, on the scale of `nice`.
const SHARD_NICE: i32 = 5;

/// Lets the publisher, the feeds and the door go before this thread, a shard's, where they have to
/// share a core. A shard that is late gathers more in each send and loses nothing; a publisher
/// that is late merges updates for everybody, and a door that is late keeps clients out.
///
/// Where the kernel refuses nothing else changes.
pub(crate) fn give_way() {
    // SAFETY: this call takes numbers only; on Linux 0 is the calling thread.
    let refused = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, SHARD_NICE) };
    if refused != 0 {
        tracing::debug!(error = %std::io::Error::last_os_error(), "a shard keeps its priority");
    }
}
