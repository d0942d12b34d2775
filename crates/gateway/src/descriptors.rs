//! The limit of file descriptors: each connection is one, so it is the first limit to be met.
//!
//! The only `unsafe` of the door is here: the standard library has no call for it.
#![allow(unsafe_code)]

use std::io;
use std::time::Duration;
use tokio::time::Instant;

/// Descriptors that clients never get, where the limit is no smaller than eight times as many:
/// operators have to be able to look just when there are none left, venues are connected again, and
/// files of keys read.
const RESERVED_MAX: u64 = 96;

/// How often the log says that the shortage goes on.
const TOLD_EVERY: Duration = Duration::from_secs(10);

/// The number of the first descriptor that is not for clients; the kernel always gives the lowest.
///
/// *Errors* of the system.
pub(crate) fn first_reserved() -> io::Result<u64> {
    let limit = limit()?.rlim_cur;
    Ok(limit - RESERVED_MAX.min(limit / 8))
}

fn limit() -> io::Result<libc::rlimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a valid `rlimit` that outlives the call.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(limit)
}

/// Raises the limit of open files to the hard limit and returns what it is then.
///
/// *Errors* of the system; the limit is then as it was.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let mut limit = limit()?;
    if limit.rlim_cur < limit.rlim_max {
        limit.rlim_cur = limit.rlim_max;
        // SAFETY: the pointer is to a valid `rlimit` that outlives the call, which only reads it.
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

/// A time without descriptors, told to the log when it begins, now and then, and when it is over.
#[derive(Debug, Default)]
pub(crate) struct Shortage {
    begun: Option<Begun>,
}

#[derive(Clone, Copy, Debug)]
struct Begun {
    at: Instant,
    told_at: Instant,
    tries: u64,
}

impl Shortage {
    /// Accepting has failed once more. Whether that was told.
    pub(crate) fn note(&mut self, now: Instant, error: &io::Error) -> bool {
        let Some(begun) = &mut self.begun else {
            self.begun = Some(Begun { at: now, told_at: now, tries: 1 });
            tracing::warn!(%error, "cannot accept connections: those who come wait until others have gone");
            return true;
        };
        begun.tries += 1;
        let is_due = now - begun.told_at >= TOLD_EVERY;
        if is_due {
            begun.told_at = now;
            let (seconds, tries) = ((now - begun.at).as_secs(), begun.tries);
            tracing::warn!(%error, seconds, tries, "still cannot accept connections");
        }
        is_due
    }

    /// A connection was accepted. Whether that was told: it ends a shortage.
    pub(crate) fn end(&mut self, now: Instant) -> bool {
        let Some(begun) = self.begun.take() else { return false };
        let (seconds, tries) = ((now - begun.at).as_secs_f64(), begun.tries);
        tracing::info!(seconds, tries, "accepting connections again");
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortage_is_told_when_it_begins_every_ten_seconds_and_when_it_ends() {
        let (mut shortage, begin) = (Shortage::default(), Instant::now());
        let error = io::Error::from_raw_os_error(libc::EMFILE);
        let at = |tenths: u32| begin + Duration::from_millis(100) * tenths;
        let told: Vec<u32> =
            (0..=350).filter(|tenths| shortage.note(at(*tenths), &error)).collect();
        assert_eq!(told, [0, 100, 200, 300]);
        assert!(shortage.end(at(351)));
        assert!(!shortage.end(at(352)), "once");
        assert!(shortage.note(at(353), &error), "it begins anew");
    }

    #[test]
    fn the_limit_is_at_the_hard_limit_afterwards() {
        let raised = super::raise_descriptor_limit().unwrap();
        assert_eq!(super::raise_descriptor_limit().unwrap(), raised);
        assert!(raised > 0);
    }
}
