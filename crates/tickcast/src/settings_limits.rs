//! `[limits]`: what clients may do, each figure with its range and its relations to others.
//!
//! All of them stand in the file's table `[limits]` and in the environment (`TICKCAST_LIMITS_…`);
//! those that operators change are on the command line too, the others are there without being
//! shown. [`LimitsSettings::resolve`] makes of them what the door and the shards take.

use crate::settings::time;
use anyhow::{Result, anyhow, ensure};
use serde::Deserialize;
use std::ops::RangeInclusive;
use std::time::Duration;
use tickcast_gateway::{AdmissionLimits, DoorLimits, MessageLimits, ShardSettings};

/// What can be said of limits; absent means "not said here".
#[derive(Clone, Debug, Default, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LimitsSettings {
    /// Connections in total; beyond that 503 [default: 100000]
    #[arg(long, env = "TICKCAST_LIMITS_CONNECTIONS_MAX", value_name = "N")]
    pub(crate) connections_max: Option<u64>,
    /// Connections of one address, IPv6 by /64; beyond that 429 [default: 1000]
    #[arg(long, env = "TICKCAST_LIMITS_ADDRESS_CONNECTIONS_MAX", value_name = "N")]
    pub(crate) address_connections_max: Option<u64>,
    /// New connections of one address a second; beyond that 429 [default: 50]
    #[arg(long, env = "TICKCAST_LIMITS_ADDRESS_CONNECTIONS_PER_SECOND", value_name = "N")]
    pub(crate) address_connections_per_second: Option<u64>,
    /// New connections of one address that may come at once [default: 500]
    #[arg(long, env = "TICKCAST_LIMITS_ADDRESS_CONNECTIONS_BURST", value_name = "N")]
    pub(crate) address_connections_burst: Option<u64>,
    /// Count connections from loopback addresses like any other [default: false]
    #[arg(long, env = "TICKCAST_LIMITS_ADDRESS_LOOPBACK", num_args = 0..=1)]
    #[arg(default_missing_value = "true", hide = true)]
    pub(crate) address_loopback: Option<bool>,
    /// Time in which a request head has to be complete [default: 5s]
    #[arg(long, env = "TICKCAST_LIMITS_HEAD_DEADLINE", value_name = "TIME", hide = true)]
    pub(crate) head_deadline: Option<String>,
    /// Time in which TLS has to be agreed on, part of the one above [default: 3s]
    #[arg(long, env = "TICKCAST_LIMITS_TLS_DEADLINE", value_name = "TIME", hide = true)]
    pub(crate) tls_deadline: Option<String>,
    /// Time in which bytes may wait for a client while it takes none [default: 10s]
    #[arg(long, env = "TICKCAST_LIMITS_NO_PROGRESS", value_name = "TIME", hide = true)]
    pub(crate) no_progress: Option<String>,
    /// Silence of a client after which it is sent a ping [default: 20s]
    #[arg(long, env = "TICKCAST_LIMITS_PING_AFTER", value_name = "TIME", hide = true)]
    pub(crate) ping_after: Option<String>,
    /// Time that it then has to show a sign of life [default: 10s]
    #[arg(long, env = "TICKCAST_LIMITS_PONG_WITHIN", value_name = "TIME", hide = true)]
    pub(crate) pong_within: Option<String>,
    /// Kernel memory that is asked for to send to one client; it takes twice that [default: 131072]
    #[arg(long, env = "TICKCAST_LIMITS_SEND_BUFFER_BYTES", value_name = "BYTES", hide = true)]
    pub(crate) send_buffer_bytes: Option<u64>,
    /// Subscriptions of a connection, a glob counts as one [default: 1000]
    #[arg(long, env = "TICKCAST_LIMITS_SUBSCRIPTIONS_MAX", value_name = "N")]
    pub(crate) subscriptions_max: Option<u64>,
    /// Streams that they may match [default: 20000]
    #[arg(long, env = "TICKCAST_LIMITS_INSTRUMENTS_MAX", value_name = "N", hide = true)]
    pub(crate) instruments_max: Option<u64>,
    /// Globs among them [default: 100]
    #[arg(long, env = "TICKCAST_LIMITS_GLOBS_MAX", value_name = "N", hide = true)]
    pub(crate) globs_max: Option<u64>,
    /// Requests of a connection a second [default: 10]
    #[arg(long, env = "TICKCAST_LIMITS_REQUESTS_PER_SECOND", value_name = "N")]
    pub(crate) requests_per_second: Option<u64>,
    /// Requests of a connection that may come at once [default: 50]
    #[arg(long, env = "TICKCAST_LIMITS_REQUESTS_BURST", value_name = "N", hide = true)]
    pub(crate) requests_burst: Option<u64>,
    /// Length of a client's message [default: 65536]
    #[arg(long, env = "TICKCAST_LIMITS_MESSAGE_BYTES_MAX", value_name = "BYTES")]
    pub(crate) message_bytes_max: Option<u64>,
    /// Fragments of a client's message, empty ones counted [default: 16]
    #[arg(long, env = "TICKCAST_LIMITS_MESSAGE_FRAGMENTS_MAX", value_name = "N", hide = true)]
    pub(crate) message_fragments_max: Option<u64>,
    /// Time in which a client's message has to arrive whole [default: 10s]
    #[arg(long, env = "TICKCAST_LIMITS_MESSAGE_WITHIN", value_name = "TIME", hide = true)]
    pub(crate) message_within: Option<String>,
    /// Pings, pongs and closes of a connection a second [default: 20]
    #[arg(long, env = "TICKCAST_LIMITS_CONTROLS_PER_SECOND", value_name = "N", hide = true)]
    pub(crate) controls_per_second: Option<u64>,
    /// Seconds running in which there may be more of them [default: 5]
    #[arg(long, env = "TICKCAST_LIMITS_CONTROLS_OVER_SECONDS", value_name = "N", hide = true)]
    pub(crate) controls_over_seconds: Option<u64>,
}

/// Limits that have been checked.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) door: DoorLimits,
    pub(crate) of_one_address: AdmissionLimits,
    pub(crate) limits_loopback: bool,
    /// Of these only what limits clients.
    shard: ShardSettings,
}

impl Limits {
    /// Whether what holds from the start to the end is the same.
    pub(crate) fn needs_no_restart_after(&self, first: &Limits) -> bool {
        self.door.send_buffer_bytes == first.door.send_buffer_bytes
            && self.limits_loopback == first.limits_loopback
    }

    /// These settings of a shard with these limits.
    pub(crate) fn apply(&self, mut settings: ShardSettings) -> ShardSettings {
        settings.adopt_limits(&self.shard);
        settings
    }
}

/// Lays one set of settings over another, field by field.
macro_rules! over {
    ($near:expr, $far:expr; $($field:ident),+ $(,)?) => {
        LimitsSettings { $($field: $near.$field.or($far.$field)),+ }
    };
}

impl LimitsSettings {
    /// These settings, and where they say nothing those of `under`.
    pub(crate) fn over(self, under: LimitsSettings) -> LimitsSettings {
        over!(self, under;
            connections_max, address_connections_max, address_connections_per_second,
            address_connections_burst, address_loopback, head_deadline, tls_deadline, no_progress,
            ping_after, pong_within, send_buffer_bytes, subscriptions_max, instruments_max,
            globs_max, requests_per_second, requests_burst, message_bytes_max,
            message_fragments_max, message_within, controls_per_second, controls_over_seconds,
        )
    }

    /// Fills in defaults and checks every value. A default gives way to what was said; two that were
    /// said must agree. *Errors* name the setting and the value.
    pub(crate) fn resolve(&self) -> Result<Limits> {
        let (door, shard) = (DoorLimits::default(), ShardSettings::default());
        let connections_max =
            number("connections_max", self.connections_max, door.connections_max, 1..=1_000_000)?;
        let of_one_address = self.of_one_address(connections_max)?;
        let head_deadline = span("head_deadline", &self.head_deadline, door.head_deadline)?;
        let tls_deadline = span("tls_deadline", &self.tls_deadline, door.tls_deadline)?;
        if self.tls_deadline.is_some() {
            not_above(("tls_deadline", tls_deadline), ("head_deadline", head_deadline))?;
        }
        let no_progress = span("no_progress", &self.no_progress, door.progress_deadline)?;
        let send_buffer_bytes = number(
            "send_buffer_bytes",
            self.send_buffer_bytes,
            door.send_buffer_bytes,
            32 << 10..=16 << 20,
        )?;
        let door = DoorLimits {
            connections_max,
            head_deadline,
            tls_deadline: tls_deadline.min(head_deadline),
            progress_deadline: no_progress,
            send_buffer_bytes,
            ..door
        };
        Ok(Limits {
            door,
            of_one_address,
            limits_loopback: self.address_loopback.unwrap_or(false),
            shard: self.of_a_shard(&shard, no_progress)?,
        })
    }

    fn of_one_address(&self, total: usize) -> Result<AdmissionLimits> {
        let limits = AdmissionLimits::default();
        let cap = self.address_connections_max;
        let connections_max =
            number("address_connections_max", cap, limits.connections_max, 1..=1_000_000)?;
        if cap.is_some() {
            let total = ("connections_max", total as u64);
            not_above(("address_connections_max", connections_max.into()), total)?;
        }
        Ok(AdmissionLimits {
            connections_per_second: number(
                "address_connections_per_second",
                self.address_connections_per_second,
                limits.connections_per_second,
                1..=1_000_000,
            )?,
            connections_burst: number(
                "address_connections_burst",
                self.address_connections_burst,
                limits.connections_burst,
                1..=1_000_000,
            )?,
            connections_max,
        })
    }

    fn of_a_shard(&self, base: &ShardSettings, no_progress: Duration) -> Result<ShardSettings> {
        let millis = |ms: u32| Duration::from_millis(ms.into());
        let in_millis = |span: Duration| span.as_millis() as u32; // A day at most.
        let subscriptions_max = number(
            "subscriptions_max",
            self.subscriptions_max,
            base.subscriptions_max,
            1..=1_000_000,
        )?;
        let instruments_max =
            number("instruments_max", self.instruments_max, base.instruments_max, 1..=10_000_000)?;
        let globs_max = number("globs_max", self.globs_max, base.globs_max, 0..=10_000)?;
        let subscriptions = ("subscriptions_max", subscriptions_max);
        if self.instruments_max.is_some() && self.subscriptions_max.is_some() {
            not_above(subscriptions, ("instruments_max", instruments_max))?;
        }
        if self.globs_max.is_some() {
            not_above(("globs_max", globs_max), subscriptions)?;
        }
        let message_limits = MessageLimits {
            bytes_max: number(
                "message_bytes_max",
                self.message_bytes_max,
                base.message_limits.bytes_max,
                1 << 10..=16 << 20,
            )?,
            fragments_max: number(
                "message_fragments_max",
                self.message_fragments_max,
                base.message_limits.fragments_max,
                1..=255,
            )?,
        };
        let ping_after = span("ping_after", &self.ping_after, millis(base.ping_after_ms))?;
        let pong_within = span("pong_within", &self.pong_within, millis(base.pong_within_ms))?;
        let message_within =
            span("message_within", &self.message_within, millis(base.message_within_ms))?;
        Ok(ShardSettings {
            ping_after_ms: in_millis(ping_after),
            pong_within_ms: in_millis(pong_within),
            no_progress_ms: in_millis(no_progress),
            message_within_ms: in_millis(message_within),
            subscriptions_max,
            // Who may have so many subscriptions may have as many streams.
            instruments_max: match self.instruments_max {
                None => instruments_max.max(subscriptions_max),
                Some(_) => instruments_max,
            },
            globs_max: globs_max.min(subscriptions_max),
            requests_per_second: number(
                "requests_per_second",
                self.requests_per_second,
                base.requests_per_second,
                1..=1_000_000,
            )?,
            requests_burst: number(
                "requests_burst",
                self.requests_burst,
                base.requests_burst,
                1..=1_000_000,
            )?,
            controls_per_second: number(
                "controls_per_second",
                self.controls_per_second,
                base.controls_per_second,
                1..=10_000,
            )?,
            controls_over_seconds: number(
                "controls_over_seconds",
                self.controls_over_seconds,
                base.controls_over_seconds,
                1..=3_600,
            )?,
            message_limits,
            ..base.clone()
        })
    }
}

/// A figure within its range; the ranges fit the types that they become.
fn number<T: TryFrom<u64>>(
    key: &str,
    value: Option<u64>,
    default: T,
    range: RangeInclusive<u64>,
) -> Result<T> {
    let Some(value) = value else { return Ok(default) };
    let (least, most) = (range.start(), range.end());
    let out_of_range = || anyhow!("limits.{key}: {value} is not from {least} to {most}");
    ensure!(range.contains(&value), out_of_range());
    T::try_from(value).map_err(|_| out_of_range())
}

/// A time that is long enough to be kept at all.
fn span(key: &str, text: &Option<String>, default: Duration) -> Result<Duration> {
    let Some(text) = text else { return Ok(default) };
    let key = format!("limits.{key}");
    let span = time(&key, Some(text), "")?;
    ensure!(span >= Duration::from_millis(10), "{key}: {text:?} is below 10ms");
    Ok(span)
}

fn not_above<T: PartialOrd + std::fmt::Debug>(less: (&str, T), more: (&str, T)) -> Result<()> {
    let ((less, a), (more, b)) = (less, more);
    ensure!(a <= b, "limits.{less}: {a:?} is above limits.{more}, {b:?}");
    Ok(())
}
