//! The mock's HTTP side: upgrades, the venue's REST, and `/control` for trouble by hand.

use super::fault::FaultPlan;
use super::server::Shared;
use crate::driver::connect::accept_of;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Response, StatusCode, header};
use serde_json::json;
use tokio::sync::mpsc;

/// Answers one request; an upgrade is handed on with its path and query.
pub(super) fn answer(
    mut request: Request<Incoming>,
    shared: &Shared,
    upgrades: &mpsc::Sender<(OnUpgrade, String)>,
) -> Response<Full<Bytes>> {
    let target = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let key = request.headers().get(header::SEC_WEBSOCKET_KEY);
    if let Some(key) = key.and_then(|key| key.to_str().ok()).map(str::to_owned) {
        if shared.stage.lock().refuses_next_connection() {
            return refused();
        }
        // One request of a connection at most can be an upgrade.
        let _ = upgrades.try_send((hyper::upgrade::on(&mut request), target));
        return response(
            StatusCode::SWITCHING_PROTOCOLS,
            String::new(),
            &[
                (header::UPGRADE, "websocket"),
                (header::CONNECTION, "Upgrade"),
                (header::SEC_WEBSOCKET_ACCEPT, &accept_of(&key)),
            ],
        );
    }
    if request.uri().path() == "/control" {
        return control(request.method(), request.uri().query().unwrap_or_default(), shared);
    }
    match shared.stage.lock().get(&target) {
        Ok(Some(body)) => {
            response(StatusCode::OK, body, &[(header::CONTENT_TYPE, "application/json")])
        }
        Ok(None) => {
            response(StatusCode::NOT_FOUND, json!({ "msg": "no such thing" }).to_string(), &[])
        }
        Err(()) => refused(),
    }
}

fn refused() -> Response<Full<Bytes>> {
    let body = json!({ "code": -1003, "msg": "Too many requests" }).to_string();
    response(StatusCode::TOO_MANY_REQUESTS, body, &[(header::RETRY_AFTER, "1")])
}

/// `GET /control` says how far it is; `POST /control?fault=cut&after=500` makes trouble, without
/// `after` at the next message.
fn control(method: &Method, query: &str, shared: &Shared) -> Response<Full<Bytes>> {
    if method == Method::POST {
        let field = |name: &str| {
            query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
        };
        let text = match (field("fault"), field("after")) {
            (Some(fault), Some(after)) => format!("{fault}@{after}"),
            (fault, _) => fault.unwrap_or_default().to_owned(),
        };
        match text.parse::<FaultPlan>() {
            Ok(plan) => shared.inject(plan),
            Err(error) => {
                let body = json!({ "error": error.to_string() }).to_string();
                return response(StatusCode::BAD_REQUEST, body, &[]);
            }
        }
    }
    let status = shared.status();
    let fired: Vec<_> = status.fired.iter().map(|fault| fault.name()).collect();
    let body = json!({
        "played": status.played, "total": status.total, "fired": fired,
        "sessions": status.sessions, "sessions_total": status.sessions_total,
        "gets": status.gets, "pongs": status.pongs, "sent": status.sent,
    });
    response(StatusCode::OK, body.to_string(), &[(header::CONTENT_TYPE, "application/json")])
}

fn response(
    status: StatusCode,
    body: String,
    headers: &[(header::HeaderName, &str)],
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    for (name, value) in headers {
        // Values are our own words or base64.
        if let Ok(value) = header::HeaderValue::from_str(value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
