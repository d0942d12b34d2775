//! The process that is started later, as this one sees it: it may have the listeners, and when it
//! is ready this one gives way.

use crate::takeover::{Line, Name, Offered, Say, VERSION};
use anyhow::{Context, Result, bail};
use std::cell::Cell;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener as Bound;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixListener;

/// A successor that is not ready after so long has hung.
const READY_WITHIN: Duration = Duration::from_secs(24 * 3600);

/// How long accepting rests after it has failed.
const PAUSE: Duration = Duration::from_millis(100);

/// Waits for a successor.
#[derive(Debug)]
pub(crate) struct Successors {
    listener: UnixListener,
    path: PathBuf,
    /// Which file the path named when it was ours.
    file: Option<(u64, u64)>,
    run: u64,
    /// What successors are offered.
    shared: Vec<(Offered, OwnedFd)>,
    /// Who has been offered it and has not broken off.
    attended: Cell<Option<i32>>,
}

/// A successor that is ready.
#[derive(Debug)]
pub(crate) struct Successor {
    line: Line,
    pub(crate) pid: i32,
}

impl Successors {
    /// Listens at the path, with what a predecessor handed over or with a socket of its own, which
    /// takes the place of one that was left there.
    ///
    /// *Errors* of the system.
    pub(crate) fn listen(
        path: &Path,
        inherited: Option<OwnedFd>,
        run: u64,
        shared: Vec<(Name, SocketAddr, OwnedFd)>,
    ) -> Result<Successors> {
        let bound = match inherited {
            Some(descriptor) => Bound::from(descriptor),
            None => bind(path)?,
        };
        bound.set_nonblocking(true)?;
        let shared = shared.into_iter();
        let mut shared: Vec<_> = shared
            .map(|(name, address, fd)| (Offered { name, address: Some(address) }, fd))
            .collect();
        let own = bound.as_fd().try_clone_to_owned()?;
        shared.push((Offered { name: Name::Takeover, address: None }, own));
        let listener = UnixListener::from_std(bound)?;
        let (file, attended) = (identity(path), Cell::new(None));
        Ok(Successors { listener, path: path.to_owned(), file, run, shared, attended })
    }

    /// The next one that is ready. Whoever breaks off before changes nothing. One at a time: the
    /// others wait.
    pub(crate) async fn next(&self) -> Successor {
        loop {
            let line = match self.listener.accept().await {
                Ok((stream, _)) => Line::new(stream),
                Err(error) => {
                    tracing::warn!(%error, "no successor can be heard");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            let attended = self.attend(line).await;
            if attended.is_err() {
                self.attended.set(None);
            }
            match attended {
                Ok(successor) => return successor,
                Err(error) => tracing::warn!(
                    error = format!("{error:#}"),
                    "nobody has taken over: going on as before"
                ),
            }
        }
    }

    /// The process that has the listeners already and has not broken off.
    pub(crate) fn attended(&self) -> Option<i32> {
        self.attended.get()
    }

    async fn attend(&self, mut line: Line) -> Result<Successor> {
        let pid = line.trusted_peer()?;
        match line.hear_soon().await.context("who wanted to take over")?.0 {
            Say::Ask { version: VERSION } => {}
            other => {
                let reason = format!("version {VERSION} does not understand {other:?}");
                line.say(&Say::Refuse { version: VERSION, reason }, &[]).await?;
                bail!("version {VERSION} does not understand {other:?}");
            }
        }
        let listeners = self.shared.iter().map(|(offered, _)| offered.clone()).collect();
        let offer =
            Say::Offer { version: VERSION, pid: std::process::id(), run: self.run, listeners };
        let descriptors: Vec<BorrowedFd<'_>> =
            self.shared.iter().map(|(_, fd)| fd.as_fd()).collect();
        self.attended.set(Some(pid));
        line.say(&offer, &descriptors).await?;
        tracing::info!(pid, "another process prepares to take over");
        let ready = tokio::time::timeout(READY_WITHIN, line.hear()).await;
        match ready.context("the successor has hung")?.context("the successor")?.0 {
            Say::Ready => Ok(Successor { line, pid }),
            other => bail!("the successor says {other:?}"),
        }
    }

    /// Nobody will be heard any more, and whoever comes finds no socket.
    pub(crate) fn close(self) {
        // Only while the path still names this socket: another process may have it by now. What
        // fails here leaves a file that the next process replaces.
        if self.file.is_some() && self.file == identity(&self.path) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Makes the socket beside its place and moves it there, so that whoever comes meets the one that
/// was left there or this one.
fn bind(path: &Path) -> Result<Bound> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}", std::process::id()));
    let beside = PathBuf::from(beside);
    // Only a process of the same number that ended at just this place leaves one.
    let _ = std::fs::remove_file(&beside);
    let bound = Bound::bind(&beside)?;
    let mode = std::fs::Permissions::from_mode(0o600);
    let moved =
        std::fs::set_permissions(&beside, mode).and_then(|()| std::fs::rename(&beside, path));
    if let Err(error) = moved {
        let _ = std::fs::remove_file(&beside);
        return Err(error.into());
    }
    Ok(bound)
}

/// Which file a path names.
fn identity(path: &Path) -> Option<(u64, u64)> {
    let found = std::fs::symlink_metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

impl Successor {
    /// Tells it that this process accepts no more.
    pub(crate) async fn give_way(self) {
        if let Err(error) = self.line.say(&Say::Yours, &[]).await {
            // It has said that it is ready, and serves without this word after a while.
            tracing::warn!(error = format!("{error:#}"), "the successor does not listen");
        }
    }
}
