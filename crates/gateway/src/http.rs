//! The public HTTP routes beside the pushing ones: the dashboard, the list of instruments,
//! snapshots; and which web pages may read them (CORS).

use crate::auth::token_of;
use crate::door::Door;
use crate::door_client::FORWARDED;
use crate::handshake::{Route, SSE_PATH, route};
use crate::http_line::{Answer, Disposal};
use crate::identity::Who;
use crate::page::page;
use crate::refusal::{READABLE, Refusal};
use crate::rest::Asked;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Version};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

/// Where the answers come from. Queries are what follows `?`, still encoded.
pub trait Source: Send + Sync {
    /// Appends `{"instruments":[…]}`: those that `who` may see.
    ///
    /// *Errors:* what is wrong with the query.
    fn instruments(&self, query: &str, who: &Who, out: &mut Vec<u8>) -> Result<(), Refusal>;

    /// Appends the message that a subscriber would get, one item per symbol.
    ///
    /// *Errors:* what is wrong with the query, a symbol that is unknown or not for `who`.
    fn snapshot(&self, query: &str, who: &Who, out: &mut Vec<u8>) -> Result<(), Refusal>;

    /// Whether a shard will understand the query of a request for server-sent events.
    ///
    /// *Errors:* what is wrong with it, a symbol that is unknown or not for `who`.
    fn check_events(&self, query: &str, who: &Who) -> Result<(), Refusal>;
}

/// Whom a connection's requests are from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    pub(crate) peer: SocketAddr,
    /// That is a trusted proxy: each request says whom it is from, and is counted for itself.
    pub(crate) by_proxy: bool,
    /// The connection has asked before.
    pub(crate) again: bool,
}

impl Caller {
    /// Whom this request is from.
    fn client(self, door: &Door, headers: &HeaderMap) -> SocketAddr {
        if !self.by_proxy {
            return self.peer;
        }
        let forwarded = headers.get_all(FORWARDED).iter().map(HeaderValue::as_bytes);
        door.admission.proxies().client(self.peer, forwarded)
    }
}

/// Answers a request, or leaves it to the door.
pub(crate) async fn answer(
    door: Arc<Door>,
    caller: Caller,
    request: Request<Incoming>,
) -> Disposal {
    let door = &*door;
    let client = caller.client(door, request.headers());
    // A connection's first request was counted with it.
    let is_counted = caller.by_proxy || (caller.again && request.uri().path().starts_with("/v1/"));
    let found = read_route(door, &request).and_then(|route| match route {
        Route::Other if is_counted => {
            door.admission.knock(client.ip(), Instant::now())?;
            Ok(Route::Other)
        }
        route => Ok(route),
    });
    let method = method_label(request.method());
    let outcome = found.and_then(|route| respond(door, client, &request, route));
    // A body that came with it is nobody's business while its answer is made.
    let (head, body) = request.into_parts();
    let headers = &head.headers;
    let disposal = match outcome {
        Ok(Outcome::Make { asked, query, who }) => {
            let made = door.rest.make(door.source.clone(), asked, query, who).await;
            made.map(|body| Disposal::Answer(json(StatusCode::OK, body)))
        }
        Ok(Outcome::Ready(disposal)) => Ok(disposal),
        Err(refusal) => Err(refusal),
    };
    drop(body);
    let mut answer = match disposal {
        Ok(Disposal::Answer(answer)) => answer,
        // The door counts and answers it.
        Ok(leave) => return leave,
        Err(refusal) => {
            if refusal.status != 404 {
                door.note_refusal(client, &refusal);
            }
            refused(&refusal)
        }
    };
    door.metrics.http_requests.with_label_values(&[method, answer.status().as_str()]).inc();
    allow_origin(door, headers, answer.headers_mut());
    Disposal::Answer(answer)
}

/// The methods that become labels; others are the last.
pub(crate) const METHODS: [&str; 7] = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "other"];

fn method_label(method: &Method) -> &'static str {
    let [known @ .., other] = METHODS;
    known.into_iter().find(|name| *name == method.as_str()).unwrap_or(other)
}

fn read_route(door: &Door, request: &Request<Incoming>) -> Result<Route, Refusal> {
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    let is_http11 = request.version() == Version::HTTP_11;
    // An absolute target names a host of its own (RFC 9112, section 3.2.2); two that differ are an
    // attempt to have two readers see different things.
    if let Some(named) = request.uri().authority()
        && request.headers().get(header::HOST).is_some_and(|host| host != named.as_str())
    {
        return Err(Refusal::bad_request("Host is not the host of the request's target"));
    }
    let headers = request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    route(request.method().as_str(), target, is_http11, headers, &door.origins)
}

/// What comes of a request.
enum Outcome {
    Ready(Disposal),
    /// An answer that has to be made.
    Make {
        asked: Asked,
        query: String,
        who: Who,
    },
}

fn respond(
    door: &Door,
    client: SocketAddr,
    request: &Request<Incoming>,
    route: Route,
) -> Result<Outcome, Refusal> {
    if route != Route::Other {
        return Ok(Outcome::Ready(Disposal::Leave(route, client)));
    }
    if let Some(origin) = request.headers().get(header::ORIGIN)
        && admitted_origin(door, request.headers()).is_none()
    {
        return Err(Refusal::origin(&String::from_utf8_lossy(origin.as_bytes())));
    }
    let path = request.uri().path();
    let page = page(path, request.headers(), door.is_encrypted());
    // Of requests for events only those that ask whether they may come here.
    if page.is_none() && !["/v1/instruments", "/v1/snapshot", SSE_PATH].contains(&path) {
        return Err(Refusal::not_found("there is nothing at this path"));
    }
    match *request.method() {
        Method::GET | Method::HEAD => {}
        Method::OPTIONS => return Ok(Outcome::Ready(Disposal::Answer(preflight()))),
        ref method => return Err(Refusal::wrong_method(method.as_str())),
    }
    if let Some(page) = page {
        return Ok(Outcome::Ready(Disposal::Answer(page)));
    }
    let query = request.uri().query().unwrap_or("");
    let authorization = request.headers().get(header::AUTHORIZATION);
    let authorization = authorization.and_then(|value| value.to_str().ok());
    let who = door.auth.admit_request(token_of(authorization, query)?.as_ref())?;
    let asked = if path == "/v1/instruments" { Asked::Instruments } else { Asked::Snapshot };
    Ok(Outcome::Make { asked, query: query.to_owned(), who })
}

fn preflight() -> Answer {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    let headers = answer.headers_mut();
    set(headers, header::ALLOW, "GET, HEAD, OPTIONS");
    set(headers, header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD");
    set(headers, header::ACCESS_CONTROL_ALLOW_HEADERS, "authorization, last-event-id");
    set(headers, header::ACCESS_CONTROL_MAX_AGE, "600");
    answer
}

/// The page's origin, if it sent one and is let in.
fn admitted_origin<'a>(door: &Door, headers: &'a HeaderMap) -> Option<&'a HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let is_admitted = headers.get_all(header::ORIGIN).iter().count() == 1
        && origin.to_str().is_ok_and(|origin| door.origins.admits(origin, host));
    is_admitted.then_some(origin)
}

fn allow_origin(door: &Door, asked: &HeaderMap, headers: &mut HeaderMap) {
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = admitted_origin(door, asked) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        set(headers, header::ACCESS_CONTROL_EXPOSE_HEADERS, READABLE);
    }
}

/// A JSON answer that nobody keeps.
pub(crate) fn json(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    set(answer.headers_mut(), header::CONTENT_TYPE, "application/json");
    set(answer.headers_mut(), header::CACHE_CONTROL, "no-store");
    answer
}

/// The refusal as hyper sends it.
pub(crate) fn refused(refusal: &Refusal) -> Answer {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut answer = json(status, refusal.body());
    for (name, value) in refusal.headers {
        if let Ok(name) = HeaderName::try_from(*name) {
            answer.headers_mut().insert(name, HeaderValue::from_static(value));
        }
    }
    answer
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    headers.insert(name, HeaderValue::from_static(value));
}
