//! Requests of clients: what they may ask for, and the reading of their JSON.
//!
//! The options of a subscription themselves are read in `params.rs`, from JSON and from a URL
//! alike. A `null` counts as absent wherever something may be absent. Whatever is wrong is named
//! with field and value; an unknown field is wrong too, since a misspelt option that does nothing
//! would be found much later.

use crate::channel::{Channel, Depth, Encoding, FieldSet, View};
use crate::code::ErrorCode;
use crate::object::Object;
use crate::params::{Params, Value};
use crate::pattern::Pattern;
use crate::protobuf;
use crate::text::shown;
use serde_json::value::RawValue;
use std::collections::HashMap;
use tickcast_market::{Interval, Since};

/// The longest `req_id` that is accepted, in bytes of JSON text.
pub const REQ_ID_BYTES_MAX: usize = 128;

/// The longest token that is accepted, in bytes.
pub const TOKEN_BYTES_MAX: usize = 4096;

/// What a client calls a request, to find the answer to it: an integer or a string, given back
/// as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReqId(Box<str>);

impl ReqId {
    /// The number as a `req_id`.
    pub fn from_integer(integer: i64) -> ReqId {
        ReqId(integer.to_string().into())
    }

    /// As JSON text.
    pub fn as_json(&self) -> &str {
        &self.0
    }

    /// A `req_id` by its JSON text.
    pub(crate) fn from_json(json: String) -> ReqId {
        ReqId(json.into())
    }

    /// Takes an integer or a string that is not over-long, else says what is wrong with it.
    pub(crate) fn from_raw(raw: &RawValue) -> Result<ReqId, String> {
        let text = raw.get();
        let is_integer = text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
        if !is_integer && !text.starts_with('"') {
            return Err(format!("req_id: {} is not an integer or a string", shown(text)));
        }
        if text.len() > REQ_ID_BYTES_MAX {
            return Err(format!("req_id: {} is longer than {REQ_ID_BYTES_MAX} bytes", shown(text)));
        }
        Ok(ReqId(text.into()))
    }
}

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// Begin or change a subscription.
    Subscribe,
    /// End a subscription.
    Unsubscribe,
    /// Say who is there, or renew a token.
    Auth,
    /// Ask for a pong.
    Ping,
    /// Ask for the figures of this connection.
    Stats,
}

impl Method {
    /// All methods.
    pub const ALL: [Method; 5] =
        [Method::Subscribe, Method::Unsubscribe, Method::Auth, Method::Ping, Method::Stats];

    /// Its name on the wire and in metric labels. The answer to `ping` is called `pong`.
    pub const fn name(self) -> &'static str {
        match self {
            Method::Subscribe => "subscribe",
            Method::Unsubscribe => "unsubscribe",
            Method::Auth => "auth",
            Method::Ping => "ping",
            Method::Stats => "stats",
        }
    }

    /// The method of that name.
    pub fn from_name(name: &str) -> Option<Method> {
        Method::ALL.into_iter().find(|method| method.name() == name)
    }
}

/// What to subscribe to, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Subscribe {
    /// The channel with its depth (default 10) or interval (default `1m`).
    pub view: View,
    /// At least one.
    pub symbols: Vec<Pattern>,
    /// Updates a second and symbol, above 0; `None` is real time.
    pub max_rate: Option<f64>,
    /// The ticker fields; every field where none were named and on other channels.
    pub fields: FieldSet,
    /// Whether `trades` begins with those that are kept (the default) or with none.
    pub snapshot: bool,
    /// What the client claims to hold, by full name.
    pub since: HashMap<String, Since>,
}

impl Subscribe {
    /// A subscription with every option at its default.
    pub fn new(view: View, symbols: Vec<Pattern>) -> Subscribe {
        Subscribe {
            view,
            symbols,
            max_rate: None,
            fields: FieldSet::ALL,
            snapshot: true,
            since: HashMap::new(),
        }
    }
}

/// Which subscription to end: a channel (and for `bars` an interval) with names or globs as they
/// were subscribed to. Other options of a subscribe are accepted and mean nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsubscribe {
    /// The channel; the depth of a book does not matter, the interval of bars does (default `1m`).
    pub view: View,
    /// At least one.
    pub symbols: Vec<Pattern>,
}

/// A client's request.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)] // `req_id` is what the answer repeats, everywhere.
pub enum Request {
    /// Begin or change a subscription.
    Subscribe { req_id: Option<ReqId>, params: Subscribe },
    /// End a subscription.
    Unsubscribe { req_id: Option<ReqId>, params: Unsubscribe },
    /// Say who is there, or renew a token. Never log it.
    Auth { req_id: Option<ReqId>, token: String },
    /// Ask for a pong.
    Ping { req_id: Option<ReqId> },
    /// Ask for the figures of this connection.
    Stats { req_id: Option<ReqId> },
}

/// A request that is refused, with all that its answer needs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct RequestError {
    /// What was asked for, where that could be read.
    pub method: Option<Method>,
    /// What the client called it, where that could be read.
    pub req_id: Option<ReqId>,
    /// For everything in this crate [`ErrorCode::BadRequest`].
    pub code: ErrorCode,
    /// In words, with field and value (shortened to 64 characters).
    pub error: String,
}

impl RequestError {
    pub(crate) fn new(error: String) -> RequestError {
        RequestError { method: None, req_id: None, code: ErrorCode::BadRequest, error }
    }
}

impl Request {
    /// Reads a message of that encoding.
    ///
    /// *Errors:* [`RequestError`], with method and `req_id` as far as they could be read; the same
    /// in both encodings. *Cost:* that of [`Request::parse`]; protobuf is written as JSON before.
    pub fn read(encoding: Encoding, message: &[u8]) -> Result<Request, RequestError> {
        if encoding == Encoding::Json {
            return Request::parse(message);
        }
        let mut json = Vec::with_capacity(2 * message.len());
        let written = protobuf::write_json_request(&mut json, message);
        let request = Request::parse(&json);
        let Err(fault) = written else { return request };
        let (method, req_id) = match request {
            Ok(request) => (Some(request.method()), request.req_id().cloned()),
            Err(error) => (error.method, error.req_id),
        };
        let error = format!("message: not a tickcast.v1.Request: {fault}");
        Err(RequestError { method, req_id, ..RequestError::new(error) })
    }

    /// Reads a text message.
    ///
    /// *Errors:* [`RequestError`], with method and `req_id` as far as they could be read. *Cost:*
    /// linear; each level of nesting is looked at once more.
    pub fn parse(message: &[u8]) -> Result<Request, RequestError> {
        let object = parse_object(message).map_err(RequestError::new)?;
        // The answer to a wrong request still has to find its way: these two come first.
        let (req_id, wrong) = match object.get("req_id").map(ReqId::from_raw).transpose() {
            Ok(req_id) => (req_id, None),
            Err(error) => (None, Some(error)),
        };
        let method = read_method(&object);
        let refused = |error| RequestError {
            method: method.as_ref().ok().copied(),
            req_id: req_id.clone(),
            ..RequestError::new(error)
        };
        if let Some(error) = wrong {
            return Err(refused(error));
        }
        let method = method.clone().map_err(refused)?;
        read_request(&object, method, req_id.clone()).map_err(refused)
    }

    /// What is asked for.
    pub const fn method(&self) -> Method {
        match self {
            Request::Subscribe { .. } => Method::Subscribe,
            Request::Unsubscribe { .. } => Method::Unsubscribe,
            Request::Auth { .. } => Method::Auth,
            Request::Ping { .. } => Method::Ping,
            Request::Stats { .. } => Method::Stats,
        }
    }

    /// What the client calls it.
    pub const fn req_id(&self) -> Option<&ReqId> {
        match self {
            Request::Subscribe { req_id, .. }
            | Request::Unsubscribe { req_id, .. }
            | Request::Auth { req_id, .. }
            | Request::Ping { req_id }
            | Request::Stats { req_id } => req_id.as_ref(),
        }
    }
}

fn parse_object(message: &[u8]) -> Result<Object<'_>, String> {
    let text = std::str::from_utf8(message)
        .map_err(|error| format!("message: not UTF-8 at byte {}", error.valid_up_to()))?;
    serde_json::from_str(text).map_err(|error| match serde_json::from_str::<&RawValue>(text) {
        Ok(value) if error.is_data() => {
            format!("message: {} is not an object", shown(value.get()))
        }
        Ok(_) => format!("message: not JSON: {error}"),
        Err(error) => format!("message: not JSON: {error}"),
    })
}

fn read_method(object: &Object<'_>) -> Result<Method, String> {
    const NAMES: &str = "subscribe, unsubscribe, auth, ping, stats";
    let Some(raw) = object.get("method") else {
        return Err(format!("method: missing; one of {NAMES}"));
    };
    Value::Json(raw)
        .string()
        .and_then(|name| Method::from_name(&name))
        .ok_or_else(|| format!("method: {} is not one of {NAMES}", shown(raw.get())))
}

fn read_request(
    object: &Object<'_>,
    method: Method,
    req_id: Option<ReqId>,
) -> Result<Request, String> {
    for (at, (key, _)) in object.0.iter().enumerate() {
        if !matches!(&**key, "method" | "req_id" | "params") {
            return Err(format!("{}: unknown; a request has method, req_id, params", shown(key)));
        }
        if object.0[..at].iter().any(|(earlier, _)| earlier == key) {
            return Err(format!("{key}: given twice"));
        }
    }
    let params = match object.get("params") {
        Some(raw) => Some(
            serde_json::from_str::<Object<'_>>(raw.get())
                .map_err(|_| format!("params: {} is not an object", shown(raw.get())))?,
        ),
        None => None,
    };
    let needed = || params.as_ref().ok_or_else(|| "params: missing".to_owned());
    Ok(match method {
        Method::Subscribe => Request::Subscribe { req_id, params: read_params(needed()?)? },
        Method::Unsubscribe => {
            let Subscribe { view, symbols, .. } = read_params(needed()?)?;
            Request::Unsubscribe { req_id, params: Unsubscribe { view, symbols } }
        }
        Method::Auth => Request::Auth { req_id, token: read_token(needed()?)? },
        Method::Ping | Method::Stats => {
            if let Some((key, _)) = params.as_ref().and_then(|params| params.0.first()) {
                return Err(format!(
                    "params.{}: unknown; {} takes none",
                    shown(key),
                    method.name()
                ));
            }
            if method == Method::Ping {
                Request::Ping { req_id }
            } else {
                Request::Stats { req_id }
            }
        }
    })
}

fn read_params(object: &Object<'_>) -> Result<Subscribe, String> {
    let mut params = Params::from_json();
    for (key, raw) in &object.0 {
        params.set(key, &Value::Json(raw))?;
    }
    params.finish()
}

fn read_token(object: &Object<'_>) -> Result<String, String> {
    if let Some((key, _)) = object.0.iter().find(|(key, _)| key != "token") {
        return Err(format!("params.{}: unknown; auth takes token", shown(key)));
    }
    // The value is not repeated, as a token is nobody else's business, nor a log's.
    let raw = object.get("token").ok_or("params.token: missing")?;
    let value = Value::Json(raw);
    let token = value.string().ok_or("params.token: not a string")?;
    match token.len() {
        0 => Err("params.token: empty".to_owned()),
        1..=TOKEN_BYTES_MAX => Ok(token.into_owned()),
        _ => Err(format!("params.token: longer than {TOKEN_BYTES_MAX} bytes")),
    }
}

/// The view of a channel with a depth and an interval, of which it takes the one it has use for.
pub(crate) fn view_of(channel: Channel, depth: Depth, interval: Interval) -> View {
    match channel {
        Channel::Status => View::Status,
        Channel::Ticker => View::Ticker,
        Channel::Trades => View::Trades,
        Channel::Book => View::Book(depth),
        Channel::Bars => View::Bars(interval),
    }
}
