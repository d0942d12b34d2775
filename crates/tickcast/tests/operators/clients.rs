//! Load for the service under test: clients of several kinds that read, one that is slow, some that
//! come and go, and requests that are refused.

use crate::service::{PATIENCE, Service, Stream, tls};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// WebSocket clients that read all that they get.
const READERS: usize = 24;
/// Between two messages of a slow reader, and between two rounds of visitors: the pace of the load,
/// which nothing waits for.
const SLOWNESS: Duration = Duration::from_millis(20);
const VISITS: Duration = Duration::from_millis(500);
/// Wishes that readers have in turn: channel and options.
const WISHES: [&str; 5] = [
    r#""channel":"ticker""#,
    r#""channel":"book","depth":10"#,
    r#""channel":"ticker","max_rate":4"#,
    r#""channel":"trades""#,
    r#""channel":"bars","interval":"1s""#,
];

/// Clients of a service; gone with this.
pub(crate) struct Clients {
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Clients {
    /// Connects them.
    pub(crate) fn start(service: &Service) -> Clients {
        let is_over = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for number in 0..READERS {
            let mut socket = service.websocket();
            socket.send(&wish(WISHES[number % WISHES.len()]));
            let is_over = is_over.clone();
            threads.push(std::thread::spawn(move || {
                // Pairs with nothing: it only has to be seen at some time.
                while !is_over.load(Ordering::Relaxed) {
                    let _nothing_yet = socket.next();
                }
            }));
        }
        threads.push(events(service, is_over.clone()));
        threads.push(slow(service, is_over.clone()));
        threads.push(visitors(service, is_over.clone()));
        Clients { is_over, threads }
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn wish(what: &str) -> String {
    format!(r#"{{"method":"subscribe","params":{{{what},"symbol":["*:*"]}}}}"#)
}

/// A reader of server-sent events.
fn events(service: &Service, is_over: Arc<AtomicBool>) -> JoinHandle<()> {
    let mut stream = service.stream();
    let request = format!(
        "GET /v1/sse?channel=ticker&symbol=sim:* HTTP/1.1\r\nHost: {}\r\n\r\n",
        service.public
    );
    stream.write_all(request.as_bytes()).expect("it reads");
    stream.set_read_timeout(Duration::from_millis(50));
    std::thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        while !is_over.load(Ordering::Relaxed) {
            // Nothing within the time is no end; neither is an end before ours a matter of this test.
            let _bytes = stream.read(&mut buffer);
        }
    })
}

/// A subscriber of much that reads so slowly that it lags, but makes progress.
fn slow(service: &Service, is_over: Arc<AtomicBool>) -> JoinHandle<()> {
    let mut socket = service.websocket();
    socket.narrow();
    socket.send(&wish(r#""channel":"book","depth":500"#));
    std::thread::spawn(move || {
        while !is_over.load(Ordering::Relaxed) {
            let _nothing_yet = socket.next();
            std::thread::sleep(SLOWNESS);
        }
    })
}

/// Somebody who comes and goes, asks for what is there and what is not, and a page from elsewhere.
fn visitors(service: &Service, is_over: Arc<AtomicBool>) -> JoinHandle<()> {
    let (public, tls) = (service.public, service.tls.clone());
    std::thread::spawn(move || {
        while !is_over.load(Ordering::Relaxed) {
            for head in [
                "GET /v1/instruments HTTP/1.1",
                "GET /nothing/here HTTP/1.1",
                "GET /v1/ws HTTP/1.1\r\nOrigin: https://elsewhere.example\r\nUpgrade: websocket",
                "GET /v1/ws HTTP/1.1\r\nUpgrade: websocket",
            ] {
                let Ok(socket) = TcpStream::connect(public) else { return };
                let mut stream = match &tls {
                    None => Stream::Plain(socket),
                    Some(config) => Stream::Tls(Box::new(tls::client(socket, config))),
                };
                let request = format!(
                    "{head}\r\nHost: {public}\r\nConnection: Upgrade\r\n\
                     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
                );
                stream.set_read_timeout(PATIENCE);
                if stream.write_all(request.as_bytes()).is_ok() {
                    let _answer = stream.read(&mut [0; 4096]);
                }
            }
            std::thread::sleep(VISITS);
        }
    })
}
