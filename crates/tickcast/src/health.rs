//! `tickcast health`: asks a running service how it is, over its admin address.
//!
//! For health checks in containers, which have neither a shell nor curl in them. Whoever can ask
//! HTTP by itself asks `/readyz` and `/livez`.

use crate::output;
use crate::settings::{Settings, time};
use anyhow::{Context, Result, bail, ensure};
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// An answer is a few hundred bytes for each feed.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Arguments of `tickcast health`.
#[derive(Debug, clap::Args)]
pub(crate) struct HealthArgs {
    /// The service's address for metrics and health [default: 127.0.0.1:8081]
    #[arg(long, env = "TICKCAST_ADMIN", value_name = "ADDR")]
    admin: Option<SocketAddr>,
    /// Ask whether each feed's data is live too
    #[arg(long, conflicts_with = "live")]
    strict: bool,
    /// Ask only whether the process answers
    #[arg(long)]
    live: bool,
    /// How long the answer may take
    #[arg(long, default_value = "2s", value_name = "TIME")]
    within: String,
    /// The service's TOML file, which may say where its admin address is
    #[arg(long, env = "TICKCAST_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

/// What is asked, of whom.
#[derive(Debug)]
pub(crate) struct Question {
    address: SocketAddr,
    path: &'static str,
    within: Duration,
}

/// Checks the arguments. *Errors* name the argument and the value, or the file.
pub(crate) fn prepare(args: &HealthArgs) -> Result<Question> {
    let file = match &args.config {
        Some(path) => Settings::from_file(path)?,
        None => Settings::default(),
    };
    let within = time("within", Some(&args.within), "2s")?;
    ensure!(!within.is_zero(), "within: {:?} is no time at all", args.within);
    Ok(Question {
        address: reachable(args.admin.or(file.admin).unwrap_or(Settings::ADMIN)),
        path: match (args.live, args.strict) {
            (true, _) => "/livez",
            (false, true) => "/readyz?strict",
            (false, false) => "/readyz",
        },
        within,
    })
}

/// Prints what the service says of itself.
///
/// *Errors* say who was asked for what, and what is wrong.
pub(crate) fn ask(question: &Question) -> Result<()> {
    let Question { address, path, within } = question;
    let answer = fetch(*address, path, Instant::now() + *within)
        .with_context(|| format!("http://{address}{path} within {within:?}"))?;
    let Some((head, body)) = answer.split_once("\r\n\r\n") else {
        bail!("http://{address}{path}: not an answer of HTTP");
    };
    let status = head.split(' ').nth(1).unwrap_or_default();
    ensure!(status == "200", "http://{address}{path}: {status} {body}");
    output::answer(body)
}

/// Who listens everywhere is asked here.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

/// The whole answer.
fn fetch(address: SocketAddr, path: &str, deadline: Instant) -> Result<String> {
    // A time of zero is refused by the socket's calls.
    let left = || deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
    let mut stream = TcpStream::connect_timeout(&address, left())?;
    stream.set_write_timeout(Some(left()))?;
    // In one piece: who answers the first line and closes must not meet a second one.
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let (mut answer, mut some) = (Vec::new(), [0; 4096]);
    loop {
        ensure!(Instant::now() < deadline, "no whole answer in time");
        stream.set_read_timeout(Some(left()))?;
        match stream.read(&mut some) {
            Ok(0) => break,
            Ok(count) => answer.extend_from_slice(&some[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                bail!("no whole answer in time");
            }
            Err(error) => return Err(error.into()),
        }
        ensure!(answer.len() <= ANSWER_BYTES_MAX, "more than {ANSWER_BYTES_MAX} bytes");
    }
    String::from_utf8(answer).context("the answer is not text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_everywhere_is_asked_over_loopback() {
        let check = |address: &str, expect: &str| {
            assert_eq!(reachable(address.parse().unwrap()).to_string(), expect);
        };
        check("0.0.0.0:8081", "127.0.0.1:8081");
        check("[::]:8081", "[::1]:8081");
        check("10.0.0.7:9", "10.0.0.7:9");
    }
}
