//! Load for the service under test: clients of several kinds that read, one that does not, and
//! requests that are refused.

use crate::service::{Service, Socket};
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// WebSocket clients that read all that they get.
const READERS: usize = 24;
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
    /// Reads nothing, so that it lags.
    _slow: Socket,
}

impl Clients {
    /// Connects them, and makes some requests that are answered and some that are refused.
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
        let mut slow = service.websocket();
        slow.narrow();
        slow.send(&wish(r#""channel":"book","depth":500"#));
        for path in ["/v1/instruments", "/v1/snapshot?channel=ticker&symbol=sim:*"] {
            assert_eq!(service.get(path).0, 200, "{path}");
        }
        assert_eq!(service.get("/nothing/here").0, 404);
        // One that comes and goes.
        drop(service.websocket());
        Clients { is_over, threads, _slow: slow }
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
    stream.set_read_timeout(std::time::Duration::from_millis(50));
    std::thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        while !is_over.load(Ordering::Relaxed) {
            // Nothing within the time is no end; neither is an end before ours a matter of this test.
            let _bytes = stream.read(&mut buffer);
        }
    })
}
