//! The process that runs already, as its successor sees it: what it offers, and when it gives way.

use crate::takeover::{Line, Name, Say, VERSION};
use anyhow::{Context, Result, bail, ensure};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::time::Duration;
use tokio::net::UnixStream;

/// How often feeds are asked whether they have data.
const LOOK: Duration = Duration::from_millis(20);

/// A process that accepts what will be ours.
#[derive(Debug)]
pub(crate) struct Predecessor {
    line: Line,
    pid: u32,
    run: u64,
    offered: Vec<(Name, Option<SocketAddr>, OwnedFd)>,
}

impl Predecessor {
    /// Asks whoever listens at the path for its listeners; `None`: nobody does.
    ///
    /// *Errors:* what is at the path is no socket, or who listens there does not understand.
    /// Then it goes on as it is, and this process should not start.
    pub(crate) async fn meet(path: &Path) -> Result<Option<Predecessor>> {
        match std::fs::symlink_metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
            Ok(found) => ensure!(found.file_type().is_socket(), "it is not a socket"),
        }
        let stream = match UnixStream::connect(path).await {
            Ok(stream) => stream,
            // A file that its process left behind.
            Err(error)
                if matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        let mut line = Line::new(stream);
        line.trusted_peer()?;
        line.say(&Say::Ask { version: VERSION }, &[]).await?;
        let answer = line
            .hear_soon()
            .await
            .context("the process that listens there; perhaps another one is taking over now")?;
        let (pid, run, listeners, descriptors) = match answer {
            (Say::Offer { version: VERSION, pid, run, listeners }, descriptors) => {
                (pid, run, listeners, descriptors)
            }
            (Say::Refuse { version, reason }, _) => {
                bail!("version {version} of it refuses: {reason}")
            }
            (other, _) => bail!("it should offer its listeners, and says {other:?}"),
        };
        ensure!(
            listeners.len() == descriptors.len(),
            "{} descriptors for {} listeners",
            descriptors.len(),
            listeners.len()
        );
        let offered = listeners.into_iter().zip(descriptors);
        let offered = offered.map(|(one, fd)| (one.name, one.address, fd)).collect();
        tracing::info!(pid, path = %path.display(), "another process serves: taking over from it");
        Ok(Some(Predecessor { line, pid, run, offered }))
    }

    /// Its run; ours has to be later.
    pub(crate) fn run(&self) -> u64 {
        self.run
    }

    /// Takes a listener of that name; with an address only one that listens there.
    pub(crate) fn take(&mut self, name: Name, address: Option<SocketAddr>) -> Option<OwnedFd> {
        let fits = |(offered, at, _): &(Name, Option<SocketAddr>, OwnedFd)| {
            *offered == name && *at == address
        };
        let found = self.offered.iter().position(fits)?;
        Some(self.offered.swap_remove(found).2)
    }

    /// Waits until this process is ready (`is_ready` says what is missing), says so, and waits
    /// until the predecessor has stopped accepting. Where it ends meanwhile there is nothing to
    /// wait for.
    ///
    /// *Errors:* this process did not become ready in time; the predecessor goes on.
    pub(crate) async fn succeed(
        mut self,
        wait: Duration,
        is_ready: impl Fn() -> Result<()>,
    ) -> Result<()> {
        self.offered.clear(); // What was not taken is the predecessor's to close.
        let until = tokio::time::Instant::now() + wait;
        while let Err(missing) = is_ready() {
            if tokio::time::Instant::now() >= until {
                let words = format!("not ready within {wait:?}; process {} goes on", self.pid);
                return Err(missing.context(words));
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                heard = self.line.hear() => return self.went(&heard.map(|(said, _)| said)),
            }
        }
        if let Err(error) = self.line.say(&Say::Ready, &[]).await {
            return self.went(&Err(error));
        }
        match self.line.hear_soon().await {
            Ok((Say::Yours, _)) => {
                tracing::info!(pid = self.pid, "taken over: the other process drains");
                Ok(())
            }
            other => self.went(&other.map(|(said, _)| said)),
        }
    }

    /// The listeners are here, so clients are served whatever has become of the other process.
    fn went(&self, said: &Result<Say>) -> Result<()> {
        tracing::warn!(
            pid = self.pid,
            said =
                said.as_ref().map_or_else(|error| format!("{error:#}"), |said| format!("{said:?}")),
            "the other process did not give way: serving at once"
        );
        Ok(())
    }
}
