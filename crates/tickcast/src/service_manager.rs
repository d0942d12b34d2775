//! What a service manager (systemd) and this process tell each other: listeners that it has opened
//! (`sd_listen_fds(3)`), and how far the start and the end are (`sd_notify(3)`).
//!
//! Both are a few environment variables and one datagram, so there is no library for it here.
//!
//! `unsafe` is needed because descriptors that come with the process are only numbers.

#![allow(unsafe_code)]

use anyhow::{Context, Result, ensure};
use std::ffi::{OsStr, OsString};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixDatagram};
use std::sync::atomic::{AtomicBool, Ordering};

/// The first descriptor that is passed (`SD_LISTEN_FDS_START`).
const FIRST: RawFd = 3;

/// There are two listeners; a few more are said to be too many by name, not by number.
const DESCRIPTORS_MAX: usize = 16;

/// A listener that was open when this process started.
#[derive(Debug)]
pub(crate) struct Passed {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    pub(crate) listener: TcpListener,
}

/// The listeners that were passed to this process, once; none without a service manager.
///
/// *Errors:* variables that make no sense, or something that is no TCP listener.
pub(crate) fn passed_listeners() -> Result<Vec<Passed>> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    let variable = |name| std::env::var_os(name).filter(|value: &OsString| !value.is_empty());
    let own = std::process::id().to_string();
    // Swapped last; it orders nothing, it only says that nobody else has the descriptors.
    if variable("LISTEN_PID").is_none_or(|pid| pid.as_os_str() != OsStr::new(&own))
        || TAKEN.swap(true, Ordering::Relaxed)
    {
        return Ok(Vec::new());
    }
    let count = variable("LISTEN_FDS").unwrap_or_default();
    let count: usize = (count.to_str().and_then(|count| count.parse().ok()))
        .filter(|count| *count <= DESCRIPTORS_MAX)
        .with_context(|| {
            format!("LISTEN_FDS: {count:?} is not a number up to {DESCRIPTORS_MAX}")
        })?;
    let names = variable("LISTEN_FDNAMES").unwrap_or_default();
    let names = names.to_string_lossy().into_owned();
    let mut names = names.split(':');
    let mut passed = Vec::new();
    for number in 0..count {
        let raw = FIRST + number as RawFd;
        // SAFETY: `LISTEN_PID` names this process, so the manager has opened this descriptor for
        // it; whether that is true is asked next, before anything is made of the number. Nothing
        // else here has it: it was open before `main`, and this is done once.
        let is_open = unsafe { libc::fcntl(raw, libc::F_SETFD, libc::FD_CLOEXEC) } == 0;
        ensure!(is_open, "LISTEN_FDS: descriptor {raw} is not open");
        // SAFETY: as above.
        let descriptor = unsafe { OwnedFd::from_raw_fd(raw) };
        let listener = TcpListener::from(descriptor);
        let is_listener = socket2::SockRef::from(&listener).is_listener().unwrap_or(false);
        let address = listener.local_addr().ok().filter(|_| is_listener);
        let address = address
            .with_context(|| format!("LISTEN_FDS: descriptor {raw} is not a TCP listener"))?;
        passed.push(Passed { name: names.next().unwrap_or("").to_owned(), address, listener });
    }
    Ok(passed)
}

/// What the service manager can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// Clients are served.
    Ready,
    /// The end has begun.
    Stopping,
    /// The service goes on in that process.
    GoesOnIn(i32),
}

/// Tells the service manager, if there is one. A notice that is lost is worth a line in the log,
/// not the service.
pub(crate) fn notify(notice: Notice) {
    let Some(to) = std::env::var_os("NOTIFY_SOCKET").filter(|to| !to.is_empty()) else { return };
    let words = match notice {
        Notice::Ready => "READY=1\nSTATUS=Serving".to_owned(),
        Notice::Stopping => "STOPPING=1\nSTATUS=Draining".to_owned(),
        Notice::GoesOnIn(pid) => format!("MAINPID={pid}"),
    };
    if let Err(error) = send(&to, words.as_bytes()) {
        tracing::warn!(%error, ?notice, "the service manager cannot be told");
    }
}

fn send(to: &OsStr, words: &[u8]) -> std::io::Result<()> {
    let address = match to.as_bytes() {
        [b'@', name @ ..] => UnixAddr::from_abstract_name(name)?,
        _ => UnixAddr::from_pathname(to)?,
    };
    UnixDatagram::unbound()?.send_to_addr(words, &address).map(drop)
}

/// Whether the manager counts both processes to the same service: only then may it be told that
/// the one goes on as the other.
pub(crate) fn is_same_service(pid: i32) -> bool {
    let group = |of: &str| std::fs::read(format!("/proc/{of}/cgroup")).ok();
    let own = group("self");
    own.is_some() && own == group(&pid.to_string())
}
