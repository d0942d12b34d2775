//! From a URL to a byte stream or an open WebSocket: DNS, TCP, TLS, handshake, each failing in
//! its own words.

use base64::Engine as _;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::upgrade::Upgraded;
use hyper::{Request, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use sha1::{Digest, Sha1};
use std::fmt;
use std::sync::Arc;
use tickcast_market::Nanos;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;

/// How we introduce ourselves to venues.
pub(crate) const USER_AGENT: &str = concat!("tickcast/", env!("CARGO_PKG_VERSION"));

/// Why there is no connection. The text names the stage; whoever reports it adds venue and URL.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("the URL is not usable: {0}")]
    Url(String),
    #[error("DNS: {host} cannot be resolved: {source}")]
    Dns { host: String, source: std::io::Error },
    #[error("TCP: {host}:{port} cannot be reached: {source}")]
    Tcp { host: String, port: u16, source: std::io::Error },
    #[error("TLS with {host}: {source}")]
    Tls { host: String, source: std::io::Error },
    #[error("handshake: {0}")]
    Http(#[from] hyper::Error),
    #[error("handshake: the venue answered {status}: {said}")]
    Refused { status: StatusCode, said: String, retry_after: Option<Nanos> },
    #[error("handshake: the answer's {0} header is not that of a WebSocket upgrade")]
    Header(&'static str),
    #[error("no connection within {0:?}")]
    Timeout(std::time::Duration),
}

impl ConnectError {
    /// How long the venue asked us to stay away.
    pub(crate) fn retry_after(&self) -> Option<Nanos> {
        match self {
            ConnectError::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// A stream of bytes, with or without TLS.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// An open WebSocket, not yet split in halves.
pub(crate) type Socket = TokioIo<Upgraded>;

/// Opens connections; cheap to clone.
#[derive(Clone)]
pub(crate) struct Connector {
    tls: TlsConnector,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}

impl Connector {
    /// Trusts the certificate authorities that browsers trust.
    pub(crate) fn new() -> Connector {
        let roots = webpki_roots::TLS_SERVER_ROOTS.to_vec();
        Connector::trusting(rustls::RootCertStore { roots })
    }

    fn trusting(roots: rustls::RootCertStore) -> Connector {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring speaks TLS 1.2 and 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Connector { tls: TlsConnector::from(Arc::new(config)) }
    }

    /// A byte stream to the URL's host: TLS for `wss` and `https`, plain for `ws` and `http`.
    pub(crate) async fn open(&self, uri: &Uri) -> Result<Box<dyn Stream>, ConnectError> {
        let (tls, default_port) = match uri.scheme_str() {
            Some("wss" | "https") => (true, 443),
            Some("ws" | "http") => (false, 80),
            _ => return Err(ConnectError::Url(format!("{uri} has no scheme that is spoken here"))),
        };
        let host = uri
            .host()
            .map(|host| host.trim_start_matches('[').trim_end_matches(']').to_owned())
            .ok_or_else(|| ConnectError::Url(format!("{uri} names no host")))?;
        let port = uri.port_u16().unwrap_or(default_port);
        let tcp = open_tcp(&host, port).await?;
        if !tls {
            return Ok(Box::new(tcp));
        }
        let name = ServerName::try_from(host.clone())
            .map_err(|_| ConnectError::Url(format!("{host} is no name that TLS can check")))?;
        let stream = self.tls.connect(name, tcp).await;
        match stream {
            Ok(stream) => Ok(Box::new(stream)),
            Err(source) => Err(ConnectError::Tls { host, source }),
        }
    }

    /// A WebSocket at `url` (RFC 6455, section 4.1).
    pub(crate) async fn open_socket(&self, url: &str) -> Result<Socket, ConnectError> {
        let uri: Uri = url.parse().map_err(|error| ConnectError::Url(format!("{url}: {error}")))?;
        let stream = self.open(&uri).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        // Ends by itself when the upgrade is handed over or the sender is dropped.
        tokio::spawn(connection.with_upgrades());
        let key = base64::engine::general_purpose::STANDARD
            .encode(std::array::from_fn::<u8, 16, _>(|_| fastrand::u8(..)));
        let request = Request::get(uri.path_and_query().map_or("/", |path| path.as_str()))
            .header(header::HOST, uri.authority().map_or("", |host| host.as_str()))
            .header(header::USER_AGENT, USER_AGENT)
            .header(header::UPGRADE, "websocket")
            .header(header::CONNECTION, "Upgrade")
            .header(header::SEC_WEBSOCKET_KEY, &key)
            .header(header::SEC_WEBSOCKET_VERSION, "13")
            .body(Empty::<Bytes>::new())
            .map_err(|error| ConnectError::Url(format!("{url}: {error}")))?;
        let mut response = sender.send_request(request).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(refused(response).await);
        }
        check_upgrade(response.headers(), &key)?;
        Ok(TokioIo::new(hyper::upgrade::on(&mut response).await?))
    }
}

async fn open_tcp(host: &str, port: u16) -> Result<TcpStream, ConnectError> {
    let addresses: Vec<_> = lookup_host((host, port))
        .await
        .map_err(|source| ConnectError::Dns { host: host.into(), source })?
        .collect();
    let mut last = std::io::Error::other("the name has no address");
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // Small requests must not wait for Nagle; a failure here harms nothing.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(ConnectError::Tcp { host: host.into(), port, source: last })
}

async fn refused(response: hyper::Response<hyper::body::Incoming>) -> ConnectError {
    let status = response.status();
    let retry_after = crate::driver::rest::retry_after(response.headers());
    let body = Limited::new(response.into_body(), 4096).collect().await;
    let body = body.map(|body| body.to_bytes()).unwrap_or_default();
    let said = String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
    ConnectError::Refused { status, said, retry_after }
}

/// The checks of RFC 6455, section 4.1, on the server's answer.
fn check_upgrade(headers: &hyper::HeaderMap, key: &str) -> Result<(), ConnectError> {
    let is = |name: header::HeaderName, wanted: &str| {
        headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|token| token.trim().eq_ignore_ascii_case(wanted))
    };
    if !is(header::UPGRADE, "websocket") {
        return Err(ConnectError::Header("Upgrade"));
    }
    if !is(header::CONNECTION, "upgrade") {
        return Err(ConnectError::Header("Connection"));
    }
    let accepted = headers.get(header::SEC_WEBSOCKET_ACCEPT).map(header::HeaderValue::as_bytes);
    if accepted != Some(accept_of(key).as_bytes()) {
        return Err(ConnectError::Header("Sec-WebSocket-Accept"));
    }
    Ok(())
}

/// What a server answers to a key (RFC 6455, section 4.2.2).
pub(crate) fn accept_of(key: &str) -> String {
    let mut hash = Sha1::new();
    hash.update(key);
    hash.update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    base64::engine::general_purpose::STANDARD.encode(hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accept_header_is_that_of_the_rfc_example() {
        assert_eq!(accept_of("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_stream_url_with_at_signs_and_slashes_in_its_query_keeps_its_host() {
        let uri: Uri =
            "wss://stream.binance.com:9443/stream?streams=a@depth@100ms/b@trade".parse().unwrap();
        assert_eq!((uri.host(), uri.port_u16()), (Some("stream.binance.com"), Some(9443)));
        assert_eq!(uri.path_and_query().unwrap().as_str(), "/stream?streams=a@depth@100ms/b@trade");
    }

    #[test]
    fn an_answer_that_is_no_upgrade_is_named_by_its_header() {
        let mut headers = hyper::HeaderMap::new();
        for (name, value, missing) in [
            (header::HOST, "x", "Upgrade"),
            (header::UPGRADE, "WebSocket", "Connection"),
            (header::CONNECTION, "keep-alive, Upgrade", "Sec-WebSocket-Accept"),
        ] {
            headers.insert(name, value.parse().unwrap());
            let error = check_upgrade(&headers, "key").unwrap_err();
            assert!(error.to_string().contains(missing), "{error}");
        }
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept_of("key").parse().unwrap());
        assert!(check_upgrade(&headers, "key").is_ok());
    }

    #[tokio::test]
    async fn each_stage_fails_in_its_own_words() {
        let connector = Connector::new();
        // Taken as long as the test runs, and nobody listens there.
        let silent = tokio::net::TcpSocket::new_v4().unwrap();
        silent.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let free = silent.local_addr().unwrap();
        for (url, words) in [
            ("ftp://127.0.0.1/".to_owned(), "scheme"),
            ("not a url".to_owned(), "not usable"),
            (format!("ws://{free}/"), "TCP: 127.0.0.1"),
            ("ws://no-such-host.invalid/".to_owned(), "DNS: no-such-host.invalid"),
        ] {
            let error = connector.open_socket(&url).await.unwrap_err();
            assert!(error.to_string().contains(words), "{url}: {error}");
        }
    }

    /// A server on loopback with a certificate for `localhost` that signs itself; it upgrades
    /// one request.
    async fn tls_server() -> std::net::SocketAddr {
        let certificate = include_bytes!("../../tests/driver_fixtures/localhost.cert.der").to_vec();
        let key = include_bytes!("../../tests/driver_fixtures/localhost.key.der").to_vec();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.into()], key.try_into().unwrap())
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            // A client that does not trust us ends here.
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let service = hyper::service::service_fn(|request: Request<hyper::body::Incoming>| {
                let key = request.headers()[header::SEC_WEBSOCKET_KEY].to_str().unwrap();
                let answer = hyper::Response::builder()
                    .status(StatusCode::SWITCHING_PROTOCOLS)
                    .header(header::UPGRADE, "websocket")
                    .header(header::CONNECTION, "upgrade")
                    .header(header::SEC_WEBSOCKET_ACCEPT, accept_of(key))
                    .body(Empty::<Bytes>::new());
                std::future::ready(answer)
            });
            let server = hyper::server::conn::http1::Builder::new();
            let _ = server.serve_connection(TokioIo::new(stream), service).with_upgrades().await;
        });
        address
    }

    #[tokio::test]
    async fn a_certificate_is_checked_against_trust_and_name() {
        let mut roots = rustls::RootCertStore::empty();
        let certificate = include_bytes!("../../tests/driver_fixtures/localhost.cert.der").to_vec();
        roots.add(certificate.into()).unwrap();
        let trusting = Connector::trusting(roots);
        let port = tls_server().await.port();
        trusting.open_socket(&format!("wss://localhost:{port}/")).await.unwrap();
        for (connector, host) in [(Connector::new(), "localhost"), (trusting, "127.0.0.1")] {
            let port = tls_server().await.port();
            let error = connector.open_socket(&format!("wss://{host}:{port}/")).await.unwrap_err();
            let words = error.to_string();
            assert!(words.starts_with("TLS with") && words.contains("certificate"), "{words}");
        }
    }
}
