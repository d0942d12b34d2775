//! Settings of the bus between a publisher and gateways on other hosts.

use anyhow::{Result, bail, ensure};
use serde::Deserialize;
use std::path::PathBuf;

/// Where the bus is; absent means "not said here".
#[derive(Clone, Debug, Default, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct BusSettings {
    /// NATS server, such as `nats://10.0.0.5:4222` or `tls://…`; several with commas
    #[arg(id = "bus", long = "bus", env = "TICKCAST_BUS", value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Credentials for NATS: a file as nsc writes it, or one with an nkey seed
    #[arg(id = "bus_creds", long = "bus-creds", env = "TICKCAST_BUS_CREDS", value_name = "FILE")]
    pub(crate) creds: Option<PathBuf>,
    /// PEM file with certificates to trust for tls:// besides the system's
    #[arg(id = "bus_ca", long = "bus-ca", env = "TICKCAST_BUS_CA", value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
}

/// Where the bus is and who comes, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BusPlace {
    pub(crate) url: String,
    pub(crate) creds: Option<PathBuf>,
    pub(crate) ca: Option<PathBuf>,
}

impl BusSettings {
    /// These settings, and where they say nothing those of `under`.
    pub(crate) fn over(self, under: BusSettings) -> BusSettings {
        BusSettings {
            url: self.url.or(under.url),
            creds: self.creds.or(under.creds),
            ca: self.ca.or(under.ca),
        }
    }

    /// Checks them; `None` where there is no bus. *Errors* name the setting and the value.
    pub(crate) fn resolve(self) -> Result<Option<BusPlace>> {
        let Some(url) = self.url.filter(|url| !url.trim().is_empty()) else {
            ensure!(self.creds.is_none(), "bus.creds: without bus.url");
            ensure!(self.ca.is_none(), "bus.ca: without bus.url");
            return Ok(None);
        };
        check_urls("bus.url", &url)?;
        Ok(Some(BusPlace { url, creds: self.creds, ca: self.ca }))
    }
}

/// Checks addresses of NATS servers. *Errors* name the setting and the value.
pub(crate) fn check_urls(name: &str, urls: &str) -> Result<()> {
    for url in urls.split(',').map(str::trim) {
        let host = url.strip_prefix("nats://").or_else(|| url.strip_prefix("tls://"));
        if host.is_none_or(str::is_empty) {
            bail!("{name}: {url:?} is not an address such as nats://10.0.0.5:4222");
        }
    }
    Ok(())
}
