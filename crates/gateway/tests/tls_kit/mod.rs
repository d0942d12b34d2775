//! Certificates that sign themselves, in files, and clients that trust them: rustls over a blocking
//! socket.
#![allow(dead_code)] // Each test binary uses what it needs.

use rustls::crypto::ring::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tickcast_gateway::Certificates;

pub(crate) type Tls = StreamOwned<ClientConnection, TcpStream>;

pub(crate) const BOTH: &[&SupportedProtocolVersion] = &[&TLS12, &TLS13];

/// Longer than anything here should take; only a failure waits for so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A certificate and its key.
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
    pub(crate) der: CertificateDer<'static>,
}

impl Pair {
    pub(crate) fn new() -> Pair {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let pair = rcgen::generate_simple_self_signed(names).unwrap();
        let (certificate, key) = (pair.cert.pem(), pair.signing_key.serialize_pem());
        Pair { certificate, key, der: pair.cert.der().clone() }
    }
}

/// Two files in a folder of their own.
pub(crate) struct Files {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Files {
    pub(crate) fn of(pair: &Pair) -> Files {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed); // Only a number.
        let name = format!("tls-{}-{number}", std::process::id());
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let files =
            Files { certificate: folder.join("certificate.pem"), key: folder.join("key.pem") };
        files.write(pair);
        files
    }

    pub(crate) fn write(&self, pair: &Pair) {
        std::fs::write(&self.certificate, &pair.certificate).unwrap();
        std::fs::write(&self.key, &pair.key).unwrap();
    }

    pub(crate) fn load(&self) -> Arc<Certificates> {
        Certificates::load(&self.certificate, &self.key).unwrap()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(self.certificate.parent().unwrap());
    }
}

/// A client that trusts this pair alone.
pub(crate) fn trusting(
    pair: &Pair,
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(pair.der.clone()).unwrap();
    ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// Connects; the handshake happens with the first byte.
pub(crate) fn connect(address: SocketAddr, config: &Arc<ClientConfig>) -> Tls {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let name = "localhost".try_into().unwrap();
    StreamOwned::new(ClientConnection::new(config.clone(), name).unwrap(), socket)
}
