//! The dashboard's files, built into the binary: a gateway needs nothing beside it.
//!
//! `build.rs` makes the table from what Vite has built. A binary that was built without it says so
//! at `/`, and is complete otherwise.

use crate::http_line::Answer;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

/// A file as it is served.
struct File {
    path: &'static str,
    kind: &'static str,
    /// Its entity tag, in quotes; the compressed form's is the same with `-gzip`.
    tag: &'static str,
    /// Its name goes with its content.
    is_forever: bool,
    bytes: &'static [u8],
    gzip: Option<&'static [u8]>,
}

/// The dashboard; none where the binary was built without it.
const FILES: &[File] = include!(concat!(env!("OUT_DIR"), "/dashboard.rs"));

/// What stands at `/` instead of a dashboard.
const WITHOUT: File = File {
    path: "/",
    kind: "text/html; charset=utf-8",
    tag: "\"without\"",
    is_forever: false,
    bytes: include_bytes!("page_without.html"),
    gzip: None,
};

/// Whether this binary was built with the dashboard in it.
pub fn has_dashboard() -> bool {
    !FILES.is_empty()
}

/// The answer to a request for this path, if there is a page at it.
///
/// `encrypted` says whether the connection is; before a proxy that ends TLS it may not be.
pub(crate) fn page(path: &str, asked: &HeaderMap, encrypted: bool) -> Option<Answer> {
    let files = if has_dashboard() { FILES } else { std::slice::from_ref(&WITHOUT) };
    let file = files.iter().find(|file| file.path == path)?;
    Some(serve(file, asked, encrypted))
}

fn serve(file: &File, asked: &HeaderMap, encrypted: bool) -> Answer {
    let gzip = file.gzip.filter(|_| takes_gzip(asked));
    let tag = match gzip {
        Some(_) => format!("{}-gzip\"", file.tag.trim_end_matches('"')),
        None => file.tag.to_owned(),
    };
    let is_known = knows(asked, &tag);
    let body = if is_known { &[] } else { gzip.unwrap_or(file.bytes) };
    let mut answer = Response::new(Full::new(Bytes::from_static(body)));
    if is_known {
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = answer.headers_mut();
    let mut set = |name: HeaderName, value: &'static str| {
        headers.insert(name, HeaderValue::from_static(value));
    };
    if !is_known {
        set(header::CONTENT_TYPE, file.kind);
    }
    if gzip.is_some() && !is_known {
        set(header::CONTENT_ENCODING, "gzip");
    }
    let kept = if file.is_forever { "public, max-age=31536000, immutable" } else { "no-cache" };
    set(header::CACHE_CONTROL, kept);
    set(header::VARY, "Accept-Encoding");
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::REFERRER_POLICY, "no-referrer");
    let host = asked.get(header::HOST).and_then(|host| host.to_str().ok());
    let policy = HeaderValue::try_from(policy(host, encrypted));
    headers.insert(header::CONTENT_SECURITY_POLICY, policy.expect("a host of plain letters"));
    headers.insert(header::ETAG, HeaderValue::try_from(tag).expect("digits in quotes"));
    answer
}

/// What the page may do: load its own files, start its own workers and talk to its own server.
///
/// Some browsers do not count `ws:` as `'self'`, so the server is named as its client names it; a
/// proxy before it may be where TLS ends.
fn policy(host: Option<&str>, encrypted: bool) -> String {
    let host = host.filter(|host| is_plain(host));
    let sockets = match (host, encrypted) {
        (Some(host), true) => format!(" wss://{host}"),
        (Some(host), false) => format!(" ws://{host} wss://{host}"),
        (None, _) => String::new(),
    };
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
         font-src 'self'; connect-src 'self'{sockets}; worker-src 'self'; manifest-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

/// Whether a host and port have only letters that mean nothing in a policy.
fn is_plain(host: &str) -> bool {
    !host.is_empty()
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_[]:".contains(&byte))
}

/// Whether the client takes gzip (RFC 9110, section 12.5.3).
fn takes_gzip(asked: &HeaderMap) -> bool {
    let named = asked.get_all(header::ACCEPT_ENCODING).iter();
    named.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).any(|one| {
        let (coding, weight) = one.split_once(';').unwrap_or((one, "q=1"));
        let weight = weight.trim().trim_start_matches("q=").parse::<f32>();
        matches!(coding.trim(), "gzip" | "*") && weight.is_ok_and(|weight| weight > 0.0)
    })
}

/// Whether the client says that it has this already (RFC 9110, section 13.1.2).
fn knows(asked: &HeaderMap, tag: &str) -> bool {
    let named = asked.get_all(header::IF_NONE_MATCH).iter();
    named
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|one| matches!(one.trim().trim_start_matches("W/"), all if all == "*" || all == tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: File = File {
        path: "/",
        kind: "text/html; charset=utf-8",
        tag: "\"0123\"",
        is_forever: false,
        bytes: b"plain",
        gzip: Some(b"short"),
    };

    fn ask(file: &File, headers: &[(HeaderName, &'static str)]) -> Answer {
        let pairs = headers.iter();
        let asked = pairs.map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
        serve(file, &asked.collect(), false)
    }

    fn header(answer: &Answer, name: HeaderName) -> &str {
        answer.headers().get(name).map_or("", |value| value.to_str().unwrap())
    }

    #[test]
    fn every_file_that_the_page_names_is_served() {
        let Some(index) = FILES.iter().find(|file| file.path == "/") else {
            return assert!(page("/", &HeaderMap::new(), false).is_some(), "a page without");
        };
        let text = std::str::from_utf8(index.bytes).unwrap();
        for before in ["src=\"", "href=\""] {
            for named in text.split(before).skip(1) {
                let name = named.split('"').next().unwrap().trim_start_matches("./");
                let path = format!("/{}", name.trim_start_matches('/'));
                // What leads elsewhere by a click is not loaded.
                let leads_away = before == "href=\"" && name.starts_with("https://");
                if !name.starts_with("data:") && !name.starts_with('#') && !leads_away {
                    assert!(page(&path, &HeaderMap::new(), false).is_some(), "{name}");
                }
            }
        }
    }

    #[test]
    fn only_what_is_named_by_its_digest_is_kept_without_asking() {
        assert_eq!(header(&ask(&INDEX, &[]), header::CACHE_CONTROL), "no-cache");
        let asset = File { is_forever: true, ..INDEX };
        let kept = "public, max-age=31536000, immutable";
        assert_eq!(header(&ask(&asset, &[]), header::CACHE_CONTROL), kept);
        for file in FILES {
            assert_eq!(file.is_forever, file.path.starts_with("/assets/"), "{}", file.path);
        }
    }

    #[test]
    fn gzip_goes_to_those_who_take_it() {
        let check = |accept: &'static str, coding: &str, tag: &str| {
            let answer = ask(&INDEX, &[(header::ACCEPT_ENCODING, accept)]);
            assert_eq!(header(&answer, header::CONTENT_ENCODING), coding, "{accept}");
            assert_eq!(header(&answer, header::ETAG), tag, "{accept}");
            assert_eq!(header(&answer, header::VARY), "Accept-Encoding");
        };
        check("gzip, deflate, br", "gzip", "\"0123-gzip\"");
        check("br;q=1.0, gzip;q=0.5", "gzip", "\"0123-gzip\"");
        check("*", "gzip", "\"0123-gzip\"");
        check("gzip;q=0", "", "\"0123\"");
        check("br", "", "\"0123\"");
        check("gzip;q=much", "", "\"0123\"");
    }

    #[test]
    fn who_has_it_is_not_sent_it_again() {
        let check = |asked: &[(HeaderName, &'static str)], status: u16| {
            assert_eq!(ask(&INDEX, asked).status(), status, "{asked:?}");
        };
        check(&[], 200);
        check(&[(header::IF_NONE_MATCH, "\"0123\"")], 304);
        check(&[(header::IF_NONE_MATCH, "\"9\", W/\"0123\"")], 304);
        check(&[(header::IF_NONE_MATCH, "*")], 304);
        check(&[(header::IF_NONE_MATCH, "\"0124\"")], 200);
        let gzip = (header::ACCEPT_ENCODING, "gzip");
        check(&[gzip.clone(), (header::IF_NONE_MATCH, "\"0123\"")], 200);
        check(&[gzip, (header::IF_NONE_MATCH, "\"0123-gzip\"")], 304);
    }

    #[test]
    fn the_policy_names_the_server_and_nothing_else() {
        let connect = |host: Option<&str>, encrypted: bool| {
            let policy = policy(host, encrypted);
            assert!(policy.starts_with("default-src 'none'; script-src 'self'; "), "{policy}");
            policy.split("; ").find(|part| part.starts_with("connect-src")).unwrap().to_owned()
        };
        let both = "connect-src 'self' ws://a.example:80 wss://a.example:80";
        assert_eq!(connect(Some("a.example:80"), false), both);
        assert_eq!(connect(Some("[::1]:80"), true), "connect-src 'self' wss://[::1]:80");
        assert_eq!(connect(None, false), "connect-src 'self'");
        for host in ["a; script-src *", "a *", "*", "a,b", ""] {
            assert_eq!(connect(Some(host), false), "connect-src 'self'", "{host:?}");
        }
    }
}
