//! Who is compared, and how each is started for a workload.

use crate::failure::{Failure, Result};
use crate::workload::Workload;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use tickcast_benches::Server;

/// How the floor and tickcast write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flush {
    /// What the server chooses by itself.
    Auto,
    Send,
    Uring,
}

impl Flush {
    const fn name(self) -> &'static str {
        match self {
            Flush::Auto => "auto",
            Flush::Send => "send",
            Flush::Uring => "uring",
        }
    }
}

/// How many frames the floor puts into a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Batch {
    One,
    /// As many as tickcast did, in the run before in the same round.
    LikeTickcast,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Contender {
    Floor {
        flush: Flush,
        batch: Batch,
    },
    Tickcast {
        flush: Flush,
        interval: Option<&'static str>,
        tls: bool,
        shards: u32,
    },
    Broadcast,
    Channel,
    /// nats-server: its program, or the URL of one that runs.
    Nats(String),
}

/// What a run before in the same round has shown, for the floor to do the same.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Seen {
    pub(crate) frames_per_send: f64,
    /// Deliveries a second for each client.
    pub(crate) rate: f64,
    pub(crate) message_bytes: f64,
}

/// The programs, and what they can do.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    /// Where all of them lie.
    pub(crate) folder: PathBuf,
    pub(crate) server_cores: Vec<usize>,
    pub(crate) client_cores: Vec<usize>,
    /// A certificate and its key for `wss://`.
    pub(crate) certificate: Option<(PathBuf, PathBuf)>,
    has_flush_mode: bool,
    has_canary: bool,
    has_tls: bool,
}

/// A started contender.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) server: Server,
    pub(crate) url: String,
    /// Where its metrics are, if it has any.
    pub(crate) admin: Option<SocketAddr>,
}

impl Contender {
    pub(crate) const TICKCAST: Contender =
        Contender::Tickcast { flush: Flush::Auto, interval: None, tls: false, shards: 1 };

    pub(crate) const FLOOR: Contender = Contender::Floor { flush: Flush::Send, batch: Batch::One };

    pub(crate) fn tickcast(flush: Flush) -> Contender {
        Contender::Tickcast { flush, interval: None, tls: false, shards: 1 }
    }

    /// Its name in the tables.
    pub(crate) fn name(&self) -> String {
        match self {
            Contender::Floor { flush, batch: Batch::One } => format!("floor, {}", flush.name()),
            Contender::Floor { flush, batch: Batch::LikeTickcast } => {
                format!("floor, {}, as many frames in a send", flush.name())
            }
            Contender::Tickcast { flush, interval, tls, shards } => {
                let mut name = match flush {
                    Flush::Auto => "tickcast".to_owned(),
                    flush => format!("tickcast, {}", flush.name()),
                };
                if let Some(interval) = interval {
                    name += &format!(", flush interval {interval}");
                }
                if *tls {
                    name += ", wss://";
                }
                if *shards > 1 {
                    name += &format!(", {shards} shards");
                }
                name
            }
            Contender::Broadcast => "axum + broadcast".into(),
            Contender::Channel => "fastwebsockets + channel".into(),
            Contender::Nats(_) => "nats-server".into(),
        }
    }

    /// Why it cannot take part with these programs, if so.
    pub(crate) fn obstacle(&self, programs: &Programs) -> Option<&'static str> {
        match self {
            Contender::Tickcast { flush: Flush::Send | Flush::Uring, .. }
                if !programs.has_flush_mode =>
            {
                Some("this tickcast has no --flush-mode")
            }
            Contender::Tickcast { tls: true, .. } if !programs.has_tls => {
                Some("this tickcast has no --tls-cert")
            }
            Contender::Tickcast { tls: true, .. } if programs.certificate.is_none() => {
                Some("no certificate could be made with openssl")
            }
            _ => None,
        }
    }

    /// The program and its arguments.
    fn command(
        &self,
        workload: &Workload,
        seen: Option<Seen>,
        programs: &Programs,
    ) -> (&'static str, Vec<String>) {
        let mut args: Vec<String> = Vec::new();
        let mut push = |name: &str, value: &dyn std::fmt::Display| {
            args.extend([format!("--{name}"), value.to_string()]);
        };
        let program = match self {
            Contender::Floor { flush, batch } => {
                let rate = seen.map_or(workload.rate, |seen| seen.rate);
                push("rate", &rate);
                push("mode", &flush.name());
                if let (Batch::LikeTickcast, Some(seen)) = (batch, seen) {
                    push("batch", &seen.frames_per_send.round().clamp(1.0, 1024.0));
                }
                if let Some(seen) = seen {
                    push("size", &seen.message_bytes.round().clamp(0.0, 60_000.0));
                }
                "floor"
            }
            Contender::Tickcast { flush, interval, tls, shards } => {
                push("feed", &"sim");
                push("sim-instruments", &workload.instruments);
                push("sim-rate", &workload.rate);
                push("sim-zipf", &"1.0");
                push("sim-pace", &"steady");
                push("shards", shards);
                push("listen", &"127.0.0.1:0");
                push("admin", &"127.0.0.1:0");
                if programs.has_flush_mode {
                    push("flush-mode", &flush.name());
                }
                // What a message costs is measured without a witness.
                if programs.has_canary {
                    push("canary", &"off");
                }
                if let Some(interval) = interval {
                    push("flush-interval", interval);
                }
                if let (true, Some((certificate, key))) = (tls, &programs.certificate) {
                    push("tls-cert", &certificate.display());
                    push("tls-key", &key.display());
                }
                "tickcast"
            }
            // nats-server is started by `nats.rs`; its workload comes from outside.
            Contender::Broadcast | Contender::Channel | Contender::Nats(_) => {
                push("instruments", &workload.instruments);
                push("rate", &workload.rate);
                push("zipf", &"1.0");
                match self {
                    Contender::Channel => "naive-channel",
                    _ => "naive-broadcast",
                }
            }
        };
        if program == "tickcast" {
            args.insert(0, "serve".into());
        }
        (program, args)
    }

    /// Starts it.
    ///
    /// # Errors
    /// It cannot be started; the message names it.
    pub(crate) fn start(
        &self,
        workload: &Workload,
        seen: Option<Seen>,
        programs: &Programs,
    ) -> Result<Running> {
        if let Some(obstacle) = self.obstacle(programs) {
            return Err(Failure(format!("{}: {obstacle}", self.name())));
        }
        let (program, args) = self.command(workload, seen, programs);
        let program = programs.folder.join(program);
        let server = Server::start(&program, &args, &programs.server_cores)
            .map_err(|error| Failure(format!("{}: {error}", self.name())))?;
        let scheme = match self {
            Contender::Tickcast { tls: true, .. } => "wss",
            _ => "ws",
        };
        let url = format!("{scheme}://{}/v1/ws", server.addresses[0]);
        let admin = match self {
            Contender::Tickcast { .. } => server.addresses.get(1).copied(),
            _ => None,
        };
        Ok(Running { server, url, admin })
    }
}

impl Programs {
    /// Those in a folder, with the cores divided between servers and clients.
    pub(crate) fn new(folder: &Path, cores: &[usize]) -> Programs {
        let help = Command::new(folder.join("tickcast")).args(["serve", "--help"]).output();
        let help = help.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        let has = |option: &str| help.as_ref().is_ok_and(|help| help.contains(option));
        let (server_cores, client_cores) = match cores {
            [] | [_] => (Vec::new(), Vec::new()),
            [first, rest @ ..] => (vec![*first], rest.to_vec()),
        };
        Programs {
            folder: folder.to_owned(),
            server_cores,
            client_cores,
            certificate: None,
            has_flush_mode: has("--flush-mode"),
            has_canary: has("--canary"),
            has_tls: has("--tls-cert"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn programs(has_flush_mode: bool) -> Programs {
        Programs {
            folder: PathBuf::from("/nonexistent"),
            server_cores: Vec::new(),
            client_cores: Vec::new(),
            certificate: None,
            has_flush_mode,
            has_canary: false,
            has_tls: true,
        }
    }

    #[test]
    fn the_floor_does_what_tickcast_was_seen_to_do() {
        let floor = Contender::Floor { flush: Flush::Send, batch: Batch::LikeTickcast };
        let seen = Seen { frames_per_send: 15.6, rate: 1850.0, message_bytes: 204.4 };
        let (_, args) = floor.command(&Workload::w2("W2", 5000.0), Some(seen), &programs(true));
        let expect = "--rate 1850 --mode send --batch 16 --size 204";
        assert_eq!(args.join(" "), expect);
        let (_, args) = Contender::FLOOR.command(&Workload::w1a(), None, &programs(true));
        assert_eq!(args.join(" "), "--rate 100 --mode send");
    }

    #[test]
    fn a_contender_that_cannot_start_is_named() {
        let check = |contender: &Contender, part: &str| {
            let error = contender.start(&Workload::w1a(), None, &programs(false)).unwrap_err();
            assert!(error.0.contains(part), "{error}");
        };
        check(&Contender::tickcast(Flush::Uring), "tickcast, uring: this tickcast has no");
        check(&Contender::Broadcast, "axum + broadcast: /nonexistent/naive-broadcast cannot");
        let tls = Contender::Tickcast { flush: Flush::Auto, interval: None, tls: true, shards: 1 };
        check(&tls, "wss://: no certificate");
    }
}
