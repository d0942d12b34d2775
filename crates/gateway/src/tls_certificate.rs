//! The certificate and key that clients are shown: read from files, checked, replaced while
//! connections live.
//!
//! *Invariant:* what is shown was whole and matched its key when it was read. A pair that does not
//! is refused, and the one before stays.

use crate::file_watch::FileWatch;
use crate::metrics::Metrics;
use crate::tls_expiry::not_after;
use parking_lot::RwLock;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, ServerConfig};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The only protocol that is spoken inside TLS.
const PROTOCOL: &[u8] = b"http/1.1";

/// Why a certificate and its key cannot be used. Names the file.
#[derive(Debug, thiserror::Error)]
pub enum PairError {
    /// The file cannot be read, or is not PEM.
    #[error("{}: {error}", file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// Why.
        error: pem::Error,
    },
    /// There is nothing of the kind in the file.
    #[error("{}: holds no {what} in PEM", file.display())]
    Empty {
        /// Which.
        file: PathBuf,
        /// What was looked for.
        what: &'static str,
    },
    /// The key is of a kind that is not supported.
    #[error("{}: no usable private key: {error}", file.display())]
    Key {
        /// Which file.
        file: PathBuf,
        /// Why.
        error: rustls::Error,
    },
    /// The certificate is damaged, or belongs to another key.
    #[error("{}: not a certificate of the key in {}: {error}", file.display(), key.display())]
    Certificate {
        /// The certificate's file.
        file: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        error: rustls::Error,
    },
}

/// The pair in use and where it comes from.
pub struct Certificates {
    certificate: PathBuf,
    key: PathBuf,
    current: RwLock<Arc<CertifiedKey>>,
    files: FileWatch,
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates")
            .field("certificate", &self.certificate)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl Certificates {
    /// Reads a PEM file with the certificate and those that vouch for it, and one with its key.
    ///
    /// *Errors* name the file and what is wrong with it.
    pub fn load(certificate: &Path, key: &Path) -> Result<Arc<Certificates>, PairError> {
        let files = FileWatch::new(vec![certificate.into(), key.into()]);
        let current = RwLock::new(Arc::new(read_pair(certificate, key)?));
        let (certificate, key) = (certificate.into(), key.into());
        Ok(Arc::new(Certificates { certificate, key, current, files }))
    }

    /// Reads the files again; new connections are shown what is in them now.
    ///
    /// *Errors* as [`Certificates::load`]; then nothing has changed.
    pub fn reload(&self) -> Result<(), PairError> {
        self.files.note();
        let pair = Arc::new(read_pair(&self.certificate, &self.key)?);
        *self.current.write() = pair;
        Ok(())
    }

    /// [`Certificates::reload`], told to the log and the metrics.
    pub fn reload_and_tell(&self, metrics: &Metrics) {
        let result = match self.reload() {
            Ok(()) => {
                let certificate = self.certificate.display();
                tracing::info!(%certificate, expires = self.expires(), "certificate reloaded");
                "ok"
            }
            Err(error) => {
                tracing::error!(%error, "certificate not reloaded, the old one stays");
                "failed"
            }
        };
        metrics.certificate_reloads.with_label_values(&[result]).inc();
        self.tell_expiry(metrics);
    }

    /// Sets the metric of the pair in use.
    pub fn tell_expiry(&self, metrics: &Metrics) {
        metrics.certificate_expiry.set(self.expires().unwrap_or(0));
    }

    /// When the certificate in use ends, in seconds since 1970; `None` where it does not say so
    /// in a form that is known.
    pub fn expires(&self) -> Option<i64> {
        not_after(self.current.read().cert.first()?)
    }

    /// Reloads whenever the files have changed, for ever.
    pub async fn watch(&self, metrics: &Metrics) {
        self.files.watch(|| self.reload_and_tell(metrics)).await;
    }

    /// How the server speaks TLS: 1.2 and 1.3, `http/1.1` inside, no early data; a client that
    /// comes back resumes by a ticket, for which nothing is kept here.
    ///
    /// *Errors:* no randomness for the tickets' key.
    pub fn config(self: &Arc<Certificates>) -> io::Result<Arc<ServerConfig>> {
        let provider = Arc::new(ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring speaks TLS 1.2 and 1.3")
            .with_no_client_auth()
            .with_cert_resolver(self.clone());
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = ring::Ticketer::new().map_err(io::Error::other)?;
        Ok(Arc::new(config))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.read().clone())
    }
}

fn read_pair(certificate: &Path, key: &Path) -> Result<CertifiedKey, PairError> {
    let broken = |file: &Path| {
        let file = file.to_owned();
        move |error| PairError::File { file, error }
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(broken(certificate))?;
    if chain.is_empty() {
        return Err(PairError::Empty { file: certificate.into(), what: "certificate" });
    }
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| match error {
        pem::Error::NoItemsFound => PairError::Empty { file: key.into(), what: "private key" },
        error => broken(key)(error),
    })?;
    let secret = ring::sign::any_supported_type(&secret)
        .map_err(|error| PairError::Key { file: key.into(), error })?;
    let pair = CertifiedKey::new(chain, secret);
    match pair.keys_match() {
        Ok(()) => Ok(pair),
        Err(error) => Err(PairError::Certificate {
            file: certificate.into(),
            key: key.into(),
            error: match error {
                // What rustls says of a damaged certificate is no sentence.
                rustls::Error::InvalidCertificate(CertificateError::BadEncoding) => {
                    rustls::Error::General("the certificate is damaged".into())
                }
                error => error,
            },
        }),
    }
}
