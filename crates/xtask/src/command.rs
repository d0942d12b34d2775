//! Starting other programs: cargo itself, and the service for `cargo xtask run`.

use crate::javascript::{self, Part};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

/// The workspace's root, from where this file was compiled.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("crates/xtask lies two folders below the root").to_path_buf()
}

/// A program that runs in the workspace's root and reads nothing from the terminal.
///
/// `cargo run` tells us about our own package in the environment. Build scripts of some
/// dependencies watch these variables, so that handing them on would build those again with
/// every change between `cargo test` and `cargo xtask test`.
pub(crate) fn program(name: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(name);
    command.current_dir(root()).stdin(Stdio::null());
    for (key, _) in std::env::vars_os() {
        let name = key.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&key);
        }
    }
    command
}

/// The cargo that runs us.
pub(crate) fn cargo() -> Command {
    program(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Where a program of that name is, if it is on the path.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// Runs it to its end and says whether it succeeded.
///
/// # Errors
/// When it could not be started.
pub(crate) fn succeeds(command: &mut Command) -> Result<bool> {
    let status = command
        .status()
        .with_context(|| format!("cannot start {}", command.get_program().display()))?;
    Ok(status.success())
}

/// Its standard output as text.
///
/// # Errors
/// When it could not be started, failed, or wrote something that is not UTF-8.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let name = format!("{command:?}");
    let output = command.output().with_context(|| format!("cannot start {name}"))?;
    anyhow::ensure!(
        output.status.success(),
        "{name} failed:\n{}",
        String::from_utf8_lossy(&output.stderr).trim_end()
    );
    String::from_utf8(output.stdout).with_context(|| format!("{name} wrote no UTF-8"))
}

/// Whether this run must not skip anything.
pub(crate) fn is_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true" || value == "1")
}

/// `cargo xtask run`: Ctrl-C reaches the service too, since it is in our process group.
///
/// # Errors
/// When the service could not be built or started, or failed.
pub(crate) fn serve(args: &[String]) -> Result<ExitCode> {
    let args = match args.first() {
        Some(first) if first == "--" => &args[1..],
        _ => args,
    };
    if let Err(error) = javascript::build() {
        let instead = match javascript::PARTS.iter().all(Part::is_there) {
            true => "the one that was built before is used",
            false => "the service will run without it",
        };
        eprintln!("warning: the dashboard is not built: {error:#}; {instead}");
    }
    let mut command = cargo();
    command.args(["run", "--release", "--package", "tickcast", "--", "serve"]).args(args);
    println!("building; the dashboard will be at {}", dashboard_url(args));
    let status = command.status().context("cannot start cargo")?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        // The service's own exit code: 1 failed, 2 wrong usage.
        ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
    })
}

/// Where `serve` with these arguments will answer.
fn dashboard_url(args: &[String]) -> String {
    let value_after = |at: usize| args.get(at + 1).map(String::as_str);
    let listen = args.iter().enumerate().find_map(|(at, arg)| match arg.as_str() {
        "--listen" => value_after(at),
        other => other.strip_prefix("--listen="),
    });
    let scheme = match args.iter().any(|arg| arg.starts_with("--tls-cert")) {
        true => "https",
        false => "http",
    };
    format!("{scheme}://{}/", listen.unwrap_or("127.0.0.1:8080"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_follows_the_listen_argument() {
        let check = |args: &[&str], expect: &str| {
            let args: Vec<String> = args.iter().map(ToString::to_string).collect();
            assert_eq!(dashboard_url(&args), expect, "{args:?}");
        };
        check(&[], "http://127.0.0.1:8080/");
        check(&["--listen", "127.0.0.1:9"], "http://127.0.0.1:9/");
        check(&["--shards", "2", "--listen=[::1]:80"], "http://[::1]:80/");
        check(&["--tls-cert", "a.pem"], "https://127.0.0.1:8080/");
    }
}
