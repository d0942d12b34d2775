//! Settings: the command line, then the environment, then a TOML file, then defaults.
//!
//! One struct is all three: clap fills it from arguments and `TICKCAST_…`, serde from the file,
//! and [`Settings::over`] lays one over the other. [`Settings::resolve`] checks what is left
//! (`settings_resolve.rs`); which of them a shape of the service uses is in `settings_shape.rs`.

use crate::settings_auth::AuthSettings;
use crate::settings_bus::BusSettings;
use crate::settings_limits::LimitsSettings;
use crate::settings_nats::NatsSettings;
pub(crate) use crate::settings_resolve::{Resolved, time};
use crate::settings_takeover::TakeoverSettings;
use anyhow::{Context, Result};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Everything that can be set; absent means "not said here".
#[derive(Clone, Debug, Default, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    /// Feed to run: sim, coinbase, coinbase-exchange, binance, kraken, or nats for events that are
    /// published on NATS; repeatable
    #[arg(long, env = "TICKCAST_FEED", value_delimiter = ',', value_name = "VENUE")]
    pub(crate) feed: Vec<String>,
    /// Symbols to take from the live feeds, such as BTC-USD,ETH-USD
    #[arg(long, env = "TICKCAST_SYMBOLS", value_delimiter = ',', value_name = "SYMBOL,…")]
    pub(crate) symbols: Vec<String>,
    /// Recording to replay; repeatable
    #[arg(long, env = "TICKCAST_REPLAY", value_delimiter = ',', value_name = "FILE")]
    pub(crate) replay: Vec<PathBuf>,
    /// Speed of replays: 1 as recorded, N times faster, or max
    #[arg(long, env = "TICKCAST_REPLAY_SPEED", value_name = "N|max")]
    pub(crate) replay_speed: Option<String>,
    /// Start replays again at their end
    #[arg(long, env = "TICKCAST_REPLAY_LOOP", num_args = 0..=1, default_missing_value = "true")]
    pub(crate) replay_loop: Option<bool>,
    /// Start replays with the first subscriber
    #[arg(long, env = "TICKCAST_REPLAY_WAIT", num_args = 0..=1, default_missing_value = "true")]
    pub(crate) replay_wait: Option<bool>,
    /// Instruments of the simulator [default: 50]
    #[arg(long, env = "TICKCAST_SIM_INSTRUMENTS", value_name = "N")]
    pub(crate) sim_instruments: Option<u32>,
    /// Ticker updates a second over all simulated instruments; 0 is quiet [default: 500]
    #[arg(long, env = "TICKCAST_SIM_RATE", value_name = "N")]
    pub(crate) sim_rate: Option<f64>,
    /// Seed of the simulator [default: 1]
    #[arg(long, env = "TICKCAST_SIM_SEED", value_name = "N")]
    pub(crate) sim_seed: Option<u64>,
    /// Activity by rank: exponent of the Zipf distribution [default: 1.0]
    #[arg(long, env = "TICKCAST_SIM_ZIPF", value_name = "S")]
    pub(crate) sim_zipf: Option<f64>,
    /// natural: in bursts; steady: evenly spaced, for measuring [default: natural]
    #[arg(long, env = "TICKCAST_SIM_PACE", value_name = "PACE")]
    pub(crate) sim_pace: Option<String>,
    /// Public address [default: 127.0.0.1:8080]
    #[arg(long, env = "TICKCAST_LISTEN", value_name = "ADDR")]
    pub(crate) listen: Option<SocketAddr>,
    /// Address for metrics and health [default: 127.0.0.1:8081]
    #[arg(long, env = "TICKCAST_ADMIN", value_name = "ADDR")]
    pub(crate) admin: Option<SocketAddr>,
    /// PEM file with the certificate and those that vouch for it: https and wss on the public address
    #[arg(long, env = "TICKCAST_TLS_CERT", value_name = "FILE")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// PEM file with the certificate's key
    #[arg(long, env = "TICKCAST_TLS_KEY", value_name = "FILE")]
    pub(crate) tls_key: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) bus: BusSettings,
    /// Events that others publish on NATS
    #[command(flatten)]
    pub(crate) nats: NatsSettings,
    /// Who may come in
    #[command(flatten)]
    pub(crate) auth: AuthSettings,
    /// Threads that push to clients [default: one per core, at most 62]
    #[arg(long, env = "TICKCAST_SHARDS", value_name = "N")]
    pub(crate) shards: Option<usize>,
    /// Threads that keep the instruments' state [default: 1]
    #[arg(long, env = "TICKCAST_PARTITIONS", value_name = "N")]
    pub(crate) partitions: Option<usize>,
    /// Time in which a shard gathers updates before it writes, such as 20ms [default: 0ms]
    #[arg(long, env = "TICKCAST_FLUSH_INTERVAL", value_name = "TIME")]
    pub(crate) flush_interval: Option<String>,
    /// How bytes are handed to the kernel: auto, uring or send [default: auto]
    #[arg(long, env = "TICKCAST_FLUSH_MODE", value_name = "MODE")]
    pub(crate) flush_mode: Option<String>,
    /// Compression of messages from 1 KiB on for clients that offer it: on or off [default: on]
    #[arg(long, env = "TICKCAST_DEFLATE", value_name = "on|off")]
    pub(crate) deflate: Option<String>,
    /// A client inside the process that watches how fresh prices are and whether every message keeps
    /// the protocol: on or off [default: on]
    #[arg(long, env = "TICKCAST_CANARY", value_name = "on|off")]
    pub(crate) canary: Option<String>,
    /// Maximum rates on offer besides real time, in updates a second [default: 10,4,1]
    #[arg(long, env = "TICKCAST_TIERS", value_delimiter = ',', value_name = "RATE,…")]
    pub(crate) tiers: Vec<f64>,
    /// Origin of web pages that may connect, such as `https://desk.example`; repeatable
    #[arg(long, env = "TICKCAST_ALLOW_ORIGIN", value_delimiter = ',', value_name = "URL")]
    pub(crate) allow_origin: Vec<String>,
    /// Address or network of proxies that are believed whom they bring (PROXY protocol,
    /// X-Forwarded-For), such as 10.0.0.0/8; repeatable
    #[arg(long, env = "TICKCAST_TRUST_PROXY", value_delimiter = ',', value_name = "CIDR")]
    pub(crate) trust_proxy: Vec<String>,
    /// Time over which clients are sent away on SIGTERM [default: 30s]
    #[arg(long, env = "TICKCAST_DRAIN_WINDOW", value_name = "TIME")]
    pub(crate) drain_window: Option<String>,
    #[command(flatten)]
    pub(crate) takeover: TakeoverSettings,
    /// text or json [default: text]
    #[arg(long, env = "TICKCAST_LOG_FORMAT", value_name = "FORMAT")]
    pub(crate) log_format: Option<String>,
    /// What clients may do
    #[command(flatten)]
    pub(crate) limits: LimitsSettings,
    /// Where a venue is, for tests and proxies; in the file only
    #[arg(skip)]
    pub(crate) venues: BTreeMap<String, VenueSettings>,
}

/// A venue's addresses; absent ones are the venue's own.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct VenueSettings {
    /// WebSocket URL.
    pub(crate) ws_url: Option<String>,
    /// REST base URL.
    pub(crate) rest_url: Option<String>,
    /// Symbols to take from this venue; instead of the common list.
    pub(crate) symbols: Vec<String>,
}

/// The first that says something.
pub(crate) fn or<T>(first: Vec<T>, second: Vec<T>) -> Vec<T> {
    if first.is_empty() { second } else { first }
}

impl Settings {
    /// Reads a TOML file. *Errors* name the file, the line and the key.
    pub(crate) fn from_file(path: &Path) -> Result<Settings> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("configuration {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("configuration {}", path.display()))
    }

    /// These settings, and where they say nothing those of `under`.
    pub(crate) fn over(self, mut under: Settings) -> Settings {
        if !self.symbols.is_empty() {
            // What is said nearer goes before the file, for every venue.
            under.venues.values_mut().for_each(|venue| venue.symbols.clear());
        }
        Settings {
            feed: or(self.feed, under.feed),
            symbols: or(self.symbols, under.symbols),
            replay: or(self.replay, under.replay),
            replay_speed: self.replay_speed.or(under.replay_speed),
            replay_loop: self.replay_loop.or(under.replay_loop),
            replay_wait: self.replay_wait.or(under.replay_wait),
            sim_instruments: self.sim_instruments.or(under.sim_instruments),
            sim_rate: self.sim_rate.or(under.sim_rate),
            sim_seed: self.sim_seed.or(under.sim_seed),
            sim_zipf: self.sim_zipf.or(under.sim_zipf),
            sim_pace: self.sim_pace.or(under.sim_pace),
            listen: self.listen.or(under.listen),
            admin: self.admin.or(under.admin),
            tls_cert: self.tls_cert.or(under.tls_cert),
            tls_key: self.tls_key.or(under.tls_key),
            bus: self.bus.over(under.bus),
            nats: self.nats.over(under.nats),
            auth: self.auth.over(under.auth),
            shards: self.shards.or(under.shards),
            partitions: self.partitions.or(under.partitions),
            flush_interval: self.flush_interval.or(under.flush_interval),
            flush_mode: self.flush_mode.or(under.flush_mode),
            deflate: self.deflate.or(under.deflate),
            canary: self.canary.or(under.canary),
            tiers: or(self.tiers, under.tiers),
            allow_origin: or(self.allow_origin, under.allow_origin),
            trust_proxy: or(self.trust_proxy, under.trust_proxy),
            limits: self.limits.over(under.limits),
            drain_window: self.drain_window.or(under.drain_window),
            takeover: self.takeover.over(under.takeover),
            log_format: self.log_format.or(under.log_format),
            venues: if self.venues.is_empty() { under.venues } else { self.venues },
        }
    }
}
