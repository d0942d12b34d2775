//! NATS subscribers: one loop, one read buffer, the protocol's lines cut as they come.

use fastrand::Rng;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tickcast_benches::now_micros;

/// How many sockets are looked at after one wait.
const EVENTS_MAX: usize = 1024;

const READ_BYTES: usize = 256 << 10;

/// What has been delivered, and how old it was.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    pub(crate) reads: u64,
    /// In microseconds.
    pub(crate) ages: Ages,
}

/// A histogram: exact below 1,024 µs, to one part in 512 above.
#[derive(Debug)]
pub(crate) struct Ages(Vec<u64>);

impl Default for Ages {
    fn default() -> Ages {
        Ages(vec![0; 64 * 512])
    }
}

impl Ages {
    fn place(us: u64) -> usize {
        let shift = (64 - us.leading_zeros()).saturating_sub(10);
        (shift as usize * 512 + (us >> shift) as usize).min(64 * 512 - 1)
    }

    pub(crate) fn add(&mut self, us: u64) {
        self.0[Ages::place(us)] += 1;
    }

    /// The age that this share of deliveries does not exceed.
    pub(crate) fn quantile(&self, share: f64) -> Option<f64> {
        let total: u64 = self.0.iter().sum();
        let rank = (total as f64 * share).ceil().max(1.0) as u64;
        let mut sum = 0;
        let place = self.0.iter().position(|count| {
            sum += count;
            sum >= rank
        })?;
        // Above the exact part a row of 512 begins at its own 512.
        let row = (place / 512).saturating_sub(1);
        Some(((place - row * 512) as u64 * (1 << row)) as f64)
    }
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    /// The beginning of a message whose rest has not come.
    rest: Vec<u8>,
    /// What is to be sent when it can be written.
    out: Vec<u8>,
    is_ready: bool,
}

/// All subscribers.
#[derive(Debug)]
pub(crate) struct Clients {
    poll: Poll,
    connections: Vec<Connection>,
    ready: usize,
    buffer: Vec<u8>,
}

impl Clients {
    /// Connects so many with so many of the symbols each, chosen by Zipf's law, and waits until
    /// the server has taken all subscriptions.
    ///
    /// # Errors
    /// A connection fails, or the server does not answer within a minute.
    pub(crate) fn connect(
        server: SocketAddr,
        count: usize,
        symbols: usize,
        instruments: u32,
    ) -> io::Result<Clients> {
        let mut rng = Rng::with_seed(11);
        let poll = Poll::new()?;
        let mut clients =
            Clients { poll, connections: Vec::new(), ready: 0, buffer: vec![0; READ_BYTES] };
        for number in 0..count {
            let mut stream = TcpStream::connect(server)?;
            let interest = Interest::READABLE | Interest::WRITABLE;
            clients.poll.registry().register(&mut stream, Token(number), interest)?;
            let mut out = b"CONNECT {\"verbose\":false,\"pedantic\":false}\r\n".to_vec();
            for (sid, rank) in choose(symbols, instruments, &mut rng).into_iter().enumerate() {
                out.extend(format!("SUB sim.S{rank}-USD {}\r\n", sid + 1).bytes());
            }
            out.extend(b"PING\r\n");
            clients.connections.push(Connection { stream, rest: Vec::new(), out, is_ready: false });
            clients.run(Duration::ZERO, &mut Seen::default())?;
        }
        let until = Instant::now() + Duration::from_secs(60);
        while clients.ready < count {
            clients.run(Duration::from_millis(20), &mut Seen::default())?;
            if Instant::now() > until {
                return Err(io::Error::other(format!("{} of {count} are ready", clients.ready)));
            }
        }
        Ok(clients)
    }

    /// Reads what comes for so long.
    ///
    /// # Errors
    /// A connection has ended: NATS cuts off whoever is too slow.
    pub(crate) fn run(&mut self, time: Duration, seen: &mut Seen) -> io::Result<()> {
        let until = Instant::now() + time;
        let mut events = Events::with_capacity(EVENTS_MAX);
        loop {
            let left = until.saturating_duration_since(Instant::now());
            self.poll.poll(&mut events, Some(left))?;
            for event in &events {
                let connection = &mut self.connections[event.token().0];
                self.ready += usize::from(connection.go(&mut self.buffer, seen)?);
            }
            if left.is_zero() {
                return Ok(());
            }
        }
    }
}

impl Connection {
    /// Writes what waits and reads what has come; whether it has become ready by that.
    fn go(&mut self, buffer: &mut [u8], seen: &mut Seen) -> io::Result<bool> {
        let was_ready = self.is_ready;
        self.write()?;
        loop {
            // What is left of a message goes before what comes.
            let kept = self.rest.len();
            buffer[..kept].copy_from_slice(&self.rest);
            match self.stream.read(&mut buffer[kept..]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(length) => {
                    seen.reads += u64::from(self.is_ready);
                    let bytes = &buffer[..kept + length];
                    let used = self.take(bytes, seen);
                    self.rest.clear();
                    self.rest.extend_from_slice(&bytes[used..]);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // Not connected yet.
                Err(error) if error.kind() == io::ErrorKind::NotConnected => break,
                Err(error) => return Err(error),
            }
        }
        self.write()?;
        Ok(self.is_ready && !was_ready)
    }

    fn write(&mut self) -> io::Result<()> {
        while !self.out.is_empty() {
            match self.stream.write(&self.out) {
                Ok(sent) => drop(self.out.drain(..sent)),
                Err(error)
                    if [io::ErrorKind::WouldBlock, io::ErrorKind::NotConnected]
                        .contains(&error.kind()) =>
                {
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Cuts off what is whole; how many bytes that was.
    fn take(&mut self, bytes: &[u8], seen: &mut Seen) -> usize {
        let mut used = 0;
        while let Some(end) = bytes[used..].iter().position(|byte| *byte == b'\n') {
            let line = &bytes[used..used + end];
            let after = used + end + 1;
            if line.starts_with(b"MSG ") {
                let digits = line.trim_ascii().rsplit(|byte| *byte == b' ').next();
                let length = digits.and_then(number).unwrap_or(0) as usize;
                let Some(payload) = bytes.get(after..after + length) else { break };
                if bytes.len() < after + length + 2 {
                    break;
                }
                seen.messages += 1;
                seen.bytes += length as u64;
                if let Some(stamp) = stamp(payload) {
                    seen.ages.add(now_micros().saturating_sub(stamp));
                }
                used = after + length + 2;
                continue;
            }
            if line.starts_with(b"PING") {
                self.out.extend(b"PONG\r\n");
            }
            self.is_ready |= line.starts_with(b"PONG");
            used = after;
        }
        used
    }
}

/// The ranks of a client's symbols, each once.
fn choose(symbols: usize, instruments: u32, rng: &mut Rng) -> Vec<u32> {
    let total: f64 = (1..=instruments).map(|rank| 1.0 / f64::from(rank)).sum();
    let mut chosen = Vec::new();
    while chosen.len() < symbols.min(instruments as usize) {
        let mut shot = rng.f64() * total;
        let rank = (0..instruments).find(|rank| {
            shot -= 1.0 / f64::from(rank + 1);
            shot <= 0.0
        });
        let rank = rank.unwrap_or(instruments - 1);
        if !chosen.contains(&rank) {
            chosen.push(rank);
        }
    }
    chosen
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The `ts_publish` at a message's end.
fn stamp(payload: &[u8]) -> Option<u64> {
    number(payload.strip_suffix(b"}]}")?.rsplit(|byte| *byte == b':').next()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_a_part_in_512() {
        let mut ages = Ages::default();
        for us in 1..=100_000 {
            ages.add(us);
        }
        for share in [0.001, 0.01, 0.5, 0.99, 1.0] {
            let expect = share * 100_000.0;
            let got = ages.quantile(share).unwrap();
            assert!((got / expect - 1.0).abs() < 1.0 / 256.0, "{share}: {got}");
        }
        assert_eq!(Ages::default().quantile(0.5), None);
    }

    #[test]
    fn a_message_s_stamp_is_read_from_its_end() {
        assert_eq!(stamp(br#"{"data":[{"ts_event":1,"ts_publish":17}]}"#), Some(17));
        assert_eq!(stamp(b"{}"), None);
    }

    #[test]
    fn messages_are_counted_however_they_are_cut() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (all_connected, go) = std::sync::mpsc::channel();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_nodelay(true).unwrap();
            stream.write_all(b"INFO {}\r\n").unwrap();
            let mut asked = Vec::new();
            let mut buffer = [0; 512];
            while !asked.ends_with(b"PING\r\n") {
                let length = stream.read(&mut buffer).unwrap();
                asked.extend_from_slice(&buffer[..length]);
            }
            stream.write_all(b"PONG\r\n").unwrap();
            go.recv().unwrap();
            let payload = br#"{"data":[{"ts_publish":1}]}"#;
            let mut all = Vec::new();
            for _ in 0..50 {
                all.extend(format!("MSG sim.S0-USD 1 {}\r\n", payload.len()).bytes());
                all.extend(payload);
                all.extend(b"\r\nPING\r\n");
            }
            all.chunks(7).for_each(|part| stream.write_all(part).unwrap());
            let mut pongs = vec![0; 50 * 6];
            stream.read_exact(&mut pongs).unwrap();
            // The line must stay until everything has been counted.
            (asked, pongs, stream)
        });
        let mut clients = Clients::connect(address, 1, 1, 1).unwrap();
        all_connected.send(()).unwrap();
        let mut seen = Seen::default();
        // Its last ping may come behind the last message.
        while !server.is_finished() {
            clients.run(Duration::from_millis(1), &mut seen).unwrap();
        }
        let (asked, pongs, _stream) = server.join().unwrap();
        assert!(asked.windows(18).any(|part| part == b"SUB sim.S0-USD 1\r\n"));
        assert_eq!(pongs, b"PONG\r\n".repeat(50));
        assert_eq!((seen.messages, seen.bytes), (50, 50 * 27));
        assert!(seen.ages.quantile(0.5).is_some());
    }

    #[test]
    fn symbols_are_distinct_and_the_most_active_are_chosen_most() {
        let mut rng = Rng::with_seed(1);
        let chosen: Vec<Vec<u32>> = (0..200).map(|_| choose(20, 500, &mut rng)).collect();
        let count = |rank| chosen.iter().filter(|one| one.contains(&rank)).count();
        assert!(count(0) > 150 && count(400) < 50, "{} {}", count(0), count(400));
        assert_eq!(choose(5, 3, &mut rng).len(), 3);
    }
}
