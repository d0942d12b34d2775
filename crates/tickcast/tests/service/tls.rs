//! Certificates that sign themselves, in files, and clients that trust them.

use super::place::own_ip;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

pub(crate) type Tls = StreamOwned<ClientConnection, TcpStream>;

pub(crate) const BOTH: &[&SupportedProtocolVersion] = &[&TLS12, &TLS13];

/// A certificate for this machine, and for the address that is this process's own, and its key.
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
    der: CertificateDer<'static>,
}

impl Pair {
    pub(crate) fn new() -> Pair {
        let own = own_ip().to_string();
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), own];
        let pair = rcgen::generate_simple_self_signed(names).expect("a pair");
        let (certificate, key) = (pair.cert.pem(), pair.signing_key.serialize_pem());
        Pair { certificate, key, der: pair.cert.der().clone() }
    }
}

/// A pair in two files in a folder of their own.
pub(crate) struct Files {
    pub(crate) pair: Pair,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Files {
    pub(crate) fn new() -> Files {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed); // Only a number.
        let name = format!("service-tls-{}-{number}", std::process::id());
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&folder).expect("a writable target folder");
        let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
        let pair = Pair::new();
        write(&certificate, &pair.certificate);
        write(&key, &pair.key);
        Files { pair, certificate, key }
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = self.certificate.parent().map(std::fs::remove_dir_all);
    }
}

pub(crate) fn write(path: &Path, text: &str) {
    std::fs::write(path, text).expect("a writable target folder");
}

/// A client that trusts this pair alone.
pub(crate) fn trusting(
    pair: &Pair,
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ClientConfig> {
    trusting_all(&[pair], versions)
}

/// A client that trusts each of these pairs.
pub(crate) fn trusting_all(
    pairs: &[&Pair],
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for pair in pairs {
        roots.add(pair.der.clone()).expect("a certificate");
    }
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(versions)
        .expect("ring speaks them")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

/// Encrypts what goes over a socket, beginning with the first byte.
pub(crate) fn client(socket: TcpStream, config: &Arc<ClientConfig>) -> Tls {
    let name = "localhost".try_into().expect("a name");
    let client = ClientConnection::new(config.clone(), name).expect("a configuration");
    StreamOwned::new(client, socket)
}
