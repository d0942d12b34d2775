//! The few plain requests of a run: instruments, snapshots, metrics. Blocking, one connection each.

use crate::error::{Error, Result};
use crate::job::Trust;
use crate::target::Target;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Nothing is waited for longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// An answer longer than this is refused.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// GETs a path from the service itself: status and body.
///
/// # Errors
/// What cannot be reached, or does not answer in HTTP/1.1 with a length or an end.
pub(crate) fn get(target: &Target, trust: &Trust, path: &str) -> Result<(u16, Vec<u8>)> {
    let what = format!("GET {path}");
    let stream = connect(target.address).map_err(Error::io(what.as_str()))?;
    if !target.is_tls {
        return exchange(stream, &target.authority(), path).map_err(Error::io(what));
    }
    let config = crate::trust::client_config(trust)?;
    let name = rustls::pki_types::ServerName::try_from(target.host.clone())
        .map_err(|error| Error::usage(format!("URL: host {:?}: {error}", target.host)))?;
    let session = rustls::ClientConnection::new(config, name)
        .map_err(|error| Error::Service(format!("{what}: {error}")))?;
    let stream = rustls::StreamOwned::new(session, stream);
    exchange(stream, &target.authority(), path).map_err(Error::io(what))
}

/// GETs a path from an address without TLS.
///
/// # Errors
/// As [`get`].
pub(crate) fn get_plain(address: SocketAddr, path: &str) -> std::io::Result<(u16, Vec<u8>)> {
    exchange(connect(address)?, &address.to_string(), path)
}

fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn exchange(
    mut stream: impl Read + Write,
    host: &str,
    path: &str,
) -> std::io::Result<(u16, Vec<u8>)> {
    let invalid = |words: &str| std::io::Error::new(std::io::ErrorKind::InvalidData, words);
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    match stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer) {
        // A peer that ends TLS without saying so has still sent what its length says.
        Err(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => return Err(error),
        _ => {}
    }
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut head = httparse::Response::new(&mut headers);
    let Ok(httparse::Status::Complete(at)) = head.parse(&answer) else {
        return Err(invalid("no HTTP answer"));
    };
    let header = |name: &str| {
        let found = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        found.and_then(|header| std::str::from_utf8(header.value).ok())
    };
    if header("transfer-encoding").is_some() {
        return Err(invalid("an answer without a length"));
    }
    let length = header("content-length").and_then(|length| length.trim().parse::<usize>().ok());
    let code = head.code.unwrap_or_default();
    let mut body = answer.split_off(at);
    if let Some(length) = length {
        if body.len() < length {
            return Err(invalid("the answer ends too early"));
        }
        body.truncate(length);
    }
    Ok((code, body))
}
