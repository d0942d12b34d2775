//! Answers to requests, and what the edge says of itself: welcome, heartbeat, goaway.
//!
//! Rare in comparison with data, so they go through serde. The same types are what a client
//! decodes.

use crate::channel::{Channel, Depth, Encoding, FieldSet, View};
use crate::code::ErrorCode;
use crate::frame::{FrameSpan, write_framed};
use crate::names;
use crate::protobuf;
use crate::request::{Method, ReqId, RequestError};
use crate::text::{write_integer, write_string};
use serde::{Deserialize, Serialize};
use tickcast_market::{Interval, Nanos};

/// What a connection may have; what is absent is not limited, or not told here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// How many subscriptions (a glob counts as one).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscriptions: Option<u64>,
    /// How many instruments its subscriptions may match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instruments: Option<u64>,
    /// How long a message to us may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_bytes: Option<u64>,
}

/// The first message of every connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// Names this connection, for the operator's logs.
    pub session: String,
    /// Of the service.
    pub version: String,
    /// A connection that was silent for so long gets a heartbeat.
    pub heartbeat_ms: u64,
    /// Whether nothing is served before `auth`.
    pub auth_required: bool,
    /// What this connection may have.
    #[serde(default)]
    pub limits: Limits,
}

/// The announcement that this connection will be closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Goaway {
    /// When to connect again, counted from now; different for each client.
    pub reconnect_after_ms: u64,
    /// Why: `drain`.
    pub reason: String,
}

/// A symbol of a request that was not served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// As it was asked for.
    pub symbol: String,
    /// Why, as [`ErrorCode`]'s number.
    pub code: u16,
    /// Why, in words.
    pub error: String,
}

impl Failed {
    /// A symbol and why it was not served.
    pub fn new(symbol: impl Into<String>, code: ErrorCode, error: impl Into<String>) -> Failed {
        Failed { symbol: symbol.into(), code: code.number(), error: error.into() }
    }
}

/// A glob of a request and how many instruments it matches at present.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Matched {
    /// As it was asked for.
    pub pattern: String,
    /// How many.
    pub matched: u64,
}

/// The result of `subscribe` and `unsubscribe`: what was granted, or ended.
///
/// On the wire `channel`, `symbol`, `globs`, `failed` are always there. `max_rate` is absent where
/// real time was granted, and otherwise the granted tier. `fields` stands in answers to a
/// subscription to `ticker`, `depth` in those to `book`, `interval` in those to `bars`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Granted {
    /// The channel.
    #[serde(with = "names::channel")]
    pub channel: Channel,
    /// Exact names that are served, as full names.
    pub symbol: Vec<String>,
    /// Globs.
    #[serde(default)]
    pub globs: Vec<Matched>,
    /// What is not served and why.
    #[serde(default)]
    pub failed: Vec<Failed>,
    /// Updates a second and symbol; `None` is real time.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "names::rate")]
    pub max_rate: Option<f64>,
    /// The fields of a ticker.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "names::fields")]
    pub fields: Option<FieldSet>,
    /// The depth of a book.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "names::depth")]
    pub depth: Option<Depth>,
    /// The interval of bars.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "names::interval")]
    pub interval: Option<Interval>,
}

impl Granted {
    /// The result of subscribing to a view; `fields` are told of a ticker only.
    pub fn subscribed(view: View, max_rate: Option<f64>, fields: FieldSet) -> Granted {
        Granted {
            max_rate,
            fields: (view == View::Ticker).then_some(fields),
            depth: if let View::Book(depth) = view { Some(depth) } else { None },
            ..Granted::unsubscribed(view)
        }
    }

    /// The result of unsubscribing from a view.
    pub fn unsubscribed(view: View) -> Granted {
        Granted {
            channel: view.channel(),
            symbol: Vec::new(),
            globs: Vec::new(),
            failed: Vec::new(),
            max_rate: None,
            fields: None,
            depth: None,
            interval: if let View::Bars(interval) = view { Some(interval) } else { None },
        }
    }
}

/// The result of `auth`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authenticated {
    /// Whom the token names.
    pub sub: String,
    /// When it expires, in Unix seconds.
    pub expires: i64,
    /// What it allows.
    #[serde(default)]
    pub limits: Limits,
}

/// The result of `stats`: the figures of one connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stats {
    /// Subscriptions, a glob counting as one.
    pub subscriptions: u64,
    /// Instruments, each channel on its own.
    pub instruments: u64,
    /// Messages sent, data and others.
    pub sent_messages: u64,
    /// Bytes sent, before TLS.
    pub sent_bytes: u64,
    /// Updates that were sent merged into a later one.
    pub merged_updates: u64,
    /// Whether it owes anything older than its subscription.
    pub lagging: bool,
    /// How many topics it owes.
    pub owed_topics: u64,
    /// The time of the last ping's way there and back; absent before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtt_us: Option<u64>,
    /// How long it has been connected.
    pub connected_us: u64,
}

/// Everything that is sent and is not data.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)] // `req_id` is the request's, everywhere.
pub enum Answer<'a> {
    /// The first message.
    Welcome(&'a Welcome),
    /// Proof of life in silence.
    Heartbeat { ts_publish: Nanos },
    /// The connection will be closed.
    Goaway(&'a Goaway),
    /// To `subscribe`.
    Subscribed { req_id: Option<&'a ReqId>, result: &'a Granted },
    /// To `unsubscribe`.
    Unsubscribed { req_id: Option<&'a ReqId>, result: &'a Granted },
    /// To `auth`.
    Authenticated { req_id: Option<&'a ReqId>, result: &'a Authenticated },
    /// To `ping`.
    Pong { req_id: Option<&'a ReqId>, ts_publish: Nanos },
    /// To `stats`.
    Stats { req_id: Option<&'a ReqId>, result: &'a Stats },
    /// To a request that was refused. Where the method could not be read the answer has none.
    Error(&'a RequestError),
}

/// Appends an answer or a message of the edge.
///
/// *Cost:* no allocation but `out`'s growth.
pub fn write_answer(out: &mut Vec<u8>, encoding: Encoding, answer: &Answer<'_>) {
    match encoding {
        Encoding::Json => write_json(out, answer),
        Encoding::Protobuf => protobuf::write_answer(out, answer),
    }
}

/// Appends the same as a ready frame.
pub fn write_answer_frame(out: &mut Vec<u8>, encoding: Encoding, answer: &Answer<'_>) -> FrameSpan {
    write_framed(out, encoding, |out| write_answer(out, encoding, answer))
}

/// Appends `{"code":…,"error":…}`, the body of a refused HTTP request.
pub fn write_http_error(out: &mut Vec<u8>, code: u16, error: &str) {
    out.extend_from_slice(b"{\"code\":");
    write_integer(out, code);
    out.extend_from_slice(b",\"error\":");
    write_string(out, error);
    out.push(b'}');
}

fn write_json(out: &mut Vec<u8>, answer: &Answer<'_>) {
    match answer {
        Answer::Welcome(welcome) => write_system(out, "welcome", welcome),
        Answer::Goaway(goaway) => write_system(out, "goaway", goaway),
        Answer::Heartbeat { ts_publish } => {
            out.extend_from_slice(b"{\"channel\":\"heartbeat\",\"ts_publish\":");
            write_integer(out, ts_publish.micros());
            out.push(b'}');
        }
        Answer::Pong { req_id, ts_publish } => write_pong(out, *req_id, ts_publish.micros()),
        Answer::Subscribed { req_id, result } => {
            write_result(out, Method::Subscribe, *req_id, result);
        }
        Answer::Unsubscribed { req_id, result } => {
            write_result(out, Method::Unsubscribe, *req_id, result);
        }
        Answer::Authenticated { req_id, result } => {
            write_result(out, Method::Auth, *req_id, result);
        }
        Answer::Stats { req_id, result } => write_result(out, Method::Stats, *req_id, result),
        Answer::Error(error) => {
            let (req_id, code) = (error.req_id.as_ref(), error.code.number());
            write_error_parts(out, error.method, req_id, code, &error.error);
        }
    }
}

pub(crate) fn write_pong(out: &mut Vec<u8>, req_id: Option<&ReqId>, ts_publish_us: i64) {
    open_answer(out, Some("pong"), req_id);
    out.extend_from_slice(b"\"ts_publish\":");
    write_integer(out, ts_publish_us);
    out.push(b'}');
}

pub(crate) fn write_error_parts(
    out: &mut Vec<u8>,
    method: Option<Method>,
    req_id: Option<&ReqId>,
    code: u16,
    error: &str,
) {
    open_answer(out, method.map(Method::name), req_id);
    out.extend_from_slice(b"\"success\":false,\"code\":");
    write_integer(out, code);
    out.extend_from_slice(b",\"error\":");
    write_string(out, error);
    out.push(b'}');
}

pub(crate) fn write_system(out: &mut Vec<u8>, kind: &str, data: &impl Serialize) {
    out.extend_from_slice(b"{\"channel\":\"system\",\"type\":\"");
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(b"\",\"data\":[");
    write_serialized(out, data);
    out.extend_from_slice(b"]}");
}

/// `{"method":…,"req_id":…,` with what there is of both.
fn open_answer(out: &mut Vec<u8>, method: Option<&str>, req_id: Option<&ReqId>) {
    out.push(b'{');
    if let Some(method) = method {
        out.extend_from_slice(b"\"method\":");
        write_string(out, method);
        out.push(b',');
    }
    if let Some(req_id) = req_id {
        out.extend_from_slice(b"\"req_id\":");
        out.extend_from_slice(req_id.as_json().as_bytes());
        out.push(b',');
    }
}

pub(crate) fn write_result(
    out: &mut Vec<u8>,
    method: Method,
    req_id: Option<&ReqId>,
    result: &impl Serialize,
) {
    open_answer(out, Some(method.name()), req_id);
    out.extend_from_slice(b"\"success\":true,\"result\":");
    write_serialized(out, result);
    out.push(b'}');
}

fn write_serialized(out: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(out, value)
        .expect("a Vec takes everything, and none of these types has a map or refuses a value");
}
