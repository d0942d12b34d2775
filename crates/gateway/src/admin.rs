//! The admin listener: metrics, is it alive, is it ready, who is connected. For operators; never
//! on the public port.

use crate::door_stream::Stream;
use crate::http::{json, refused};
use crate::http_line::{Answer, Disposal, serve_http};
use crate::limits::{ACCEPT_PAUSE, ADMIN_CONNECTIONS_MAX, DoorLimits};
use crate::refusal::Refusal;
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, StatusCode};
use prometheus::{Encoder, Registry, TextEncoder};
use serde::Serialize;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

/// The counter that `/clients` shows beside those who were not refused.
const REFUSED: &str = "tickcast_gateway_refused_total";

/// How a feed is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FeedReport {
    /// Its name on the command line.
    pub feed: String,
    /// Whether it has ever given data.
    pub has_data: bool,
    /// Whether its data is live at this moment.
    pub is_live: bool,
    /// What keeps it from that, where it is known; names no secrets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// What the service's own witness says of a venue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CanaryReport {
    /// The venue whose streams it follows.
    pub venue: String,
    /// It is subscribed, and what was published has come.
    pub up: bool,
    /// Of the last minute's ages (venue message received -> client has it) in microseconds; none
    /// where nothing was published.
    pub p99_us: Option<u64>,
    /// Messages that broke the client's rule or had another checksum, since the start.
    pub violations: u64,
    /// How often what it held was compared with the service's own state, and was the same.
    pub compared: u64,
    /// Whether a violation came within the last minute.
    pub violated_lately: bool,
}

/// Whether the service can serve; the binary knows.
pub trait Readiness: Send + Sync {
    /// Every feed.
    fn feeds(&self) -> Vec<FeedReport>;

    /// Whether it is about to stop.
    fn is_draining(&self) -> bool;

    /// What the canary says, venue by venue; nothing where there is none.
    fn canaries(&self) -> Vec<CanaryReport> {
        Vec::new()
    }
}

/// Who is connected; the shards know.
pub trait Clients: Send + Sync {
    /// Appends a JSON array: who is connected, how far behind, granted rates, why the last ones
    /// were closed. May wait for the shards' turns; called where waiting is allowed.
    fn write_json(&self, out: &mut Vec<u8>);
}

/// Nobody is connected: a process without shards.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoClients;

impl Clients for NoClients {
    fn write_json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"[]");
    }
}

/// What the admin listener shows.
pub struct Admin {
    registry: Registry,
    readiness: Arc<dyn Readiness>,
    clients: Arc<dyn Clients>,
    leaving: watch::Sender<bool>,
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admin").finish_non_exhaustive()
    }
}

impl Admin {
    /// Shows this registry and asks these two.
    pub fn new(
        registry: Registry,
        readiness: Arc<dyn Readiness>,
        clients: Arc<dyn Clients>,
    ) -> Arc<Admin> {
        Arc::new(Admin { registry, readiness, clients, leaving: watch::Sender::new(false) })
    }

    /// Stops accepting and ends connections that are kept alive: another process answers from now
    /// on, with figures of its own.
    pub fn leave(&self) {
        self.leaving.send_replace(true);
    }

    /// Answers until [`Admin::leave`], or until the task is aborted: operators watch a drain to
    /// its end.
    pub async fn serve(self: &Arc<Self>, listener: TcpListener) {
        let places = Arc::new(Semaphore::new(ADMIN_CONNECTIONS_MAX));
        let limits = DoorLimits::default();
        let mut leaving = self.leaving.subscribe();
        loop {
            // It never fails: nobody closes the semaphore.
            let Ok(place) = places.clone().acquire_owned().await else { return };
            let accepted = tokio::select! {
                biased;
                _ = leaving.wait_for(|is_leaving| *is_leaving) => return,
                accepted = listener.accept() => accepted,
            };
            let Ok((socket, _)) = accepted else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let (admin, limits) = (self.clone(), limits.clone());
            tokio::spawn(async move {
                let _place = place;
                let draining = admin.leaving.subscribe();
                let service = |request: Request<Incoming>| {
                    let admin = admin.clone();
                    async move { Disposal::Answer(admin.answer(&request).await) }
                };
                serve_http(Stream::plain(socket), Vec::new(), &limits, draining, service).await;
            });
        }
    }

    async fn answer(&self, request: &Request<Incoming>) -> Answer {
        let path = request.uri().path();
        if !["/metrics", "/livez", "/readyz", "/clients"].contains(&path) {
            return refused(&Refusal::not_found("there is nothing at this path"));
        }
        if ![Method::GET, Method::HEAD].contains(request.method()) {
            return refused(&Refusal::wrong_method(request.method().as_str()));
        }
        match path {
            "/metrics" => self.metrics(),
            "/livez" => json(StatusCode::OK, "{\"alive\":true}"),
            "/readyz" => self.ready(has_flag(request.uri().query().unwrap_or(""), "strict")),
            _ => self.clients().await,
        }
    }

    fn metrics(&self) -> Answer {
        let mut body = Vec::new();
        let encoder = TextEncoder::new();
        if let Err(error) = encoder.encode(&self.registry.gather(), &mut body) {
            return refused(&Refusal::internal(format!("metrics: {error}")));
        }
        let mut answer = json(StatusCode::OK, body);
        let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
        answer.headers_mut().insert(header::CONTENT_TYPE, kind);
        answer
    }

    /// Ready when each feed has given data; strictly, when each one's data is live, and the canary
    /// gets it as promised.
    fn ready(&self, is_strict: bool) -> Answer {
        let (feeds, draining) = (self.readiness.feeds(), self.readiness.is_draining());
        let canaries = self.readiness.canaries();
        let mut why = why_not(draining, &feeds, is_strict);
        if is_strict {
            why.extend(canaries.iter().flat_map(why_no_canary));
        }
        let ready = why.is_empty();
        let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let body = serde_json::json!({
            "ready": ready, "draining": draining, "why": why, "feeds": feeds, "canaries": canaries,
        });
        json(status, body.to_string())
    }

    /// How many were refused, by reason, since the start.
    fn refused_by_reason(&self) -> serde_json::Value {
        let families = self.registry.gather();
        let refused = families.iter().filter(|family| family.name() == REFUSED);
        let counts = refused.flat_map(|family| family.get_metric()).filter_map(|metric| {
            let reason = metric.get_label().first().map_or("", |label| label.value());
            // A count: it has no fraction and is far below 2^53.
            let count = metric.get_counter().get_value() as u64;
            (count > 0).then(|| (reason.to_owned(), count.into()))
        });
        serde_json::Value::Object(counts.collect())
    }

    async fn clients(&self) -> Answer {
        let clients = self.clients.clone();
        let counts = self.refused_by_reason();
        let written = tokio::task::spawn_blocking(move || {
            let mut out = b"{\"clients\":".to_vec();
            clients.write_json(&mut out);
            out.extend_from_slice(b",\"refused\":");
            out.extend_from_slice(counts.to_string().as_bytes());
            out.push(b'}');
            out
        });
        match written.await {
            Ok(body) => json(StatusCode::OK, body),
            Err(error) => refused(&Refusal::internal(format!("clients: {error}"))),
        }
    }
}

/// What keeps the service from being ready, in words.
fn why_not(draining: bool, feeds: &[FeedReport], is_strict: bool) -> Vec<String> {
    let mut why = Vec::new();
    if draining {
        why.push("draining".to_owned());
    }
    for FeedReport { feed, has_data, is_live, why: known } in feeds {
        let unknown = match (has_data, is_live) {
            (false, _) => "no data yet",
            (true, false) if is_strict => "not live",
            _ => continue,
        };
        why.push(format!("{feed}: {}", known.as_deref().unwrap_or(unknown)));
    }
    why
}

/// What the canary has against a venue's streams.
fn why_no_canary(canary: &CanaryReport) -> impl Iterator<Item = String> {
    let CanaryReport { venue, up, violated_lately, .. } = canary;
    let down = (!up).then(|| format!("{venue}: the canary does not get what is published"));
    let violated =
        violated_lately.then(|| format!("{venue}: the canary saw a broken promise lately"));
    down.into_iter().chain(violated)
}

/// Whether `flag` stands in the query, alone or as `flag=true` or `flag=1`.
fn has_flag(query: &str, flag: &str) -> bool {
    query.split('&').any(|pair| match pair.split_once('=') {
        None => pair == flag,
        Some((name, value)) => name == flag && matches!(value, "true" | "1" | ""),
    })
}
