//! The edge: what clients connect to.
//!
//! The [`Door`] (tokio) accepts connections, reads request heads under deadlines and answers
//! handshakes; a WebSocket or a stream of server-sent events then belongs to one [`Shard`], a plain
//! thread with its own poller and its own connections. Tokio and hyper for what waits, shards for
//! what pushes. To see the heart open `shard.rs`: take what came, mark who wants it, write once
//! each, time last.
//!
//! *Invariant:* a shard waits for nobody; the memory of a connection is bounded by its
//! subscriptions, not by time or rate.

#![deny(missing_docs)]

mod admin;
mod admission;
mod auth;
mod auth_desk;
mod clients;
mod connection;
mod connection_close;
mod decoder;
mod deflate;
mod descriptors;
mod door;
mod door_canary;
mod door_client;
mod door_close;
mod door_hand_over;
mod door_head;
mod door_listener;
mod door_stream;
mod endings;
mod entitlement;
mod extensions;
mod figure;
mod file_watch;
mod flush_mode;
mod frame;
mod handoff;
mod handshake;
mod http;
mod http_line;
mod http_source;
mod identity;
mod inflate;
mod limits;
mod line;
mod metrics;
mod origin;
mod outbox;
mod owing;
mod owing_serve;
mod page;
mod poller;
mod proxies;
mod proxy_header;
mod refusal;
mod refusal_reason;
mod rest;
mod ring;
mod sent_kind;
mod session;
mod session_auth;
mod session_subscribe;
mod shard;
mod shard_deflate;
mod shard_families;
mod shard_flush;
mod shard_log;
mod shard_pass;
mod shard_settings;
mod shard_settle;
mod shard_sheet;
mod shard_table;
mod shard_tally;
mod shard_walk;
mod socket;
mod sse;
mod subscriptions;
mod subscriptions_edit;
mod subscriptions_grow;
mod timers;
mod tls_certificate;
mod tls_expiry;
mod tls_session;
mod token_crypto;
mod token_keys;
mod tokens;
mod topics;

pub use admin::{Admin, CanaryReport, Clients, FeedReport, NoClients, Readiness};
pub use admission::{ADDRESSES_MAX, Admission, AdmissionLimits};
pub use auth::{Admitted, Auth, AuthError, IDENTITY_CONNECTIONS_MAX};
pub use auth_desk::{AuthAsk, AuthAsks, AuthDesk, Verdict};
pub use clients::ShardClients;
pub use connection::Token;
pub use connection_close::Closed;
pub use decoder::{Decoder, Event, MessageLimits, Violation};
pub use deflate::{COMPRESSED_BYTES_MIN, Deflater};
pub use descriptors::raise_descriptor_limit;
pub use door::{Door, DoorRules};
pub use door_canary::CanaryError;
pub use door_listener::Listener;
pub use entitlement::{EntitlementError, Entitlements};
pub use flush_mode::FlushMode;
pub use frame::{CONTROL_BYTES_MAX, Opcode, write_close, write_frame, write_head};
pub use handoff::{
    Arrival, CONTROLS_MAX, Control, Handoff, ShardHandle, ShardInbox, Shards, Transport,
};
pub use handshake::{
    Accept, HEAD_BYTES_MAX, HEADERS_MAX, Route, SSE_PATH, SseRequest, WEBSOCKET_PATH, read_head,
    route,
};
pub use http::Source;
pub use http_source::HubSource;
pub use identity::{Identity, Rates, Seat, Seats, Who};
pub use inflate::Inflater;
pub use limits::DoorLimits;
pub use line::Line;
pub use metrics::{Metrics, SECONDS_BUCKETS};
pub use origin::Origins;
pub use page::has_dashboard;
pub use poller::Poller;
pub use proxies::{Proxies, ProxyError};
pub use proxy_header::{Found as FoundProxyHeader, read_proxy_header};
pub use refusal::Refusal;
pub use refusal_reason::Reason;
pub use shard::{Rest, Shard};
pub use shard_settings::ShardSettings;
pub use socket::Socket;
pub use tls_certificate::{Certificates, PairError};
pub use tls_session::Session;
pub use token_keys::{KeyError, KeyFiles, SECRET_BYTES_MIN, read_secret};
pub use tokens::{Secret, TokenError, TokenRules, Tokens, sign_token};
