//! How the edge says no over HTTP: a status, a reason for the counter, a JSON body.

use crate::refusal_reason::Reason;
use std::borrow::Cow;

/// When to try again.
const SOON: &[(&str, &str)] = &[("Retry-After", "1")];
const LATER: &[(&str, &str)] = &[("Retry-After", "5")];

/// An answer that refuses a request. The body is `{"code":…,"error":"…"}`, see [`Refusal::code`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// For the label of `tickcast_gateway_refused_total`.
    pub reason: Reason,
    /// In words, with field and value where they help.
    pub error: Cow<'static, str>,
    /// Headers that the status calls for.
    pub headers: &'static [(&'static str, &'static str)],
    /// The origin of the page that asked, where that is let in: it may read why it is refused.
    pub reader: Option<Box<str>>,
}

/// Headers of a refusal that a page may read beside those that every page may (Fetch, section 3.3.3).
pub(crate) const READABLE: &str = "Retry-After, WWW-Authenticate";

impl Refusal {
    fn new(status: u16, reason: Reason, error: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal { status, reason, error: error.into(), headers: &[], reader: None }
    }

    /// 400: the request makes no sense.
    pub fn bad_request(error: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal::new(400, Reason::BadRequest, error)
    }

    /// 400: a line of the head ends without a carriage return.
    pub fn bare_lf() -> Refusal {
        Refusal::bad_request("a line of the request head does not end with CR LF")
    }

    /// 400: none of the offered subprotocols is known.
    pub fn subprotocol(known: &str) -> Refusal {
        let error = format!("Sec-WebSocket-Protocol: none of those offered is known: {known}");
        Refusal::new(400, Reason::Subprotocol, error)
    }

    /// 401: a token is needed, or the one that was shown is not good (RFC 6750, section 3).
    pub fn unauthorized(reason: Reason, error: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal { headers: &[("WWW-Authenticate", "Bearer")], ..Refusal::new(401, reason, error) }
    }

    /// 403: the token does not entitle to this.
    pub fn not_entitled(error: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal::new(403, Reason::Entitlement, error)
    }

    /// 403: the page's origin is not let in.
    pub fn origin(origin: &str) -> Refusal {
        let shown: String = origin.chars().take(100).collect();
        Refusal::new(403, Reason::Origin, format!("Origin: {shown:?} is not allowed"))
    }

    /// 404: nothing is there.
    pub fn not_found(error: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal::new(404, Reason::NotFound, error)
    }

    /// 405: only `GET` is understood.
    pub fn wrong_method(method: &str) -> Refusal {
        let shown: String = method.chars().take(20).collect();
        Refusal {
            headers: &[("Allow", "GET")],
            ..Refusal::new(405, Reason::Method, format!("{shown:?} is not allowed here"))
        }
    }

    /// 408: the head did not come in time.
    pub fn too_slow() -> Refusal {
        Refusal::new(408, Reason::Deadline, "the request head was not complete in time")
    }

    /// 413: the answer would be too large; ask for less.
    pub fn too_large(error: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal::new(413, Reason::TooLarge, error)
    }

    /// 426: only a WebSocket handshake of version 13 is understood.
    pub fn upgrade_required(error: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal {
            headers: &[("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")],
            ..Refusal::new(426, Reason::Upgrade, error)
        }
    }

    /// 429: the client's address has as many connections as it may have.
    pub fn too_many_connections() -> Refusal {
        let error = "there are as many connections as one address may have";
        Refusal { headers: LATER, ..Refusal::new(429, Reason::AddressConnections, error) }
    }

    /// 429: new connections of the client's address come too fast.
    pub fn too_fast() -> Refusal {
        let error = "new connections from one address come too fast";
        Refusal { headers: SOON, ..Refusal::new(429, Reason::AddressRate, error) }
    }

    /// 429: too many from there; come back later.
    pub fn too_many(reason: Reason, error: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal { headers: LATER, ..Refusal::new(429, reason, error) }
    }

    /// 431: the head is too long or has too many headers.
    pub fn head_too_big(error: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal::new(431, Reason::HeadTooBig, error)
    }

    /// 500: a bug of ours.
    pub fn internal(error: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal::new(500, Reason::Internal, error)
    }

    /// 503: no room; come back later.
    pub fn overloaded(reason: Reason, error: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal { headers: LATER, ..Refusal::new(503, reason, error) }
    }

    /// The same, for a page of this origin to read.
    pub(crate) fn readable_by(self, origin: Option<&str>) -> Refusal {
        Refusal { reader: origin.map(Into::into), ..self }
    }

    /// The number that serves in WebSocket answers and closes for the same trouble.
    pub const fn code(&self) -> u16 {
        // Unlike the others among the 4xx it says: come back later.
        if self.status == 429 { 4529 } else { 4000 + self.status }
    }

    /// The body.
    pub fn body(&self) -> Vec<u8> {
        let mut body = Vec::new();
        tickcast_wire::write_http_error(&mut body, self.code(), &self.error);
        body
    }

    /// Writes the whole answer; the connection is closed after it.
    pub fn write(&self, out: &mut Vec<u8>) {
        let body = self.body();
        let mut head = format!(
            "HTTP/1.1 {} {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Connection: {}\r\nCache-Control: no-store\r\n",
            self.status,
            hyper::StatusCode::from_u16(self.status)
                .ok()
                .and_then(|status| status.canonical_reason())
                .unwrap_or("Refused"),
            body.len(),
            // Who names protocols to upgrade to says so in Connection (RFC 9110, section 7.8).
            if self.status == 426 { "close, Upgrade" } else { "close" },
        );
        for (name, value) in self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(origin) = &self.reader {
            head.push_str(&format!(
                "Vary: Origin\r\nAccess-Control-Allow-Origin: {origin}\r\n\
                 Access-Control-Expose-Headers: {READABLE}\r\n"
            ));
        }
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(&body);
    }
}
