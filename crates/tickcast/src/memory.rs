//! What the process asks of the system about its memory.
//!
//! `unsafe` is needed because `prctl` has no safe call.

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
