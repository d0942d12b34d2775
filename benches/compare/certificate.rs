//! A certificate for `wss://` that nobody trusts, made by openssl.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Makes one in this folder; `None` if openssl is not there or fails.
pub(crate) fn make(folder: &Path) -> Option<(PathBuf, PathBuf)> {
    std::fs::create_dir_all(folder).ok()?;
    let (certificate, key) = (folder.join("bench-cert.pem"), folder.join("bench-key.pem"));
    let status = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-nodes", "-days", "30", "-subj", "/CN=127.0.0.1"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success()).then_some((certificate, key))
}
