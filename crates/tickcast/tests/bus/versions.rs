//! Messages of a later version on the bus: fields that nobody knows today, and another protocol beside.

use crate::SIM;
use crate::cut::assert_same_states;
use crate::nats::Nats;
use crate::processes::{Publisher, gateway, gateway_on};
use crate::seen::{LIVE, Seen, assert_undisturbed, assert_unviolated, subscribe, until};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// A field of number 2000 with three bytes in it, as any message of protobuf may have one.
const UNKNOWN: [u8; 6] = [0x82, 0x7D, 3, b'n', b'e', b'w'];

/// Stands between a gateway and NATS and gives each message of the bus another field; how many it
/// has given is counted. It ends with the test's process.
fn later_version(server: SocketAddr) -> (SocketAddr, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    let count = Arc::<AtomicU64>::default();
    let counted = count.clone();
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let Ok(server) = TcpStream::connect(server) else { continue };
            let mut up = (client.try_clone().expect("free"), server.try_clone().expect("free"));
            thread::spawn(move || std::io::copy(&mut up.0, &mut up.1));
            let counted = counted.clone();
            thread::spawn(move || down(server, client, &counted));
        }
    });
    (address, count)
}

/// `MSG <subject> <sid> [reply] <bytes>` is the only line that is changed.
fn down(server: TcpStream, mut client: TcpStream, counted: &AtomicU64) -> std::io::Result<()> {
    let mut server = BufReader::new(server);
    let mut line = String::new();
    while server.read_line(&mut line)? > 0 {
        let words: Vec<&str> = line.split_whitespace().collect();
        let length = |word: Option<&&str>| word.and_then(|word| word.parse::<usize>().ok());
        let bytes = match words.first() {
            Some(&("MSG" | "HMSG")) => length(words.last()).expect("a length"),
            _ => {
                client.write_all(line.as_bytes())?;
                line.clear();
                continue;
            }
        };
        let mut payload = vec![0; bytes + 2];
        server.read_exact(&mut payload)?;
        // What JetStream answers is its own.
        if words[0] == "MSG" && !payload.starts_with(b"{") {
            payload.truncate(bytes);
            payload.extend(UNKNOWN.iter().chain(b"\r\n"));
            let kept = words[..words.len() - 1].join(" ");
            line = format!("{kept} {}\r\n", bytes + UNKNOWN.len());
            counted.fetch_add(1, Ordering::Relaxed); // Only a figure.
        }
        client.write_all(line.as_bytes())?;
        client.write_all(&payload)?;
        line.clear();
    }
    Ok(())
}

#[test]
fn fields_and_protocols_of_a_later_version_disturb_nobody() {
    let Some(nats) = Nats::start("versions") else { return };
    let _publisher = Publisher::start(&nats, &SIM);
    let (address, count) = later_version(nats.address());
    let (later, today) = (gateway_on(&format!("nats://{address}"), &[]), gateway(&nats));
    later.until_ready();
    today.until_ready();
    let mut clients = [&later, &today].map(|gateway| (subscribe(gateway), Seen::default()));
    let mut other = TcpStream::connect(nats.address()).expect("it listens");
    let connect = "CONNECT {\"verbose\":false}\r\n";
    let of_another_version: String = ["_.beat", "sim.S0-USD.ticker", "sim.S0-USD.status"]
        .map(|subject| format!("PUB tickcast.v2.{subject} 3\r\nnew\r\n"))
        .concat();
    other.write_all(format!("{connect}{of_another_version}PING\r\n").as_bytes()).expect("it reads");
    for (socket, seen) in &mut clients {
        until(socket, seen, "prices", |seen| LIVE(seen) && seen.fresh > 50);
    }
    for (gateway, (_, seen)) in [&later, &today].into_iter().zip(&clients) {
        assert_undisturbed(gateway, seen);
    }
    assert!(count.load(Ordering::Relaxed) > 50, "updates, answers and beats had the field");
    assert_same_states(&later, &today);
    for gateway in [&later, &today] {
        assert_eq!(gateway.metric("tickcast_bus_decode_errors_total", ""), 0.0);
        assert_unviolated(gateway);
    }
}
