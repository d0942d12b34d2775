//! Row 1 (clients that do not read) and row 4 (clients that do not speak).

use crate::hostile::{quiet, unharmed};
use crate::process::{kernel_send_bytes, usage};
use crate::raw::{HANDSHAKE, Next, PATIENCE, Raw, connect, connect_narrow, text};
use crate::service::{Service, Stream, tls};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const READERS: usize = 36;
const STALLED: usize = 4;

/// What must end after some seconds has ended by then on any machine.
const LATE: Duration = Duration::from_secs(30);

fn subscribe(channel: &str, more: &str) -> Vec<u8> {
    text(&format!(
        r#"{{"method":"subscribe","params":{{"channel":"{channel}","symbol":"sim:*"{more}}}}}"#
    ))
}

/// Reads updates until told to stop; their ages since they were published, in microseconds.
fn ages(service: SocketAddr, stop: &AtomicBool) -> Vec<u64> {
    let mut raw = Raw::shake(Stream::Plain(connect(service)), b"");
    raw.send(&subscribe("ticker", ""));
    let mut ages = Vec::new();
    raw.stream.set_read_timeout(PATIENCE);
    // Relaxed: only a hint.
    while !stop.load(Ordering::Relaxed) {
        let Next::Frame(frame) = raw.next() else { panic!("a reader is served on") };
        assert_ne!(frame.opcode, 8, "a reader is served on");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_micros();
        let message = String::from_utf8(frame.payload).expect("text");
        if message.contains("\"type\":\"update\"")
            && let Some((_, rest)) = message.rsplit_once("\"ts_publish\":")
        {
            let digits = rest.trim_end_matches(['}', ']']);
            let published: u128 = digits.parse().expect("microseconds");
            ages.push(now.saturating_sub(published) as u64);
        }
    }
    ages
}

/// The 99th percentile of what readers see in some seconds.
fn p99(service: SocketAddr, seconds: u64) -> u64 {
    let stop = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..READERS)
        .map(|_| {
            let stop = stop.clone();
            thread::spawn(move || ages(service, &stop))
        })
        .collect();
    thread::sleep(Duration::from_secs(seconds));
    stop.store(true, Ordering::Relaxed);
    let mut all: Vec<u64> =
        readers.into_iter().flat_map(|reader| reader.join().expect("a reader")).collect();
    all.sort_unstable();
    assert!(all.len() > 1_000, "{}", all.len());
    all[all.len() * 99 / 100]
}

#[test]
fn row_01_a_client_that_never_reads_holds_little_and_is_closed_after_ten_seconds() {
    let service =
        Service::start(&["--shards", "1", "--sim-instruments", "100", "--sim-rate", "1000"]);
    service.until_ready();
    let alone = p99(service.public, 3);
    let before = usage(service.pid());
    let begun = Instant::now();
    let all = [
        HANDSHAKE.as_bytes().to_vec(),
        subscribe("ticker", ""),
        subscribe("trades", ""),
        subscribe("book", ",\"depth\":500"),
    ];
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes();
    // Of those that stall one takes events, and another one the answer to a request.
    let mut sent = vec![all.concat(); STALLED - 1];
    sent.push(get("/v1/sse?channel=book&depth=500&symbol=sim:*"));
    sent.push(get("/v1/snapshot?channel=book&depth=500&symbol=sim:*"));
    let stalled: Vec<TcpStream> = sent
        .iter()
        .map(|bytes| {
            let mut socket = connect_narrow(service.public);
            socket.write_all(bytes).expect("it reads");
            socket
        })
        .collect();
    let beside = p99(service.public, 4);
    let closed = || service.metric("tickcast_gateway_connections_closed_total", "4508");
    let held = kernel_send_bytes(service.public.port());
    let (most, during) = (held.iter().copied().max().unwrap_or(0), usage(service.pid()));
    let took = loop {
        let (closed, took) = (closed(), begun.elapsed());
        assert!(closed == 0.0 || took >= Duration::from_secs(10), "not before its time: {took:?}");
        if closed >= STALLED as f64 {
            break took;
        }
        assert!(took < PATIENCE, "{closed} closed");
        thread::sleep(Duration::from_millis(20));
    };
    assert!(took < Duration::from_secs(40), "{took:?}");
    // They are told by a close frame if they read after all, and are gone a little later if not.
    while service.metric("tickcast_gateway_connections", "") > 0.0
        || usage(service.pid()).descriptors > before.descriptors
    {
        assert!(begun.elapsed() < PATIENCE, "they are gone: {:?}", usage(service.pid()));
        thread::sleep(Duration::from_millis(20));
    }
    let gone = begun.elapsed();
    let grown = during.resident_bytes.saturating_sub(before.resident_bytes) / 1024;
    println!(
        "row 1: {STALLED} of {} clients (and one of REST) never read: closed (4508) after {took:.1?}, gone after {gone:.1?}; \
         service +{grown} KiB, kernel at most {} KiB a socket; p99 of the others {beside} us, {alone} us without them: ratio {:.2}",
        READERS + STALLED,
        most / 1024,
        beside as f64 / alone as f64
    );
    assert!(most > 0 && most <= 256 << 10, "{most}: a capped SO_SNDBUF");
    assert!(grown <= 1024 * STALLED as u64 + 4096, "{grown} KiB");
    drop(stalled);
    unharmed(&service);
}

/// Reads until the connection ends; what came, and after how long it ended.
fn until_end(stream: &mut Stream, begun: Instant, drip: &[u8]) -> (Vec<u8>, Duration) {
    let mut received = Vec::new();
    let mut buffer = [0; 4096];
    let mut drops = drip.iter();
    stream.set_read_timeout(Duration::from_millis(if drip.is_empty() { 60_000 } else { 1_000 }));
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return (received, begun.elapsed()),
            Ok(some) => received.extend_from_slice(&buffer[..some]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                assert!(begun.elapsed() < PATIENCE, "it does not end");
                if let Some(drop) = drops.next() {
                    let _ = stream.write_all(&[*drop]);
                }
            }
            Err(_) => return (received, begun.elapsed()),
        }
    }
}

/// A way to keep a connection busy with nothing.
struct Slow {
    name: &'static str,
    /// Sent at once.
    first: &'static str,
    /// Then one byte a second of this.
    drip: &'static str,
    /// How the answer to `first`, or to being slow, begins; nothing where none is owed.
    answer: &'static str,
}

const DRIP: &str = "X-Slow: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const WHOLE: &str = "GET /v1/instruments HTTP/1.1\r\nHost: a\r\n\r\n";

const SLOW: [Slow; 8] = [
    Slow { name: "silence", first: "", drip: "", answer: "" },
    Slow {
        name: "half a head",
        first: "GET /v1/ws HTTP/1.1\r\nHost: a",
        drip: "",
        answer: "HTTP/1.1 408",
    },
    Slow {
        name: "a head, byte by byte",
        first: "GET /v1/ws HTTP/1.1\r\n",
        drip: DRIP,
        answer: "HTTP/1.1 408",
    },
    Slow { name: "no head, byte by byte", first: "", drip: DRIP, answer: "HTTP/1.1 408" },
    Slow {
        name: "empty lines, byte by byte",
        first: "\r\n",
        drip: "\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n",
        answer: "",
    },
    Slow { name: "kept alive", first: WHOLE, drip: "", answer: "HTTP/1.1 200" },
    Slow {
        name: "kept alive, a second head byte by byte",
        first: WHOLE,
        drip: DRIP,
        answer: "HTTP/1.1 200",
    },
    Slow {
        name: "a body, byte by byte",
        first: "POST /v1/instruments HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n",
        drip: DRIP,
        answer: "HTTP/1.1 405",
    },
];

#[test]
fn row_04_slowloris_has_five_seconds() {
    let service = quiet();
    let targets = [("public", service.public), ("admin", service.admin)];
    let threads: Vec<_> = targets
        .into_iter()
        .flat_map(|target| SLOW.iter().map(move |slow| (target, slow)))
        .map(|((target, address), slow)| {
            thread::spawn(move || {
                let begun = Instant::now();
                let mut stream = Stream::Plain(connect(address));
                stream.write_all(slow.first.as_bytes()).expect("it reads");
                let (received, took) = until_end(&mut stream, begun, slow.drip.as_bytes());
                (target, slow, String::from_utf8_lossy(&received).into_owned(), took)
            })
        })
        .collect();
    let (mut longest, mut wrong) = (Duration::ZERO, Vec::new());
    for thread in threads {
        let (target, slow, received, took) = thread.join().expect("it ends");
        let name = format!("{target}: {}", slow.name);
        println!("{name}: {took:.2?}");
        // The admin listener has hyper alone, which owes no 408.
        let is_told = received.starts_with(slow.answer)
            || (target == "admin" && (received.is_empty() || received.starts_with("HTTP/1.1 404")));
        // Who is answered with an error may be sent away at once.
        let is_early = took < Duration::from_millis(4_900) && !slow.answer.contains("405");
        if !is_told || is_early || took > LATE {
            wrong.push(format!("{name}: {took:?} {received:?}"));
        }
        longest = longest.max(took);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!(
        "row 4: head 5 s: {} slow connections ended, the last after {longest:.1?}",
        2 * SLOW.len()
    );
    unharmed(&service);
}

#[test]
fn row_04_slowloris_within_tls_has_three_seconds() {
    let files = tls::Files::new();
    let service = Service::start_tls(&files, &["--sim-instruments", "3", "--sim-rate", "0"]);
    let address = service.public;
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    let threads: Vec<_> = [(0, 0), (5, 0), (40, 0), (1, 40)]
        .into_iter()
        .map(|(first, drip)| {
            thread::spawn(move || {
                let begun = Instant::now();
                let mut stream = Stream::Plain(connect(address));
                stream.write_all(&hello[..first]).expect("it reads");
                until_end(&mut stream, begun, &hello[first..first + drip.min(40)]).1
            })
        })
        .collect();
    // Keys are agreed on, and then nothing: the head's five seconds count from the beginning.
    let begun = Instant::now();
    let mut silent = service.stream();
    silent.flush().expect("a handshake");
    let Stream::Tls(tls) = &mut silent else { panic!("it is encrypted") };
    while tls.conn.is_handshaking() {
        tls.conn.complete_io(&mut tls.sock).expect("a handshake");
    }
    let (_, head) = until_end(&mut silent, begun, b"");
    let mut longest = Duration::ZERO;
    for thread in threads {
        let took = thread.join().expect("it ends");
        assert!(took > Duration::from_millis(2_900) && took < LATE, "{took:?}");
        longest = longest.max(took);
    }
    assert!(head > Duration::from_millis(4_900) && head < LATE, "{head:?}");
    println!(
        "row 4: TLS 3 s: the last of 4 ended after {longest:.1?}; a head after TLS 5 s: {head:.1?}"
    );
    unharmed(&service);
}
