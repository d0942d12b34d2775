//! The way to an open WebSocket: DNS, TCP, TLS, handshake, each failing in its own words.
//!
//! Starts no task: what is dropped here is gone.

use crate::address::Address;
use crate::error::Error;
use base64::Engine as _;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::upgrade::Upgraded;
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use sha1::{Digest, Sha1};
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use tickcast_wire::Encoding;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;

const USER_AGENT: &str = concat!("tickcast-client/", env!("CARGO_PKG_VERSION"));

/// How much is read of the answer of a service that refuses.
const REFUSAL_BYTES_MAX: usize = 4096;

/// An open WebSocket's bytes.
pub(crate) type Line = TokioIo<Upgraded>;

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Whom to trust; cheap to clone.
#[derive(Clone)]
pub(crate) struct Trust {
    tls: TlsConnector,
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust").finish_non_exhaustive()
    }
}

impl Trust {
    /// The certificate authorities that browsers trust.
    pub(crate) fn public() -> Trust {
        Trust::of(rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() })
    }

    /// The certificates in this PEM and no others.
    pub(crate) fn pem(pem: &[u8]) -> Result<Trust, Error> {
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|error| Error::Trust(error.to_string()))?;
            roots.add(certificate).map_err(|error| Error::Trust(error.to_string()))?;
        }
        if roots.is_empty() {
            return Err(Error::Trust("the PEM holds no certificate".into()));
        }
        Ok(Trust::of(roots))
    }

    fn of(roots: rustls::RootCertStore) -> Trust {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring speaks TLS 1.2 and 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Trust { tls: TlsConnector::from(Arc::new(config)) }
    }
}

/// Opens a WebSocket that speaks `encoding` (RFC 6455, section 4.1).
pub(crate) async fn dial(
    address: &Address,
    trust: &Trust,
    encoding: Encoding,
) -> Result<Line, Error> {
    let stream = open_stream(address, trust).await?;
    upgrade(stream, address, encoding).await
}

/// Makes a WebSocket of an open stream.
pub(crate) async fn upgrade(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    address: &Address,
    encoding: Encoding,
) -> Result<Line, Error> {
    let handshake = |error: hyper::Error| Error::Handshake(error.to_string());
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(handshake)?;
    let mut connection = pin!(connection.with_upgrades());
    let key = base64::engine::general_purpose::STANDARD
        .encode(std::array::from_fn::<u8, 16, _>(|_| fastrand::u8(..)));
    let request = upgrade_request(address, encoding, &key)?;
    let answered = async {
        let mut response = sender.send_request(request).await.map_err(handshake)?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(refused(response).await);
        }
        check_upgrade(response.headers(), &key, encoding)?;
        hyper::upgrade::on(&mut response).await.map_err(handshake)
    };
    let mut answered = pin!(answered);
    tokio::select! {
        biased;
        upgraded = &mut answered => upgraded.map(TokioIo::new),
        // Ends when the upgrade is handed over, or with the connection.
        _ = &mut connection => answered.await.map(TokioIo::new),
    }
}

async fn open_stream(address: &Address, trust: &Trust) -> Result<Box<dyn Stream>, Error> {
    let tcp = open_tcp(&address.host, address.port).await?;
    if !address.is_tls {
        return Ok(Box::new(tcp));
    }
    let host = address.host.clone();
    let name = ServerName::try_from(host.clone())
        .map_err(|_| Error::Tls { host: host.clone(), said: "not a name to check".into() })?;
    match trust.tls.connect(name, tcp).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => Err(Error::Tls { host, said: error.to_string() }),
    }
}

async fn open_tcp(host: &str, port: u16) -> Result<TcpStream, Error> {
    let unknown = |said: String| Error::Dns { host: host.to_owned(), said };
    let addresses = lookup_host((host, port)).await.map_err(|error| unknown(error.to_string()))?;
    let mut last = unknown("the name has no address".to_owned());
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // Small requests must not wait for Nagle; a failure here harms nothing.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) => {
                last = Error::Tcp { host: host.to_owned(), port, said: error.to_string() };
            }
        }
    }
    Err(last)
}

fn upgrade_request(
    address: &Address,
    encoding: Encoding,
    key: &str,
) -> Result<Request<Empty<Bytes>>, Error> {
    Request::get(&address.target)
        .header(header::HOST, &address.authority)
        .header(header::USER_AGENT, USER_AGENT)
        .header(header::UPGRADE, "websocket")
        .header(header::CONNECTION, "Upgrade")
        .header(header::SEC_WEBSOCKET_KEY, key)
        .header(header::SEC_WEBSOCKET_VERSION, "13")
        .header(header::SEC_WEBSOCKET_PROTOCOL, encoding.subprotocol())
        .body(Empty::new())
        .map_err(|error| Error::Url { url: address.authority.clone(), said: error.to_string() })
}

async fn refused(response: Response<Incoming>) -> Error {
    let status = response.status().as_u16();
    let retry_after = response.headers().get(header::RETRY_AFTER);
    let retry_after = retry_after.and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let body = Limited::new(response.into_body(), REFUSAL_BYTES_MAX).collect().await;
    let body = body.map(|body| body.to_bytes()).unwrap_or_default();
    let said = String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
    Error::Refused { status, said, retry_after }
}

/// The checks of RFC 6455, section 4.1, on the service's answer.
fn check_upgrade(headers: &hyper::HeaderMap, key: &str, encoding: Encoding) -> Result<(), Error> {
    let is = |name: header::HeaderName, wanted: &str| {
        headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|token| token.trim().eq_ignore_ascii_case(wanted))
    };
    let header_is_wrong =
        |name| Error::Handshake(format!("the answer's {name} header is not that of an upgrade"));
    if !is(header::UPGRADE, "websocket") {
        return Err(header_is_wrong("Upgrade"));
    }
    if !is(header::CONNECTION, "upgrade") {
        return Err(header_is_wrong("Connection"));
    }
    let accepted = headers.get(header::SEC_WEBSOCKET_ACCEPT).map(header::HeaderValue::as_bytes);
    if accepted != Some(accept_of(key).as_bytes()) {
        return Err(header_is_wrong("Sec-WebSocket-Accept"));
    }
    if !is(header::SEC_WEBSOCKET_PROTOCOL, encoding.subprotocol()) {
        return Err(Error::Handshake(format!("{} is not spoken there", encoding.subprotocol())));
    }
    Ok(())
}

/// What a service answers to a key (RFC 6455, section 4.2.2).
fn accept_of(key: &str) -> String {
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
    fn an_answer_that_is_no_upgrade_is_named_by_its_header() {
        let mut headers = hyper::HeaderMap::new();
        for (name, value, missing) in [
            (header::HOST, "x", "Upgrade"),
            (header::UPGRADE, "WebSocket", "Connection"),
            (header::CONNECTION, "keep-alive, Upgrade", "Sec-WebSocket-Accept"),
        ] {
            headers.insert(name, value.parse().unwrap());
            let error = check_upgrade(&headers, "key", Encoding::Json).unwrap_err();
            assert!(error.to_string().contains(missing), "{error}");
        }
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept_of("key").parse().unwrap());
        let error = check_upgrade(&headers, "key", Encoding::Json).unwrap_err();
        assert!(error.to_string().contains("tickcast.v1.json is not spoken"), "{error}");
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, "tickcast.v1.json".parse().unwrap());
        assert_eq!(check_upgrade(&headers, "key", Encoding::Json), Ok(()));
    }

    #[test]
    fn a_pem_without_certificates_is_refused() {
        for pem in [&b""[..], b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            assert!(matches!(Trust::pem(pem), Err(Error::Trust(_))));
        }
    }

    #[tokio::test]
    async fn each_stage_fails_in_its_own_words() {
        // Taken as long as the test runs, and nobody listens there.
        let silent = tokio::net::TcpSocket::new_v4().unwrap();
        silent.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let free = silent.local_addr().unwrap();
        for (url, words) in [
            (format!("ws://{free}/"), "TCP: 127.0.0.1"),
            ("ws://no-such-host.invalid/".to_owned(), "DNS: no-such-host.invalid"),
        ] {
            let address = Address::parse(&url).unwrap();
            let error = dial(&address, &Trust::public(), Encoding::Json).await.unwrap_err();
            assert!(error.to_string().contains(words), "{url}: {error}");
        }
    }
}
