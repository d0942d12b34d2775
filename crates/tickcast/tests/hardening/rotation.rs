//! Row 16: certificates are changed under load, and nobody notices.

use crate::hostile::unharmed;
use crate::raw::{PATIENCE, connect};
use crate::service::Service;
use crate::service::tls::{BOTH, Files, Pair, client, trusting_all, write};
use rustls::ClientConfig;
use rustls::client::Resumption;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const ROTATIONS: usize = 100;
/// Of each of four threads: two hundred handshakes a second in all.
const HANDSHAKE_GAP: Duration = Duration::from_millis(20);
const SUBSCRIBE: &str = r#"{"method":"subscribe","params":{"channel":"ticker","symbol":"sim:*"}}"#;

/// Puts a new file in the place of an old one, never half of it.
fn replace(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    write(&beside, text);
    std::fs::rename(&beside, path).expect("a writable target folder");
}

/// A whole handshake, a request and its answer.
fn shake_hands(service: &Service, config: &Arc<ClientConfig>) {
    const REQUEST: &[u8] = b"GET /v1/instruments?symbol=sim:S0-USD HTTP/1.1\r\nHost: a\r\n\
        Connection: close\r\n\r\n";
    let socket = connect(service.public);
    socket.set_read_timeout(Some(PATIENCE)).expect("a time");
    let mut tls = client(socket, config);
    tls.write_all(REQUEST).expect("no handshake fails");
    let mut answer = String::new();
    tls.read_to_string(&mut answer).expect("no connection is dropped");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[test]
fn row_16_a_hundred_rotations_under_handshakes_fail_none() {
    let files = Files::new();
    let mut service = Service::start_tls(&files, &["--sim-instruments", "5", "--sim-rate", "100"]);
    let pairs: Vec<Pair> = (0..4).map(|_| Pair::new()).collect();
    let trusted: Vec<&Pair> = pairs.iter().chain([&files.pair]).collect();
    let config = trusting_all(&trusted, BOTH);
    service.tls = Some(config.clone());
    // Every handshake is a whole one.
    let mut whole = (*config).clone();
    whole.resumption = Resumption::disabled();
    let config = Arc::new(whole);
    let mut living: Vec<_> = (0..20).map(|_| service.websocket()).collect();
    for socket in &mut living {
        socket.send(SUBSCRIBE);
    }
    let (stop, shaken) = (AtomicBool::new(false), AtomicUsize::new(0));
    let reloads = |result: &str| {
        service.metric("tickcast_gateway_certificate_reloads_total", result) as usize
    };
    let begun = Instant::now();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                // Relaxed: a hint, and a count.
                while !stop.load(Ordering::Relaxed) {
                    let next = Instant::now() + HANDSHAKE_GAP;
                    shake_hands(&service, &config);
                    shaken.fetch_add(1, Ordering::Relaxed);
                    thread::sleep(next.saturating_duration_since(Instant::now()));
                }
            });
        }
        // Whoever answers no ping meanwhile is sent away.
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                for socket in &mut living {
                    socket.next();
                }
            }
        });
        for rotation in 0..ROTATIONS {
            let (pair, before) = (&pairs[rotation % pairs.len()], reloads("ok"));
            let next = Instant::now() + Duration::from_millis(60);
            replace(&files.certificate, &pair.certificate);
            replace(&files.key, &pair.key);
            service.ask_to_reload();
            while reloads("ok") == before {
                assert!(begun.elapsed() < 2 * PATIENCE, "rotation {rotation}: {:?}", service.log());
            }
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        stop.store(true, Ordering::Relaxed);
    });
    let took = begun.elapsed();
    let (shaken, failed) = (shaken.load(Ordering::Relaxed), reloads("failed"));
    // A bad pair: refused, shown, and the old one stays.
    replace(&files.key, &pairs[1].certificate);
    service.ask_to_reload();
    while reloads("failed") == failed {
        assert!(begun.elapsed() < 3 * PATIENCE, "the metric shows it");
    }
    assert_eq!(service.get("/").0, 200, "the old one stays");
    for socket in &mut living {
        let mut updates = 0;
        socket.until("who was there is served on", |text| {
            updates += usize::from(text.contains("\"type\":\"update\""));
            updates > 20
        });
    }
    println!(
        "row 16: {ROTATIONS} rotations in {took:.1?} under {shaken} handshakes ({:.0} a second): 0 failed, {} connections served on",
        shaken as f64 / took.as_secs_f64(),
        living.len()
    );
    assert!(shaken > 500, "{shaken}");
    unharmed(&service);
}
