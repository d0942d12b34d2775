//! The limit of file descriptors: each connection is one, so it is the first limit to be met.
//!
//! The only `unsafe` of the door is here: the standard library has no call for it.
#![allow(unsafe_code)]

use std::io;

/// Raises the limit of open files to the hard limit and returns what it is then.
///
/// *Errors* of the system; the limit is then as it was.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a valid `rlimit` that outlives the call.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    if limit.rlim_cur < limit.rlim_max {
        limit.rlim_cur = limit.rlim_max;
        // SAFETY: as above; the call only reads it.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(limit.rlim_cur)
}

/// Whether accepting failed for want of descriptors or memory: trying again at once would spin.
pub(crate) fn is_exhausted(error: &io::Error) -> bool {
    let exhausted = [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM];
    error.raw_os_error().is_some_and(|code| exhausted.contains(&code))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_limit_is_at_the_hard_limit_afterwards() {
        let raised = super::raise_descriptor_limit().unwrap();
        assert_eq!(super::raise_descriptor_limit().unwrap(), raised);
        assert!(raised > 0);
    }
}
