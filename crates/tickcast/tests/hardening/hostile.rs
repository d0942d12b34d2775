//! Row 19: whatever strangers send, no connection but their own is closed, and none by a bug of
//! ours. What every row asks at its end stands here, too.

use crate::frame_corpus::sequences;
use crate::raw::{Raw, connect, frame};
use crate::service::{Service, get};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// A service without market data.
pub(crate) fn quiet() -> Service {
    let service = Service::start(&["--sim-instruments", "3", "--sim-rate", "0"]);
    service.until_ready();
    service
}

/// The service lives and has met no bug of its own.
pub(crate) fn unharmed(service: &Service) {
    assert_eq!(get(service.admin, "/livez").0, 200);
    assert_eq!(
        service.json("/v1/instruments")["instruments"].as_array().map(Vec::is_empty),
        Some(false)
    );
    let (_, metrics) = get(service.admin, "/metrics");
    assert!(metrics.contains("\ntickcast_gateway_panics_total "), "the counter is there");
    assert_eq!(service.metric("tickcast_gateway_panics_total", ""), 0.0);
    assert_eq!(service.metric("tickcast_gateway_connections_closed_total", "4500"), 0.0);
    let log = service.log().join("\n");
    assert!(!log.contains("panicked"), "{log}");
}

const REQUESTS: [&str; 8] = [
    r#"{"method":"subscribe","req_id":7,"params":{"channel":"ticker","symbol":["sim:*"],"max_rate":5,"fields":["last","bid"],"since":{"sim:S0-USD":{"epoch":7249421,"seq":118}}}}"#,
    r#"{"method":"subscribe","params":{"channel":"book","symbol":"sim:S1-USD","depth":25}}"#,
    r#"{"method":"subscribe","params":{"channel":"bars","symbol":["sim:S*"],"interval":"1s"}}"#,
    r#"{"method":"subscribe","params":{"channel":"trades","symbol":["sim:S0-USD"],"snapshot":false}}"#,
    r#"{"method":"unsubscribe","req_id":8,"params":{"channel":"ticker","symbol":["sim:*"]}}"#,
    r#"{"method":"auth","req_id":9,"params":{"token":"a.b.c"}}"#,
    r#"{"method":"ping","req_id":10}"#,
    r#"{"method":"stats","req_id":"eleven"}"#,
];

/// Some bytes of it are others, are missing, stand there twice, or are moved.
fn mutate(random: &mut fastrand::Rng, bytes: &mut Vec<u8>) {
    const TELLING: &[u8] = b"\x00\xFF\x80\x7F\"{}[]*\\:,-9e.\xE2";
    for _ in 0..random.usize(1..5) {
        if bytes.is_empty() {
            return;
        }
        let at = random.usize(..bytes.len());
        let length = random.usize(..=(bytes.len() - at).min(12));
        match random.u8(..6) {
            0 => bytes[at] = random.u8(..),
            1 => bytes[at] = TELLING[random.usize(..TELLING.len())],
            2 => drop(bytes.drain(at..at + length)),
            3 => {
                let again = bytes[at..at + length].to_vec();
                bytes.splice(at..at, again);
            }
            4 => bytes.truncate(at),
            _ => bytes[at] ^= 1 << random.u8(..8),
        }
    }
}

#[test]
fn row_19_mutated_requests_frames_and_heads_reach_no_bug_of_ours() {
    const CONNECTIONS: usize = 1_500;
    let service = Service::start(&["--sim-instruments", "20", "--sim-rate", "500"]);
    service.until_ready();
    let mut witness = service.websocket();
    witness.send(r#"{"method":"subscribe","params":{"channel":"ticker","symbol":"sim:*"}}"#);
    // It reads all the time: who does not is closed for that.
    let over = Arc::new(AtomicBool::new(false));
    let witness = thread::spawn({
        let over = over.clone();
        move || {
            // Relaxed: only a hint.
            while !over.load(Ordering::Relaxed) {
                witness.next();
            }
            witness
        }
    });
    let mut random = fastrand::Rng::with_seed(19);
    let corpus = sequences();
    let mut sent = 0;
    for number in 0..CONNECTIONS {
        if number % 10 == 0 {
            let mut head = crate::raw::HANDSHAKE.as_bytes().to_vec();
            mutate(&mut random, &mut head);
            let mut stream = connect(service.public);
            let _ = stream.write_all(&head);
            continue;
        }
        let mut raw = Raw::open(&service);
        for _ in 0..random.usize(1..40) {
            let bytes = if random.u8(..4) == 0 {
                let mut bytes = corpus[random.usize(..corpus.len())].bytes.clone();
                bytes.truncate(4_000);
                mutate(&mut random, &mut bytes);
                bytes
            } else {
                let mut request = REQUESTS[random.usize(..8)].as_bytes().to_vec();
                if random.u8(..4) > 0 {
                    mutate(&mut random, &mut request);
                }
                frame(0x81, &request)
            };
            sent += 1;
            if !raw.try_send(&bytes) {
                break;
            }
        }
        // Some stay to read the answers, some leave at once with everything unread.
        if number % 3 == 0 {
            raw.read_to_end(Duration::from_millis(5));
        }
    }
    over.store(true, Ordering::Relaxed);
    let mut witness = witness.join().expect("the witness is served all the time");
    let mut seen = 0;
    witness.until("the witness is served on", |_| {
        seen += 1;
        seen > 200
    });
    println!("row 19: {sent} mutated messages on {CONNECTIONS} connections; events of a bug: 0");
    unharmed(&service);
}
