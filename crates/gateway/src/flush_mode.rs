//! How a shard hands bytes to the kernel: chosen at start, shown in the log and in a metric.

use crate::outbox::Outbox;
use crate::ring::{Ring, SENDS_MAX};
use crate::shard::Shard;
use crate::socket::Socket;
use std::fmt;
use std::io;
use std::str::FromStr;

/// The setting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FlushMode {
    /// io_uring where the kernel allows it, else one send for each connection.
    #[default]
    Auto,
    /// All sends of a pass in a few calls, through io_uring; without it the shard does not start.
    Uring,
    /// One send for each connection.
    Send,
}

impl FlushMode {
    /// Whether it can be had, before anything is started.
    ///
    /// *Errors:* io_uring is asked for, and the kernel has none or forbids it.
    pub fn check(self) -> io::Result<()> {
        match self {
            FlushMode::Uring => Ring::new().map(drop),
            FlushMode::Auto | FlushMode::Send => Ok(()),
        }
    }

    /// Its name in settings, in the log and in metric labels.
    pub const fn name(self) -> &'static str {
        match self {
            FlushMode::Auto => "auto",
            FlushMode::Uring => "uring",
            FlushMode::Send => "send",
        }
    }
}

impl fmt::Display for FlushMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for FlushMode {
    type Err = String;

    fn from_str(text: &str) -> Result<FlushMode, String> {
        [FlushMode::Auto, FlushMode::Uring, FlushMode::Send]
            .into_iter()
            .find(|mode| mode.name() == text)
            .ok_or_else(|| format!("{text:?} is not one of auto, uring, send"))
    }
}

impl<S: Socket> Shard<S> {
    /// Begins to send the way its settings say. To be called on the thread that gives it its
    /// turns: a ring belongs to one thread. Who does not call it sends one by one.
    ///
    /// *Errors:* io_uring is asked for, and there is none.
    pub fn choose_flush_mode(&mut self) -> io::Result<FlushMode> {
        let ring = match self.settings.flush_mode {
            FlushMode::Send => None,
            FlushMode::Uring => Some(Ring::new()?),
            FlushMode::Auto => {
                Ring::new().inspect_err(|error| tracing::info!(%error, "no io_uring here")).ok()
            }
        };
        let mode = if ring.is_some() { FlushMode::Uring } else { FlushMode::Send };
        if ring.is_some() {
            self.outbox = Outbox { ring, ..Outbox::new(SENDS_MAX) };
        }
        self.tally.sends_by(mode);
        Ok(mode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_is_read_by_its_name() {
        for mode in [FlushMode::Auto, FlushMode::Uring, FlushMode::Send] {
            assert_eq!(mode.name().parse(), Ok(mode));
        }
        let error = "epoll".parse::<FlushMode>().unwrap_err();
        assert_eq!(error, "\"epoll\" is not one of auto, uring, send");
    }
}
