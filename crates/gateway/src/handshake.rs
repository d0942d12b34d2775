//! What a request head asks for, and whether it may have it: the server's side of the WebSocket
//! handshake (RFC 6455, section 4.2), server-sent events, or a matter for HTTP.
//!
//! Pure: bytes or headers in, a [`Route`] or a [`Refusal`] out. The door owns sockets and
//! deadlines.

use crate::auth::{token_of, without_token};
use crate::extensions::{Offer, choose_offer};
use crate::origin::Origins;
use crate::refusal::Refusal;
use crate::tokens::Secret;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use sha1::{Digest, Sha1};
use tickcast_wire::Encoding;

/// The longest request head that is read; beyond it 431.
pub const HEAD_BYTES_MAX: usize = 8 << 10;
/// How many headers a request may have; beyond it 431.
pub const HEADERS_MAX: usize = 64;

/// The path of WebSocket connections.
pub const WEBSOCKET_PATH: &str = "/v1/ws";
/// The path of server-sent events.
pub const SSE_PATH: &str = "/v1/sse";

/// The subprotocols on offer.
const SUBPROTOCOLS: [(&str, Encoding); Encoding::ALL.len()] =
    [("tickcast.v1.json", Encoding::Json), ("tickcast.v1.protobuf", Encoding::Protobuf)];

/// What a request head asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// A WebSocket connection, and everything about the handshake is right.
    WebSocket(Accept),
    /// Server-sent events.
    Sse(SseRequest),
    /// Anything else: hyper's to answer.
    Other,
}

impl Route {
    /// The page that may read the answer: its origin has been let in. Pages do not get to see how
    /// a WebSocket handshake is answered.
    pub(crate) fn origin(&self) -> Option<&str> {
        match self {
            Route::Sse(request) => request.origin.as_deref(),
            Route::WebSocket(_) | Route::Other => None,
        }
    }
}

/// How a WebSocket handshake is to be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accept {
    /// How messages will be written.
    pub encoding: Encoding,
    /// The subprotocol to name in the answer; none where none was offered.
    pub subprotocol: Option<&'static str>,
    /// The value of `Sec-WebSocket-Accept`.
    pub key: [u8; 28],
    /// The token that came with it.
    pub token: Option<Secret>,
    /// Messages may be compressed: the client offers `permessage-deflate` in a way that can be
    /// kept. Who does not want it makes it `false`.
    pub compress: bool,
    /// With that it has limited the window to the 15 bits that are used anyway, and is to be told.
    pub names_window: bool,
}

/// A request for server-sent events, its query not yet looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SseRequest {
    /// What follows `?`, as it was sent, without the token.
    pub query: String,
    /// The token that came with it.
    pub token: Option<Secret>,
    /// The header `Last-Event-ID`.
    pub last_event_id: Option<String>,
    /// The page's origin, which has been let in and is to be named in the answer.
    pub origin: Option<String>,
}

impl Accept {
    /// Writes the answer: 101 and its headers.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
              Sec-WebSocket-Accept: ",
        );
        out.extend_from_slice(&self.key);
        if let Some(subprotocol) = self.subprotocol {
            out.extend_from_slice(b"\r\nSec-WebSocket-Protocol: ");
            out.extend_from_slice(subprotocol.as_bytes());
        }
        if self.compress {
            out.extend_from_slice(
                b"\r\nSec-WebSocket-Extensions: permessage-deflate; \
                  server_no_context_takeover; client_no_context_takeover",
            );
            if self.names_window {
                out.extend_from_slice(b"; server_max_window_bits=15");
            }
        }
        out.extend_from_slice(b"\r\n\r\n");
    }
}

impl SseRequest {
    /// Writes the head of the answer; events follow until the connection ends.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n\
              Connection: close\r\nX-Accel-Buffering: no\r\nX-Content-Type-Options: nosniff\r\n\
              Vary: Origin\r\n",
        );
        if let Some(origin) = &self.origin {
            out.extend_from_slice(b"Access-Control-Allow-Origin: ");
            out.extend_from_slice(origin.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// Reads a request head: its route and its length; `None` while it is not whole.
///
/// *Errors:* what to answer before the connection is closed.
///
/// *Cost:* parses from the beginning each time; ask when something speaks for a whole head.
pub fn read_head(bytes: &[u8], origins: &Origins) -> Result<Option<(Route, usize)>, Refusal> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let length = match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) if length <= HEAD_BYTES_MAX => length,
        Ok(httparse::Status::Partial) if bytes.len() < HEAD_BYTES_MAX => return Ok(None),
        Ok(_) => return Err(Refusal::head_too_big("the request head is longer than 8 KiB")),
        Err(httparse::Error::TooManyHeaders) => {
            return Err(Refusal::head_too_big("the request has more than 64 headers"));
        }
        Err(_) => return Err(Refusal::bad_request("the request is not HTTP/1.1")),
    };
    if has_bare_lf(0, &bytes[..length]) {
        return Err(Refusal::bare_lf());
    }
    let method = request.method.unwrap_or_default();
    let is_http11 = request.version == Some(1);
    let target = request.path.unwrap_or_default();
    let headers = || request.headers.iter().map(|header| (header.name, header.value));
    let route = route(method, target, is_http11, headers(), origins)
        .map_err(|refusal| refusal.readable_by(origins.page(headers())))?;
    Ok(Some((route, length)))
}

/// Whether a line in `bytes`, which come after `before`, ends without a carriage return: a proxy
/// may see other lines there than we do (RFC 9112, section 2.2, leaves it to the reader).
pub(crate) fn has_bare_lf(before: u8, bytes: &[u8]) -> bool {
    let first = before != b'\r' && bytes.first() == Some(&b'\n');
    first || bytes.windows(2).any(|pair| pair[1] == b'\n' && pair[0] != b'\r')
}

/// The route of a request whose head has been parsed, here or by hyper. `target` is path and
/// query.
///
/// *Errors:* what to answer; the connection is to be closed then.
pub fn route<'a>(
    method: &str,
    target: &str,
    is_http11: bool,
    headers: impl Iterator<Item = (&'a str, &'a [u8])>,
    origins: &Origins,
) -> Result<Route, Refusal> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    if path != WEBSOCKET_PATH && path != SSE_PATH {
        return Ok(Route::Other);
    }
    if path == SSE_PATH && method == "OPTIONS" {
        return Ok(Route::Other); // A page asks whether it may.
    }
    if method != "GET" {
        return Err(Refusal::wrong_method(method));
    }
    let fields = Fields::gather(headers)?;
    if fields.host.is_none() && is_http11 {
        return Err(Refusal::bad_request("the request has no Host"));
    }
    if fields.has_body {
        return Err(Refusal::bad_request("a GET with a body is not understood here"));
    }
    if path == WEBSOCKET_PATH && !is_http11 {
        return Err(Refusal::bad_request("a WebSocket handshake is HTTP/1.1"));
    }
    if let Some(origin) = fields.origin
        && !origins.admits(origin, fields.host)
    {
        return Err(Refusal::origin(origin));
    }
    if path == SSE_PATH {
        return Ok(Route::Sse(SseRequest {
            query: without_token(query),
            token: token_of(fields.authorization, query)?,
            last_event_id: fields.last_event_id.map(str::to_owned),
            origin: fields.origin.map(str::to_owned),
        }));
    }
    fields.accept(query).map(Route::WebSocket)
}

/// The headers that matter here.
#[derive(Debug, Default)]
struct Fields<'a> {
    host: Option<&'a str>,
    origin: Option<&'a str>,
    authorization: Option<&'a str>,
    key: Option<&'a str>,
    version: Option<&'a str>,
    last_event_id: Option<&'a str>,
    /// `Upgrade` names `websocket`.
    is_upgrade: bool,
    /// `Connection` names `Upgrade`.
    is_connection_upgrade: bool,
    has_body: bool,
    has_subprotocols: bool,
    /// The first known one in the client's order.
    subprotocol: Option<(&'static str, Encoding)>,
    /// The first that can be kept.
    deflate: Option<Offer>,
}

impl<'a> Fields<'a> {
    fn gather(headers: impl Iterator<Item = (&'a str, &'a [u8])>) -> Result<Self, Refusal> {
        let mut fields = Fields::default();
        for (name, value) in headers {
            let is = |wanted: &str| name.eq_ignore_ascii_case(wanted);
            if is("host") {
                set_once(&mut fields.host, name, value)?;
                if !fields.host.is_some_and(is_host) {
                    return Err(Refusal::bad_request("Host is not a name or an address"));
                }
            } else if is("origin") {
                set_once(&mut fields.origin, name, value)?;
            } else if is("authorization") {
                set_once(&mut fields.authorization, name, value)?;
            } else if is("sec-websocket-key") {
                set_once(&mut fields.key, name, value)?;
            } else if is("sec-websocket-version") {
                set_once(&mut fields.version, name, value)?;
            } else if is("last-event-id") {
                set_once(&mut fields.last_event_id, name, value)?;
            } else if is("upgrade") {
                fields.is_upgrade |= tokens(name, value)?.any(is_token("websocket"));
            } else if is("connection") {
                fields.is_connection_upgrade |= tokens(name, value)?.any(is_token("upgrade"));
            } else if is("transfer-encoding") || (is("content-length") && value != b"0") {
                fields.has_body = true;
            } else if is("sec-websocket-extensions") {
                let offer = choose_offer(text(name, value)?).map_err(|_| {
                    Refusal::bad_request(format!("the header {name} is no list of extensions"))
                })?;
                fields.deflate = fields.deflate.or(offer);
            } else if is("sec-websocket-protocol") {
                for token in tokens(name, value)? {
                    fields.has_subprotocols = true;
                    let known = SUBPROTOCOLS.iter().find(|(name, _)| *name == token);
                    fields.subprotocol = fields.subprotocol.or(known.copied());
                }
            }
        }
        Ok(fields)
    }

    fn accept(&self, query: &str) -> Result<Accept, Refusal> {
        if !self.is_upgrade {
            return Err(Refusal::upgrade_required("the request does not ask to upgrade"));
        }
        if !self.is_connection_upgrade {
            return Err(Refusal::bad_request("Connection does not name Upgrade"));
        }
        match self.version {
            Some("13") => {}
            Some(_) => return Err(Refusal::upgrade_required("the only version is 13")),
            None => return Err(Refusal::upgrade_required("Sec-WebSocket-Version is missing")),
        }
        let key = self.key.ok_or(Refusal::bad_request("Sec-WebSocket-Key is missing"))?;
        let key = accept_key(key)
            .ok_or(Refusal::bad_request("Sec-WebSocket-Key is not 16 bytes in Base64"))?;
        if self.has_subprotocols && self.subprotocol.is_none() {
            let known = SUBPROTOCOLS.map(|(name, _)| name).join(", ");
            return Err(Refusal::subprotocol(&known));
        }
        let (subprotocol, encoding) = self.subprotocol.unzip();
        Ok(Accept {
            encoding: encoding.unwrap_or_default(),
            subprotocol,
            key,
            token: token_of(self.authorization, query)?,
            compress: self.deflate.is_some(),
            names_window: self.deflate.is_some_and(|offer| offer.names_window),
        })
    }
}

fn text<'a>(name: &str, value: &'a [u8]) -> Result<&'a str, Refusal> {
    std::str::from_utf8(value)
        .map(str::trim)
        .map_err(|_| Refusal::bad_request(format!("the header {name} is not text")))
}

/// Two values for one question are an attempt to have two readers see different things.
fn set_once<'a>(field: &mut Option<&'a str>, name: &str, value: &'a [u8]) -> Result<(), Refusal> {
    match field.replace(text(name, value)?) {
        None => Ok(()),
        Some(_) => Err(Refusal::bad_request(format!("the header {name} stands there twice"))),
    }
}

/// Whether nothing stands in it that cannot stand in a host and port (RFC 3986, section 3.2.2).
fn is_host(host: &str) -> bool {
    host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=[]:".contains(&byte))
}

fn tokens<'a>(name: &str, value: &'a [u8]) -> Result<impl Iterator<Item = &'a str>, Refusal> {
    let tokens = text(name, value)?.split(',').map(str::trim);
    Ok(tokens.filter(|token| !token.is_empty()))
}

fn is_token(wanted: &str) -> impl Fn(&str) -> bool {
    move |token| token.eq_ignore_ascii_case(wanted)
}

/// `Sec-WebSocket-Accept` of a `Sec-WebSocket-Key`, if that is Base64 of 16 bytes.
fn accept_key(key: &str) -> Option<[u8; 28]> {
    // Some clients make their keys of random letters; the last letter's spare bits say nothing.
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &base64::alphabet::STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_allow_trailing_bits(true)
            .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
    );
    let mut bytes = [0; 18];
    if key.len() != 24 || LENIENT.decode_slice(key, &mut bytes) != Ok(16) {
        return None;
    }
    let digest = Sha1::new()
        .chain_update(key.as_bytes())
        .chain_update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11")
        .finalize();
    let mut accept = [0; 28];
    STANDARD.encode_slice(digest, &mut accept).ok()?;
    Some(accept)
}
