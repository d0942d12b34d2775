//! What a shard can be told before it starts.

use crate::admission::Admission;
use crate::auth_desk::AuthDesk;
use crate::decoder::MessageLimits;
use crate::flush_mode::FlushMode;
use std::sync::Arc;
use tickcast_market::Nanos;

/// The settings of a shard. The defaults are the promises of the edge.
#[derive(Clone, Debug)]
pub struct ShardSettings {
    /// The version that the welcome names.
    pub version: String,
    /// Batches gather so long between two passes; zero: a pass takes them as they come. It pays
    /// only where it is longer than a pass, and costs up to itself in latency.
    pub flush_interval: Nanos,
    /// How bytes are handed to the kernel.
    pub flush_mode: FlushMode,
    /// How many connections are gathered for before the sends begin. More than one pays only
    /// through a ring, which sets it.
    pub loads_max: usize,
    /// Connections for which address space is reserved, so that what is kept of them never moves;
    /// memory is taken as they come.
    pub connections_reserved: usize,
    /// A connection that was silent for so long gets a heartbeat.
    pub heartbeat_ms: u32,
    /// After so much silence from a WebSocket peer it is sent a ping.
    pub ping_after_ms: u32,
    /// How long it then has to show a sign of life.
    pub pong_within_ms: u32,
    /// How long bytes may wait while not one moves.
    pub no_progress_ms: u32,
    /// How long a message may take to arrive whole.
    pub message_within_ms: u32,
    /// How long a client may take to authenticate, where it has to.
    pub auth_within_ms: u32,
    /// Where tokens are judged that clients show; `None`: this service takes none.
    pub auth_desk: Option<AuthDesk>,
    /// How long a peer has to close after it was told to.
    pub close_within_ms: u32,
    /// How many subscriptions a connection may have; a glob counts as one.
    pub subscriptions_max: usize,
    /// How many streams they may match.
    pub instruments_max: usize,
    /// How many globs may be among the subscriptions: each is matched against every instrument.
    pub globs_max: usize,
    /// Requests a second.
    pub requests_per_second: u32,
    /// Requests that may come at once.
    pub requests_burst: u32,
    /// Control frames, and requests beyond the budget, a second.
    pub controls_per_second: u16,
    /// For how many seconds running there may be more.
    pub controls_over_seconds: u16,
    /// Frames for single connections that one pass gathers (12 bytes each) before everybody is
    /// written to; what came beyond them waits for the next pass.
    pub pass_frames_max: usize,
    /// Who counts connections by address and is told when one has ended.
    pub admission: Option<Arc<Admission>>,
    /// How long a message may be, and in how many fragments.
    pub message_limits: MessageLimits,
}

impl ShardSettings {
    /// Takes over what limits clients; everything else stays.
    pub fn adopt_limits(&mut self, from: &ShardSettings) {
        self.ping_after_ms = from.ping_after_ms;
        self.pong_within_ms = from.pong_within_ms;
        self.no_progress_ms = from.no_progress_ms;
        self.message_within_ms = from.message_within_ms;
        self.subscriptions_max = from.subscriptions_max;
        self.instruments_max = from.instruments_max;
        self.globs_max = from.globs_max;
        self.requests_per_second = from.requests_per_second;
        self.requests_burst = from.requests_burst;
        self.controls_per_second = from.controls_per_second;
        self.controls_over_seconds = from.controls_over_seconds;
        self.message_limits = from.message_limits;
    }
}

impl Default for ShardSettings {
    fn default() -> ShardSettings {
        ShardSettings {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            flush_interval: Nanos::ZERO,
            flush_mode: FlushMode::Auto,
            loads_max: 1,
            connections_reserved: 0,
            heartbeat_ms: 5_000,
            ping_after_ms: 20_000,
            pong_within_ms: 10_000,
            no_progress_ms: 10_000,
            message_within_ms: 10_000,
            auth_within_ms: 5_000,
            auth_desk: None,
            close_within_ms: 5_000,
            subscriptions_max: 1_000,
            instruments_max: 20_000,
            globs_max: 100,
            requests_per_second: 10,
            requests_burst: 50,
            controls_per_second: 20,
            controls_over_seconds: 5,
            pass_frames_max: 1 << 20,
            admission: None,
            message_limits: MessageLimits::DEFAULT,
        }
    }
}
