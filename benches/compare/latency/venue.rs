//! A venue that sends quotes at exact moments and remembers when it sent which: as much of
//! Binance as tickcast's handler needs, and the same bytes bare for the empty chain.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tickcast_benches::{accept_of, keep_on};

/// Instruments of the venue.
pub(crate) const SYMBOLS: usize = 50;

/// Quotes that one venue sends at most: half an hour at the usual rate.
const QUOTES_MAX: usize = 10_000_000;

/// When each quote was sent, in nanoseconds from a common beginning.
#[derive(Debug)]
pub(crate) struct Sent {
    begin: Instant,
    at: Vec<AtomicU64>,
    pub(crate) count: AtomicU64,
    ends: AtomicBool,
}

impl Sent {
    /// How long ago that quote was sent.
    pub(crate) fn age(&self, quote: u64) -> Option<Duration> {
        // Pairs with the store before the quote's bytes went out.
        let at = self.at.get(usize::try_from(quote).ok()?)?.load(Ordering::Acquire);
        let now = self.begin.elapsed().as_nanos() as u64;
        (at > 0).then(|| Duration::from_nanos(now.saturating_sub(at)))
    }
}

/// A running venue; ends when dropped.
#[derive(Debug)]
pub(crate) struct Venue {
    pub(crate) address: SocketAddr,
    pub(crate) sent: Arc<Sent>,
}

impl Drop for Venue {
    fn drop(&mut self) {
        // Pairs with the loads of the sender and of the listener, which one more connection wakes.
        self.sent.ends.store(true, Ordering::Release);
        let _ = TcpStream::connect(self.address);
    }
}

impl Venue {
    /// Starts it, its threads on these cores.
    ///
    /// # Errors
    /// There is no free port.
    pub(crate) fn start(rate: f64, cores: &[usize]) -> io::Result<Venue> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let mut at = Vec::new();
        at.resize_with(QUOTES_MAX, AtomicU64::default);
        let (count, ends) = (AtomicU64::new(1), AtomicBool::new(false));
        let sent = Arc::new(Sent { begin: Instant::now(), at, count, ends });
        let (shared, cores) = (sent.clone(), cores.to_vec());
        std::thread::spawn(move || {
            if !cores.is_empty() {
                let _ = keep_on(&cores);
            }
            for stream in listener.incoming().map_while(io::Result::ok) {
                // Pairs with the store at the end.
                if shared.ends.load(Ordering::Acquire) {
                    return;
                }
                let shared = shared.clone();
                std::thread::spawn(move || drop(serve(stream, rate, &shared)));
            }
        });
        Ok(Venue { address, sent })
    }
}

/// One connection: a request for the list, a WebSocket, or the bare frames.
fn serve(mut stream: TcpStream, rate: f64, sent: &Sent) -> io::Result<()> {
    stream.set_nodelay(true)?;
    loop {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            if stream.read(&mut byte)? == 0 {
                return Ok(());
            }
            head.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let key = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("sec-websocket-key").then(|| value.trim().to_owned())
        });
        if let Some(key) = key {
            let accept = accept_of(key.as_bytes());
            stream.write_all(
                format!(
                    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                     Connection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
                )
                .as_bytes(),
            )?;
            return send(&mut stream, rate, sent);
        }
        if head.starts_with("GET /raw") {
            return send(&mut stream, rate, sent);
        }
        let body = if head.contains("exchangeInfo") { list() } else { "[]".to_owned() };
        let length = body.len();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
        stream.write_all(answer.as_bytes())?;
    }
}

/// Names as tickcast is to be asked for them.
pub(crate) fn names() -> impl Iterator<Item = String> {
    (0..SYMBOLS).map(|symbol| format!("S{symbol:03}-USDT"))
}

fn list() -> String {
    let symbol = |symbol| {
        format!(
            "{{\"symbol\":\"S{symbol:03}USDT\",\"status\":\"TRADING\",\"baseAsset\":\"S{symbol:03}\",\
             \"quoteAsset\":\"USDT\",\"filters\":[{{\"filterType\":\"PRICE_FILTER\",\
             \"tickSize\":\"0.01000000\"}},{{\"filterType\":\"LOT_SIZE\",\"stepSize\":\"0.00000001\"}}]}}"
        )
    };
    let symbols: Vec<String> = (0..SYMBOLS).map(symbol).collect();
    format!("{{\"symbols\":[{}]}}", symbols.join(","))
}

/// A quote whose bid's size is its number, as a WebSocket frame; all are of one length.
fn frame(number: u64) -> Vec<u8> {
    let symbol = number % SYMBOLS as u64;
    let (units, parts) = (number / 100_000_000, number % 100_000_000);
    let text = format!(
        "{{\"stream\":\"s{symbol:03}usdt@bookTicker\",\"data\":{{\"u\":{:010},\"s\":\"S{symbol:03}USDT\",\
         \"b\":\"68900.00000000\",\"B\":\"{units}.{parts:08}\",\"a\":\"68900.01000000\",\
         \"A\":\"1.00000000\"}}}}",
        1_000_000_000 + number
    );
    let mut frame = vec![0x81, 126];
    frame.extend((text.len() as u16).to_be_bytes());
    frame.extend(text.bytes());
    frame
}

/// How long a frame is, and where it has the digits of its symbol.
pub(crate) fn shape() -> (usize, usize) {
    let frame = frame(1);
    (frame.len(), 4 + "{\"stream\":\"s".len())
}

/// Sends quotes at even moments until the venue ends or the peer is gone.
fn send(stream: &mut TcpStream, rate: f64, sent: &Sent) -> io::Result<()> {
    let step = Duration::from_secs_f64(1.0 / rate);
    let mut due = Instant::now() + step;
    // Pairs with the store at the end.
    while !sent.ends.load(Ordering::Acquire) {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        due += step;
        // Only one connection at a time gets quotes.
        let number = sent.count.fetch_add(1, Ordering::Relaxed);
        let Some(at) = sent.at.get(number as usize) else { return Ok(()) };
        let bytes = frame(number);
        // Pairs with the load of whoever receives this number.
        at.store(sent.begin.elapsed().as_nanos() as u64, Ordering::Release);
        stream.write_all(&bytes)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_have_one_length_and_their_symbol_where_it_is_said_to_be() {
        let (length, at) = shape();
        for number in [1, 49, 50, 9_999_999] {
            let frame = frame(number);
            assert_eq!(frame.len(), length);
            assert_eq!(frame[at..at + 3], *format!("{:03}", number % 50).as_bytes());
            let json: serde_json::Value = serde_json::from_slice(&frame[4..]).unwrap();
            let size: f64 = json["data"]["B"].as_str().unwrap().parse().unwrap();
            assert_eq!((size * 1e8).round() as u64, number);
        }
    }
}
