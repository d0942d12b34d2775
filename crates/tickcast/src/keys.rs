//! What is read from files of keys: the certificate that clients are shown, the keys of tokens.

use crate::clock;
use crate::settings::Resolved;
use anyhow::{Context, Result};
use std::sync::Arc;
use tickcast_gateway::{Auth, Certificates, Metrics};

/// What is read from files of keys, and read again when they change.
pub(crate) struct Keys {
    /// The pair that clients are shown, if they are.
    pub(crate) tls: Option<Arc<Certificates>>,
    pub(crate) auth: Arc<Auth>,
}

impl Keys {
    /// *Errors* name the file.
    pub(crate) fn load(settings: &Resolved) -> Result<Keys> {
        let pair = settings.tls.as_ref();
        let pair = pair.map(|(certificate, key)| Certificates::load(certificate, key));
        Ok(Keys { tls: pair.transpose().context("TLS")?, auth: settings.auth.load(clock::now)? })
    }

    /// On SIGHUP.
    pub(crate) fn reload(&self, metrics: &Metrics) {
        self.auth.reload_and_tell(metrics);
        self.tls.iter().for_each(|tls| tls.reload_and_tell(metrics));
    }

    /// Reloads what has changed, for ever.
    pub(crate) async fn watch(&self, metrics: &Metrics) {
        let tls = async {
            match &self.tls {
                Some(tls) => tls.watch(metrics).await,
                None => std::future::pending().await,
            }
        };
        tokio::join!(tls, self.auth.watch(metrics));
    }
}
