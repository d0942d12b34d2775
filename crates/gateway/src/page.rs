//! The dashboard's files, built into the binary: a gateway needs nothing beside it.

use crate::http_line::Answer;
use http_body_util::Full;
use hyper::Response;
use hyper::body::Bytes;
use hyper::header::{self, HeaderName, HeaderValue};

struct File {
    path: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
}

const FILES: [File; 4] = [
    File {
        path: "/",
        kind: "text/html; charset=utf-8",
        bytes: include_bytes!("../../../dashboard/index.html"),
    },
    File {
        path: "/dashboard.css",
        kind: "text/css; charset=utf-8",
        bytes: include_bytes!("../../../dashboard/dashboard.css"),
    },
    File {
        path: "/link.js",
        kind: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../../../dashboard/link.js"),
    },
    File {
        path: "/watchlist.js",
        kind: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../../../dashboard/watchlist.js"),
    },
];

/// The page loads its own files and talks to its own server (`ws:` for browsers that do not count
/// it as `'self'`); nobody frames it.
const POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                      connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// The file at this path, if it is one of the dashboard's.
pub(crate) fn page(path: &str) -> Option<Answer> {
    let file = FILES.iter().find(|file| file.path == path)?;
    let mut answer = Response::new(Full::new(Bytes::from_static(file.bytes)));
    let mut set = |name: HeaderName, value| {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    };
    set(header::CONTENT_TYPE, file.kind);
    set(header::CACHE_CONTROL, "no-cache");
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::CONTENT_SECURITY_POLICY, POLICY);
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_that_the_page_names_is_served() {
        for file in &FILES {
            let text = std::str::from_utf8(file.bytes).unwrap();
            for before in ["src=\"", "href=\"", "from \"./", "import \"./"] {
                for named in text.split(before).skip(1) {
                    let name = named.split('"').next().unwrap();
                    if !name.starts_with("data:") && !name.starts_with('#') {
                        assert!(page(&format!("/{name}")).is_some(), "{name} of {}", file.path);
                    }
                }
            }
        }
    }
}
