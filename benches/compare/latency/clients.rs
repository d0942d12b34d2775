//! Clients that say how old each quote is when they have read it, in one loop.

use super::venue::{SYMBOLS, Sent};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const READ_BYTES: usize = 64 << 10;

/// What is kept of a part of a message: more than from the key to the number's end.
const KEPT_BYTES: usize = 64;

/// What goes out, and what to look for in what comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaks {
    /// tickcast's protocol.
    Tickcast,
    /// Nothing: the frames of the venue come as they are.
    Chain,
}

impl Speaks {
    const fn key(self) -> &'static [u8] {
        match self {
            Speaks::Tickcast => b"\"bid_size\":\"",
            Speaks::Chain => b"\"B\":\"",
        }
    }
}

/// Ages in nanoseconds of what came within `measured`, after `warmup`, by as many clients.
///
/// # Errors
/// A connection fails.
pub(crate) fn listen(
    server: SocketAddr,
    speaks: Speaks,
    count: usize,
    sent: &Sent,
    [warmup, measured]: [Duration; 2],
) -> io::Result<Vec<u64>> {
    let mut poll = Poll::new()?;
    let mut clients = Vec::new();
    for number in 0..count {
        let mut stream = std::net::TcpStream::connect(server)?;
        if speaks == Speaks::Tickcast {
            subscribe(&mut stream, server, (count > 1).then_some(number % SYMBOLS))?;
        }
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        poll.registry().register(&mut stream, Token(number), Interest::READABLE)?;
        clients.push((stream, Vec::new()));
    }
    let mut events = Events::with_capacity(1024);
    let mut buffer = vec![0; READ_BYTES];
    let begin = Instant::now();
    let (mut ages, mut first) = (Vec::new(), None);
    while begin.elapsed() < warmup + measured {
        if first.is_none() && begin.elapsed() >= warmup {
            // What was sent before is not measured; this only bounds numbers.
            first = Some(sent.count.load(std::sync::atomic::Ordering::Relaxed));
        }
        poll.poll(&mut events, Some(Duration::from_millis(100)))?;
        for event in &events {
            let (stream, rest) = &mut clients[event.token().0];
            read(stream, rest, &mut buffer, speaks.key(), &mut |number| {
                if first.is_some_and(|first| number >= first) {
                    ages.extend(sent.age(number).map(|age| age.as_nanos() as u64));
                }
            })?;
        }
    }
    Ok(ages)
}

/// Upgrades and asks for one symbol or all.
fn subscribe(
    stream: &mut std::net::TcpStream,
    server: SocketAddr,
    symbol: Option<usize>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let head = format!(
        "GET /v1/ws HTTP/1.1\r\nHost: {server}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    let symbol = symbol.map_or_else(|| "*".to_owned(), |symbol| format!("S{symbol:03}-USDT"));
    let text = format!(
        "{{\"method\":\"subscribe\",\"params\":{{\"channel\":\"ticker\",\"symbol\":\"binance:{symbol}\"}}}}"
    );
    // A mask of zeros changes nothing.
    let mut frame = vec![0x81, 0x80 | text.len() as u8, 0, 0, 0, 0];
    assert!(text.len() < 126, "its length fits into the short head");
    frame.extend(text.bytes());
    stream.write_all(&frame)
}

/// Reads all that has come and tells the numbers of the quotes in it.
fn read(
    stream: &mut TcpStream,
    rest: &mut Vec<u8>,
    buffer: &mut [u8],
    key: &[u8],
    each: &mut impl FnMut(u64),
) -> io::Result<()> {
    loop {
        let kept = rest.len();
        buffer[..kept].copy_from_slice(rest);
        match stream.read(&mut buffer[kept..]) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) => {
                let bytes = &buffer[..kept + length];
                let used = numbers(bytes, key, each).max(bytes.len().saturating_sub(KEPT_BYTES));
                rest.clear();
                rest.extend_from_slice(&bytes[used..]);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// Tells the decimal after each key, in its last digits; where the last whole one ends.
fn numbers(bytes: &[u8], key: &[u8], each: &mut impl FnMut(u64)) -> usize {
    let mut used = 0;
    for at in memchr::memmem::find_iter(bytes, key) {
        let start = at + key.len();
        let Some(end) = bytes[start..].iter().position(|byte| *byte == b'"') else { break };
        let digits = bytes[start..start + end].iter().filter(|byte| byte.is_ascii_digit());
        each(digits.fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')));
        used = start + end;
    }
    used
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_once_each_and_not_before_they_are_whole() {
        let key = Speaks::Tickcast.key();
        let text = br#"{"bid_size":"0.00000012","x":1}{"bid_size":"1.00000000"}{"bid_size":"0.000"#;
        let mut found = Vec::new();
        let used = numbers(text, key, &mut |number| found.push(number));
        assert_eq!(found, [12, 100_000_000]);
        assert_eq!(numbers(&text[used..], key, &mut |number| found.push(number)), 0);
        assert_eq!(found.len(), 2);
    }
}
